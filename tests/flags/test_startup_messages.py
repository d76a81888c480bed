"""What TensorFlow writes on every start is not shown; anything else is."""

from __future__ import annotations

import os
import sys
import threading

import program_runs
import pytest

from tfpose.flags.startup_messages import start_tensorflow
from tfpose.stderr_filter import held_back

EXPECTED = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1.5    1 port.cc:153] oneDNN custom operations are on.",
    "E0000 00:00:1.5    1 util.cc:131] oneDNN supports DT_INT64 only on platforms with AVX-512.",
    "E0000 00:00:1.5    1 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error",
    "OpenCV: FFMPEG: tag 0x30385056/'VP80' is not supported with codec id 139 and format 'webm / WebM'",
)


def test_only_expected_lines_are_dropped(capfd):
    with held_back():
        for line in (*EXPECTED, "E0000 00:00:1.5    1 loader.cc:9] cannot read the library", "error: 7"):
            os.write(2, f"{line}\n".encode())
    os.write(2, b"after\n")
    written = capfd.readouterr().err.splitlines()
    assert written == ["E0000 00:00:1.5    1 loader.cc:9] cannot read the library", "error: 7", "after"]


def test_nothing_is_lost_in_an_error(capfd):
    with pytest.raises(RuntimeError), held_back():
        os.write(2, b"the reason\n")
        raise RuntimeError
    assert capfd.readouterr().err == "the reason\n"


def test_threads_that_hold_back_at_the_same_time_leave_stderr_as_it_was(capfd):
    has_begun, is_second_inside = threading.Event(), threading.Event()
    own = os.dup(2)

    def hold_first():
        with held_back():
            has_begun.set()
            is_second_inside.wait(0.1)

    def hold_second():
        has_begun.wait()
        with held_back():
            is_second_inside.set()
            first.join()

    first, second = threading.Thread(target=hold_first), threading.Thread(target=hold_second)
    try:
        for thread in (first, second):
            thread.start()
        second.join()
        os.write(2, b"after\n")
    finally:
        os.dup2(own, 2)
        os.close(own)
    assert capfd.readouterr().err == "after\n"


def test_a_program_without_a_console_has_nothing_to_hold_back(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    own = os.dup(2)
    os.close(2)
    try:
        with held_back():
            has_run = True
    finally:
        os.dup2(own, 2)
        os.close(own)
    assert has_run


@pytest.fixture
def other_keras_settings():
    """As ~/.keras/keras.json of another project may set them."""
    import keras

    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    yield keras.config
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")


def test_programs_use_the_usual_settings_of_keras(other_keras_settings):
    start_tensorflow()
    assert other_keras_settings.image_data_format() == "channels_last"
    assert other_keras_settings.floatx() == "float32"


def test_the_library_refuses_settings_of_keras_with_which_networks_do_not_work(other_keras_settings, monkeypatch):
    with pytest.raises(ValueError, match="image_data_format of Keras must be channels_last, got channels_first; see"):
        start_tensorflow(is_program=False)
    assert other_keras_settings.floatx() == "float16"
    other_keras_settings.set_image_data_format("channels_last")
    with pytest.raises(ValueError, match="floatx of Keras must be float32, got float16"):
        start_tensorflow(is_program=False)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ValueError, match="backend of Keras must be tensorflow, got jax"):
        start_tensorflow(is_program=False)


@pytest.mark.slow
def test_programs_do_not_use_the_backend_of_another_project():
    program = (
        "import os; os.environ['KERAS_BACKEND'] = 'jax'; "
        "from tfpose.flags.startup_messages import start_tensorflow; start_tensorflow(); print('started')"
    )
    result = program_runs.run("-c", program, separate_process=True)
    assert result.stdout == "started\n", result.stderr[-2000:]


@pytest.mark.slow
def test_programs_start_without_unused_packages_and_can_import_them_later():
    program = (
        "import gc, sys; from tfpose.flags.startup_messages import start_tensorflow; start_tensorflow(); "
        "print(*(name in sys.modules for name in ('keras', 'matplotlib', 'scipy'))); "
        "print(gc.isenabled(), gc.get_freeze_count() > 100_000); "
        "import matplotlib.pyplot, scipy.sparse; print('ready')"
    )
    result = program_runs.run("-c", program, separate_process=True)
    assert result.stdout.splitlines() == ["True False False", "True True", "ready"], result.stderr[-2000:]


@pytest.mark.slow
def test_the_library_leaves_the_garbage_collector_to_its_user():
    program = (
        "import gc, sys; from tfpose.flags.startup_messages import start_tensorflow; "
        "start_tensorflow(is_program=False); "
        "print('matplotlib' in sys.modules, gc.isenabled(), gc.get_freeze_count())"
    )
    result = program_runs.run("-c", program, separate_process=True)
    assert result.stdout.split() == ["True", "True", "0"], result.stderr[-2000:]
