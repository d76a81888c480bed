"""HRNet: a network that keeps its features at a quarter of the crop's size all the way.

Sun, Xiao, Liu and Wang, "Deep High-Resolution Representation Learning for Human Pose Estimation", 2019, section 3. Up
to four branches work side by side at 1/4, 1/8, 1/16 and 1/32 of the crop's size. At the end of each module, every
branch receives the sum of all branches, brought to its size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import keras
from keras import DTypePolicy, KerasTensor, layers

from tfpose.models.convolutions import convolve, normalize, rectify
from tfpose.models.heatmap_network import build_heatmap_network, check_counts, check_input_size
from tfpose.models.output_layers import output_dtype
from tfpose.models.pose_resnet import apply_basic_block, apply_bottleneck

POSE_HRNET_STRIDE = 4
# Pixels of a crop per cell of the smallest branch.
BRANCH_SIZE_MULTIPLE = 32
STEM_WIDTH = 64
NUM_BOTTLENECKS = 4
# Stages 2, 3 and 4 of the paper, with 2, 3 and 4 branches.
FIRST_STAGE_WITH_BRANCHES = 2
PUBLISHED_MODULES = (1, 4, 3)
PUBLISHED_BLOCKS = 4


@dataclasses.dataclass(frozen=True)
class BranchModule:
    """One multi-resolution block, of HRNet or of a network with other blocks in its branches.

    Attributes:
        name: Beginning of the names of its layers.
        width: Channels of the largest branch; each further branch has twice as many.
        num_blocks: Blocks of each branch.
        policy: Dtype policy of the layers.
    """

    name: str
    width: int
    num_blocks: int
    policy: DTypePolicy

    def channels(self, branch: int) -> int:
        """Returns the channels of a branch, counted from the largest."""
        return self.width * 2**branch


def check_modules(modules: tuple[int, ...]) -> None:
    """Checks the numbers of modules of the stages with 2, 3 and 4 branches.

    Raises:
        ValueError: A number is below 1, or there are not three stages.
    """
    if len(modules) != len(PUBLISHED_MODULES) or min(modules) < 1:
        raise ValueError(f"modules must be three numbers of at least 1, got {modules!r}.")


def build_pose_hrnet(
    num_joints: int,
    width: int = 32,
    input_size: tuple[int | None, int | None] = (256, 192),
    modules: tuple[int, int, int] = PUBLISHED_MODULES,
    blocks_per_branch: int = PUBLISHED_BLOCKS,
    synchronize_batch_norm: bool = False,
    dtype: str | None = None,
    name: str = "pose_hrnet",
) -> keras.Model:
    """Builds the network from normalized crops to heatmaps at a quarter of their size.

    Every layer is named: `stem_*`, `stage1_block{0..3}_*`, `transition{1..3}_branch{0..3}_*`,
    `stage{2..4}_module{0..}_branch{0..3}_block{0..}_*`, `stage{2..4}_module{0..}_fuse{to}from{from}_*`, `heatmaps`.
    Padding is the same on both sides of an axis, as in PyTorch, so that public weights fit.

    Args:
        num_joints: Number of heatmaps J.
        width: Channels of the largest branch: 32 for HRNet-W32, 48 for HRNet-W48.
        input_size: (height, width) in pixels, multiples of 32; None where it may vary.
        modules: Number of modules of the stages with 2, 3 and 4 branches.
        blocks_per_branch: Residual blocks of each branch of a module.
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
    check_counts(num_joints=num_joints, width=width, blocks_per_branch=blocks_per_branch)
    check_modules(modules)
    check_input_size(input_size, BRANCH_SIZE_MULTIPLE)
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    images = keras.Input((*input_size, 3), dtype=output_dtype(policy), name="images")
    branches = [_apply_stem(images, policy)]
    for index, num_modules in enumerate(modules):
        stage = FIRST_STAGE_WITH_BRANCHES + index
        branches = _apply_transition(branches, index + 1, width, policy)
        for module in range(num_modules):
            of_module = BranchModule(f"stage{stage}_module{module}", width, blocks_per_branch, policy)
            is_last = index == len(modules) - 1 and module == num_modules - 1
            branches = _apply_module(branches, of_module, only_largest=is_last)
    return build_heatmap_network(images, branches[0], num_joints, name, synchronize_batch_norm)


def _apply_stem(x: KerasTensor, policy: DTypePolicy) -> KerasTensor:
    """Halves the size twice, then applies stage 1: four bottlenecks."""
    for index in (1, 2):
        x = convolve(x, STEM_WIDTH, 3, 2, policy, f"stem_conv{index}")
        x = normalize(x, policy, f"stem_bn{index}")
        x = rectify(x, policy, f"stem_relu{index}")
    for block in range(NUM_BOTTLENECKS):
        x = apply_bottleneck(x, STEM_WIDTH, 1, "3x3", policy, f"stage1_block{block}")
    return x


def _apply_transition(branches: list[KerasTensor], index: int, width: int, policy: DTypePolicy) -> list[KerasTensor]:
    """Brings the branches to their widths, and starts one more from the smallest."""
    new_branch = len(branches)
    result = []
    for branch in range(new_branch + 1):
        source = branches[min(branch, new_branch - 1)]
        channels = width * 2**branch
        if branch < new_branch and source.shape[-1] == channels:
            result.append(source)
            continue
        name = f"transition{index}_branch{branch}"
        x = convolve(source, channels, 3, 1 if branch < new_branch else 2, policy, f"{name}_conv")
        result.append(rectify(normalize(x, policy, f"{name}_bn"), policy, f"{name}_relu"))
    return result


def _apply_module(branches: list[KerasTensor], module: BranchModule, only_largest: bool) -> list[KerasTensor]:
    """Applies the residual blocks of each branch, then adds all branches to each (Sun et al. 2019, Figure 3)."""
    branches = list(branches)
    for branch, x in enumerate(branches):
        for block in range(module.num_blocks):
            name = f"{module.name}_branch{branch}_block{block}"
            x = apply_basic_block(x, module.channels(branch), 1, module.policy, name)
        branches[branch] = x
    targets = range(1 if only_largest else len(branches))
    return [_fuse(branches, target, module) for target in targets]


def _fuse(branches: list[KerasTensor], target: int, module: BranchModule) -> KerasTensor:
    """Adds all branches at the size of one of them."""
    name = f"{module.name}_fuse{target}"
    terms = [_shrink(branches[source], source, target, module) for source in range(target)]
    terms += [branches[target], *sum_smaller(branches, target, module, _project)]
    return rectify(layers.Add(dtype=module.policy, name=f"{name}_add")(terms), module.policy, f"{name}_relu")


def sum_smaller(
    branches: Sequence[KerasTensor],
    target: int,
    module: BranchModule,
    project: Callable[[KerasTensor, int, DTypePolicy, str], KerasTensor],
) -> list[KerasTensor]:
    """Sums the branches that are smaller than one of them, at its size.

    From the smallest on, each sum is enlarged to the next size: nearest-neighbor interpolation by two and again by two
    is that by four, so that each branch need not be enlarged to the full size.

    Args:
        branches: Branches from the largest to the smallest.
        target: Index of the branch.
        module: Module that the branches belong to.
        project: Function from a branch, a number of channels, a dtype policy and the beginning of layer names to the
            branch with so many channels.

    Returns:
        The sum; nothing if no branch is smaller.
    """
    total: list[KerasTensor] = []
    for source in reversed(range(target + 1, len(branches))):
        name = f"{module.name}_fuse{target}from{source}"
        x = project(branches[source], module.channels(target), module.policy, name)
        if total:
            x = layers.Add(dtype=module.policy, name=f"{name}_add")([x, *total])
        total = [layers.UpSampling2D(2, dtype=module.policy, name=f"{name}_up")(x)]
    return total


def _project(x: KerasTensor, channels: int, policy: DTypePolicy, name: str) -> KerasTensor:
    return normalize(convolve(x, channels, 1, 1, policy, f"{name}_conv"), policy, f"{name}_bn")


def _shrink(x: KerasTensor, source: int, target: int, module: BranchModule) -> KerasTensor:
    """Halves the size step by step; only the last step changes the number of channels."""
    num_steps = target - source
    for step in range(num_steps):
        name = f"{module.name}_fuse{target}from{source}_step{step}"
        is_last = step == num_steps - 1
        x = convolve(x, module.channels(target if is_last else source), 3, 2, module.policy, f"{name}_conv")
        x = normalize(x, module.policy, f"{name}_bn")
        if not is_last:
            x = rectify(x, module.policy, f"{name}_relu")
    return x
