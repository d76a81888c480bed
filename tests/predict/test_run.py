"""One source from its first frame to the files, with people who are known beforehand in place of a network."""

import csv
import dataclasses
import json
import os
import pathlib

import cv2
import numpy as np
import pytest
from video_cases import (
    HEIGHT,
    WIDTH,
    frame_color,
    people,
    read_video,
    video_times,
    write_picture,
    write_timed_video,
    write_video,
)

from tfpose.coco_results import keypoint_results
from tfpose.file_names import check_output
from tfpose.inference.posetrack_joints import infer_head_joints
from tfpose.poses import Poses
from tfpose.posetrack import poses_from_frame, read_posetrack
from tfpose.prediction import run
from tfpose.prediction.drawing import DrawingStyle
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.frames import SourceFrame
from tfpose.prediction.outputs import VideoSink, lost_joints
from tfpose.prediction.pipeline import NetworkFailure
from tfpose.prediction.run import PredictionSettings, check_source, predict_source
from tfpose.prediction.sources import Video, open_sources
from tfpose.skeletons import COCO17, POSETRACK15, skeleton_from_names
from tfpose.tracking.choice import TrackerChoice
from tfpose.tracking.video import track_video

ALL = ("posetrack", "coco", "csv", "video")


class Walkers:
    """Two people who walk, in place of a network; remembers the frames it was given."""

    def __init__(self, missing=()):
        self.batches = []
        self.num_frames = 0
        self._missing = missing

    def poses(self, index):
        places = [] if index in self._missing else [(10 + index, 12), (60 - index, 30)]
        return people(places)

    def __call__(self, frames):
        self.batches.append([frame.image.shape for frame in frames])
        start = self.num_frames
        self.num_frames += len(frames)
        return [self.poses(start + offset) for offset in range(len(frames))]


def settings(tmp_path, **changes):
    defaults = {"outputs": ALL, "tracker": TrackerChoice(), "batch_size": 3, "should_keep_sound": False}
    return PredictionSettings(tmp_path / "out", **{**defaults, **changes})


def clip(tmp_path, num_frames=10, span=None):
    return Video("clip", str(write_video(tmp_path / "clip.avi", num_frames)), span)


def read_results(tmp_path, name="clip"):
    sequence = read_posetrack(tmp_path / "out" / "predictions" / f"{name}.json", POSETRACK15)
    coco = json.loads((tmp_path / "out" / "coco" / f"{name}.json").read_text())
    with open(tmp_path / "out" / "csv" / f"{name}.csv", newline="") as file:
        table = list(csv.DictReader(file))
    return sequence, coco, table


def test_all_files_hold_the_same_people(tmp_path):
    walkers = Walkers(missing=[4])
    summary = predict_source(clip(tmp_path), walkers, COCO17, settings(tmp_path))
    sequence, coco, table = read_results(tmp_path)
    assert (summary.num_frames, summary.num_people, summary.num_tracks) == (10, 18, 2)
    assert len(summary.written) == 4 and all(path.is_file() for path in summary.written)
    assert [len(frame.keypoints) for frame in sequence.frames] == [2] * 4 + [0] + [2] * 5
    assert sequence.frames[3].file_name == "images/clip/000003.jpg"
    assert sequence.frames[3].image_size == (HEIGHT, WIDTH)
    for index, frame in enumerate(sequence.frames):
        expected = walkers.poses(index)
        found = poses_from_frame(frame)
        assert found.track_ids.tolist() == [0, 1][: len(expected)]
        # COCO's joints lack the two of the head, which are guessed.
        np.testing.assert_allclose(found.keypoints, infer_head_joints(expected, COCO17).keypoints)
        np.testing.assert_allclose(found.scores, expected.scores)
    expected = [walkers.poses(index) for index in range(10)]
    ids = np.repeat(np.arange(10), [len(poses) for poses in expected])
    columns = (np.concatenate([getattr(p, name) for p in expected]) for name in ("keypoints", "joint_scores", "scores"))
    track_ids = np.concatenate([[0, 1][: len(poses)] for poses in expected])
    assert coco == json.loads(json.dumps(keypoint_results(ids, *columns, track_ids=track_ids)))
    assert [int(row["frame"]) for row in table] == ids.tolist()
    assert [int(row["track_id"]) for row in table] == [0, 1] * 9
    assert float(table[6]["nose_x"]) == pytest.approx(expected[3].keypoints[0, 0, 0])
    assert float(table[6]["seconds"]) == pytest.approx(0.3)


def test_the_video_shows_every_frame_with_its_people(tmp_path, video_library):
    predict_source(clip(tmp_path), Walkers(missing=[4]), COCO17, settings(tmp_path))
    frames, rate = read_video(tmp_path / "out" / "videos" / "clip.mp4")
    assert len(frames) == 10 and rate == pytest.approx(10)
    for index, frame in enumerate(frames):
        assert frame.shape == (HEIGHT, WIDTH, 3)
        # The lower right corner stays free of people.
        assert np.abs(frame[-12:, -12:].reshape(-1, 3).mean(axis=0) - frame_color(index)).max() < 8
    is_person = [
        np.abs(frame[10:45, 5:40].astype(int) - frame_color(index)).max() > 60 for index, frame in enumerate(frames)
    ]
    assert is_person[3] and is_person[5]


def test_frames_come_in_batches_of_one_size(tmp_path):
    for index, size in enumerate([(40, 60)] * 5 + [(50, 60)] * 2 + [(40, 60)]):
        write_picture(tmp_path / "in" / f"{index}.png", index, size)
    walkers = Walkers()
    (source,) = open_sources([str(tmp_path / "in")])
    predict_source(source, walkers, COCO17, settings(tmp_path, tracker=None))
    assert [len(batch) for batch in walkers.batches] == [3, 2, 2, 1]
    assert all(len(set(batch)) == 1 for batch in walkers.batches)


def test_pictures_are_annotated_one_by_one_and_have_no_identities(tmp_path):
    for name in ("000000000139.jpg", "000000000785.png"):
        write_picture(tmp_path / "in" / name)
    (source,) = open_sources([str(tmp_path / "in")])
    summary = predict_source(source, Walkers(), COCO17, settings(tmp_path, tracker=None))
    sequence, coco, table = read_results(tmp_path, "in")
    assert sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir()) == [
        "000000000139.jpg",
        "000000000785.png",
    ]
    assert summary.num_tracks == 0
    assert {entry["image_id"] for entry in coco} == {139, 785}
    assert all(row["track_id"] == "" for row in table)
    assert not any((frame.track_ids >= 0).any() for frame in sequence.frames)


def test_an_unreadable_picture_is_reported_and_left_out(tmp_path):
    for index in range(3):
        write_picture(tmp_path / "in" / f"{index}.png", index)
    (tmp_path / "in" / "1.png").write_bytes(b"\x89PNG broken")
    (source,) = open_sources([str(tmp_path / "in")])
    summary = predict_source(source, Walkers(), COCO17, settings(tmp_path, tracker=None))
    assert summary.num_frames == 2
    assert len(summary.problems) == 1 and "1.png: must be a picture, got" in summary.problems[0]
    sequence, _, _ = read_results(tmp_path, "in")
    assert [frame.file_name for frame in sequence.frames] == ["images/0.png", "images/2.png"]


def test_without_any_readable_picture_there_is_an_error_and_no_file(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    (source,) = open_sources([str(tmp_path / "broken.png")])
    with pytest.raises(ValueError, match=r"nothing to predict: .*broken.png: must be a picture, got"):
        predict_source(source, Walkers(), COCO17, settings(tmp_path))
    assert not (tmp_path / "out").exists()


def test_settings_that_look_ahead_give_the_tracks_of_the_whole_video(tmp_path):
    walkers, choice = Walkers(missing=[4]), TrackerChoice("offline", {"sigma_frames": 0.0})
    predict_source(clip(tmp_path), walkers, COCO17, settings(tmp_path, tracker=choice))
    expected = track_video([walkers.poses(index) for index in range(10)], *choice.settings(), COCO17)
    assert [len(poses) for poses in expected] == [2] * 10  # the gap is filled
    sequence, _, _ = read_results(tmp_path)
    for frame, poses in zip(sequence.frames, expected, strict=True):
        found = poses_from_frame(frame)
        assert found.track_ids.tolist() == poses.track_ids.tolist()
        np.testing.assert_allclose(found.keypoints, infer_head_joints(poses, COCO17).keypoints, atol=1e-9)
    frames, _ = read_video(tmp_path / "out" / "videos" / "clip.mp4")
    assert len(frames) == 10
    assert np.abs(frames[4][10:45, 5:40].astype(int) - frame_color(4)).max() > 60


def test_frames_that_cannot_be_read_again_leave_the_others_their_people(tmp_path):
    for index in range(6):
        write_picture(tmp_path / "in" / f"{index}.png")
    chosen = settings(tmp_path, tracker=TrackerChoice("offline"), batch_size=6, style=DrawingStyle(trail_frames=0))
    (source,) = open_sources([str(tmp_path / "in")])
    predict_source(source, Walkers(), COCO17, chosen)
    whole = (tmp_path / "out" / "pictures").rename(tmp_path / "whole")

    def predict(frames):
        (tmp_path / "in" / "2.png").unlink()
        return Walkers()(frames)

    summary = predict_source(source, predict, COCO17, chosen)
    assert summary.problems == ["in: 1 of 6 frames could not be read again and are not drawn"]
    drawings = list((tmp_path / "out" / "pictures").iterdir())
    assert sorted(path.name for path in drawings) == ["0.png", "1.png", "3.png", "4.png", "5.png"]
    assert all(path.read_bytes() == (whole / path.name).read_bytes() for path in drawings)


@pytest.mark.parametrize("tracker", ["payer2017", "offline"])
def test_a_run_that_is_stopped_leaves_what_was_done(tmp_path, tracker):
    walkers = Walkers()
    chosen = settings(tmp_path, tracker=TrackerChoice(tracker, {"min_track_length_frames": 1}))
    summary = predict_source(clip(tmp_path, 60), walkers, COCO17, chosen, lambda: walkers.num_frames >= 12)
    assert 12 <= summary.num_frames < 40
    sequence, _, _ = read_results(tmp_path)
    frames, _ = read_video(tmp_path / "out" / "videos" / "clip.mp4")
    assert len(sequence.frames) == len(frames) == summary.num_frames


def test_a_run_that_is_stopped_at_once_writes_nothing(tmp_path):
    summary = predict_source(clip(tmp_path), Walkers(), COCO17, settings(tmp_path), lambda: True)
    assert summary.num_frames == 0 and not summary.written
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tracker", ["payer2017", "offline"])
def test_a_failing_network_leaves_what_was_done(tmp_path, tracker):
    walkers = Walkers()

    def predict(frames):
        if walkers.num_frames >= 6:
            raise ValueError("the network failed: out of memory")
        return walkers(frames)

    with pytest.raises(ValueError, match="out of memory"):
        predict_source(clip(tmp_path, 20), predict, COCO17, settings(tmp_path, tracker=TrackerChoice(tracker)))
    sequence, _, _ = read_results(tmp_path)
    assert len(sequence.frames) == 6
    assert not (tmp_path / "out" / "videos" / "clip.mp4").exists()


def test_only_what_is_asked_for_is_written(tmp_path):
    chosen = settings(tmp_path, outputs=("csv",))
    summary = predict_source(clip(tmp_path), Walkers(), COCO17, chosen)
    written = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [str(path) for path in written] == ["csv/clip.csv"]
    assert summary.written == [tmp_path / "out" / "csv" / "clip.csv"]


def test_posetrack_files_of_2017_are_written(tmp_path):
    predict_source(clip(tmp_path), Walkers(), COCO17, settings(tmp_path, posetrack_format="2017"))
    content = json.loads((tmp_path / "out" / "predictions" / "clip.json").read_text())
    assert len(content["annolist"]) == 10


def test_spans_keep_the_numbers_and_the_speed_of_the_video(tmp_path):
    source = clip(tmp_path, 12, FrameSpan(2, 11, 4))
    predict_source(source, Walkers(), COCO17, settings(tmp_path))
    _, _, table = read_results(tmp_path)
    assert [int(row["frame"]) for row in table] == [2, 2, 6, 6, 10, 10]
    frames, rate = read_video(tmp_path / "out" / "videos" / "clip.mp4")
    assert len(frames) == 3 and rate == pytest.approx(2.5)


def test_results_do_not_replace_their_input(tmp_path):
    (tmp_path / "out" / "videos").mkdir(parents=True)
    path = write_video(tmp_path / "out" / "videos" / "clip.mp4", 3)
    with pytest.raises(ValueError, match=r"clip.mp4: the results would replace the input; choose another --output"):
        check_source(Video("clip", str(path)), settings(tmp_path))
    write_picture(tmp_path / "out" / "pictures" / "0.png")
    (pictures,) = open_sources([str(tmp_path / "out" / "pictures")])
    with pytest.raises(ValueError, match=r"0.png: the results would replace the input"):
        check_source(pictures, settings(tmp_path))
    check_source(pictures, settings(tmp_path, outputs=("posetrack",)))
    boxes = str(tmp_path / "out" / "coco" / "pictures.json")
    with pytest.raises(ValueError, match=r"pictures.json: the results would replace the input"):
        check_source(pictures, settings(tmp_path, outputs=("posetrack", "coco")), boxes)
    check_source(pictures, settings(tmp_path, outputs=("posetrack",)), boxes)


def test_names_whose_results_have_too_long_names_are_refused_before_the_prediction(tmp_path):
    for name in ("a" * 251 + ".avi", "é" * 125 + ".avi"):
        source = Video(name.removesuffix(".avi"), str(write_video(tmp_path / name, 1)))
        if name.isascii():
            with pytest.raises(ValueError, match=r"must be a name of at most 255 bytes with \.json, got 256"):
                check_source(source, settings(tmp_path))
        else:
            check_source(source, settings(tmp_path))


def test_a_camera_has_no_later_frames(tmp_path):
    """A file stands for the camera."""
    live = Video("camera", str(write_video(tmp_path / "clip.avi", 3)), is_live=True)
    with pytest.raises(ValueError, match="settings=offline requires later frames, which camera does not have"):
        check_source(live, settings(tmp_path, tracker=TrackerChoice("offline")))
    check_source(live, settings(tmp_path, tracker=TrackerChoice("online")))


def test_a_camera_is_predicted_frame_by_frame(tmp_path):
    live = Video("camera", str(write_video(tmp_path / "clip.avi", 5)), is_live=True)
    assert live.num_frames is None
    walkers = Walkers()
    summary = predict_source(live, walkers, COCO17, settings(tmp_path))
    assert summary.num_frames == 5
    assert [len(batch) for batch in walkers.batches] == [1] * 5


def test_live_video_plays_at_the_speed_of_what_was_seen(tmp_path):
    """Frames at 0, 0.1, 0.5 and 0.6 seconds, at ten frames per second: each is shown until the next one."""
    live = Video("camera", str(write_video(tmp_path / "clip.avi", 5)), is_live=True)
    image = np.zeros((48, 64, 3), np.uint8)
    with VideoSink(tmp_path / "live.avi", live, None, should_keep_sound=True) as sink:
        for index, seconds in enumerate([0, 0.1, 0.5, 0.6]):
            sink.prepare(SourceFrame(index, "", image, index, seconds), image + 60 * index)()
    frames, _ = read_video(tmp_path / "live.avi")
    levels = [round(frame.mean() / 60) for frame in frames]
    assert levels == [0, 1, 1, 1, 1, 2, 3]


@pytest.fixture
def phone_video(tmp_path):
    """Ten frames in a second, then one every 0.9 seconds, with ten seconds of sound."""
    times = [*(0.1 * index for index in range(10)), *(1 + 0.9 * index for index in range(10))]
    return write_timed_video(tmp_path / "phone.mp4", times, sound_seconds=10)


def test_drawn_frames_are_shown_when_their_sound_is_heard(tmp_path, phone_video, video_library):
    """Without PyAV frames are repeated, so that the colors of frames 10 and 19 appear at 1.0 and 9.1 seconds."""
    source = Video("phone", str(phone_video))
    predict_source(source, Walkers(missing=range(20)), COCO17, settings(tmp_path, should_keep_sound=True))
    _, _, table = read_results(tmp_path, "phone")
    assert table == []
    path = tmp_path / "out" / "videos" / "phone.mp4"
    times, frames = video_times(path), read_video(path)[0]
    starts = {}
    for seconds, frame in zip(times, frames, strict=True):
        color = frame.reshape(-1, 3).mean(axis=0) - 5.5
        index = int(np.argmin([np.abs(color - frame_color(i)).max() for i in range(20)]))
        starts.setdefault(index, seconds)
    assert starts == pytest.approx({index: frame.seconds for index, frame in enumerate(source.frames())}, abs=0.06)
    if video_library == "pyav":
        import av

        with av.open(str(path)) as container:
            sound = container.streams.audio[0]
            assert float(sound.duration * sound.time_base) == pytest.approx(10, abs=0.3)


@pytest.mark.parametrize(
    ("tracker", "method"), [("payer2017", "write"), ("offline", "write"), ("payer2017", "convert")]
)
def test_a_video_that_cannot_be_written_does_not_cost_the_poses(tmp_path, monkeypatch, video_library, tracker, method):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    name = {"pyav": "PyavEncoder", "opencv": "OpencvEncoder"}[video_library]
    monkeypatch.setattr(f"tfpose.video_encoders.{name}.{method}", fail)
    summary = predict_source(clip(tmp_path), Walkers(), COCO17, settings(tmp_path, tracker=TrackerChoice(tracker)))
    path = tmp_path / "out" / "videos" / "clip.mp4"
    assert summary.problems == [f"{path}: cannot write the video: No space left on device"]
    assert len(summary.written) == 3 and list(path.parent.iterdir()) == []
    assert len(read_results(tmp_path)[0].frames) == 10


def test_a_second_error_does_not_hide_the_first_one(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("no space")

    monkeypatch.setattr(run, "write_files", fail)
    with pytest.raises(ValueError, match="the network failed"):
        predict_source(clip(tmp_path), _failing, COCO17, settings(tmp_path))


def _failing(frames):
    raise ValueError("the network failed")


def test_the_speed_counts_from_the_first_batch_to_the_last_write(tmp_path, monkeypatch):
    """A clock on which each frame takes a second, and the files five."""
    walkers, written = Walkers(), []
    monkeypatch.setattr(run, "monotonic", lambda: walkers.num_frames + 5.0 * len(written))
    write_files = run.write_files
    monkeypatch.setattr(run, "write_files", lambda *arguments: written.append(1) or write_files(*arguments))
    summary = predict_source(clip(tmp_path), walkers, COCO17, settings(tmp_path))
    assert summary.frames_per_second == pytest.approx(10 / 15)


def test_heads_are_blurred_on_request(tmp_path):
    style = DrawingStyle(joint_threshold=2.0, trail_frames=0, should_blur_heads=True)
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "one.png"), noise)
    (source,) = open_sources([str(tmp_path / "one.png")])
    chosen = settings(tmp_path, tracker=None, style=style)
    predict_source(source, lambda frames: [people([(40, 30)])], COCO17, chosen)
    drawn = cv2.imread(str(tmp_path / "out" / "pictures" / "one.png"))
    changed = (drawn != noise).any(axis=2)
    assert changed[30:36, 42:50].mean() > 0.9
    assert not changed[60:].any()


def test_outputs_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"--output=.*file: must be a folder, got a file"):
        check_output("output", tmp_path / "file")
    with pytest.raises(OSError, match=r"--output=.*cannot be written: Not a directory"):
        check_output("output", tmp_path / "file" / "below")
    with pytest.raises(ValueError, match=r"--output must be a folder of this machine, got the address gs://bucket/a"):
        check_output("output", pathlib.Path("gs://bucket/a"))
    check_output("output", tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()


def test_every_source_has_its_own_identities(tmp_path):
    for name in ("a", "b"):
        source = Video(name, str(write_video(tmp_path / f"{name}.avi", 3)))
        predict_source(source, Walkers(), COCO17, settings(tmp_path))
        sequence, _, _ = read_results(tmp_path, name)
        assert sequence.frames[0].track_ids.tolist() == [0, 1]


def test_a_summary_is_one_line(tmp_path):
    summary = predict_source(clip(tmp_path), Walkers(), COCO17, settings(tmp_path))
    assert str(dataclasses.replace(summary, frames_per_second=31.25)) == (
        "clip: 10 frames, 20 people, 2 tracks, 31.2 frames/s"
    )


@pytest.mark.parametrize("tracker", [None, TrackerChoice("offline")])
def test_a_picture_that_the_network_fails_on_does_not_cost_the_others(tmp_path, tracker):
    """A batch fails as a whole; each of its pictures is tried alone, also where tracks are repaired and drawn later."""
    for index in range(4):
        write_picture(tmp_path / "photos" / f"{index}.png", index)
    bad = cv2.imread(str(tmp_path / "photos" / "2.png"))[..., ::-1]
    walkers = Walkers()

    def fail_on_one(frames):
        if any(np.array_equal(frame.image, bad) for frame in frames):
            raise NetworkFailure("model: the network failed: too thin")
        return walkers(frames)

    (source,) = open_sources([str(tmp_path / "photos")])
    chosen = settings(tmp_path, tracker=tracker, outputs=("posetrack", "coco", "csv", "video"))
    summary = predict_source(source, fail_on_one, COCO17, chosen)
    assert summary.num_frames == 3
    assert summary.problems == ["2.png: model: the network failed: too thin"]
    drawn = tmp_path / "out" / "pictures"
    assert sorted(path.name for path in drawn.iterdir()) == ["0.png", "1.png", "3.png"]
    names = [frame.file_name for frame in read_results(tmp_path, "photos")[0].frames]
    assert names == ["images/0.png", "images/1.png", "images/3.png"]


def test_a_video_ends_where_the_network_fails(tmp_path):
    def fail(frames):
        raise NetworkFailure("model: the network failed: no memory")

    with pytest.raises(NetworkFailure):
        predict_source(clip(tmp_path), fail, COCO17, settings(tmp_path))


def test_results_have_the_names_of_links(tmp_path):
    """Two links lead to one picture, and both are drawn."""
    for folder in "xy":
        write_picture(tmp_path / "store" / folder / "data.png")
    (tmp_path / "a").mkdir()
    for name, folder in (("0001", "x"), ("0002", "y"), ("0003", "x")):
        (tmp_path / "a" / f"{name}.png").symlink_to(f"../store/{folder}/data.png")
    (tmp_path / "album").symlink_to("a")
    (source,) = open_sources([str(tmp_path / "album")])
    chosen = settings(tmp_path, tracker=None, outputs=("posetrack", "coco", "csv", "video"))
    predict_source(source, Walkers(), COCO17, chosen)
    sequence, results, table = read_results(tmp_path, "album")
    assert [frame.file_name for frame in sequence.frames] == [f"images/000{i}.png" for i in (1, 2, 3)]
    assert {result["image_id"] for result in results} == {1, 2, 3}
    assert {row["file"] for row in table} == {"0001.png", "0002.png", "0003.png"}
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 3


OWN = skeleton_from_names("hand", ("wrist", "thumb"), [("wrist", "thumb")])


def test_a_skeleton_of_ones_own_keeps_its_joints_in_every_file(tmp_path):
    def find_hands(frames):
        keypoints = np.array([[[10.0, 20.0], [0.0, 0.0]]])
        found = Poses(keypoints, np.array([[0.9, 0.0]]), np.ones(1), np.array([[1.0, 2, 30, 40]]), np.array([-1]))
        return [found] * len(frames)

    write_picture(tmp_path / "7.png")
    (source,) = open_sources([str(tmp_path / "7.png")])
    chosen = settings(tmp_path, tracker=None, outputs=("posetrack", "coco", "csv"))
    summary = predict_source(source, find_hands, OWN, chosen)
    assert summary.notes == []
    content = json.loads((tmp_path / "out" / "predictions" / "7.json").read_text())
    assert content["categories"][0]["keypoints"] == ["wrist", "thumb"]
    assert content["annotations"][0]["keypoints"] == [10, 20, 1, 0, 0, 0]
    (result,) = json.loads((tmp_path / "out" / "coco" / "7.json").read_text())
    assert result["image_id"] == 7 and result["keypoints"] == [10, 20, 0.9, 0, 0, 0]
    with pytest.raises(ValueError, match="--format=2017 requires a joint of PoseTrack"):
        lost_joints(OWN, "2017")


def test_joints_that_a_file_lacks_are_named(tmp_path):
    summary = predict_source(clip(tmp_path), Walkers(), COCO17, settings(tmp_path, outputs=("posetrack",)))
    (note,) = summary.notes
    assert note.endswith(
        "clip.json: PoseTrack's files have no left_eye, right_eye, left_ear, right_ear; --outputs=coco,csv writes them"
    )


def test_names_that_are_not_utf8_are_text_in_files(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    write_picture(tmp_path / "a.png")
    folder.mkdir()
    (tmp_path / "a.png").rename(folder / os.fsdecode(b"\xe9.png"))
    (source,) = open_sources([str(folder)])
    chosen = settings(tmp_path, tracker=None, outputs=("posetrack", "coco", "csv", "video"))
    summary = predict_source(source, Walkers(), COCO17, chosen)
    assert summary.num_frames == 1 and not summary.problems
    assert [path.name for path in (tmp_path / "out" / "pictures").iterdir()] == [os.fsdecode(b"\xe9.png")]
    assert "\ufffd.png" in next((tmp_path / "out" / "csv").iterdir()).read_text()


def test_files_of_an_earlier_run_are_named_when_they_are_replaced(tmp_path):
    """They may be of another input of the same name."""
    chosen = settings(tmp_path, outputs=("posetrack", "coco", "csv", "video"))
    first, second = (predict_source(clip(tmp_path), Walkers(), COCO17, chosen).notes for _ in range(2))
    assert not any("earlier run" in note for note in first)
    assert second[-1] == f"replaced 4 files of an earlier run, such as {tmp_path}/out/coco/clip.json"


def test_a_summary_of_one_frame_and_one_person_has_no_plurals():
    summary = run.PredictionSummary("a", 1, 1, 1, 0.0, (), (), ())
    assert str(summary) == "a: 1 frame, 1 person, 1 track"
