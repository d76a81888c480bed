"""`tfpose predict-many` as a user runs it, with several worker processes of Apache Beam's direct runner."""

import csv
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
from program_runs import ENVIRONMENT, PROJECT, run
from small_single_network import random_pose_unet, small_single_network
from video_cases import write_picture, write_video

from tfpose.checkpoints import BEST_WEIGHTS_NAME, write_weights
from tfpose.inference.single_network_system import write_single_network_system
from tfpose.prediction import many_files

pytest.importorskip("apache_beam", reason="needs apache-beam (pip install 'tfpose[beam]')")
pytestmark = pytest.mark.slow
# A worker imports Beam and TensorFlow first, which takes long on a busy machine.
_SECONDS = 300


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    system = small_single_network(max_people=2)
    directory = tmp_path_factory.mktemp("run")
    write_single_network_system(directory, system)
    write_weights(random_pose_unet(system), directory / BEST_WEIGHTS_NAME)
    return directory


@pytest.fixture
def start(tmp_path, workdir):
    """Starts the program on two workers; those that a test leaves are killed."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    processes = []

    def begin(*arguments):
        flags = [f"--model={workdir}", f"--output={tmp_path / 'out'}", "--workers=2"]
        command = [sys.executable, "-m", "tfpose", "predict-many", *map(str, [*flags, *arguments])]
        environment = {**ENVIRONMENT, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        processes.append(subprocess.Popen(command, cwd=PROJECT, env=environment, **pipes))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def workers(tmp_path):
    """By process number, what each worker is at: the position of an input, or ''."""
    found = {}
    for path in (tmp_path / "temporary").glob("tfpose_workers_*/[0-9]*"):
        found[int(path.name)] = path.read_text()
    return found


def wait_until(condition):
    end = time.monotonic() + _SECONDS
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def is_running(number):
    """Whether a process is at work; one that has ended but whose parent has not asked is not."""
    try:
        return pathlib.Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def read_report(tmp_path):
    with open(tmp_path / "out" / "report.csv", newline="") as file:
        return {pathlib.Path(line["input"]).relative_to(tmp_path).as_posix(): line for line in csv.DictReader(file)}


def assert_only_whole_files(tmp_path):
    out = tmp_path / "out"
    assert not (out / many_files.UNFINISHED_FOLDER).exists()
    names = {path.name for path in out.rglob(".*")}
    assert names <= {".predict_many.lock"}
    marks, results = ({path.name for path in (out / folder).glob("*")} for folder in ("done", "predictions"))
    assert marks == results


def assert_same_as_predict(tmp_path, workdir, report, *inputs):
    """Each file is the same to the byte, but for the digits in its name, which the names of its frames begin with."""
    for number, text in enumerate(inputs):
        single = tmp_path / f"single{number}"
        result = run("-m", "tfpose.predict", tmp_path / text, f"--model={workdir}", f"--output={single}")
        assert result.returncode == 0, result.stderr[-2000:]
        (path,) = (single / "predictions").iterdir()
        name = report[text]["name"]
        expected = path.read_text().replace(f"{path.stem}/", f"{name}/").replace(f'"{path.stem}"', f'"{name}"')
        assert (tmp_path / "out" / "predictions" / f"{name}.json").read_text() == expected


def test_a_killed_run_goes_on_and_gives_the_files_of_predict(tmp_path, workdir, start):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / "clip.avi", 6 if folder == "a" else 9)
    (tmp_path / "a" / "broken.avi").write_bytes(b"nothing")
    for index in range(3):
        write_picture(tmp_path / "photos" / f"{index}.jpg", index)
    write_video(tmp_path / "long.avi", 1500)
    inputs = [tmp_path / "a" / "*.avi", tmp_path / "b" / "*.avi", tmp_path / "photos", tmp_path / "long.avi"]
    process = start(*inputs)
    done = tmp_path / "out" / "done"
    wait_until(lambda: process.poll() is not None or any(done.glob("*.json")))
    assert process.poll() is None, process.stderr.read()[-3000:]
    at_work = workers(tmp_path)
    process.kill()
    # Workers end when the process that started them is gone.
    wait_until(lambda: not any(map(is_running, at_work)))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "predictions").iterdir()}
    assert before and not (tmp_path / "out" / "report.csv").exists()
    printed, said = start(*inputs).communicate(timeout=_SECONDS)
    report = read_report(tmp_path)
    assert {text: line["status"] for text, line in report.items()} == {
        "a/broken.avi": "failed",
        "a/clip.avi": "done",
        "b/clip.avi": "done",
        "photos": "done",
        "long.avi": "done",
    }, said[-3000:]
    assert "5 inputs: 4 done, 1 failed" in printed and "Traceback" not in said
    marked = {path for path in before if (done / path.name).stat().st_mtime_ns <= max(before.values()) + 10**9}
    assert marked and all(path.stat().st_mtime_ns == before[path] for path in marked)
    assert_only_whole_files(tmp_path)
    assert_same_as_predict(tmp_path, workdir, report, "a/clip.avi", "b/clip.avi", "photos")


def test_a_worker_that_crashes_fails_its_input_and_ctrl_c_leaves_whole_files(tmp_path, start):
    for name in ("one", "two"):
        write_video(tmp_path / f"{name}.avi", 4)
    long = write_video(tmp_path / "long.avi", 6000)
    process = start(long, tmp_path / "one.avi", tmp_path / "two.avi", "--end=3000")
    victim = wait_until(lambda: [number for number, task in workers(tmp_path).items() if task == "0"])
    os.kill(victim[0], signal.SIGKILL)
    printed, said = process.communicate(timeout=_SECONDS)
    assert process.returncode == 1 and "3 inputs: 2 done, 1 failed" in printed, said[-3000:]
    assert "Traceback" not in said and "long.avi: a worker process ended, perhaps for lack of memory" in said
    assert_only_whole_files(tmp_path)
    # The failed input is tried again, until Ctrl-C.
    process = start(long, tmp_path / "one.avi", tmp_path / "two.avi", "--end=3000")
    at_work = wait_until(lambda: [number for number, task in workers(tmp_path).items() if task == "0"])
    # A terminal sends the signal to the workers too.
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=_SECONDS)
    assert process.returncode == 130 and "error: interrupted; run the same command again" in said, said[-3000:]
    assert "Traceback" not in said and not any(map(is_running, at_work))
    assert_only_whole_files(tmp_path)
    assert sum(line.startswith("error:") for line in said.splitlines()) == 1
    # Other settings do not mix with these results.
    process = start(long, "--end=5")
    _, said = process.communicate(timeout=_SECONDS)
    assert process.returncode == 1 and said.startswith("error: ") and "another setting (end 3000, now 5)" in said


def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path, start):
    (tmp_path / "empty").mkdir()
    _, said = (process := start(write_video(tmp_path / "one.avi", 2), f"--model={tmp_path / 'empty'}")).communicate()
    assert process.returncode == 1 and "Traceback" not in said, said[-3000:]
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and re.match("error: .*empty: must be the work folder of a training run", errors[0])
