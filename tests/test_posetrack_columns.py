"""The columns that scoring reads: what they hold, and the one line for each way in which a file can be wrong."""

from __future__ import annotations

import gzip
import json
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from tfpose.json_files import read_json
from tfpose.posetrack import NO_SCORE
from tfpose.posetrack.evaluated_columns import columns21_from_content, columns_from_content
from tfpose.posetrack.json_columns import MALFORMED, finite_rows, number_rows, score_rows
from tfpose.skeletons import POSETRACK15, POSETRACK18

PATH = pathlib.Path("folder/000001_mpii_test.json")
NAMES = list(POSETRACK18.joints)


def content_2017() -> dict:
    """Two frames; the second has two people."""
    points = [{"id": [13], "x": [5], "y": [6.5], "score": [0.5]}, {"id": [99], "x": [1], "y": [2]}]
    head = {"x1": [0], "y1": [0], "x2": [3], "y2": [4]}
    people = [{"track_id": [n], **head, "annopoints": [{"point": points}]} for n in (4, 7)]
    image = [{"name": "images/000001_mpii/00000001.jpg"}]
    region = {"point": [{"x": [x], "y": [y]} for x, y in ((0, 0), (9, 0), (9, 9))]}
    second = {"image": image, "annorect": people, "ignore_regions": [region]}
    return json.loads(json.dumps({"annolist": [{"image": image, "annorect": []}, second]}))


def content_2018() -> dict:
    """The same."""
    keypoints, scores = [0.0] * 51, [0.1] * 17
    keypoints[:3] = [5, 6.5, 0]
    keypoints[9:12] = [1, 1, 1]  # an ear
    scores[0] = 0.5
    images = [
        {
            "id": 100 + index,
            "file_name": f"images/val/000001_mpii_test/{index:06d}.jpg",
            "is_labeled": bool(index),
            "ignore_regions_x": [[0, 9, 9]] * index,
            "ignore_regions_y": [[0, 0, 9]] * index,
        }
        for index in range(2)
    ]
    people = [
        {"id": 9, "image_id": 101, "track_id": n, "keypoints": keypoints, "scores": scores, "bbox_head": [0, 0, 3, 4]}
        for n in (4, 7)
    ]
    category = {"id": 1, "name": "person", "keypoints": NAMES}
    return json.loads(json.dumps({"images": images, "annotations": people, "categories": [category]}))


@pytest.mark.parametrize("content", [content_2017(), content_2018()])
def test_both_formats_give_the_same_columns(content):
    columns = columns_from_content(PATH, content, is_ground_truth=True)
    assert (columns.name, columns.num_frames, columns.num_people) == ("000001_mpii_test", 2, 2)
    assert columns.frames.tolist() == [1, 1]
    assert columns.track_ids.tolist() == [4, 7]
    assert columns.head_boxes.tolist() == [[0, 0, 3, 4]] * 2
    is_joint = columns.point_joints >= 0
    assert columns.point_people[is_joint].tolist() == [0, 1]
    assert columns.points[is_joint].tolist() == [[5, 6.5]] * 2
    assert columns.point_scores[is_joint].tolist() == [0.5, 0.5]
    ((frame, polygon),) = columns.regions
    assert frame == 1
    assert polygon.tolist() == [[0, 0], [9, 0], [9, 9]]


def test_predictions_have_no_head_boxes_or_regions_whatever_the_file_says():
    content = content_2018()
    content["annotations"][0]["bbox_head"] = "nonsense"
    content["images"][1]["ignore_regions_x"] = "nonsense"
    columns = columns_from_content(PATH, content, is_ground_truth=False)
    assert columns.regions == ()
    assert np.isnan(columns.head_boxes).all()


def test_a_joint_is_absent_when_all_three_numbers_are_0():
    content = content_2018()
    content["annotations"][0]["keypoints"][:9] = [0, 0, 1, 3, 0, 0, 0, 0, 0]
    columns = columns_from_content(PATH, content, is_ground_truth=True)
    assert (columns.point_people == 0).sum() == 2
    # PoseTrack21 wants both coordinates above 0, and takes no notice of the flag.
    assert (columns21_from_content(PATH, content, is_ground_truth=True).point_people == 0).sum() == 0


def test_joint_order_is_that_of_the_file_but_fixed_in_posetrack21():
    content = content_2018()
    content["categories"][0]["keypoints"] = NAMES[1:] + NAMES[:1]
    own = columns_from_content(PATH, content, is_ground_truth=True)
    fixed = columns21_from_content(PATH, content, is_ground_truth=True)
    assert own.point_joints[0] != fixed.point_joints[0]
    del content["categories"]
    columns21_from_content(PATH, content, is_ground_truth=True)


def test_missing_scores_null_scores_and_missing_points():
    content = content_2017()
    people = content["annolist"][1]["annorect"]
    people[0]["annopoints"][0]["point"] = [
        {"id": [1], "x": [1], "y": [1], "score": [None]},
        {"id": [2], "x": [1], "y": [1]},
    ]
    people[1]["annopoints"] = []
    columns = columns_from_content(PATH, content, is_ground_truth=True)
    assert np.isnan(columns.point_scores[0])
    assert columns.point_scores[1] == NO_SCORE
    assert columns.has_points.tolist() == [True, False]


def test_images_of_a_second_video_are_left_out():
    content = content_2018()
    content["images"].append({"id": 5, "file_name": "images/000002_mpii/000000.jpg"})
    content["annotations"].append({"image_id": 5})
    columns = columns_from_content(PATH, content, is_ground_truth=True)
    assert (columns.num_frames, columns.num_people) == (2, 2)


def set_at(content: dict, keys: tuple, value: object) -> None:
    for key in keys[:-1]:
        content = content[key]
    if value is KeyError:
        del content[keys[-1]]
    else:
        content[keys[-1]] = value


PERSON_17, POINT_17 = ("annolist", 1, "annorect", 1), ("annolist", 1, "annorect", 1, "annopoints", 0, "point", 0)
WRONG_2017 = [
    (("annolist",), 3, "'annolist' must be a list of objects, got 3"),
    (("annolist", 0), None, "'annolist': entry 0 must be an object, got None"),
    (("annolist", 0, "annorect"), KeyError, "frame 0: 'annorect' must be a list of people, got None"),
    (("annolist", 0, "image"), [], "frame 0: 'image' must be a list of one object with 'name', got \\[\\]"),
    (PERSON_17, 5, "person 1 must be an object, got 5"),
    ((*PERSON_17, "annopoints"), [1], "person 1: 'annopoints' must be a list of one object .*, got \\[1\\]"),
    (POINT_17, [], "person 1: 'point' must be a list of objects, got \\[\\]"),
    ((*POINT_17, "x"), ["5"], "person 1: 'x' of a point must be a list of one number, got \\['5'\\]"),
    ((*POINT_17, "x"), 5, "person 1: 'x' of a point must be a list of one number, got 5"),
    ((*POINT_17, "y"), [float("nan")], "person 1: 'y' of a point must be a list of one number, got \\[nan\\]"),
    ((*POINT_17, "id"), KeyError, "person 1: 'id' of a point must be a list of one number, got None"),
    ((*POINT_17, "score"), ["a"], "person 1: 'score' of a point must be a list of one number, got \\['a'\\]"),
    ((*PERSON_17, "track_id"), [1.5], "person 1: 'track_id' must be a whole number, got 1.5"),
    ((*PERSON_17, "track_id"), [10000], "person 1: 'track_id' must be below 10000, got 10000"),
    ((*PERSON_17, "track_id"), [10**30], "person 1: 'track_id' must be a whole number, got 1000"),
    ((*PERSON_17, "x1"), [], "person 1: 'x1' must be a list of one number, got \\[\\]"),
    (("annolist", 1, "ignore_regions"), 7, "frame 1: 'ignore_regions' must be polygons: .* got 7"),
    (("annolist", 1, "ignore_regions", 0), {}, "frame 1: 'ignore_regions' must be polygons: .* got \\[{}\\]"),
]
PERSON_18 = ("annotations", 1)
WRONG_2018 = [
    (("images",), KeyError, "'images' must be a list of objects, got None"),
    (("annotations", 0), 1, "'annotations': entry 0 must be an object, got 1"),
    (("categories",), [], "'categories' must be one entry named 'person', got \\[\\]"),
    (("categories", 0, "keypoints"), NAMES[:16], "'keypoints' must be 15 or 17 joint names, got 16"),
    (("categories", 0, "keypoints", 0), "nase", "'keypoints' must name nose, got \\['nase'\\] instead"),
    (("images", 1, "file_name"), None, "frame 1: 'file_name' must be text, got None"),
    (("images", 1, "id"), 100, "image ids must be distinct, got 100 twice"),
    (("images", 1, "id"), 10**30, "image number 1 in the list: 'id' must be a whole number, got 1000"),
    ((*PERSON_18, "image_id"), KeyError, "annotation 9: 'image_id' must be a whole number, got None"),
    ((*PERSON_18, "image_id"), [], "annotation 9: 'image_id' must be a whole number, got \\[\\]"),
    ((*PERSON_18, "track_id"), "a", "person 1 .*: 'track_id' must be a whole number, got 'a'"),
    ((*PERSON_18, "keypoints"), [1, 2], "person 1 .*: 'keypoints' must be 51 numbers .*, got 2: \\[1, 2\\]"),
    ((*PERSON_18, "keypoints", 4), "1", "person 1 .*: 'keypoints' must be 51 numbers .*, got '1' for y of '"),
    ((*PERSON_18, "keypoints", 4), [1], "person 1 .*: 'keypoints' must be 51 numbers .*, got \\[1\\] for y of '"),
    ((*PERSON_18, "scores"), [1.0], "person 1 .*: 'scores' must be 17 numbers or an empty list, got 1: \\[1.0\\]"),
    ((*PERSON_18, "scores", 2), "x", "person 1 .*: 'scores' must be 17 numbers or an empty list, got 17"),
    ((*PERSON_18, "scores"), None, "person 1 .*: 'scores' must be 17 numbers or an empty list, got None"),
    (
        (*PERSON_18, "bbox_head"),
        [1],
        "person 1 .*: 'bbox_head' must be 4 numbers: x, y, width, height, got \\[1\\]",
    ),
    (
        ("images", 1, "ignore_regions_x"),
        [[1, 2]],
        "frame 1: 'ignore_regions_x' and 'ignore_regions_y' must be equally",
    ),
]


@pytest.mark.parametrize(
    ("make", "keys", "value", "message"),
    [(content_2017, *row) for row in WRONG_2017] + [(content_2018, *row) for row in WRONG_2018],
)
def test_what_is_wrong_is_said_in_one_line(make: Callable[[], dict], keys, value, message):
    content = make()
    set_at(content, keys, value)
    with pytest.raises(ValueError, match=message) as error:
        columns_from_content(PATH, content, is_ground_truth=True)
    assert str(error.value).startswith(f"{PATH}: ")
    assert "\n" not in str(error.value)


def test_ground_truth_may_repeat_a_track_number_and_predictions_may_not():
    content = content_2017()
    content["annolist"][1]["annorect"][1]["track_id"] = [4]
    columns_from_content(PATH, content, is_ground_truth=True)
    with pytest.raises(ValueError, match="person 1: 'track_id' must occur once in a frame, got 4 twice"):
        columns_from_content(PATH, content, is_ground_truth=False)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("images", 0, "is_labeled"), "frame 0: 'is_labeled' must be true or false, got nothing"),
        (
            ("images", 0, "ignore_regions_x"),
            "frame 0: 'ignore_regions_x' and 'ignore_regions_y' must be lists, got one or none",
        ),
    ],
)
def test_posetrack21_wants_more_of_the_ground_truth(keys, message):
    content = content_2018()
    set_at(content, keys, KeyError)
    columns21_from_content(PATH, content, is_ground_truth=False)
    columns_from_content(PATH, content, is_ground_truth=True)
    with pytest.raises(ValueError, match=message):
        columns21_from_content(PATH, content, is_ground_truth=True)


def test_posetrack21_refuses_annotations_of_unlisted_images():
    content = content_2018()
    content["annotations"][0]["image_id"] = 77
    assert columns_from_content(PATH, content, is_ground_truth=True).num_people == 1
    with pytest.raises(ValueError, match="annotation 9: 'image_id' must be one of the 2 ids in 'images', got 77"):
        columns21_from_content(PATH, content, is_ground_truth=True)


def test_files_of_15_joints_are_read():
    content = content_2018()
    content["categories"][0]["keypoints"] = list(POSETRACK15.joints)
    for person in content["annotations"]:
        person["keypoints"], person["scores"] = person["keypoints"][:45], []
    columns = columns_from_content(PATH, content, is_ground_truth=True)
    assert set(columns.point_scores) == {NO_SCORE}


def test_broken_files_are_one_line(tmp_path):
    cases = {
        "cut.json": (b'{"a": [1, 2', "broken JSON at line 1"),
        "deep.json": (b"[" * 100000, "broken JSON: nested too deeply"),
        "long.json": (b"1" * 6000, "broken JSON: "),
        "binary.json": (b'"\xff"', "not a text file in UTF-8"),
        "cut.json.gz": (gzip.compress(b"[1, 2, 3]" * 100)[:-12], "broken gzip file"),
        "plain.json.gz": (b"[]", "broken gzip file"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as error:
            read_json(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_a_compressed_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tfpose.json_files._MOST_BYTES", 1 << 20)
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b" " * (2 << 20)))
    with pytest.raises(ValueError, match="more than 1 MiB when unpacked"):
        read_json(path)


@pytest.mark.parametrize(
    "rows",
    [[[1, 2.5], ["1", 2]], [[1, 2], None], [[1, 2], [1]], [[1, 2], [1, 2, 3]], [[1, 2], {"a": 1, "b": 2}], ["ab"]],
)
def test_rows_of_numbers_must_be_lists_of_their_length(rows):
    with pytest.raises(MALFORMED):
        number_rows(rows, 2)


def test_rows_of_numbers():
    assert number_rows([], 2).shape == (0, 2)
    assert number_rows([[1, True], [-2.5, 1e300]], 2).tolist() == [[1.0, 1.0], [-2.5, 1e300]]
    np.testing.assert_array_equal(score_rows([[1, None], [0.5, 2]], 2), [[1, np.nan], [0.5, 2]])
    for wrong in (np.nan, np.inf, -1e31):
        with pytest.raises(ValueError, match="numbers must be finite"):
            finite_rows([[1, 2], [3, wrong]], 2)
