"""Loads arrays under the names of a public network into the layers of this library."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import keras
import numpy as np
from keras import layers

from tfpose.pretrained.weight_names import check_kinds, check_names

# Counters that only PyTorch uses.
_COUNTER = re.compile(r"(.*\.)?num_batches_tracked")


class WeightNames(Protocol):
    """How public files name the weights of a network."""

    def canonical(self, name: str) -> str:
        """Returns the name of a tensor without what depends on the code that wrote the file."""

    def load(self, model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets the weights of a model from arrays under their published names. An error changes nothing.

        Raises:
            ValueError: An array is missing, superfluous or has another shape; the message names it.
        """


@dataclasses.dataclass(frozen=True)
class PublishedNames:
    """How a public network names what a model of this library has.

    Attributes:
        network: Function that builds such models, for messages.
        layers: Pairs of a pattern for whole names of layers and the published name, which may refer to the groups of
            the pattern.
        prefixes: Beginnings of published names that wrappers add; they are dropped.
        ignored: Pattern for published names of what the model does not have.
        mean: Published name of a running mean.
        variance: Published name of a running variance.
    """

    network: str
    layers: tuple[tuple[str, str], ...]
    prefixes: tuple[str, ...] = ()
    ignored: str = r"(?!)"
    mean: str = "running_mean"
    variance: str = "running_var"

    def canonical(self, name: str) -> str:
        """Drops the prefixes of wrappers."""
        while name.startswith(self.prefixes):
            name = next(name.removeprefix(prefix) for prefix in self.prefixes if name.startswith(prefix))
        return name

    def of_layer(self, layer_name: str) -> str | None:
        """Returns the published name of a layer; None if it has none."""
        for pattern, replacement in self.layers:
            match = re.fullmatch(pattern, layer_name)
            if match:
                return match.expand(replacement)
        return None

    def of_weights(self, model: keras.Model) -> dict[str, tuple[keras.layers.Layer, keras.Variable]]:
        """Returns the layers and variables of a model by their published names.

        Raises:
            ValueError: A layer has no published name; the message names it.
        """
        ends = {
            "kernel": "weight",
            "gamma": "weight",
            "beta": "bias",
            "bias": "bias",
            "moving_mean": self.mean,
            "moving_variance": self.variance,
        }
        found = {}
        for layer in model.layers:
            name = self.of_layer(layer.name) if layer.weights else ""
            if name is None:
                raise ValueError(
                    f"model {model.name} must be a {self.network}, got one with a layer {layer.name}, "
                    "which has no counterpart in the published network."
                )
            for variable in layer.weights:
                found[f"{name}.{ends[variable.name]}"] = layer, variable
        return found

    def load(self, model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets the weights of a model, see `load_published_arrays`."""
        load_published_arrays(model, arrays, self)


def load_published_arrays(model: keras.Model, arrays: Mapping[str, np.ndarray], names: PublishedNames) -> None:
    """Sets the weights of a model from arrays under the names of a public network. An error changes nothing.

    Args:
        model: Model of this library.
        arrays: Arrays by name in the layout of PyTorch and Paddle: kernels (out, in, h, w), transposed ones
            (in, out, h, w), depthwise ones (out, 1, h, w).
        names: How the public network names the weights.

    Raises:
        ValueError: An array is missing, superfluous or has another shape; the message names it.
    """
    expected = names.of_weights(model)
    found: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        canonical = names.canonical(name)
        if _COUNTER.fullmatch(canonical) or re.fullmatch(names.ignored, canonical):
            continue
        if canonical in found:
            raise ValueError(f"{name}: there are two arrays for {canonical}.")
        found[canonical] = np.asarray(array)
    check_names(expected, found)
    check_kinds(found)
    values = {}
    for name, (layer, variable) in expected.items():
        axes = _published_axes(layer, found[name].ndim)
        values[name] = found[name].transpose(axes) if axes else found[name]
        if values[name].shape != tuple(variable.shape):
            raise ValueError(
                f"{name} must have shape {_published_shape(variable.shape, axes)}, got {found[name].shape}."
            )
    for name, (_, variable) in expected.items():
        variable.assign(values[name])


def _published_axes(layer: keras.layers.Layer, num_axes: int) -> tuple[int, ...]:
    """Returns the published axis of each axis of a kernel; () for what is no kernel."""
    if num_axes != 4:
        return ()
    return (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)


def _published_shape(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    if len(shape) != 4:
        return tuple(shape)
    order = axes or (2, 3, 1, 0)
    return tuple(shape[order.index(axis)] for axis in range(4))
