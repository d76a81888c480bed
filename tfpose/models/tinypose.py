"""PP-TinyPose: a keypoint network of 1.3 million weights for phones and CPUs.

PaddleDetection, configs/keypoint/tiny_pose, 2021; a Lite-HRNet (Yu et al., "Lite-HRNet: A Lightweight High-Resolution
Network", 2021, the kind "wider naive") without attention. As in HRNet, up to four branches work side by side at 1/4,
1/8, 1/16 and 1/32 of the crop's size, but with shuffle units (Ma et al., "ShuffleNet V2", 2018, Figure 3c) and
depthwise convolutions.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import DTypePolicy, KerasTensor, layers, ops

from tfpose.models.convolutions import convolve, convolve_depthwise, normalize, rectify
from tfpose.models.heatmap_network import build_heatmap_network, check_counts, check_input_size
from tfpose.models.output_layers import output_dtype
from tfpose.models.pose_hrnet import BRANCH_SIZE_MULTIPLE, BranchModule, check_modules, sum_smaller

TINYPOSE_STRIDE = 4
STEM_WIDTH = 32
PUBLISHED_WIDTH = 40
PUBLISHED_MODULES = (2, 4, 2)
PUBLISHED_UNITS = 2


def build_tinypose(
    num_joints: int,
    width: int = PUBLISHED_WIDTH,
    input_size: tuple[int | None, int | None] = (256, 192),
    modules: tuple[int, int, int] = PUBLISHED_MODULES,
    units_per_branch: int = PUBLISHED_UNITS,
    synchronize_batch_norm: bool = False,
    dtype: str | None = None,
    name: str = "tinypose",
) -> keras.Model:
    """Builds the network from normalized crops to heatmaps at a quarter of their size.

    Every layer is named: `stem_*`, `transition{0..2}_branch{0..3}_*`,
    `stage{0..2}_module{0..}_branch{0..3}_unit{0..}_*`, `stage{0..2}_module{0..}_fuse{to}from{from}_*`,
    `head_project{0..3}_*`, `heatmaps`. Padding is the same on both sides of an axis, as in Paddle, so that public
    weights fit.

    Args:
        num_joints: Number of heatmaps J.
        width: Channels of the largest branch, an even number; 40 is the published network.
        input_size: (height, width) in pixels, multiples of 32; None where it may vary. Published are 256x192 and
            128x96, with the same weights' shapes.
        modules: Number of modules of the stages with 2, 3 and 4 branches.
        units_per_branch: Shuffle units of each branch of a module.
        synchronize_batch_norm: In training on several replicas, normalize by the statistics of the whole batch, not of
            the replica's part; TensorFlow only, and slower.
        dtype: Dtype policy of the layers; None takes Keras' global policy.
        name: Name of the model.

    Returns:
        A model from images [B, H, W, 3], normalized, to heatmaps [B, H/4, W/4, J] in float32 (float64 under a float64
        policy).

    Raises:
        ValueError: An argument is out of its range.
    """
    check_counts(num_joints=num_joints, units_per_branch=units_per_branch)
    check_modules(modules)
    if width < 2 or width % 2:
        raise ValueError(f"width must be an even number of at least 2, got {width!r}.")
    check_input_size(input_size, BRANCH_SIZE_MULTIPLE)
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    images = keras.Input((*input_size, 3), dtype=output_dtype(policy), name="images")
    branches = [_apply_stem(images, policy)]
    for stage, num_modules in enumerate(modules):
        branches = _apply_transition(branches, stage, width, policy)
        for index in range(num_modules):
            module = BranchModule(f"stage{stage}_module{index}", width, units_per_branch, policy)
            branches = _apply_module(branches, module)
    features = _apply_head(branches, policy)
    return build_heatmap_network(images, features, num_joints, name, synchronize_batch_norm)


@keras.saving.register_keras_serializable(package="tfpose")
class SplitChannels(layers.Layer):
    """Splits [B, H, W, 2 K] into the first K and the last K channels."""

    def call(self, inputs: Any) -> list[Any]:
        """Returns two tensors [B, H, W, K]."""
        return ops.split(inputs, 2, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer; Keras writes none of a dtype policy by itself."""
        return super().get_config()


@keras.saving.register_keras_serializable(package="tfpose")
class InterleaveChannels(layers.Layer):
    """Joins channels a_0, a_1, ... and b_0, b_1, ... as a_0, b_0, a_1, b_1, ...: the shuffle of two groups."""

    def call(self, inputs: list[Any]) -> Any:
        """Returns [B, H, W, 2 K] from two tensors [B, H, W, K]."""
        first, second = inputs
        return ops.reshape(ops.stack([first, second], axis=-1), (-1, *_sizes(first), 2 * first.shape[-1]))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer; Keras writes none of a dtype policy by itself."""
        return super().get_config()


@keras.saving.register_keras_serializable(package="tfpose")
class AlignedUpsampling(layers.Layer):
    """Enlarges [B, H, W, C] bilinearly so that the centers of the corner cells stay the corners' centers.

    Args:
        factor: Factor of both sides.
        **kwargs: As `keras.layers.Layer`.
    """

    def __init__(self, factor: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        """Returns [B, factor H, factor W, C]."""
        height, width = _sizes(inputs)
        channels = inputs.shape[-1]
        tall, wide = self.factor * height, self.factor * width
        x = ops.reshape(inputs, (-1, height, width * channels))
        x = ops.matmul(ops.cast(_interpolation_matrix(height, tall), inputs.dtype), x)
        x = ops.reshape(x, (-1, width, channels))
        x = ops.matmul(ops.cast(_interpolation_matrix(width, wide), inputs.dtype), x)
        return ops.reshape(x, (-1, tall, wide, channels))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns [B, factor H, factor W, C]."""
        batch, height, width, channels = input_shape
        larger = [None if size is None else self.factor * size for size in (height, width)]
        return (batch, *larger, channels)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {**super().get_config(), "factor": self.factor}


def _sizes(x: Any) -> tuple[Any, Any]:
    """Returns height and width of [B, H, W, C], as numbers where they are known."""
    shape = ops.shape(x)
    return shape[1], shape[2]


def _interpolation_matrix(size: Any, larger: Any) -> Any:
    """Returns [larger, size]: the share of each cell in each cell of the enlarged axis, by distance."""
    cells = ops.arange(size, dtype="float32")
    places = ops.arange(larger, dtype="float32") * (ops.cast(size - 1, "float32") / ops.cast(larger - 1, "float32"))
    return ops.relu(1 - ops.abs(places[:, None] - cells[None, :]))


def _apply_stem(x: KerasTensor, policy: DTypePolicy) -> KerasTensor:
    """Halves the size twice; the second time in two ways, each for half of the channels."""
    x = rectify(normalize(convolve(x, STEM_WIDTH, 3, 2, policy, "stem_conv"), policy, "stem_bn"), policy, "stem_relu")
    first, second = SplitChannels(dtype=policy, name="stem_split")(x)
    first = _apply_depthwise(first, 2, policy, "stem_first_depthwise")
    first = _apply_pointwise(first, STEM_WIDTH // 2, policy, "stem_first_pointwise")
    second = _apply_pointwise(second, STEM_WIDTH, policy, "stem_second_expand")
    second = _apply_depthwise(second, 2, policy, "stem_second_depthwise")
    second = _apply_pointwise(second, STEM_WIDTH // 2, policy, "stem_second_pointwise")
    return InterleaveChannels(dtype=policy, name="stem_shuffle")([first, second])


def _apply_transition(branches: list[KerasTensor], stage: int, width: int, policy: DTypePolicy) -> list[KerasTensor]:
    """Brings the stem to the width of the largest branch, and starts one more branch from the smallest."""
    new_branch = len(branches)
    result = list(branches)
    for branch in (*((0,) if stage == 0 else ()), new_branch):
        name = f"transition{stage}_branch{branch}"
        x = _apply_depthwise(branches[min(branch, new_branch - 1)], 2 if branch else 1, policy, f"{name}_depthwise")
        result[branch : branch + 1] = [_apply_pointwise(x, width * 2**branch, policy, f"{name}_pointwise")]
    return result


def _apply_module(branches: list[KerasTensor], module: BranchModule) -> list[KerasTensor]:
    """Applies the shuffle units of each branch, then adds all branches to each.

    The published weights expect two things that the paper does not say: the term of the largest branch counts twice,
    and the other branches receive the largest one after its own fusion, before the ReLU.
    """
    branches = list(branches)
    for branch in range(len(branches)):
        for unit in range(module.num_blocks):
            name = f"{module.name}_branch{branch}_unit{unit}"
            branches[branch] = _apply_shuffle_unit(branches[branch], module.policy, name)
    largest = branches[0]
    project = functools.partial(_apply_pointwise, has_relu=False)
    fused = _add([largest, largest, *sum_smaller(branches, 0, module, project)], module, "fuse0")
    sums = [fused]
    for target in range(1, len(branches)):
        from_largest = _shrink(fused, 0, target, module)
        terms = [from_largest, from_largest, branches[target]]
        terms += [_shrink(branches[source], source, target, module) for source in range(1, target)]
        terms += sum_smaller(branches, target, module, project)
        sums.append(_add(terms, module, f"fuse{target}"))
    return [rectify(x, module.policy, f"{module.name}_fuse{target}_relu") for target, x in enumerate(sums)]


def _add(terms: list[KerasTensor], module: BranchModule, name: str) -> KerasTensor:
    return layers.Add(dtype=module.policy, name=f"{module.name}_{name}_add")(terms)


def _apply_shuffle_unit(x: KerasTensor, policy: DTypePolicy, name: str) -> KerasTensor:
    """Transforms half of the channels and mixes them with the other half (Ma et al. 2018, Figure 3c)."""
    first, second = SplitChannels(dtype=policy, name=f"{name}_split")(x)
    channels = second.shape[-1]
    second = _apply_pointwise(second, channels, policy, f"{name}_pointwise1")
    second = _apply_depthwise(second, 1, policy, f"{name}_depthwise")
    second = _apply_pointwise(second, channels, policy, f"{name}_pointwise2")
    return InterleaveChannels(dtype=policy, name=f"{name}_shuffle")([first, second])


def _shrink(x: KerasTensor, source: int, target: int, module: BranchModule) -> KerasTensor:
    """Halves the size step by step; only the last step changes the number of channels, and has no ReLU."""
    for step in range(target - source):
        name = f"{module.name}_fuse{target}from{source}_step{step}"
        is_last = step == target - source - 1
        channels = module.channels(target if is_last else source)
        x = _apply_depthwise(x, 2, module.policy, f"{name}_depthwise")
        x = _apply_pointwise(x, channels, module.policy, f"{name}_pointwise", has_relu=not is_last)
    return x


def _apply_head(branches: list[KerasTensor], policy: DTypePolicy) -> KerasTensor:
    """Adds the branches from the smallest to the largest."""
    x = branches[-1]
    for index in range(len(branches)):
        branch = len(branches) - 1 - index
        if index > 0:
            larger = AlignedUpsampling(2, dtype=policy, name=f"head_up{index}")(x)
            x = layers.Add(dtype=policy, name=f"head_add{index}")([branches[branch], larger])
        x = _apply_depthwise(x, 1, policy, f"head_project{index}_depthwise")
        channels = branches[max(branch - 1, 0)].shape[-1]
        x = _apply_pointwise(x, channels, policy, f"head_project{index}_pointwise")
    return x


def _apply_depthwise(x: KerasTensor, stride: int, policy: DTypePolicy, name: str) -> KerasTensor:
    return normalize(convolve_depthwise(x, 3, stride, policy, f"{name}_conv"), policy, f"{name}_bn")


def _apply_pointwise(
    x: KerasTensor, filters: int, policy: DTypePolicy, name: str, has_relu: bool = True
) -> KerasTensor:
    x = normalize(convolve(x, filters, 1, 1, policy, f"{name}_conv"), policy, f"{name}_bn")
    return rectify(x, policy, f"{name}_relu") if has_relu else x
