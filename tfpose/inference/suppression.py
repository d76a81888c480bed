"""Suppression of people found twice, and the score that orders people. NumPy only."""

from __future__ import annotations

from typing import Literal

import numpy as np

from tfpose.oks import object_keypoint_similarity

Convention = Literal["microsoft", "mmpose"]


def suppress_poses(
    keypoints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    threshold: float = 0.9,
    is_visible: np.ndarray | None = None,
    convention: Convention = "mmpose",
) -> np.ndarray:
    """Keeps the best of every group of poses that are alike (greedy, by OKS).

    The criterion of Papandreou et al. 2017, "Towards Accurate Multi-person Pose Estimation in the
    Wild", as in the public code of Xiao et al. 2018. At most P * P similarities are computed, one
    row at a time.

    Args:
        keypoints: [P, J, 2] in image pixels, the people of one image.
        scores: [P], finite.
        areas: [P] in square pixels, of each person's box.
        sigmas: [J] constants of the skeleton.
        threshold: a pose is dropped if its similarity to a better one that stays is larger.
        is_visible: [P, J] joints to compare by, such as those above a score; None compares all.
        convention: with is_visible, whose joints are compared: "mmpose" those visible in both
            people, "microsoft" those visible in the worse of the two (its code joins the lists with
            `and`).

    Returns:
        [K] int, positions of the people that stay, best first; of equal scores the first comes
        first.

    Raises:
        ValueError: an argument's shape does not fit keypoints, a score is not finite, or the
            convention is unknown.
    """
    _check_people(keypoints, scores, areas, sigmas, is_visible)
    if convention not in ("microsoft", "mmpose"):
        raise ValueError(f"convention must be 'microsoft' or 'mmpose', got {convention!r}")
    remaining = np.argsort(-np.asarray(scores), kind="stable")
    kept = []
    while len(remaining):
        best, remaining = remaining[0], remaining[1:]
        kept.append(best)
        is_counted = _counted_joints(is_visible, best, remaining, convention)
        similarities = _similarities(keypoints, areas, sigmas, best, remaining, is_counted)
        remaining = remaining[~(similarities > threshold)]
    return np.array(kept, dtype=np.int64)


def soften_scores(
    keypoints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    decay: float = 0.9,
    is_visible: np.ndarray | None = None,
    max_people: int = 20,
) -> tuple[np.ndarray, np.ndarray]:
    """Lowers the score of poses that resemble better ones (soft suppression).

    Bodla et al. 2017, "Soft-NMS: Improving Object Detection with One Line of Code", with OKS for
    overlap: each time a person is taken, the others' scores are multiplied by exp(-oks^2 / decay).

    Args:
        keypoints: [P, J, 2] in image pixels, the people of one image.
        scores: [P], finite.
        areas: [P] in square pixels, of each person's box.
        sigmas: [J] constants of the skeleton.
        decay: larger lowers the scores less (mmpose passes its OKS threshold).
        is_visible: [P, J]; if given, two people are compared by the joints visible in both.
        max_people: stop after this many.

    Returns:
        [K] int, positions of the people taken in the order in which they were, and their lowered
        scores [K], which do not increase.

    Raises:
        ValueError: as `suppress_poses`, or decay is not positive.
    """
    _check_people(keypoints, scores, areas, sigmas, is_visible)
    if not decay > 0:
        raise ValueError(f"decay must be positive, got {decay}")
    remaining = np.arange(len(keypoints))
    lowered = np.array(scores, dtype=np.float64)
    taken = []
    while len(remaining) and len(taken) < max_people:
        position = np.argmax(lowered[remaining])
        best, remaining = remaining[position], np.delete(remaining, position)
        taken.append(best)
        is_counted = _counted_joints(is_visible, best, remaining, "mmpose")
        similarities = _similarities(keypoints, areas, sigmas, best, remaining, is_counted)
        lowered[remaining] *= np.exp(-np.square(similarities) / decay)
    taken = np.array(taken, dtype=np.int64)
    return taken, lowered[taken]


def _counted_joints(
    is_visible: np.ndarray | None, best: int, others: np.ndarray, convention: Convention
) -> np.ndarray | None:
    """[1, len(others), J] joints by which one person is compared to others; None for all."""
    if is_visible is None:
        return None
    visible = np.asarray(is_visible, dtype=bool)
    if convention == "microsoft":
        return visible[None, others]
    return visible[None, others] & visible[best]


def _similarities(
    keypoints: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    best: int,
    others: np.ndarray,
    is_counted: np.ndarray | None,
) -> np.ndarray:
    """OKS [len(others)] of one person to others of the same arrays."""
    rows = object_keypoint_similarity(
        keypoints[best][None],
        keypoints[others],
        areas[best][None],
        areas[others],
        sigmas,
        is_counted,
    )
    return rows[0]


def _check_people(
    keypoints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    is_visible: np.ndarray | None,
) -> None:
    if np.ndim(keypoints) != 3 or keypoints.shape[2] != 2:
        raise ValueError(f"keypoints must be [people, joints, 2], got {np.shape(keypoints)}")
    people, joints = keypoints.shape[:2]
    expected = {
        "scores": (scores, (people,)),
        "areas": (areas, (people,)),
        "sigmas": (sigmas, (joints,)),
        "is_visible": (is_visible, (people, joints)),
    }
    for name, (values, shape) in expected.items():
        if values is not None and np.shape(values) != shape:
            raise ValueError(f"{name} must be {shape} beside keypoints {keypoints.shape}, got {np.shape(values)}")
    if not np.all(np.isfinite(scores)):
        raise ValueError(f"scores must be finite, got {np.asarray(scores)}")
