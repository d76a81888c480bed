"""Networks for inference in bfloat16, numbers with the range of float32 and 8 bits of precision.

Where a processor multiplies such numbers, large networks are several times as fast as in float32.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import keras
from keras import KerasTensor, layers

from tfpose.models.batch_norm import renew_input
from tfpose.models.output_layers import OutputLayer

_DTYPE = "bfloat16"
Dtype = Literal["float32", "bfloat16"]


def cast_to_bfloat16(
    model: keras.Model,
    exact: Collection[str] = (),
    input_dtype: Dtype = "float32",
    output_dtype: Dtype = "float32",
) -> keras.Model:
    """Builds the same network in bfloat16; its inputs and outputs stay in float32.

    The layers that write outputs compute in float32 (`OutputLayer`), and so do layers without weights that read nothing
    but such outputs: in bfloat16 a heatmap of 1 would have steps of 1/256. All other weights are kept in bfloat16, but
    for those of batch normalizations, whose fused kernel takes them in float32.

    Args:
        model: Functional model in float32, each layer of which is called once.
        exact: Names of further layers that compute in float32.
        input_dtype: Dtype of the inputs. Parts of a network can pass bfloat16 to each other.
        output_dtype: Dtype of the outputs; "bfloat16" keeps the dtype of the layers that write them.

    Returns:
        A model with the same inputs, outputs and layer names. The weights are copied. It is not compiled.
    """
    exact = _find_exact_layers(model).union(exact)

    def clone_layer(layer: keras.Operation) -> keras.Operation:
        config = layer.get_config()
        # Bare operations, such as slices, compute in the dtype of their inputs.
        if layer.name not in exact and isinstance(layer, layers.Layer):
            is_normalization = isinstance(layer, layers.BatchNormalization)
            config["dtype"] = f"mixed_{_DTYPE}" if is_normalization else _DTYPE
        return layer.__class__.from_config(config)

    # Cloning a compiled model would compile the copy.
    uncompiled = keras.Model(model.input, model.output, name=model.name)
    inputs = keras.tree.map_structure(lambda tensor: renew_input(tensor, input_dtype), model.input)
    cloned = keras.models.clone_model(uncompiled, input_tensors=inputs, clone_function=clone_layer)
    cloned.set_weights(model.get_weights())
    if output_dtype == _DTYPE:
        return cloned
    return keras.Model(cloned.input, keras.tree.map_structure(_in_float32, cloned.output), name=model.name)


def _find_exact_layers(model: keras.Model) -> set[str]:
    """Returns the names of the layers that compute in float32."""
    exact: set[str] = set()
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        sources = (tensor._keras_history.operation for tensor in keras.tree.flatten(layer.input))
        computed = {source.name for source in sources if not isinstance(source, layers.InputLayer)}
        if isinstance(layer, OutputLayer) or (computed and computed <= exact and not getattr(layer, "weights", [])):
            exact.add(layer.name)
    return exact


def _in_float32(tensor: KerasTensor) -> Any:
    """Returns an output of a network in float32."""
    if tensor.dtype == "float32":
        return tensor
    name = f"{tensor._keras_history.operation.name}_in_float32"
    return layers.Identity(dtype="float32", name=name)(tensor)
