"""Loads the weights of Keypoint R-CNN from arrays under Detectron2's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import keras
import numpy as np

from tfpose.models.keypoint_rcnn.convolution import TrunkConvolution
from tfpose.models.keypoint_rcnn.heads import BOX_POOLED_SIZE
from tfpose.models.keypoint_rcnn.network import KeypointRcnn
from tfpose.pretrained.detectron import IGNORED_TENSORS
from tfpose.pretrained.weight_names import check_kinds, check_names

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

    The arrays tell neither which convolution strides nor the mean and scale of the pixels: the model must have been
    built with the settings that belong to them. Missing running means are 0, missing running variances 1. A model
    without keypoint head ignores the arrays of that head. An error changes nothing.

    Args:
        model: Model from `build_keypoint_rcnn`, with a frozen normalization.
        state_dict: Arrays by name: kernels as (out, in / groups, h, w), those of dense layers as (out, in).
        prefix: Start of the names to load. Other weights keep their values and other arrays are ignored.

    Raises:
        ValueError: An array is missing, superfluous, not finite or has another shape; the message names it.
    """
    expected = {name: value for name, value in detectron2_names_of(model).items() if name.startswith(prefix)}
    found = {name: array for name, array in _known_arrays(model, state_dict).items() if name.startswith(prefix)}
    for name in expected.keys() - found.keys():
        default = _STATISTICS.get(name.rsplit(".", 1)[-1])
        if default is not None:
            found[name] = np.full(tuple(expected[name].shape), default, np.float32)
    check_names(expected, found)
    check_kinds(found)
    values = {name: _keras_layout(name, found[name], variable) for name, variable in expected.items()}
    for name, variable in expected.items():
        variable.assign(values[name])


def detectron2_names_of(model: KeypointRcnn) -> dict[str, keras.Variable]:
    """Returns the variables of a model by their names in Detectron2.

    Raises:
        ValueError: The model was built with batch normalization, which Detectron2's weights do not have.
    """
    if model.settings.normalization != "frozen":
        raise ValueError(
            f"normalization must be 'frozen' for Detectron2's weights, got {model.settings.normalization!r}."
        )
    return {
        f"{layer_name}.{_WEIGHT_NAMES[variable.name]}": variable
        for layer_name, layer in _layers_by_name(model)
        for variable in layer.weights
    }


def _layers_by_name(model: KeypointRcnn) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields the layers that have weights, each with its name in Detectron2."""
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
        name: bool(IGNORED_TENSORS.fullmatch(name)) or (model.keypoint_head is None and name.startswith(_KEYPOINT_HEAD))
        for name in state_dict
    }
    return {name: np.asarray(array) for name, array in state_dict.items() if not is_ignored[name]}


def _keras_layout(name: str, array: np.ndarray, variable: keras.Variable) -> np.ndarray:
    """Returns Detectron2's array in the layout of the variable."""
    expected = _detectron2_shape(name, variable)
    if array.shape != expected:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must hold finite numbers, got infinity or not-a-number.")
    if _reads_flattened_maps(name):
        # Detectron2 flattens the pooled features with the channels first, this library with the channels last.
        channels = array.shape[1] // BOX_POOLED_SIZE**2
        maps = array.reshape(-1, channels, BOX_POOLED_SIZE, BOX_POOLED_SIZE)
        return maps.transpose(2, 3, 1, 0).reshape(array.shape[::-1])
    if array.ndim == 4:
        # (out, in, h, w) becomes (h, w, in, out), a transposed kernel (in, out, h, w) becomes (h, w, out, in).
        return array.transpose(2, 3, 1, 0)
    return array.T


def _detectron2_shape(name: str, variable: keras.Variable) -> tuple[int, ...]:
    shape = tuple(variable.shape)
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]


def _reads_flattened_maps(name: str) -> bool:
    return name == "roi_heads.box_head.fc1.weight"
