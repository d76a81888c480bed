"""What is said about weights that a training starts from."""

from __future__ import annotations

import sys

import keras

from tfpose.models.batch_norm import lacks_statistics


def note_missing_statistics(network: keras.Model, source: str) -> None:
    """Prints a note if the batch normalizations of a network hold no statistics.

    Args:
        network: Network with the weights.
        source: Work folder or name of a public checkpoint that they are from.
    """
    if lacks_statistics(network):
        print(
            f"note: the batch normalizations of {source} hold no statistics, because its publisher merged them into "
            "the convolutions; training normalizes by the statistics of each batch, so the network starts far worse "
            "than it is evaluated",
            file=sys.stderr,
        )
