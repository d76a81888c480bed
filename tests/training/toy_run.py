"""A small network and endless made-up data; as a program, one run in a process of its own."""

from __future__ import annotations

import argparse
import functools
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from tfpose.data.step_batches import without_autotuning
from tfpose.evaluation.shares import EvaluationShare
from tfpose.models.batch_norm import FusedBatchNormalization
from tfpose.training.loop import Hooks, OptimizationSettings, RunSettings, TrainingPlan, build_strategy, train

GLOBAL_BATCH = 8
NUM_JOINTS = 3
VARIANTS = {
    "plain": {},
    "compiled": {"jit_compile": True},
    "accumulated": {"accumulation_steps": 2},
    "clipped": {"gradient_clip_norm": 0.05, "ema_decay": 0.9},
    "muon": {"optimizer": "muon"},
}


def build_model(*, batch_norm: bool = False, filters: int = 4, hidden_filters: int = 0) -> keras.Model:
    """Two or three convolutions on 8 x 8 pictures."""
    images = inputs = keras.Input((8, 8, 3), name="image")
    features = keras.layers.Conv2D(filters, 3, padding="same", name="features")(images)
    if batch_norm:
        features = FusedBatchNormalization(name="norm")(features)
    features = keras.layers.ReLU(name="activation")(features)
    if hidden_filters:
        features = keras.layers.Conv2D(hidden_filters, 3, padding="same", activation="relu", name="hidden")(features)
    outputs = keras.layers.Conv2D(NUM_JOINTS, 1, dtype="float32", name="heatmaps")(features)
    return keras.Model(inputs, outputs)


def build_model_of(variant: str, *, batch_norm: bool = False) -> keras.Model:
    """The model of a variant: Muon only moves kernels between layers of many filters."""
    filters = {"filters": 16, "hidden_filters": 16} if variant == "muon" else {}
    return build_model(batch_norm=batch_norm, **filters)


def compute_loss(model: keras.Model, batch: dict[str, tf.Tensor]) -> tuple[dict, dict]:
    """Two terms whose weights differ in number and in how they fall on the examples."""
    heatmaps = model(batch["image"], training=True)
    errors = tf.reduce_mean((heatmaps - batch["target"]) ** 2, axis=(1, 2))  # [B, J]
    visible = batch["visible"]
    sizes = tf.reduce_sum(tf.abs(heatmaps), axis=(1, 2, 3)) / 100
    losses = {
        "joints": (tf.reduce_sum(errors * visible), tf.reduce_sum(visible)),
        "sizes": (tf.reduce_sum(sizes * visible[:, 0]), tf.reduce_sum(visible[:, 0])),
    }
    is_small = tf.cast(errors < 0.1, tf.float32)
    return losses, {"small_errors": (tf.reduce_sum(is_small * visible), tf.reduce_sum(visible))}


def make_global_batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
    """The examples of one step, from the step alone."""
    images = tf.random.stateless_uniform((GLOBAL_BATCH, 8, 8, 3), seed=(0, step))
    chances = tf.linspace(0.1, 0.95, GLOBAL_BATCH)[:, None]
    draws = tf.random.stateless_uniform((GLOBAL_BATCH, NUM_JOINTS), seed=(1, step))
    return {"image": images, "target": images[..., ::-1] * 2, "visible": tf.cast(draws < chances, tf.float32)}


def make_dataset(
    start_step: int, context: tf.distribute.InputContext, *, pause_seconds: float = 0.0
) -> tf.data.Dataset:
    """The batches of the replicas of one input pipeline."""
    per_replica = GLOBAL_BATCH // context.num_replicas_in_sync
    num_local = context.num_replicas_in_sync // context.num_input_pipelines

    def make_replica_batch(index: tf.Tensor) -> dict[str, tf.Tensor]:
        replica = context.input_pipeline_id * num_local + index % num_local
        batch = make_global_batch(index // num_local)
        rows = tf.range(per_replica, dtype=tf.int64) + replica * per_replica
        return {
            name: tf.ensure_shape(tf.gather(value, rows), (per_replica, *value.shape[1:]))
            for name, value in batch.items()
        }

    def wait(index: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.py_function(lambda i: (time.sleep(pause_seconds), i)[1], (index,), tf.int64), ())

    indices = tf.data.Dataset.range(start_step * num_local, 10**9)
    return without_autotuning((indices.map(wait) if pause_seconds else indices).map(make_replica_batch))


def evaluate(model: keras.Model, step: int, share: EvaluationShare) -> dict[str, float]:
    """Sums the network's answers to 7 examples, which the devices and workers share in batches of 2.

    Example n is there n % 3 times, as a picture has several people or none.
    """
    del step

    images = np.sin(np.arange(7 * 192)).reshape(7, 8, 8, 3).astype(np.float32)

    def answer(device: int, part: slice) -> tuple[np.ndarray, np.ndarray]:
        del device
        rows = np.arange(part.start, part.stop)
        rows = np.repeat(rows, rows % 3)
        return np.abs(model(images).numpy())[rows], rows

    answers, rows = share.run(7, 2, answer)
    assert rows.tolist() == [1, 2, 2, 4, 5, 5]
    # One batch: all devices but one have nothing to do.
    assert share.run(2, 2, answer)[1].tolist() == [1]
    return {"weight": float(answers.astype(np.float64).sum())}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--strategy", default="one_device")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--variants", nargs="+", default=["plain"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--log-every", type=int, default=1)
    parser.add_argument("--checkpoint-every", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--batch-norm", action="store_true")
    arguments = parser.parse_args()
    devices = [tf.config.LogicalDeviceConfiguration()] * arguments.cpus
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
    strategy = build_strategy(arguments.strategy)
    for variant in arguments.variants:
        train(
            TrainingPlan(
                build_model=functools.partial(build_model_of, variant, batch_norm=arguments.batch_norm),
                compute_loss=compute_loss,
                make_dataset=lambda step, context: make_dataset(step, context, pause_seconds=arguments.pause),
                hooks=Hooks(evaluate=evaluate),
            ),
            strategy=strategy,
            workdir=arguments.workdir / variant,
            optimization=OptimizationSettings(arguments.learning_rate, warmup_steps=5, **VARIANTS[variant]),
            run=RunSettings(
                total_steps=arguments.steps,
                log_every=arguments.log_every,
                checkpoint_every=arguments.checkpoint_every,
                evaluate_every=arguments.checkpoint_every,
                best_metric="weight",
            ),
        )


if __name__ == "__main__":
    main()
