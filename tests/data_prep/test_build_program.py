"""python -m data_prep.build from outside: exit codes, messages, interruption."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import program_runs
import pytest
from source_folders import assert_interrupted, write_coco, write_posetrack18

from data_prep import build
from data_prep.writing import check_beam
from tfpose.data import records


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "data_prep.build", *map(str, arguments)]


def run(*arguments, **options) -> subprocess.CompletedProcess:
    return program_runs.run("-m", "data_prep.build", *arguments, **options)


def test_a_dataset_is_converted_counted_and_named(tmp_path):
    source = write_coco(tmp_path / "source")
    done = run("coco_keypoints", "--source", source, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "skeleton person: 3 joints: head, left_hand, right_hand"
    assert lines[1] == "swapped in mirrored images: left_hand/right_hand"
    counts = {line[:22].strip(): line[22:].split() for line in lines[3:-1]}
    assert counts["images"] == ["5", "5"]
    assert counts["crowd"] == ["2", "2"]
    assert counts["labeled keypoints"] == ["8", "8"]
    assert lines[-1] == str(tmp_path / "out" / "coco_keypoints" / "1.0.0")
    assert "Traceback" not in done.stderr
    assert "10/10" in done.stderr
    assert records.read_table(lines[-1], "train").num_images == 5


def test_joints_that_look_sided_but_have_no_partner_are_warned_about(tmp_path):
    def name_joints(content):
        content["categories"][0]["keypoints"] = ["head", "left_hand", "right_foot"]

    source = write_coco(tmp_path / "source", ("train",), change=name_joints)
    done = run("coco_keypoints", "--source", source, "--output", tmp_path / "out")
    (warning,) = (line for line in done.stderr.splitlines() if line.startswith("warning: "))
    assert "left_hand, right_foot" in warning and "--left_right_pairs" in warning
    done = run(
        *("coco_keypoints", "--source", source, "--output", tmp_path / "out", "--overwrite"),
        "--left_right_pairs=left_hand:right_foot",
    )
    assert "warning" not in done.stderr
    assert records.read_skeleton(tmp_path / "out").flip_order.tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "DATASET must be one of coco_keypoints, posetrack17, .*, got nothing; see --help"),
        (["coco"], "DATASET must be one of .*, got coco; see --help"),
        (["coco_keypoints", "--source=/nowhere"], "--output must be a folder to write to, got nothing"),
        (["coco_keypoints", "--source=/nowhere", "--val_share=0.2"], "--val_share cannot be combined with coco_key"),
        (["pseudo", "--source=/nowhere", "--val_share=0.2", "--joints=a"], "--joints cannot be combined with pseudo"),
        (
            ["deeplabcut", "--source={tmp}", "--output={tmp}/o", "--val_videos=a", "--val_share=0.2"],
            "--val_share cannot be combined with --val_videos",
        ),
        (
            ["coco_keypoints", "--output={tmp}/o"],
            "--source must be the folder of the published dataset, got nothing",
        ),
        (["posetrack18", "--source=/nowhere", "--output={tmp}/o"], "--source must be a folder, got no such folder"),
        (["posetrack18", "--source={tmp}", "--output={tmp}/o"], r"must contain annotations/<split>/\*.json, got no"),
        (["coco_keypoints", "--source={tmp}", "--output={tmp}/o", "--sigmas=a"], "--sigmas must be numbers, got a"),
        (
            ["coco_keypoints", "--source={tmp}", "--output={tmp}/o", "--left_right_pairs=a"],
            "--left_right_pairs must be left:right,left:right, got a",
        ),
    ],
)
def test_wrong_arguments_end_with_one_line(tmp_path, arguments, message):
    done = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert __import__("re").search(message, line), line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output={tmp}/file"], "--output={tmp}/file: must be a folder, got a file"),
        (["--beam"], "--beam requires the package apache-beam; run pip install 'tfpose[beam]'"),
        (["--beam_options=runner=x"], "--beam_options requires --beam, got none"),
    ],
)
def test_what_prevents_the_writing_is_told_before_the_drawing(tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    (tmp_path / "file").touch()
    flags = [flag.format(tmp=tmp_path) for flag in flags]
    assert build.main(["synthetic", f"--output={tmp_path}", f"--videos={tmp_path}/videos", *flags]) == 1
    assert capsys.readouterr().err == f"error: {message.format(tmp=tmp_path)}\n"
    assert not (tmp_path / "videos").exists()


def test_options_of_beam_are_pairs(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with pytest.raises(ValueError, match="--beam_options must be NAME=VALUE,NAME=VALUE,..., got 'fast'"):
        check_beam(["runner=DirectRunner", "fast"])


@pytest.mark.parametrize("flag", ["videos", "source"])
def test_what_is_inside_a_dataset_is_no_source_since_overwriting_removes_it(tmp_path, capsys, flag):
    name = {"videos": "synthetic", "source": "coco_keypoints"}[flag]
    inside = tmp_path / name / "1.0.0" / "own"
    inside.mkdir(parents=True)
    assert build.main([name, f"--output={tmp_path}", f"--{flag}={inside}", "--overwrite"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: --{flag} must not be inside a converted dataset, got {inside} in {inside.parent}")
    assert list(inside.iterdir()) == []


def test_a_wrong_flag_value_ends_without_a_traceback():
    done = run("synthetic", "--num_frames=0")
    assert done.returncode in (1, 2)
    assert "num_frames" in done.stderr and "Traceback" not in done.stderr


def test_nan_is_no_number_between_bounds():
    for flag, rule in (("mean_props", "a non-negative number"), ("joint_score", "a number")):
        assert run("synthetic", f"--{flag}=nan").stderr == f"error: --{flag} must be {rule}, got 'nan'\n"


def test_synthetic_videos_of_three_splits(tmp_path):
    sizes = ("--num_train_videos=2", "--num_val_videos=1", "--num_test_videos=1", "--height=68", "--width=120")
    frames = ("--num_frames=1", "--num_unseen_frames=2", "--num_processes=1")
    done = run("synthetic", "--output", tmp_path, *sizes, *frames)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    images = next(number for number, row in enumerate(rows) if row[0] == "images")
    assert dict(zip(rows[images - 1], rows[images][1:], strict=True)) == {"train": "2", "val": "2", "test": "2"}


def test_help_names_the_datasets_and_the_flags():
    done = run("--help")
    for word in ("coco_keypoints", "posetrack17", "synthetic", "--source", "--output", "--left_right_pairs", "--seed"):
        assert word in done.stdout


def test_a_wrong_annotation_file_ends_with_one_line_and_without_tensorflow(tmp_path):
    source = write_posetrack18(tmp_path / "source")
    path = source / "annotations" / "val" / "000001_mpii_test.json"
    path.write_text(path.read_text()[:-5])
    done = run("posetrack18", "--source", source, "--output", tmp_path / "out", separate_process=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path}: broken JSON at line 1, column ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_program_leaves_nothing_and_can_be_run_again(project_dir, tmp_path, number):
    source = write_coco(tmp_path / "source")
    picture = source / "val2017" / "000000000002.jpg"
    data = picture.read_bytes()
    picture.unlink()
    # Reading a pipe waits until somebody writes, so the program surely is in the middle of its work.
    os.mkfifo(picture)
    arguments = ("coco_keypoints", "--source", source, "--output", tmp_path / "out")
    process = subprocess.Popen(command(*arguments), cwd=project_dir, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_shard(tmp_path / "out")
        process.send_signal(number)
        time.sleep(0.5)
        feed_if_read(picture, data, process)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert_interrupted(process.returncode, errors, tmp_path / "out")
    picture.unlink()
    picture.write_bytes(data)
    assert run(*arguments).returncode == 0


def feed_if_read(pipe: pathlib.Path, data: bytes, process: subprocess.Popen) -> None:
    """Writes to the pipe unless the program has left it already; opening it as usual would then wait for ever."""
    while process.poll() is None:
        try:
            handle = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.05)
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return


def wait_for_shard(output: pathlib.Path) -> None:
    deadline = time.monotonic() + 60
    while not list(output.rglob("*val*.tfrecord*")):
        assert time.monotonic() < deadline, "the program did not start to write"
        time.sleep(0.05)


def test_help_of_a_dataset_lists_its_flags_only():
    help_text = run("pseudo", "--help").stdout
    assert "--output=" in help_text and "--val_share=" in help_text and "--second_model=" in help_text
    assert "--left_right_pairs=" not in help_text and "--val_videos=" not in help_text and "--seed=" not in help_text
    assert "--seed=" in run("pseudo", "--helpfull").stdout


def test_videos_of_a_dataset_are_drawn_anew_only_with_overwrite(tmp_path):
    size = ("--num_val_videos=1", "--height=68", "--width=120", "--num_processes=1", f"--output={tmp_path}")
    assert run("synthetic", *size, "--num_train_videos=2", "--num_frames=1").returncode == 0
    videos = tmp_path / "synthetic" / "videos"
    before = {path: path.read_bytes() for path in videos.rglob("*") if path.is_file()}
    others = (*size, "--num_train_videos=1", "--num_frames=2")
    done = run("synthetic", *others)
    assert done.returncode == 1
    message = "was drawn with other flags; choose another --output, or add --overwrite"
    assert done.stderr.splitlines()[-1].endswith(f"annotations/train/000000_mpii_synthetic.json: {message}")
    assert {path: path.read_bytes() for path in videos.rglob("*") if path.is_file()} == before
    done = run("synthetic", *others, "--overwrite")
    assert done.returncode == 0, done.stderr
    note = f"note: {videos}/annotations: holds 1 file of an earlier run, such as 000001_mpii_synthetic.json"
    assert note in done.stderr.splitlines()


def test_a_source_folder_of_synthetic_videos_is_refused(tmp_path):
    done = run("synthetic", "--source", tmp_path, "--output", tmp_path / "out")
    assert done.returncode == 1 and "--source must be left out for synthetic" in done.stderr
    assert not (tmp_path / "out").exists()
