"""The tracker on frames worked out by hand, and its invariants."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import subprocess
import sys
from typing import get_args

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from tracking_people import BODY, ids_over_time, people_at, poses_from_keypoints

from tfpose.poses import no_poses
from tfpose.skeletons import skeleton_from_names
from tfpose.tracking.choice import TrackerChoice
from tfpose.tracking.settings import NAMED_SETTINGS, PAYER2017, TrackerSettings, setting_types
from tfpose.tracking.similarity import SIMILARITIES, Similarity
from tfpose.tracking.tracker import Tracker

SQUARE = skeleton_from_names("square", ("a", "b", "c", "d", "e"), sigmas=[0.1] * 5)


def test_payer_settings_are_those_of_the_paper():
    assert PAYER2017.similarity == "joint_distance" and PAYER2017.matching == "greedy"
    assert PAYER2017.max_joint_distance_pixels == 200 and PAYER2017.max_age_frames == 10
    assert PAYER2017.motion == "none" and PAYER2017.age_penalty_per_frame == 0
    assert Tracker().settings == PAYER2017


def test_first_frame_numbers_people_from_zero_in_their_order():
    tracked = Tracker().update(people_at([(500, 0), (0, 0), (900, 0)]))
    assert tracked.track_ids.tolist() == [0, 1, 2]


def test_frame_without_people_gives_none_and_keeps_tracks():
    frames = [people_at([(0, 0)]), no_poses(5), people_at([(5, 0)])]
    assert ids_over_time(Tracker(), frames) == [[0], [], [0]]


def test_video_that_starts_without_people():
    assert ids_over_time(Tracker(), [no_poses(5), no_poses(5), people_at([(0, 0)])]) == [[], [], [0]]


@pytest.mark.parametrize("settings", [PAYER2017, "online", TrackerSettings(min_joint_score=0.5, min_person_score=0.5)])
def test_frames_share_no_memory_with_what_the_tracker_was_given(settings):
    tracker, given, tracked = Tracker(settings), [], []
    for step in range(4):
        poses = people_at([(3 * step, 0), (500, 0)], [0.9, 0.4 if step == 2 else 0.9])
        given.append((poses, copy.deepcopy(poses)))
        tracked.append(tracker.update(poses))
    for (poses, before), after in zip(given, tracked, strict=True):
        for field in dataclasses.fields(poses):
            name = field.name
            np.testing.assert_array_equal(getattr(poses, name), getattr(before, name))
            assert not any(np.shares_memory(getattr(after, name), getattr(poses, name)) for poses, _ in given)
    later = copy.deepcopy(tracked)
    tracker.update(people_at([(20, 0), (500, 0)]))
    for frame, before in zip(tracked, later, strict=True):
        np.testing.assert_array_equal(frame.keypoints, before.keypoints)


def test_reset_forgets_people_and_numbers():
    tracker = Tracker()
    ids_over_time(tracker, [people_at([(0, 0), (500, 0)]), people_at([(0, 0), (500, 0), (900, 0)])])
    tracker.reset()
    assert tracker.update(people_at([(900, 0)])).track_ids.tolist() == [0]


@pytest.mark.parametrize("name", NAMED_SETTINGS)
@pytest.mark.parametrize("seed", range(10))
def test_second_poses_of_still_people_do_not_take_over_their_identities(name, seed):
    """Four people 100 pixels apart shake by a pixel; in every third frame one of them is found twice."""
    rng = np.random.default_rng(seed)
    tracker, ids = Tracker(name), {person: set() for person in range(4)}
    for index in range(60):
        places = [(100 * person + rng.uniform(-1, 1), rng.uniform(-1, 1)) for person in range(4)]
        scores = [*rng.uniform(0.6, 1, 4)]
        if index % 3 == 1:
            person = rng.integers(4)
            places.append((100 * person + rng.uniform(-1, 1), rng.uniform(-1, 1)))
            scores.append(0.5)
        order = rng.permutation(len(places))
        tracked = tracker.update(people_at([places[i] for i in order], [scores[i] for i in order]))
        # Between them, which of the two poses continues the track is anybody's guess.
        if index % 3 != 1:
            for person, row in enumerate(np.argsort(order)):
                ids[person].add(int(tracked.track_ids[row]))
    assert all(len(of_person) == 1 for of_person in ids.values())


def test_second_pose_that_walks_away_is_a_person():
    """Two people start in one place. One walks away, the other vanishes: whoever is left keeps the own identity."""
    frames = [people_at([(0, 0), (1, 0)], [0.9, 0.8]), people_at([(0, 0), (40, 0)]), people_at([(42, 0)])]
    assert ids_over_time(Tracker(), frames) == [[0, 1], [0, 1], [1]]


def test_without_a_distance_all_tracks_are_alike():
    frames = [people_at([(0, 0), (2, 0)], [0.9, 0.8]), people_at([(2, 0)])]
    assert ids_over_time(Tracker(), frames) == [[0, 1], [0]]
    assert ids_over_time(Tracker(TrackerSettings(second_pose_distance=0)), frames) == [[0, 1], [1]]


def test_two_trackers_share_nothing():
    first, second = Tracker(), Tracker()
    first.update(people_at([(0, 0), (500, 0)]))
    assert second.update(people_at([(500, 0)])).track_ids.tolist() == [0]


def test_people_in_another_order_keep_their_numbers():
    frames = [people_at([(0, 0), (300, 0), (600, 0)]), people_at([(610, 0), (10, 0), (310, 0)])]
    assert ids_over_time(Tracker(), frames) == [[0, 1, 2], [2, 0, 1]]


def test_the_threshold_is_exclusive():
    # "under a certain threshold": 199 px is a match, 200 px is not.
    assert ids_over_time(Tracker(), [people_at([(0, 0)]), people_at([(199, 0)])]) == [[0], [0]]
    assert ids_over_time(Tracker(), [people_at([(0, 0)]), people_at([(200, 0)])]) == [[0], [1]]


@pytest.mark.parametrize(("missing_frames", "expected"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1)])
def test_gap_longer_than_max_age_starts_a_new_track(missing_frames, expected):
    # max_age_frames = 3: a person may come back 3 frames after the last sighting, with 2 frames in between.
    tracker = Tracker(TrackerSettings(max_age_frames=3))
    frames = [people_at([(0, 0)]), *[no_poses(5)] * missing_frames, people_at([(0, 0)])]
    assert ids_over_time(tracker, frames)[-1] == [expected]


def test_age_counts_from_the_last_sighting():
    tracker = Tracker(TrackerSettings(max_age_frames=2))
    frames = [people_at([(0, 0)]), no_poses(5)] * 4
    assert ids_over_time(tracker, frames) == [[0], []] * 4


def test_a_number_is_not_given_twice_after_its_track_ended():
    frames = [people_at([(0, 0)]), no_poses(5), no_poses(5), people_at([(0, 0)])]
    assert ids_over_time(Tracker(TrackerSettings(max_age_frames=2)), frames) == [[0], [], [], [1]]


def test_matching_is_one_to_one():
    # Both are within 200 px of the only track; the nearer one continues it.
    frames = [people_at([(0, 0)]), people_at([(50, 0), (20, 0)])]
    assert ids_over_time(Tracker(), frames) == [[0], [1, 0]]


def test_a_track_that_was_lost_competes_with_its_last_pose():
    # Person 0 is hidden in the second frame and back in the third, where person 1 stands still.
    frames = [people_at([(0, 0), (100, 0)]), people_at([(100, 0)]), people_at([(100, 0), (30, 0)])]
    assert ids_over_time(Tracker(), frames) == [[0, 1], [1], [1, 0]]


def test_crossing_people_swap_without_prediction_and_keep_their_numbers_with_it():
    # Two people walk through each other, 30 px a frame: between frame 2 (60 and 90) and 3 (90 and 60), each
    # stands where the other one was.
    frames = [people_at([(30 * t, 0), (150 - 30 * t, 0)]) for t in range(6)]
    assert ids_over_time(Tracker(), frames)[-1] == [1, 0]
    with_velocity = Tracker(TrackerSettings(motion="velocity"))
    assert ids_over_time(with_velocity, frames) == [[0, 1]] * 6


def test_velocity_carries_over_a_gap():
    # 40 px a frame; after four frames without detections the person is 200 px from the last pose.
    walk = [people_at([(40 * t, 0)]) for t in range(4)]
    frames = [*walk, *[no_poses(5)] * 4, people_at([(40 * 8, 0)])]
    assert ids_over_time(Tracker(), frames)[-1] == [1]
    assert ids_over_time(Tracker(TrackerSettings(motion="velocity", velocity_memory=0.0)), frames)[-1] == [0]


def test_velocity_stops_after_max_prediction_frames():
    # 30 px a frame, last seen at 90: two predicted frames lead to 150; the person returns 6 frames later at 290.
    frames = [*[people_at([(30 * t, 0)]) for t in range(4)], *[no_poses(5)] * 5, people_at([(290, 0)])]
    settings = TrackerSettings(motion="velocity", velocity_memory=0.0, max_joint_distance_pixels=130)
    stopped = dataclasses.replace(settings, max_prediction_frames=2)
    assert ids_over_time(Tracker(settings), frames)[-1] == [0]
    assert ids_over_time(Tracker(stopped), frames)[-1] == [1]


def test_distance_is_the_median_over_joints_present_in_both():
    # Of the joints in both poses two moved by 10 and one by 1000; the absent one would make it 1000 of four.
    keypoints = BODY[None].copy()
    moved = keypoints + np.array([[10.0, 0], [10, 0], [1000, 0], [1000, 0], [1000, 0]])
    scores = np.array([[1.0, 1, 1, 0, 1]])
    later_scores = np.array([[1.0, 1, 1, 1, 0]])
    frames = [poses_from_keypoints(keypoints, scores), poses_from_keypoints(moved, later_scores)]
    assert ids_over_time(Tracker(), frames) == [[0], [0]]
    everything = [dataclasses.replace(poses, joint_scores=np.ones((1, 5))) for poses in frames]
    assert ids_over_time(Tracker(), everything) == [[0], [1]]


def test_poses_without_common_joints_do_not_match_unless_joints_are_remembered():
    upper, lower = np.array([[1.0, 1, 0, 0, 0]]), np.array([[0.0, 0, 1, 1, 1]])
    frames = [poses_from_keypoints(BODY[None], scores) for scores in (np.ones((1, 5)), upper, lower)]
    assert ids_over_time(Tracker(), frames) == [[0], [0], [1]]
    assert ids_over_time(Tracker(TrackerSettings(remember_joints=True)), frames) == [[0], [0], [0]]


def test_remembered_joints_move_along():
    # The lower joints are hidden while the person moves by 3 x 100 px, and come back alone.
    upper, lower = np.array([[1.0, 1, 0, 0, 0]]), np.array([[0.0, 0, 1, 1, 1]])
    frames = [poses_from_keypoints(BODY[None], np.ones((1, 5)))]
    frames += [poses_from_keypoints(BODY[None] + [100.0 * t, 0], upper) for t in (1, 2, 3)]
    frames += [poses_from_keypoints(BODY[None] + [300.0, 0], lower)]
    settings = TrackerSettings(remember_joints=True, max_joint_distance_pixels=150)
    assert ids_over_time(Tracker(settings), frames) == [[0]] * 5


def test_optimal_matching_keeps_two_people_of_whom_greedy_loses_one():
    # Track 0 at 0, track 1 at 110; people at 60 and 250. |0 - 60| = 60, |0 - 250| = 250, |110 - 60| = 50,
    # |110 - 250| = 140: greedy takes the 50, which leaves nobody within 200 px of track 0; 60 + 140 is optimal.
    frames = [people_at([(0, 0), (110, 0)]), people_at([(60, 0), (250, 0)])]
    assert ids_over_time(Tracker(), frames) == [[0, 1], [1, 2]]
    assert ids_over_time(Tracker(TrackerSettings(matching="optimal")), frames) == [[0, 1], [0, 1]]


def test_age_penalty_prefers_the_track_seen_later():
    # Person 0 at 0 is missing for one frame; the person found at 50 is 50 px from there and 52 from person 1 at 102.
    frames = [people_at([(0, 0), (102, 0)]), people_at([(102, 0)]), people_at([(50, 0)])]
    assert ids_over_time(Tracker(), frames)[-1] == [0]
    assert ids_over_time(Tracker(TrackerSettings(age_penalty_per_frame=0.1)), frames)[-1] == [1]


def test_oks_threshold_depends_on_the_size_of_the_person():
    # exp(-d^2 / (8 sigma^2 area)) with d = 4, sigma = 0.1, area = 400: exp(-0.5) = 0.607.
    frames = [people_at([(0, 0)]), people_at([(4, 0)])]
    for min_oks, expected in ((0.60, 0), (0.61, 1)):
        tracker = Tracker(TrackerSettings(similarity="oks", min_oks=min_oks), SQUARE)
        assert ids_over_time(tracker, frames)[-1] == [expected]


def test_iou_threshold():
    # Boxes 20 x 20 shifted by 10: 200 / 600 = 1/3.
    frames = [people_at([(0, 0)]), people_at([(10, 0)])]
    for min_iou, expected in ((0.33, 0), (0.34, 1)):
        tracker = Tracker(TrackerSettings(similarity="iou", min_iou=min_iou))
        assert ids_over_time(tracker, frames)[-1] == [expected]


def test_people_without_a_box_get_one_around_their_joints():
    frames = [people_at([(0, 0)]), people_at([(10, 0)])]
    frames = [dataclasses.replace(poses, boxes=np.zeros((1, 4))) for poses in frames]
    assert ids_over_time(Tracker(TrackerSettings(similarity="iou", min_iou=0.3)), frames) == [[0], [0]]


def test_weak_joints_are_removed_before_tracking_and_from_the_result():
    poses = poses_from_keypoints(BODY[None], np.array([[0.9, 0.3, 0.31, 0.0, 0.1]]))
    tracked = Tracker(TrackerSettings(min_joint_score=0.3)).update(poses)
    assert tracked.joint_scores.tolist() == [[0.9, 0.0, 0.31, 0.0, 0.0]]
    assert poses.joint_scores[0, 1] == 0.3, "the input is left alone"


def test_people_with_too_few_joints_are_removed():
    poses = poses_from_keypoints(np.stack([BODY, BODY + 500]), np.array([[1.0, 1, 0, 0, 0], [1, 1, 1, 0, 0]]))
    tracked = Tracker(TrackerSettings(min_joints=3)).update(poses)
    assert tracked.keypoints.tolist() == [(BODY + 500).tolist()] and tracked.track_ids.tolist() == [0]


def test_weak_people_are_removed():
    tracked = Tracker(TrackerSettings(min_person_score=0.5)).update(people_at([(0, 0), (500, 0)], [0.4, 0.5]))
    assert tracked.scores.tolist() == [0.5]


def test_people_of_unknown_scores_are_tracked():
    frames = [people_at([(0, 0)], [np.nan]), people_at([(10, 0)], [np.nan])]
    assert ids_over_time(Tracker(), frames) == [[0], [0]]


def test_weak_people_continue_tracks_but_start_none():
    settings = TrackerSettings(min_new_track_score=0.5)
    frames = [
        people_at([(0, 0), (500, 0)], [0.9, 0.2]),
        people_at([(500, 0), (10, 0)], [0.2, 0.2]),
        people_at([(500, 0), (10, 0)], [0.8, 0.2]),
    ]
    assert ids_over_time(Tracker(settings), frames) == [[0], [0], [1, 0]]


def test_default_settings_return_everybody():
    poses = poses_from_keypoints(np.stack([BODY, BODY]), np.zeros((2, 5)), np.array([-1.0, 0.0]))
    assert Tracker().update(poses).track_ids.tolist() == [0, 1]


def test_joints_that_are_not_a_number_are_absent():
    keypoints = BODY[None].copy()
    keypoints[0, 2] = np.nan
    tracker = Tracker(TrackerSettings(motion="velocity", remember_joints=True))
    frames = [people_at([(0, 0)]), poses_from_keypoints(keypoints, np.ones((1, 5))), people_at([(0, 0)])]
    tracked = [tracker.update(poses) for poses in frames]
    assert [poses.track_ids.tolist() for poses in tracked] == [[0], [0], [0]]
    assert tracked[1].joint_scores.tolist() == [[1, 1, 0, 1, 1]]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"similarity": "cosine"}, "similarity must be one of ('joint_distance', 'oks', 'iou'), got 'cosine'"),
        ({"matching": "best"}, "matching must be one of ('greedy', 'optimal'), got 'best'"),
        ({"max_age_frames": 0}, "max_age_frames must be at least 1, got 0"),
        ({"max_joint_distance_pixels": float("inf")}, "max_joint_distance_pixels must be positive and finite, got inf"),
        ({"min_oks": 1.0}, "min_oks must be in [0, 1), got 1.0"),
        ({"velocity_memory": -0.5}, "velocity_memory must be in [0, 1), got -0.5"),
    ],
)
def test_wrong_settings_are_named(setting, message):
    with pytest.raises(ValueError) as error:
        TrackerSettings(**setting)
    assert str(error.value) == message


def test_oks_without_a_skeleton_is_an_error():
    with pytest.raises(ValueError, match="skeleton must be given for the similarity 'oks'"):
        Tracker(TrackerSettings(similarity="oks"))


def test_number_of_joints_must_stay():
    tracker = Tracker()
    tracker.update(people_at([(0, 0)]))
    with pytest.raises(ValueError, match="must have the 5 joints of the frames before, got 17"):
        tracker.update(no_poses(17))
    with pytest.raises(ValueError, match="must have the 5 joints of skeleton square, got 17"):
        Tracker(skeleton=SQUARE).update(no_poses(17))


def random_video(seed: int, num_joints: int = 5) -> list:
    """A few people who walk, come, go and lose joints; no two distances are equal."""
    rng = np.random.default_rng(seed)
    num_people, num_frames = rng.integers(1, 6), 8
    places = rng.uniform(0, 400, (num_people, 1, 2)) + rng.normal(0, 20, (num_people, num_joints, 2))
    frames = []
    for _ in range(num_frames):
        places = places + rng.normal(0, 40, (num_people, 1, 2)) + rng.normal(0, 3, places.shape)
        is_there = rng.random(num_people) < 0.8
        joint_scores = (rng.random((num_people, num_joints)) < 0.8) * rng.uniform(0.1, 1, (num_people, num_joints))
        frames.append(
            poses_from_keypoints(places[is_there], joint_scores[is_there], rng.uniform(0.1, 1, is_there.sum()))
        )
    return frames


VARIANTS = [
    {"matching": matching, "similarity": similarity, **options}
    for matching, similarity, options in itertools.product(
        ("greedy", "optimal"),
        ("joint_distance", "oks", "iou"),
        (
            {},
            {"motion": "velocity", "age_penalty_per_frame": 0.2, "remember_joints": True, "max_age_frames": 2},
            {"min_joint_score": 0.3, "min_joints": 1, "min_person_score": 0.2, "min_new_track_score": 0.4},
        ),
    )
]


@hypothesis.settings(deadline=None)
@hypothesis.given(st.integers(0, 2**32 - 1), st.sampled_from(VARIANTS))
def test_permuting_people_permutes_identities_only(seed, variant):
    rng = np.random.default_rng(seed)
    straight, shuffled = (Tracker(TrackerSettings(**variant), SQUARE) for _ in range(2))
    names: dict[int, int] = {}
    for poses in random_video(seed):
        order = rng.permutation(len(poses))
        expected, found = straight.update(poses), shuffled.update(poses.select(order))
        # Bring both into one order, by a coordinate that tells people apart.
        expected = expected.select(np.argsort(expected.keypoints[:, 0, 0]))
        found = found.select(np.argsort(found.keypoints[:, 0, 0]))
        np.testing.assert_array_equal(expected.keypoints, found.keypoints)
        np.testing.assert_array_equal(expected.joint_scores, found.joint_scores)
        for one, other in zip(expected.track_ids.tolist(), found.track_ids.tolist(), strict=True):
            assert names.setdefault(one, other) == other
    assert len(set(names.values())) == len(names)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.integers(0, 2**32 - 1), st.sampled_from(VARIANTS))
def test_numbers_are_distinct_in_a_frame_and_used_without_holes(seed, variant):
    tracker = Tracker(TrackerSettings(**variant), SQUARE)
    seen: set[int] = set()
    for poses in random_video(seed):
        ids = tracker.update(poses).track_ids.tolist()
        assert len(set(ids)) == len(ids)
        seen.update(ids)
        assert seen == set(range(len(seen)))


@hypothesis.settings(deadline=None)
@hypothesis.given(st.integers(0, 2**32 - 1), st.sampled_from(VARIANTS))
def test_a_reset_tracker_is_a_new_one(seed, variant):
    frames = random_video(seed)
    tracker = Tracker(TrackerSettings(**variant), SQUARE)
    first = ids_over_time(tracker, frames)
    tracker.reset()
    assert ids_over_time(tracker, frames) == first


@hypothesis.settings(deadline=None)
@hypothesis.given(st.integers(0, 2**32 - 1))
def test_payers_tracker_follows_the_text_of_the_paper(seed):
    frames = random_video(seed)
    assert ids_over_time(Tracker(), frames) == payer_as_written(frames, max_distance=200.0, max_age=10)


def payer_as_written(frames: list, max_distance: float, max_age: int) -> list[list[int]]:
    """Section 3 of the paper sentence by sentence, one pair at a time."""
    last_pose: dict[int, tuple] = {}
    all_ids, next_id = [], 0
    for frame, poses in enumerate(frames):
        known = {i: pose for i, (seen, *pose) in last_pose.items() if frame - seen <= max_age}
        ids = [None] * len(poses)
        while True:
            candidates = []
            for i, (keypoints, scores) in known.items():
                for person in range(len(poses)):
                    both = (scores > 0) & (poses.joint_scores[person] > 0)
                    if ids[person] is None and i not in ids and both.any():
                        steps = np.linalg.norm(keypoints - poses.keypoints[person], axis=1)[both]
                        candidates.append((float(np.median(steps)), i, person))
            if not candidates or min(candidates)[0] >= max_distance:
                break
            _, i, person = min(candidates)
            ids[person] = i
        for person in range(len(poses)):
            if ids[person] is None:
                ids[person], next_id = next_id, next_id + 1
            last_pose[ids[person]] = (frame, poses.keypoints[person], poses.joint_scores[person])
        all_ids.append(ids)
    return all_ids


def test_tracking_does_not_import_tensorflow(project_dir):
    modules = ("tracker", "similarity", "assignment", "smoothing", "tuning", "video")
    program = (
        "import sys\n"
        + "".join(f"import tfpose.tracking.{module}\n" for module in modules)
        + "loaded = {name.split('.')[0] for name in sys.modules} & {'tensorflow', 'keras', 'jax', 'torch'}\n"
        + "sys.exit(', '.join(sorted(loaded)) or None)"
    )
    finished = subprocess.run([sys.executable, "-c", program], cwd=project_dir, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("name", list(NAMED_SETTINGS))
def test_a_tracker_takes_settings_by_name(name):
    assert Tracker(name).settings == NAMED_SETTINGS[name][0]


def test_an_unknown_name_of_settings_is_one_line():
    with pytest.raises(ValueError, match=r"^settings must be one of payer2017, online, offline, got 'best'$"):
        Tracker("best")
    with pytest.raises(ValueError, match="settings must be TrackerSettings or their name, got dict"):
        Tracker({"similarity": "iou"})
    with pytest.raises(ValueError, match=r"^--tracker.settings must be one of payer2017, online, offline, got 'best'$"):
        TrackerChoice("best")


def test_an_added_similarity_takes_one_dict_entry(monkeypatch):
    def compare_centers(tracks, people, skeleton):
        del skeleton
        centers = [(side.boxes[:, :2] + side.boxes[:, 2:]) / 2 for side in (tracks, people)]
        return np.abs(centers[0][:, None] - centers[1][None]).max(axis=-1)

    added = Similarity(compare_centers, "max_joint_distance_pixels", lambda pixels: 2 * pixels)
    monkeypatch.setitem(SIMILARITIES, "centers", added)
    assert "centers" in get_args(setting_types()["similarity"])
    frames = [people_at([(0, 0)]), people_at([(19, 0)]), people_at([(40, 0)])]
    choice = TrackerChoice("payer2017", {"similarity": "centers", "max_joint_distance_pixels": 10.0})
    assert ids_over_time(Tracker(choice.settings()[0]), frames) == [[0], [0], [1]]
