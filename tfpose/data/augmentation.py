"""Random changes of the training crops: parameters drawn for a whole batch.

The crop's one matrix applies all of them but the gains of the colors and the patches, which change the pixels.
"""

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
        color_gain: Largest change of a channel's gain, a factor on the normalized color; gains are uniform in
            [1 - color_gain, 1 + color_gain].
        half_body_probability: Probability of a half-body crop, which shows only the upper or only the lower body. See
            `half_body.half_body_boxes`.
        half_body_min_joints: Number of labeled joints that a person needs for a half-body crop.
        half_body_scale: Sides of the box of a half body, relative to the extent of its joints. The crop adds its
            margins to the box: with a `margin_scale` of 1.25, a scale of 1.2 gives the usual factor of 1.5.
        upper_body_joints: Names of the joints of the upper body; all other joints are the lower body. If empty, joints
            with a part of the hips, legs or feet in their names are the lower body.
        cutout_probability: Probability of a cut-out, a black disc over a joint in the crop (Huang et al., "AID",
            2020). See `cutouts.place_discs`.
        cutout_radius_range: Range of the radius of the disc, relative to the crop's width. Radii are uniform.
        cutout_offset: Standard deviation of the distance from the joint to the center of the disc in x and in y,
            relative to the crop's width.

    Raises:
        ValueError: A value breaks a rule; the message names the field, the rule and the value.
    """

    mirror_probability: float = 0.0
    rotation_degrees: float = 0.0
    rotation_probability: float = 1.0
    scale_range: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    color_gain: float = 0.0
    half_body_probability: float = 0.0
    half_body_min_joints: int = 9
    half_body_scale: float = 1.2
    upper_body_joints: tuple[str, ...] = ()
    cutout_probability: float = 0.0
    cutout_radius_range: tuple[float, float] = (0.1, 0.2)
    cutout_offset: float = 0.05

    def __post_init__(self) -> None:
        rules = {
            **{
                f"{name}_probability": ("lie in [0, 1]", lambda value: 0 <= value <= 1)
                for name in ("mirror", "rotation", "half_body", "cutout")
            },
            **{
                f"{name}_range": ("be 0 < low <= high", lambda value: 0 < value[0] <= value[1])
                for name in ("scale", "cutout_radius")
            },
            "half_body_min_joints": ("be at least 1", lambda value: value >= 1),
            "half_body_scale": ("be above 0", lambda value: value > 0),
            "cutout_offset": ("be at least 0", lambda value: value >= 0),
        }
        for name, (rule, is_kept) in rules.items():
            if not is_kept(getattr(self, name)):
                raise ValueError(f"augmentation: {name} must {rule}, got {getattr(self, name)}")


NO_AUGMENTATION = Augmentation()


def draw_augmentation(settings: Augmentation, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws the parameters of `count` crops.

    Returns:
        is_mirrored [N] bool, rotations_degrees [N], scales [N], shifts [N, 2] as fractions of the box's (width,
        height), color_gains [N, 3]; is_half_body [N] bool, is_upper_body [N] bool, which half; cutout_radii [N],
        relative to the crop's width and 0 for no patch, cutout_offsets [N, 2] relative to the crop's width, and
        cutout_places [N] in [0, 1), which joint.
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
        **_draw_half_bodies(settings, count, rng),
        **_draw_cutouts(settings, count, rng),
    }


# A change that is off draws no numbers, so that those of the other changes are as they were before it existed.
def _draw_half_bodies(settings: Augmentation, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    if not settings.half_body_probability:
        return {"is_half_body": np.zeros(count, bool), "is_upper_body": np.zeros(count, bool)}
    return {
        "is_half_body": rng.random(count) < settings.half_body_probability,
        "is_upper_body": rng.random(count) < 0.5,
    }


def _draw_cutouts(settings: Augmentation, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    if not settings.cutout_probability:
        zeros = np.zeros(count)
        return {"cutout_radii": zeros, "cutout_offsets": np.zeros((count, 2)), "cutout_places": zeros}
    is_cut = rng.random(count) < settings.cutout_probability
    return {
        "cutout_radii": rng.uniform(*settings.cutout_radius_range, count) * is_cut,
        "cutout_offsets": rng.normal(0.0, settings.cutout_offset, (count, 2)),
        "cutout_places": rng.random(count),
    }
