"""COCO files: what is read is what the file says, and a wrong file is named with its fault."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from tfpose import coco
from tfpose.metrics.coco import coco_average_precision
from tfpose.poses import Poses
from tfpose.skeletons import COCO17, skeleton_from_names

JOINTS = ["head", "left_hand", "right_hand"]


def file_content() -> dict:
    """Three images, the first with two people, the second with a crowd, the last with nobody."""
    people = [
        {"id": 7, "image_id": 20, "iscrowd": 1, "bbox": [0, 0, 9, 9], "area": 50.0, "num_keypoints": 0}
        | {"segmentation": {"counts": [3, 78], "size": [9, 9]}, "keypoints": [0] * 9},
        {"id": 5, "image_id": 10, "iscrowd": 0, "bbox": [1, 2, 3.5, 4], "area": 8.25, "num_keypoints": 2}
        | {"segmentation": [[1, 2, 4, 2, 4, 6]], "keypoints": [1.5, 2, 2, 0, 0, 0, 3, 4, 1]},
        {"id": 6, "image_id": 10, "iscrowd": 0, "bbox": [-1, 0, 2, 2], "area": 4, "num_keypoints": 0}
        | {"keypoints": [0] * 9},
    ]
    return {
        "images": [
            {"id": 10, "file_name": "a.jpg", "height": 12, "width": 16},
            {"id": 20, "file_name": "b.jpg", "height": 9, "width": 9},
            {"id": 30, "file_name": "c.jpg"},
        ],
        "annotations": [{"category_id": 1, **person} for person in people] + [{"id": 1, "category_id": 2}],
        "categories": [
            {"id": 2, "name": "dog"},
            {"id": 1, "name": "person", "keypoints": JOINTS, "skeleton": [[1, 2], [1, 3]]},
        ],
    }


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_people_are_sorted_by_image_and_keep_all_that_the_file_says(tmp_path):
    read = coco.read_person_annotations(write(tmp_path / "a.json", file_content()))
    assert read.skeleton.joints == tuple(JOINTS)
    assert read.skeleton.limbs == ((0, 1), (0, 2))
    assert read.skeleton.flip_order.tolist() == [0, 2, 1]
    assert read.image_ids.tolist() == [10, 20, 30]
    assert read.file_names == ["a.jpg", "b.jpg", "c.jpg"]
    assert read.image_sizes.tolist() == [[12, 16], [9, 9], [0, 0]]
    assert read.first_person.tolist() == [0, 2, 3, 3]
    assert read.annotation_ids.tolist() == [5, 6, 7]
    assert read.keypoints[0].tolist() == [[1.5, 2], [0, 0], [3, 4]]
    assert read.visibility.tolist() == [[2, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert read.boxes.tolist() == [[1, 2, 4.5, 6], [-1, 0, 1, 2], [0, 0, 9, 9]]
    assert read.areas.tolist() == [8.25, 4, 50]
    assert read.is_crowd.tolist() == [False, False, True]
    assert json.loads(read.segmentations[2]) == {"counts": [3, 78], "size": [9, 9]}
    assert read.segmentations[1] == ""


def test_what_is_written_is_read_back(tmp_path):
    first = coco.read_person_annotations(write(tmp_path / "a.json", file_content()))
    second = coco.read_person_annotations(write(tmp_path / "b.json", coco.person_annotations_to_dict(first)))
    for name in ("image_ids", "image_sizes", "keypoints", "visibility", "boxes", "areas", "is_crowd", "annotation_ids"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    assert first.segmentations == second.segmentations
    assert first.file_names == second.file_names
    assert first.skeleton == second.skeleton


def test_labels_of_joints_that_are_not_there_are_cleared(tmp_path):
    content = file_content()
    content["annotations"][1]["keypoints"] = [1, 1, 0, 5, 5, 2, 0, 0, 0]
    read = coco.read_person_annotations(write(tmp_path / "a.json", content))
    assert read.keypoints[0].tolist() == [[0, 0], [5, 5], [0, 0]]


def break_field(name, value):
    def change(content):
        content["annotations"][1][name] = value

    return change


def without_images(content):
    del content["images"]


def two_skeletons(content):
    content["categories"][0]["keypoints"] = ["tail"]


def without_joints(content):
    del content["categories"][1]["keypoints"]


def other_categories(content):
    for person in content["annotations"][:3]:
        person["category_id"] = 9


def huge_image(content):
    content["images"][0]["height"] = 10**30


def repeated_joint(content):
    content["categories"][1]["keypoints"] = ["head", "head", "hand"]


def repeated_image(content):
    content["images"][2]["id"] = 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (break_field("keypoints", [1, 2, 2]), "annotation 5: 'keypoints' must be 9 numbers.*3 joints, got 3"),
        (
            break_field("keypoints", [1, 2, 2] * 2 + [1, 2, 3]),
            "annotation 5: visibilities .* 0, 1 or 2, got 3 for 'right_hand'",
        ),
        (break_field("keypoints", ["x"] * 9), "annotation 5: 'keypoints' must be 9 numbers"),
        (break_field("keypoints", [1, 2, 2, 1, float("nan"), 2, 0, 0, 0]), "9 numbers.*got nan for y of 'left_hand'"),
        (break_field("keypoints", [1, 2, 2, 1, None, 2, 0, 0, 0]), "9 numbers.*got None for y of 'left_hand'"),
        (break_field("keypoints", [1, 2, 2, "1", "2", "2", 0, 0, 0]), "9 numbers.*got '1' for x of 'left_hand'"),
        (break_field("keypoints", [[1]] * 9), r"9 numbers.*got \[1\] for x of 'head'"),
        (break_field("bbox", [1, 2, "3", 4]), "annotation 5: 'bbox' must be 4 numbers.*, got '3' for width"),
        (break_field("iscrowd", "no"), "annotation 5: 'iscrowd' must be 0 or 1, got 'no'"),
        (break_field("bbox", [1, 2, 3]), "annotation 5: 'bbox' must be 4 numbers: x, y, width, height, got 3"),
        (break_field("bbox", None), "annotation 5: 'bbox' must be 4 numbers: x, y, width, height, got None"),
        (break_field("image_id", 11), "annotation 5: 'image_id' must be one of the 3 ids in 'images', got 11"),
        (break_field("id", 7), "annotation ids must be distinct, got 7 twice"),
        (break_field("id", "five"), "'id' must be a whole number, got 'five'"),
        (break_field("area", "big"), "annotation 5: 'area' must be a number"),
        (without_images, "'images' must be a list of objects, got None"),
        (two_skeletons, "'categories' must have equal 'keypoints'.*got different ones among dog, person; --categories"),
        (without_joints, "'categories' must have an entry with 'keypoints' .*, got none among 2; --joints gives"),
        (
            other_categories,
            r"'category_id' .* must be 1 \(person\), got other ones in all 4 \(category_id 9, not listed: 3; dog: 1",
        ),
        (huge_image, "image 10: 'height' and 'width' must be whole numbers, got "),
        (repeated_joint, "'categories': .*distinct names"),
        (repeated_image, "image ids must be distinct, got 10 twice"),
    ],
)
def test_a_wrong_field_is_one_line_with_the_file_and_the_entry(tmp_path, change, message):
    content = file_content()
    change(content)
    path = write(tmp_path / "wrong.json", content)
    with pytest.raises(ValueError, match=message) as error:
        coco.read_person_annotations(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_broken_json_is_named_with_line_and_column(tmp_path):
    path = write(tmp_path / "cut.json", '{"images": [],\n "annotations": [')
    with pytest.raises(ValueError, match=r"cut.json: broken JSON at line 2, column 18"):
        coco.read_person_annotations(path)


def test_a_list_or_a_binary_file_is_no_annotation_file(tmp_path):
    with pytest.raises(ValueError, match="a.json: 'images' must be a list of objects, got a file that holds a list"):
        coco.read_person_annotations(write(tmp_path / "a.json", "[1, 2]"))
    (tmp_path / "b.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ValueError, match="b.json"):
        coco.read_person_annotations(tmp_path / "b.json")
    with pytest.raises(FileNotFoundError, match="none.json: file not found"):
        coco.read_person_annotations(tmp_path / "none.json")


def test_pairs_and_sigmas_given_by_the_user_win(tmp_path):
    content = file_content()
    content["categories"][1]["keypoints"] = ["head", "hand_l", "hand_r"]
    path = write(tmp_path / "a.json", content)
    plain = coco.read_person_annotations(path).skeleton
    choice = coco.SkeletonChoice([("hand_r", "head")], [0.1, 0.2, 0.3])
    given = coco.read_person_annotations(path, choice).skeleton
    assert plain.flip_order.tolist() == [0, 2, 1]
    assert given.flip_order.tolist() == [2, 1, 0]
    assert given.sigmas.tolist() == [0.1, 0.2, 0.3]


def test_what_is_absent_or_empty_is_none(tmp_path):
    content = file_content()
    content["categories"][1]["skeleton"] = None
    content["images"][0].update(height=None, width=None)
    content["annotations"][1]["keypoints"] = []
    content["annotations"][2] |= {"keypoints": None, "iscrowd": None, "area": None, "segmentation": None}
    read = coco.read_person_annotations(write(tmp_path / "a.json", content))
    assert read.skeleton.limbs == ()
    assert read.image_sizes[0].tolist() == [0, 0]
    assert not read.visibility.any() and not read.keypoints.any()
    assert (read.areas[1], read.is_crowd[1], read.segmentations[1]) == (4, False, "")
    assert "1 annotation with an empty list 'keypoints' (first: annotation 5): no labeled joints" in read.notes
    for value in ({"annotations": None}, {"annotations": []}):
        nobody = coco.read_person_annotations(write(tmp_path / "b.json", content | value))
        assert (nobody.num_people, nobody.first_person.tolist()) == (0, [0, 0, 0, 0])
    del content["annotations"]
    assert coco.read_person_annotations(write(tmp_path / "b.json", content)).num_people == 0


def test_annotations_that_are_left_out_are_counted(tmp_path):
    content = file_content()
    content["annotations"] += [{"id": 2, "category_id": 9}, {"id": 3, "category_id": 9}]
    read = coco.read_person_annotations(write(tmp_path / "a.json", content))
    assert read.notes == ("3 annotations of other categories left out (category_id 9, not listed: 2; dog: 1)",)


def animals(content):
    """Gives the dogs the joints of people."""
    content["categories"][0]["keypoints"] = JOINTS
    content["annotations"][3] |= {"image_id": 30, "bbox": [0, 0, 5, 5], "keypoints": [1, 1, 2] * 3}
    return content


def test_categories_of_equal_joints_are_joined_unless_some_are_chosen(tmp_path):
    path = write(tmp_path / "a.json", animals(file_content()))
    joined = coco.read_person_annotations(path)
    assert joined.annotation_ids.tolist() == [5, 6, 7, 1]
    assert joined.category_id == 2
    (note,) = joined.notes
    assert note.startswith("2 categories with equal joints are joined: dog, person; --categories chooses some.")
    dogs = coco.read_person_annotations(path, coco.SkeletonChoice(categories=["dog"]))
    assert (dogs.annotation_ids.tolist(), dogs.category_id, dogs.skeleton.name) == ([1], 2, "dog")
    with pytest.raises(ValueError, match="a.json: 'categories' must hold 'cat' of --categories, got dog, person"):
        coco.read_person_annotations(path, coco.SkeletonChoice(categories=["cat"]))


def test_a_category_without_joint_names_can_be_given_some(tmp_path):
    content = file_content()
    without_joints(content)
    path = write(tmp_path / "a.json", content)
    read = coco.read_person_annotations(path, coco.SkeletonChoice(categories=["person"], joints=JOINTS))
    assert read.skeleton.joints == tuple(JOINTS)
    assert read.annotation_ids.tolist() == [5, 6, 7]
    assert read.skeleton.limbs == ((0, 1), (0, 2))
    with pytest.raises(ValueError, match="a.json: --categories must choose among .*, got dog, person"):
        coco.read_person_annotations(path, coco.SkeletonChoice(joints=JOINTS))


def test_a_file_of_boxes_alone_has_the_joints_of_coco_and_none_is_labeled(tmp_path):
    content = file_content()
    for entry in (*content["categories"], *content["annotations"]):
        entry.pop("keypoints", None)
        entry.pop("skeleton", None)
    read = coco.read_person_annotations(write(tmp_path / "a.json", content), coco.SkeletonChoice(categories=["person"]))
    assert read.skeleton == COCO17
    assert read.visibility.shape == (read.num_people, 17) and not read.visibility.any()
    assert "nobody has a labeled joint" in read.notes[0]
    content["categories"] = content["categories"][1:]
    read_again = coco.read_person_annotations(write(tmp_path / "b.json", content))
    np.testing.assert_array_equal(read_again.boxes, read.boxes)


def test_keypoints_from_0_to_1_are_told(tmp_path):
    content = file_content()
    content["annotations"][1]["keypoints"] = [0.25, 0.5, 2, 0, 0, 0, 0.75, 0.5, 1]
    read = coco.read_person_annotations(write(tmp_path / "a.json", content))
    assert "all 'keypoints' must be in pixels, got values from 0.25 to 0.75" in read.notes


def test_boxes_from_0_to_1_are_told(tmp_path):
    content = file_content()
    for person in content["annotations"]:
        person["bbox"] = [0.25, 0.5, 0.5, 0.25]
    read = coco.read_person_annotations(write(tmp_path / "a.json", content))
    assert "all 'bbox' must be in pixels, got values from 0.25 to 0.5" in read.notes


@pytest.mark.parametrize(
    ("triple", "note"),
    [
        ([7, 0, 0], "1 joints have coordinates and the visibility 0, not labeled (first: annotation 5)"),
        ([0, 0, 2], "1 joints with a visibility above 0 are at 0, 0, and are labeled there (first: annotation 5)"),
    ],
)
def test_flags_that_do_not_suit_the_place_of_a_joint_are_told(tmp_path, triple, note):
    content = file_content()
    content["annotations"][1]["keypoints"][3:6] = triple
    assert note in coco.read_person_annotations(write(tmp_path / "a.json", content)).notes
    content["annotations"][1]["keypoints"][3:6] = [0, 0, 0]
    assert note not in coco.read_person_annotations(write(tmp_path / "a.json", content)).notes


@pytest.mark.parametrize(
    ("boxes", "is_told"),
    [
        (([3, 2, 15, 11], [8, 5, 16, 12], [1, 1, 9, 9]), True),
        # One box reaches beyond its image, or the numbers cannot be corners.
        (([3, 2, 15, 11], [1, 1, 8, 9], [1, 1, 8, 8]), False),
        (([10, 2, 9, 11], [8, 5, 16, 12], [1, 1, 9, 9]), False),
        (([3, 2, 15, 11], [8, 5, 30, 12], [1, 1, 9, 9]), False),
    ],
)
def test_boxes_that_look_like_two_corners_are_told(tmp_path, boxes, is_told):
    content = file_content()
    for person, box in zip(content["annotations"], (boxes[2], *boxes[:2]), strict=False):
        person["bbox"] = box
    notes = coco.read_person_annotations(write(tmp_path / "a.json", content)).notes
    assert ("2 of 3 boxes reach beyond their image: 'bbox' must be x, y, width, height" in "".join(notes)) == is_told


def test_an_image_that_is_listed_twice_is_told(tmp_path):
    content = file_content()
    content["images"][1]["file_name"] = "a.jpg"
    read = coco.read_person_annotations(write(tmp_path / "a.json", content))
    assert read.num_images == 3
    assert "1 image with the file name of an earlier image (such as 'a.jpg')" in "".join(read.notes)


@pytest.mark.parametrize("found", [0, 17, "2"])
def test_a_number_of_keypoints_that_disagrees_with_the_joints_is_told(tmp_path, found):
    content = file_content()
    content["annotations"][1]["num_keypoints"] = found
    del content["annotations"][2]["num_keypoints"]
    notes = "".join(coco.read_person_annotations(write(tmp_path / "a.json", content)).notes)
    assert "1 annotation with another 'num_keypoints'" in notes and f"annotation 5, {found!r} and 2)" in notes


@pytest.mark.parametrize("area", [0, 1, -5])
def test_an_area_that_makes_scores_meaningless_is_that_of_the_box(tmp_path, area):
    content = file_content()
    content["annotations"][1]["area"] = area
    content["annotations"][2]["area"] = 0
    read = coco.read_person_annotations(write(tmp_path / "a.json", content))
    # The second person has no labeled joints, so that its area makes no score.
    assert read.areas.tolist() == [14, 0, 50]
    assert "(first: annotation 5, area " in read.notes[-1]


def test_an_area_beyond_the_box_is_told(tmp_path):
    content = file_content()
    content["annotations"][1]["area"] = 300 * 400
    notes = "".join(coco.read_person_annotations(write(tmp_path / "a.json", content)).notes)
    assert "1 annotation with joints and an 'area' that is larger than the box (first: annotation 5" in notes


@pytest.mark.parametrize("box", [[0, 0, 0, 0], [3, 4, -2, -3], [0.1, 0.2, 0.3, 0.4]])
def test_a_box_without_an_extent_is_that_around_the_joints(tmp_path, box):
    """Tools write zeros where nobody drew a box, and parts of the image where they count from 0 to 1."""
    content = file_content()
    for person in content["annotations"][1:3]:
        person |= {"bbox": box, "area": 0}
    read = coco.read_person_annotations(write(tmp_path / "a.json", content))
    np.testing.assert_allclose(read.boxes[0], [1.275, 1.7, 3.225, 4.3])
    assert read.areas[0] == pytest.approx(1.95 * 2.6)
    # Nobody knows where the second person is.
    np.testing.assert_allclose(read.boxes[1], [*box[:2], box[0] + box[2], box[1] + box[3]])
    assert f"1 annotation with joints and a 'bbox' of at most 1 square pixel (first: annotation 5, {box}):" in (
        "".join(read.notes)
    )


def test_ground_truth_from_arrays_is_what_pycocotools_takes():
    keypoints = np.array([[[1.0, 2], [3, 8]], [[5, 5], [0, 0]]])
    truth = coco.build_person_annotations(
        skeleton_from_names("two", ["a", "b"]),
        image_ids=np.array([4, 9]),
        file_names=["4.jpg", "9.jpg"],
        image_sizes=np.array([[10, 20], [10, 20]]),
        image_of_person=np.array([1, 1]),
        keypoints=keypoints,
        visibility=np.array([[2, 2], [1, 0]]),
    )
    api = COCO()
    api.dataset = coco.person_annotations_to_dict(truth)
    api.createIndex()
    people = api.loadAnns(api.getAnnIds(imgIds=[9]))
    assert [person["id"] for person in people] == [1, 2]
    assert [person["num_keypoints"] for person in people] == [2, 1]
    assert people[0]["bbox"] == [1, 2, 2, 6]
    assert people[0]["area"] == 12
    assert api.getAnnIds(imgIds=[4]) == []


def test_people_that_are_not_sorted_by_image_are_refused():
    with pytest.raises(ValueError, match="image_of_person must not decrease"):
        coco.build_person_annotations(
            COCO17, np.array([1, 2]), ["a", "b"], np.zeros((2, 2)), np.array([1, 0]), np.zeros((2, 17, 2)),
            np.zeros((2, 17)),
        )  # fmt: skip


def test_ids_from_0_do_not_change_the_metrics():
    """Perfect poses of people whose annotation ids start at 0, which COCO's evaluation takes for "not matched"."""
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(20, 80, (4, 17, 2))
    image_ids = np.arange(4)
    annotations = coco.build_person_annotations(
        COCO17, image_ids, list("abcd"), np.full((4, 2), 100), image_ids, keypoints, np.full((4, 17), 2),
        annotation_ids=image_ids, category_id=0,
    )  # fmt: skip
    poses = [
        Poses(people[None], np.ones((1, 17)), np.ones(1), np.zeros((1, 4)), np.full(1, -1)) for people in keypoints
    ]
    assert coco_average_precision(annotations, poses)["AP"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("split", "images", "people", "crowd", "with_keypoints", "joints"),
    [("train", 51, 164, 5, 93, 923), ("val", 74, 305, 7, 154, 1575)],
)
def test_counts_of_real_annotations(shared_dir, split, images, people, crowd, with_keypoints, joints):
    path = shared_dir / "data" / "coco_mini" / "annotations" / f"person_keypoints_{split}.json"
    read = coco.read_person_annotations(path)
    assert read.skeleton is COCO17
    assert read.num_images == images
    assert read.num_people == people
    assert read.is_crowd.sum() == crowd
    assert (read.visibility > 0).any(axis=1).sum() == with_keypoints
    assert (read.visibility > 0).sum() == joints
    original = {person["id"]: person for person in json.loads(path.read_text())["annotations"]}
    for number, annotation_id in enumerate(read.annotation_ids.tolist()):
        person = original[annotation_id]
        flat = np.concatenate([read.keypoints[number], read.visibility[number][:, None]], axis=1)
        assert flat.ravel().tolist() == person["keypoints"]
        assert json.loads(read.segmentations[number]) == person["segmentation"]
