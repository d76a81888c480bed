"""Writes the results of a source: files of poses, and the frames with the poses drawn over them."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import os
import pathlib
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

import numpy as np

from tfpose.coco_results import write_keypoint_results
from tfpose.inference.posetrack_joints import can_infer_head_joints, infer_head_joints, posetrack_poses
from tfpose.json_files import write_text
from tfpose.picture_files import write_picture
from tfpose.posetrack import (
    Frame,
    PoseSequence,
    frame_from_poses,
    write_posetrack17,
    write_posetrack18,
)
from tfpose.prediction.decoding import absolute
from tfpose.prediction.frames import SourceFrame
from tfpose.prediction.pipeline import FrameResult
from tfpose.prediction.sound import copy_sound
from tfpose.prediction.sources import Video
from tfpose.skeletons import KNOWN_SKELETONS, POSETRACK15, Skeleton
from tfpose.video_files import VideoFileWriter
from tfpose.video_sound import Sound

OUTPUTS = ("posetrack", "coco", "csv", "video")
# Formats in which OpenCV writes colors.
_DRAWN_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
# Adds one frame to what is written.
Write = Callable[[], None]
_POSETRACK_WRITERS = {"2017": write_posetrack17, "2018": write_posetrack18}


class OutputPaths:
    """Paths of a source's results; each kind of file has a folder for the files of all sources.

    Attributes:
        name: Name of the source.
        posetrack: PoseTrack file.
        coco: File of COCO keypoint results.
        csv: CSV table.
        pictures: Folder of annotated images.
    """

    def __init__(self, directory: pathlib.Path, name: str) -> None:
        """Makes the paths.

        Args:
            directory: Output folder.
            name: Name of the source.
        """
        self.name = name
        self.posetrack = directory / "predictions" / f"{name}.json"
        self.coco = directory / "coco" / f"{name}.json"
        self.csv = directory / "csv" / f"{name}.csv"
        self.pictures = directory / "pictures"
        self._videos = directory / "videos"

    def video(self, suffix: str) -> pathlib.Path:
        """Returns the path of the annotated video, with a suffix such as '.mp4'."""
        return self._videos / f"{self.name}{suffix}"


def write_files(
    kinds: Sequence[str],
    paths: OutputPaths,
    results: Sequence[FrameResult],
    skeleton: Skeleton,
    posetrack_format: str,
) -> list[pathlib.Path]:
    """Writes the poses of all frames in each of the formats. A file is replaced when the new one is complete.

    Args:
        kinds: Kinds of results to write, some of `OUTPUTS`; 'video' is ignored.
        paths: Paths of the files.
        results: Results of the frames, in order.
        skeleton: Skeleton of the poses.
        posetrack_format: Version of the PoseTrack format, '2017' or '2018'.

    Returns:
        Paths of the files that were written.
    """
    written = []
    if "posetrack" in kinds:
        sequence = _build_sequence(_printable(paths.name), results, skeleton, posetrack_format)
        _POSETRACK_WRITERS[posetrack_format](paths.posetrack, sequence)
        written.append(paths.posetrack)
    if "coco" in kinds:
        _write_coco(paths.coco, results, skeleton)
        written.append(paths.coco)
    if "csv" in kinds:
        _write_csv(paths.csv, results, skeleton)
        written.append(paths.csv)
    return written


def lost_joints(skeleton: Skeleton, posetrack_format: str) -> list[str]:
    """Returns the joints of a skeleton that its PoseTrack file cannot hold."""
    kept = _posetrack_skeleton(skeleton, posetrack_format).joints
    return [joint for joint in skeleton.joints if joint not in kept]


def _posetrack_skeleton(skeleton: Skeleton, posetrack_format: str) -> Skeleton:
    """Returns PoseTrack's joints for skeletons that share them; a skeleton of the user's own keeps its joints.

    Raises:
        ValueError: The format of 2017, which numbers PoseTrack's joints, has none of the joints.
    """
    joints, of_files = set(skeleton.joints), set(POSETRACK15.joints)
    if skeleton.joints in KNOWN_SKELETONS or joints <= of_files or joints >= of_files:
        return POSETRACK15
    if posetrack_format == "2018":
        return skeleton
    if not joints & of_files:
        raise ValueError(
            f"--format=2017 requires a joint of PoseTrack ({', '.join(POSETRACK15.joints)}), got a model with "
            f"{', '.join(skeleton.joints)}; choose --format=2018 or --outputs=coco,csv,video"
        )
    return POSETRACK15


def _build_sequence(
    name: str, results: Iterable[FrameResult], skeleton: Skeleton, posetrack_format: str
) -> PoseSequence:
    """Builds a PoseTrack sequence of the poses. PoseTrack's 15 joints are taken by name; joints may be missing."""
    of_file = _posetrack_skeleton(skeleton, posetrack_format)
    return PoseSequence(
        name=name,
        skeleton=of_file,
        frames=tuple(_build_frame(result, skeleton, of_file) for result in results),
        path=pathlib.Path(f"{name}.json"),
    )


def _build_frame(result: FrameResult, skeleton: Skeleton, of_file: Skeleton) -> Frame:
    poses = result.poses
    if of_file is not skeleton:
        convert = infer_head_joints if can_infer_head_joints(skeleton) else posetrack_poses
        poses = convert(poses, skeleton)
    name = f"images/{_printable(result.name)}"
    return frame_from_poses(name, result.index, poses, image_size=result.image_size)


def _printable(name: str) -> str:
    """Returns the name of a file as text; bytes that are not UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


def _write_coco(path: pathlib.Path, results: Sequence[FrameResult], skeleton: Skeleton) -> None:
    """Writes COCO keypoint results with all joints of the skeleton."""
    image_ids = np.repeat([result.image_id for result in results], [len(result.poses) for result in results])
    joints = skeleton.num_joints
    columns = {"keypoints": (0, joints, 2), "joint_scores": (0, joints), "scores": (0,), "track_ids": (0,)}
    arrays = {
        column: np.concatenate([np.zeros(shape), *(getattr(result.poses, column) for result in results)])
        for column, shape in columns.items()
    }
    track_ids = arrays.pop("track_ids").astype(np.int64)
    write_keypoint_results(path, image_ids.astype(np.int64), **arrays, track_ids=track_ids)


def _write_csv(path: pathlib.Path, results: Iterable[FrameResult], skeleton: Skeleton) -> None:
    """Writes a table with a row per person. The cells of joints that were not found are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    joints = [f"{joint}_{column}" for joint in skeleton.joints for column in ("x", "y", "score")]
    writer.writerow(["frame", "file", "seconds", "track_id", "score", "x1", "y1", "x2", "y2", *joints])
    for result in results:
        poses = result.poses
        for person in range(len(poses)):
            track_id = int(poses.track_ids[person])
            row = [result.index, _printable(result.name), f"{result.seconds:.3f}", track_id if track_id >= 0 else ""]
            row += [f"{poses.scores[person]:.4f}", *(f"{side:.2f}" for side in poses.boxes[person])]
            for (x, y), score in zip(poses.keypoints[person], poses.joint_scores[person], strict=True):
                row += [f"{x:.2f}", f"{y:.2f}", f"{score:.4f}"] if score > 0 else ["", "", ""]
            writer.writerow(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue())


class VideoSink(contextlib.AbstractContextManager):
    """Writes annotated frames as a video, each shown at its own time.

    Attributes:
        path: Path of the video.
        notes: Notes for the user, one line each; complete after the last frame.
    """

    def __init__(self, path: pathlib.Path, source: Video, rate: float | None, should_keep_sound: bool) -> None:
        """Prepares the video. The file is created with the first frame.

        Args:
            path: Path of the video.
            source: Video that the frames are from.
            rate: Frame rate at which all frames are played, without sound; None keeps their times.
            should_keep_sound: Whether to copy the sound of a video that is no stream.
        """
        self.path = path
        self.notes: list[str] = []
        self._source, self._rate = source, rate
        self._has_sound = should_keep_sound and not source.is_live and rate is None
        self._writer: VideoFileWriter | None = None
        self._start = self._end = self._file_start = 0.0

    def prepare(self, frame: SourceFrame, image: np.ndarray) -> Write:
        """Converts a drawn frame, [H, W, 3] uint8 RGB; returns the function that adds it."""
        if self._writer is None:
            self._start, self._file_start = frame.seconds, frame.file_seconds
            sound = Sound(absolute(str(self._source.address)), self._file_start) if self._has_sound else None
            self._writer = VideoFileWriter(self.path, self._rate or self._source.frames_per_second, sound)
        add = self._writer.prepare(image)

        def write() -> None:
            add(None if self._rate else frame.seconds - self._start)
            self._end = frame.seconds

        return write

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        self._writer.__exit__(kind, error, trace)
        if error is None:
            self.notes += self._writer.notes
            if self._has_sound and not self._writer.keeps_sound:
                seconds = self._end - self._start + 1 / self._source.frames_per_second
                note = copy_sound(str(self._source.address), self.path, self._file_start, seconds)
                self.notes += [note] if note else []


class PictureSink(contextlib.AbstractContextManager):
    """Writes annotated images into another folder, under the names of the originals."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Prepares the folder, which is created with the first image.

        Args:
            directory: Folder for the images.
        """
        self.path = directory
        self.notes: list[str] = []

    def prepare(self, frame: SourceFrame, image: np.ndarray) -> Write:
        """Returns the function that writes an image, [H, W, 3] uint8 RGB; it raises an `OSError` if it cannot."""

        def write() -> None:
            path = self.path_of(frame.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(path, image)

        return write

    def path_of(self, name: str) -> pathlib.Path:
        """Returns the path of a drawn image. A name of a format that cannot be written gets the suffix .png."""
        path = self.path / name
        return path if path.suffix.lower() in _DRAWN_SUFFIXES else path.with_name(f"{path.name}.png")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class TolerantSink(contextlib.AbstractContextManager):
    """Keeps the error of a sink that cannot be written, because the poses are worth more than the drawings.

    Attributes:
        problem: Description of the error; '' if there is none.
        notes: Notes of the sink, one line each.
        written: Paths of the drawings, if they are complete.
    """

    def __init__(self, sink: VideoSink | PictureSink) -> None:
        """Wraps a sink."""
        self.problem = ""
        self.notes: list[str] = []
        self.written: list[pathlib.Path] = []
        self._sink = sink
        # Nothing is prepared for a sink that has ended.
        self._ending = threading.Lock()

    def prepare(self, frame: SourceFrame, image: np.ndarray) -> Write:
        """Prepares a drawn frame, [H, W, 3] uint8 RGB, which may happen in another thread than the writing.

        Returns:
            The function that adds the frame, unless an earlier one could not be written.
        """
        with self._ending:
            try:
                write = _nothing if self.problem else self._sink.prepare(frame, image)
            except OSError as error:
                return functools.partial(self._fail, error)
        return functools.partial(self._try, write)

    def _try(self, write: Write) -> None:
        if self.problem:
            return
        try:
            write()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        with self._ending:
            if not self.problem:
                self.problem = str(error)
                self._sink.__exit__(type(error), error, error.__traceback__)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.problem:
            return
        try:
            self._sink.__exit__(kind, error, trace)
        except OSError as problem:
            self.problem = str(problem)
            return
        if error is None:
            self.notes, self.written = self._sink.notes, [self._sink.path]


def _nothing() -> None:
    pass
