"""Whole videos: the tracker and the repairs together, and what they reach on annotated poses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tracking_people import people_at

from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_sequences
from tfpose.poses import no_poses
from tfpose.posetrack import frame_from_poses, poses_from_frame, read_posetrack
from tfpose.skeletons import POSETRACK15
from tfpose.tracking.settings import NAMED_SETTINGS, OFFLINE, OFFLINE_SMOOTHING, ONLINE, PAYER2017
from tfpose.tracking.smoothing import SmoothingSettings
from tfpose.tracking.video import track_video


def test_tracks_then_repairs():
    # A person who walks 10 px a frame and is missing once, and one who is there once.
    frames = [people_at([(500, 0), (0, 0)]), people_at([(10, 0)]), no_poses(5), people_at([(30, 0)])]
    plain = track_video(frames)
    assert [poses.track_ids.tolist() for poses in plain] == [[0, 1], [1], [], [1]]
    repaired = track_video(frames, smoothing=SmoothingSettings(min_track_length_frames=2, max_person_gap_frames=1))
    assert [poses.track_ids.tolist() for poses in repaired] == [[0], [0], [0], [0]]
    assert [poses.keypoints[0, 0, 0] for poses in repaired] == pytest.approx([0, 10, 20, 30])


def test_every_call_starts_anew():
    frames = [people_at([(0, 0)])]
    assert track_video(frames)[0].track_ids.tolist() == track_video(frames)[0].track_ids.tolist() == [0]


def test_named_settings():
    assert NAMED_SETTINGS["payer2017"] == (PAYER2017, SmoothingSettings())
    assert NAMED_SETTINGS["online"] == (ONLINE, SmoothingSettings())
    assert NAMED_SETTINGS["offline"] == (OFFLINE, OFFLINE_SMOOTHING)


def test_annotated_poses_are_tracked_almost_without_error_and_better_online_than_by_payer(shared_dir):
    folder = shared_dir / "data" / "posetrack18_mini" / "annotations_only"
    truth = [read_posetrack(path) for path in sorted(folder.glob("*/*.json"))]
    assert len(truth) == 15
    mota = {}
    for name in ("payer2017", "online"):
        tracked = [_track(sequence, *NAMED_SETTINGS[name]) for sequence in truth]
        figures = evaluate_sequences(truth, tracked, PoseTrackOptions(metrics=("mot",))).total.tracking
        # Nothing is lost or invented, so that only switches cost.
        assert figures.recall[-1] == figures.precision[-1] == 100
        assert figures.counts.false_positives.sum() == 0
        mota[name] = figures.mota[-1]
    assert 99.5 < mota["payer2017"] < mota["online"] < 100


def _track(sequence, settings, smoothing):
    frames = [poses_from_frame(frame) for frame in sequence.frames]
    frames = [dataclasses.replace(poses, track_ids=np.full(len(poses), -1)) for poses in frames]
    tracked = track_video(frames, settings, smoothing, POSETRACK15)
    predicted = (
        frame_from_poses(frame.file_name, frame.index, poses, image_id=frame.image_id)
        for frame, poses in zip(sequence.frames, tracked, strict=True)
    )
    return dataclasses.replace(sequence, frames=tuple(predicted))
