"""Repairs of whole videos, on tracks worked out by hand."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from tracking_people import BODY, poses_from_keypoints

from tfpose.poses import Poses, no_poses
from tfpose.tracking.smoothing import (
    SmoothingSettings,
    drop_jumps,
    fill_gaps,
    keep_tracks,
    renumber_tracks,
    smooth_joints,
    smooth_video,
)


def frame(places: dict[int, float], scores: dict[int, float] | None = None) -> Poses:
    """People by track at these x coordinates."""
    if not places:
        return no_poses(5)
    keypoints = np.stack([BODY + [x, 0] for x in places.values()])
    person_scores = np.array([(scores or {}).get(i, 1.0) for i in places])
    return poses_from_keypoints(keypoints, np.ones((len(places), 5)), person_scores, list(places))


def places_of(frames: list[Poses]) -> list[dict[int, float]]:
    return [
        dict(zip(poses.track_ids.tolist(), np.round(poses.keypoints[:, 0, 0], 9).tolist(), strict=True))
        for poses in frames
    ]


def assert_same(frames: list[Poses], others: list[Poses]) -> None:
    assert len(frames) == len(others)
    for one, other in zip(frames, others, strict=True):
        for field in ("keypoints", "joint_scores", "scores", "boxes", "track_ids"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_defaults_only_renumber():
    frames = [frame({7: 0, 3: 100}), frame({}), frame({3: 110, 9: 5})]
    assert places_of(smooth_video(frames)) == [{0: 0, 1: 100}, {}, {1: 110, 2: 5}]


def test_tracks_in_too_few_frames_are_removed():
    frames = [frame({0: 0, 1: 100}), frame({0: 1}), frame({1: 101, 2: 50}), frame({1: 102})]
    assert places_of(keep_tracks(frames, 2)) == [{0: 0, 1: 100}, {0: 1}, {1: 101}, {1: 102}]
    assert places_of(keep_tracks(frames, 3)) == [{1: 100}, {}, {1: 101}, {1: 102}]


def test_tracks_with_a_low_mean_score_are_removed():
    frames = [frame({0: 0, 1: 100}, {0: 0.2, 1: 0.6}), frame({0: 0, 1: 100}, {0: 0.6, 1: 0.2})]
    frames.append(frame({0: 0}, {0: 0.6}))
    assert places_of(keep_tracks(frames, 1, min_score=0.45)) == [{0: 0}, {0: 0}, {0: 0}]


def test_a_video_shorter_than_the_shortest_track_keeps_who_is_in_every_frame():
    frames = [frame({0: 0, 1: 100}), frame({1: 101})]
    assert places_of(keep_tracks(frames, 6)) == [{1: 100}, {1: 101}]
    assert keep_tracks([], 6) == []


def test_people_missing_for_a_short_while_are_put_between():
    frames = [frame({0: 0}), frame({}), frame({1: 500}), frame({0: 30})]
    assert places_of(fill_gaps(frames, 2, 0)) == [{0: 0}, {0: 10}, {1: 500, 0: 20}, {0: 30}]
    assert places_of(fill_gaps(frames, 1, 5)) == [{0: 0}, {}, {1: 500}, {0: 30}]


def test_filled_people_have_the_lower_score_and_a_box_between():
    filled = fill_gaps([frame({0: 0}, {0: 0.5}), frame({}), frame({0: 30}, {0: 0.9})], 3, 0)[1]
    assert filled.scores.tolist() == [0.5]
    np.testing.assert_allclose(filled.boxes, [[15, 0, 35, 20]])


def test_missing_joints_are_filled_and_seen_ones_left_alone():
    frames = [frame({0: 0}), frame({0: 90}), frame({0: 20})]
    frames[1].joint_scores[0, 2] = 0.0
    frames[2].joint_scores[0, 2] = 0.4
    filled = fill_gaps(frames, 0, 1)[1]
    np.testing.assert_allclose(filled.keypoints[0, 2], BODY[2] + [10, 0])
    np.testing.assert_allclose(filled.keypoints[0, 3], BODY[3] + [90, 0])
    assert filled.joint_scores.tolist() == [[1, 1, 0.4, 1, 1]]


def test_joints_that_never_return_stay_absent():
    frames = [frame({0: 0}), frame({0: 10}), frame({0: 20})]
    for poses in frames[1:]:
        poses.joint_scores[0, 4] = 0.0
    assert [poses.joint_scores[0, 4] for poses in fill_gaps(frames, 5, 5)] == [1, 0, 0]


def test_joints_of_people_who_are_there_are_left_absent_unless_asked_for():
    # Joint 4 is missing in frames 1 and 2, the person only in frame 2.
    frames = [frame({0: 0}), frame({0: 10}), frame({}), frame({0: 30})]
    frames[1].joint_scores[0, 4] = 0.0
    assert [poses.joint_scores[0, 4] for poses in fill_gaps(frames, 2, 0)] == [1, 0, 1, 1]
    assert [poses.joint_scores[0, 4] for poses in fill_gaps(frames, 2, 2)] == [1, 1, 1, 1]
    assert [poses.joint_scores[0, 4] for poses in fill_gaps(frames, 1, 0)] == [1, 0, 0, 1]


def test_a_joint_whose_gap_is_longer_than_its_persons_stays_absent():
    # The person is missing in frame 1 only, joint 4 in frames 1 to 3.
    frames = [frame({0: 0}), frame({}), frame({0: 20}), frame({0: 30}), frame({0: 40})]
    frames[2].joint_scores[0, 4] = frames[3].joint_scores[0, 4] = 0.0
    filled = fill_gaps(frames, 2, 2)
    assert [poses.joint_scores[0, 4] for poses in filled] == [1, 0, 0, 0, 1]
    assert places_of(filled)[1] == {0: 10}


def test_a_joint_that_jumps_away_and_back_is_removed():
    frames = [frame({0: 0}) for _ in range(5)]
    # The square root of the box area is 20; the jump is 15.
    frames[2].keypoints[0, 4, 0] += 15
    assert drop_jumps(frames, 0.7, 2)[2].joint_scores.tolist() == [[1, 1, 1, 1, 0]]
    assert drop_jumps(frames, 0.8, 2)[2].joint_scores.tolist() == [[1, 1, 1, 1, 1]]
    others = [poses for number, poses in enumerate(drop_jumps(frames, 0.7, 2)) if number != 2]
    assert all((poses.joint_scores == 1).all() for poses in others)


def test_joints_in_steady_motion_are_no_jumps_at_the_ends_of_a_track_and_beside_gaps():
    # In the first frame, the median of the window of three frames is 15 away; the limit is 10.
    frames = [frame({0: 10 * number} if number not in (7, 8) else {}) for number in range(16)]
    kept = drop_jumps(frames, 0.5, 3)
    assert all((poses.joint_scores == 1).all() for poses in kept)


@pytest.mark.parametrize("number", [0, 1, 6, 11])
def test_a_joint_that_jumps_in_steady_motion_is_removed_also_at_the_ends_of_a_track(number):
    frames = [frame({0: 4 * number}) for number in range(12)]
    frames[number].keypoints[0, 4, 1] += 30
    kept = [poses.joint_scores[0].tolist() for poses in drop_jumps(frames, 0.7, 3)]
    assert kept == [[1, 1, 1, 1, 0] if place == number else [1] * 5 for place in range(12)]


@pytest.mark.parametrize("sigma", [0.5, 2.0, 10.0])
def test_constant_motion_stays_as_it_is(sigma):
    frames = [frame({0: 7.0 * t, 1: -3.0 * t} if t not in (4, 5) else {1: -3.0 * t}) for t in range(12)]
    smoothed = smooth_joints(frames, sigma)
    for expected, found in zip(frames, smoothed, strict=True):
        np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=1e-9)


def test_smoothing_by_hand():
    # Three frames 0, 3, 0 with Gaussian weights 1 and w = exp(-1/2) at the middle: the line is level by symmetry,
    # at 3 / (1 + 2 w).
    frames = [frame({0: 0}), frame({0: 3}), frame({0: 0})]
    expected = 3 / (1 + 2 * np.exp(-0.5))
    np.testing.assert_allclose(smooth_joints(frames, 1.0)[1].keypoints[0], BODY + [expected, 0])


def test_smoothing_lowers_noise():
    rng = np.random.default_rng(0)
    truth = [frame({0: 3.0 * t}) for t in range(60)]
    noisy = [frame({0: 3.0 * t}) for t in range(60)]
    for poses in noisy:
        poses.keypoints[...] += rng.normal(0, 2, poses.keypoints.shape)
    errors = [
        np.mean([np.square(a.keypoints - b.keypoints).mean() for a, b in zip(frames, truth, strict=True)])
        for frames in (noisy, smooth_joints(noisy, 2.0))
    ]
    # The mean of about 7 effective frames (2 sqrt(pi) sigma) has about a seventh of the variance.
    assert errors[1] < errors[0] / 4


def test_smoothing_weighs_by_score_and_keeps_absent_joints_absent():
    frames = [frame({0: 0}), frame({0: 3}), frame({0: 0})]
    frames[1].joint_scores[0, 0] = 0.0
    frames[0].joint_scores[0, 1] = frames[2].joint_scores[0, 1] = 1e-9
    smoothed = smooth_joints(frames, 1.0)
    assert smoothed[1].joint_scores[0, 0] == 0.0
    np.testing.assert_allclose(smoothed[0].keypoints[0, 0], BODY[0])
    np.testing.assert_allclose(smoothed[1].keypoints[0, 1], BODY[1] + [3, 0], atol=1e-6)


def test_a_lonely_sighting_stays_where_it_is():
    frames = [frame({0: 5}), frame({1: 8})]
    assert places_of(smooth_joints(frames, 3.0)) == [{0: 5}, {1: 8}]


def test_renumbering_follows_the_first_appearance():
    assert places_of(renumber_tracks([frame({5: 0}), frame({2: 1, 5: 3})])) == [{0: 0}, {1: 1, 0: 3}]


@hypothesis.settings(deadline=None)
@hypothesis.given(st.integers(0, 2**32 - 1))
def test_order_of_people_matters_to_no_track(seed):
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(6):
        ids = np.flatnonzero(rng.random(4) < 0.7)
        keypoints = 100.0 * ids[:, None, None] + BODY + rng.normal(0, 5, (len(ids), 5, 2))
        scores = rng.random((len(ids), 5)) * (rng.random((len(ids), 5)) < 0.8)
        frames.append(poses_from_keypoints(keypoints, scores, rng.random(len(ids)), ids) if len(ids) else no_poses(5))
    settings = SmoothingSettings(
        min_track_length_frames=2, max_jump=0.5, max_person_gap_frames=2, max_joint_gap_frames=1, sigma_frames=1.0
    )
    shuffled = [poses.select(rng.permutation(len(poses))) for poses in frames]

    def by_place(result: list[Poses]) -> list[Poses]:
        return [poses.select(np.argsort(poses.boxes[:, 0])) for poses in result]

    for one, other in zip(
        by_place(smooth_video(frames, settings)), by_place(smooth_video(shuffled, settings)), strict=True
    ):
        np.testing.assert_array_equal(one.joint_scores, other.joint_scores)
        np.testing.assert_array_equal(one.keypoints, other.keypoints)


def test_frames_given_are_left_alone():
    frames = [frame({0: 0, 1: 9}), frame({1: 1}), frame({0: 50})]
    frames[0].joint_scores[0, 1] = 0.0
    copies = [Poses(**{name: np.copy(value) for name, value in vars(poses).items()}) for poses in frames]
    settings = SmoothingSettings(max_jump=0.1, max_person_gap_frames=3, max_joint_gap_frames=3, sigma_frames=1.0)
    smooth_video(frames, settings)
    assert_same(frames, copies)


def test_videos_without_people():
    settings = SmoothingSettings(max_jump=0.1, max_person_gap_frames=3, max_joint_gap_frames=3, sigma_frames=1.0)
    assert smooth_video([], settings) == []
    assert [len(poses) for poses in smooth_video([no_poses(5)] * 3, settings)] == [0, 0, 0]


def test_identities_must_be_distinct_in_a_frame():
    keypoints = np.stack([BODY, BODY])
    twice = poses_from_keypoints(keypoints, np.ones((2, 5)), track_ids=[4, 4])
    with pytest.raises(ValueError, match=r"frame 1: track_ids must be distinct and at least 0, got \[4, 4\]"):
        smooth_video([frame({0: 0}), twice])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"min_track_length_frames": 0}, "min_track_length_frames must be at least 1, got 0"),
        ({"max_joint_gap_frames": -1}, "max_joint_gap_frames must be at least 0, got -1"),
        ({"sigma_frames": float("nan")}, "sigma_frames must be at least 0 and finite, got nan"),
        ({"max_jump": 0.0}, "max_jump must be positive, got 0.0"),
    ],
)
def test_wrong_settings_are_named(setting, message):
    with pytest.raises(ValueError) as error:
        SmoothingSettings(**setting)
    assert str(error.value) == message
