"""The content of one PoseTrack file of any format."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfpose import boxes as box_math
from tfpose.json_files import float_array
from tfpose.poses import NO_TRACK_ID, Poses
from tfpose.skeletons import Skeleton

# Joints in the order of their numbers in 2017 files, which is the order of all published metrics too.
JOINTS_BY_NUMBER = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    *("head_bottom", "nose", "head_top"),
)
# The score that poseval gives a joint without a score.
NO_SCORE = -9999.0
NO_IMAGE_ID = -1
# Boxes of PoseTrack 2018 are the extent of the joints, grown on each side by this share of its width or height.
POSETRACK_BOX_MARGIN = 0.15


@dataclasses.dataclass(frozen=True)
class SurplusPoints:
    """Points of a 2017 file that are not the first of a known joint: repetitions, and numbers other than 0..14.

    Poseval counts them when it tests whether a person has points left, and a repetition replaces a first point that an
    ignore region removes. Other formats have no such points.

    Attributes:
        people: [N] position of the person in the frame.
        joints: [N] position of the joint in the skeleton, -1 for unknown numbers.
        keypoints: [N, 2] (x, y) in image pixels.
        scores: [N] scores of the points.
    """

    people: np.ndarray
    joints: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame with P people in the order of the file.

    Attributes:
        file_name: Name of the image, as in the file.
        index: Position of the frame in the sequence, from 0.
        image_id: Identity of the image; NO_IMAGE_ID in 2017 files.
        is_labeled: Whether the file says that the frame is labeled; where it does not say, whether there are people.
        image_size: (height, width); zeros where the file lacks it.
        keypoints: [P, J, 2] float64 in image pixels, 0 where there is no joint.
        visibility: [P, J] int64: 0 no joint, 1 hidden, 2 visible. The files hold only 0 and 1; the joint is there
            unless x, y and the flag are all 0.
        joint_scores: [P, J] float64 scores; NO_SCORE where there is none, NaN where the file has null.
        scores: [P] float64 scores of the people, NaN where there is none; evaluators ignore them.
        boxes: [P, 4] float64 xyxy boxes of the people, not clipped; NaN where there is none.
        head_boxes: [P, 4] float64 xyxy boxes of the heads; NaN where there is none.
        areas: [P] float64 areas in square pixels, NaN where there is none; PoseTrack's own files have none.
        track_ids: [P] int64 identities of the people; NO_TRACK_ID where there is none.
        annotation_ids: [P] int64 identities of the annotations; -1 where there is none.
        has_points: [P] bool, whether the file has a list of points, even an empty one; always true for 2018 files.
        surplus: Further points of a 2017 file.
        ignore_regions: Polygons, [N, 2] float64 each, in which nothing is evaluated.
        video: The field `vid_id` as text; '' where the file lacks it.
    """

    file_name: str
    index: int
    image_id: int
    is_labeled: bool
    image_size: tuple[int, int]
    keypoints: np.ndarray
    visibility: np.ndarray
    joint_scores: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    head_boxes: np.ndarray
    areas: np.ndarray
    track_ids: np.ndarray
    annotation_ids: np.ndarray
    has_points: np.ndarray
    surplus: SurplusPoints
    ignore_regions: tuple[np.ndarray, ...]
    video: str = ""

    @property
    def num_people(self) -> int:
        """The number of people, P."""
        return len(self.keypoints)


@dataclasses.dataclass(frozen=True)
class PoseSequence:
    """The frames of one file.

    Attributes:
        name: Name of the file up to its first dot.
        skeleton: Skeleton of all keypoints.
        frames: The frames in the order of the file.
        path: Path of the file, for messages.
        category_id: Identity of the category of people; the format of 2017 has none.
        num_unlisted: Number of annotations that were left out, since the file does not list their images.
    """

    name: str
    skeleton: Skeleton
    frames: tuple[Frame, ...]
    path: pathlib.Path
    category_id: int = 1
    num_unlisted: int = 0


def build_frame(
    file_name: str,
    index: int,
    keypoints: np.ndarray,
    visibility: np.ndarray,
    track_ids: np.ndarray | None = None,
    **fields: Any,
) -> Frame:
    """Makes a frame from arrays; a field that is not given is the value for "none" in the description of `Frame`.

    Args:
        file_name: Name of the image.
        index: Position of the frame in the sequence, from 0.
        keypoints: [P, J, 2] keypoints in image pixels.
        visibility: [P, J] visibility of the joints.
        track_ids: [P] identities of the people.
        **fields: Any other field of `Frame`.
    """
    num_people, num_joints = np.shape(visibility)
    no_box = np.full((num_people, 4), np.nan)
    defaults: dict[str, Any] = {
        "image_id": NO_IMAGE_ID,
        "is_labeled": True,
        "image_size": (0, 0),
        "joint_scores": np.full((num_people, num_joints), NO_SCORE),
        "scores": np.full(num_people, np.nan),
        "boxes": no_box,
        "head_boxes": no_box,
        "areas": np.full(num_people, np.nan),
        "track_ids": np.full(num_people, NO_TRACK_ID) if track_ids is None else np.asarray(track_ids, np.int64),
        "annotation_ids": np.full(num_people, -1),
        "has_points": np.ones(num_people, bool),
        "surplus": _NO_SURPLUS,
        "ignore_regions": (),
    }
    return Frame(
        file_name=file_name,
        index=index,
        keypoints=np.where((np.asarray(visibility) > 0)[..., None], np.asarray(keypoints, np.float64), 0.0),
        visibility=np.asarray(visibility, np.int64),
        **(defaults | fields),
    )


def unit_range(points: np.ndarray) -> str:
    """Returns 'from LOWEST to HIGHEST' if all coordinates lie within one pixel, as those from 0 to 1 do; '' if not."""
    if not points.any() or np.abs(points).max() > 1:
        return ""
    return f"from {points.min():g} to {points.max():g}"


def polygon(corners: Sequence) -> np.ndarray:
    """Returns an ignore region [N, 2] of pairs (x, y) of JSON numbers.

    Raises:
        ValueError: A coordinate is null, no number or too large.
    """
    points = float_array(corners).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("the corners of an ignore region must be numbers")
    return points


_NO_SURPLUS = SurplusPoints(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0))


def sequence_name(path: pathlib.Path) -> str:
    """Returns the name that evaluators give the sequence of a file: the file name up to its first dot."""
    return path.name.split(".")[0]


def poses_from_frame(frame: Frame) -> Poses:
    """Returns the people of a frame, for trackers.

    A joint that is there without a score, or with a score of 0 or less, gets the smallest positive float32 score, since
    0 means an absent joint in `Poses`. In a frame without any scores, such as ground truth, each joint gets 1. Where
    the file has none, a person's score is the mean over the joints and the box is their extent grown by 15 %.
    """
    is_joint = frame.visibility > 0
    has_score = np.isfinite(frame.joint_scores) & (frame.joint_scores != NO_SCORE)
    least = np.finfo(np.float32).tiny
    known = np.where(has_score, np.maximum(frame.joint_scores, least), least if has_score.any() else 1.0)
    joint_scores = np.where(is_joint, known, 0.0)
    mean = joint_scores.sum(axis=1) / np.maximum(is_joint.sum(axis=1), 1)
    has_box = np.isfinite(frame.boxes).all(axis=1, keepdims=True)
    around = box_math.around_keypoints(frame.keypoints, is_joint, relative_margin=POSETRACK_BOX_MARGIN)
    return Poses(
        keypoints=frame.keypoints,
        joint_scores=joint_scores,
        scores=np.where(np.isfinite(frame.scores), frame.scores, mean),
        boxes=np.where(has_box, frame.boxes, around),
        track_ids=np.where(frame.track_ids == NO_TRACK_ID, -1, frame.track_ids),
    )


def frame_from_poses(file_name: str, index: int, poses: Poses, **fields: Any) -> Frame:
    """Returns a frame of predictions; for `fields` see `build_frame`."""
    is_joint = poses.is_joint
    return build_frame(
        file_name,
        index,
        keypoints=poses.keypoints,
        visibility=np.where(is_joint, 2, 0),
        track_ids=np.where(poses.track_ids < 0, NO_TRACK_ID, poses.track_ids),
        joint_scores=np.where(is_joint, poses.joint_scores, NO_SCORE),
        scores=poses.scores,
        boxes=poses.boxes,
        **fields,
    )
