"""Cut-outs: black discs over joints of training crops, so that the network learns joints that it cannot see.

Huang et al., "AID: Pushing the Performance Boundary of Human Pose Estimation with Information Dropping Augmentation",
2020. NumPy only.
"""

from __future__ import annotations

import numpy as np


def place_discs(
    crop_keypoints: np.ndarray, is_labeled: np.ndarray, crop_size: tuple[int, int], drawn: dict[str, np.ndarray]
) -> np.ndarray:
    """Places a disc around a labeled joint inside the crop, each such joint with the same probability.

    Args:
        crop_keypoints: [B, J, 2] in crop pixels.
        is_labeled: [B, J].
        crop_size: (height, width) of the crops in pixels.
        drawn: cutout_radii [B], cutout_offsets [B, 2] and cutout_places [B] from `draw_augmentation`.

    Returns:
        [B, 3] float64: center (x, y), inside the crop, and radius in crop pixels. The radius is 0 where no disc was
        drawn and where no labeled joint is inside the crop.
    """
    height, width = crop_size
    last = np.array([width - 1, height - 1])
    is_candidate = is_labeled.astype(bool) & ((crop_keypoints >= 0) & (crop_keypoints <= last)).all(axis=-1)
    counts = is_candidate.sum(axis=1)
    chosen = (drawn["cutout_places"] * counts).astype(np.int64)
    joints = np.argmax(np.cumsum(is_candidate, axis=1) > chosen[:, None], axis=1)
    centers = crop_keypoints[np.arange(len(joints)), joints] + drawn["cutout_offsets"] * width
    radii = drawn["cutout_radii"] * width * (counts > 0)
    return np.column_stack([np.clip(centers, 0, last), radii])


def blacken_discs(crops: np.ndarray, discs: np.ndarray) -> None:
    """Sets the pixels of crops [B, H, W, 3] inside of discs [B, 3] from `place_discs` to 0, in place."""
    for row in np.flatnonzero(discs[:, 2] > 0):
        x, y, radius = discs[row]
        top, left = max(int(y - radius), 0), max(int(x - radius), 0)
        window = crops[row, top : int(y + radius) + 1, left : int(x + radius) + 1]
        rows, columns = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
        window[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = 0
