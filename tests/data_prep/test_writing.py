"""Datasets on disk: the layout is that of the schema, and nothing unfinished looks finished."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from program_runs import PROJECT
from source_folders import write_coco

from data_prep import shard_files, shards, writing
from data_prep.annotations import count_split
from data_prep.coco_keypoints.builder import Builder, read_source
from tfpose import __version__, file_locks
from tfpose.data import records
from tfpose.prediction import local_workers


def files_of(directory) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_records_have_exactly_the_features_of_the_schema(tmp_path):
    source = read_source(write_coco(tmp_path / "source"))
    directory = writing.write_dataset(Builder, source, tmp_path / "out")
    expected = set(records.IMAGE_FIELDS) | {f"people/{name}" for name in records.PERSON_FIELDS}
    for path in records.find_shards(directory, "train"):
        for _, _, data in records.iterate_records(path):
            assert set(tf.train.Example.FromString(data).features.feature) == expected


def test_the_folder_is_a_dataset_for_tensorflow_datasets(tmp_path):
    source = read_source(write_coco(tmp_path / "source"))
    directory = writing.write_dataset(Builder, source, tmp_path / "out")
    assert directory == tmp_path / "out" / "coco_keypoints" / "1.0.0"
    builder = tfds.builder_from_directory(directory)
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {"train": 5, "val": 5}
    examples = list(builder.as_dataset(split="val"))
    assert [int(example["image_id"]) for example in examples] == [100, 101, 102, 103, 104]
    assert [len(example["people"]["track_id"]) for example in examples] == [1, 2, 0, 1, 2]
    assert examples[1]["people"]["keypoints"].shape == (2, 3, 2)
    assert examples[1]["image"].shape == (21, 30, 3)


def test_no_temporary_folder_is_left(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    writing.write_dataset(Builder, read_source(write_coco(tmp_path / "source")), tmp_path / "out")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_metadata_has_the_skeleton_and_the_counts(tmp_path):
    source = read_source(write_coco(tmp_path / "source"))
    directory = writing.write_dataset(Builder, source, tmp_path / "out")
    metadata = json.loads((directory / records.METADATA_FILE).read_text())
    assert metadata["dataset"] == "coco_keypoints"
    assert metadata["counts"]["train"] == {
        "images": 5,
        "labeled images": 5,
        "images with people": 4,
        "images with keypoints": 4,
        "people": 6,
        "people with keypoints": 4,
        "crowd": 2,
        "labeled keypoints": 8,
        "tracks": 0,
    }
    assert records.read_skeleton(tmp_path / "out") == source.skeleton


def test_the_index_beside_the_shards_says_what_the_records_say(tmp_path):
    source = read_source(write_coco(tmp_path / "source"))
    directory = writing.write_dataset(Builder, source, tmp_path / "out")
    indexed = records.read_table(directory, "val")
    records.index_path(records.find_shards(directory, "val"), "val").unlink()
    plain = records.read_table(directory, "val")
    assert indexed.offset.tolist() == plain.offset.tolist()
    for name, column in plain.people.items():
        np.testing.assert_array_equal(column, indexed.people[name], err_msg=name)
    assert indexed.read_image_bytes(4) == plain.read_image_bytes(4)


def test_a_split_is_cut_into_shards_by_size_and_read_as_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shards, "SHARD_BYTES", 2500)
    source = read_source(write_coco(tmp_path / "source", ("train",), num_images=7))
    for image in (2, 6):
        path = source.splits["train"].image_paths[image]
        # A JFIF header with pixels twice as wide as high.
        path.write_bytes(path.read_bytes()[:14] + b"\0\1\0\2" + path.read_bytes()[18:])
    directory = writing.write_dataset(Builder, source, tmp_path / "out")
    assert len(records.find_shards(directory, "train")) > 2
    table = records.read_table(directory, "train")
    assert table.images["image_id"].tolist() == list(range(100, 107))
    assert table.first_person.tolist() == [0, 1, 3, 3, 4, 6, 6, 7]
    for image in range(7):
        path = source.splits["train"].image_paths[image]
        assert table.read_image_bytes(image) == path.read_bytes()
    (note,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("note: train: "))
    assert "pixels are not square" in note and note.endswith(": 2 (first: 000000000002.jpg)")


@pytest.mark.parametrize("sizes", [[5], [1, 1, 1], [9, 1, 1, 1], [1, 1, 1, 9], [0, 0, 0], [3] * 40, [50, 1, 50, 1, 50]])
@pytest.mark.parametrize("shard_bytes", [1, 4, 10, 1000])
def test_shards_cover_every_image_once_and_none_is_empty(sizes, shard_bytes):
    ranges = shards.shard_ranges(np.array(sizes), shard_bytes)
    assert [image for images in ranges for image in images] == list(range(len(sizes)))
    assert all(len(images) for images in ranges)
    assert len(ranges) == min(len(sizes), max(1, -(-sum(sizes) // shard_bytes)))


def test_shards_are_about_equal():
    sizes = np.random.default_rng(0).integers(50, 150, 10_000)
    parts = [sizes[images.start : images.stop].sum() for images in shards.shard_ranges(sizes, 10_000)]
    assert max(parts) - min(parts) <= 2 * 150


def test_examples_of_a_shard_can_be_sent_to_another_process(tmp_path):
    split = read_source(write_coco(tmp_path / "source", ("train",))).splits["train"]
    examples = shard_files.ShardExamples(split.select(range(3, 5)), 3, 3, tmp_path / "notes" / "a.json")
    sent = list(pickle.loads(pickle.dumps(examples))())
    assert [key for key, _ in sent] == [3, 4]
    assert [example["image_id"] for _, example in sent] == [103, 104]
    assert [len(example["people"]["box"]) for _, example in sent] == [1, 2]


def test_an_equal_dataset_is_left_alone_and_another_one_is_not_overwritten(tmp_path, capfd):
    first = read_source(write_coco(tmp_path / "first"))
    directory = writing.write_dataset(Builder, first, tmp_path / "out")
    (shard,) = records.find_shards(directory, "train")
    before = shard.stat().st_mtime_ns
    capfd.readouterr()
    writing.write_dataset(Builder, first, tmp_path / "out")
    assert shard.stat().st_mtime_ns == before
    (note,) = capfd.readouterr().err.splitlines()
    assert note.startswith(f"note: {directory}: holds this dataset already, converted by {__version__!r} of tfpose")
    second = read_source(write_coco(tmp_path / "second", num_images=3))
    with pytest.raises(ValueError, match="already holds another dataset"):
        writing.write_dataset(Builder, second, tmp_path / "out")
    writing.write_dataset(Builder, second, tmp_path / "out", overwrite=True)
    assert records.read_table(tmp_path / "out", "train").num_images == 3
    assert files_of(tmp_path / "out") == ["coco_keypoints"]


def test_a_dataset_that_another_conversion_has_written_meanwhile_is_kept(tmp_path, monkeypatch, capfd):
    first = read_source(write_coco(tmp_path / "first"))
    second = read_source(write_coco(tmp_path / "second", ("train",)))
    write_aside = writing._write_aside
    meanwhile = iter([first, second])

    def write_twice(*arguments):
        monkeypatch.setattr(writing, "_write_aside", write_aside)
        writing.write_dataset(Builder, next(meanwhile), tmp_path / "out", overwrite=True)
        return write_aside(*arguments)

    monkeypatch.setattr(writing, "_write_aside", write_twice)
    writing.write_dataset(Builder, first, tmp_path / "out")
    assert "holds this dataset already" in capfd.readouterr().err
    shutil.rmtree(tmp_path / "out")
    monkeypatch.setattr(writing, "_write_aside", write_twice)
    with pytest.raises(ValueError, match="already holds another dataset"):
        writing.write_dataset(Builder, first, tmp_path / "out")
    assert list(records.read_table(tmp_path / "out", "train").shards[0].parent.glob("*val*")) == []
    assert files_of(tmp_path / "out") == ["coco_keypoints"]


def test_a_dataset_that_cannot_be_replaced_is_kept(tmp_path, monkeypatch):
    directory = writing.write_dataset(Builder, read_source(write_coco(tmp_path / "first")), tmp_path / "out")
    replace = os.replace

    def fail(source, target):
        if target == directory and source.name != "replaced":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        writing.write_dataset(Builder, read_source(write_coco(tmp_path / "second")), tmp_path / "out", overwrite=True)
    assert records.read_table(tmp_path / "out", "train").num_images == 5


def test_pictures_that_changed_but_not_in_size_are_told(tmp_path, capsys):
    """Such as by another EXIF orientation."""
    root = write_coco(tmp_path / "source")
    directory = writing.write_dataset(Builder, read_source(root), tmp_path / "out")
    writing.write_dataset(Builder, read_source(root), tmp_path / "out")
    assert "images were changed" not in capsys.readouterr().err
    path = root / "val2017" / "000000000000.jpg"
    later = (directory / records.METADATA_FILE).stat().st_mtime + 1
    os.utime(path, (later, later))
    writing.write_dataset(Builder, read_source(root), tmp_path / "out")
    assert f"note: 1 images were changed after that, such as {path}" in capsys.readouterr().err


def test_pictures_that_changed_make_another_dataset(tmp_path):
    root = write_coco(tmp_path / "source")
    writing.write_dataset(Builder, read_source(root), tmp_path / "out")
    path = root / "val2017" / "000000000000.jpg"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="already holds another dataset"):
        writing.write_dataset(Builder, read_source(root), tmp_path / "out")


def test_a_dataset_with_another_skeleton_can_be_overwritten(tmp_path):
    writing.write_dataset(Builder, read_source(write_coco(tmp_path / "first")), tmp_path / "out")

    def one_joint_less(content):
        content["categories"][0].update(keypoints=["left_hand", "right_hand"], skeleton=[[1, 2]])
        for person in content["annotations"]:
            person["keypoints"] = person["keypoints"][3:]

    second = read_source(write_coco(tmp_path / "second", change=one_joint_less))
    writing.write_dataset(Builder, second, tmp_path / "out", overwrite=True)
    assert records.read_table(tmp_path / "out", "train").people["keypoints"].shape == (6, 2, 2)


class Interrupting:
    """Stands in for a progress bar and stops the program at a record."""

    def __init__(self, error: BaseException, after: int):
        self._error, self._left = error, after

    def __call__(self, *_, **__):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def update(self):
        self._left -= 1
        if self._left == 0:
            raise self._error


@pytest.mark.parametrize("after", [1, 4, 7])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["key", "disk"])
def test_an_interrupted_run_leaves_nothing_and_the_same_run_then_succeeds(tmp_path, monkeypatch, error, after):
    source = read_source(write_coco(tmp_path / "source"))
    with monkeypatch.context() as patch:
        patch.setattr(writing, "_progress_bar", Interrupting(error, after))
        with pytest.raises(type(error)):
            writing.write_dataset(Builder, source, tmp_path / "out")
    assert files_of(tmp_path / "out") == []
    writing.write_dataset(Builder, source, tmp_path / "out")
    assert records.read_table(tmp_path / "out", "val").num_images == 5


def test_an_interrupted_overwrite_keeps_the_old_dataset(tmp_path, monkeypatch):
    first = read_source(write_coco(tmp_path / "first"))
    writing.write_dataset(Builder, first, tmp_path / "out")
    second = read_source(write_coco(tmp_path / "second", num_images=3))
    monkeypatch.setattr(writing, "_progress_bar", Interrupting(KeyboardInterrupt(), 2))
    with pytest.raises(KeyboardInterrupt):
        writing.write_dataset(Builder, second, tmp_path / "out", overwrite=True)
    assert records.read_table(tmp_path / "out", "train").num_images == 5
    assert files_of(tmp_path / "out") == ["coco_keypoints"]


def test_what_a_killed_run_leaves_is_not_taken_for_a_dataset(tmp_path):
    source = read_source(write_coco(tmp_path / "source"))
    directory = writing.write_dataset(Builder, source, tmp_path / "aside")
    shutil.copytree(directory.parents[1], tmp_path / "out" / ".incomplete_abc")
    with pytest.raises(FileNotFoundError, match="must be the folder of a dataset that tfpose build wrote"):
        records.read_table(tmp_path / "out", "train")


def test_what_a_killed_conversion_leaves_is_removed_by_the_next_one(tmp_path, capfd):
    """A process is killed while it writes; another conversion and files of other programs are left alone."""
    folders = [tmp_path / f".incomplete_{name}" for name in ("at_work", "foreign", "killed")]
    for folder in folders:
        (folder / "coco_keypoints").mkdir(parents=True)
    program = "import os, sys, pathlib; from tfpose.file_locks import hold_lock\n"
    program += "with hold_lock(pathlib.Path(sys.argv[1]), 'x'): os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", program, folders[2] / "conversion.lock"], cwd=PROJECT, check=False)
    assert killed.returncode == -signal.SIGKILL
    with file_locks.hold_lock(folders[0] / "conversion.lock", "the folder of one conversion"):
        writing._clear_leftovers(tmp_path)
    assert files_of(tmp_path) == [".incomplete_at_work", ".incomplete_foreign"]
    assert capfd.readouterr().err == f"note: removed {folders[2]}, which a killed conversion left\n"


def test_a_disk_that_fills_up_is_one_line(tmp_path, monkeypatch):
    def fill_disk(file, parts):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shard_files, "write_record", fill_disk)
    with pytest.raises(OSError, match="No space left on device: .*out'$"):
        writing.write_dataset(Builder, read_source(write_coco(tmp_path / "source")), tmp_path / "out")
    assert files_of(tmp_path / "out") == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=0))
    with pytest.raises(OSError, match="free disk space must be about .* kB, got 0 kB"):
        writing.write_dataset(Builder, read_source(write_coco(tmp_path / "source")), tmp_path / "out")


def test_missing_pictures_are_counted_and_the_first_is_named(tmp_path):
    root = write_coco(tmp_path / "source")
    for number in (1, 3):
        next((root / "val2017").glob(f"{number:012d}.*")).unlink()
    with pytest.raises(FileNotFoundError, match=r"000000000001.png: image file not found \(2 of 5 are missing\)"):
        writing.write_dataset(Builder, read_source(root), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_truncated_picture_is_named_and_leaves_nothing(tmp_path):
    root = write_coco(tmp_path / "source")
    path = root / "val2017" / "000000000003.jpg"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="000000000003.jpg: truncated JPEG"):
        writing.write_dataset(Builder, read_source(root), tmp_path / "out")
    assert files_of(tmp_path / "out") == []


def test_a_dataset_without_people_is_refused(tmp_path):
    def nobody(content):
        content["annotations"] = []

    with pytest.raises(ValueError, match="splits train, val: must have people, got none"):
        writing.write_dataset(Builder, read_source(write_coco(tmp_path / "source", change=nobody)), tmp_path / "out")


def test_images_that_two_splits_share_are_told(tmp_path, capsys):
    root = write_coco(tmp_path / "source", ("train", "val"))
    writing.write_dataset(Builder, read_source(root), tmp_path / "first")
    assert "note" not in capsys.readouterr().err
    shutil.rmtree(root / "val")
    path = root / "annotations" / "person_keypoints_val.json"
    # Names may be relative to the folder of the dataset.
    content = json.loads(path.read_text())
    for image in content["images"][:2]:
        image["file_name"] = f"train/{image['file_name']}"
    content["images"], content["annotations"] = content["images"][:2], content["annotations"][:1]
    path.write_text(json.dumps(content))
    (root / "val").mkdir()
    writing.write_dataset(Builder, read_source(root), tmp_path / "second")
    found = f"splits train and val: 2 images are in both, such as {root}/train/000000000000.jpg; metrics on images"
    assert found in capsys.readouterr().err


def test_a_dataset_of_boxes_is_written_with_a_note(tmp_path, capsys):
    def forget_joints(content):
        for entry in (*content["categories"], *content["annotations"]):
            entry.pop("keypoints")

    root = write_coco(tmp_path / "source", change=forget_joints)
    writing.write_dataset(Builder, read_source(root), tmp_path / "out")
    assert "note: nobody has a labeled joint; only person detectors can be trained" in capsys.readouterr().err
    people = records.read_table(tmp_path / "out", "train").people
    assert people["box"][0].tolist() == [2.5, 3, 12.5, 15] and people["visibility"].shape == (6, 17)


def test_beam_that_is_not_installed_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "apache_beam", None)
    source = read_source(write_coco(tmp_path / "source"))
    with pytest.raises(ValueError, match=r"--beam requires the package apache-beam.*pip install 'tfpose\[beam\]'"):
        writing.write_dataset(Builder, source, tmp_path / "out", beam_options=[])
    assert not (tmp_path / "out").exists()


def test_counts_of_selected_parts_add_up(tmp_path):
    split = read_source(write_coco(tmp_path / "source", ("train",), num_images=7)).splits["train"]
    parts = [count_split(split.select(range(0, 2))), count_split(split.select(range(2, 7)))]
    assert count_split(split) == {name: parts[0][name] + parts[1][name] for name in parts[0]}


def test_a_signal_ends_a_conversion_with_beam_and_its_workers(monkeypatch):
    """Beam starts workers by a command of the shell and waits for them, whatever happens to this process."""
    monkeypatch.setattr(local_workers, "_GRACE_SECONDS", 0.1)
    workers = []

    def start_worker():
        folder = pathlib.Path(os.environ[local_workers._FOLDER_VARIABLE])
        workers.append(subprocess.Popen(f"{sys.executable} -c 'import time; time.sleep(60)'", shell=True))
        while not any(folder.iterdir()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        workers[0].wait()

    with pytest.raises(KeyboardInterrupt):
        writing.run_beam(start_worker)
    assert workers[0].wait() == -signal.SIGKILL


def test_a_worker_of_beam_that_is_killed_ends_the_conversion(monkeypatch):
    monkeypatch.setattr(local_workers, "_GRACE_SECONDS", 0.1)

    def run_worker():
        code = subprocess.run(f"{sys.executable} -c 'import os; os.abort()'", shell=True).returncode
        raise RuntimeError(f"exited with return code {code}")

    def wait_for_ever():
        threading.Thread(target=run_worker, name="run_worker").start()
        threading.Event().wait()

    with pytest.raises(OSError, match=r"a worker process ended, perhaps for lack of memory \(exited with return code"):
        writing.run_beam(wait_for_ever)
