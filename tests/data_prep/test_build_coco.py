"""COCO's layout: every annotation arrives in the records, whatever the skeleton and the folders are called."""

from __future__ import annotations

import gzip
import json
import re

import numpy as np
import pytest
from picture_cases import with_exif
from source_folders import coco_person, write_coco

from data_prep.annotations import count_split
from data_prep.coco_keypoints.builder import Builder, read_source, split_names
from data_prep.source import print_note
from data_prep.writing import write_dataset
from tfpose.coco import SkeletonChoice
from tfpose.data import records
from tfpose.data.pictures import decode_window
from tfpose.picture_files import decode_upright
from tfpose.skeletons import COCO17


def test_records_hold_what_the_annotation_file_says(tmp_path):
    root = write_coco(tmp_path / "source")
    write_dataset(Builder, read_source(root), tmp_path / "out")
    table = records.read_table(tmp_path / "out", "train")
    assert table.images["file_name"][:2] == ["000000000000.jpg", "000000000001.png"]
    assert table.images["height"].tolist() == [20, 21, 22, 23, 24]
    assert table.images["width"].tolist() == [30] * 5
    assert table.images["sequence"] == [""] * 5
    assert table.images["is_labeled"].tolist() == [1] * 5
    assert table.images["ignore_regions"] == [[]] * 5
    assert table.people["annotation_id"].tolist() == [1, 11, 12, 31, 41, 42]
    assert table.people["keypoints"][0].tolist() == [[4, 5], [0, 0], [8, 9]]
    assert table.people["visibility"][0].tolist() == [2, 0, 1]
    assert table.people["box"][0].tolist() == [2.5, 3, 12.5, 15]
    assert np.isnan(table.people["head_box"]).all()
    assert table.people["area"][0] == 60.5
    assert table.people["is_crowd"].tolist() == [0, 0, 1, 0, 0, 1]
    assert table.people["track_id"].tolist() == [-1] * 6
    assert json.loads(table.people["segmentation"][2]) == {"counts": [3, 597], "size": [20, 30]}
    for image, name in enumerate(table.images["file_name"]):
        assert table.read_image_bytes(image) == (root / "train2017" / name).read_bytes()


def test_images_with_vid_id_are_frames_of_videos_with_tracks(tmp_path):
    def make_videos(content):
        for image, name in zip(content["images"], ("b", "a", "b", None, 7), strict=True):
            # Names may also be relative to the folder of the dataset.
            image |= {"vid_id": name, "file_name": f"train/{image['file_name']}"}
        for track_id, person in enumerate(content["annotations"]):
            person["track_id"] = track_id + 10

    root = write_coco(tmp_path / "source", ("train",), change=make_videos)
    write_dataset(Builder, read_source(root), tmp_path / "out")
    table = records.read_table(tmp_path / "out", "train")
    assert table.images["sequence"] == ["b", "a", "b", "", "7"]
    assert table.images["frame"].tolist() == [0, 0, 1, 0, 0]
    assert table.people["track_id"].tolist() == [10, 11, 12, -1, 14, 15]
    assert table.read_image_bytes(0) == (root / "train" / "000000000000.jpg").read_bytes()


def test_frames_are_in_the_order_of_their_numbers_whatever_the_order_of_the_file(tmp_path):
    def shuffle(content):
        for image in content["images"]:
            image["vid_id"] = "clip"
        for person in content["annotations"]:
            person["track_id"] = 1
        content["images"] = [content["images"][number] for number in (3, 0, 4, 1, 2)]

    split = read_source(write_coco(tmp_path / "source", ("train",), change=shuffle)).splits["train"]
    assert split.images["frame"].tolist() == [3, 0, 4, 1, 2]
    assert split.notes[0].startswith("video clip: the frames are not in the order of the numbers in their names")
    # The crowds of two images.
    assert split.notes[1].startswith("2 people have the track_id of another person in their image")


@pytest.mark.parametrize(
    ("field", "kind", "value", "rule"),
    [
        ("vid_id", "images", [1], "text or a whole number"),
        ("track_id", "annotations", 1.5, "a whole number of at least"),
    ],
)
def test_a_wrong_video_or_track_is_refused(tmp_path, field, kind, value, rule):
    def spoil(content):
        content[kind][0][field] = value

    with pytest.raises(ValueError, match=f"'{field}' must be {rule}.*, got {re.escape(json.dumps(value))}"):
        read_source(write_coco(tmp_path / "source", ("train",), change=spoil))


@pytest.mark.parametrize("below", ["", "images"])
def test_pictures_may_lie_beside_the_annotations_or_below_images(tmp_path, below):
    source = read_source(write_coco(tmp_path / "source", below=below))
    assert list(source.splits) == ["train", "val"]
    assert all(path.is_file() for path in source.splits["val"].image_paths)


def test_years_are_left_out_of_names_of_splits_unless_that_makes_two_equal():
    assert split_names(["train2017", "val2017"]) == ["train", "val"]
    assert split_names(["train2014", "train2017"]) == ["train2014", "train2017"]
    assert split_names(["test-dev2017", "minitrain_2017", "2017"]) == ["test_dev", "minitrain", "2017"]


def test_sizes_that_the_file_does_not_say_are_those_of_the_pictures(tmp_path):
    def forget_sizes(content):
        for image in content["images"]:
            del image["height"], image["width"]

    write_dataset(Builder, read_source(write_coco(tmp_path / "source", change=forget_sizes)), tmp_path / "out")
    assert records.read_table(tmp_path / "out", "val").images["height"].tolist() == [20, 21, 22, 23, 24]


def test_an_image_of_which_one_side_is_known_has_the_size_of_its_file(tmp_path):
    def forget_heights(content):
        for image in content["images"]:
            image["height"] = None

    write_dataset(Builder, read_source(write_coco(tmp_path / "source", change=forget_heights)), tmp_path / "out")
    assert records.read_table(tmp_path / "out", "val").images["height"].tolist() == [20, 21, 22, 23, 24]


def test_boxes_outside_of_the_image_are_kept_and_told(tmp_path):
    def move_boxes(content):
        content["annotations"][0] |= {"bbox": [-3, -3, 6, 6], "area": 20}
        content["annotations"][1] |= {"bbox": [31, 0, 5, 5], "area": 20}
        content["annotations"][2]["bbox"] = [5, 5, 0, 5]

    split = read_source(write_coco(tmp_path / "source", ("train",), change=move_boxes)).splits["train"]
    assert split.notes == ("2 boxes are empty or outside their image (kept as they are)",)
    assert split.people["box"][:2].tolist() == [[-3, -3, 3, 3], [31, 0, 36, 5]]


def test_custom_pairs_and_sigmas_reach_the_dataset(tmp_path):
    def name_sides_differently(content):
        content["categories"][0]["keypoints"] = ["head", "hand_l", "hand_r"]

    root = write_coco(tmp_path / "source", change=name_sides_differently)
    write_dataset(Builder, read_source(root, SkeletonChoice([("hand_l", "hand_r")], [0.1, 0.2, 0.3])), tmp_path / "out")
    skeleton = records.read_skeleton(tmp_path / "out")
    assert skeleton.flip_order.tolist() == [0, 2, 1]
    assert skeleton.sigmas.tolist() == [0.1, 0.2, 0.3]
    assert read_source(root).digest != read_source(root, SkeletonChoice([("hand_l", "hand_r")])).digest


def test_a_joint_that_a_pair_names_must_be_there(tmp_path):
    root = write_coco(tmp_path / "source")
    with pytest.raises(ValueError, match="person_keypoints_train2017.json: .*unknown joint 'hand_l'"):
        read_source(root, SkeletonChoice([("hand_l", "hand_r")]))


def test_splits_with_different_skeletons_are_refused(tmp_path):
    root = write_coco(tmp_path / "source")
    path = root / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(path.read_text())
    content["categories"][0]["keypoints"][0] = "nose"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="val2017.json: skeleton must be that of person_keypoints_train2017.json"):
        read_source(root)


def test_splits_may_differ_in_the_name_and_the_limbs_of_their_category(tmp_path):
    root = write_coco(tmp_path / "source")
    path = root / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(path.read_text())
    content["categories"][0] |= {"name": "human", "skeleton": [[2, 3]]}
    path.write_text(json.dumps(content))
    source = read_source(root)
    assert (source.skeleton.name, source.skeleton.limbs) == ("person", ((0, 1), (0, 2)))
    (note,) = source.notes
    assert note.endswith(
        "val2017.json: the name and the limbs of person_keypoints_train2017.json are used, which differ"
    )


def test_annotations_are_read_compressed_or_unpacked_but_not_both(tmp_path):
    root = write_coco(tmp_path / "source")
    expected = read_source(root)
    path = root / "annotations" / "person_keypoints_val2017.json"
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ValueError, match="val2017.json.gz: must be the only file of its name, got .*val2017.json as"):
        read_source(root)
    path.unlink()
    found = read_source(root)
    assert found.splits["val"].people["keypoints"].tolist() == expected.splits["val"].people["keypoints"].tolist()


def test_a_folder_without_annotations_or_pictures_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"must contain annotations/person_keypoints_<split>.json, got no such file"
    ):
        read_source(tmp_path)
    (tmp_path / "annotations").mkdir()
    for name in ("train.json", "val.json", "instances_test.json", "x.json"):
        (tmp_path / "annotations" / name).touch()
    others = (
        "got instances_test.json, train.json, val.json and 1 more; rename them, for example to person_keypoints_train"
    )
    with pytest.raises(FileNotFoundError, match=others):
        read_source(tmp_path)
    root = write_coco(tmp_path / "source")
    (root / "val2017").rename(root / "validation")
    with pytest.raises(
        FileNotFoundError, match="images of split 'val2017' must be in .*val2017 or .*images/val2017, got neither"
    ):
        read_source(root)


def test_a_person_in_an_unknown_image_is_named(tmp_path):
    def add_person(content):
        content["annotations"].append(coco_person(99, 555))

    with pytest.raises(ValueError, match="annotation 99: 'image_id' must be one of the 5 ids in 'images', got 555"):
        read_source(write_coco(tmp_path / "source", change=add_person))


def test_a_photo_of_a_phone_is_upright_for_every_reader(tmp_path, capsys):
    def forget_sizes(content):
        for image in content["images"]:
            del image["height"], image["width"]

    root = write_coco(tmp_path / "source", ("train[new]",), num_images=2, change=forget_sizes)
    shown = []
    for path in sorted((root / "train[new]").iterdir()):
        path.write_bytes(with_exif(path.read_bytes(), 6))
        shown.append(decode_upright(path.read_bytes(), path))
    table = records.read_table(write_dataset(Builder, read_source(root), tmp_path / "out"), "train[new]")
    assert table.sizes(slice(None)).tolist() == [[30, 20], [30, 21]]
    for image, picture in enumerate(shown):
        data = table.read_image_bytes(image)
        # Noise suffers from another JPEG encoding.
        for found in (decode_window(data, (0, 0, *picture.shape[:2])), decode_upright(data, "a")):
            assert np.abs(found.astype(int) - picture).mean() < 4
    (note,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("note: train[new]: "))
    assert "EXIF" in note and note.endswith(": 2 (first: 000000000000.jpg)")


def test_a_note_is_one_line_whatever_a_file_says(capsys):
    print_note("dog\x1b[31m\n\u202e" + "x" * 1000)
    printed = capsys.readouterr().err
    assert printed.startswith(r"note: dog\x1b[31m \u202exxx") and printed.count("\n") == 1 and len(printed) < 500


def test_the_category_travels_with_the_dataset(tmp_path):
    def number_category(content):
        content["categories"][0]["id"] = 7
        for person in content["annotations"]:
            person["category_id"] = 7

    root = write_coco(tmp_path / "source", change=number_category)
    directory = write_dataset(Builder, read_source(root), tmp_path / "out")
    assert json.loads((directory / records.METADATA_FILE).read_text())["category_id"] == 7
    path = root / "annotations" / "person_keypoints_val2017.json"
    path.write_text(path.read_text().replace('"category_id": 7', '"category_id": 8').replace('"id": 7,', '"id": 8,'))
    with pytest.raises(ValueError, match="val2017.json: 'id' of the category must be 7 as in .*train2017.json, got 8"):
        read_source(root)


def test_backslashes_are_folders_and_pictures_elsewhere_are_told(tmp_path):
    def move_pictures(content):
        content["images"][0]["file_name"] = "..\\train2017\\000000000000.jpg"
        content["images"][1]["file_name"] = str(tmp_path / "elsewhere.png")

    root = write_coco(tmp_path / "source", ("train2017",), change=move_pictures)
    (root / "train2017" / "000000000001.png").rename(tmp_path / "elsewhere.png")
    split = read_source(root).splits["train"]
    assert all(path.is_file() for path in split.image_paths)
    assert split.notes == (f"1 images are outside the folder of --source (first: {tmp_path / 'elsewhere.png'})",)


@pytest.mark.parametrize(("named", "stored"), [("f\u00fc.jpg", "fu\u0308.jpg"), ("fu\u0308.jpg", "f\u00fc.jpg")])
def test_accents_are_found_however_a_system_writes_them(tmp_path, named, stored):
    root = write_coco(
        tmp_path / "source", ("train",), change=lambda content: content["images"][0].update(file_name=named)
    )
    with pytest.raises(FileNotFoundError, match=re.escape(f"{named}: image file not found (1 of 5")):
        write_dataset(Builder, read_source(root), tmp_path / "out")
    (root / "train" / "000000000000.jpg").rename(root / "train" / stored)
    assert read_source(root).splits["train"].image_paths[0].name == stored


EXPECTED = {
    ("coco_mini", "train"): (51, 41, 35, 164, 5, 93, 923),
    ("coco_mini", "val"): (74, 66, 57, 305, 7, 154, 1575),
    ("lspet", "train"): (8500, 8500, 8500, 8500, 0, 8500, 104722),
    ("lspet", "val"): (500, 500, 500, 500, 0, 500, 6164),
}
NAMES = (
    *("images", "images with people", "images with keypoints", "people", "crowd"),
    *("people with keypoints", "labeled keypoints"),
)


@pytest.mark.parametrize("dataset", ["coco_mini", "lspet"])
def test_counts_of_real_datasets(shared_dir, dataset):
    source = read_source(shared_dir / "data" / dataset)
    for name, split in source.splits.items():
        counts = count_split(split)
        assert tuple(counts[field] for field in NAMES) == EXPECTED[dataset, name]


def test_real_photos_are_converted_bit_by_bit(shared_dir, tmp_path):
    source = read_source(shared_dir / "data" / "coco_mini")
    write_dataset(Builder, source, tmp_path)
    assert records.read_skeleton(tmp_path) == COCO17
    for name, split in source.splits.items():
        table = records.read_table(tmp_path, name)
        assert table.num_images == split.num_images
        assert np.array_equal(table.people["keypoints"], split.people["keypoints"])
        for image in range(table.num_images):
            assert table.read_image_bytes(image) == split.image_paths[image].read_bytes()
