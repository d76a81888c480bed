"""The form in which a trained network is evaluated and exported: fewer layers, the same outputs to rounding."""

from __future__ import annotations

import keras

from tfpose.models.batch_norm import fold_batch_norm
from tfpose.models.channel_order import drop_shuffles


def simplify_network(model: keras.Model) -> keras.Model:
    """Builds the network for inference: batch normalization merged into convolutions, no channel shuffles.

    Args:
        model: Functional model of at least one layer, trained under any dtype policy.

    Returns:
        A model with the same inputs and outputs that computes in the dtype of the variables; see `fold_batch_norm` and
        `drop_shuffles`. The weights are copied.
    """
    return drop_shuffles(fold_batch_norm(model))
