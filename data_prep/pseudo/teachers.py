"""The models that label pictures: found by name or folder, loaded, and asked for their poses."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.pseudo.judgment import mirror_back
from data_prep.source import digest_files
from tfpose.flags.program_flags import ProgramFlags
from tfpose.importing.named_weights import fetch_files, require_kinds
from tfpose.poses import Poses
from tfpose.prediction.frames import SourceFrame
from tfpose.pretrained.public_checkpoints import DEFAULT_DETECTOR, is_public_name, suggest_names

if TYPE_CHECKING:
    from tfpose.prediction.model import PoseModel
    from tfpose.prediction.sources import Source
    from tfpose.skeletons import Skeleton

# What the poses of a folder depend on, of a work folder and of a SavedModel; checkpoints hold the same weights again.
_MODEL_FILES = ("best.weights.h5", "model.weights.h5", "*_system.json", "*rcnn.json", "picodet.json", "tfpose.json")
_SAVED_FILES = ("saved_model.pb", "variables/*")


@dataclasses.dataclass(frozen=True)
class TeacherChoice:
    """A model by its name or folder, with its detector.

    Attributes:
        name: Name of a public checkpoint, or folder, as the user gave it.
        detector: The same of its detector; '' for none.
        digest: SHA-256 of the files of both.
    """

    name: str
    detector: str
    digest: str

    def to_dict(self) -> dict[str, Any]:
        """Returns an entry of metadata.json."""
        return {"name": self.name, "sha256": self.digest} | ({"detector": self.detector} if self.detector else {})


def find_teacher(values: ProgramFlags, flag: str) -> TeacherChoice:
    """Finds and downloads the files of the model that a flag names, without TensorFlow.

    Raises:
        FileNotFoundError: There is no such folder.
        OSError: A file cannot be downloaded.
        ValueError: A name stands for another kind of network, or a file is damaged.
    """
    name = str(values[flag].value)
    detector = values.detector or (DEFAULT_DETECTOR if is_public_name(name) else "")
    require_kinds(name, f"--{flag}", detector)
    if not is_public_name(name) and not pathlib.Path(name).is_dir():
        raise FileNotFoundError(
            f"--{flag} must be a SavedModel, the work folder of a run or the name of a public checkpoint, got "
            f"{name!r}: no folder{suggest_names(name)}"
        )
    files = fetch_files([name, detector], values.cache)
    paths = [path for text in (name, detector) for path in ([files[text]] if text in files else _files_of(text))]
    return TeacherChoice(name, detector, digest_files(paths, {}))


def _files_of(text: str) -> list[pathlib.Path]:
    """Returns the files of a folder that its poses depend on; none if there is no such folder."""
    folder = pathlib.Path(text)
    if not text or not folder.is_dir():
        return []
    patterns = _SAVED_FILES if (folder / "saved_model.pb").is_file() else _MODEL_FILES
    return [path for pattern in patterns for path in folder.glob(pattern)]


def load_teacher(choice: TeacherChoice, values: ProgramFlags, flag: str) -> PoseModel:
    """Loads a model as one function from frames to poses; starts TensorFlow.

    Raises:
        FileNotFoundError, ValueError: What is in the folder is not a pose model, or a detector is missing.
    """
    from tfpose.flags.startup_messages import start_tensorflow

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    start_tensorflow()
    from tfpose.inference.detected_boxes import DETECTOR, BoxSettings
    from tfpose.systems.loading import load_pose_model, resolve_names
    from tfpose.systems.system import RunChoice

    boxes = None
    if choice.detector:
        boxes = BoxSettings(DETECTOR, choice.detector, score_threshold=values.box_score)
    run = RunChoice(pathlib.Path(choice.name), boxes=boxes)
    return load_pose_model(resolve_names(run, f"--{flag}", values.cache))


class Opinions:
    """The poses of a teacher and, with a filter, a second opinion on the same frames.

    Args:
        teacher: The teacher.
        second: Second model; None for no such model.
        uses_mirror: Whether the second opinion is that of the teacher on the mirrored frames.
    """

    def __init__(self, teacher: PoseModel, second: PoseModel | None, uses_mirror: bool) -> None:
        self._teacher, self._second, self._uses_mirror = teacher, second, uses_mirror
        # By the index of the frame: the pipeline predicts frames ahead of those that it yields.
        self._waiting: dict[int, Poses] = {}

    @property
    def second_skeleton(self) -> Skeleton:
        """The skeleton of the second opinion."""
        return (self._second or self._teacher).skeleton

    def iterate(self, source: Source, batch_size: int) -> Iterator[tuple[SourceFrame, Poses, Poses | None]]:
        """Yields the frames of a source with both opinions; the second is None without a filter.

        Raises:
            ValueError: The network fails on a frame of a video, or a video is damaged.
        """
        from tfpose.prediction.pipeline import predicted_frames

        with predicted_frames(source, self._predict, lambda poses: poses, batch_size, lambda: False) as frames:
            for item in frames:
                yield item.frame, item.found, self._waiting.pop(item.frame.index, None)

    def _predict(self, frames: Sequence[SourceFrame]) -> list[Poses]:
        found = self._teacher.predict_frames(frames)
        if self._uses_mirror:
            mirrored = [
                dataclasses.replace(frame, image=np.ascontiguousarray(frame.image[:, ::-1])) for frame in frames
            ]
            others = [
                mirror_back(poses, frame.image.shape[1], self._teacher.skeleton)
                for frame, poses in zip(frames, self._teacher.predict_frames(mirrored), strict=True)
            ]
        elif self._second is not None:
            others = self._second.predict_frames(frames)
        else:
            return found
        self._waiting |= {frame.index: poses for frame, poses in zip(frames, others, strict=True)}
        return found
