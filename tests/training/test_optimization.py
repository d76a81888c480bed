from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpose.training.optimization import (
    LossScale,
    MomentumDescent,
    MovingAverage,
    OptimizationSettings,
    StepwiseSchedule,
    build_optimizer,
    idle_note,
    update_variables,
)


def test_rate_drops_at_the_given_steps() -> None:
    schedule = StepwiseSchedule(1e-3, drops=((60_000, 0.1), (80_000, 0.1)))
    rates = [float(schedule(step)) for step in (0, 59_999, 60_000, 79_999, 80_000, 90_000)]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rtol=1e-6)


def test_rate_rises_linearly_and_is_never_zero() -> None:
    schedule = StepwiseSchedule(0.8, warmup_steps=4)
    np.testing.assert_allclose([float(schedule(s)) for s in range(6)], [0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rtol=1e-6)
    schedule = StepwiseSchedule(0.8, warmup_steps=4, warmup_factor=0.5)
    np.testing.assert_allclose(float(schedule(0)), 0.8 * (0.5 + 0.5 / 4), rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cosine_steps": 6}, ""),
        ({"cosine_steps": 4}, "from step 4 on, so the last 2 of 6 steps train nothing; --config.optimization.cosine_"),
        ({"learning_rate_drops": ((2, 0.1), (3, 0.0))}, "from step 3 on"),
        ({"learning_rate_drops": ((6, 0.0),)}, ""),
        ({"learning_rate": 0.0}, "from step 0 on"),
    ],
)
def test_a_rate_of_zero_before_the_end_is_told(settings: dict, said: str) -> None:
    note = idle_note(OptimizationSettings(**{"learning_rate": 0.1} | settings), 6)
    assert said in note and bool(note) == bool(said)


def test_cosine_falls_to_zero_and_stays_there() -> None:
    schedule = StepwiseSchedule(0.8, warmup_steps=2, cosine_steps=4)
    expected = [0.4, 0.8 * (1 + np.sqrt(0.5)) / 2, 0.4, 0.8 * (1 - np.sqrt(0.5)) / 2, 0.0, 0.0]
    np.testing.assert_allclose([float(schedule(s)) for s in range(6)], expected, rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="cosine_steps must be at least 1, got 0"):
        StepwiseSchedule(0.8, cosine_steps=0)


def test_schedule_survives_its_config() -> None:
    schedule = StepwiseSchedule(0.1, ((3, 0.5),), 2, 0.1, 6)
    copy = StepwiseSchedule.from_config(schedule.get_config())
    assert [float(copy(s)) for s in range(5)] == [float(schedule(s)) for s in range(5)]


def test_negative_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="learning_rate, warmup_steps .* got -1"):
        StepwiseSchedule(-1.0)
    with pytest.raises(ValueError, match="learning_rate_drops must not be negative"):
        StepwiseSchedule(1.0, ((-5, 0.1),))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("precision", "float8"),
        ("accumulation_steps", 0),
        ("ema_decay", 1.0),
        ("gradient_clip_norm", 0.0),
        ("optimizer", "sdg"),
        ("momentum", 1.0),
        ("weight_decay", -1.0),
        ("layer_decay", 1.5),
    ],
)
def test_wrong_settings_are_named(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{setting} must be .*got .*{value}"):
        OptimizationSettings(0.1, **{setting: value})


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_weight_decay_requires_an_optimizer_that_decays(optimizer: str) -> None:
    with pytest.raises(ValueError, match=f"weight_decay requires optimizer sgd or adamw, got '{optimizer}'"):
        OptimizationSettings(0.1, optimizer=optimizer, weight_decay=0.5)


def test_adamw_is_that_of_keras() -> None:
    settings = OptimizationSettings(0.01, optimizer="adamw", weight_decay=0.3)
    rng = np.random.default_rng(0)
    start = rng.normal(size=(2, 5)).astype(np.float32)
    gradients = rng.normal(size=(4, 2, 5)).astype(np.float32)
    ours, theirs = (
        [keras.Variable(value, name=name) for value, name in zip(start, ("kernel", "gamma"), strict=True)]
        for _ in range(2)
    )
    optimizer = build_optimizer(settings, ours)
    reference = keras.optimizers.AdamW(0.01, weight_decay=0.3)
    reference.exclude_from_weight_decay(var_names=["gamma"])
    for gradient in gradients:
        update_variables(optimizer, [tf.constant(part) for part in gradient], ours)
        optimizer.iterations.assign_add(1)
        reference.apply([tf.constant(part) for part in gradient], theirs)
    for variable, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected.numpy(), rtol=2e-6)
    assert not np.allclose(ours[0].numpy(), start[0], atol=0.02)


def test_adamw_moves_early_layers_less_and_leaves_offsets_alone() -> None:
    """Expected: Keras' AdamW with a rate of its own for each variable."""
    settings = OptimizationSettings(
        0.01, optimizer="adamw", weight_decay=0.3, layer_decay=0.5, decay_offsets=False, warmup_steps=3
    )
    rng = np.random.default_rng(0)
    names, depths = ("kernel", "kernel", "bias", "positions", "gamma"), (0, 1, 2, 3, 1)
    start = rng.normal(size=(len(names), 5)).astype(np.float32)
    gradients = rng.normal(size=(4, len(names), 5)).astype(np.float32)
    ours, theirs = (
        [keras.Variable(value, name=name) for value, name in zip(start, names, strict=True)] for _ in range(2)
    )
    for variable, depth in zip(ours, depths, strict=True):
        variable.depth_below_head = depth
    optimizer = build_optimizer(settings, ours)
    references = []
    for variable, depth in zip(theirs, depths, strict=True):
        schedule = StepwiseSchedule(0.01 * 0.5**depth, warmup_steps=3)
        references.append(keras.optimizers.AdamW(schedule, weight_decay=0.3))
        references[-1].exclude_from_weight_decay(var_names=["bias", "positions", "gamma"])
        references[-1].build([variable])
    for gradient in gradients:
        update_variables(optimizer, [tf.constant(part) for part in gradient], ours)
        optimizer.iterations.assign_add(1)
        for reference, part, variable in zip(references, gradient, theirs, strict=True):
            reference.apply([tf.constant(part)], [variable])
    for variable, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected.numpy(), rtol=3e-6)


def test_layer_decay_needs_its_optimizer_and_its_network() -> None:
    with pytest.raises(ValueError, match="optimizer must be 'adamw' with layer_decay"):
        OptimizationSettings(0.1, optimizer="sgd", layer_decay=0.5)
    with pytest.raises(ValueError, match="optimizer must be 'adamw' with layer_decay or without decay_offsets"):
        OptimizationSettings(0.1, decay_offsets=False)
    settings = OptimizationSettings(0.1, optimizer="adamw", layer_decay=0.5)
    with pytest.raises(ValueError, match="layer_decay requires a network that tells the depths"):
        build_optimizer(settings, [keras.Variable([1.0])])


def test_options_that_the_update_would_ignore_are_refused() -> None:
    settings = OptimizationSettings(0.1, build_optimizer=functools.partial(keras.optimizers.Adam, global_clipnorm=1.0))
    with pytest.raises(ValueError, match="must leave global_clipnorm off, got 1.0"):
        build_optimizer(settings, [keras.Variable([1.0])])


def test_momentum_and_decay_by_hand() -> None:
    settings = OptimizationSettings(
        0.1, learning_rate_drops=((1, 0.1),), optimizer="sgd", momentum=0.5, weight_decay=0.2
    )
    weight, scale = keras.Variable([2.0], name="kernel"), keras.Variable([2.0], name="gamma")
    optimizer = build_optimizer(settings, [weight, scale])
    assert isinstance(optimizer, MomentumDescent)
    # Velocities: 1 + 0.2 * 2 = 1.4, then 0.5 * 1.4 + 3 + 0.2 * 1.86 = 4.072; without decay 1, then 3.5.
    for gradient, values in ((1.0, (1.86, 1.9)), (3.0, (1.86 - 0.04072, 1.9 - 0.035))):
        for variable in (weight, scale):
            optimizer.update_step(tf.constant([gradient]), variable, optimizer.learning_rate)
        optimizer.iterations.assign_add(1)
        np.testing.assert_allclose([weight.numpy()[0], scale.numpy()[0]], values, rtol=1e-6)


def test_adam_is_the_usual_choice() -> None:
    assert isinstance(build_optimizer(OptimizationSettings(0.1), [keras.Variable([1.0])]), keras.optimizers.Adam)


def test_loss_scale_halves_on_overflow_and_doubles_after_enough_good_steps() -> None:
    loss_scale = LossScale(initial_scale=8.0, growth_steps=3)
    scales = []
    for is_finite in (True, False, True, True, True, True, True, True):
        loss_scale.update(tf.constant(is_finite))
        scales.append(float(loss_scale.scale.numpy()))
    assert scales == [8.0, 4.0, 4.0, 4.0, 8.0, 8.0, 8.0, 16.0]


def test_loss_scale_stays_at_one_or_above() -> None:
    loss_scale = LossScale(initial_scale=2.0)
    for _ in range(3):
        loss_scale.update(tf.constant(False))
    assert float(loss_scale.scale.numpy()) == 1.0


def test_average_by_hand() -> None:
    variable = keras.Variable([1.0])
    average = MovingAverage([variable], decay=0.2)
    variable.assign([11.0])
    average.update(tf.constant(0, tf.int64))  # decay min(0.2, 1 / 10)
    np.testing.assert_allclose(average.averages[0].numpy(), [0.1 * 1 + 0.9 * 11], rtol=1e-6)
    average.update(tf.constant(9, tf.int64))  # decay min(0.2, 10 / 19)
    np.testing.assert_allclose(average.averages[0].numpy(), [0.2 * 10 + 0.8 * 11], rtol=1e-6)


def test_lent_averages_are_taken_back_even_after_an_error() -> None:
    variable = keras.Variable([1.0])
    average = MovingAverage([variable], decay=0.5)
    variable.assign([3.0])
    with pytest.raises(RuntimeError), average.apply_to_variables():
        assert variable.numpy() == [1.0]
        raise RuntimeError
    assert variable.numpy() == [3.0]
