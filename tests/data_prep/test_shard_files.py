"""Shards that copies of the process write: the same as from one process and from tensorflow-datasets."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from program_runs import ENVIRONMENT, PROJECT
from source_folders import assert_interrupted, write_coco, write_posetrack18

from data_prep import posetrack, shards, writing
from data_prep.coco_keypoints import builder as coco
from data_prep.posetrack18 import builder as posetrack18
from tfpose.data import records

# `tfpose build` where few images are enough for so many processes. Tests must not fork beside TensorFlow.
PROGRAM = """
import sys
from data_prep import build, shard_files, shards
from tfpose import processes
shards.SHARD_BYTES = 2500
shard_files.IMAGES_PER_PROCESS = 1
processes.num_cores = lambda: int(sys.argv[1])
code = build.main(sys.argv[2:])
assert code or "tensorflow" not in sys.modules
sys.exit(code)
"""


def command(num_processes: int, *arguments) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(num_processes), *map(str, arguments)]


def build(num_processes: int, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(num_processes, *arguments), cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("write_source", "read_source", "builder"),
    [
        (write_coco, coco.read_source, coco.Builder),
        (write_posetrack18, posetrack.read_source, posetrack18.Builder),
    ],
    ids=["coco", "posetrack"],
)
def test_records_and_their_description_are_those_of_tensorflow_datasets(
    tmp_path, monkeypatch, write_source, read_source, builder
):
    monkeypatch.setattr(shards, "SHARD_BYTES", 2500)
    source = read_source(write_source(tmp_path / "source"))
    found = writing.write_dataset(builder, source, tmp_path / "found")
    # Leaves the records to tensorflow-datasets, as under Beam.
    monkeypatch.setattr(builder, "_download_and_prepare", tfds.core.ShardBasedBuilder._download_and_prepare)
    expected = writing.write_dataset(builder, source, tmp_path / "expected")
    for name in (records.INFO_FILE, "features.json", records.METADATA_FILE):
        assert (found / name).read_text() == (expected / name).read_text()
    for split in source.splits:
        pairs = zip(records.find_shards(found, split), records.find_shards(expected, split), strict=True)
        for path, other in pairs:
            assert path.name == other.name
            compare_shards(path, other)


def compare_shards(path: pathlib.Path, other: pathlib.Path) -> None:
    for ours, theirs in zip(records.iterate_records(path), records.iterate_records(other), strict=True):
        assert ours[:2] == theirs[:2]
        features = [tf.train.Example.FromString(data).features.feature for data in (ours[2], theirs[2])]
        assert set(features[0]) == set(features[1])
        for name in features[0]:
            # Bytes, since NaN is not equal to itself.
            assert features[0][name].SerializeToString() == features[1][name].SerializeToString(), name


@pytest.mark.parametrize("write_source", [write_coco, write_posetrack18], ids=["coco", "posetrack"])
def test_the_index_is_that_of_the_records(tmp_path, monkeypatch, write_source):
    monkeypatch.setattr(shards, "SHARD_BYTES", 2500)
    is_coco = write_source is write_coco
    source = (coco if is_coco else posetrack).read_source(write_source(tmp_path / "source"))
    directory = writing.write_dataset((coco if is_coco else posetrack18).Builder, source, tmp_path / "out")
    for split in source.splits:
        path = records.index_path(records.find_shards(directory, split), split)
        found = dict(np.load(path))
        records.write_index(directory, split)
        expected = dict(np.load(path))
        assert set(found) == set(expected)
        assert json.loads(found.pop("texts").tobytes()) == json.loads(expected.pop("texts").tobytes())
        for name, values in found.items():
            assert (values.dtype, values.shape) == (expected[name].dtype, expected[name].shape), name
            assert values.tobytes() == expected[name].tobytes(), name


@pytest.mark.slow
def test_the_files_do_not_depend_on_the_number_of_processes(tmp_path):
    source = write_coco(tmp_path / "source", num_images=9)
    path = source / "val2017" / "000000000006.jpg"
    # A JFIF header with pixels twice as wide as high.
    path.write_bytes(path.read_bytes()[:14] + b"\0\1\0\2" + path.read_bytes()[18:])
    outputs = []
    for num_processes in (1, 2, 5):
        output = tmp_path / f"out{num_processes}"
        done = build(num_processes, "coco_keypoints", "--source", source, "--output", output)
        assert done.returncode == 0, done.stderr
        assert "18/18" in done.stderr and "Traceback" not in done.stderr
        assert "note: val: images whose header says that pixels are not square" in done.stderr
        assert [path.name for path in output.iterdir()] == ["coco_keypoints"]
        outputs.append(contents(output / "coco_keypoints" / "1.0.0"))
    assert len([name for name in outputs[0] if "tfrecord" in name]) > 4
    assert outputs[0] == outputs[1] == outputs[2]


@pytest.mark.slow
def test_the_error_of_a_process_is_the_one_line_of_a_single_process(tmp_path):
    source = write_coco(tmp_path / "source", num_images=9)
    for number in (3, 8):
        path = source / "train2017" / f"{number:012d}.jpg"
        path.write_bytes(path.read_bytes()[:-9])
    done = build(2, "coco_keypoints", "--source", source, "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "000000000003.jpg: truncated JPEG" in line and done.stderr.rstrip().endswith(line)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_program_ends_its_processes_and_leaves_nothing(tmp_path, number):
    source = write_coco(tmp_path / "source", num_images=9)
    picture = source / "val2017" / "000000000005.jpg"
    data = picture.read_bytes()
    picture.unlink()
    # Reading a pipe waits until somebody writes, so the program surely is in the middle of its work.
    os.mkfifo(picture)
    process = subprocess.Popen(
        command(2, "coco_keypoints", "--source", source, "--output", tmp_path / "out"),
        cwd=PROJECT,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # Opens once a process reads it.
    pipe = os.open(picture, os.O_WRONLY)
    try:
        # As a terminal does, which sends Ctrl-C to all processes; SIGTERM comes to the first one alone.
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        time.sleep(0.5)
        # The process that reads may have ended.
        with contextlib.suppress(BrokenPipeError):
            os.write(pipe, data)
        os.close(pipe)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert_interrupted(process.returncode, errors, tmp_path / "out")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
