import dataclasses
import functools
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from shared_evaluation import assert_shared_to_the_bit
from small_system import SETTINGS, random_network, small_system, small_table

from tfpose.checkpoints import write_weights
from tfpose.data.augmentation import Augmentation
from tfpose.data.person_crops import PersonCrops
from tfpose.inference import person_keypoints
from tfpose.inference.keypoint_system import write_keypoint_system
from tfpose.models.batch_norm import FusedBatchNormalization
from tfpose.models.pose_resnet import BLOCKS_PER_STAGE
from tfpose.skeletons import skeleton_from_names
from tfpose.training import batches, two_stage
from tfpose.training.initial_weights import restore_statistics
from tfpose.training.loop import OptimizationSettings, RunSettings, TrainingPlan, build_strategy, train

GLOBAL_BATCH = 4
NUM_STEPS = 8
TARGET = two_stage.TargetSettings(sigma_cells=1.5)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(tmp_path_factory.mktemp("data"))


@pytest.fixture
def few_blocks(monkeypatch):
    """Lets the network of depth 18 have one block in each stage, because each layer takes time to trace."""
    monkeypatch.setitem(BLOCKS_PER_STAGE, 18, (1, 1, 1, 1))


def no_inputs():
    raise AssertionError("a network with statistics needs no images")


def make_batch(table, system, **augmentation):
    people = PersonCrops(table, system.skeleton, system.crop, Augmentation(**augmentation))
    values = people.batch(0, GLOBAL_BATCH, slice(0, GLOBAL_BATCH))
    return {name: tf.constant(value) for name, value in values.items()}


def build_targets(system):
    return two_stage.build_target_function(system.crop, system.heatmap_size, TARGET)


def test_target_peaks_lie_at_the_keypoints(table):
    system = small_system()
    batch = make_batch(table, system)
    targets, weights = build_targets(system)(batch)
    assert targets.shape == (GLOBAL_BATCH, 16, 16, 15)
    cells = np.round(batch["keypoints"].numpy() / 4).astype(int)
    for person in range(GLOBAL_BATCH):
        for joint in range(15):
            x, y = cells[person, joint]
            if weights[person, joint] and 0 <= x < 16 and 0 <= y < 16:
                assert targets[person, y, x, joint] == tf.reduce_max(targets[person, :, :, joint])


def test_loss_is_the_mean_over_visible_joints_by_hand(table):
    system = small_system()
    network = random_network(system)
    batch = make_batch(table, system)
    batch["weights"] = tf.constant(np.random.default_rng(0).integers(0, 2, (GLOBAL_BATCH, 15)), tf.float32)
    compute_loss = two_stage.build_loss(build_targets(system), system.normalization)
    losses, metrics = compute_loss(network, batch)
    total, weight = losses["loss"]
    targets, weights = (value.numpy() for value in build_targets(system)(batch))
    heatmaps = network(system.normalization(batch["crops"]), training=True).numpy()
    per_joint = np.square(heatmaps - targets).mean(axis=(1, 2))
    np.testing.assert_allclose(total / weight, per_joint[weights > 0].mean(), rtol=1e-4)
    assert metrics["accuracy"][1] == weights.sum()


def test_hard_joint_mining_keeps_the_worst_joints(table):
    system = small_system()
    network = random_network(system)
    batch = make_batch(table, system)
    plain = two_stage.build_loss(build_targets(system), system.normalization)(network, batch)[0]["loss"]
    hard = two_stage.build_loss(build_targets(system), system.normalization, 3)(network, batch)[0]["loss"]
    assert hard[1] == 3 * GLOBAL_BATCH
    assert hard[0] / hard[1] > plain[0] / plain[1]


def test_right_heatmaps_are_counted_as_correct():
    targets = np.zeros((1, 16, 16, 2), np.float32)
    targets[0, 5, 6, 0] = targets[0, 9, 3, 1] = 1
    shifted = np.roll(targets, 2, axis=1)
    weights = np.ones((1, 2), np.float32)
    for heatmaps, expected in ((targets, 2), (shifted, 0)):
        correct, counted = two_stage.count_correct(*map(tf.constant, (heatmaps, targets, weights)))
        assert (float(correct), float(counted)) == (expected, 2)


def test_validation_of_a_perfect_network_is_100(table, monkeypatch):
    system = small_system()
    validation = two_stage.Validation(table, system, batch_size=4)
    rows = validation.people.rows
    perfect = (table.people["keypoints"][rows].astype(np.float64), np.ones((len(rows), 15)))
    monkeypatch.setattr(two_stage, "predict_people", lambda *_: perfect)
    metrics = validation(random_network(system))
    assert metrics["AP"] == pytest.approx(100)
    assert metrics["PCK"] == 100
    assert tuple(metrics) == validation.metrics


def test_validation_in_training_is_that_of_evaluation_whatever_the_precision(table, monkeypatch, few_blocks):
    """Both run in float32; later weights are used too."""
    monkeypatch.setattr(two_stage, "score_people", lambda table, people, keypoints, scores, system: scores)
    system = small_system()
    validation = two_stage.Validation(table, system, batch_size=4)
    for seed in (0, 1):
        trained = random_network(system, seed, "mixed_bfloat16")
        plain = random_network(system, seed)
        find_keypoints = person_keypoints.build_keypoint_function(plain, system)
        _, expected = person_keypoints.predict_people(find_keypoints, table, validation.people, system)
        np.testing.assert_allclose(validation(trained), expected, rtol=1e-5)


def test_pictures_show_input_target_and_prediction(table):
    system = small_system()
    pictures = two_stage.draw_examples(
        random_network(system), make_batch(table, system), build_targets(system), system.normalization, system.skeleton
    )
    (sheet,) = pictures.values()
    assert sheet.shape == (4 * 64, 3 * 64, 3) and sheet.dtype == np.uint8


def test_batch_that_does_not_divide_among_replicas_is_an_error(table):
    system = small_system()
    people = PersonCrops(table, system.skeleton, system.crop)
    context = tf.distribute.InputContext(1, 0, 3)
    with pytest.raises(ValueError, match="batch_size must be a multiple of 3, the number of replicas, got 4"):
        batches.make_dataset(people, GLOBAL_BATCH, 0, context)


def test_exactly_one_kind_of_first_weights_must_be_chosen():
    for encoder, source, scratch in (("", "", False), ("imagenet", "", True), ("imagenet", "run", False)):
        with pytest.raises(ValueError, match="initialize must set exactly one of"):
            two_stage.build_initializer(small_system(), no_inputs, encoder, source, scratch)


def test_weights_of_another_run_are_taken_over(tmp_path):
    system = small_system()
    source = random_network(system, seed=1)
    write_keypoint_system(tmp_path, system)
    write_weights(source, tmp_path / "best.weights.h5")
    target = random_network(system, seed=2)
    two_stage.build_initializer(system, no_inputs, "", str(tmp_path), False)(target)
    for ours, theirs in zip(target.variables, source.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_joints_that_the_other_run_lacks_are_told(tmp_path, capsys):
    source = dataclasses.replace(small_system(), skeleton=skeleton_from_names("own", ("nose", "left_hip", "tail")))
    write_keypoint_system(tmp_path, source)
    write_weights(random_network(source, seed=1), tmp_path / "best.weights.h5")
    system = dataclasses.replace(small_system(), skeleton=skeleton_from_names("new", ("left_hip", "lefthip", "nose")))
    two_stage.build_initializer(system, no_inputs, "", str(tmp_path), False)(random_network(system, seed=2))
    assert capsys.readouterr().err == (
        f"note: the heatmaps of 1 of 3 joints start from random weights, because {tmp_path} has no joints of these "
        "names: lefthip\n"
    )


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        ({"name": "pose_resnet", "depth": 50, "base_width": 8, "deconv_filters": 8}, "stride_in", "1x1"),
        ({"name": "pose_vit", "width": 16, "depth": 1, "num_heads": 2}, "num_heads", 4),
    ],
)
def test_weights_are_refused_where_they_would_make_another_network(tmp_path, settings, name, value):
    """Their shapes are the same."""
    settings = {"input_size": (64, 64), **settings}
    source, system = (small_system(network=network) for network in (settings, {**settings, name: value}))
    write_keypoint_system(tmp_path, source)
    write_weights(source.build_network(), tmp_path / "best.weights.h5")
    rule = rf"--config.network.{name} must be .*, with which {tmp_path} was trained, got {value}"
    with pytest.raises(ValueError, match=rule):
        two_stage.build_initializer(system, no_inputs, "", str(tmp_path), False)(system.build_network())


def test_a_source_of_other_layers_is_named(tmp_path):
    write_keypoint_system(tmp_path, small_system(network={**SETTINGS["network"], "base_width": 4}))
    write_weights(
        random_network(small_system(network={**SETTINGS["network"], "base_width": 4})), tmp_path / "best.weights.h5"
    )
    initialize = two_stage.build_initializer(small_system(), no_inputs, "", str(tmp_path), False)
    with pytest.raises(
        ValueError, match=rf"^{tmp_path}: the network must fit that of this config, got stem_conv/kernel"
    ):
        initialize(random_network(small_system()))


def test_other_values_of_the_inputs_are_told(tmp_path, capsys):
    source, system = small_system(normalization={"channel_order": "bgr"}), small_system()
    write_keypoint_system(tmp_path, source)
    write_weights(random_network(source), tmp_path / "best.weights.h5")
    two_stage.build_initializer(system, no_inputs, "", str(tmp_path), False)(random_network(system))
    assert "normalization.channel_order=bgr, now rgb;" in capsys.readouterr().err
    two_stage.build_initializer(source, no_inputs, "", str(tmp_path), False)(random_network(source))
    assert not capsys.readouterr().err


def test_statistics_that_a_publisher_merged_are_measured(table, tmp_path, capsys):
    """Evaluation stays the same; training, which was far from it, comes near."""
    system = small_system()
    source = random_network(system, seed=1)
    people = PersonCrops(table, system.skeleton, system.crop)
    write_keypoint_system(tmp_path, system)
    inputs = next(batches.sample_inputs(people, "crops", system.normalization))
    for variable in source.variables:
        if variable.name == "moving_mean":
            variable.assign(tf.zeros_like(variable))
    write_weights(source, tmp_path / "best.weights.h5")
    expected = source(inputs, training=False).numpy()
    spread = expected.std()
    before = np.abs(source(inputs, training=True).numpy() - expected).mean() / spread

    target = random_network(system, seed=2)
    samples = functools.partial(batches.sample_inputs, people, "crops", system.normalization)
    two_stage.build_initializer(system, samples, "", str(tmp_path), False)(target)
    assert "hold no statistics" in capsys.readouterr().err
    np.testing.assert_allclose(target(inputs, training=False), expected, atol=1e-4 * spread)
    after = np.abs(target(inputs, training=True).numpy() - expected).mean() / spread
    assert after < 0.2 < 0.6 < before


def test_measured_statistics_are_those_of_all_images():
    """By hand: the variance of all values, of two batches of unlike brightness together."""
    images = keras.Input((4, 4, 3))
    layer = FusedBatchNormalization()
    model = keras.Model(images, layer(images))
    layer.set_weights(list(np.float32([[2, 1, 1], [0.5, 0, 0], [0, 0, 0], [4, 1, 1]])))
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(5, 4, 4, 3)).astype(np.float32) + shift for shift in (0, 10)]
    together = np.concatenate(batches)
    expected = model(together).numpy()
    restore_statistics(model, "somebody", lambda: [tf.constant(batch) for batch in batches])
    _, _, mean, variance = layer.get_weights()
    np.testing.assert_allclose(mean, together.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, together.var(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(model(together), expected, atol=1e-5)


def test_workers_and_devices_evaluate_together_to_the_bit(table, monkeypatch, few_blocks):
    monkeypatch.setattr(two_stage, "score_people", lambda table, people, keypoints, scores, system: (keypoints, scores))
    system = small_system()
    build_validation = functools.partial(two_stage.Validation, table, system, batch_size=4)
    assert_shared_to_the_bit(monkeypatch, build_validation, random_network(system))


def losses_by_step(directory, strategy, table, synchronize):
    """The losses of a run of the keypoint network with everything on: augmentation, BN, Adam."""
    keras.backend.clear_session()
    system = small_system(network={**SETTINGS["network"], "synchronize_batch_norm": synchronize})
    people = PersonCrops(table, system.skeleton, system.crop, Augmentation(0.5, 30.0, 1.0, (0.8, 1.2)))
    train(
        TrainingPlan(
            build_model=system.build_network,
            compute_loss=two_stage.build_loss(build_targets(system), system.normalization),
            make_dataset=functools.partial(batches.make_dataset, people, GLOBAL_BATCH),
        ),
        strategy=strategy,
        workdir=directory,
        # The rate of fine-tuning (Honda et al., 2018). Adam divides small gradients by their size, so at ten times the
        # rate it drives two runs apart that differ in the last bit of a sum.
        optimization=OptimizationSettings(learning_rate=1e-4),
        run=RunSettings(total_steps=NUM_STEPS, log_every=1, checkpoint_every=NUM_STEPS),
    )
    rows = pathlib.Path(directory, "train.csv").read_text().splitlines()
    column = rows[0].split(",").index("loss")
    return np.array([float(row.split(",")[column]) for row in rows[1:]])


def test_two_replicas_train_like_one_device(table, tmp_path, few_blocks):
    """With synchronized normalization the keypoint network's losses are those of one device."""
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("needs two logical CPUs: TensorFlow was started with one")
    one = losses_by_step(tmp_path / "one", tf.distribute.OneDeviceStrategy("/cpu:0"), table, False)
    two = losses_by_step(tmp_path / "two", build_strategy("mirrored"), table, True)
    assert len(one) == NUM_STEPS
    assert one.std() > 1e-3 * one.mean()
    np.testing.assert_allclose(two, one, rtol=1e-5)
