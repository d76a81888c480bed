"""What the networks from crops to heatmaps share: the check of their input size, and the layer of their heatmaps."""

from __future__ import annotations

import keras
from keras import KerasTensor

from tfpose.models.batch_norm import synchronize_batch_norms
from tfpose.models.output_layers import OutputConvolution, OutputSpatialConvolution

HEATMAP_LAYER = "heatmaps"


def check_input_size(input_size: tuple[int | None, int | None], multiple: int) -> None:
    """Checks that the size of a network's input is (height, width) in multiples of a number, or None where it may vary.

    Raises:
        ValueError: The size breaks this rule.
    """
    if len(input_size) != 2 or any(size is not None and (size < multiple or size % multiple) for size in input_size):
        raise ValueError(f"input_size must be (height, width) in multiples of {multiple} or None, got {input_size!r}.")


def check_counts(**counts: int) -> None:
    """Checks counts, given by the names of their arguments.

    Raises:
        ValueError: A count is below 1.
    """
    for argument, value in counts.items():
        if value < 1:
            raise ValueError(f"{argument} must be at least 1, got {value!r}.")


def new_layer_initializer() -> keras.initializers.Initializer:
    """Returns the initializer of layers without pretrained weights (Xiao et al.'s code)."""
    return keras.initializers.RandomNormal(stddev=0.001)


def build_heatmap_network(
    images: KerasTensor,
    features: KerasTensor,
    num_joints: int,
    name: str,
    synchronize_batch_norm: bool,
    kernel_size: int = 1,
) -> keras.Model:
    """Builds a network from the graph between its input and the features of its heatmaps.

    Args:
        images: Input [B, H, W, 3]; the heatmaps have its dtype.
        features: Features [B, h, w, C] that one convolution turns into heatmaps.
        num_joints: Number of heatmaps.
        name: Name of the model.
        synchronize_batch_norm: Whether batch normalizations use the statistics of all replicas in training.
        kernel_size: Size of the kernel of this convolution.
    """
    settings = {"kernel_initializer": new_layer_initializer(), "dtype": images.dtype, "name": HEATMAP_LAYER}
    if kernel_size == 1:
        heatmaps = OutputConvolution(num_joints, **settings)(features)
    else:
        heatmaps = OutputSpatialConvolution(num_joints, kernel_size, padding="same", **settings)(features)
    model = keras.Model(images, heatmaps, name=name)
    if synchronize_batch_norm:
        synchronize_batch_norms(model)
    return model
