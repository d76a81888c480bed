"""The annotations of a frame: keypoints, their visibility, boxes, ignore regions."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from data_prep.synthetic.figures import owner_code, person_of_owners
from tfpose.boxes import around_keypoints
from tfpose.skeletons import POSETRACK15

NOT_ANNOTATED, HIDDEN, VISIBLE = 0, 1, 2

# Body parts that are drawn around a joint.
_LIMB_PARTS = {
    "elbow": ("upper_arm", "forearm"),
    "wrist": ("forearm", "hand"),
    "knee": ("thigh", "shin"),
    "ankle": ("shin", "shoe"),
    "shoulder": ("upper_arm",),
    "hip": ("thigh",),
}
_BODY_PARTS = {
    "nose": ("head",),
    "head_top": ("head", "hair"),
    "head_bottom": ("neck", "head", "hair", "torso", "bag"),
    "shoulder": ("torso",),
    "hip": ("torso", "skirt"),
    "knee": ("skirt",),
}
# Joints whose position can be guessed where the own body hides them.
_GUESSED_ON_OWN_BODY = ("nose", "head_top", "head_bottom", "shoulder", "hip")
# Fractions of the stature within which some of the limb must show for a hidden joint to be annotated, where others and
# where the own body hide it. The first is about the radius of a thigh.
_REACH, _OWN_REACH = 0.045, 0.075
# Cosines of the angle between face and camera below which the head hides the nose, and below which its position cannot
# be guessed.
_FACE_HIDDEN, _FACE_UNKNOWN = -0.15, -0.5
# The crown is on the outline, so its owner is looked up below it, by this fraction of the stature.
_CROWN_DEPTH = 0.03
# Distance of a joint behind the middle of the trunk, as a fraction of the stature, beyond which the trunk hides it: the
# distance when the body is turned by 45 degrees.
_HIDDEN_BEYOND = {"shoulder": 0.076, "hip": 0.037}
_BOX_MARGIN = 0.15


@dataclass(frozen=True)
class SyntheticFrame:
    """An image with its annotations: P people with the joints of `POSETRACK15`.

    Coordinates are (x, y) in pixels whose centers are at whole numbers; boxes are (x1, y1, x2, y2).

    Attributes:
        image: [H, W, 3] uint8 RGB.
        keypoints: [P, 15, 2] float32; (0, 0) where not annotated.
        visibility: [P, 15] uint8: 0 not annotated (outside the image, or hidden too well to be guessed), 1 hidden,
            2 visible.
        boxes: [P, 4] float32, the extent of the annotated joints grown by 15 % on every side.
        head_boxes: [P, 4] float32 around the skull, even where it is hidden or outside the image.
        areas: [P] float32, number of pixels of the person inside the image, including hidden ones.
        track_ids: [P] int64, constant over a video.
        ignore_regions: Polygons [N, 2] float32 around people without annotations.
    """

    image: np.ndarray
    keypoints: np.ndarray
    visibility: np.ndarray
    boxes: np.ndarray
    head_boxes: np.ndarray
    areas: np.ndarray
    track_ids: np.ndarray
    ignore_regions: list[np.ndarray] = field(default_factory=list)

    @property
    def is_labeled_joint(self) -> np.ndarray:
        """Whether each keypoint is annotated, [P, 15] bool."""
        return self.visibility > NOT_ANNOTATED


@dataclass(frozen=True)
class Sighting:
    """A person as drawn into one frame.

    Attributes:
        person: Number of the person, see `figures.owner_code`.
        track_id: Identity of the person; None for unlabeled people.
        image_points: Points [2] in pixels by name.
        depths: Distances of these points from the camera in meters.
        pixels_per_meter: Scale of the image at the hips.
        stature: Stature in meters.
        facing: Cosine of the angle between the direction of the face and the direction to the camera.
        area: Number of pixels inside the image before others were drawn over them.
    """

    person: int
    track_id: int | None
    image_points: dict[str, np.ndarray]
    depths: dict[str, float]
    pixels_per_meter: float
    stature: float
    facing: float
    area: int

    @property
    def size(self) -> float:
        """The stature in pixels."""
        return self.stature * self.pixels_per_meter


def _split_side(joint: str) -> tuple[str, str]:
    for side in ("left_", "right_"):
        if joint.startswith(side):
            return side, joint[len(side) :]
    return "", joint


def _own_codes(person: int, joint: str) -> list[int]:
    side, name = _split_side(joint)
    parts = [side + part for part in _LIMB_PARTS.get(name, ())]
    parts += _BODY_PARTS.get(name, ())
    return [owner_code(person, part) for part in parts]


def _square(owners: np.ndarray, center: np.ndarray, radius: float) -> np.ndarray:
    """Owners of the pixels in a square around a point: [n, n], or less at the border."""
    reach = max(1, round(radius))
    x, y = round(float(center[0])), round(float(center[1]))
    return owners[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]


def _is_on_far_side(sighting: Sighting, joint: str) -> bool:
    """Returns whether the trunk is in front of a shoulder or hip."""
    _, name = _split_side(joint)
    if name not in _HIDDEN_BEYOND:
        return False
    behind = sighting.depths[joint] - sighting.depths[f"{name}_middle"]
    return behind > _HIDDEN_BEYOND[name] * sighting.stature


def _place_to_look(sighting: Sighting, joint: str) -> tuple[float, float]:
    """Returns the position (x, y) in pixels where the surface at a joint is seen."""
    place = sighting.image_points[joint]
    if joint == "head_top":
        down = sighting.image_points["head_center"] - place
        place = place + _CROWN_DEPTH * sighting.size * down / max(float(np.hypot(*down)), 1e-6)
    return max(float(place[0]), 0.0), max(float(place[1]), 0.0)


def classify_joint(sighting: Sighting, joint: str, owners: np.ndarray) -> int:
    """Decides whether a joint is visible, hidden or not annotated.

    A hidden joint is annotated if some of its own limb shows nearby, or if it is a joint of the head or the trunk that
    only the person's own body covers.

    Args:
        sighting: Person in the frame.
        joint: Name of the joint.
        owners: [H, W], the `Canvas.owners` of the finished frame.

    Returns:
        `NOT_ANNOTATED`, `HIDDEN` or `VISIBLE`.
    """
    height, width = owners.shape
    x, y = sighting.image_points[joint]
    if not (0 < x <= width - 1 and 0 < y <= height - 1):
        return NOT_ANNOTATED
    codes = _own_codes(sighting.person, joint)
    column, row = _place_to_look(sighting, joint)
    owner = int(owners[min(round(row), height - 1), min(round(column), width - 1)])
    _, name = _split_side(joint)
    if name == "nose" and sighting.facing < _FACE_UNKNOWN:
        return NOT_ANNOTATED
    is_turned_away = name == "nose" and sighting.facing < _FACE_HIDDEN
    if owner in codes and not is_turned_away and not _is_on_far_side(sighting, joint):
        return VISIBLE
    is_own_body = person_of_owners(np.asarray(owner)) == sighting.person
    if is_own_body and name in _GUESSED_ON_OWN_BODY:
        return HIDDEN
    reach = (_OWN_REACH if is_own_body else _REACH) * sighting.size
    nearby = _square(owners, sighting.image_points[joint], reach)
    share = np.isin(nearby, codes).mean()
    return HIDDEN if share > 0.1 else NOT_ANNOTATED


def _head_box(sighting: Sighting) -> np.ndarray:
    """Returns the box around the skull from chin to crown."""
    top, bottom = sighting.image_points["head_top"], sighting.image_points["head_bottom"]
    middle, half = (top + bottom) / 2, np.abs(top - bottom) / 2
    half = np.maximum(half, 0.055 * sighting.size)
    return np.concatenate([middle - half, middle + half])


def _outline(points: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Returns a convex polygon [N, 2] around points, clipped to the image."""
    height, width = image_size
    inside = np.clip(points, 0, [width - 1, height - 1]).astype(np.float32)
    return cv2.convexHull(inside)[:, 0]


def _group_regions(sightings: list[Sighting], image_size: tuple[int, int]) -> list[np.ndarray]:
    """Returns one polygon around all unlabeled people; no polygon if they are out of sight."""
    corners = []
    for sighting in sightings:
        points = np.stack(list(sighting.image_points.values()))
        if sighting.track_id is None and sighting.area > 0:
            margin = 0.06 * sighting.size
            corners += [points + np.array([dx, dy]) for dx in (-margin, margin) for dy in (-margin, margin)]
    return [_outline(np.concatenate(corners), image_size)] if corners else []


def _remainder_region(person: int, owners: np.ndarray) -> list[np.ndarray]:
    """Returns a rectangle around the visible pixels of a person with too few annotated joints."""
    rows, columns = np.nonzero(person_of_owners(owners) == person)
    if len(rows) == 0:
        return []
    left, top, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    outward = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    return [(np.array(corners) + outward).astype(np.float32)]


def annotate(image: np.ndarray, owners: np.ndarray, sightings: list[Sighting], min_joints: int = 5) -> SyntheticFrame:
    """Annotates the people of a finished frame, ordered by track id.

    A person with fewer than `min_joints` annotated joints is left out, and an ignore region covers what shows of them.
    """
    keypoints, visibility, head_boxes, areas, track_ids = [], [], [], [], []
    regions = _group_regions(sightings, owners.shape)
    labeled = [(sighting.track_id, sighting) for sighting in sightings if sighting.track_id is not None]
    for track_id, sighting in sorted(labeled, key=lambda pair: pair[0]):
        classes = [classify_joint(sighting, joint, owners) for joint in POSETRACK15.joints]
        if np.count_nonzero(classes) < min_joints:
            regions += _remainder_region(sighting.person, owners)
            continue
        points = np.stack([sighting.image_points[joint] for joint in POSETRACK15.joints])
        keypoints.append(np.where(np.array(classes)[:, None] > NOT_ANNOTATED, points, 0.0))
        visibility.append(classes)
        head_boxes.append(_head_box(sighting))
        areas.append(sighting.area)
        track_ids.append(track_id)
    num_joints = POSETRACK15.num_joints
    points = np.asarray(keypoints, np.float32).reshape(-1, num_joints, 2)
    flags = np.asarray(visibility, np.uint8).reshape(-1, num_joints)
    return SyntheticFrame(
        image=image,
        keypoints=points,
        visibility=flags,
        boxes=around_keypoints(points, flags > NOT_ANNOTATED, _BOX_MARGIN).astype(np.float32).reshape(-1, 4),
        head_boxes=np.asarray(head_boxes, np.float32).reshape(-1, 4),
        areas=np.asarray(areas, np.float32),
        track_ids=np.asarray(track_ids, np.int64),
        ignore_regions=regions,
    )
