"""Reads PoseTrack's annotation files of 2017, 2018 and 2021, and arranges their frames as records."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from data_prep.annotations import Column, SplitAnnotations, odd_boxes_note, repeated_tracks_note
from data_prep.labeled_videos import distinct_names
from data_prep.source import Source, digest_files, find_image, images_outside_note
from tfpose import boxes as box_math
from tfpose.data.records import FIRST_OWN_IMAGE_ID
from tfpose.metrics.posetrack import find_sequence_files
from tfpose.posetrack import (
    NO_IMAGE_ID,
    NO_TRACK_ID,
    POSETRACK_BOX_MARGIN,
    Frame,
    PoseSequence,
    image_id_of,
    read_posetrack,
    read_posetrack21,
)
from tfpose.posetrack.sequences import unit_range
from tfpose.posetrack.videos import find_videos
from tfpose.skeletons import POSETRACK15


def read_source(source: pathlib.Path) -> Source:
    """Reads the layout of PoseTrack 2017 or 2018: annotations/<split>/*.json.

    Args:
        source: Folder of the dataset; the annotation files name images relative to it.

    Raises:
        FileNotFoundError: There are no annotation files, or the image of a labeled frame is missing.
        ValueError: A file is not valid.
    """
    return _read_folder(source, read_posetrack, ("annotations",))


def read_source21(source: pathlib.Path) -> Source:
    """Reads the layout of PoseTrack21, whose annotations may also be in `posetrack_data`; else as `read_source`."""
    return _read_folder(source, read_posetrack21, ("annotations", "posetrack_data"))


_ReadFile = Callable[[pathlib.Path], PoseSequence]


def _read_folder(source: pathlib.Path, read: _ReadFile, annotation_folders: Sequence[str]) -> Source:
    folder = next((source / name for name in annotation_folders if (source / name).is_dir()), None)
    splits = sorted(path for path in folder.glob("[!.]*") if path.is_dir()) if folder else []
    files = [path for split in splits for path in find_sequence_files(split).values()]
    if not files:
        raise FileNotFoundError(f"{source}: must contain {annotation_folders[0]}/<split>/*.json, got no such file")
    return source_from_files(files, source, read)


def source_from_files(files: Sequence[pathlib.Path], source: pathlib.Path, read: _ReadFile = read_posetrack) -> Source:
    """Reads annotation files; the folder of each file is the name of its split.

    Args:
        files: Annotation files.
        source: Folder of the dataset, as in `read_source`.
        read: Function that reads one file with the skeleton `POSETRACK15`.

    Raises:
        FileNotFoundError: The image of a labeled frame is missing.
        ValueError: A file is not valid.
    """
    splits = {
        name: build_video_split([read(path) for path in files if path.parent.name == name], source)
        for name in sorted({path.parent.name for path in files})
    }
    return Source(splits, POSETRACK15, digest_files(files, {}))


def build_video_split(sequences: Sequence[PoseSequence], source: pathlib.Path) -> SplitAnnotations:
    """Arranges the frames of sequences as records.

    Frames without labels are kept, so that videos have no gaps; those whose image is missing are left out and counted.
    Each video of a file with several is a sequence of its own, and frames are in the order of their numbers.

    Args:
        sequences: Annotated sequences.
        source: Folder of the dataset, as in `read_source`.

    Raises:
        FileNotFoundError: The image of a labeled frame is missing.
    """
    positions = [find_videos(sequence) for sequence in sequences]
    videos = [video for found in zip(sequences, positions, strict=True) for video in _videos(*found)]
    names = distinct_names(video.name for video in videos)
    frames: list[tuple[str, Frame]] = []
    num_left_out = 0
    for name, video in zip(names, videos, strict=True):
        for index, frame in enumerate(video.frames):
            if find_image(source, frame.file_name).is_file():
                frames.append((name, dataclasses.replace(frame, index=index)))
            elif frame.is_labeled or frame.num_people:
                raise FileNotFoundError(
                    f"{source / frame.file_name}: image file not found, but frame {frame.index} of {video.path} "
                    "is labeled"
                )
            else:
                num_left_out += 1
    notes = (f"{num_left_out} unlabeled frames were left out since their images are missing",) * (num_left_out > 0)
    return _arrange(frames, source, (*_order_notes(sequences, positions), *notes))


def _videos(sequence: PoseSequence, positions: Sequence[Sequence[int]]) -> list[PoseSequence]:
    """Returns the videos that `find_videos` found in a file; each of several has the name of its folder of images."""
    videos = [tuple(sequence.frames[position] for position in video) for video in positions]
    if len(videos) == 1:
        return [dataclasses.replace(sequence, frames=videos[0])]
    folders = [frames[0].file_name.replace("\\", "/").split("/")[-2:-1] for frames in videos]
    return [
        dataclasses.replace(sequence, name="".join(folder) or sequence.name, frames=frames)
        for folder, frames in zip(folders, videos, strict=True)
    ]


def _order_notes(sequences: Sequence[PoseSequence], positions: Sequence[Sequence[list[int]]]) -> list[str]:
    """Returns lines on files with several videos, and on files whose frames are in another order than the records."""
    notes = []
    for sequence, videos in zip(sequences, positions, strict=True):
        if len(videos) > 1:
            notes.append(f"{sequence.path.name}: holds {len(videos)} videos, each becomes a sequence of its own")
        if any(video != sorted(video) for video in videos):
            notes.append(
                f"{sequence.path.name}: the frames are not in the order of the numbers in their names, which is the "
                "order of the records"
            )
    return notes


def _arrange(frames: Sequence[tuple[str, Frame]], source: pathlib.Path, notes: tuple[str, ...]) -> SplitAnnotations:
    first_person = np.cumsum([0] + [frame.num_people for _, frame in frames])
    people = _people([frame for _, frame in frames])
    sizes = np.array([frame.image_size for _, frame in frames], np.int64).reshape(-1, 2)
    regions = [frame.ignore_regions for _, frame in frames]
    no_points = [np.zeros((0, 2))]
    image_paths = [find_image(source, frame.file_name) for _, frame in frames]
    image_ids = np.array([_image_id(frame) for _, frame in frames], np.int64)
    return SplitAnnotations(
        image_paths=image_paths,
        images={
            "file_name": [frame.file_name for _, frame in frames],
            "image_id": image_ids,
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
        notes=(
            *notes,
            *_unit_note(people),
            *_repeated_ids_note(image_ids),
            *odd_boxes_note(np.asarray(people["box"]), sizes, first_person),
            *repeated_tracks_note(np.asarray(people["track_id"]), first_person),
            *images_outside_note(image_paths, source),
        ),
    )


def _unit_note(people: Mapping[str, Column]) -> list[str]:
    """Returns a line if all joints lie within one pixel, as coordinates from 0 to 1 do."""
    found = unit_range(np.asarray(people["keypoints"])[np.asarray(people["visibility"]) > 0])
    return [f"all joints must be in pixels, got coordinates {found}"] if found else []


def _repeated_ids_note(image_ids: np.ndarray) -> list[str]:
    """Returns a line if images of several videos have one id."""
    num_repeated = len(image_ids) - len(np.unique(image_ids))
    if not num_repeated:
        return []
    return [
        f"{num_repeated} images have the id of an image of another video: files of boxes and of COCO results count the "
        f"images of the split from {FIRST_OWN_IMAGE_ID} instead"
    ]


def _image_id(frame: Frame) -> int:
    return image_id_of(frame.file_name, frame.index) if frame.image_id == NO_IMAGE_ID else frame.image_id


def _people(frames: Sequence[Frame]) -> dict[str, Column]:
    """Returns the people of all frames; a missing or empty box is made from the joints as in PoseTrack 2018."""
    visibility = _joined(frames, "visibility", (POSETRACK15.num_joints,))
    keypoints = _joined(frames, "keypoints", (POSETRACK15.num_joints, 2))
    boxes = _joined(frames, "boxes", (4,))
    around = box_math.around_keypoints(keypoints, visibility > 0, POSETRACK_BOX_MARGIN)
    boxes = np.where((boxes[:, 2:] > boxes[:, :2]).all(axis=1, keepdims=True), boxes, around)
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
