"""Reads COCO keypoint results as the frames of videos, for PoseTrack files. NumPy only."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from tfpose.coco_results import KeypointResults, read_keypoint_results
from tfpose.messages import print_notes
from tfpose.metrics.posetrack import check_folder, find_sequence_files
from tfpose.posetrack import (
    NO_IMAGE_ID,
    NO_SCORE,
    NO_TRACK_ID,
    Frame,
    PoseSequence,
    build_frame,
    read_posetrack,
)
from tfpose.skeletons import POSETRACK18, SKELETONS_BY_NAME, Skeleton, map_joints

# Frame numbers have six digits in the names of images.
_MOST_FRAMES = 10**6


def read_coco_sequences(
    path: pathlib.Path, skeleton_name: str, ground_truth: pathlib.Path | None = None
) -> list[PoseSequence]:
    """Reads a file of COCO keypoint results as videos. Joints get PoseTrack's by name.

    Notes on stderr name the joints that have no place or no source, and count the people that are left out.

    Args:
        path: Path of the file.
        skeleton_name: Name of the skeleton of the keypoints, a key of `SKELETONS_BY_NAME`.
        ground_truth: Folder of PoseTrack annotations, whose image ids say which image is which frame of which video.
            Without it the file is one video and its image ids are the numbers of the frames, from 0.

    Raises:
        FileNotFoundError: The file or the folder does not exist.
        ValueError: The file is damaged, or its image ids are not those of frames.
    """
    if skeleton_name not in SKELETONS_BY_NAME:
        raise ValueError(
            f"--skeleton must be {', '.join(SKELETONS_BY_NAME)} for a file of COCO results, got {skeleton_name!r}"
        )
    skeleton = SKELETONS_BY_NAME[skeleton_name]
    results = read_keypoint_results(path, skeleton)
    print_notes(_joint_notes(path, skeleton) + _category_notes(path, results) + _id_notes(path, results))
    if ground_truth is None:
        return [_one_video(path, results, skeleton)]
    return _annotated_videos(path, results, skeleton, ground_truth)


def _joint_notes(path: pathlib.Path, skeleton: Skeleton) -> list[str]:
    lost = [joint for joint in skeleton.joints if joint not in POSETRACK18.joints]
    absent = [joint for joint in POSETRACK18.joints if joint not in skeleton.joints and not joint.endswith("_ear")]
    notes = [f"{path}: PoseTrack's files have no {', '.join(lost)}; these joints are left out"] if lost else []
    return notes + [f"{path}: {skeleton.name} has no {', '.join(absent)}; nobody has these joints"] * bool(absent)


def _category_notes(path: pathlib.Path, results: KeypointResults) -> list[str]:
    if len(results.categories) < 2:
        return []
    ids = ", ".join(results.categories)
    return [f"{path}: the results of {len(results.categories)} categories (category_id {ids}) are all taken as people"]


def _id_notes(path: pathlib.Path, results: KeypointResults) -> list[str]:
    without = int((results.track_ids == NO_TRACK_ID).sum())
    if not 0 < without < len(results.track_ids):
        return []
    return [f"{path}: {without} of {len(results.track_ids)} people have no track_id"]


def _one_video(path: pathlib.Path, results: KeypointResults, skeleton: Skeleton) -> PoseSequence:
    ids = results.image_ids
    if len(ids) and not 0 <= ids.min() <= ids.max() < _MOST_FRAMES:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise ValueError(
            f"{path}: image_id must be the number of a frame, from 0 to {_MOST_FRAMES - 1}, got {wrong}; "
            "--ground_truth says which images are frames of which videos"
        )
    name = path.name.split(".")[0]
    frames = [
        build_frame(f"images/{name}/{index:06d}.jpg", index, **_no_people())
        for index in range(int(ids.max()) + 1 if len(ids) else 0)
    ]
    return _with_people(PoseSequence(name, POSETRACK18, tuple(frames), pathlib.Path(f"{name}.json")), results, skeleton)


def _annotated_videos(
    path: pathlib.Path, results: KeypointResults, skeleton: Skeleton, ground_truth: pathlib.Path
) -> list[PoseSequence]:
    files = find_sequence_files(check_folder(ground_truth, "the ground truth"))
    videos = [_empty_video(name, file) for name, file in files.items()]
    images = collections.Counter(frame.image_id for video in videos for frame in video.frames)
    repeated = next((image_id for image_id, count in images.items() if count > 1), None)
    if repeated is not None:
        raise ValueError(f"{ground_truth}: image ids must be distinct over all files, got {repeated} twice")
    is_known = np.array([image_id in images for image_id in results.image_ids.tolist()], bool)
    unknown = results.image_ids[~is_known]
    if len(unknown):
        if not is_known.any():
            raise ValueError(f"{path}: image_id must be one of the images of {ground_truth}, got {unknown[0]}")
        left_out = f"{path}: {len(unknown)} of {len(is_known)} people are left out"
        print_notes([f"{left_out}: their image_id, such as {unknown[0]}, is not in {ground_truth}"])
    return [_with_people(video, results, skeleton) for video in videos]


def _empty_video(name: str, file: pathlib.Path) -> PoseSequence:
    """Returns the frames of an annotation file, without people."""
    annotated = read_posetrack(file, POSETRACK18, drop_unknown_images=True)
    if any(frame.image_id == NO_IMAGE_ID for frame in annotated.frames):
        raise ValueError(f"{file}: images must have ids, as in PoseTrack 2018, got a file of PoseTrack 2017")
    frames = tuple(
        build_frame(frame.file_name, frame.index, image_id=frame.image_id, image_size=frame.image_size, **_no_people())
        for frame in annotated.frames
    )
    return dataclasses.replace(annotated, frames=frames, path=pathlib.Path(name))


def _no_people() -> dict[str, np.ndarray]:
    return {"keypoints": np.zeros((0, POSETRACK18.num_joints, 2)), "visibility": np.zeros((0, POSETRACK18.num_joints))}


def _with_people(video: PoseSequence, results: KeypointResults, skeleton: Skeleton) -> PoseSequence:
    rows_of_image: dict[int, list[int]] = collections.defaultdict(list)
    for row, image_id in enumerate(results.image_ids.tolist()):
        rows_of_image[image_id].append(row)
    frames = [
        _frame_with_people(frame, results, rows_of_image.get(_image_id(frame), []), skeleton) for frame in video.frames
    ]
    return dataclasses.replace(video, frames=tuple(frames))


def _image_id(frame: Frame) -> int:
    return frame.index if frame.image_id == NO_IMAGE_ID else frame.image_id


def _frame_with_people(frame: Frame, results: KeypointResults, rows: Sequence[int], skeleton: Skeleton) -> Frame:
    columns = map_joints(results.keypoints[list(rows)], skeleton.joints, POSETRACK18.joints)
    is_joint = columns[..., 2] > 0
    return build_frame(
        frame.file_name,
        frame.index,
        keypoints=columns[..., :2],
        visibility=np.where(is_joint, 2, 0),
        track_ids=results.track_ids[list(rows)],
        joint_scores=np.where(is_joint, columns[..., 2], NO_SCORE),
        scores=results.scores[list(rows)],
        image_id=frame.image_id,
        image_size=frame.image_size,
    )
