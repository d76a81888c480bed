from __future__ import annotations

import csv
import functools
import os
import pathlib
import shutil
import socket
import types
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy_run
from program_runs import assert_one_line, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfpose import checkpoints
from tfpose.data.step_batches import without_autotuning
from tfpose.training import loop
from tfpose.training.loop import Hooks, OptimizationSettings, RunSettings, TrainingPlan, build_strategy, train
from tfpose.training.optimization import build_optimizer

SGD = functools.partial(OptimizationSettings, build_optimizer=keras.optimizers.SGD)


def train_toy(
    workdir: pathlib.Path,
    *,
    steps: int = 10,
    build_model: Callable = toy_run.build_model,
    compute_loss: Callable = toy_run.compute_loss,
    make_dataset: Callable = toy_run.make_dataset,
    optimization: OptimizationSettings | None = None,
    hooks: Hooks | None = None,
    **run: object,
) -> keras.Model:
    return train(
        TrainingPlan(
            build_model=build_model,
            compute_loss=compute_loss,
            make_dataset=make_dataset,
            hooks=hooks or Hooks(),
        ),
        strategy=build_strategy("one_device"),
        workdir=workdir,
        optimization=optimization or OptimizationSettings(0.01),
        run=RunSettings(total_steps=steps, **({"log_every": 1} | run)),
    )


def read_table(path: pathlib.Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def build_scalar_model() -> keras.Model:
    inputs = keras.Input((1,), name="x")
    return keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", name="scale")(inputs))


def compute_masked_error(model: keras.Model, batch: dict[str, tf.Tensor]) -> tuple[dict, dict]:
    outputs = tf.cast(model(batch["x"], training=True), tf.float32)
    total = tf.reduce_sum(batch["weight"] * outputs**2)
    return {"error": (total, tf.reduce_sum(batch["weight"]))}, {}


def repeat_batch(batch: dict[str, object], _: int, __: object) -> tf.data.Dataset:
    tensors = {k: tf.constant(v, tf.float32) for k, v in batch.items()}
    return without_autotuning(tf.data.Dataset.from_tensors(tensors).repeat())


def test_one_update_by_hand(tmp_path: pathlib.Path) -> None:
    # loss = mean over the weights of (w x)^2 = (1 * 4 + 3 * 9 + 0) / 4 at w = 1; gradient 2 * loss.
    batch = {"x": [[2.0], [3.0], [100.0]], "weight": [[1.0], [3.0], [0.0]]}
    model = train_toy(
        tmp_path,
        steps=1,
        build_model=build_scalar_model,
        compute_loss=compute_masked_error,
        make_dataset=functools.partial(repeat_batch, batch),
        optimization=SGD(0.01),
    )
    assert float(read_table(tmp_path / "train.csv")[0]["loss"]) == 31 / 4
    np.testing.assert_allclose(model.get_weights()[0], [[1 - 0.01 * 2 * 31 / 4]], rtol=1e-6)


def test_clipped_update_by_hand(tmp_path: pathlib.Path) -> None:
    model = train_toy(
        tmp_path,
        steps=1,
        build_model=build_scalar_model,
        compute_loss=compute_masked_error,
        make_dataset=functools.partial(repeat_batch, {"x": [[5.0]], "weight": [[1.0]]}),
        optimization=SGD(0.25, gradient_clip_norm=2.0),
    )
    np.testing.assert_allclose(model.get_weights()[0], [[1 - 0.25 * 2.0]], rtol=1e-6)
    assert float(read_table(tmp_path / "train.csv")[0]["gradient_norm"]) == 50.0


def test_nothing_visible_changes_nothing(tmp_path: pathlib.Path) -> None:
    model = train_toy(
        tmp_path,
        steps=2,
        build_model=build_scalar_model,
        compute_loss=compute_masked_error,
        make_dataset=functools.partial(repeat_batch, {"x": [[5.0]], "weight": [[0.0]]}),
        optimization=SGD(0.1),
    )
    assert [row["loss"] for row in read_table(tmp_path / "train.csv")] == ["0.0", "0.0"]
    assert model.get_weights()[0] == [[1.0]]


def test_update_is_that_of_keras_adam(tmp_path: pathlib.Path) -> None:
    batch = {"x": [[2.0], [3.0]], "weight": [[1.0], [1.0]]}
    model = train_toy(
        tmp_path,
        steps=5,
        build_model=build_scalar_model,
        compute_loss=compute_masked_error,
        make_dataset=functools.partial(repeat_batch, batch),
        optimization=OptimizationSettings(0.01, learning_rate_drops=((3, 0.1),)),
    )
    weight = keras.Variable([[1.0]])
    optimizer = build_optimizer(OptimizationSettings(0.01, learning_rate_drops=((3, 0.1),)), [weight])
    for _ in range(5):
        optimizer.apply([13.0 * weight.value])
    np.testing.assert_allclose(model.get_weights()[0], weight.numpy(), rtol=1e-6)
    rates = [float(row["learning_rate"]) for row in read_table(tmp_path / "train.csv")]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.01, 0.001, 0.001], rtol=1e-6)


def test_seed_decides_the_losses(tmp_path: pathlib.Path) -> None:
    losses = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_toy(tmp_path / name, steps=3, seed=seed)
        losses.append([row["loss"] for row in read_table(tmp_path / name / "train.csv")])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_rows_average_the_steps_since_the_last_row(tmp_path: pathlib.Path) -> None:
    train_toy(tmp_path / "each", steps=6)
    train_toy(tmp_path / "third", steps=6, log_every=3)
    each = [float(row["loss"]) for row in read_table(tmp_path / "each" / "train.csv")]
    third = [float(row["loss"]) for row in read_table(tmp_path / "third" / "train.csv")]
    np.testing.assert_allclose(third, [np.mean(each[:3]), np.mean(each[3:])], rtol=1e-12)


def test_pretrained_weights_are_loaded_once(tmp_path: pathlib.Path) -> None:
    calls = []

    def initialize(model: keras.Model) -> None:
        calls.append(model.layers[-1].get_weights()[1].copy())
        model.layers[-1].bias.assign([5.0] * toy_run.NUM_JOINTS)

    averages = []

    def evaluate(model: keras.Model, *_: object) -> dict[str, float]:
        averages.append(float(model.layers[-1].bias.numpy()[0]))
        return {"bias": averages[-1]}

    for steps in (2, 4):
        train_toy(
            tmp_path,
            steps=steps,
            optimization=OptimizationSettings(1e-4, ema_decay=0.9),
            hooks=Hooks(initialize=initialize, evaluate=evaluate),
        )
    assert len(calls) == 1
    assert all(4.9 < value <= 5.0 for value in averages)


def test_not_a_number_stops_the_run_before_it_is_saved(tmp_path: pathlib.Path) -> None:
    def make_dataset(start: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        def spoil(index: tf.Tensor, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            factor = tf.where(index == 6, np.nan, 1.0)
            return batch | {"target": batch["target"] * tf.cast(factor, tf.float32)}

        return toy_run.make_dataset(start, context).enumerate(start).map(spoil)

    with pytest.raises(FloatingPointError) as caught:
        train_toy(tmp_path, steps=20, make_dataset=make_dataset, checkpoint_every=5, log_every=10)
    message = str(caught.value)
    assert "loss is nan at step 7" in message
    assert message.endswith("step_00000005.npz") and "\n" not in message
    assert [p.name for p in checkpoints.list_checkpoints(tmp_path)] == ["step_00000005.npz"]
    assert not (tmp_path / checkpoints.FINAL_WEIGHTS_NAME).exists()


def test_infinite_gradient_of_a_finite_loss_stops_the_run(tmp_path: pathlib.Path) -> None:
    def compute_loss(model: keras.Model, batch: dict[str, tf.Tensor]) -> tuple[dict, dict]:
        return {"root": (tf.reduce_sum(tf.sqrt(0.0 * model(batch["image"]))), tf.constant(1.0))}, {}

    with pytest.raises(FloatingPointError, match="gradient_norm is nan at step 1; there is no checkpoint"):
        train_toy(tmp_path, compute_loss=compute_loss, checkpoint_every=1, log_every=5)
    assert checkpoints.list_checkpoints(tmp_path) == []


def test_an_update_to_infinity_is_not_saved(tmp_path: pathlib.Path) -> None:
    """The loss of the last step is a number; its update makes weights that are none."""

    def compute_loss(model: keras.Model, batch: dict[str, tf.Tensor]) -> tuple[dict, dict]:
        return {"sum": (1e3 * tf.reduce_sum(model(batch["image"])), tf.constant(1.0))}, {}

    settings = OptimizationSettings(3e38, optimizer="sgd")
    with pytest.raises(FloatingPointError, match=r"model/\S+ is not finite after step 1; there is no checkpoint"):
        train_toy(tmp_path, steps=1, compute_loss=compute_loss, optimization=settings)
    assert checkpoints.list_checkpoints(tmp_path) == []
    assert not (tmp_path / checkpoints.FINAL_WEIGHTS_NAME).exists()


def test_an_error_of_an_evaluation_names_the_step(tmp_path: pathlib.Path) -> None:
    def evaluate(model: keras.Model, step: int, share: object) -> dict[str, float]:
        raise ValueError("scores must be finite")

    with pytest.raises(ValueError, match="^evaluation after step 2: scores must be finite$"):
        train_toy(tmp_path, steps=4, evaluate_every=2, hooks=Hooks(evaluate=evaluate))


def test_float16_overflow_skips_the_update_and_halves_the_scale(tmp_path: pathlib.Path) -> None:
    # The scaled gradient is x = 3 times the scale: 98304 at first, above the largest float16, 65504; then 49152.
    def compute_loss(model: keras.Model, batch: dict[str, tf.Tensor]) -> tuple[dict, dict]:
        outputs = tf.cast(model(batch["x"], training=True), tf.float32)
        return {"sum": (tf.reduce_sum(outputs), tf.constant(1.0))}, {}

    model = train_toy(
        tmp_path,
        steps=3,
        build_model=build_scalar_model,
        compute_loss=compute_loss,
        make_dataset=functools.partial(repeat_batch, {"x": [[3.0]]}),
        optimization=SGD(0.125, precision="mixed_float16"),
    )
    rows = read_table(tmp_path / "train.csv")
    assert [row["loss_scale"] for row in rows] == ["32768.0", "16384.0", "16384.0"]
    assert [row["loss"] for row in rows] == ["3.0", "3.0", "1.875"]
    assert rows[0]["gradient_norm"] == "nan" and rows[1]["gradient_norm"] == "3.0"
    assert model.get_weights()[0] == [[1 - 2 * 0.125 * 3]]
    values, _ = checkpoints.read_checkpoint(checkpoints.list_checkpoints(tmp_path)[-1])
    assert values["optimizer/iteration"] == 2
    assert values["loss_scale/scale"] == 16384


def test_float16_still_stops_at_a_loss_that_is_not_finite(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FloatingPointError, match="loss is nan at step 1"):
        train_toy(
            tmp_path,
            build_model=build_scalar_model,
            compute_loss=compute_masked_error,
            make_dataset=functools.partial(repeat_batch, {"x": [[np.nan]], "weight": [[1.0]]}),
            optimization=SGD(0.1, precision="mixed_float16"),
        )


def test_float16_stops_where_no_scale_helps(tmp_path: pathlib.Path) -> None:
    """Before, it skipped all further updates, and the run ended with weights that had not learned."""

    def compute_loss(model: keras.Model, batch: dict[str, tf.Tensor]) -> tuple[dict, dict]:
        return {"root": (tf.reduce_sum(tf.sqrt(0.0 * tf.cast(model(batch["x"]), tf.float32))), tf.constant(1.0))}, {}

    with pytest.raises(FloatingPointError, match="gradient_norm is nan at step 16"):
        train_toy(
            tmp_path,
            steps=20,
            build_model=build_scalar_model,
            compute_loss=compute_loss,
            make_dataset=functools.partial(repeat_batch, {"x": [[3.0]]}),
            optimization=SGD(0.1, precision="mixed_float16"),
        )


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_learns_and_keeps_float32_weights(tmp_path: pathlib.Path, precision: str) -> None:
    model = train_toy(tmp_path, steps=60, optimization=OptimizationSettings(0.01, precision=precision))
    losses = [float(row["loss"]) for row in read_table(tmp_path / "train.csv")]
    assert losses[-1] < 0.5 * losses[0]
    assert model.layers[1].compute_dtype == precision.removeprefix("mixed_")
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert keras.mixed_precision.global_policy().name == "float32"


def test_averages_are_evaluated_and_exported(tmp_path: pathlib.Path) -> None:
    seen = []

    def evaluate(model: keras.Model, *_: object) -> dict[str, float]:
        seen.append(model.get_weights()[0].copy())
        return {"score": float(len(seen))}

    model = train_toy(
        tmp_path,
        steps=20,
        optimization=OptimizationSettings(0.05, ema_decay=0.99),
        hooks=Hooks(evaluate=evaluate),
        best_metric="score",
    )
    last = model.get_weights()[0].copy()
    assert np.abs(last - seen[-1]).max() > 1e-3
    for name in (checkpoints.FINAL_WEIGHTS_NAME, checkpoints.BEST_WEIGHTS_NAME):
        model.load_weights(tmp_path / name)
        np.testing.assert_array_equal(model.get_weights()[0], seen[-1])
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    checkpoints.load_for_inference(model, tmp_path, "best")
    np.testing.assert_array_equal(model.get_weights()[0], seen[-1])


@pytest.mark.parametrize(("higher_is_better", "best_step"), [(True, 4), (False, 6)])
def test_best_evaluation_is_kept(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], higher_is_better: bool, best_step: int
) -> None:
    scores = {2: 0.5, 4: 0.9, 6: 0.1, 8: float("nan"), 10: 0.4}
    train_toy(
        tmp_path,
        steps=10,
        hooks=Hooks(evaluate=lambda _, step, __: {"ap": scores[step]}),
        evaluate_every=2,
        best_metric="ap",
        higher_is_better=higher_is_better,
        checkpoint_every=3,
        max_to_keep=1,
    )
    best = checkpoints.find_best_checkpoint(tmp_path)
    assert best is not None
    assert best[1].best == {"metric": "ap", "value": scores[best_step]}
    assert [checkpoints.parse_step(p) for p in checkpoints.list_checkpoints(tmp_path)] == [best_step, 10]
    assert [int(row["step"]) for row in read_table(tmp_path / "eval.csv")] == list(scores)
    assert capsys.readouterr().err.count("note: ap is not a number at step 8, so this step is not marked as the") == 1


def test_values_of_another_best_metric_are_not_compared(tmp_path: pathlib.Path) -> None:
    hooks = Hooks(evaluate=lambda *_: {"ap": 30.0, "pck": 60.0})
    train_toy(tmp_path, steps=2, hooks=hooks, best_metric="pck")
    train_toy(tmp_path, steps=4, hooks=hooks, best_metric="ap")
    best = checkpoints.find_best_checkpoint(tmp_path)
    assert best is not None
    assert (best[1].step, best[1].best) == (4, {"metric": "ap", "value": 30.0})


def test_values_on_other_validation_data_are_not_compared(tmp_path: pathlib.Path, capsys) -> None:
    for steps, value, measured_on in ((2, 60.0, "a"), (4, 30.0, "b"), (6, 20.0, "b")):
        hooks = Hooks(evaluate=lambda *_, value=value: {"ap": value}, measured_on=measured_on)
        train_toy(tmp_path, steps=steps, hooks=hooks, best_metric="ap")
    best = checkpoints.find_best_checkpoint(tmp_path)
    assert best is not None
    assert (best[1].step, best[1].best) == (4, {"metric": "ap", "value": 30.0, "measured_on": "b"})
    assert capsys.readouterr().err.count("its ap 60.0 does not count any more") == 1


def test_unknown_best_metric_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"run\.best_metric must be one of the metrics of this run, ap, got 'map'"):
        train_toy(tmp_path, hooks=Hooks(evaluate=lambda *_: {"ap": 1.0}), best_metric="map")


def test_a_best_metric_of_another_system_is_refused_before_the_first_step(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="run.best_metric must be one of the metrics of this run, AP, got 'box_AP'"):
        train_toy(tmp_path, hooks=Hooks(evaluate=lambda *_: {"AP": 1.0}, metrics=("AP",)), best_metric="box_AP")
    assert not (tmp_path / "train.csv").exists()


def test_evaluation_missed_by_a_killed_run_is_made_up(tmp_path: pathlib.Path) -> None:
    evaluated = []

    def evaluate(_: keras.Model, step: int, __: object) -> dict[str, float]:
        evaluated.append(step)
        if len(evaluated) == 1:
            raise RuntimeError("killed here")
        return {"ap": 1.0}

    run = {"hooks": Hooks(evaluate=evaluate), "evaluate_every": 4, "checkpoint_every": 4, "steps": 8}
    with pytest.raises(RuntimeError, match="killed here"):
        train_toy(tmp_path, **run)
    train_toy(tmp_path, **run)
    assert evaluated == [4, 4, 8]
    train_toy(tmp_path, **run)
    assert evaluated == [4, 4, 8]


def test_best_weights_missed_by_a_killed_run_are_made_up(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is marked as the best already, so the repeated evaluation is not better than it."""

    def die(*_: object) -> None:
        raise RuntimeError("killed here")

    run = {"hooks": Hooks(evaluate=lambda *_: {"ap": 1.0}), "evaluate_every": 4, "best_metric": "ap", "steps": 8}
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "write_weights", die)
        with pytest.raises(RuntimeError, match="killed here"):
            train_toy(tmp_path, **run)
    assert not (tmp_path / checkpoints.BEST_WEIGHTS_NAME).exists()
    train_toy(tmp_path, **run)
    model = toy_run.build_model()
    assert checkpoints.load_for_inference(model, tmp_path, "best").name == "step_00000004.npz"
    best = toy_run.build_model()
    best.load_weights(tmp_path / checkpoints.BEST_WEIGHTS_NAME)
    for expected, found in zip(model.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(expected, found)


def test_a_file_as_the_work_folder_is_named(tmp_path: pathlib.Path) -> None:
    workdir = tmp_path / "run"
    workdir.write_text("")
    config = ("--config=two_stage_resnet18_synthetic", "--config.strategy=one_device")
    result = run("train_main.py", *config, f"--workdir={workdir}")
    assert_one_line(result, f"--workdir={workdir}: must be a folder, got a file")


def test_weights_without_checkpoints_are_not_replaced(tmp_path: pathlib.Path) -> None:
    """Such as an imported work folder, or a finished run whose checkpoints were deleted to save space."""
    train_toy(tmp_path, steps=2)
    before = (tmp_path / "train.csv").read_text()
    shutil.rmtree(tmp_path / checkpoints.DIRECTORY_NAME)
    with pytest.raises(ValueError, match="must hold the checkpoints of the run that wrote model.weights.h5, got none"):
        train_toy(tmp_path, steps=2)
    assert (tmp_path / "train.csv").read_text() == before


def test_a_second_training_in_the_folder_is_refused_by_the_process_of_the_first(tmp_path: pathlib.Path) -> None:
    refused = []

    def evaluate(*_: object) -> dict[str, float]:
        with pytest.raises(BlockingIOError) as caught:
            train_toy(tmp_path, steps=1)
        refused.append(str(caught.value))
        return {"ap": 1.0}

    train_toy(tmp_path, steps=1, hooks=Hooks(evaluate=evaluate))
    holder = f"host {socket.gethostname()}, process {os.getpid()}"
    assert refused == [f"{tmp_path}: must be the work folder of one training at a time, got {holder}"]
    train_toy(tmp_path, steps=2)


def test_another_precision_continues(tmp_path: pathlib.Path) -> None:
    """As on another GPU with the precision "auto"; only float16 has a loss scale."""
    for steps, precision, scale in ((2, "float32", None), (4, "mixed_float16", 32768), (6, "mixed_bfloat16", None)):
        train_toy(tmp_path, steps=steps, optimization=OptimizationSettings(0.01, precision=precision))
        values, _ = checkpoints.read_checkpoint(checkpoints.list_checkpoints(tmp_path)[-1])
        assert values.get("loss_scale/scale") == scale


def test_other_network_does_not_continue(tmp_path: pathlib.Path) -> None:
    train_toy(tmp_path, steps=1)
    with pytest.raises(ValueError, match=r"model/features/kernel must be \(3, 3, 3, 6\), got \(3, 3, 3, 4\)"):
        train_toy(tmp_path, steps=2, build_model=functools.partial(toy_run.build_model, filters=6))
    with pytest.raises(ValueError, match=r"ema/features/kernel must be \(3, 3, 3, 4\), got no such variable"):
        train_toy(tmp_path, steps=2, optimization=OptimizationSettings(0.1, ema_decay=0.9))


def test_a_run_describes_itself_unless_it_is_refused(tmp_path: pathlib.Path) -> None:
    described = []
    hooks = Hooks(describe=described.append)
    train_toy(tmp_path, steps=2, hooks=hooks)
    train_toy(tmp_path, steps=3, hooks=hooks)
    assert described == [tmp_path, tmp_path]
    with pytest.raises(ValueError):
        train_toy(tmp_path, steps=4, build_model=build_scalar_model, hooks=hooks)
    assert len(described) == 2


def test_short_dataset_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="the dataset must last for 10 steps, got 3"):
        train_toy(tmp_path, make_dataset=lambda *a: toy_run.make_dataset(*a).take(3))


def test_batch_that_does_not_divide_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="must divide .* equal parts, got 8 examples, accumulation_steps 3"):
        train_toy(tmp_path, optimization=OptimizationSettings(0.1, accumulation_steps=3))


def test_run_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="total_steps must be at least 1, got 0"):
        RunSettings(total_steps=0)
    with pytest.raises(ValueError, match="evaluate_every must be at least 1 or None, got 0"):
        RunSettings(total_steps=1, evaluate_every=0)


def test_full_disk_ends_the_run_with_earlier_checkpoints_whole(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    savez = np.savez

    def fail_later(*arguments: object, **arrays: object) -> None:
        if arrays["optimizer/iteration"] > 4:
            raise OSError(28, "No space left on device")
        savez(*arguments, **arrays)

    monkeypatch.setattr(np, "savez", fail_later)
    with pytest.raises(OSError, match="cannot write the checkpoint .No space left on device."):
        train_toy(tmp_path, checkpoint_every=4)
    assert [checkpoints.read_metadata(p).step for p in checkpoints.list_checkpoints(tmp_path)] == [4]


def test_curves_and_pictures_are_in_tensorboard(tmp_path: pathlib.Path) -> None:
    def draw(model: keras.Model, batch: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
        heatmaps = model(batch["image"])[..., :1].numpy()
        return {"heatmaps": np.repeat(np.uint8(np.clip(heatmaps, 0, 1) * 255), 3, axis=-1)}

    train_toy(
        tmp_path,
        steps=4,
        hooks=Hooks(draw_pictures=draw, evaluate=lambda *_: {"ap": 0.25}),
        pictures_every=2,
        evaluate_every=2,
    )
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    rows = read_table(tmp_path / "train.csv")
    losses = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("train/loss")]
    np.testing.assert_allclose(losses, [float(row["loss"]) for row in rows], rtol=1e-6)
    assert [event.step for event in events.Tensors("eval/ap")] == [2, 4]
    pictures = events.Tensors("pictures/heatmaps")
    assert [event.step for event in pictures] == [2, 4]
    picture = tf.io.decode_image(tf.make_ndarray(pictures[0].tensor_proto)[2])
    assert picture.shape == (8, 8, 3)


def test_variables_of_the_same_path_get_names_of_their_own() -> None:
    first, second = keras.Variable(1.0, name="a"), keras.Variable(2.0, name="a")
    assert checkpoints.name_variables([first, second]) == {"a": first, "a#2": second}


def test_memory_does_not_grow(tmp_path: pathlib.Path) -> None:
    sizes = []

    def measure(*_: object) -> dict[str, float]:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        sizes.append(pages * 4096 / 2**20)
        return {"megabytes": sizes[-1]}

    train_toy(tmp_path, steps=700, log_every=50, hooks=Hooks(evaluate=measure), evaluate_every=100)
    # A float kept for each step and example would be far below this, a batch far above it.
    batch_megabytes = toy_run.GLOBAL_BATCH * 8 * 8 * 3 * 4 * 2 / 2**20
    assert sizes[-1] - sizes[1] < 500 * batch_megabytes


def test_all_weights_at_the_start_are_compared_between_the_processes(monkeypatch):
    compared = []
    monkeypatch.setattr(
        loop, "check_same_everywhere", lambda _, values: compared.append(values["weights at the start"])
    )

    def compare(value):
        variables = {"model/a": tf.Variable([0.5, 2.0]), "optimizer/b": tf.Variable(value)}
        state = types.SimpleNamespace(named_variables=lambda: variables)
        loop._check_same_weights(build_strategy("one_device"), state)

    compare(0.0)
    assert not compared
    monkeypatch.setattr(loop, "count_processes", lambda _: 2)
    for value in (0.0, 1.0, 1.0):
        compare(value)
    assert compared[0] != compared[1] == compared[2]
