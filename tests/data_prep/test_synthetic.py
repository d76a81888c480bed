"""Synthetic videos: anatomy, drawing, annotations, determinism and files."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import subprocess
import sys

import cv2
import numpy as np
import pytest

from data_prep.synthetic import (
    SceneOptions,
    VideoSettings,
    generate_video,
    motion,
    paths,
    posetrack_files,
    rendering,
    write_posetrack18,
)
from data_prep.synthetic.annotations import HIDDEN, NOT_ANNOTATED, VISIBLE, Sighting, annotate, classify_joint
from data_prep.synthetic.appearance import sample_appearance
from data_prep.synthetic.camera import Camera
from data_prep.synthetic.figures import Figure, draw_person, owner_code
from data_prep.synthetic.scenes import build_scene
from tfpose.posetrack import read_posetrack
from tfpose.skeletons import POSETRACK15, POSETRACK18

SMALL = {"height": 68, "width": 120}
BODY = motion.Body(1.75)
LIGHT = rendering.Light((0.0, -0.6, 0.8), 0.6)
BONES = [
    (f"{side}_{start}", f"{side}_{end}")
    for side in motion.SIDES
    for start, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
] + [("hip_middle", "shoulder_middle"), ("left_shoulder", "right_shoulder"), ("head_bottom", "head_top")]


def _angles(legs: str, seconds: np.ndarray, speed: float = 1.3) -> motion.JointAngles:
    return motion.LEG_ACTIONS[legs](BODY, motion.Style(phase=0.4), seconds, speed * seconds)


def _figure(heading: float, legs: str = "stand", depth: float = 5.0) -> Figure:
    seconds = np.array([0.3])
    points = motion.build_skeleton(BODY, _angles(legs, seconds))
    course = paths.Standing((0.2, depth), heading).follow(seconds)
    world = {name: value[0] for name, value in motion.place_in_world(points, course).items()}
    looks = sample_appearance(np.random.default_rng(3), np.full((1, 3), 120.0))
    return Figure(world, dict.fromkeys(world, 0.0), heading, heading, BODY, looks)


# ---------------------------------------------------------------------------------------- camera


def test_one_point_is_projected_to_the_bits_of_many():
    camera = Camera(focal_length=571.3, center_x=233.7, horizon_y=81.2, height_meters=1.43)
    world = np.random.default_rng(0).uniform([-5, 0, 0.1], [5, 3, 20], (100, 3))
    np.testing.assert_array_equal([camera.project_point(*point) for point in world.tolist()], camera.project(world)[0])


# ---------------------------------------------------------------------------------------- motion


@pytest.mark.parametrize("legs", motion.LEG_ACTIONS)
def test_bones_keep_their_length_whatever_the_person_does(legs):
    seconds = np.linspace(0, 3, 40)
    points = motion.build_skeleton(BODY, _angles(legs, seconds))
    for start, end in BONES:
        lengths = np.linalg.norm(points[start] - points[end], axis=-1)
        np.testing.assert_allclose(lengths, lengths[0], rtol=1e-9, err_msg=f"{start} to {end}")


@pytest.mark.parametrize("arms", motion.ARM_ACTIONS)
def test_arm_actions_keep_the_bones_and_the_idle_arm(arms):
    seconds = np.linspace(0, 3, 20)
    idle = _angles("stand", seconds)
    acting = motion.ARM_ACTIONS[arms](idle, motion.Style(active_side=1), seconds)
    before, after = (motion.build_skeleton(BODY, angles) for angles in (idle, acting))
    np.testing.assert_array_equal(before["left_wrist"], after["left_wrist"])
    assert np.abs(before["right_wrist"] - after["right_wrist"]).max() > 0.1
    np.testing.assert_allclose(np.linalg.norm(after["right_wrist"] - after["right_elbow"], axis=-1), 0.146 * 1.75)


@pytest.mark.parametrize("legs", motion.LEG_ACTIONS)
def test_the_lower_foot_is_on_the_ground_or_as_high_as_the_jump(legs):
    angles = _angles(legs, np.linspace(0, 3, 40))
    points = motion.build_skeleton(BODY, angles)
    lowest = np.min([points[f"{side}_{end}"][:, 1] for side in motion.SIDES for end in ("heel", "toe")], axis=0)
    np.testing.assert_allclose(lowest, angles.lift, atol=1e-12)
    assert angles.lift.min() >= -1e-12


def test_standing_person_has_its_stature_and_looks_forward():
    points = motion.build_skeleton(BODY, _angles("stand", np.zeros(1)))
    assert points["head_top"][0, 1] == pytest.approx(1.75, abs=0.03)
    assert points["nose"][0, 2] > points["head_center"][0, 2] + 0.05
    assert points["left_toe"][0, 2] > points["left_heel"][0, 2] + 0.1
    assert points["left_hip"][0, 0] > 0 > points["right_hip"][0, 0]


def test_knees_bend_backwards_and_elbows_forwards():
    points = motion.build_skeleton(BODY, _angles("run", np.linspace(0, 2, 50), speed=3.0))
    for side in motion.SIDES:
        hip, knee, ankle = (points[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        assert np.all(np.cross(knee - hip, ankle - knee)[:, 0] > 0)
        shoulder, elbow, wrist = (points[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        assert np.all(np.cross(elbow - shoulder, wrist - elbow)[:, 0] < 0)


def test_the_standing_foot_of_a_walker_hardly_slides():
    speed, seconds = 1.3, np.linspace(0, 4, 800)
    points = motion.build_skeleton(BODY, _angles("walk", seconds, speed))
    course = paths.Line((0.0, 5.0), math.pi / 2, speed).follow(seconds)
    world = motion.place_in_world(points, course)
    feet = np.stack([(world[f"{side}_heel"] + world[f"{side}_toe"]) / 2 for side in motion.SIDES])
    speeds = np.abs(np.diff(feet[..., 0], axis=1)) / (seconds[1] - seconds[0])
    standing = np.take_along_axis(speeds, np.argmin(feet[:, 1:, 1], axis=0)[None], axis=0)
    assert np.median(standing) < 0.12 * speed
    assert np.median(speeds.max(axis=0)) > 1.2 * speed


@pytest.mark.parametrize(
    "path",
    [
        paths.Line((1.0, 6.0), 0.7, 1.4),
        paths.Loop((0.0, 6.0), 2.0, 0.5, 1.2),
        paths.Loop((0.0, 6.0), 0.0, 0.8, 1.2, start=3.0, is_mirrored=True),
    ],
)
def test_people_move_where_they_look_at_the_speed_of_their_path(path):
    seconds = np.linspace(0, 8, 4001)
    course = path.follow(seconds)
    velocity = np.diff(course.positions, axis=0) / (seconds[1] - seconds[0])
    ahead = np.stack([np.sin(course.headings), -np.cos(course.headings)], axis=1)[:-1]
    np.testing.assert_allclose(velocity, path.speed * ahead, atol=5e-3)


# ---------------------------------------------------------------------------------------- drawing


def test_capsule_lies_centered_on_its_fractional_end_points():
    canvas = rendering.Canvas.over(np.zeros((40, 60, 3)))
    flat = rendering.Light((0.0, 0.0, 0.0), 1.0)
    start, end = np.array([13.3, 20.8]), np.array([41.9, 11.1])
    capsule = rendering.Capsule(start, end, 4.0, 4.0)
    rendering.draw_capsule(canvas, capsule, np.full(3, 200.0), flat, rendering.Stroke(owner=7))
    weight = canvas.pixels[..., 0]
    rows, columns = np.mgrid[:40, :60]
    center = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    np.testing.assert_allclose(center, (start + end) / 2, atol=0.03)
    area = np.count_nonzero(canvas.owners == 7)
    assert area == pytest.approx(8 * np.linalg.norm(end - start) + 16 * math.pi, rel=0.03)


def test_ball_lies_centered_on_its_fractional_center():
    canvas = rendering.Canvas.over(np.zeros((40, 40, 3)))
    ball = rendering.Ball(np.array([18.6, 21.3]), np.array([0.0, -1.0]), 6.0, 9.0, 0.0)
    flat = rendering.Light((0.0, 0.0, 0.0), 1.0)
    rendering.draw_ball(canvas, ball, np.full(3, 200.0), flat, rendering.Stroke())
    weight = canvas.pixels[..., 0]
    rows, columns = np.mgrid[:40, :40]
    center = [(weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()]
    np.testing.assert_allclose(center, ball.center, atol=0.03)


@pytest.mark.parametrize("heading", [0.0, 0.9, 2.5, -1.6])
@pytest.mark.parametrize(
    ("part", "start", "end"),
    [("left_shin", "left_knee", "left_ankle"), ("right_forearm", "right_elbow", "right_wrist")],
)
def test_drawn_limb_runs_from_joint_to_joint(heading, part, start, end):
    camera, figure = Camera(420.0, 80.4, 60.7, 1.4), _figure(heading, "walk")
    canvas = rendering.Canvas.over(np.zeros((220, 180, 3)))
    draw_person(canvas, camera, LIGHT, figure, 0, frozenset([part]))
    rows, columns = np.nonzero(canvas.owners == owner_code(0, part))
    first, last = (camera.project(figure.world_points[name])[0] for name in (start, end))
    length = np.linalg.norm(last - first)
    along = (last - first) / length
    offset = np.stack([columns, rows], axis=1) - first
    across = offset @ [along[1], -along[0]]
    assert abs(across.mean()) < 0.25
    half_width = np.abs(across).max()
    reach = offset @ along
    assert reach.min() == pytest.approx(-half_width, abs=0.35 * half_width + 1)
    assert reach.max() == pytest.approx(length + 0.6 * half_width, abs=0.5 * half_width + 1)


def test_sprite_shows_what_was_drawn_and_lets_the_rest_through():
    def draw(image: np.ndarray) -> None:
        cv2.circle(image, (20, 15), 6, (200, 100, 50), -1, cv2.LINE_AA)

    sprite = rendering.cut_sprite(draw, (30, 40))
    background = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    canvas = rendering.Canvas.over(background)
    rendering.draw_sprite(canvas, sprite, (0, 0), rendering.OBJECT)
    expected = background.copy()
    draw(expected)
    # Color and opacity are read from 8-bit pictures, each rounded to one gray level.
    np.testing.assert_allclose(canvas.pixels, expected, atol=3)
    assert canvas.owners[15, 20] == rendering.OBJECT
    assert canvas.owners[3, 3] == rendering.NOBODY
    assert rendering.cut_sprite(lambda image: None, (30, 40)) is None


def test_left_is_on_the_right_of_the_image_only_for_people_facing_the_camera():
    camera = Camera(420.0, 90.0, 60.0, 1.4)
    for heading, sign in ((0.0, 1), (0.5, 1), (math.pi, -1), (math.pi - 0.5, -1)):
        points = _figure(heading).world_points
        left, right = (camera.project(points[f"{side}_shoulder"])[0][0] for side in ("left", "right"))
        assert sign * (left - right) > 5


def test_the_face_shows_from_the_front_and_not_from_behind():
    camera = Camera(900.0, 90.0, 60.0, 1.4)
    pictures = []
    for heading in (0.0, math.pi):
        canvas = rendering.Canvas.over(np.zeros((200, 180, 3)))
        draw_person(canvas, camera, LIGHT, _figure(heading), 0, frozenset(["head"]))
        pictures.append(canvas.pixels[canvas.owners > 0])
    spread = [np.std(picture.mean(axis=1)) for picture in pictures]
    assert abs(spread[0] - spread[1]) > 3


# ---------------------------------------------------------------------------------------- annotations


def _sighting(heading: float = 0.0) -> tuple[Sighting, np.ndarray]:
    camera, figure = Camera(420.0, 80.0, 60.0, 1.4), _figure(heading)
    canvas = rendering.Canvas.over(np.zeros((220, 180, 3)))
    draw_person(canvas, camera, LIGHT, figure, 0)
    points = {name: camera.project(value)[0] for name, value in figure.world_points.items()}
    depths = {name: float(value[2]) for name, value in figure.world_points.items()}
    area = int(np.count_nonzero(canvas.owners))
    return Sighting(0, 0, points, depths, 84.0, BODY.stature, math.cos(heading), area), canvas.owners


def test_joints_of_an_unobstructed_person_facing_the_camera_are_visible():
    sighting, owners = _sighting()
    flags = {joint: classify_joint(sighting, joint, owners) for joint in POSETRACK15.joints}
    assert set(flags.values()) == {VISIBLE}


def test_nose_is_hidden_when_the_face_turns_away_and_unknown_from_behind():
    flags = []
    for heading in (1.2, math.radians(110), math.pi):
        sighting, owners = _sighting(heading)
        flags.append(classify_joint(sighting, "nose", owners))
        assert classify_joint(sighting, "head_top", owners) == VISIBLE
    assert flags == [VISIBLE, HIDDEN, NOT_ANNOTATED]


def test_joint_deep_behind_an_object_is_not_annotated_and_just_behind_it_is_hidden():
    sighting, owners = _sighting()
    x, y = np.round(sighting.image_points["left_knee"]).astype(int)
    covered = owners.copy()
    covered[y - 40 : y + 40, x - 40 : x + 40] = rendering.OBJECT
    assert classify_joint(sighting, "left_knee", covered) == NOT_ANNOTATED
    thin = owners.copy()
    thin[y - 1 : y + 2] = rendering.OBJECT
    assert classify_joint(sighting, "left_knee", thin) == HIDDEN


def test_joint_outside_the_image_is_not_annotated():
    sighting, owners = _sighting()
    y = int(sighting.image_points["left_hip"][1]) + 10
    frame = annotate(np.zeros((y, 180, 3), np.uint8), owners[:y], [sighting])
    flags = dict(zip(POSETRACK15.joints, frame.visibility[0], strict=True))
    assert flags["left_knee"] == flags["right_ankle"] == NOT_ANNOTATED
    assert flags["left_hip"] == VISIBLE
    assert not frame.keypoints[0][frame.visibility[0] == NOT_ANNOTATED].any()


def test_a_rest_of_a_person_is_put_under_an_ignore_region():
    sighting, owners = _sighting()
    y = int(sighting.image_points["head_bottom"][1]) - 8
    frame = annotate(np.zeros((y, 180, 3), np.uint8), owners[:y], [sighting])
    assert len(frame.track_ids) == 0
    assert frame.keypoints.shape == (0, 15, 2)
    assert frame.boxes.shape == frame.head_boxes.shape == (0, 4)
    (region,) = frame.ignore_regions
    rows, columns = np.nonzero(owners[:y])
    inside = [cv2.pointPolygonTest(region, (float(x), float(y)), False) for x, y in zip(columns, rows, strict=True)]
    assert min(inside) > 0


@pytest.fixture(scope="module")
def small_videos():
    return {seed: list(generate_video(seed, 12, **SMALL)) for seed in range(14)}


def test_arrays_have_the_documented_shapes_and_types(small_videos):
    for frame in (frame for frames in small_videos.values() for frame in frames):
        people = len(frame.track_ids)
        assert frame.image.shape == (68, 120, 3)
        assert frame.image.dtype == np.uint8
        assert frame.keypoints.shape == (people, 15, 2)
        assert frame.visibility.shape == frame.is_labeled_joint.shape == (people, 15)
        assert frame.boxes.shape == frame.head_boxes.shape == (people, 4)
        assert frame.areas.shape == (people,)
        assert len(set(frame.track_ids.tolist())) == people


def test_annotated_joints_lie_inside_image_and_box(small_videos):
    for frame in (frame for frames in small_videos.values() for frame in frames):
        for points, is_labeled, box in zip(frame.keypoints, frame.is_labeled_joint, frame.boxes, strict=True):
            labeled = points[is_labeled]
            assert np.all((labeled > 0) & (labeled <= [119, 67]))
            extent = labeled.max(axis=0) - labeled.min(axis=0)
            np.testing.assert_allclose(box[:2], labeled.min(axis=0) - 0.15 * extent, atol=1e-3)
            np.testing.assert_allclose(box[2:], labeled.max(axis=0) + 0.15 * extent, atol=1e-3)
            assert not points[~is_labeled].any()


def test_head_boxes_contain_the_head_joints(small_videos):
    nose, top = POSETRACK15.index("nose"), POSETRACK15.index("head_top")
    for frame in (frame for frames in small_videos.values() for frame in frames):
        for points, is_labeled, box in zip(frame.keypoints, frame.is_labeled_joint, frame.head_boxes, strict=True):
            for joint in (nose, top):
                if is_labeled[joint]:
                    slack = 0.25 * (box[2:] - box[:2])
                    assert np.all(points[joint] >= box[:2] - slack)
                    assert np.all(points[joint] <= box[2:] + slack)


def test_videos_vary_in_people_sizes_and_visibility(small_videos):
    frames = [frame for video in small_videos.values() for frame in video]
    counts = {len(frame.track_ids) for frame in frames}
    assert {1, 2, 3, 4} <= counts
    assert max(counts) <= 5
    sizes = np.concatenate([frame.boxes[:, 3] - frame.boxes[:, 1] for frame in frames]) / 68
    assert np.percentile(sizes, 5) < 0.4
    assert np.percentile(sizes, 95) > 0.7
    flags = np.concatenate([frame.visibility.reshape(-1) for frame in frames])
    shares = np.bincount(flags, minlength=3) / len(flags)
    assert shares[VISIBLE] > 0.6
    assert shares[HIDDEN] > 0.05
    assert 0.01 < shares[NOT_ANNOTATED] < 0.3


def test_somebody_leaves_and_returns_with_the_same_track_id():
    returned = False
    for seed in range(40):
        seen = [set(frame.track_ids.tolist()) for frame in generate_video(seed, 20, height=34, width=60)]
        for track_id in set().union(*seen):
            present = [track_id in ids for ids in seen]
            returned |= any(not now and before for before, now in itertools.pairwise(present)) and (
                present[0] and present[-1]
            )
        if returned:
            break
    assert returned


def test_unlabeled_group_is_covered_by_one_ignore_region_in_the_image():
    options = SceneOptions(ignored_group_probability=1.0, mean_props=0.0)
    scene = build_scene(5, (135, 240), 2, options)
    assert sum(actor.track_id is None for actor in scene.actors) >= 3
    (frame,) = generate_video(5, 1, 135, 240, 2, options)
    region = frame.ignore_regions[0]
    assert len(region) >= 3
    assert np.all(region >= 0)
    assert np.all(region <= [239, 134])
    without = SceneOptions(ignored_group_probability=0.0, mean_props=0.0)
    assert all(actor.track_id is not None for actor in build_scene(5, (135, 240), 2, without).actors)


def test_people_and_background_move_together_when_the_camera_pans():
    options = SceneOptions(moving_camera_probability=1.0, ignored_group_probability=0.0, mean_props=0.0, place="street")
    compared = 0
    for seed in range(60):
        scene = build_scene(seed, (135, 240), 1, options)
        path = scene.actors[0].path
        is_still = scene.actors[0].legs == "stand" and isinstance(path, paths.Standing) and path.turn_rate == 0
        shift = abs(scene.pan.at(1.1)[0] - scene.pan.at(0.0)[0])
        if not is_still or shift < 6:
            continue
        frames = list(generate_video(seed, 12, 135, 240, 1, options))
        first, last = frames[0], frames[11]
        joints = [POSETRACK15.index(f"{side}_ankle") for side in motion.SIDES]
        if not all(len(f.track_ids) and f.is_labeled_joint[0, joints].all() for f in (first, last)):
            continue
        moved = (last.keypoints[0, joints] - first.keypoints[0, joints]).mean(axis=0)
        gray = [cv2.cvtColor(f.image, cv2.COLOR_RGB2GRAY)[:40].astype(np.float32) for f in (first, last)]
        window = cv2.createHanningWindow(gray[0].shape[::-1], cv2.CV_32F)
        background, _ = cv2.phaseCorrelate(*gray, window)
        assert abs(moved[0] - background[0]) < 1.0
        compared += 1
        if compared == 2:
            return
    pytest.fail("no seed shows a still person before a panning camera")


# ---------------------------------------------------------------------------------------- determinism


def _digest(seed: int, num_frames: int = 3) -> str:
    state = hashlib.sha256()
    for frame in generate_video(seed, num_frames, **SMALL):
        for value in (frame.image, frame.keypoints, frame.visibility, frame.boxes, frame.head_boxes, frame.areas):
            state.update(value.tobytes())
    return state.hexdigest()


def test_same_seed_gives_the_same_bytes_in_another_order_and_other_seeds_differ():
    forward = [_digest(seed) for seed in (1, 2, 3)]
    backward = [_digest(seed) for seed in (3, 2, 1)][::-1]
    assert forward == backward
    assert len(set(forward)) == 3


def test_interleaved_videos_do_not_disturb_each_other():
    alone = [frame.image for frame in generate_video(4, 3, **SMALL)]
    pairs = zip(generate_video(4, 3, **SMALL), generate_video(5, 3, **SMALL), strict=True)
    for expected, (frame, _) in zip(alone, pairs, strict=True):
        np.testing.assert_array_equal(frame.image, expected)


def test_a_short_video_is_the_beginning_of_a_longer_one():
    long = list(generate_video(6, 19, **SMALL))
    for length in (1, 5, 17):
        for short, frame in zip(generate_video(6, length, **SMALL), long, strict=False):
            np.testing.assert_array_equal(short.image, frame.image)
            np.testing.assert_array_equal(short.keypoints, frame.keypoints)
            np.testing.assert_array_equal(short.visibility, frame.visibility)


def test_another_process_gives_the_same_bytes(project_dir):
    code = f"import sys; sys.path[:0] = ['tests/data_prep', '.']; import test_synthetic as t; print(t._digest({8}))"
    result = subprocess.run([sys.executable, "-c", code], cwd=project_dir, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == _digest(8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 0, "num_frames": 0}, "num_frames must be at least 1, got 0"),
        ({"seed": 0, "height": 3}, "height must be at least 16, got 3"),
        ({"seed": 0, "max_people": 0}, "max_people must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_video(**arguments)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"place": "moon"}, "place must be one of street, .*'moon'"),
        ({"ignored_group_probability": 1.5}, "ignored_group_probability must be between 0 and 1, got 1.5"),
        ({"frames_per_second": 0}, "frames_per_second must be positive, got 0"),
        ({"person_sizes": (0.5, 0.2)}, "person_sizes must be 0 < smallest <= largest, got .0.5, 0.2."),
    ],
)
def test_wrong_options_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        SceneOptions(**values)


# ---------------------------------------------------------------------------------------- files


def _write(directory, **changes):
    arguments = {"splits": {"train": [1, 2], "val": [3]}, "num_frames": 3, "settings": VideoSettings((68, 120))}
    return write_posetrack18(directory, **(arguments | changes))


def test_people_with_few_joints_lie_under_ignore_regions():
    def frames(min_joints):
        options = SceneOptions(min_joints=min_joints)
        return [f for seed in range(12) for f in generate_video(seed, 2, 68, 120, 5, options)]

    usual, strict = frames(5), frames(12)
    counts = [np.count_nonzero(frame.visibility, axis=1) for frame in usual]
    assert any((count[count < 12] >= 5).any() for count in counts)
    for before, after, count in zip(usual, strict, counts, strict=True):
        np.testing.assert_array_equal(after.image, before.image)
        np.testing.assert_array_equal(after.track_ids, before.track_ids[count >= 12])
        assert len(after.ignore_regions) >= len(before.ignore_regions)
    with pytest.raises(ValueError, match="min_joints must be between 1 and 15, got 16"):
        SceneOptions(min_joints=16)


def test_splits_can_have_videos_of_different_lengths(tmp_path):
    written = _write(tmp_path, num_frames={"train": 1, "val": 2})
    assert [len(read_posetrack(path).frames) for path in written] == [1, 1, 2]


def test_files_follow_the_layout_of_posetrack_2018(tmp_path):
    written = _write(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in written] == [
        "annotations/train/000001_mpii_synthetic.json",
        "annotations/train/000002_mpii_synthetic.json",
        "annotations/val/000003_mpii_synthetic.json",
    ]
    frames = list(generate_video(3, 3, **SMALL))
    document = json.loads(written[2].read_text())
    (category,) = document["categories"]
    assert tuple(category["keypoints"]) == POSETRACK18.joints
    assert [image["id"] for image in document["images"]] == [10000030000, 10000030001, 10000030002]
    for image, frame in zip(document["images"], frames, strict=True):
        picture = cv2.imread(str(tmp_path / image["file_name"]))[..., ::-1]
        assert picture.shape == (68, 120, 3)
        assert np.abs(picture.astype(float) - frame.image).mean() < 12
        assert len(image["ignore_regions_x"]) == len(image["ignore_regions_y"]) == len(frame.ignore_regions)
        people = [person for person in document["annotations"] if person["image_id"] == image["id"]]
        assert [person["track_id"] for person in people] == frame.track_ids.tolist()
        for index, person in enumerate(people):
            _compare_person(person, frame, index)


def _compare_person(person, frame, index):
    values = np.array(person["keypoints"]).reshape(17, 3)
    for joint, (x, y, flag) in zip(POSETRACK18.joints, values, strict=True):
        if joint.endswith("_ear"):
            assert (x, y, flag) == (0, 0, 0)
            continue
        number = POSETRACK15.index(joint)
        np.testing.assert_allclose((x, y), frame.keypoints[index, number], atol=1e-3)
        assert flag == int(frame.visibility[index, number] > 0)
    x, y, width, height = person["bbox"]
    np.testing.assert_allclose((x, y, x + width, y + height), frame.boxes[index], atol=2e-3)
    x, y, width, height = person["bbox_head"]
    np.testing.assert_allclose((x, y, x + width, y + height), frame.head_boxes[index], atol=2e-3)


def test_the_reader_of_this_library_reads_the_files_back(tmp_path):
    (path,) = _write(tmp_path, splits={"val": [9]})
    sequence = read_posetrack(path)
    assert sequence.skeleton == POSETRACK15
    for frame, expected in zip(sequence.frames, generate_video(9, 3, **SMALL), strict=True):
        np.testing.assert_allclose(frame.keypoints, expected.keypoints, atol=1e-3)
        np.testing.assert_array_equal(frame.visibility > 0, expected.is_labeled_joint)
        np.testing.assert_allclose(frame.head_boxes, expected.head_boxes, atol=2e-3)
        np.testing.assert_array_equal(frame.track_ids, expected.track_ids)
        assert len(frame.ignore_regions) == len(expected.ignore_regions)


def test_finished_sequences_are_kept_and_others_made_again(tmp_path):
    first = _write(tmp_path)
    before = [path.stat().st_mtime_ns for path in first]
    first[1].unlink()
    again = _write(tmp_path)
    after = [path.stat().st_mtime_ns for path in again]
    assert after[0] == before[0]
    assert after[2] == before[2]
    assert again[1].is_file()
    _write(tmp_path, num_frames=2)
    assert len(json.loads(again[0].read_text())["images"]) == 2
    assert len(list((tmp_path / "images/train/000001_mpii_synthetic").iterdir())) == 2


def test_an_interrupted_sequence_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*arguments):
        yield next(generate_video(1, 1, **SMALL))
        raise KeyboardInterrupt

    monkeypatch.setattr(posetrack_files, "generate_video", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not (tmp_path / "images/train/000001_mpii_synthetic").exists()


def test_a_seed_in_two_splits_is_refused(tmp_path):
    with pytest.raises(ValueError, match="seeds must differ over all splits, got 2 twice"):
        _write(tmp_path, splits={"train": [1, 2], "val": [2]})


def test_files_do_not_depend_on_the_number_of_processes(tmp_path):
    one, two = (_write(tmp_path / str(count), num_processes=count) for count in (1, 2))
    for first, second in zip(one, two, strict=True):
        assert first.read_text() == second.read_text()
        name = first.relative_to(tmp_path / "1" / "annotations").with_suffix("")
        pictures = [sorted((tmp_path / count / "images" / name).iterdir()) for count in ("1", "2")]
        assert [path.read_bytes() for path in pictures[0]] == [path.read_bytes() for path in pictures[1]]


def test_people_have_the_sizes_that_are_asked_for():
    def median_height(sizes):
        options = SceneOptions(person_sizes=sizes, ignored_group_probability=0)
        frames = [frame for seed in range(6) for frame in generate_video(seed, 1, 135, 240, 3, options)]
        return np.median(np.concatenate([frame.boxes[:, 3] - frame.boxes[:, 1] for frame in frames]))

    assert median_height((0.2, 0.25)) < 0.4 * 135 < median_height((0.6, 0.7))
