"""PoseTrack's layouts of 2017, 2018 and 2021, and synthetic videos, as records."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from source_folders import write_posetrack17, write_posetrack18

from data_prep.annotations import count_split
from data_prep.posetrack import read_source, read_source21
from data_prep.posetrack17.builder import Builder as Builder17
from data_prep.posetrack18.builder import Builder as Builder18
from data_prep.synthetic import VideoSettings
from data_prep.synthetic.builder import Builder as SyntheticBuilder
from data_prep.synthetic.builder import read_source as draw_source
from data_prep.writing import write_dataset
from tfpose.data import records
from tfpose.skeletons import POSETRACK15

NOSE, ANKLE = POSETRACK15.index("nose"), POSETRACK15.index("right_ankle")


def test_2018_frames_and_people_arrive_in_the_records(tmp_path):
    root = write_posetrack18(tmp_path / "source")
    write_dataset(Builder18, read_source(root), tmp_path / "out")
    table = records.read_table(tmp_path / "out", "val")
    assert table.skeleton == POSETRACK15
    assert table.images["sequence"] == ["000001_mpii_test"] * 4
    assert table.images["frame"].tolist() == [0, 1, 2, 3]
    assert table.images["is_labeled"].tolist() == [1, 1, 1, 0]
    assert table.images["image_id"].tolist() == [10000010000, 10000010001, 10000010002, 10000010003]
    assert table.images["height"].tolist() == [24] * 4
    assert table.images["file_name"][2] == "images/val/000001_mpii_test/000002.jpg"
    assert [region.tolist() for region in table.images["ignore_regions"][0]] == [[[0, 0], [4, 0], [4, 4]]]
    assert table.images["ignore_regions"][1] == []
    assert table.first_person.tolist() == [0, 2, 3, 3, 3]
    assert table.people["track_id"].tolist() == [0, 1, 0]
    assert table.people["annotation_id"].tolist() == [1000001000000, 1000001000001, 1000001000100]
    assert table.people["keypoints"][:, NOSE].tolist() == [[5, 6], [6, 6], [5, 7]]
    assert table.people["visibility"][0, [NOSE, ANKLE]].tolist() == [2, 1]
    assert table.people["visibility"].sum() == 9
    assert table.people["head_box"].tolist() == [[1, 2, 4, 6], [4, 5, 6, 8], [1, 2, 4, 6]]
    assert table.people["box"][1].tolist() == [4, 5, 14, 16]
    # From (5, 6) to (15, 16), grown by 15 % on every side.
    np.testing.assert_allclose(table.people["box"][0], [3.5, 4.5, 16.5, 17.5])
    np.testing.assert_allclose(table.people["area"], [169, 110, 13 * 11.7], rtol=1e-6)


def test_2018_missing_picture_of_an_unlabeled_frame_is_left_out_and_of_a_labeled_one_an_error(tmp_path):
    root = write_posetrack18(tmp_path / "source", ("val",))
    (root / "images" / "val" / "000000_mpii_test" / "000003.jpg").unlink()
    split = read_source(root).splits["val"]
    assert split.num_images == 3
    assert split.notes == ("1 unlabeled frames were left out since their images are missing",)
    (root / "images" / "val" / "000000_mpii_test" / "000002.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000002.jpg: image file not found, but frame 2 of .* is labeled"):
        read_source(root)


def test_each_video_of_a_file_is_a_sequence_with_its_frames_in_order(tmp_path):
    """Joined files, such as the posetrack18_val.json of other libraries, list all videos; tools list frames anyhow."""
    root = write_posetrack18(tmp_path / "source")
    first, second = sorted((root / "annotations").glob("*/*.json"))
    contents = [json.loads(path.read_text()) for path in (second, first)]
    joined = {name: contents[0][name][::-1] + contents[1][name] for name in ("images", "annotations")}
    second.write_text(json.dumps(contents[0] | joined))
    split = read_source(root).splits["val"]
    assert split.images["sequence"] == ["000001_mpii_test"] * 4 + ["000000_mpii_test"] * 4
    assert split.images["frame"].tolist() == [0, 1, 2, 3] * 2
    assert [name[-10:] for name in split.images["file_name"]] == [f"{frame:06d}.jpg" for frame in range(4)] * 2
    assert np.diff(split.first_person).tolist() == [2, 1, 0, 0] * 2 and count_split(split)["tracks"] == 4
    assert len(split.notes) == 2 and "holds 2 videos" in split.notes[0] and "order of the records" in split.notes[1]


def test_an_empty_box_is_made_from_the_joints_as_a_missing_one(tmp_path):
    root = write_posetrack18(tmp_path / "source", ("val",))
    path = root / "annotations" / "val" / "000000_mpii_test.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [0, 0, 0, 0]
    path.write_text(json.dumps(content))
    np.testing.assert_allclose(read_source(root).splits["val"].people["box"][0], [3.5, 4.5, 16.5, 17.5])


def test_coordinates_from_0_to_1_are_told(tmp_path):
    root = write_posetrack18(tmp_path / "source", ("val",))
    path = root / "annotations" / "val" / "000000_mpii_test.json"
    content = json.loads(path.read_text())
    for person in content["annotations"]:
        person["keypoints"] = [
            value / 32 if index % 3 < 2 else value for index, value in enumerate(person["keypoints"])
        ]
    path.write_text(json.dumps(content))
    notes = read_source(root).splits["val"].notes
    assert notes[0] == "all joints must be in pixels, got coordinates from 0.15625 to 0.5"


def test_an_identity_that_a_frame_has_twice_is_told(tmp_path):
    root = write_posetrack18(tmp_path / "source", ("val",))
    path = root / "annotations" / "val" / "000000_mpii_test.json"
    content = json.loads(path.read_text())
    for person in content["annotations"]:
        person["track_id"] = 3
    path.write_text(json.dumps(content))
    (note,) = read_source(root).splits["val"].notes
    assert note.startswith("1 people have the track_id of another person in their image")


def test_image_ids_that_several_videos_use_are_told(tmp_path):
    root = write_posetrack18(tmp_path / "source", ("val",))
    path = root / "annotations" / "val" / "000000_mpii_test.json"
    assert read_source(root).splits["val"].notes == ()
    path.with_name("other.json").write_text(path.read_text())
    (note,) = read_source(root).splits["val"].notes
    assert note.startswith("4 images have the id of an image of another video: files of boxes")


def test_videos_in_one_folder_are_told_apart_by_their_vid_id(tmp_path):
    root = write_posetrack18(tmp_path / "source", ("val",))
    path = root / "annotations" / "val" / "000000_mpii_test.json"
    content = json.loads(path.read_text())
    for image, video in zip(content["images"], (7, 8, 7, 8), strict=True):
        image["vid_id"] = video
    path.write_text(json.dumps(content))
    split = read_source(root).splits["val"]
    assert split.images["sequence"] == ["000000_mpii_test"] * 2 + ["000000_mpii_test_2"] * 2
    assert split.images["frame"].tolist() == [0, 1, 0, 1]
    assert [name[-10:] for name in split.images["file_name"]] == [f"00000{n}.jpg" for n in (0, 2, 1, 3)]
    assert "holds 2 videos, each becomes a sequence of its own" in split.notes[0]


def test_compressed_files_are_read_and_hidden_ones_are_not(tmp_path):
    """macOS writes hidden files beside those of an archive."""
    root = write_posetrack18(tmp_path / "source")
    for path in (root / "annotations").glob("*/*.json"):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert {name: split.num_images for name, split in read_source(root).splits.items()} == {"train": 4, "val": 4}


def test_files_with_the_same_name_up_to_the_first_dot_stay_apart(tmp_path):
    root = write_posetrack18(tmp_path / "source", ("val",))
    path = root / "annotations" / "val" / "000000_mpii_test.json"
    path.rename(path.with_name("day.1.json"))
    path.with_name("day.2.json").write_text(path.with_name("day.1.json").read_text())
    assert read_source(root).splits["val"].images["sequence"] == ["day"] * 4 + ["day_2"] * 4


def test_2017_frames_and_people_arrive_in_the_records(tmp_path):
    root = write_posetrack17(tmp_path / "source")
    write_dataset(Builder17, read_source(root), tmp_path / "out")
    table = records.read_table(tmp_path / "out", "train")
    assert table.images["sequence"] == ["000342_mpii"] * 2
    assert table.images["is_labeled"].tolist() == [1, 0]
    assert table.images["image_id"].tolist() == [10003420000, 10003420001]
    assert table.people["track_id"].tolist() == [3]
    assert table.people["visibility"][0, [NOSE, ANKLE]].tolist() == [2, 1]
    assert table.people["head_box"].tolist() == [[1, 2, 3, 4]]
    np.testing.assert_allclose(table.people["box"][0], [3.5, 4.5, 16.5, 17.5])


@pytest.mark.parametrize("folder", ["annotations", "posetrack_data"])
def test_2021_annotations_may_lie_in_either_folder(tmp_path, folder):
    root = write_posetrack18(tmp_path / "source", annotation_folder=folder)
    assert count_split(read_source21(root).splits["train"])["labeled keypoints"] == 6


def test_2021_people_without_joints_are_kept(tmp_path):
    root = write_posetrack18(tmp_path / "source", ("val",))
    path = root / "annotations" / "val" / "000000_mpii_test.json"
    content = json.loads(path.read_text())
    content["annotations"][1]["keypoints"] = []
    path.write_text(json.dumps(content))
    split = read_source21(root).splits["val"]
    assert count_split(split)["people"] == 3
    assert count_split(split)["people with keypoints"] == 2
    assert split.people["box"][1].tolist() == [4, 5, 14, 16]


def test_a_folder_without_annotations_is_named(tmp_path):
    for read in (read_source, read_source21):
        with pytest.raises(FileNotFoundError, match=r"must contain annotations/<split>/\*.json, got no such file"):
            read(tmp_path)


def test_synthetic_videos_are_drawn_once_and_read(tmp_path):
    options = {"num_videos": {"train": 2, "val": 1}, "num_frames": 2, "settings": VideoSettings((64, 96), max_people=2)}
    source = draw_source(tmp_path / "videos", **options)
    write_dataset(SyntheticBuilder, source, tmp_path / "out")
    train, val = (records.read_table(tmp_path / "out", split) for split in ("train", "val"))
    assert train.num_images == 4 and val.num_images == 2
    assert set(train.images["sequence"]).isdisjoint(val.images["sequence"])
    assert (train.images["height"] == 64).all() and (train.images["width"] == 96).all()
    assert np.isfinite(train.people["head_box"]).all()
    files = sorted((tmp_path / "videos").rglob("*.jpg"))
    before = [path.stat().st_mtime_ns for path in files]
    again = draw_source(tmp_path / "videos", **options)
    assert again.digest == source.digest
    assert [path.stat().st_mtime_ns for path in files] == before


def test_synthetic_videos_of_earlier_runs_are_not_mixed_in(tmp_path):
    options = {"num_frames": 1, "settings": VideoSettings((64, 96), max_people=1)}
    draw_source(tmp_path, num_videos={"train": 3, "val": 1}, **options)
    source = draw_source(tmp_path, num_videos={"train": 1, "val": 1}, **options)
    assert source.splits["train"].num_images == 1


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("posetrack18_mini", {"train": (28, 112, 4, 1467), "val": (2, 13, 13, 171)}),
        ("posetrack17_mini", {"train": (28, 112, 4, 1467 + 101)}),
    ],
)
def test_counts_of_real_datasets(shared_dir, dataset, expected):
    source = read_source(shared_dir / "data" / dataset)
    names = ("images", "people", "tracks", "labeled keypoints")
    found = {split: tuple(count_split(source.splits[split])[name] for name in names) for split in source.splits}
    assert found == expected


def test_hidden_joints_of_real_2017_annotations_are_marked(shared_dir):
    split = read_source(shared_dir / "data" / "posetrack17_mini").splits["train"]
    assert (split.people["visibility"] == 1).sum() == 101
    assert (split.people["visibility"] == 2).sum() == 1467


def test_real_frames_are_converted_bit_by_bit(shared_dir, tmp_path):
    source = read_source(shared_dir / "data" / "posetrack18_mini")
    write_dataset(Builder18, source, tmp_path)
    table = records.read_table(tmp_path, "val")
    for image, path in enumerate(source.splits["val"].image_paths):
        assert table.read_image_bytes(image) == path.read_bytes()
    for sequence, regions in zip(table.images["sequence"], table.images["ignore_regions"], strict=True):
        path = shared_dir / "data" / "posetrack18_mini" / "annotations" / "val" / f"{sequence}.json"
        (image,) = json.loads(path.read_text())["images"]
        assert [region[:, 0].tolist() for region in regions] == image["ignore_regions_x"]
        assert [region[:, 1].tolist() for region in regions] == image["ignore_regions_y"]
    assert np.isfinite(table.people["head_box"]).all()
