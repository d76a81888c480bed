"""Arranges PoseTrack sequences, of whatever year, as records."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from data_prep.annotations import SplitAnnotations, odd_boxes_note
from data_prep.source import Source, digest_files
from tfpose import boxes as box_math
from tfpose.posetrack import NO_IMAGE_ID, NO_TRACK_ID, POSETRACK_BOX_MARGIN, Frame, PoseSequence, image_id_of
from tfpose.skeletons import POSETRACK15


def read_video_source(
    source: pathlib.Path,
    read: Callable[[pathlib.Path], PoseSequence],
    annotation_folders: Sequence[str] = ("annotations",),
) -> Source:
    """Reads <annotation folder>/<split>/*.json; pictures are where the files say, relative to `source`.

    Args:
        source: folder of the dataset.
        read: reads one annotation file with the skeleton `POSETRACK15`.
        annotation_folders: names to look for; the first that is there counts.

    Raises:
        FileNotFoundError: if there are no annotation files, or the picture of a labeled frame is missing.
        ValueError: if a file is not valid.
    """
    folder = next((source / name for name in annotation_folders if (source / name).is_dir()), None)
    files = sorted(folder.glob("*/*.json")) if folder else []
    if not files:
        raise FileNotFoundError(f"{source}: expected {annotation_folders[0]}/<split>/*.json in it, found none")
    return source_from_files(files, read, source)


def source_from_files(
    files: Sequence[pathlib.Path], read: Callable[[pathlib.Path], PoseSequence], source: pathlib.Path
) -> Source:
    """Reads annotation files; the folder that each is in names its split.

    Raises:
        FileNotFoundError, ValueError: as `read_video_source`.
    """
    splits = {
        name: build_video_split([read(path) for path in files if path.parent.name == name], source)
        for name in sorted({path.parent.name for path in files})
    }
    return Source(splits, POSETRACK15, digest_files(files, {}))


def build_video_split(sequences: Sequence[PoseSequence], source: pathlib.Path) -> SplitAnnotations:
    """The frames of sequences whose pictures are there.

    Frames without labels stay, as pictures to track through; without their picture they are left out and counted.
    """
    frames: list[tuple[str, Frame]] = []
    num_left_out = 0
    for sequence in sequences:
        for frame in sequence.frames:
            if (source / frame.file_name).is_file():
                frames.append((sequence.name, frame))
            elif frame.is_labeled or frame.num_people:
                raise FileNotFoundError(
                    f"{source / frame.file_name}: image file not found, but frame {frame.index} of {sequence.path} "
                    "is labeled"
                )
            else:
                num_left_out += 1
    notes = (f"{num_left_out} unlabeled frames without their picture were left out",) * (num_left_out > 0)
    return _arrange(frames, source, notes)


def _arrange(frames: Sequence[tuple[str, Frame]], source: pathlib.Path, notes: tuple[str, ...]) -> SplitAnnotations:
    first_person = np.cumsum([0] + [frame.num_people for _, frame in frames])
    people = _people([frame for _, frame in frames])
    sizes = np.array([frame.image_size for _, frame in frames], np.int64).reshape(-1, 2)
    regions = [frame.ignore_regions for _, frame in frames]
    no_points = [np.zeros((0, 2))]
    return SplitAnnotations(
        image_paths=[source / frame.file_name for _, frame in frames],
        images={
            "file_name": [frame.file_name for _, frame in frames],
            "image_id": np.array([_image_id(frame) for _, frame in frames], np.int64),
            "height": sizes[:, 0],
            "width": sizes[:, 1],
            "sequence": [name for name, _ in frames],
            "frame": np.array([frame.index for _, frame in frames], np.int64),
            "is_labeled": np.array([frame.is_labeled for _, frame in frames], np.int64),
            "ignore_points": [
                np.concatenate([*polygons, *no_points]).ravel().astype(np.float32) for polygons in regions
            ],
            "ignore_lengths": [np.array([len(polygon) for polygon in polygons], np.int64) for polygons in regions],
        },
        people=people,
        first_person=first_person,
        notes=notes + odd_boxes_note(people["box"], sizes, first_person),
    )


def _image_id(frame: Frame) -> int:
    return image_id_of(frame.file_name, frame.index) if frame.image_id == NO_IMAGE_ID else frame.image_id


def _people(frames: Sequence[Frame]) -> dict[str, Sequence]:
    """The people of all frames. Boxes that a file lacks are made as PoseTrack 2018 makes them."""
    visibility = _joined(frames, "visibility", (POSETRACK15.num_joints,))
    keypoints = _joined(frames, "keypoints", (POSETRACK15.num_joints, 2))
    boxes = _joined(frames, "boxes", (4,))
    around = box_math.around_keypoints(keypoints, visibility > 0, POSETRACK_BOX_MARGIN)
    boxes = np.where(np.isfinite(boxes).all(axis=1, keepdims=True), boxes, around)
    areas = _joined(frames, "areas", ())
    track_ids = _joined(frames, "track_ids", ()).astype(np.int64)
    num_people = len(track_ids)
    return {
        "keypoints": keypoints.astype(np.float32),
        "visibility": visibility.astype(np.int64),
        "box": boxes.astype(np.float32),
        "head_box": _joined(frames, "head_boxes", (4,)).astype(np.float32),
        "area": np.where(np.isfinite(areas), areas, box_math.areas(boxes)).astype(np.float32),
        "is_crowd": np.zeros(num_people, np.int64),
        "track_id": np.where(track_ids == NO_TRACK_ID, -1, track_ids),
        "annotation_id": _joined(frames, "annotation_ids", ()).astype(np.int64),
        "segmentation": [""] * num_people,
    }


def _joined(frames: Sequence[Frame], field: str, shape: tuple[int, ...]) -> np.ndarray:
    columns = [getattr(frame, field) for frame in frames]
    return np.concatenate(columns) if columns else np.zeros((0, *shape))
