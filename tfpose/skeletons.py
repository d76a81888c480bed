"""Skeletons: joint names, limbs, mirror order and OKS constants.

This is the only module that lists joints. All other modules refer to joints by name.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.json_files import is_number
from tfpose.messages import quote

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
# Parts of names that tell a joint of the hips, legs or feet.
LOWER_BODY_PARTS = ("hip", "pelvis", "knee", "ankle", "heel", "foot", "feet", "toe")
# For a joint of a custom skeleton that no name above covers: the mean of the COCO constants.
DEFAULT_SIGMA = 0.072

_SIDES = ("left", "right")
# Words that name the left and the right side: as a whole word of a name, or also at the start or end of a word.
_CERTAIN_SIDE_WORDS = (
    (("left", "right"), False),
    (("l", "r"), False),
    (("lt", "rt"), False),
    (("near", "off"), False),
    # Spanish, Portuguese, Italian, French, German and Dutch.
    (("izq", "der"), False),
    (("izquierdo", "derecho"), False),
    (("izquierda", "derecha"), False),
    (("esquerdo", "direito"), False),
    (("esquerda", "direita"), False),
    (("sinistro", "destro"), False),
    (("sinistra", "destra"), False),
    (("gauche", "droit"), False),
    (("gauche", "droite"), False),
    (("links", "rechts"), False),
    (("linker", "rechter"), False),
    (("linke", "rechte"), False),
    (("linkes", "rechtes"), False),
    (("left", "right"), True),
    (("\u5de6", "\u53f3"), True),
)
# Those that ordinary words may hold too need a partner.
_SIDE_WORDS = (*_CERTAIN_SIDE_WORDS, (("near", "off"), True), (("l", "r"), True))
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
# Words that hold the letters of an ear but mean another part or a side of an animal; "rear" alone is a right ear.
_NO_EAR = re.compile(r"forearm|beard|heart|(?<![a-z])near|(?<![a-z])rear(?=.)|(?<=_)rear")


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
        sides: J times "left", "right" or None, derived from the pairs.

    Raises:
        ValueError: A field breaks a rule; the message names the rule and the value.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    left_right_pairs: tuple[tuple[str, str], ...]
    sigmas: np.ndarray
    flip_order: np.ndarray = dataclasses.field(init=False, repr=False)
    sides: tuple[str | None, ...] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_joints(self.name, self.joints)
        _check_limbs(self.name, self.limbs, self.num_joints)
        sigmas = np.asarray(self.sigmas)
        if sigmas.shape != (self.num_joints,) or not (np.isfinite(sigmas).all() and np.all(sigmas > 0)):
            raise ValueError(
                f"skeleton {self.name}: sigmas must be {self.num_joints} positive numbers, got {quote(self.sigmas)}"
            )
        object.__setattr__(self, "flip_order", self._build_flip_order())
        sides = {joint: side for pair in self.left_right_pairs for joint, side in zip(pair, _SIDES, strict=True)}
        object.__setattr__(self, "sides", tuple(sides.get(joint) for joint in self.joints))

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
            flip_order[i], flip_order[j] = j, i
        return flip_order


def left_right_pairs_by_name(joints: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs the joints whose names differ only in the side.

    The side is a word such as in left_eye, LeftEye, L_Eye, eyeL or near_eye, or a part of a word such as in lefteye or
    leye.
    """
    pairs: dict[str, str] = {}
    for words, is_within in _SIDE_WORDS:
        unpaired = [joint for joint in joints if joint not in pairs and joint not in pairs.values()]
        by_form = {form: joint for joint in unpaired for form in _forms(joint, words, is_within)}
        for form, joint in by_form.items():
            is_left = next(part for part in form if isinstance(part, bool))
            partner = by_form.get(tuple(not part if isinstance(part, bool) else part for part in form))
            if is_left and partner is not None and joint not in pairs and partner not in pairs.values():
                pairs[joint] = partner
    return tuple((joint, pairs[joint]) for joint in joints if joint in pairs)


def unpaired_sided_joints(skeleton: Skeleton) -> tuple[str, ...]:
    """Returns the joints whose names tell a side but which no pair contains: a mirror leaves them where they are."""
    return tuple(
        joint
        for joint, side in zip(skeleton.joints, skeleton.sides, strict=True)
        if side is None
        and any(form for words, is_within in _CERTAIN_SIDE_WORDS for form in _forms(joint, words, is_within))
    )


def joint_words(joint: str) -> tuple[str, ...]:
    """Returns the words of a joint's name in lower case: ("head", "top") of head_top, ("eye", "l") of eyeL."""
    return tuple(word.lower() for word in _WORD.findall(joint))


def _forms(joint: str, words: tuple[str, str], is_within: bool) -> Iterator[tuple[str | bool, ...]]:
    """Yields the words of a name in lower case; a word of the side is True for left and False for right.

    Args:
        joint: Name of a joint.
        words: Words of the left and the right side.
        is_within: Whether they are only a part of a word. Each such part yields a form of its own.
    """
    parts = joint_words(joint)
    if not is_within:
        if not set(words).isdisjoint(parts):
            yield tuple(part == words[0] if part in words else part for part in parts)
        return
    for place, part in enumerate(parts):
        for side in words:
            before, is_left, behind = parts[:place], side == words[0], parts[place + 1 :]
            if part.startswith(side) and part != side:
                yield (*before, is_left, part.removeprefix(side), *behind)
            if part.endswith(side) and part != side:
                yield (*before, part.removesuffix(side), is_left, *behind)


def default_sigma(joint: str) -> float:
    """Returns the OKS constant of the COCO joint whose name is part of this name; `DEFAULT_SIGMA` if there is none."""
    return next(
        (_SIGMAS[word] for word in sorted(_SIGMAS, key=len, reverse=True) if names_part(joint, (word,))), DEFAULT_SIGMA
    )


def names_part(joint: str, parts: Iterable[str]) -> bool:
    """Returns whether the name of a joint holds one of these parts of the body; "ear" is none in forearm and rear."""
    name = _NO_EAR.sub("", "_".join(joint_words(joint)))
    return any(part in name for part in parts)


def lower_body_joints(skeleton: Skeleton) -> tuple[str, ...]:
    """Returns the joints whose names contain one of `LOWER_BODY_PARTS`."""
    return tuple(joint for joint in skeleton.joints if any(part in joint.lower() for part in LOWER_BODY_PARTS))


def skeleton_from_names(
    name: str,
    joints: Sequence[str],
    limbs: Iterable[Sequence[str]] = (),
    left_right_pairs: Iterable[Sequence[str]] | None = None,
    sigmas: Sequence[float] | None = None,
) -> Skeleton:
    """Builds a skeleton from joint names.

    Args:
        name: Name for messages and files.
        joints: The J joint names, in the order of the keypoint arrays.
        limbs: Pairs of joint names that a line joins in drawings.
        left_right_pairs: Pairs (left, right) of joint names that a mirror swaps; None pairs the names that differ only
            in the side.
        sigmas: J constants of the object keypoint similarity (OKS); None takes those of the COCO joints with similar
            names.

    Raises:
        ValueError: A limb or pair names an unknown joint, or another field of `Skeleton` breaks its rule.
    """
    joints, limbs = tuple(joints), tuple(limbs)
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
        category: Entry with `keypoints` (joint names) and optionally `skeleton` (see `limbs_of_coco_category`) and
            `name`.
        left_right_pairs: Pairs of joint names; None pairs the names that differ only in the side.
        sigmas: OKS constants; None takes those of the COCO joints with similar names.

    Raises:
        ValueError: The entry has no joint names, or the skeleton is not valid.
    """
    name = str(category.get("name", "person"))
    joints = category.get("keypoints")
    if not isinstance(joints, Sequence) or isinstance(joints, str) or not joints:
        raise ValueError(f"category {quote(name)}: 'keypoints' must be a list of joint names, got {quote(joints)}")
    if not all(isinstance(joint, str) for joint in joints):
        raise ValueError(
            f"category {quote(name)}: 'keypoints' must be a list of joint names, got {quote(list(joints))}"
        )
    limb_names = [(joints[a], joints[b]) for a, b in limbs_of_coco_category(category)[0]]
    known = KNOWN_SKELETONS.get(tuple(joints))
    if known is not None and left_right_pairs is None and sigmas is None:
        return known
    return skeleton_from_names(name, joints, limb_names, left_right_pairs, sigmas)


def limbs_of_coco_category(category: Mapping) -> tuple[tuple[tuple[int, int], ...], str]:
    """Reads the limbs of an entry of `categories` of a COCO keypoint file. They serve drawings only.

    Args:
        category: Entry with `keypoints` (joint names) and optionally `skeleton`: limbs as pairs of positions that are
            counted from 1. Where a position is 0, all are taken as counted from 0.

    Returns:
        Pairs of positions counted from 0, and what is wrong with the list; empty if nothing is.
    """
    entries, num_joints = category.get("skeleton"), len(category["keypoints"])
    if entries is None:
        return (), ""
    if not isinstance(entries, list):
        return (), f"'skeleton' must be a list of pairs, got {quote(entries)}; no limbs are drawn"
    numbers = [entry for entry in entries if _is_pair(entry)]
    start = 0 if any(0 in pair for pair in numbers) else 1
    last = num_joints - 1 + start
    is_limb = [_is_pair(e) and e[0] != e[1] and start <= min(e) and max(e) <= last for e in entries]
    limbs = tuple((e[0] - start, e[1] - start) for e, is_right in zip(entries, is_limb, strict=True) if is_right)
    notes = ["'skeleton' must be counted from 1, got 0; its limbs are taken as counted from 0"] * (start == 0)
    if not all(is_limb):
        wrong = entries[is_limb.index(False)]
        notes.append(
            f"'skeleton' must hold pairs of two different positions from {start} to {last}, got {quote(wrong)}; "
            f"{len(entries) - len(limbs)} of {len(entries)} limbs are left out"
        )
    return limbs, "; ".join(notes)


def _is_pair(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(type(number) is int for number in entry)


def skeleton_from_dict(description: Any) -> Skeleton:
    """Builds a skeleton from the result of `Skeleton.to_dict`.

    Raises:
        ValueError: A field is missing or not valid; the message names it.
    """
    if not isinstance(description, Mapping):
        raise ValueError(f"a skeleton must be an object, got {quote(description)}")
    joints = description.get("joints")
    count = len(joints) if isinstance(joints, (list, tuple)) else 0
    rules = {
        "name": ("a text", lambda name: isinstance(name, str)),
        "joints": ("a list of names", lambda names: _is_list(names, _is_name)),
        "limbs": (
            f"pairs of positions below {count}",
            lambda limbs: _are_pairs(limbs, lambda end: type(end) is int and 0 <= end < count),
        ),
        "left_right_pairs": ("pairs of names", lambda pairs: _are_pairs(pairs, _is_name)),
        "sigmas": (
            "a list of numbers",
            lambda sigmas: isinstance(sigmas, (list, tuple)) and all(map(is_number, sigmas)),
        ),
    }
    for field, (rule, is_kept) in rules.items():
        if not is_kept(description.get(field)):
            raise ValueError(f"{field!r} of a skeleton must be {rule}, got {quote(description.get(field))}")
    return skeleton_from_names(
        description["name"],
        description["joints"],
        [(description["joints"][a], description["joints"][b]) for a, b in description["limbs"]],
        description["left_right_pairs"],
        description["sigmas"],
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_list(values: Any, is_entry: Callable[[Any], bool]) -> bool:
    return isinstance(values, (list, tuple)) and all(map(is_entry, values))


def _are_pairs(pairs: Any, is_end: Callable[[Any], bool]) -> bool:
    return _is_list(pairs, lambda pair: _is_list(pair, is_end) and len(pair) == 2)


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
        raise ValueError(f"skeleton {name}: joints must be distinct names, got {quote(joints)}")


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
