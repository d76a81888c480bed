"""Measures the peak memory of a training run, and whether its memory grows with the steps.

python benchmarks/training_memory.py --data=data/coco_mini/coco_keypoints --steps=500
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
import resource
import tempfile
from collections.abc import Sequence

import tensorflow as tf
from absl import app, flags

from tfpose.data.augmentation import Augmentation
from tfpose.data.person_crops import PersonCrops
from tfpose.data.records import read_table
from tfpose.inference.keypoint_system import build_keypoint_system
from tfpose.training import two_stage
from tfpose.training.batches import make_dataset
from tfpose.training.loop import Hooks, OptimizationSettings, RunSettings, TrainingPlan, build_strategy, train

_DATA = flags.DEFINE_string("data", None, "Folder of a dataset that tfpose build wrote.", required=True)
_STEPS = flags.DEFINE_integer("steps", 500, "Number of steps to train.", lower_bound=200)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Number of examples in a step.")


def resident_mebibytes() -> float:
    """Memory in MiB that the process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def main(argv: Sequence[str]) -> None:
    """Trains a small network and prints the memory of the process by step."""
    del argv
    table = read_table(_DATA.value, "train")
    network = {"depth": 18, "input_size": (128, 96), "base_width": 32, "deconv_filters": 64}
    crop = {"margin_pixels": 0.0, "margin_scale": 1.25}
    system = build_keypoint_system(table.skeleton, network, crop, {}, {}, {})
    people = PersonCrops(table, table.skeleton, system.crop, Augmentation(0.5, 40.0, 1.0, (0.7, 1.3)))
    targets = two_stage.build_target_function(system.crop, system.heatmap_size, two_stage.TargetSettings(2.0))
    compute_loss = two_stage.build_loss(targets, system.normalization)
    readings: dict[int, float] = {}

    def read_memory(model: object, batch: dict[str, tf.Tensor]) -> dict:
        readings[50 * (len(readings) + 1)] = resident_mebibytes()
        return {}

    with tempfile.TemporaryDirectory() as workdir:
        train(
            TrainingPlan(
                build_model=system.build_network,
                compute_loss=compute_loss,
                make_dataset=functools.partial(make_dataset, people, _BATCH_SIZE.value),
                hooks=Hooks(draw_pictures=read_memory),
            ),
            strategy=build_strategy("one_device"),
            workdir=workdir,
            optimization=OptimizationSettings(learning_rate=1e-3),
            run=RunSettings(total_steps=_STEPS.value, log_every=50, checkpoint_every=100, pictures_every=50),
        )
    for step, value in readings.items():
        print(f"step {step:5}  {value:7.0f} MiB")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    growth = readings[max(readings)] - readings[min(s for s in readings if s >= 100)]
    print(f"peak {peak:.0f} MiB; growth from step 100 to step {max(readings)}: {growth:+.1f} MiB")


if __name__ == "__main__":
    app.run(main)
