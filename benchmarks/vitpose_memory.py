"""Peak memory of ViTPose in inference: the published sizes, each in a process of its own.

    python benchmarks/vitpose_memory.py [--record]

A process builds the network with random weights, makes its form for inference (both are in memory then, as in
`tfpose predict`), and runs batches of 256x192 crops. The memory of the process before the network is printed too.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from results_file import RECORD_HELP, record

from tfpose.models.pose_vit import PUBLISHED_SIZES, build_pose_vit
from tfpose.models.simplification import simplify_network

BATCHES = (1, 8)


def peak_gibibytes() -> float:
    """The peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run_one(size: str) -> None:
    """Prints the memory before the network and after each batch, in GiB."""
    print(f"{peak_gibibytes():.2f}")
    width, depth, num_heads = PUBLISHED_SIZES[size]
    network = build_pose_vit(17, width, depth, num_heads)
    network = simplify_network(network)
    predict = tf.function(lambda crops: network(crops, training=False), autograph=False, reduce_retracing=True)
    for batch in BATCHES:
        predict(tf.zeros((batch, 256, 192, 3)))
        print(f"{peak_gibibytes():.2f}", flush=True)


def main() -> None:
    """Measures all sizes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=tuple(PUBLISHED_SIZES), help="measure this size in this process")
    parser.add_argument("--record", action="store_true", help=RECORD_HELP)
    arguments = parser.parse_args()
    if arguments.size:
        run_one(arguments.size)
        return
    for size in PUBLISHED_SIZES:
        command = [sys.executable, __file__, f"--size={size}"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        base, *peaks = (float(line) for line in lines)
        described = ", ".join(f"batch {batch}: {peak:.2f} GiB" for batch, peak in zip(BATCHES, peaks, strict=True))
        print(f"{size}: {described} (before: {base:.2f} GiB)", flush=True)
        if arguments.record:
            record(
                {
                    f"vitpose_memory.{size}.batch_{batch}": ([peak], "GiB")
                    for batch, peak in zip(BATCHES, peaks, strict=True)
                }
            )


if __name__ == "__main__":
    main()
