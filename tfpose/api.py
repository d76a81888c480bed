"""The library in a few lines of Python: load a model, find poses, track them, score files.

import tfpose

model = tfpose.load()
poses = model.predict(["photo.jpg"])[0]
for frame, poses in model.track("clip.mp4"):
    print(poses.track_ids, poses.keypoints)
"""

from __future__ import annotations

import itertools
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpose.inference.inference_dtype import InferenceDtype
from tfpose.poses import Poses

if TYPE_CHECKING:
    from tfpose.metrics.posetrack_metrics import PoseTrackReport
    from tfpose.prediction.model import PoseModel
    from tfpose.prediction.sources import Source
    from tfpose.skeletons import Skeleton
    from tfpose.tracking.settings import TrackerSettings

Image = Any  # [H, W, 3] uint8 RGB, a path, or a PIL image
# A frame and its index, which stays the same if frames before it cannot be read.
IndexedFrame = tuple[int, np.ndarray]
ReadFrames = Callable[[], Iterator[IndexedFrame]]


class Model:
    """A loaded pose model; `tfpose.load` makes one."""

    def __init__(self, model: PoseModel) -> None:
        """Wraps a model.

        Args:
            model: From frames of one size to poses.
        """
        self._model = model

    @property
    def skeleton(self) -> Skeleton:
        """The names of the joints and limbs of the poses."""
        return self._model.skeleton

    @property
    def joint_threshold(self) -> float:
        """The score below which a joint counts as not found."""
        return self._model.joint_threshold

    def predict(self, images: Iterable[Image], batch_size: int = 8) -> list[Poses]:
        """Finds the people in images.

        Args:
            images: Each an array [H, W, 3] uint8 RGB, the path of an image file, or a PIL image; of any sizes. They may
                also be one array [N, H, W, 3].
            batch_size: Largest number of images that the network sees at once. Images share a batch if they follow
                each other and have one size.

        Returns:
            For each image its people in pixels of the image, best first.

        Raises:
            OSError: An image file cannot be read.
            ValueError: An image is damaged or of another type or shape; the message names it. Or `batch_size` is below
                1, or the model was loaded in a process from which this one was forked.
        """
        from tfpose.flags.startup_messages import check_process

        check_process()
        _check_batch_size(batch_size)
        is_one = isinstance(images, np.ndarray) and images.ndim != 4
        if is_one or isinstance(images, (str, bytes, os.PathLike)) or _is_pil_image(images):
            raise ValueError(f"images must be a sequence of images, got one {type(images).__name__}; put it in a list")
        found: list[Poses] = []
        arrays = (_read_image(image, index) for index, image in enumerate(_own_images(images)))
        for _, of_one_size in itertools.groupby(arrays, key=np.shape):
            while batch := list(itertools.islice(of_one_size, batch_size)):
                found += self._model.predict(batch)
        return found

    def track(
        self,
        video: str | os.PathLike[str] | int | Iterable[Image],
        tracker: str | TrackerSettings = "online",
        batch_size: int = 4,
    ) -> Iterator[tuple[np.ndarray, Poses]]:
        """Finds the people in the frames of a video and gives them identities.

        Args:
            video: Path of a video, of a folder of images or of an image; address of a stream; number of a camera; or
                the frames themselves, as for `predict`.
            tracker: 'payer2017', 'online', 'offline', or settings. 'offline' repairs tracks with later frames, so that
                the first frame comes after the last one was seen.
            batch_size: Largest number of frames that the network sees at once; a camera's are seen one by one.

        Yields:
            Each frame [H, W, 3] uint8 RGB and its people, with `track_ids`.

        Raises:
            FileNotFoundError, ValueError: There is no such video, the tracker has no such name, or `batch_size` is
                below 1.

        Warns:
            UserWarning: Images or frames cannot be decoded; they are left out.
        """
        from tfpose.tracking.settings import NAMED_SETTINGS, NO_SMOOTHING
        from tfpose.tracking.smoothing import smooth_video
        from tfpose.tracking.tracker import Tracker

        _check_batch_size(batch_size)
        if isinstance(tracker, str) and tracker not in NAMED_SETTINGS:
            raise ValueError(f"tracker must be one of {', '.join(NAMED_SETTINGS)}, got {tracker!r}")
        update = Tracker(tracker, self.skeleton).update
        smoothing = NAMED_SETTINGS[tracker][1] if isinstance(tracker, str) else NO_SMOOTHING
        needs_all_frames = smoothing != NO_SMOOTHING
        read_frames, is_live = _open_frames(video, is_read_twice=needs_all_frames)
        tracked = self._track_frames(read_frames(), update, 1 if is_live else batch_size)
        if not needs_all_frames:
            return ((frame, poses) for (_, frame), poses in tracked)
        if is_live:
            raise ValueError(f"tracker must not be {tracker!r} for a stream or camera: it needs all frames of a video")
        return _with_smoothed_poses(read_frames, tracked, lambda poses: smooth_video(poses, smoothing))

    def _track_frames(
        self, frames: Iterator[IndexedFrame], update: Callable[[Poses], Poses], batch_size: int
    ) -> Iterator[tuple[IndexedFrame, Poses]]:
        errors: list[Exception] = []
        readable = _until_error(frames, errors)
        while batch := list(itertools.islice(readable, batch_size)):
            for frame, poses in zip(batch, self.predict([image for _, image in batch], batch_size), strict=True):
                yield frame, update(poses)
        if errors:
            raise errors[0]


def _until_error(frames: Iterator[IndexedFrame], errors: list[Exception]) -> Iterator[IndexedFrame]:
    """Yields frames until reading one raises an error, which goes to a list: those before it still have results."""
    try:
        yield from frames
    except Exception as error:
        errors.append(error)


def _with_smoothed_poses(
    read_frames: ReadFrames,
    tracked: Iterator[tuple[IndexedFrame, Poses]],
    smooth: Callable[[list[Poses]], list[Poses]],
) -> Iterator[tuple[np.ndarray, Poses]]:
    """Returns the frames of a video once more, with poses that were smoothed over all of them.

    A frame that can be read only once has no poses, or nothing to show them on, and is left out.
    """
    found = {index: poses for (index, _), poses in tracked}
    smoothed = dict(zip(found, smooth(list(found.values())), strict=True))
    for index, frame in read_frames():
        if index in smoothed:
            yield frame, smoothed[index]


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    detector: str | os.PathLike[str] | None = None,
    weights: str = "best",
    tuned: str | os.PathLike[str] | None = None,
    skeleton: str = "",
    use_flip_test: bool | None = None,
    inference_dtype: str | InferenceDtype = "float32",
) -> Model:
    """Loads a model.

    Args:
        model: Work folder of a training run, folder of a SavedModel, or name of a public checkpoint, which is
            downloaded once to ~/.cache/tfpose or the folder in the variable TFPOSE_CACHE. None for a small public
            system: picodet_s_320 and tinypose_256x192 without flip test, on CPUs in LiteRT, which starts sooner and is
            faster than TensorFlow; joints differ by less than 0.1 pixels.
        detector: Work folder of a person detector, or name of a public one; the work folder of a two-stage system
            requires one. A public model takes picodet_s_320 if None.
        weights: 'best' or 'last', of a work folder.
        tuned: File tuning.json with the thresholds of a single network's work folder.
        skeleton: 'coco17', 'posetrack15' or 'posetrack18', for a SavedModel that does not name its joints.
        use_flip_test: Whether to average the heatmaps with those of the mirrored images; None takes the setting in the
            work folder, which is True for public checkpoints. Cannot be given for a SavedModel.
        inference_dtype: 'float32', 'bfloat16', which is several times as fast for large networks where the device
            multiplies such numbers, or `InferenceDtype('auto', DATASET, SPLIT)`, which is bfloat16 where the network
            loses less than 0.2 AP on this split. Of a work folder only. A Keypoint R-CNN as the detector follows
            'bfloat16', but not 'auto'; other detectors are always float32.

    Raises:
        OSError: A public checkpoint cannot be downloaded; the message says which file to put where by hand.
        FileNotFoundError: There is no such folder or file.
        ValueError: What is there is damaged, or the arguments do not go together.
    """
    from tfpose.flags.startup_messages import start_tensorflow

    start_tensorflow(is_program=False)
    from tfpose.evaluation.tuned_settings import read_tuned_settings
    from tfpose.inference.detected_boxes import DETECTOR, BoxSettings
    from tfpose.pretrained.public_checkpoints import choose_system
    from tfpose.systems.loading import load_pose_model, resolve_names
    from tfpose.systems.system import RunChoice

    dtype = InferenceDtype(inference_dtype) if isinstance(inference_dtype, str) else inference_dtype

    is_default = model is None
    chosen, found, use_flip_test = choose_system(_as_text(model), _as_text(detector), use_flip_test)
    boxes = BoxSettings(DETECTOR, found) if found is not None else None
    settings = read_tuned_settings(pathlib.Path(tuned)) if tuned is not None else None
    run = RunChoice(
        pathlib.Path(chosen),
        weights,
        boxes,
        settings,
        use_flip_test=use_flip_test,
        prefers_litert=is_default,
        inference_dtype=dtype,
    )
    return Model(load_pose_model(resolve_names(run, "model"), skeleton))


def _as_text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def score(
    ground_truth: str | os.PathLike[str],
    predictions: str | os.PathLike[str],
    metrics: Sequence[str] = ("ap", "mot"),
    num_processes: int | None = None,
) -> PoseTrackReport:
    """Scores a folder of PoseTrack predictions against annotations, exactly as the official tools do.

    Args:
        ground_truth: Folder of annotations, one *.json or *.json.gz per sequence.
        predictions: Folder of predictions with the same names.
        metrics: Any of 'ap', 'mot' and 'hota'.
        num_processes: Number of processes; None for one per core.

    Returns:
        The metrics of all sequences together and of each; `to_dict()` gives those of metrics.json, in percent.

    Raises:
        FileNotFoundError, ValueError: A file is missing or damaged, or there is no such metric.

    Warns:
        UserWarning: Files, people or frames are left out, or frames are paired with other images; the notes of
            `tfpose score`.
    """
    from tfpose.evaluation.scoring import notes_on
    from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_posetrack

    options = PoseTrackOptions(metrics)
    folders = pathlib.Path(ground_truth), pathlib.Path(predictions)
    report = evaluate_posetrack(*folders, options, per_sequence=True, num_processes=num_processes)
    for note in notes_on(report):
        # At the line that calls `tfpose.score`, which calls this function.
        warnings.warn(note, stacklevel=3)
    return report


def _check_batch_size(batch_size: int) -> None:
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size}")


def _read_image(image: Image, index: int) -> np.ndarray:
    """Returns an image of any kind as [H, W, 3] uint8 RGB, upright."""
    from tfpose.picture_files import ORIENTATION_TAG, decode_upright, turn_upright

    if isinstance(image, (str, os.PathLike)):
        return decode_upright(pathlib.Path(image).read_bytes(), image)
    try:
        array = _rgb_of_pil(image) if _is_pil_image(image) else np.asarray(image)
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"images[{index}]: cannot be read as an array: {error}") from error
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise ValueError(f"images[{index}] must be [height, width, 3] uint8 RGB, got {array.dtype} {array.shape}")
    # Pillow does not turn the pixels of a photo itself.
    orientation = image.getexif().get(ORIENTATION_TAG, 1) if hasattr(image, "getexif") else 1
    return turn_upright(array, orientation) if orientation in range(2, 9) else array


def _own_images(images: Iterable[Image]) -> Iterable[Image]:
    """Returns images that stay as they are; what yields them one by one may use the same memory for each of them."""
    if isinstance(images, (Sequence, np.ndarray)):
        return images
    return (
        image if isinstance(image, (str, os.PathLike)) else _read_image(image, index).copy()
        for index, image in enumerate(images)
    )


def _is_pil_image(image: Any) -> bool:
    return hasattr(image, "convert") and hasattr(image, "mode")


def _rgb_of_pil(image: Any) -> np.ndarray:
    """Returns a PIL image as RGB, also gray and palette images; those of floating-point numbers stay as they are."""
    from tfpose.picture_files import to_8_bits

    if image.mode == "F":
        return np.asarray(image)
    if image.mode.startswith("I"):
        # Pillow makes every value above 255 white.
        return np.repeat(to_8_bits(np.asarray(image).astype(np.uint16))[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


def _open_frames(video: Any, is_read_twice: bool) -> tuple[ReadFrames, bool]:
    """Returns a function that starts the frames of a video, and whether they come from a stream or camera."""
    if not isinstance(video, (str, os.PathLike, int)):
        frames = list(_own_images(video)) if is_read_twice else _own_images(video)
        return lambda: ((index, _read_image(frame, index)) for index, frame in enumerate(frames)), False
    from tfpose.prediction.sources import open_sources, silence_opencv

    silence_opencv()
    (source,) = open_sources([str(video) if isinstance(video, int) else os.fspath(video)])
    return lambda: _frames_of(source), source.is_live


def _frames_of(source: Source) -> Iterator[IndexedFrame]:
    for frame in source.frames():
        yield frame.index, frame.image
    for problem in source.problems:
        warnings.warn(problem, stacklevel=2)
