"""Random changes of the training crops: parameters drawn for a whole batch, applied by the crop's one matrix."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The ranges of the random changes of training crops. The defaults change nothing.

    Attributes:
        mirror_probability: Probability of mirroring left to right.
        rotation_degrees: Largest rotation; rotations are uniform in [-rotation_degrees, rotation_degrees].
        rotation_probability: Probability of rotating at all.
        scale_range: Range of the size of the region shown, relative to the box (Honda et al., 2018: 0.7 to 1.3). Sizes
            are uniform.
        shift: Largest move of the center, as a fraction of the sides of the box.
        color_gain: Largest change of a channel's gain; gains are uniform in [1 - color_gain, 1 + color_gain].
    """

    mirror_probability: float = 0.0
    rotation_degrees: float = 0.0
    rotation_probability: float = 1.0
    scale_range: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    color_gain: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mirror_probability", "rotation_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augmentation: {name} must lie in [0, 1], got {getattr(self, name)}")
        low, high = self.scale_range
        if not 0 < low <= high:
            raise ValueError(f"augmentation: scale_range must be 0 < low <= high, got {self.scale_range}")


NO_AUGMENTATION = Augmentation()


def draw_augmentation(settings: Augmentation, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws the parameters of `count` crops.

    Returns:
        is_mirrored [N] bool, rotations_degrees [N], scales [N], shifts [N, 2] as fractions of the box's (width,
        height), color_gains [N, 3].
    """
    is_mirrored = rng.random(count) < settings.mirror_probability
    rotations = rng.uniform(-1, 1, count) * settings.rotation_degrees
    rotations *= rng.random(count) < settings.rotation_probability
    return {
        "is_mirrored": is_mirrored,
        "rotations_degrees": rotations,
        "scales": rng.uniform(*settings.scale_range, count),
        "shifts": rng.uniform(-1, 1, (count, 2)) * settings.shift,
        "color_gains": 1 + rng.uniform(-1, 1, (count, 3)).astype(np.float32) * settings.color_gain,
    }
