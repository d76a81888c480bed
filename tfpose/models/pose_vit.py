"""ViTPose: a plain vision transformer with a light decoder that predicts one heatmap per joint.

Xu, Zhang, Zhang and Tao, "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation", 2022, section 3, and
"ViTPose++: Vision Transformer for Generic Body Pose Estimation", 2023, section 3.4 (experts). The blocks are those of
Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import keras
from keras import DTypePolicy, KerasTensor, layers

from tfpose.models.convolutions import rectify
from tfpose.models.heatmap_network import build_heatmap_network, check_counts, check_input_size
from tfpose.models.output_layers import output_dtype
from tfpose.models.pose_resnet import apply_deconvolution
from tfpose.models.transformer import Experts, PositionEmbedding, TransformerBlock

POSE_VIT_STRIDE = 4
PATCH_SIZE = 16
# Zeros on each side of the crop, as in the public code. The sum of both is less than a patch, so there are as many
# patches as without them, only moved.
PATCH_PADDING = 2
NUM_DECONVOLUTIONS = 2
DECONV_FILTERS = 256
BLOCK_PREFIX = "block"
# Width, depth and number of heads of the published sizes.
PUBLISHED_SIZES = {
    "small": (384, 12, 12),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
}

Decoder = Literal["classic", "simple"]


def build_pose_vit(
    num_joints: int,
    width: int = 768,
    depth: int = 12,
    num_heads: int = 12,
    input_size: tuple[int, int] = (256, 192),
    decoder: Decoder = "classic",
    num_experts: int = 0,
    expert_width: int = 0,
    expert: int = 0,
    norm_epsilon: float = 1e-6,
    drop_path_rate: float = 0.0,
    recompute: bool = False,
    synchronize_batch_norm: bool = False,
    dtype: str | None = None,
    name: str = "pose_vit",
) -> keras.Model:
    """Builds the network from normalized crops to heatmaps at a quarter of their size.

    Layers: `patches`, `positions`, `block{0..}`, `norm`, `deconv{1..2}_*`, `heatmaps`. Sizes: `PUBLISHED_SIZES`.

    Args:
        num_joints: Number of heatmaps J.
        width: Channels of a token.
        depth: Number of transformer blocks.
        num_heads: Heads of the attention; they share the channels evenly.
        input_size: (height, width) in pixels, multiples of 16. Every patch has a position, so weights of another size
            are resampled, see `transformer.resize_positions`.
        decoder: 'classic', two transposed convolutions of 256 channels, or 'simple', one 3x3 convolution on features
            that are rectified and enlarged four times.
        num_experts: ViTPose++: experts of each block, one for each dataset of the publishers (COCO first); 0 for none.
        expert_width: Channels of a token that come from the expert, the last ones.
        expert: Index of the expert that computes. The others keep their weights.
        norm_epsilon: Epsilon of the layer normalizations; 1e-12 in the files of Hugging Face.
        drop_path_rate: Stochastic depth (Huang et al., 2016): share of examples skipping the last block, 0 at first.
        recompute: Whether training computes the activations of each block twice, to keep fewer of them in memory.
        synchronize_batch_norm: As for `build_pose_resnet`.
        dtype: Dtype policy of the layers; None takes Keras' global policy.
        name: Name of the model.

    Returns:
        A model from normalized images [B, H, W, 3] to heatmaps [B, H/4, W/4, J], float32 as in `build_pose_resnet`.

    Raises:
        ValueError: An argument is out of its range.
    """
    experts = Experts(num_experts, expert_width, expert)
    check_counts(num_joints=num_joints, width=width, depth=depth, num_heads=num_heads)
    _check_arguments(width, num_heads, experts, input_size, decoder, drop_path_rate)
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    images = keras.Input((*input_size, 3), dtype=output_dtype(policy), name="images")
    settings = {"recompute": recompute, "experts": experts, "dtype": policy}
    make_block = functools.partial(TransformerBlock, num_heads, norm_epsilon, **settings)
    tokens = _apply_blocks(_apply_patches(images, width, policy), depth, drop_path_rate, make_block)
    tokens = layers.LayerNormalization(epsilon=norm_epsilon, dtype=policy, name="norm")(tokens)
    grid = tuple(side // PATCH_SIZE for side in input_size)
    x, kernel_size = DECODERS[decoder](layers.Reshape((*grid, width), dtype=policy, name="map")(tokens), policy)
    model = build_heatmap_network(images, x, num_joints, name, synchronize_batch_norm, kernel_size)
    _mark_depths(model, depth)
    return model


def _apply_patches(images: KerasTensor, width: int, policy: DTypePolicy) -> KerasTensor:
    """Turns each patch into a token [C] and adds its position; returns all tokens in row order, [B, T, C]."""
    x = layers.ZeroPadding2D(PATCH_PADDING, dtype=policy, name="patches_pad")(images)
    x = layers.Conv2D(width, PATCH_SIZE, strides=PATCH_SIZE, dtype=policy, name="patches")(x)
    x = PositionEmbedding(dtype=policy, name="positions")(x)
    return layers.Reshape((-1, width), dtype=policy, name="tokens")(x)


def _apply_blocks(
    tokens: KerasTensor, depth: int, drop_path_rate: float, make_block: Callable[..., TransformerBlock]
) -> KerasTensor:
    """Applies the transformer blocks, which training skips the more often the deeper they are."""
    for index in range(depth):
        rate = drop_path_rate * index / max(depth - 1, 1)
        tokens = make_block(drop_path_rate=rate, name=f"{BLOCK_PREFIX}{index}")(tokens)
    return tokens


def _apply_classic_decoder(x: KerasTensor, policy: DTypePolicy) -> tuple[KerasTensor, int]:
    """Doubles the size twice (section 3.1, "the classic decoder"); returns the kernel size of the heatmaps too."""
    for index in range(1, NUM_DECONVOLUTIONS + 1):
        x = apply_deconvolution(x, DECONV_FILTERS, policy, f"deconv{index}")
    return x, 1


def _apply_simple_decoder(x: KerasTensor, policy: DTypePolicy) -> tuple[KerasTensor, int]:
    """Rectifies and enlarges the features (section 3.1, "the simple decoder")."""
    x = rectify(x, policy, "enlarged_relu")
    scale = PATCH_SIZE // POSE_VIT_STRIDE
    return layers.UpSampling2D(scale, interpolation="bilinear", dtype=policy, name="enlarged")(x), 3


DECODERS = {"classic": _apply_classic_decoder, "simple": _apply_simple_decoder}


def _check_arguments(
    width: int, num_heads: int, experts: Experts, input_size: tuple[int, int], decoder: str, drop_path_rate: float
) -> None:
    if width % num_heads:
        raise ValueError(f"width must be a multiple of num_heads = {num_heads}, got {width}.")
    check_input_size(input_size, PATCH_SIZE)
    if None in input_size:
        raise ValueError(f"input_size must be fixed, because every patch has a position, got {input_size!r}.")
    if decoder not in DECODERS:
        raise ValueError(f"decoder must be one of {', '.join(DECODERS)}, got {decoder!r}.")
    if not 0 <= drop_path_rate < 1:
        raise ValueError(f"drop_path_rate must be in [0, 1), got {drop_path_rate!r}.")
    if experts.num_experts < 0 or bool(experts.num_experts) != (0 < experts.expert_width < width):
        raise ValueError(
            f"num_experts and expert_width must both be 0, or expert_width must be less than width = {width}, got "
            f"{experts.num_experts} and {experts.expert_width}."
        )
    if not 0 <= experts.expert < max(experts.num_experts, 1):
        raise ValueError(f"expert must be an index below num_experts = {experts.num_experts}, got {experts.expert}.")


def _mark_depths(model: keras.Model, depth: int) -> None:
    """Gives the encoder's variables the attribute `depth_below_head`, for smaller learning rates of early layers.

    It is 1 in the last block, up to depth + 1 for patches and positions.
    """
    for layer in model.layers:
        if isinstance(layer, TransformerBlock):
            below = depth - int(layer.name.removeprefix(BLOCK_PREFIX))
        elif layer.name in ("patches", "positions"):
            below = depth + 1
        else:
            continue
        for variable in layer.weights:
            variable.depth_below_head = below
