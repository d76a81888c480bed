"""Skeletons: joint names, limbs, mirror order and OKS constants.

This is the only module that lists joints. All other modules refer to joints by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

# Constants of the COCO keypoint evaluation for a joint (Lin et al., "Microsoft COCO", keypoint challenge;
# cocodataset.org/#keypoints-eval). The COCO paper names no constant for the head joints of PoseTrack;
# PoseTrack's own evaluation uses none (PCKh), so the ones of the nearest COCO joints are taken.
_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
    "head_top": 0.035,
    "head_bottom": 0.079,
    "neck": 0.079,
}
# For a joint of a custom skeleton that no name above covers: the mean of the COCO constants.
DEFAULT_SIGMA = 0.072

_SIDES = ("left", "right")


@dataclasses.dataclass(frozen=True, eq=False)
class Skeleton:
    """Joints of one person, in the order of every keypoint array of a dataset.

    Attributes:
        name: Name for messages and files.
        joints: The J joint names.
        limbs: Pairs of joint indices that a line joins in drawings.
        left_right_pairs: Pairs (left, right) of joint names that a mirror swaps.
        sigmas: [J] constants of the object keypoint similarity (OKS).
        flip_order: [J] int, derived from the pairs; joint j of the mirrored person is joint flip_order[j].

    Raises:
        ValueError: A field breaks a rule; the message names the rule and the value.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    left_right_pairs: tuple[tuple[str, str], ...]
    sigmas: np.ndarray
    flip_order: np.ndarray = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_joints(self.name, self.joints)
        _check_limbs(self.name, self.limbs, self.num_joints)
        if np.shape(self.sigmas) != (self.num_joints,) or not np.all(np.asarray(self.sigmas) > 0):
            raise ValueError(
                f"skeleton {self.name}: sigmas must be {self.num_joints} positive numbers, got {self.sigmas!r}"
            )
        object.__setattr__(self, "flip_order", self._build_flip_order())

    @property
    def num_joints(self) -> int:
        """The number of joints, J."""
        return len(self.joints)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Skeleton) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.name, self.joints))

    def index(self, joint: str) -> int:
        """Returns the position of a joint by name.

        Raises:
            ValueError: There is no such joint; the message lists the joints.
        """
        if joint not in self.joints:
            raise ValueError(f"skeleton {self.name}: unknown joint {joint!r}; it has {', '.join(self.joints)}")
        return self.joints.index(joint)

    def to_dict(self) -> dict:
        """Returns a description that JSON can hold; `skeleton_from_dict` reads it back."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "limbs": [list(limb) for limb in self.limbs],
            "left_right_pairs": [list(pair) for pair in self.left_right_pairs],
            "sigmas": [float(sigma) for sigma in self.sigmas],
        }

    def _build_flip_order(self) -> np.ndarray:
        flip_order = np.arange(self.num_joints)
        for left, right in self.left_right_pairs:
            i, j = self.index(left), self.index(right)
            if i == j or flip_order[i] != i or flip_order[j] != j:
                raise ValueError(
                    f"skeleton {self.name}: left_right_pairs must name each joint at most once, "
                    f"got {left!r} with {right!r} beside another pair of one of them"
                )
            if side_of(left) == "right" or side_of(right) == "left":
                raise ValueError(
                    f"skeleton {self.name}: left_right_pairs must pair a left joint with a right one, "
                    f"in this order, got ({left!r}, {right!r})"
                )
            flip_order[i], flip_order[j] = j, i
        for joint, order in zip(self.joints, flip_order, strict=True):
            if side_of(joint) and self.joints[order] == joint:
                raise ValueError(f"skeleton {self.name}: {joint!r} names a side but has no partner in left_right_pairs")
        return flip_order


def side_of(joint: str) -> str | None:
    """Returns the side that the name of a joint tells: 'left', 'right' or None."""
    words = joint.lower().replace("-", "_").replace(" ", "_").split("_")
    sides = [side for side in _SIDES if side in words]
    return sides[0] if sides else None


def left_right_pairs_by_name(joints: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs the joints whose names differ only in the words 'left' and 'right'."""
    by_lower = {joint.lower(): joint for joint in joints}
    pairs = []
    for joint in joints:
        if side_of(joint) == "left":
            partner = by_lower.get(joint.lower().replace("left", "right"))
            if partner is not None:
                pairs.append((joint, partner))
    return tuple(pairs)


def default_sigma(joint: str) -> float:
    """Returns the OKS constant of the COCO joint whose name is part of this name; `DEFAULT_SIGMA` if there is none."""
    for word in sorted(_SIGMAS, key=len, reverse=True):
        if word in joint.lower():
            return _SIGMAS[word]
    return DEFAULT_SIGMA


def skeleton_from_names(
    name: str,
    joints: Sequence[str],
    limbs: Iterable[Sequence[str]] = (),
    left_right_pairs: Iterable[Sequence[str]] | None = None,
    sigmas: Sequence[float] | None = None,
) -> Skeleton:
    """Builds a skeleton, with pairs and sigmas derived from the joint names where they are not given."""
    joints = tuple(joints)
    pairs = left_right_pairs_by_name(joints) if left_right_pairs is None else left_right_pairs
    constants = [default_sigma(joint) for joint in joints] if sigmas is None else sigmas
    unknown = {joint for limb in limbs for joint in limb} - set(joints)
    if unknown:
        raise ValueError(f"skeleton {name}: limbs name unknown joints {sorted(unknown)}")
    return Skeleton(
        name=name,
        joints=joints,
        limbs=tuple((joints.index(a), joints.index(b)) for a, b in limbs),
        left_right_pairs=tuple((left, right) for left, right in pairs),
        sigmas=np.asarray(constants, np.float64),
    )


def skeleton_from_coco_category(
    category: Mapping,
    left_right_pairs: Iterable[Sequence[str]] | None = None,
    sigmas: Sequence[float] | None = None,
) -> Skeleton:
    """Reads an entry of `categories` of a COCO keypoint file.

    Args:
        category: Entry with `keypoints` (joint names) and optionally `skeleton` (limbs as pairs of positions counted
            from 1) and `name`.
        left_right_pairs: Pairs of joint names; None pairs names that differ in 'left' and 'right'.
        sigmas: OKS constants; None takes those of the COCO joints with similar names.

    Raises:
        ValueError: The entry has no joint names, or the skeleton is not valid.
    """
    name = str(category.get("name", "person"))
    joints = category.get("keypoints")
    if not isinstance(joints, Sequence) or isinstance(joints, str) or not joints:
        raise ValueError(f"category {name!r}: 'keypoints' must be a list of joint names, got {joints!r}")
    limbs = [(int(a) - 1, int(b) - 1) for a, b in category.get("skeleton", [])]
    _check_limbs(name, limbs, len(joints))
    limb_names = [(joints[a], joints[b]) for a, b in limbs]
    known = KNOWN_SKELETONS.get(tuple(joints))
    if known is not None and left_right_pairs is None and sigmas is None:
        return known
    return skeleton_from_names(name, joints, limb_names, left_right_pairs, sigmas)


def skeleton_from_dict(description: Mapping) -> Skeleton:
    """Builds a skeleton from the result of `Skeleton.to_dict`."""
    joints = description["joints"]
    return skeleton_from_names(
        description["name"],
        joints,
        [(joints[a], joints[b]) for a, b in description["limbs"]],
        description["left_right_pairs"],
        description["sigmas"],
    )


def joint_mapping(source: Sequence[str], target: Sequence[str]) -> np.ndarray:
    """Returns [J_target] the position of every target joint in the source by name, -1 where the source lacks it."""
    position = {joint: index for index, joint in enumerate(source)}
    return np.array([position.get(joint, -1) for joint in target], np.int64)


def map_joints(values: np.ndarray, source: Sequence[str], target: Sequence[str], fill: float = 0.0) -> np.ndarray:
    """Reorders [..., J_source, C] by joint name to [..., J_target, C]; joints that the source lacks are `fill`."""
    order = joint_mapping(source, target)
    mapped = np.asarray(values)[..., np.maximum(order, 0), :].copy()
    mapped[..., order < 0, :] = fill
    return mapped


def _check_joints(name: str, joints: tuple[str, ...]) -> None:
    if not joints or len(set(joints)) != len(joints) or not all(joints):
        raise ValueError(f"skeleton {name}: joints must be distinct names, got {joints!r}")


def _check_limbs(name: str, limbs: Iterable[Sequence[int]], num_joints: int) -> None:
    for a, b in limbs:
        if not (0 <= a < num_joints and 0 <= b < num_joints and a != b):
            raise ValueError(
                f"skeleton {name}: a limb must join two of the {num_joints} joints, got ({a}, {b}) counted from 0"
            )


_BODY_LIMBS = (
    ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
    ("left_hip", "right_hip"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
)
_BODY_JOINTS = tuple(
    f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in _SIDES
)
_POSETRACK_HEAD_LIMBS = (("head_bottom", "nose"), ("nose", "head_top"))

COCO17 = skeleton_from_names(
    "coco17",
    ("nose", "left_eye", "right_eye", "left_ear", "right_ear", *_BODY_JOINTS),
    (
        *_BODY_LIMBS,
        ("nose", "left_eye"),
        ("nose", "right_eye"),
        ("left_eye", "left_ear"),
        ("right_eye", "right_ear"),
    ),
)
# The 15 joints that PoseTrack evaluates.
POSETRACK15 = skeleton_from_names(
    "posetrack15",
    ("nose", "head_bottom", "head_top", *_BODY_JOINTS),
    (*_BODY_LIMBS, *_POSETRACK_HEAD_LIMBS),
)
# The layout of PoseTrack 2018 and 2021 files; the ears are listed but never annotated.
POSETRACK18 = skeleton_from_names(
    "posetrack18",
    ("nose", "head_bottom", "head_top", "left_ear", "right_ear", *_BODY_JOINTS),
    (*_BODY_LIMBS, *_POSETRACK_HEAD_LIMBS),
)
KNOWN_SKELETONS = {skeleton.joints: skeleton for skeleton in (COCO17, POSETRACK15, POSETRACK18)}
SKELETONS_BY_NAME = {skeleton.name: skeleton for skeleton in KNOWN_SKELETONS.values()}


def choose_skeleton(name: str, of_data: Skeleton) -> Skeleton:
    """Returns the skeleton of this name; the skeleton of the data for an empty name.

    Raises:
        ValueError: There is no such skeleton.
    """
    if not name:
        return of_data
    if name not in SKELETONS_BY_NAME:
        raise ValueError(f"skeleton must be '' (that of the data) or one of {sorted(SKELETONS_BY_NAME)}, got {name!r}")
    return SKELETONS_BY_NAME[name]
