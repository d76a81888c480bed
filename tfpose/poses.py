"""Poses: the people of one frame. NumPy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

# The identity of a person without one, where identities come from files, which may use any other number.
NO_TRACK_ID = int(np.iinfo(np.int64).min)
# Numbers of fewer bytes cannot hold the area of a box.
_LEAST_BYTES = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Poses:
    """The P people of one frame with J joints each, as arrays whose shapes are checked.

    Whole numbers and numbers of 16 bits become float64, and identities int64, where they have another type.

    Attributes:
        keypoints: [P, J, 2] float (x, y) in original image pixels.
        joint_scores: [P, J] float confidence of each joint; 0 or less marks a joint that is not there.
        scores: [P] float confidence of each person.
        boxes: [P, 4] float xyxy in original image pixels.
        track_ids: [P] int identity of each person in one video; -1 where none is known.

    Raises:
        ValueError: A field is no array of real numbers (`track_ids`: of whole ones), or its shape does not fit
            `keypoints`; the message names the field and both types or shapes.
    """

    keypoints: np.ndarray
    joint_scores: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    track_ids: np.ndarray

    def __post_init__(self) -> None:
        for field, value in vars(self).items():
            if not isinstance(value, np.ndarray):
                raise ValueError(f"Poses: {field} must be a NumPy array, got {type(value).__name__}")
            object.__setattr__(self, field, _as_numbers(field, value))
        if self.keypoints.ndim != 3 or self.keypoints.shape[2] != 2:
            raise ValueError(f"Poses: keypoints must be [people, joints, 2], got {self.keypoints.shape}")
        people, joints = self.keypoints.shape[:2]
        expected = {
            "joint_scores": (people, joints),
            "scores": (people,),
            "boxes": (people, 4),
            "track_ids": (people,),
        }
        for field, shape in expected.items():
            if getattr(self, field).shape != shape:
                raise ValueError(
                    f"Poses: {field} must be {shape} beside keypoints {self.keypoints.shape}, "
                    f"got {getattr(self, field).shape}"
                )

    def __len__(self) -> int:
        return len(self.keypoints)

    def __eq__(self, other: object) -> bool:
        """Returns whether all numbers are the same; NaN is the same as NaN."""
        if not isinstance(other, Poses):
            return NotImplemented
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self))
        return all(np.array_equal(ours, theirs, equal_nan=True) for ours, theirs in pairs)

    @property
    def is_joint(self) -> np.ndarray:
        """[P, J] bool, whether a joint is there: it has a score above 0 and finite coordinates."""
        return (self.joint_scores > 0) & np.isfinite(self.keypoints).all(axis=-1)

    def select(self, indices: np.ndarray | slice) -> Poses:
        """Returns the people at these positions, in this order, or those where this mask [P] is true."""
        return Poses(**{f.name: getattr(self, f.name)[indices] for f in dataclasses.fields(self)})

    def as_written(self) -> Poses:
        """Returns the poses as files hold them: a joint that is not there lies at (0, 0) with a score of 0."""
        is_joint = self.is_joint
        return dataclasses.replace(
            self,
            keypoints=np.where(is_joint[..., None], self.keypoints, 0.0),
            joint_scores=np.where(is_joint, self.joint_scores, 0.0),
        )

    def to_dict(self, joints: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Returns columns with one row for each joint of each person: `pandas.DataFrame(poses.to_dict())` is a table.

        Args:
            joints: J names of the joints, such as `skeleton.joints`; None numbers the joints from 0.

        Returns:
            The columns `person` (position in the frame), `track_id`, `joint`, `x`, `y`, `score` (of the joint) and
            `person_score`, [P * J] each. x and y are NaN where the joint is not there.

        Raises:
            ValueError: The number of names is not that of the joints.

        Example:
            >>> poses = Poses(np.ones((1, 2, 2)), np.array([[0.5, 0]]), np.ones(1), np.ones((1, 4)), np.array([7]))
            >>> [column.tolist() for name, column in poses.to_dict(["nose", "neck"]).items() if name in ("joint", "x")]
            [['nose', 'neck'], [1.0, nan]]
        """
        num_people, num_joints = self.joint_scores.shape
        if joints is not None and len(joints) != num_joints:
            raise ValueError(f"joints must be {num_joints} names, got {len(joints)}")
        names = np.arange(num_joints) if joints is None else np.array(joints, object)
        places = np.where(self.is_joint[..., None], self.keypoints, np.nan)
        return {
            "person": np.repeat(np.arange(num_people), num_joints),
            "track_id": np.repeat(self.track_ids, num_joints),
            "joint": np.tile(names, num_people),
            "x": places[..., 0].ravel(),
            "y": places[..., 1].ravel(),
            "score": np.ravel(self.joint_scores),
            "person_score": np.repeat(self.scores, num_joints),
        }

    def to_supervision_arrays(self, confidence: str = "confidence") -> dict[str, Any]:
        """Returns the arguments of `supervision.KeyPoints`: `KeyPoints(**poses.to_supervision_arrays())`.

        Args:
            confidence: Name of the argument for the scores of the joints: "confidence" in supervision before 0.29,
                "keypoint_confidence" since.

        Returns:
            `xy` [P, J, 2] float32, zeros where the joint is not there, which supervision does not draw; the scores of
            the joints [P, J] float32; `class_id` None; and `data` with `track_id` [P], `person_score` [P] and
            `box` [P, 4]. `pose_exchange.poses_from_supervision` reads them back.
        """
        is_joint = self.is_joint
        return {
            "xy": np.where(is_joint[..., None], self.keypoints, 0.0).astype(np.float32),
            confidence: np.where(is_joint, self.joint_scores, 0.0).astype(np.float32),
            "class_id": None,
            "data": {"track_id": self.track_ids, "person_score": self.scores, "box": self.boxes},
        }


def _as_numbers(field: str, values: np.ndarray) -> np.ndarray:
    """Returns the numbers of a field of `Poses` in a type that holds means and areas, or identities."""
    kind, is_float = values.dtype.kind, values.dtype.kind == "f"
    if kind not in "fiub":
        raise ValueError(f"Poses: {field} must be an array of real numbers, got {values.dtype}")
    if field != "track_ids":
        return values if is_float and values.itemsize >= _LEAST_BYTES else values.astype(np.float64)
    if is_float and not (np.isfinite(values) & (values == np.floor(values))).all():
        raise ValueError(f"Poses: track_ids must be whole numbers, got {values}")
    return values if kind in "iu" else values.astype(np.int64)


def join_poses(frames: Sequence[Poses]) -> Poses:
    """Returns the people of several frames, at least one, frame after frame."""
    return Poses(
        **{f.name: np.concatenate([getattr(poses, f.name) for poses in frames]) for f in dataclasses.fields(Poses)}
    )


def split_poses(people: Poses, counts: np.ndarray) -> list[Poses]:
    """Returns the frames that `join_poses` joined; `counts` [F] are their numbers of people."""
    ends = np.cumsum(counts)
    return [people.select(slice(end - count, end)) for count, end in zip(counts, ends, strict=True)]


def no_poses(num_joints: int) -> Poses:
    """Returns a frame without people."""
    return Poses(
        keypoints=np.zeros((0, num_joints, 2)),
        joint_scores=np.zeros((0, num_joints)),
        scores=np.zeros(0),
        boxes=np.zeros((0, 4)),
        track_ids=np.zeros(0, np.int64),
    )
