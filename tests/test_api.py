"""The library as it is called from Python."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from picture_cases import with_exif
from posetrack_cases import random_sequences
from program_runs import ENVIRONMENT, PROJECT
from small_single_network import random_pose_unet, small_single_network

import tfpose
from tfpose.checkpoints import BEST_WEIGHTS_NAME, write_weights
from tfpose.inference.single_network_system import write_single_network_system
from tfpose.posetrack import write_posetrack18
from tfpose.tracking import smoothing

WITHOUT_TENSORFLOW = """
import sys
import numpy as np
import tfpose

tracker = tfpose.Tracker("payer2017")
keypoints = np.zeros((1, 15, 2))
poses = tfpose.Poses(keypoints, np.ones((1, 15)), np.ones(1), np.array([[0.0, 0, 5, 5]]), np.array([-1]))
assert tracker.update(poses).track_ids.tolist() == [0]
try:
    tfpose.score("nowhere", "nowhere")
except FileNotFoundError as error:
    assert "nowhere" in str(error)
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
"""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    system = small_single_network(max_people=3)
    directory = tmp_path_factory.mktemp("runs")
    write_single_network_system(directory, system)
    write_weights(random_pose_unet(system), directory / BEST_WEIGHTS_NAME)
    return directory


@pytest.fixture(scope="module")
def model(workdir):
    return tfpose.load(workdir)


@pytest.fixture(scope="module")
def frames():
    """Of two sizes, smooth enough for a video codec."""
    rng = np.random.default_rng(0)
    sizes = [(64, 96)] * 5 + [(48, 64)]
    return [cv2.resize(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8), size[::-1]) for size in sizes]


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.keypoints, theirs.keypoints, atol=1e-3)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)


def encoded_png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def test_arrays_files_and_pil_images_give_the_same_poses(model, frames, tmp_path):
    expected = model.predict(frames)
    assert [len(poses) for poses in expected] == [3] * 6
    paths = []
    for index, frame in enumerate(frames):
        paths.append(tmp_path / f"{index}.png")
        cv2.imwrite(str(paths[-1]), frame[..., ::-1])
    assert_same(model.predict(paths), expected)
    image_module = pytest.importorskip("PIL.Image", reason="needs Pillow, which matplotlib brings")
    assert_same(model.predict([image_module.fromarray(frame) for frame in frames]), expected)
    for index, path in enumerate(paths):
        path.write_bytes(with_exif(encoded_png(np.rot90(frames[index])), 6))
    assert_same(model.predict(paths), expected)
    assert_same(model.predict([image_module.open(path) for path in paths]), expected)


def test_gray_images_of_16_bits_are_not_white(model, frames, tmp_path):
    image_module = pytest.importorskip("PIL.Image", reason="needs Pillow, which matplotlib brings")
    gray = frames[0][..., 0]
    cv2.imwrite(str(tmp_path / "gray.png"), gray.astype(np.uint16) * 257)
    expected = model.predict([np.repeat(gray[..., None], 3, axis=2)])
    with (
        image_module.open(tmp_path / "gray.png") as image,
        pytest.raises(ValueError, match="images must be a sequence of images, got one PngImageFile"),
    ):
        model.predict(image)
    for image in (image_module.open(tmp_path / "gray.png"), image_module.fromarray(gray.astype(np.int32))):
        assert_same(model.predict([image]), expected)
    with pytest.raises(ValueError, match=r"images\[0\] must be \[height, width, 3\] uint8 RGB, got float32"):
        model.predict([image_module.fromarray(gray.astype(np.float32))])


def test_frames_may_come_in_one_array_that_is_written_again(model, frames):
    """As cameras and shared memory give them; a batch would see the last frame several times."""

    def written_again():
        shared = np.empty_like(frames[0])
        for frame in frames[:5]:
            shared[:] = frame
            yield shared

    assert_same(model.predict(written_again()), model.predict(np.stack(frames[:5])))
    for tracker in ("online", "offline"):
        shown = list(model.track(written_again(), tracker))
        assert_same([poses for _, poses in shown], [poses for _, poses in model.track(frames[:5], tracker)])
        for (frame, _), expected in zip(shown, frames, strict=False):
            np.testing.assert_array_equal(frame, expected)


def test_batches_of_any_size_give_the_same_poses(model, frames):
    assert_same(model.predict(frames, batch_size=1), model.predict(frames, batch_size=4))
    assert model.predict([]) == []
    for size in (0, -1, 0.5):
        for find in (model.predict, model.track):
            with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1, got"):
                find(frames, batch_size=size)


def test_wrong_images_are_named(model, frames, tmp_path):
    with pytest.raises(ValueError, match=r"images\[1\] must be \[height, width, 3\] uint8 RGB, got float64 \(4, 4\)"):
        model.predict([frames[0], np.zeros((4, 4))])
    with pytest.raises(ValueError, match="images must be a sequence of images, got one ndarray"):
        model.predict(frames[0])
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"broken.jpg: must be a picture"):
        model.predict([tmp_path / "broken.jpg"])
    with pytest.raises(ValueError, match=r"images\[1\]: cannot be read as an array: .* inhomogeneous"):
        model.predict([frames[0], [[1], [1, 2]]])
    image_module = pytest.importorskip("PIL.Image", reason="needs Pillow, which matplotlib brings")
    (tmp_path / "cut.png").write_bytes(encoded_png(frames[0])[:-400])
    with (
        image_module.open(tmp_path / "cut.png") as cut,
        pytest.raises(ValueError, match=r"images\[0\]: cannot be read as an array: .*truncated"),
    ):
        model.predict([cut])


def test_a_forked_process_says_that_it_cannot_predict(model, frames):
    """TensorFlow would wait for ever."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            model.predict(frames)
        except ValueError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert f"got process {child}, which was forked from process {os.getpid()}; load" in os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("tracker", ["payer2017", "online", "offline"])
def test_frames_are_tracked_with_identities(model, frames, tracker):
    shown = list(model.track(frames[:5], tracker))
    assert len(shown) == 5
    for (frame, poses), expected in zip(shown, frames, strict=False):
        np.testing.assert_array_equal(frame, expected)
        assert (poses.track_ids >= 0).all()


def test_frames_before_an_error_have_results(model, frames):
    def read_until_the_camera_is_lost():
        yield from frames[:3]
        raise ConnectionError("the camera is lost")

    shown = []
    with pytest.raises(ConnectionError, match="the camera is lost"):
        for _, poses in model.track(read_until_the_camera_is_lost(), batch_size=4):
            shown.append(poses)
    assert_same(shown, model.predict(frames[:3]))


def test_a_folder_of_pictures_is_a_video(model, frames, tmp_path):
    for index, frame in enumerate(frames[:3]):
        cv2.imwrite(str(tmp_path / f"{index}.png"), frame[..., ::-1])
    shown = list(model.track(tmp_path))
    assert_same([poses for _, poses in shown], [poses for _, poses in model.track(frames[:3])])


def test_images_that_are_left_out_are_named(model, frames, tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), frames[0])
    (tmp_path / "1.png").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="1.png: must be a picture, got the first bytes") as warned:
        assert len(list(model.track(tmp_path, "offline"))) == 1
    assert len({str(warning.message) for warning in warned}) == 1


@pytest.mark.filterwarnings("ignore:.*0.png")
def test_poses_stay_with_their_frames_if_one_cannot_be_read_again(model, frames, tmp_path, monkeypatch):
    for index, frame in enumerate(frames[:3]):
        cv2.imwrite(str(tmp_path / f"{index}.png"), frame[..., ::-1])
    expected = list(model.track(tmp_path, "offline"))[1:]

    smooth_video = smoothing.smooth_video

    def smooth_and_lose_the_first(*arguments):
        (tmp_path / "0.png").unlink()
        return smooth_video(*arguments)

    monkeypatch.setattr(smoothing, "smooth_video", smooth_and_lose_the_first)
    shown = list(model.track(tmp_path, "offline"))
    assert_same([poses for _, poses in shown], [poses for _, poses in expected])
    np.testing.assert_array_equal([frame for frame, _ in shown], [frame for frame, _ in expected])


def test_wrong_videos_and_trackers_are_refused_at_once(model, frames, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.mp4"):
        model.track(tmp_path / "nothing.mp4")
    with pytest.raises(ValueError, match="^tracker must be one of payer2017, online, offline, got 'best'$"):
        model.track(frames, "best")


def test_what_is_no_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing: must be the work folder of a training run"):
        tfpose.load(tmp_path / "nothing")


def test_a_skeleton_for_a_work_folder_is_refused(workdir):
    with pytest.raises(ValueError, match="--skeleton: .* must be a SavedModel, got a work folder, which"):
        tfpose.load(workdir, skeleton="coco17")


def test_scores_come_with_warnings_of_what_was_left_out(tmp_path):
    for name, kinds in {"a": ("true", "predicted"), "b": ("predicted",)}.items():
        for kind, sequence in zip(("true", "predicted"), random_sequences(1, num_frames=2), strict=True):
            if kind in kinds:
                frames = sequence.frames[:: -1 if kind == "predicted" else 1]
                write_posetrack18(tmp_path / kind / f"{name}.json", dataclasses.replace(sequence, frames=frames))
    with pytest.warns(UserWarning) as warned:
        named = tfpose.score(tmp_path / "true", tmp_path / "predicted", metrics=("ap", "mot"))
    texts = [str(warning.message) for warning in warned]
    assert len(texts) == 2 and {warning.filename for warning in warned} == {__file__}
    assert "1 of 2 files are left out" in texts[0] and "the same images are in another order" in texts[1]
    with pytest.warns(UserWarning):
        given_once = tfpose.score(tmp_path / "true", tmp_path / "predicted", metrics=iter(("ap", "mot")))
    assert given_once.to_dict() == named.to_dict()


def test_scoring_and_tracking_need_no_tensorflow():
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW]
    result = subprocess.run(command, cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
