"""Training of a small ViTPose: replicas, resuming, recomputation, compilation, half precision, stochastic depth."""

import functools
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_system import small_system, small_table
from stopped_runs import copy_as_stopped

from tfpose.data.augmentation import Augmentation
from tfpose.data.person_crops import PersonCrops
from tfpose.models.pose_vit import build_pose_vit
from tfpose.models.transformer import TransformerBlock
from tfpose.training import batches, two_stage
from tfpose.training.loop import OptimizationSettings, RunSettings, TrainingPlan, build_strategy, train

GLOBAL_BATCH = 4
NUM_STEPS = 8
NETWORK = {"name": "pose_vit", "width": 32, "depth": 2, "num_heads": 4, "input_size": (64, 64), "decoder": "simple"}
DROPPING = {"drop_path_rate": 0.5}
AUGMENTATION = Augmentation(0.5, 30.0, 1.0, (0.8, 1.2))
OPTIMIZATION = {
    "learning_rate": 1e-4,
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "layer_decay": 0.75,
    "decay_offsets": False,
    "gradient_clip_norm": 1.0,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(tmp_path_factory.mktemp("data"))


def one_device():
    return tf.distribute.OneDeviceStrategy("/cpu:0")


def losses_by_step(
    directory, table, strategy=None, steps=NUM_STEPS, network=None, augmentation=AUGMENTATION, **changes
):
    """The losses of a run with the optimizer of ViTPose."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    system = small_system(network={**NETWORK, **(network or {})})
    people = PersonCrops(table, system.skeleton, system.crop, augmentation)
    targets = two_stage.build_target_function(
        system.crop, system.heatmap_size, two_stage.TargetSettings(sigma_cells=1.5)
    )
    train(
        TrainingPlan(
            build_model=system.build_network,
            compute_loss=two_stage.build_loss(targets, system.normalization),
            make_dataset=functools.partial(batches.make_dataset, people, GLOBAL_BATCH),
        ),
        strategy=strategy or one_device(),
        workdir=directory,
        optimization=OptimizationSettings(**{**OPTIMIZATION, **changes}),
        run=RunSettings(total_steps=steps, log_every=1, checkpoint_every=steps // 2),
    )
    rows = pathlib.Path(directory, "train.csv").read_text().splitlines()
    column = rows[0].split(",").index("loss")
    return np.array([float(row.split(",")[column]) for row in rows[1:]])


@pytest.fixture(scope="module")
def plain_losses(table, tmp_path_factory):
    losses = losses_by_step(tmp_path_factory.mktemp("plain"), table)
    assert len(losses) == NUM_STEPS and losses.std() > 1e-4 * losses.mean()
    return losses


@pytest.fixture(scope="module")
def dropping_run(table, tmp_path_factory):
    """The folder and the losses of a run."""
    directory = tmp_path_factory.mktemp("dropping")
    return directory, losses_by_step(directory, table, network=DROPPING)


@pytest.fixture
def dropping_losses(dropping_run):
    return dropping_run[1]


def test_two_replicas_train_like_one_device(table, plain_losses, tmp_path):
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("needs two logical CPUs: TensorFlow was started with one")
    losses = losses_by_step(tmp_path, table, build_strategy("mirrored"))
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-5)


def test_two_replicas_can_skip_blocks(table, tmp_path):
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("needs two logical CPUs: TensorFlow was started with one")
    assert np.isfinite(losses_by_step(tmp_path, table, build_strategy("mirrored"), steps=2, network=DROPPING)).all()


def test_a_continued_run_skips_the_blocks_that_one_without_a_stop_skips(table, dropping_run, tmp_path):
    directory, expected = dropping_run
    copy_as_stopped(directory, tmp_path, NUM_STEPS // 2)
    np.testing.assert_array_equal(losses_by_step(tmp_path, table, network=DROPPING), expected)


def test_stochastic_depth_changes_the_losses(plain_losses, dropping_losses):
    assert np.abs(plain_losses - dropping_losses).max() > 1e-6


def test_recomputed_activations_give_the_same_losses(table, dropping_losses, tmp_path, caplog):
    """Of a block that all examples compute, the first, and of one that some skip."""
    losses = losses_by_step(tmp_path, table, network={**DROPPING, "recompute": True})
    np.testing.assert_allclose(losses, dropping_losses, rtol=1e-5)
    assert "watched tensor" not in caplog.text


def test_compiled_steps_train_like_others(table, plain_losses, tmp_path):
    losses = losses_by_step(tmp_path, table, jit_compile=True)
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-4)


def test_compiled_steps_can_skip_blocks(table, dropping_losses, tmp_path):
    """XLA draws other numbers, so other examples are skipped."""
    losses = losses_by_step(tmp_path, table, network=DROPPING, jit_compile=True)
    np.testing.assert_allclose(losses, dropping_losses, rtol=0.05)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains_nearly_like_float32(precision, table, dropping_losses, tmp_path):
    losses = losses_by_step(tmp_path, table, network=DROPPING, precision=precision)
    np.testing.assert_allclose(losses, dropping_losses, rtol=0.05)


def test_it_learns(table, tmp_path):
    """It draws the joints of six people far better than empty maps, whose loss is that of the first step."""
    changes = {"learning_rate": 2e-3, "weight_decay": 0.0, "layer_decay": None, "augmentation": Augmentation()}
    losses = losses_by_step(tmp_path, table, steps=120, network={"width": 64, "decoder": "classic"}, **changes)
    assert np.mean(losses[-10:]) < 0.1 * losses[0]


def test_variables_tell_their_depth_below_the_head():
    model = build_pose_vit(3, width=32, depth=2, num_heads=4, input_size=(64, 64))
    depths = {v.path: getattr(v, "depth_below_head", 0) for v in model.trainable_variables}
    expected = {"patches/kernel": 3, "positions/positions": 3, "block0/qkv/kernel": 2, "block1/norm1/gamma": 1}
    expected |= {"norm/gamma": 0, "deconv1_conv/kernel": 0, "heatmaps/bias": 0}
    assert {path: depths[path] for path in expected} == expected


def test_a_share_of_the_examples_skips_a_block():
    """A block whose layers all compute zero but the last bias: an example is skipped, or gets twice the bias."""
    keras.utils.set_random_seed(0)
    block = TransformerBlock(2, drop_path_rate=0.5)
    tokens = tf.zeros((400, 3, 8))
    block.build(tokens.shape)
    for variable in block.weights:
        variable.assign(tf.zeros_like(variable))
    block.contract.bias.assign(tf.ones(8))
    outputs = block(tokens, training=True).numpy()
    assert set(np.unique(outputs)) == {0.0, 2.0}
    assert (outputs == outputs[:, :1, :1]).all()
    assert abs((outputs[:, 0, 0] == 0).mean() - 0.5) < 0.1
    np.testing.assert_array_equal(block(tokens, training=False).numpy(), np.ones((400, 3, 8)))


@pytest.mark.parametrize("batch", [1, 3, 6], ids=["one", "three", "six"])
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
def test_each_example_skips_a_block_with_the_given_probability(batch, is_known):
    """Also where its share of the batch is no whole number."""
    keras.utils.set_random_seed(0)
    block = TransformerBlock(2, drop_path_rate=0.25)
    block.build((None, 2, 4))
    for variable in block.weights:
        variable.assign(tf.zeros_like(variable))
    block.contract.bias.assign(tf.ones(4))
    signature = [tf.TensorSpec((batch if is_known else None, 2, 4))]
    run = tf.function(functools.partial(block, training=True), input_signature=signature)
    outputs = np.stack([run(tf.zeros((batch, 2, 4))).numpy()[:, 0, 0] for _ in range(1000)])
    np.testing.assert_allclose(np.unique(outputs), [0, 4 / 3], rtol=1e-6)
    # The deviation of a share of 1000 draws is 0.014.
    np.testing.assert_allclose((outputs == 0).mean(axis=0), 0.25, atol=0.06)
    num_kept = (outputs > 0).sum(axis=1)
    assert set(num_kept) == {int(0.75 * batch), int(0.75 * batch) + 1}
