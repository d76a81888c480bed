"""The names of ViTPose's weights in its authors' code, in MMPose and in the files of Hugging Face.

Attention is stored as one matrix of queries, keys and values by the first two, as three matrices by Hugging Face. A
token's position is the vector of its patch, plus the vector of the class token where a file has one.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
from collections.abc import Mapping

import keras
import numpy as np

from tfpose.models.heatmap_network import HEATMAP_LAYER
from tfpose.models.transformer import resize_positions
from tfpose.pretrained.checkpoint_files import read_arrays
from tfpose.pretrained.named_tensors import read_checkpoint
from tfpose.pretrained.weight_names import check_kinds, check_names

POSITIONS = "positions.positions"
# Stands for the public ImageNet weights of a network that has them.
IMAGENET = "imagenet"
_PREFIX = r"(?:module\.)*(?:backbone\.)?"
_HEAD = r"(?:module\.)*(?:keypoint_)?head\."
_BLOCK = _PREFIX + r"(?:encoder\.layer|blocks|layers)\.(\d+)\."
_END = r"\.(weight|bias)"
_STATISTICS = r"\.(weight|bias|running_mean|running_var)"
# Pairs of a pattern for whole names and the name of the variable here, with the ends of PyTorch.
_NAMES = (
    (_PREFIX + r"(?:embeddings\.position_embeddings|pos_embed)", POSITIONS),
    (_PREFIX + r"(?:embeddings\.patch_embeddings\.projection|patch_embed\.proj(?:ection)?)" + _END, r"patches.\1"),
    (_BLOCK + r"attention\.attention\.(query|key|value)" + _END, r"block\1.\2.\3"),
    (_BLOCK + r"attn\.qkv" + _END, r"block\1.qkv.\2"),
    (_BLOCK + r"(?:attention\.output\.dense|attn\.proj)" + _END, r"block\1.projection.\2"),
    (_BLOCK + r"(?:layernorm_before|norm1|ln1)" + _END, r"block\1.norm1.\2"),
    (_BLOCK + r"(?:layernorm_after|norm2|ln2)" + _END, r"block\1.norm2.\2"),
    (_BLOCK + r"(?:mlp\.fc1|ffn\.layers\.0\.0)" + _END, r"block\1.expand.\2"),
    (_BLOCK + r"(?:mlp\.fc2|ffn\.layers\.1)" + _END, r"block\1.contract.\2"),
    (_BLOCK + r"mlp\.experts\.(\d+)" + _END, r"block\1.expert\2.\3"),
    (_PREFIX + r"(?:layernorm|last_norm|ln1|norm)" + _END, r"norm.\1"),
    (_HEAD + r"deconv(\d)\.(weight)", r"deconv\1_conv.\2"),
    (_HEAD + r"batchnorm(\d)" + _STATISTICS, r"deconv\1_bn.\2"),
    (_HEAD + r"deconv_layers\.0\.(weight)", r"deconv1_conv.\1"),
    (_HEAD + r"deconv_layers\.1" + _STATISTICS, r"deconv1_bn.\1"),
    (_HEAD + r"deconv_layers\.3\.(weight)", r"deconv2_conv.\1"),
    (_HEAD + r"deconv_layers\.4" + _STATISTICS, r"deconv2_bn.\1"),
    (_HEAD + r"(?:conv|final_layer)" + _END, rf"{HEATMAP_LAYER}.\1"),
)
# What the networks here lack: counters of PyTorch, the class token of pretraining, heads for other datasets.
_IGNORED = re.compile(
    r"(.*\.)?num_batches_tracked|(?:module\.)*associate_keypoint_heads\..*|" + _PREFIX + r"(cls_token|mask_token)"
)
# Besides, the decoder of MAE and the classifier of ImageNet.
_IGNORED_IN_ENCODERS = re.compile(r"(module\.)?(decoder_.*|(head|fc_norm|head_drop)\.(weight|bias))")
# Names of MMPose 1.x, whose positions have no vector of a class token.
_WITHOUT_CLASS = re.compile(_PREFIX + r"layers\.\d+\.ffn\..*")
_ENDS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "positions": "positions",
}
# Published axis of each axis of a kernel, by its number of axes.
_AXES = {2: (1, 0), 4: (2, 3, 1, 0)}
_PARTS = ("query", "key", "value")


@dataclasses.dataclass(frozen=True)
class VitNames:
    """How public files name the weights of a ViTPose, see `published_names.PublishedNames`."""

    def canonical(self, name: str) -> str:
        """Returns the name of a tensor in this library's network, with PyTorch's ends; others keep their names."""
        for pattern, replacement in _NAMES:
            if match := re.fullmatch(pattern, name):
                return match.expand(replacement)
        return name

    def load(self, model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets the weights of a model from arrays under their published names. An error changes nothing.

        Positions of another grid than the model's are resampled, see `resize_positions`.

        Raises:
            ValueError: An array is missing, superfluous or has another shape; the message names it.
        """
        self._load(model, arrays, _of_model(model))

    def load_encoder(self, model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets the weights of the encoder alone, for example from a pretraining as a masked autoencoder.

        Raises:
            ValueError: As for `load`.
        """
        encoder = {name: variable for name, variable in _of_model(model).items() if _is_of_encoder(name)}
        kept = {name: a for name, a in arrays.items() if not _IGNORED_IN_ENCODERS.fullmatch(name)}
        self._load(model, {name: a for name, a in kept.items() if _is_of_encoder(self.canonical(name))}, encoder)

    def _load(
        self, model: keras.Model, arrays: Mapping[str, np.ndarray], expected: Mapping[str, keras.Variable]
    ) -> None:
        found: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            canonical = self.canonical(name)
            if _IGNORED.fullmatch(name):
                continue
            if canonical in found:
                raise ValueError(f"{name}: there are two arrays for {canonical}.")
            found[canonical] = np.asarray(array)
        _join_attention(found)
        check_names(expected, found)
        check_kinds(found)
        has_class = not any(map(_WITHOUT_CLASS.fullmatch, arrays))
        values = {name: _to_layout(name, found[name], variable, has_class) for name, variable in expected.items()}
        for name, variable in expected.items():
            variable.assign(values[name])


VIT_NAMES = VitNames()


def load_vit_encoder(model: keras.Model, weights: str) -> None:
    """Sets the encoder of a `build_pose_vit` model; the other layers keep their weights.

    Args:
        model: Model from `build_pose_vit`.
        weights: File with the encoder of a pretraining of the same shape: of a masked autoencoder (MAE), of a
            classifier for ImageNet by timm, or of a keypoint network.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: `weights` is 'imagenet', the file is damaged, or an array is missing, superfluous or has another
            shape; the message names it.
    """
    if weights == IMAGENET:
        raise ValueError(
            "initialize.encoder must be the file of a pretrained vision transformer, such as mae_pretrain_vit_base.pth "
            f"of the masked autoencoder's authors, got {weights!r}, which only ResNets have"
        )
    checkpoint = read_checkpoint(pathlib.Path(weights))
    try:
        VIT_NAMES.load_encoder(model, read_arrays(checkpoint.path, checkpoint.tensors))
    except ValueError as error:
        raise ValueError(f"{weights}: {str(error).removeprefix(f'{weights}: ')}") from error


def _is_of_encoder(name: str) -> bool:
    return not name.startswith(("deconv", f"{HEATMAP_LAYER}."))


def _of_model(model: keras.Model) -> dict[str, keras.Variable]:
    """Returns the variables of a model by their names with PyTorch's ends."""
    named = {}
    for variable in model.weights:
        *layer_names, end = variable.path.split("/")
        named[".".join([*layer_names, _ENDS[end]])] = variable
    return named


def _join_attention(found: dict[str, np.ndarray]) -> None:
    """Replaces the matrices of queries, keys and values by one."""
    for name in [name for name in found if name.split(".")[1:2] == ["query"]]:
        block, _, end = name.split(".")
        names = [f"{block}.{part}.{end}" for part in _PARTS]
        check_names(names, [part for part in names if part in found])
        parts = [found.pop(part) for part in names]
        shapes = {part.shape for part in parts}
        if len(shapes) > 1:
            raise ValueError(f"{', '.join(names)} must have one shape, got {', '.join(map(str, shapes))}.")
        found[f"{block}.qkv.{end}"] = np.concatenate(parts)


def _to_layout(name: str, array: np.ndarray, variable: keras.Variable, has_class: bool) -> np.ndarray:
    """Returns an array in the layout of its variable.

    Raises:
        ValueError: The array does not have the shape of the variable.
    """
    if name == POSITIONS:
        return _find_positions(array, tuple(variable.shape), has_class)
    shape = tuple(variable.shape)
    order = _AXES.get(len(shape), tuple(range(len(shape))))
    published = tuple(shape[order.index(axis)] for axis in range(len(shape)))
    if array.shape != published:
        raise ValueError(f"{name} must have shape {published}, got {array.shape}.")
    return array.transpose(order)


def _find_positions(array: np.ndarray, shape: tuple[int, ...], has_class: bool) -> np.ndarray:
    """Returns the positions [1, H, W, C] of a published array [1, N, C], or [1, 1 + N, C] with a class token."""
    _, height, width, channels = shape
    if array.ndim != 3 or array.shape[::2] != (1, channels) or array.shape[1] < 1 + has_class:
        raise ValueError(
            f"positions must have shape (1, {height * width + has_class}, {channels}), or another number of patches, "
            f"got {array.shape}."
        )
    vectors = array[:, 1:] + array[:, :1] if has_class else array
    grid = _guess_grid(vectors.shape[1], height / width)
    return resize_positions(vectors.reshape(1, *grid, channels), (height, width))


def _guess_grid(num_patches: int, aspect: float) -> tuple[int, int]:
    """Returns (height, width) of a grid of so many patches: that whose shape is nearest to an aspect, or a square.

    Pretraining uses squares; a keypoint network has crops of the same shape at all sizes.
    """
    side = math.isqrt(num_patches)
    heights = [height for height in range(1, num_patches + 1) if num_patches % height == 0]
    nearest = min(heights, key=lambda height: abs(math.log(height * height / num_patches / aspect)))
    is_like = abs(math.log(nearest * nearest / num_patches / aspect)) < math.log(1.1)
    return (nearest, num_patches // nearest) if is_like or side * side != num_patches else (side, side)
