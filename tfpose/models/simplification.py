"""The form in which a trained network is evaluated and exported: fewer layers, the same outputs to rounding."""

from __future__ import annotations

import keras

from tfpose.models.batch_norm import fold_batch_norm
from tfpose.models.bfloat16 import cast_to_bfloat16
from tfpose.models.channel_order import drop_shuffles
from tfpose.models.layer_norm import merge_layer_norms
from tfpose.models.unfilled import build_unfilled


def simplify_network(model: keras.Model, dtype: str = "float32") -> keras.Model:
    """Builds the network for inference: normalizations merged into other layers, no channel shuffles.

    Args:
        model: Functional model of at least one layer, trained under any dtype policy.
        dtype: "bfloat16" for a network that computes in bfloat16, see `cast_to_bfloat16`; "float32" for one that
            computes in the dtype of the variables, which is float32 under every policy but float64.

    Returns:
        A model with the same inputs and outputs; see `fold_batch_norm`, `drop_shuffles` and `merge_layer_norms`. The
        weights are copied.
    """
    # Scales of normalizations are merged in float32: kernels are rounded once, at the end.
    simple = build_unfilled(lambda: merge_layer_norms(drop_shuffles(fold_batch_norm(model))))
    return build_unfilled(lambda: cast_to_bfloat16(simple)) if dtype == "bfloat16" else simple
