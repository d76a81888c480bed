"""PoseTrack files: each format is read to the same structure, and written so that it is read back unchanged."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from tfpose import posetrack
from tfpose.poses import Poses
from tfpose.posetrack.format_2017 import posetrack17_from_sequence
from tfpose.posetrack.format_2018 import posetrack18_from_sequence
from tfpose.skeletons import COCO17, POSETRACK15, POSETRACK18

NOSE, NECK, ANKLE = (POSETRACK15.index(joint) for joint in ("nose", "head_bottom", "right_ankle"))


def keypoints_2018(joints=POSETRACK18.joints, **points) -> list:
    """A flat list with the given joints, e.g. nose=(x, y, flag)."""
    return [value for joint in joints for value in points.get(joint, (0, 0, 0))]


def content_2018() -> dict:
    """Two frames; people of both in mixed order, the second frame not labeled."""
    image = {"vid_id": "000342", "nframes": 2, "height": 20, "width": 30}
    name = "images/val/000342_mpii_test/{:06d}.jpg"
    return {
        "images": [
            {"id": 10003420000, "file_name": name.format(0), "is_labeled": True}
            | {"ignore_regions_x": [[0, 4, 4], []], "ignore_regions_y": [[0, 0, 4], []]}
            | image,
            {"id": 10003420001, "file_name": name.format(1), "is_labeled": False} | image,
        ],
        "annotations": [
            {"id": 3, "image_id": 10003420001, "track_id": 1, "keypoints": keypoints_2018(nose=(9, 9, 1))},
            {"id": 1, "image_id": 10003420000, "track_id": 0, "bbox": [1, 2, 3, 4], "bbox_head": [5, 6, 7, 8]}
            | {"keypoints": keypoints_2018(nose=(1.5, 2, 1), head_bottom=(3, 4, 0), right_ankle=(0, 0, 1))},
            {"id": 2, "image_id": 10003420000, "track_id": 1, "scores": [0.1 * n for n in range(17)], "bbox_head": []}
            | {"keypoints": keypoints_2018(left_ear=(8, 8, 1))},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(POSETRACK18.joints)}],
    }


def point(number, x, y, **more) -> dict:
    return {"id": [number], "x": [x], "y": [y], **{name: [value] for name, value in more.items()}}


def content_2017() -> dict:
    """People with all oddities that poseval accepts."""
    points = [
        point(13, 1, 2, score=0.5, is_visible=0),
        point(13, 7, 7, score=0.25),
        point(99, 8, 8),
        point(12, 0, 0, score=None),
    ]
    people = [
        {
            "track_id": [4],
            "x1": [1],
            "y1": [2],
            "x2": [3],
            "y2": [4],
            "annopoints": [{"point": points}],
            "score": [0.9],
        },
        {"track_id": [5], "annopoints": [{"point": []}]},
        {"annopoints": []},
        {"annopoints": [{}]},
    ]
    region = {"point": [{"x": [0], "y": [0]}, {"x": [4], "y": [0]}, {"x": [4], "y": [4]}]}
    return {
        "annolist": [
            {"image": [{"name": "images/bonn_5sec/000342_mpii/00000001.jpg"}], "annorect": people}
            | {"ignore_regions": [region, {"point": []}]},
            {"image": [{"name": "images/bonn_5sec/000342_mpii/00000002.jpg"}], "annorect": []},
        ]
    }


def write(path: pathlib.Path, content) -> pathlib.Path:
    path.write_text(json.dumps(content))
    return path


def assert_same_frames(first, second, without: tuple[str, ...] = ()):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for field in dataclasses.fields(one):
            if field.name in ("surplus", "ignore_regions", *without):
                continue
            expected, found = getattr(one, field.name), getattr(other, field.name)
            np.testing.assert_array_equal(expected, found, err_msg=f"{field.name} of frame {one.index}")
        for region, other_region in zip(one.ignore_regions, other.ignore_regions, strict=True):
            np.testing.assert_array_equal(region, other_region)


def test_2018_people_are_sorted_into_their_frames(tmp_path):
    sequence = posetrack.read_posetrack(write(tmp_path / "000342_mpii_test.json", content_2018()))
    first, second = sequence.frames
    assert sequence.name == "000342_mpii_test"
    assert (first.image_id, first.is_labeled, first.image_size) == (10003420000, True, (20, 30))
    assert (second.index, second.is_labeled) == (1, False)
    assert first.track_ids.tolist() == [0, 1]
    assert first.annotation_ids.tolist() == [1, 2]
    assert first.boxes[0].tolist() == [1, 2, 4, 6]
    assert first.head_boxes[0].tolist() == [5, 6, 12, 14]
    assert np.isnan(first.boxes[1]).all() and np.isnan(first.head_boxes[1]).all()
    assert [region.tolist() for region in first.ignore_regions] == [[[0, 0], [4, 0], [4, 4]], []]
    assert second.ignore_regions == ()
    assert second.keypoints[0, NOSE].tolist() == [9, 9]


def test_2018_joint_is_absent_only_when_all_three_numbers_are_zero(tmp_path):
    frame = posetrack.read_posetrack(write(tmp_path / "a.json", content_2018())).frames[0]
    assert frame.visibility[0].nonzero()[0].tolist() == sorted([NOSE, NECK, ANKLE])
    assert frame.visibility[0, [NOSE, NECK, ANKLE]].tolist() == [2, 1, 2]
    assert frame.keypoints[0, NECK].tolist() == [3, 4]
    # The second person has nothing but an ear, which the 15 joints lack.
    assert not frame.visibility[1].any()
    assert frame.has_points.all()


def test_2018_scores_are_those_of_the_joint_and_absent_ones_are_marked(tmp_path):
    frame = posetrack.read_posetrack(write(tmp_path / "a.json", content_2018())).frames[0]
    assert (frame.joint_scores[0] == posetrack.NO_SCORE).all()
    expected = [0.1 * POSETRACK18.index(joint) for joint in POSETRACK15.joints]
    np.testing.assert_allclose(frame.joint_scores[1], expected, rtol=1e-15)


def test_2018_order_of_joints_is_that_of_the_file(tmp_path):
    joints = list(reversed(POSETRACK15.joints))
    content = content_2018()
    content["categories"][0]["keypoints"] = joints
    content["annotations"] = [
        {"id": 1, "image_id": 10003420000, "keypoints": keypoints_2018(joints, nose=(1, 2, 1), right_ankle=(3, 4, 1))}
    ]
    frame = posetrack.read_posetrack(write(tmp_path / "a.json", content)).frames[0]
    assert frame.keypoints[0, NOSE].tolist() == [1, 2]
    assert frame.keypoints[0, ANKLE].tolist() == [3, 4]
    assert frame.track_ids.tolist() == [posetrack.NO_TRACK_ID]


def test_2018_a_null_score_becomes_not_a_number(tmp_path):
    content = content_2018()
    content["annotations"][2]["scores"][0] = None
    frame = posetrack.read_posetrack(write(tmp_path / "a.json", content)).frames[0]
    assert np.isnan(frame.joint_scores[1, NOSE])
    assert np.isfinite(frame.joint_scores[1, 1:]).all()


def test_skeleton_with_other_joints_takes_those_it_shares(tmp_path):
    frame = posetrack.read_posetrack(write(tmp_path / "a.json", content_2018()), COCO17).frames[0]
    assert frame.keypoints[0, COCO17.index("nose")].tolist() == [1.5, 2]
    assert frame.visibility[1].nonzero()[0].tolist() == [COCO17.index("left_ear")]


def test_2017_points_are_put_by_number_and_the_first_of_repeated_ones_counts(tmp_path):
    sequence = posetrack.read_posetrack(write(tmp_path / "a.json", content_2017()))
    frame = sequence.frames[0]
    assert frame.keypoints[0, NOSE].tolist() == [1, 2]
    assert frame.visibility[0, [NOSE, NECK]].tolist() == [1, 2]
    assert frame.visibility[0].sum() == 3
    assert frame.joint_scores[0, NOSE] == 0.5
    assert np.isnan(frame.joint_scores[0, NECK])
    assert frame.joint_scores[0, ANKLE] == posetrack.NO_SCORE
    assert frame.surplus.people.tolist() == [0, 0]
    assert frame.surplus.joints.tolist() == [NOSE, -1]
    assert frame.surplus.keypoints.tolist() == [[7, 7], [8, 8]]
    assert frame.surplus.scores.tolist() == [0.25, posetrack.NO_SCORE]


def test_2017_people_without_a_list_of_points_are_told_from_those_with_an_empty_one(tmp_path):
    sequence = posetrack.read_posetrack(write(tmp_path / "a.json", content_2017()))
    frame, last = sequence.frames
    assert frame.has_points.tolist() == [True, True, False, False]
    assert frame.track_ids.tolist() == [4, 5, posetrack.NO_TRACK_ID, posetrack.NO_TRACK_ID]
    assert frame.head_boxes[0].tolist() == [1, 2, 3, 4]
    assert np.isnan(frame.head_boxes[1:]).all()
    assert frame.scores[0] == 0.9
    assert [region.tolist() for region in frame.ignore_regions] == [[[0, 0], [4, 0], [4, 4]], []]
    assert frame.is_labeled and not last.is_labeled
    assert last.num_people == 0


def test_2017_objects_outside_of_lists_are_read_as_well(tmp_path):
    person = {"track_id": 3, "annopoints": {"point": {"id": 13, "x": 4, "y": 5}}}
    content = {"annolist": [{"image": {"name": "images/1_mpii/1.jpg"}, "annorect": person}]}
    frame = posetrack.read_posetrack(write(tmp_path / "a.json", content)).frames[0]
    assert frame.track_ids.tolist() == [3]
    assert frame.keypoints[0, NOSE].tolist() == [4, 5]


def test_posetrack21_has_joints_only_right_of_and_below_the_origin(tmp_path):
    content = content_2018()
    content["categories"][0]["keypoints"] = ["unknown"]
    frame = posetrack.read_posetrack21(write(tmp_path / "a.json", content)).frames[0]
    assert frame.visibility[0].nonzero()[0].tolist() == sorted([NOSE, NECK])
    del content["categories"]
    assert posetrack.read_posetrack21(write(tmp_path / "b.json", content)).frames[0].num_people == 2


@pytest.mark.parametrize("names", [list(POSETRACK18.joints)[::-1], list(COCO17.joints)])
def test_joints_in_another_order_than_that_of_posetrack21_are_refused(tmp_path, names):
    """Its format has one order, and no program looks at the names."""
    content = content_2018()
    content["categories"][0]["keypoints"] = names
    with pytest.raises(ValueError, match=f"'keypoints' must be in the order of PoseTrack21 .*, got {', '.join(names)}"):
        posetrack.read_posetrack21(write(tmp_path / "a.json", content))


@pytest.mark.parametrize("content", [content_2017(), content_2018()], ids=["2017", "2018"])
def test_each_format_is_written_as_it_was_read(tmp_path, content):
    first = posetrack.read_posetrack(write(tmp_path / "first.json", content))
    writer = posetrack.write_posetrack17 if "annolist" in content else posetrack.write_posetrack18
    writer(tmp_path / "second.json", first)
    second = posetrack.read_posetrack(tmp_path / "second.json")
    assert_same_frames(first.frames, second.frames)
    for one, other in zip(first.frames, second.frames, strict=True):
        for field in ("people", "joints", "keypoints", "scores"):
            np.testing.assert_array_equal(getattr(one.surplus, field), getattr(other.surplus, field))


def test_2017_to_2018_and_back_keeps_all_but_what_2018_has_no_place_for(tmp_path):
    first = posetrack.read_posetrack(write(tmp_path / "a.json", content_2017()))
    posetrack.write_posetrack18(tmp_path / "b.json", first)
    middle = posetrack.read_posetrack(tmp_path / "b.json")
    posetrack.write_posetrack17(tmp_path / "c.json", middle)
    last = posetrack.read_posetrack(tmp_path / "c.json")
    assert_same_frames(first.frames, last.frames, without=("has_points",))
    assert [frame.image_id for frame in middle.frames] == [10003420000, 10003420001]
    assert len(middle.frames[0].surplus.people) == 0


def test_2018_to_2017_and_back_keeps_joints_scores_and_tracks(tmp_path):
    first = posetrack.read_posetrack(write(tmp_path / "a.json", content_2018()))
    posetrack.write_posetrack17(tmp_path / "b.json", first)
    posetrack.write_posetrack18(tmp_path / "c.json", posetrack.read_posetrack(tmp_path / "b.json"))
    last = posetrack.read_posetrack(tmp_path / "c.json")
    # A score of an absent joint has no point to stand at.
    without = ("boxes", "image_size", "annotation_ids", "areas", "joint_scores")
    assert_same_frames(first.frames, last.frames, without)


def test_predictions_are_written_as_evaluators_want_them():
    poses = Poses(
        keypoints=np.full((2, 15, 2), 3.0),
        joint_scores=np.array([np.linspace(0, 1, 15), np.ones(15)]),
        scores=np.array([0.5, 1.0]),
        boxes=np.array([[0.0, 0, 2, 3], [1, 1, 4, 4]]),
        track_ids=np.array([7, -1]),
    )
    frame = posetrack.frame_from_poses("images/val/000342_mpii_test/000005.jpg", 5, poses)
    sequence = posetrack.PoseSequence("a", POSETRACK15, (frame,), pathlib.Path("a.json"))
    content = posetrack18_from_sequence(sequence)
    (image,) = content["images"]
    first, second = content["annotations"]
    assert image["id"] == image["frame_id"] == first["image_id"] == 10003420005
    assert image["vid_id"] == "000342"
    assert content["categories"][0]["keypoints"] == list(POSETRACK18.joints)
    assert len(first["keypoints"]) == 51 and len(first["scores"]) == 17
    # A score of 0 says that there is no joint; ears never are.
    assert first["keypoints"][:6] == [0, 0, 0, 3, 3, 1]
    assert first["keypoints"][9:15] == [0] * 6
    assert first["track_id"] == 7 and "track_id" not in second
    assert second["scores"][0] == 1
    assert first["bbox"] == [0, 0, 2, 3]
    (annotated,) = posetrack17_from_sequence(sequence)["annolist"]
    assert annotated["image"] == [{"name": frame.file_name}]
    assert len(annotated["annorect"][0]["annopoints"][0]["point"]) == 14


def test_poses_from_a_frame_and_back():
    poses = Poses(
        keypoints=np.arange(60.0).reshape(2, 15, 2),
        joint_scores=np.linspace(0.1, 1, 30).reshape(2, 15),
        scores=np.array([0.5, 1.0]),
        boxes=np.array([[0.0, 0, 2, 3], [1, 1, 4, 4]]),
        track_ids=np.array([7, -1]),
    )
    back = posetrack.poses_from_frame(posetrack.frame_from_poses("a.jpg", 0, poses))
    for field in dataclasses.fields(poses):
        np.testing.assert_array_equal(getattr(poses, field.name), getattr(back, field.name), err_msg=field.name)


def test_poses_of_ground_truth_are_sure_and_have_boxes(tmp_path):
    frame = posetrack.read_posetrack(write(tmp_path / "a.json", content_2017())).frames[0]
    frame = dataclasses.replace(frame, joint_scores=np.full_like(frame.joint_scores, posetrack.NO_SCORE))
    poses = posetrack.poses_from_frame(frame)
    assert poses.joint_scores[0, [NOSE, NECK, ANKLE]].tolist() == [1, 1, 0]
    assert poses.scores.tolist() == [0.9, 0, 0, 0]
    # From (0, 0) to (1, 2), grown by 15 % on every side.
    np.testing.assert_allclose(poses.boxes[0], [-0.15, -0.3, 1.15, 2.3])


def change_annotation(**fields):
    return lambda content: content["annotations"][1].update(fields)


def change_image(**fields):
    return lambda content: content["images"][0].update(fields)


def change_joint(content):
    content["categories"][0]["keypoints"][1] = "neck"


def drop_joint(content):
    content["categories"][0]["keypoints"].pop()


def change_regions(content):
    content["images"][0]["ignore_regions_x"][0].append(7)


def drop_name(content):
    del content["images"][0]["file_name"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_annotation(keypoints=[1, 2, 3]), "annotation 1: 'keypoints' must be 51 numbers.*17 joints, got 3"),
        (change_annotation(image_id=5), "annotation 1: 'image_id' must be one of the 2 ids in 'images', got 5"),
        (change_annotation(track_id="a"), "annotation 1: 'track_id' must be a whole number, got 'a'"),
        (change_annotation(scores=[1.0] * 3), "annotation 1: 'scores' must be 17 numbers or an empty list, got 3"),
        (change_annotation(bbox=[1, 2]), "annotation 1: 'bbox' must be 4 numbers"),
        (change_annotation(score="0.5"), "annotation 1: 'score' must be a number, got '0.5'"),
        (change_image(height=[720]), r"image 10003420000: 'height' and 'width' must be whole numbers, got"),
        (change_image(width=np.nan), "image 10003420000: 'height' and 'width' must be whole numbers"),
        (change_image(width="wide"), "image 10003420000: 'height' and 'width' must be whole numbers"),
        (change_joint, r"'categories': 'keypoints' must name head_bottom, got \['neck'\] instead"),
        (drop_joint, "'categories': 'keypoints' must be 15 or 17 joint names, got 16"),
        (change_image(is_labeled="0"), "image 10003420000: 'is_labeled' must be true or false, got '0'"),
        (
            change_image(ignore_regions_x=[3, 4, 5], ignore_regions_y=[3, 3, 6]),
            "'ignore_regions_y' must be equally long",
        ),
        (
            change_image(ignore_regions_x=[[None, 4, 5]], ignore_regions_y=[[3, 3, 6]]),
            "'ignore_regions_y' must be equally long lists of equally long lists of numbers",
        ),
        (change_regions, "image 10003420000: 'ignore_regions_x' and 'ignore_regions_y' must be equally long"),
        (drop_name, "image 10003420000: 'file_name' must be text, got None"),
    ],
)
def test_a_wrong_field_of_a_2018_file_is_named(tmp_path, change, message):
    content = content_2018()
    change(content)
    path = write(tmp_path / "wrong.json", content)
    with pytest.raises(ValueError, match=message) as error:
        posetrack.read_posetrack(path)
    assert str(error.value).startswith(f"{path}: ")


def test_annotations_of_unlisted_images_can_be_left_out_as_poseval_does(tmp_path):
    content = content_2018()
    change_annotation(image_id=5)(content)
    sequence = posetrack.read_posetrack(write(tmp_path / "a.json", content), drop_unknown_images=True)
    assert [frame.num_people for frame in sequence.frames] == [1, 1]
    assert sequence.num_unlisted == 1


@pytest.mark.parametrize("fields", [{}, {"is_labeled": None}])
def test_a_frame_with_people_is_labeled_unless_the_file_says_otherwise(tmp_path, fields):
    content = content_2018()
    for image in content["images"]:
        image.pop("is_labeled", None)
        image.update(fields)
    frames = posetrack.read_posetrack(write(tmp_path / "a.json", content)).frames
    assert [frame.is_labeled for frame in frames] == [frame.num_people > 0 for frame in frames]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.update(annorect=5), "frame 0: 'annorect' must be a list of people, got 5"),
        (lambda frame: frame["annorect"][0].update(x1=["1"]), "frame 0: 'x1', .* must be numbers"),
        (
            lambda frame: frame["annorect"][0]["annopoints"][0]["point"][0].update(x=["1"]),
            "frame 0: 'x' of a point must be a number, got '1'",
        ),
        (lambda frame: frame.pop("image"), "frame 0: 'image' must have a 'name', got None"),
        (lambda frame: frame["annorect"][0].update(track_id=["x"]), "frame 0: 'track_id' must be a whole number"),
        (
            lambda frame: frame["annorect"][1]["annopoints"][0]["point"].append({"id": [1], "x": [2]}),
            "frame 0: 'y' of a point must be a number, got None",
        ),
        (
            lambda frame: frame["annorect"][0]["annopoints"][0]["point"][0].update(is_visible=["1"]),
            "frame 0: 'is_visible' of a point must be a number, got '1'",
        ),
        (
            lambda frame: frame.update(ignore_regions=[{"point": [{"x": [None], "y": [2]}]}]),
            "frame 0: 'ignore_regions' must be lists of points with x and y",
        ),
    ],
)
def test_a_wrong_field_of_a_2017_file_is_named(tmp_path, change, message):
    content = content_2017()
    change(content["annolist"][0])
    with pytest.raises(ValueError, match=message):
        posetrack.read_posetrack(write(tmp_path / "wrong.json", content))


@pytest.mark.parametrize("people", [{}, {"annotations": None}, {"annotations": []}])
def test_a_file_of_a_test_set_has_frames_without_people(tmp_path, people):
    content = {name: value for name, value in content_2018().items() if name != "annotations"}
    for read in (posetrack.read_posetrack, posetrack.read_posetrack21):
        frames = read(write(tmp_path / "a.json", content | people)).frames
        assert len(frames) == len(content["images"]) and not any(frame.num_people for frame in frames)


def test_null_means_none(tmp_path):
    content = content_2018()
    fields = ("keypoints", "scores", "bbox", "bbox_head", "track_id", "area", "score")
    content["annotations"] = [{**content["annotations"][0], **dict.fromkeys(fields)}]
    content["images"][0] |= dict.fromkeys(("height", "width", "ignore_regions_x", "ignore_regions_y"))
    frames = posetrack.read_posetrack(write(tmp_path / "a.json", content)).frames
    (frame,) = (frame for frame in frames if frame.num_people)
    assert frame.track_ids.tolist() == [posetrack.NO_TRACK_ID]
    assert not frame.visibility.any() and np.isnan(frame.boxes).all()
    for people in ({}, {"annorect": None}, {"annorect": []}):
        content = {"annolist": [{"image": [{"name": "a/1.jpg"}], **people}]}
        assert posetrack.read_posetrack(write(tmp_path / "b.json", content)).frames[0].num_people == 0


def test_a_number_that_is_text_is_named_with_its_joint(tmp_path):
    content = content_2018()
    content["annotations"][0]["keypoints"][4] = "7"
    with pytest.raises(ValueError, match="'keypoints' must be 51 numbers: .*, got '7' for y of 'head_bottom'"):
        posetrack.read_posetrack(write(tmp_path / "a.json", content))


def test_a_file_that_is_none_of_the_formats_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'categories' must be a list of objects"):
        posetrack.read_posetrack(write(tmp_path / "a.json", {"images": []}))
    with pytest.raises(ValueError, match="got a file that holds a list"):
        posetrack.read_posetrack(write(tmp_path / "a.json", []))


def slow_points(content: dict) -> list[list[dict[str, tuple]]]:
    """Per frame and person: joint -> (x, y), read as plainly as can be."""
    if "annolist" in content:
        frames = []
        for frame in content["annolist"]:
            frames.append([])
            for person in frame["annorect"]:
                found = {}
                groups = person.get("annopoints") or [{}]
                for entry in groups[0].get("point", []):
                    number = entry["id"][0]
                    if 0 <= number < 15:
                        found.setdefault(posetrack.JOINTS_BY_NUMBER[number], (entry["x"][0], entry["y"][0]))
                frames[-1].append(found)
        return frames
    joints = content["categories"][0]["keypoints"]
    frames = {image["id"]: [] for image in content["images"]}
    for person in content["annotations"]:
        triples = [person["keypoints"][3 * n : 3 * n + 3] for n in range(len(joints))]
        found = {
            joint: (x, y) for joint, (x, y, flag) in zip(joints, triples, strict=True) if (x, y, flag) != (0, 0, 0)
        }
        if person["image_id"] in frames:
            frames[person["image_id"]].append({j: p for j, p in found.items() if j in POSETRACK15.joints})
    return list(frames.values())


CASES = (
    *("pt17_absent_joints", "pt17_basic", "pt17_edges", "pt17_handmade", "pt17_ties"),
    *("pt18_basic", "pt18_edges", "pt18_hota", "pt18_real_animated", "pt18_real_single"),
)


@pytest.mark.parametrize("case", CASES)
def test_files_of_the_evaluator_goldens_give_every_joint_and_survive_rewriting(shared_dir, tmp_path, case):
    files = sorted((shared_dir / "golden" / "poseval" / case).glob("*/*.json"))
    assert files
    for path in files:
        sequence = posetrack.read_posetrack(path, drop_unknown_images=True)
        found = [
            [
                {POSETRACK15.joints[j]: tuple(frame.keypoints[p, j]) for j in np.flatnonzero(frame.visibility[p])}
                for p in range(frame.num_people)
            ]
            for frame in sequence.frames
        ]
        content = json.loads(path.read_text())
        assert found == slow_points(content)
        writer = posetrack.write_posetrack17 if "annolist" in content else posetrack.write_posetrack18
        writer(tmp_path / "again.json", sequence)
        assert_same_frames(sequence.frames, posetrack.read_posetrack(tmp_path / "again.json").frames)


def test_both_conversions_of_real_sequences_agree(shared_dir):
    data = shared_dir / "data"
    files = sorted((data / "posetrack18_mini").glob("annotations*/*/*_bonn.json"))
    assert len(files) == 16
    for path in files:
        new = posetrack.read_posetrack(path)
        old = posetrack.read_posetrack(data / "posetrack17_mini" / path.relative_to(data / "posetrack18_mini"))
        for frame, old_frame in zip(new.frames, old.frames, strict=True):
            assert frame.track_ids.tolist() == old_frame.track_ids.tolist()
            np.testing.assert_allclose(frame.head_boxes, old_frame.head_boxes, atol=0.011)
            # The 2018 form lacks hidden joints.
            assert np.array_equal(frame.visibility == 2, old_frame.visibility == 2)
            is_visible = frame.visibility == 2
            np.testing.assert_array_equal(frame.keypoints[is_visible], old_frame.keypoints[is_visible])
