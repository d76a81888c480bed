"""PicoDet-S with LCNet: a detector of people with 1.2 million weights for phones and CPUs.

Yu et al., "PP-PicoDet: A Better Real-Time Object Detector on Mobile Devices", 2021, in the form that PaddleDetection
publishes for pedestrians: backbone PP-LCNet (Cui et al., 2021), a path aggregation network, and a head for each of four
levels with cells of 8, 16, 32 and 64 pixels. A head gives every cell a score and, for the distance to each side of the
box, a distribution over 0 to 7 cells (Li et al., "Generalized Focal Loss", 2020).
"""

from __future__ import annotations

import keras
from keras import DTypePolicy, KerasTensor, layers, ops

from tfpose.models.convolutions import convolve, convolve_depthwise, normalize
from tfpose.models.heatmap_network import check_input_size
from tfpose.models.output_layers import output_dtype

PICODET_STRIDES = (8, 16, 32, 64)
# Distances from 0 to 7 cells.
NUM_BINS = 8
NUM_SIDES = 4
PUBLISHED_SCALE = 0.75
PUBLISHED_WIDTH = 96
_STEM_WIDTH = 16
# Kernel size, channels before scaling, stride, and whether channels are reweighted; one row for each stage.
_STAGES: tuple[tuple[tuple[int, int, int, bool], ...], ...] = (
    ((3, 32, 1, False),),
    ((3, 64, 2, False), (3, 64, 1, False)),
    ((3, 128, 2, False), (3, 128, 1, False)),
    ((3, 256, 2, False), *((5, 256, 1, False),) * 5),
    ((5, 512, 2, True), (5, 512, 1, True)),
)
# The first stage of the backbone is called blocks2 by its publisher.
FIRST_STAGE = 2
_REDUCTION = 4
# A fresh network gives every cell a score of 1 percent, because few cells see a person (Lin et al., "Focal Loss",
# 2017).
_PRIOR_LOGIT = -4.595


def build_picodet(
    width: int = PUBLISHED_WIDTH,
    scale: float = PUBLISHED_SCALE,
    input_size: tuple[int | None, int | None] = (320, 320),
    dtype: str | None = None,
    name: str = "picodet",
) -> keras.Model:
    """Builds the network from normalized images to a score and distances for each cell.

    Every layer is named: `stem_*`, `stage{2..6}_block{0..}_*`, `neck_*`, `head{0..3}_*`.

    Args:
        width: Channels of the path aggregation network and of the heads.
        scale: Factor of the channels of the backbone.
        input_size: (height, width) in pixels, multiples of 64; None where it may vary. Published are 320x320 and
            192x192, with the same weights' shapes.
        dtype: Dtype policy of the layers; None takes Keras' global policy.
        name: Name of the model.

    Returns:
        A model from images [B, H, W, 3], normalized, to `scores` [B, A] and `distribution` [B, A, 32] in float32:
        logits of the distances left, top, right and bottom, 8 for each. The A cells are those of the levels in the
        order of `PICODET_STRIDES`, each row by row. See `decode_boxes`.

    Raises:
        ValueError: An argument is out of its range.
    """
    _check_arguments(width, scale, input_size)
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    dtype_of_outputs = output_dtype(policy)
    images = keras.Input((*input_size, 3), dtype=dtype_of_outputs, name="images")
    levels = _apply_neck(_apply_backbone(images, scale, policy), width, policy)
    outputs = [_apply_head(x, level, dtype_of_outputs, policy) for level, x in enumerate(levels)]
    join = layers.Concatenate(axis=1, dtype=dtype_of_outputs, name="scores")
    scores = join([scores for scores, _ in outputs])
    join = layers.Concatenate(axis=1, dtype=dtype_of_outputs, name="distribution")
    distribution = join([distribution for _, distribution in outputs])
    return keras.Model(images, {"scores": scores, "distribution": distribution}, name=name)


def decode_boxes(distribution: KerasTensor, input_size: tuple[int, int]) -> KerasTensor:
    """Returns the boxes of all cells.

    Args:
        distribution: [B, A, 32] logits, see `build_picodet`.
        input_size: (height, width) of the network's input in pixels.

    Returns:
        [B, A, 4] xyxy in pixels of the input, not clipped to it.
    """
    distribution = ops.reshape(distribution, (ops.shape(distribution)[0], -1, NUM_SIDES, NUM_BINS))
    shares = ops.softmax(distribution, axis=-1)
    distances = ops.sum(shares * ops.arange(NUM_BINS, dtype=shares.dtype), axis=-1)
    centers, strides = cell_centers(input_size)
    centers, strides = ops.cast(centers, shares.dtype), ops.cast(strides, shares.dtype)
    corners = [centers - distances[..., :2] * strides, centers + distances[..., 2:] * strides]
    return ops.concatenate(corners, axis=-1)


def cell_centers(input_size: tuple[int, int]) -> tuple[KerasTensor, KerasTensor]:
    """Returns the centers [A, 2] (x, y) of all cells in pixels, and their strides [A, 1]."""
    centers, strides = [], []
    for stride in PICODET_STRIDES:
        rows, columns = (-(-size // stride) for size in input_size)
        y, x = ops.meshgrid(ops.arange(rows), ops.arange(columns), indexing="ij")
        cells = ops.cast(ops.reshape(ops.stack([x, y], axis=-1), (-1, 2)), "float32")
        centers.append((cells + 0.5) * stride)
        strides.append(ops.ones_like(cells[:, :1]) * stride)
    return ops.concatenate(centers), ops.concatenate(strides)


def _check_arguments(width: int, scale: float, input_size: tuple[int | None, int | None]) -> None:
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width!r}.")
    if not scale > 0:
        raise ValueError(f"scale must be above 0, got {scale!r}.")
    check_input_size(input_size, PICODET_STRIDES[-1])


def scaled_channels(channels: int, scale: float) -> int:
    """Returns a multiple of 8 near `scale * channels`, at least 8 and at least nine tenths of it."""
    scaled = channels * scale
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def _apply_backbone(x: KerasTensor, scale: float, policy: DTypePolicy) -> list[KerasTensor]:
    """Returns the features at 1/8, 1/16 and 1/32 of the input's size."""
    x = _apply_convolution(x, scaled_channels(_STEM_WIDTH, scale), 3, 2, policy, "stem")
    stages = []
    for index, blocks in enumerate(_STAGES):
        for block, (kernel_size, channels, stride, is_weighted) in enumerate(blocks):
            name = f"stage{FIRST_STAGE + index}_block{block}"
            x = _apply_separable(x, scaled_channels(channels, scale), kernel_size, stride, policy, name, is_weighted)
        stages.append(x)
    return stages[-3:]


def _apply_neck(features: list[KerasTensor], width: int, policy: DTypePolicy) -> list[KerasTensor]:
    """Mixes the levels from the smallest to the largest and back, and adds a smaller one."""
    lateral = [_apply_convolution(x, width, 1, 1, policy, f"neck_lateral{i}") for i, x in enumerate(features)]
    third, fourth, fifth = lateral
    middle = _join_larger(fifth, fourth, width, policy, "neck_down0")
    level3 = _join_larger(middle, third, width, policy, "neck_down1")
    level4 = _join_smaller(level3, middle, width, policy, 0)
    level5 = _join_smaller(level4, fifth, width, policy, 1)
    halves = [
        _apply_halving(fifth, width, policy, "neck_top_first"),
        _apply_halving(level5, width, policy, "neck_top_second"),
    ]
    level6 = layers.Add(dtype=policy, name="neck_top_add")(halves)
    return [level3, level4, level5, level6]


def _join_larger(small: KerasTensor, large: KerasTensor, width: int, policy: DTypePolicy, name: str) -> KerasTensor:
    small = layers.UpSampling2D(2, dtype=policy, name=f"{name}_up")(small)
    return _apply_pair([small, large], width, policy, name)


def _join_smaller(large: KerasTensor, small: KerasTensor, width: int, policy: DTypePolicy, index: int) -> KerasTensor:
    large = _apply_halving(large, width, policy, f"neck_half{index}")
    return _apply_pair([large, small], width, policy, f"neck_up{index}")


def _apply_pair(parts: list[KerasTensor], width: int, policy: DTypePolicy, name: str) -> KerasTensor:
    x = layers.Concatenate(dtype=policy, name=f"{name}_join")(parts)
    x = _apply_separable(x, 2 * width, 5, 1, policy, f"{name}_block0")
    return _apply_separable(x, width, 5, 1, policy, f"{name}_block1")


def _apply_halving(x: KerasTensor, width: int, policy: DTypePolicy, name: str) -> KerasTensor:
    return _apply_separable(x, width, 5, 2, policy, name)


def _apply_head(x: KerasTensor, level: int, output_dtype: str, policy: DTypePolicy) -> tuple[KerasTensor, KerasTensor]:
    """Returns scores [B, h w] and distributions [B, h w, 32] of the cells of one level."""
    width, name = x.shape[-1], f"head{level}"
    for block in range(2):
        x = _apply_separable(x, width, 5, 1, policy, f"{name}_block{block}")
    weights = layers.GlobalAveragePooling2D(keepdims=True, dtype=policy, name=f"{name}_se_mean")(x)
    weights = _apply_pointwise(weights, width, policy, f"{name}_se_fc", "sigmoid")
    reweighted = layers.Multiply(dtype=policy, name=f"{name}_se_multiply")([x, weights])
    reweighted = _apply_convolution(reweighted, width, 1, 1, policy, f"{name}_se")
    prior = keras.initializers.Constant(_PRIOR_LOGIT)
    logits = layers.Conv2D(1, 1, bias_initializer=prior, dtype=output_dtype, name=f"{name}_class")(reweighted)
    distribution = _apply_pointwise(reweighted, NUM_SIDES * NUM_BINS, output_dtype, f"{name}_box")
    aligned = _apply_convolution(x, 1, 5, 1, policy, f"{name}_align0")
    aligned = normalize(convolve(aligned, 1, 1, 1, policy, f"{name}_align1_conv"), policy, f"{name}_align1_bn")
    scores = JointScore(dtype=output_dtype, name=f"{name}_scores")([logits, aligned])
    flat = layers.Reshape((-1, NUM_SIDES * NUM_BINS), dtype=output_dtype, name=f"{name}_distribution")(distribution)
    return scores, flat


@keras.saving.register_keras_serializable(package="tfpose")
class JointScore(layers.Layer):
    """The geometric mean of two probabilities: that of a person, and that of a cell that fits the person best."""

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        """Returns [B, H W] from two logits [B, H, W, 1]."""
        product = ops.sigmoid(inputs[0]) * ops.sigmoid(inputs[1])
        return ops.sqrt(ops.reshape(product, (ops.shape(product)[0], -1)) + 1e-9)

    def get_config(self) -> dict:
        """Returns the arguments of the layer; Keras writes none of a dtype policy by itself."""
        return super().get_config()


def _apply_convolution(
    x: KerasTensor, filters: int, kernel_size: int, stride: int, policy: DTypePolicy, name: str
) -> KerasTensor:
    x = convolve(x, filters, kernel_size, stride, policy, f"{name}_conv")
    return _activate(normalize(x, policy, f"{name}_bn"), policy, f"{name}_act")


def _apply_separable(
    x: KerasTensor,
    filters: int,
    kernel_size: int,
    stride: int,
    policy: DTypePolicy,
    name: str,
    is_weighted: bool = False,
) -> KerasTensor:
    """Convolves each channel by itself, optionally reweights the channels, then mixes them."""
    x = convolve_depthwise(x, kernel_size, stride, policy, f"{name}_depthwise_conv")
    x = _activate(normalize(x, policy, f"{name}_depthwise_bn"), policy, f"{name}_depthwise_act")
    if is_weighted:
        weights = layers.GlobalAveragePooling2D(keepdims=True, dtype=policy, name=f"{name}_se_mean")(x)
        weights = _apply_pointwise(weights, x.shape[-1] // _REDUCTION, policy, f"{name}_se_conv1", "relu")
        weights = _apply_pointwise(weights, x.shape[-1], policy, f"{name}_se_conv2", "hard_sigmoid")
        x = layers.Multiply(dtype=policy, name=f"{name}_se_multiply")([x, weights])
    return _apply_convolution(x, filters, 1, 1, policy, f"{name}_pointwise")


def _apply_pointwise(
    x: KerasTensor, filters: int, policy: DTypePolicy | str, name: str, activation: str | None = None
) -> KerasTensor:
    return layers.Conv2D(filters, 1, activation=activation, dtype=policy, name=name)(x)


def _activate(x: KerasTensor, policy: DTypePolicy, name: str) -> KerasTensor:
    return layers.Activation("hard_silu", dtype=policy, name=name)(x)
