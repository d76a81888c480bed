"""Networks for inference without channel shuffles.

A shuffle moves every number of a tensor; on CPUs the shuffles of a PP-TinyPose take longer than its convolutions.
Without shuffles, the channels have a different order, so the kernels of the convolutions that read the channels are
permuted once. Where a convolution reads only half of the channels, its kernel has zeros for the other half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers

from tfpose.models.batch_norm import renew_input
from tfpose.models.tinypose import AlignedUpsampling, InterleaveChannels, SplitChannels

# Layers that treat all channels alike.
_PRESERVING = (layers.ReLU, layers.ZeroPadding2D, layers.UpSampling2D, AlignedUpsampling, layers.DepthwiseConv2D)
# LiteRT's fast operators (XNNPACK) join so many tensors at most.
_MOST_JOINED = 5
# Stands in an order for a channel that no layer reads.
_UNREAD = -1
# The replacement of each original tensor, and the order of its channels, by the `id` of the original.
Tensors = dict[int, KerasTensor]
Orders = dict[int, np.ndarray]


class _Order:
    """In which order the channels of a tensor lie."""

    def __init__(self, channels: np.ndarray | None = None) -> None:
        self._channels, self._leader = channels, self

    @property
    def channels(self) -> np.ndarray | None:
        """For each place the channel of the original tensor, or `_UNREAD`; None if any order will do."""
        return self._last._channels

    @property
    def _last(self) -> _Order:
        return self if self._leader is self else self._leader._last

    def follow(self, other: _Order) -> None:
        """Makes a free order the same as another, now and later."""
        if self._last is not other._last:
            self._last._leader = other._last

    def fix(self, num_channels: int, is_reversed: bool = False) -> np.ndarray:
        """Returns the order; one that may be chosen becomes that of the original, or its reverse."""
        channels = self.channels
        if channels is None:
            channels = self._last._channels = np.arange(num_channels)[:: -1 if is_reversed else 1]
        return channels


def drop_shuffles(model: keras.Model) -> keras.Model:
    """Builds a network without `SplitChannels` and `InterleaveChannels` that computes the same.

    Args:
        model: Functional model, each layer of which is called once.

    Returns:
        A model with the same inputs, outputs and layer names, whose outputs are the same to rounding; `model` itself if
        it has no shuffles. The weights are copied.
    """
    if not any(isinstance(layer, InterleaveChannels) for layer in model.layers):
        return model
    orders = _plan(model)
    tensors: Tensors = {}
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            tensors[id(layer.output)] = renew_input(layer.output)
            continue
        build = next((build for kind, build in _BUILDERS.items() if isinstance(layer, kind)), _build_other)
        built = build(layer, tensors, orders)
        for original, tensor in zip(_flat(layer.output), _flat(built), strict=True):
            tensors[id(original)] = tensor

    inputs = keras.tree.map_structure(lambda tensor: tensors[id(tensor)], model.input)
    outputs = keras.tree.map_structure(
        lambda tensor: _in_order(tensor, np.arange(tensor.shape[-1]), f"{model.name}_order", tensors, orders),
        model.output,
    )
    return keras.Model(inputs, outputs, name=model.name)


def _plan(model: keras.Model) -> Orders:
    """Chooses the order of the channels of every tensor."""
    orders: dict[int, _Order] = {}
    for layer in model.layers:
        inputs = [] if isinstance(layer, layers.InputLayer) else _flat(layer.input)
        before = [orders[id(tensor)] for tensor in inputs]
        after: list[_Order]
        if isinstance(layer, SplitChannels):
            after = _halves(before[0].fix(inputs[0].shape[-1]))
        elif isinstance(layer, InterleaveChannels):
            num_channels = inputs[0].shape[-1]
            first = _read(before[0].fix(num_channels))
            # The next split takes the first half, so the first half of both lies together where it can.
            second = _read(before[1].fix(num_channels, is_reversed=first[-1] >= num_channels // 2))
            after = [_Order(np.concatenate([2 * first, 2 * second + 1]))]
        elif isinstance(layer, layers.Add):
            after = [_common_order(before)]
        elif isinstance(layer, _PRESERVING) and (before[0].channels is None or (before[0].channels != _UNREAD).all()):
            after = before
        elif isinstance(layer, _PRESERVING):
            after = [_Order(_read(before[0].fix(inputs[0].shape[-1])))]
        elif isinstance(layer, layers.Conv2D) and layer.groups == 1:
            before[0].fix(inputs[0].shape[-1])
            after = [_Order()]
        else:
            for order, tensor in zip(before, inputs, strict=True):
                order.fix(tensor.shape[-1])
            after = [_Order(np.arange(tensor.shape[-1])) for tensor in _flat(layer.output)]
        orders |= {id(tensor): order for tensor, order in zip(_flat(layer.output), after, strict=True)}
    tensors = [tensor for layer in model.layers for tensor in _flat(layer.output)]
    return {id(tensor): orders[id(tensor)].fix(tensor.shape[-1]) for tensor in tensors}


def _common_order(orders: list[_Order]) -> _Order:
    """Returns the order of a sum: free orders follow the first that is not, or each other."""
    fixed = [_Order(_read(order.channels)) for order in orders if order.channels is not None]
    common = fixed[0] if fixed else orders[0]
    for order in orders:
        if order.channels is None:
            order.follow(common)
    return common


def _halves(channels: np.ndarray) -> list[_Order]:
    """Returns the orders of both halves of the channels, where they lie among all."""
    half = np.count_nonzero(channels != _UNREAD) // 2
    first = np.where(channels < half, channels, _UNREAD)
    second = np.where(channels >= half, channels - half, _UNREAD)
    return [_Order(first), _Order(second)]


def _read(channels: np.ndarray) -> np.ndarray:
    return channels[channels != _UNREAD]


def _flat(structure: Any) -> list[KerasTensor]:
    return keras.tree.flatten(structure)


def _build_split(layer: SplitChannels, tensors: Tensors, orders: Orders) -> list[KerasTensor]:
    del orders
    return [tensors[id(layer.input)]] * 2


def _build_interleave(layer: InterleaveChannels, tensors: Tensors, orders: Orders) -> KerasTensor:
    pieces = [piece for tensor in layer.input for piece in _pieces(tensor, tensors, orders)]
    while len(pieces) > _MOST_JOINED:
        pieces = [layers.Concatenate()(pieces[:_MOST_JOINED]), *pieces[_MOST_JOINED:]]
    return layers.Concatenate(dtype=layer.dtype_policy, name=layer.name)(pieces)


def _build_add(layer: layers.Add, tensors: Tensors, orders: Orders) -> KerasTensor:
    wanted = orders[id(layer.output)]
    terms = [
        _in_order(tensor, wanted, f"{layer.name}_order{index}", tensors, orders)
        for index, tensor in enumerate(layer.input)
    ]
    return layer.__class__.from_config(layer.get_config())(terms)


def _build_depthwise(layer: layers.DepthwiseConv2D, tensors: Tensors, orders: Orders) -> KerasTensor:
    channels = orders[id(layer.output)]
    kernel, *bias = layer.get_weights()
    weights = [kernel[:, :, channels], *(values[channels] for values in bias)]
    return _call_copy(layer, _whole(layer.input, tensors, orders), weights)


def _build_convolution(layer: layers.Conv2D, tensors: Tensors, orders: Orders) -> KerasTensor:
    if layer.groups > 1:
        return _build_other(layer, tensors, orders)
    channels, after = orders[id(layer.input)], orders[id(layer.output)]
    kernel, *bias = layer.get_weights()
    permuted = np.zeros((*kernel.shape[:2], len(channels), len(after)), kernel.dtype)
    is_read = channels != _UNREAD
    permuted[:, :, is_read] = kernel[:, :, channels[is_read]][..., after]
    return _call_copy(layer, tensors[id(layer.input)], [permuted, *(values[after] for values in bias)])


def _build_preserving(layer: layers.Layer, tensors: Tensors, orders: Orders) -> KerasTensor:
    return _call_copy(layer, _whole(layer.input, tensors, orders), layer.get_weights())


def _build_other(layer: layers.Layer, tensors: Tensors, orders: Orders) -> Any:
    inputs = [
        _in_order(tensor, np.arange(tensor.shape[-1]), f"{layer.name}_order{index}", tensors, orders)
        for index, tensor in enumerate(_flat(layer.input))
    ]
    return _call_copy(layer, inputs if isinstance(layer.input, list) else inputs[0], layer.get_weights())


# The first matching kind builds a layer; `_build_other` builds all other layers.
_BUILDERS: dict[Any, Callable[[Any, Tensors, Orders], Any]] = {
    SplitChannels: _build_split,
    InterleaveChannels: _build_interleave,
    layers.Add: _build_add,
    layers.DepthwiseConv2D: _build_depthwise,
    _PRESERVING: _build_preserving,
    layers.Conv2D: _build_convolution,
}


def _call_copy(layer: layers.Layer, inputs: Any, weights: list[np.ndarray]) -> Any:
    """Calls a copy of a layer with other weights."""
    copy = layer.__class__.from_config(layer.get_config())
    outputs = copy(inputs)
    copy.set_weights(weights)
    return outputs


def _pieces(tensor: KerasTensor, tensors: Tensors, orders: Orders) -> list[KerasTensor]:
    """Returns the channels that are read, as one piece for each run of places."""
    built, channels = tensors[id(tensor)], orders[id(tensor)]
    places = np.flatnonzero(channels != _UNREAD)
    if len(places) == len(channels):
        return [built]
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    return [built[..., run[0] : run[-1] + 1] for run in runs]


def _whole(tensor: KerasTensor, tensors: Tensors, orders: Orders) -> KerasTensor:
    """Returns the channels that are read as one tensor."""
    pieces = _pieces(tensor, tensors, orders)
    return pieces[0] if len(pieces) == 1 else layers.Concatenate()(pieces)


def _in_order(tensor: KerasTensor, wanted: np.ndarray, name: str, tensors: Tensors, orders: Orders) -> KerasTensor:
    """Returns a tensor with its channels in another order; a product with zeros and ones is the fastest way."""
    whole, channels = _whole(tensor, tensors, orders), _read(orders[id(tensor)])
    if np.array_equal(channels, wanted):
        return whole
    permutation = (channels[:, None] == wanted).astype(np.float32)
    convolution = layers.Conv2D(len(wanted), 1, use_bias=False, name=name)
    outputs = convolution(whole)
    convolution.set_weights([permutation[None, None]])
    return outputs
