"""Poses: the people of one frame."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Poses:
    """The people of one frame as arrays, checked when made. NumPy only.

    Attributes:
        keypoints: [P, J, 2] float (x, y) in original image pixels.
        joint_scores: [P, J] float confidence; 0 or less marks a joint that is not there.
        scores: [P] float confidence of each person.
        boxes: [P, 4] float xyxy in original image pixels.
        track_ids: [P] int identities in one video; -1 where none is known.

    Raises:
        ValueError: naming the field whose shape does not fit `keypoints`, with both shapes.
    """

    keypoints: np.ndarray
    joint_scores: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    track_ids: np.ndarray

    def __post_init__(self) -> None:
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
            if np.shape(getattr(self, field)) != shape:
                raise ValueError(
                    f"Poses: {field} must be {shape} beside keypoints {self.keypoints.shape}, "
                    f"got {np.shape(getattr(self, field))}"
                )

    def __len__(self) -> int:
        return len(self.keypoints)

    def select(self, indices: np.ndarray) -> Poses:
        """The people at these positions (or where this mask is true), in this order."""
        return Poses(**{f.name: getattr(self, f.name)[indices] for f in dataclasses.fields(self)})


def no_poses(num_joints: int) -> Poses:
    """A frame without people."""
    return Poses(
        keypoints=np.zeros((0, num_joints, 2)),
        joint_scores=np.zeros((0, num_joints)),
        scores=np.zeros(0),
        boxes=np.zeros((0, 4)),
        track_ids=np.zeros(0, np.int64),
    )
