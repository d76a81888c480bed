"""Weights of Keypoint R-CNN from arrays under Detectron2's names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import keras
import numpy as np

from tfpose.models.keypoint_rcnn.convolution import TrunkConvolution
from tfpose.models.keypoint_rcnn.heads import BOX_POOLED_SIZE
from tfpose.models.keypoint_rcnn.network import KeypointRcnn
from tfpose.pretrained.weight_names import check_names

# Constants that files of the model zoo may hold.
_IGNORED = re.compile(r"pixel_(mean|std)|proposal_generator\.anchor_generator\.cell_anchors\.\d+")
_KEYPOINT_HEAD = "roi_heads.keypoint_head."
_NORM_NAMES = {
    "norm_scale": "norm.weight",
    "norm_shift": "norm.bias",
    "norm_mean": "norm.running_mean",
    "norm_variance": "norm.running_var",
}
_STATISTICS = {"running_mean": 0.0, "running_var": 1.0}
_WEIGHT_NAMES = {"kernel": "weight", "bias": "bias", **_NORM_NAMES}


def load_detectron2_state_dict(model: KeypointRcnn, state_dict: Mapping[str, np.ndarray], prefix: str = "") -> None:
    """Sets the weights from arrays under Detectron2's names.

    The arrays do not say which convolution strides, nor the pixels' mean and scale: the model must have the settings
    that belong to them. Running statistics that are absent are 0 and 1. A model without keypoint head ignores that
    head's arrays. Nothing is changed if there is an error.

    Args:
        model: from `build_keypoint_rcnn`, with a frozen normalisation.
        state_dict: by name; kernels as (out, in / groups, h, w), dense ones as (out, in).
        prefix: of the names in question; the other weights stay and the other arrays are ignored.

    Raises:
        ValueError: an array is missing, superfluous, of another shape or not finite; names it.
    """
    expected = {name: value for name, value in detectron2_names_of(model).items() if name.startswith(prefix)}
    found = {name: array for name, array in _known_arrays(model, state_dict).items() if name.startswith(prefix)}
    for name in expected.keys() - found.keys():
        default = _STATISTICS.get(name.rsplit(".", 1)[-1])
        if default is not None:
            found[name] = np.full(tuple(expected[name].shape), default, np.float32)
    check_names(expected, found)
    values = {name: _keras_layout(name, found[name], variable) for name, variable in expected.items()}
    for name, variable in expected.items():
        variable.assign(values[name])


def detectron2_names_of(model: KeypointRcnn) -> dict[str, keras.Variable]:
    """The variables of a model by their names in Detectron2.

    Raises:
        ValueError: the model was built with batch normalisation, which has no counterpart there.
    """
    if model.settings.normalization != "frozen":
        raise ValueError(
            f"Detectron2's weights need a model with frozen normalisation, got {model.settings.normalization!r}."
        )
    return {
        f"{layer_name}.{_WEIGHT_NAMES[variable.name]}": variable
        for layer_name, layer in _layers_by_name(model)
        for variable in layer.weights
    }


def _layers_by_name(model: KeypointRcnn) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers that have weights."""
    prefixes = {"box_head": "roi_heads.box_head", "rpn": "proposal_generator.rpn_head"}
    parts = [model.trunk, model.proposal_head, model.box_head, model.keypoint_head]
    for part in parts:
        for layer in part.layers if part is not None else ():
            if not layer.weights:
                continue
            if part is model.trunk:
                yield _trunk_name(layer), layer
            elif layer.name in ("cls_score", "bbox_pred"):
                yield f"roi_heads.box_predictor.{layer.name}", layer
            else:
                yield f"{prefixes.get(part.name, _KEYPOINT_HEAD[:-1])}.{layer.name}", layer


def _trunk_name(layer: keras.layers.Layer) -> str:
    if not isinstance(layer, TrunkConvolution):
        return f"backbone.{layer.name}"
    return "backbone.bottom_up." + layer.name.replace("_", ".")


def _known_arrays(model: KeypointRcnn, state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    is_ignored = {
        name: bool(_IGNORED.fullmatch(name)) or (model.keypoint_head is None and name.startswith(_KEYPOINT_HEAD))
        for name in state_dict
    }
    return {name: np.asarray(array) for name, array in state_dict.items() if not is_ignored[name]}


def _keras_layout(name: str, array: np.ndarray, variable: keras.Variable) -> np.ndarray:
    """Detectron2's array as the variable stores it."""
    expected = _detectron2_shape(name, variable)
    if array.shape != expected:
        raise ValueError(f"{name}: expected shape {expected}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: it holds numbers that are not finite.")
    if _reads_flattened_maps(name):
        # The pooled features are flattened with the channels first there, and last here.
        channels = array.shape[1] // BOX_POOLED_SIZE**2
        maps = array.reshape(-1, channels, BOX_POOLED_SIZE, BOX_POOLED_SIZE)
        return maps.transpose(2, 3, 1, 0).reshape(array.shape[::-1])
    if array.ndim == 4:
        # (out, in, h, w) to (h, w, in, out), and transposed (in, out, h, w) to (h, w, out, in).
        return array.transpose(2, 3, 1, 0)
    return array.T


def _detectron2_shape(name: str, variable: keras.Variable) -> tuple[int, ...]:
    shape = tuple(variable.shape)
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]


def _reads_flattened_maps(name: str) -> bool:
    return name == "roi_heads.box_head.fc1.weight"
