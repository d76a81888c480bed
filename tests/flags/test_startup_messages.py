"""What TensorFlow writes on every start is not shown; anything else is."""

from __future__ import annotations

import os

import program_runs
import pytest

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


@pytest.mark.slow
def test_programs_start_without_matplotlib_and_can_import_it_later():
    program = (
        "import sys; from tfpose.flags.startup_messages import start_tensorflow; start_tensorflow(); "
        "print('keras' in sys.modules, 'matplotlib' in sys.modules); "
        "import matplotlib.pyplot; print('ready')"
    )
    result = program_runs.run("-c", program, separate_process=True)
    assert result.stdout.splitlines() == ["True False", "ready"], result.stderr[-2000:]
