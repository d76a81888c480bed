"""The map from whole frames of any size to the input size of a network, and back."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from tfpose import geometry

Array = Any  # a NumPy array or a tensor of the Keras backend

# Poolings of the single heatmap network before its heatmaps (Payer et al. 2017, section 2.1).
NUM_STEM_STAGES = 2
HEATMAP_STRIDE = 2**NUM_STEM_STAGES


@dataclasses.dataclass(frozen=True)
class FrameFit:
    """Frames keep their aspect ratio, touch the input's borders on one axis and lie in its middle; the rest is black.

    Attributes:
        input_size: (height, width) of the network's input (Payer et al. 2017: 896 wide, 512 high).
        size_multiple: Number that both sides must divide by: the stride of the heatmaps, 4, times 2 for each pooling of
            the U-Nets (32 for the paper's 6 levels).

    Raises:
        ValueError: a side is not a positive multiple.
    """

    input_size: tuple[int, int] = (512, 896)
    size_multiple: int = 128

    def __post_init__(self) -> None:
        if self.size_multiple < HEATMAP_STRIDE or self.size_multiple % HEATMAP_STRIDE:
            raise ValueError(
                f"frame fit: size_multiple must be a multiple of {HEATMAP_STRIDE}, got {self.size_multiple}"
            )
        if len(self.input_size) != 2 or any(side < 1 or side % self.size_multiple for side in self.input_size):
            raise ValueError(
                f"frame fit: input_size (height, width) must be multiples of {self.size_multiple}, "
                f"got {tuple(self.input_size)}"
            )

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """The size (height, width) of the heatmaps in cells."""
        return self.input_size[0] // HEATMAP_STRIDE, self.input_size[1] // HEATMAP_STRIDE

    def matrices(self, image_sizes: Array) -> Array:
        """Computes the maps from image to input pixels.

        The middle of the picture, ((width - 1) / 2, (height - 1) / 2), falls on that of the input, so that mirroring
        the input mirrors the picture.

        Args:
            image_sizes: [B, 2] (height, width) of the frames.

        Returns:
            [B, 2, 3] float64.
        """
        sizes = ops.cast(image_sizes, "float64")
        target = np.array(self.input_size, np.float64)
        scales = ops.min(target / sizes, axis=1)
        shifts = (target - 1) / 2 - scales[:, None] * (sizes - 1) / 2
        zeros = ops.zeros_like(scales)
        rows = ops.stack([scales, zeros, shifts[:, 1], zeros, scales, shifts[:, 0]], axis=-1)
        return ops.reshape(rows, (-1, 2, 3))

    @property
    def heatmap_from_input(self) -> np.ndarray:
        """The map [2, 3] float64 from input pixels to heatmap cells."""
        return geometry.heatmap_from_crop(self.input_size, self.heatmap_size).astype(np.float64)

    def image_from_heatmap(self, image_sizes: Array) -> Array:
        """Returns the maps [B, 2, 3] float64 from heatmap cells to pixels of frames of (height, width) [B, 2]."""
        return geometry.invert(geometry.compose(self.heatmap_from_input, self.matrices(image_sizes)))
