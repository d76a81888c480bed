"""Targets, loss, pictures and training of the single heatmap network."""

from __future__ import annotations

import functools
import importlib
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from program_runs import assert_one_line, run
from record_writing import PAYER2017_AUGMENTATION, synthetic_image, write_dataset
from shared_evaluation import assert_shared_to_the_bit
from small_single_network import INFERENCE, NETWORK, random_pose_unet
from stopped_runs import copy_as_stopped

from tfpose.checkpoints import load_for_inference
from tfpose.data.frame_augmentation import FrameAugmentation
from tfpose.data.records import read_table
from tfpose.data.whole_frames import ExampleSettings, WholeFrames
from tfpose.evaluation import single_network as evaluation
from tfpose.frame_fit import FrameFit
from tfpose.inference.single_network_system import (
    build_inference_network,
    build_single_network_system,
    read_single_network_system,
)
from tfpose.models.pose_unet import PoseUnetSettings, build_pose_unet
from tfpose.poses import join_poses
from tfpose.skeletons import POSETRACK15
from tfpose.systems import SYSTEMS
from tfpose.training import single_network
from tfpose.training.batches import make_dataset
from tfpose.training.loop import OptimizationSettings, RunSettings, TrainingPlan, build_strategy, train

PROJECT = pathlib.Path(__file__).resolve().parents[2]
CONFIGS = (
    *("single_network_posetrack17", "single_network_posetrack17_fast", "single_network_posetrack18_mini"),
    "single_network_synthetic",
)
HEATMAP_SIZE = (32, 48)
SETTINGS = PoseUnetSettings(input_size=(128, 192), width=4, num_levels=3)
# Each layer takes time to trace, at every training.
FEW_LAYERS = {"num_levels": 2, "convolutions_per_block": 1}
TRAINED = PoseUnetSettings(input_size=(64, 96), width=4, **FEW_LAYERS)
TARGET = single_network.TargetSettings()
GAUSSIAN_COST = 2 * np.pi  # half the sum of squares of a Gaussian of sigma 2
GLOBAL_BATCH = 4
NUM_STEPS = 6

build_targets = single_network.build_target_function(HEATMAP_SIZE, TARGET)
compute_loss = single_network.build_loss(build_targets, TARGET)


class FixedMaps:
    """In place of a network: maps that do not depend on what goes in."""

    def __init__(self, value: float = 0.0, decay: float | None = None) -> None:
        self.value = value
        self.trainable_variables = []
        if decay is not None:
            variable = keras.Variable([decay, 0.0])
            variable.regularizer = keras.regularizers.L2(1.0)
            self.trainable_variables = [variable]

    def __call__(self, images, heads, training):
        batch, people, (height, width) = images.shape[0], heads.shape[1], HEATMAP_SIZE
        maps = tf.fill((batch, people, height, width, 2), self.value)
        return {
            "head_maps": tf.fill((batch, height, width, 1), self.value),
            "joint_maps": maps[:, 0],
            "filter_maps": maps,
            "person_maps": maps,
        }


def hand_batch():
    """Two images with two slots for people and two joints.

    The first image: two heads far apart, two people, one joint not annotated. The second: one head, one person, one of
    whose joints was moved out of the image.
    """
    return {
        "images": np.full((2, 128, 192, 3), 128, np.uint8),
        "intensity_shifts": np.zeros(2, np.float32),
        "intensity_scales": np.ones(2, np.float32),
        "heads": np.array([[[12, 16], [36, 15]], [[24, 16], [0, 0]]], np.float32),
        "head_weights": np.array([[1, 1], [1, 0]], np.float32),
        "region_masks": np.ones((2, *HEATMAP_SIZE), np.float32),
        "person_heads": np.array([[[12, 16], [36, 15]], [[24, 16], [0, 0]]], np.float32),
        "person_weights": np.array([[1, 1], [1, 0]], np.float32),
        "keypoints": np.array(
            [[[[12, 20], [13, 12]], [[36, 20], [0, 0]]], [[[24, 20], [80, 90]], [[0, 0], [0, 0]]]], np.float32
        ),
        "joint_weights": np.array([[[1, 1], [1, 0]], [[1, 1], [0, 0]]], np.float32),
    }


def as_tensors(batch):
    return {name: tf.constant(values) for name, values in batch.items()}


def terms(model, batch):
    losses, _ = compute_loss(model, as_tensors(batch))
    return {name: (float(total), float(weight)) for name, (total, weight) in losses.items()}


def random_batch(num_joints=2, seed=0):
    rng = np.random.default_rng(seed)
    batch = hand_batch()
    batch["images"] = rng.integers(0, 256, batch["images"].shape, dtype=np.uint8)
    return batch


def test_targets_of_all_heads_are_merged_by_their_maximum():
    batch = hand_batch()
    batch["heads"][0] = [[12, 16], [15, 16]]
    heads, people = build_targets(as_tensors(batch))
    assert heads.shape == (2, *HEATMAP_SIZE, 1) and people.shape == (2, 2, *HEATMAP_SIZE, 2)
    assert heads[0, 16, 12, 0] == heads[0, 16, 15, 0] == 1
    # Cell 13 is 1 from one head and 2 from the other: the nearer counts, not the sum.
    assert float(heads[0, 16, 13, 0]) == pytest.approx(np.exp(-1 / 8))
    # The padding's head at (0, 0) is not drawn.
    assert heads[1, 0, 0, 0] == 0
    assert people[0, 1, 20, 36, 0] == 1
    assert not np.any(people[0, 1, :, :, 1]) and not np.any(people[1, 1])


def test_empty_maps_cost_two_pi_for_every_gaussian():
    losses = terms(FixedMaps(), hand_batch())
    assert losses["heads"] == (pytest.approx(3 * GAUSSIAN_COST, rel=1e-4), 2)
    # Joints: two and one for the two people of the first image, one for the only person of the second, whose other
    # joint is nowhere to be seen.
    assert losses["joints"] == (pytest.approx((3 / 2 + 1) * GAUSSIAN_COST, rel=1e-4), 2)
    assert set(losses) == {"heads", "joints"}
    assert terms(FixedMaps(decay=1.5), hand_batch())["decay"] == (2 * 2.25, 2)


def test_an_image_without_a_person_does_not_make_the_other_images_count_more():
    """Payer et al., 2017: the error is divided by the batch size."""
    batch = {name: np.concatenate([values, values[1:]]) for name, values in hand_batch().items()}
    batch["person_weights"][:] = [[1, 0], [1, 0], [0, 0]]
    total, weight = terms(FixedMaps(), batch)["joints"]
    assert total / weight == pytest.approx(3 * GAUSSIAN_COST / 3, rel=1e-4)
    per_person = single_network.build_loss(build_targets, TARGET, joint_average="people")
    total, weight = per_person(FixedMaps(), as_tensors(batch))[0]["joints"]
    assert float(total / weight) == pytest.approx(3 * GAUSSIAN_COST / 2, rel=1e-4)
    with pytest.raises(ValueError, match="loss.joint_average must be one of images, people, got 'boxes'"):
        single_network.build_loss(build_targets, TARGET, joint_average="boxes")


def test_joint_maps_can_be_trained_on_all_people_by_themselves():
    loss = single_network.build_loss(build_targets, TARGET, joint_map_weight=0.5)

    def error(batch, value=0.0):
        total, weight = loss(FixedMaps(value), as_tensors(batch))[0]["joint_maps"]
        assert float(weight) == 2
        return float(total)

    batch = hand_batch()
    # The first image: two people's first joint, but not the second, which one of them has no label for. The second
    # image: the first joint; the second must be nowhere.
    assert error(batch) == pytest.approx(0.5 * 3 * GAUSSIAN_COST, rel=1e-4)
    away = batch | {"keypoints": np.full_like(batch["keypoints"], -99)}
    assert error(away, 0.5) == pytest.approx(0.5 * 0.5 * 0.25 * 32 * 48 * 3, rel=1e-4)
    masked = batch | {"region_masks": np.zeros_like(batch["region_masks"])}
    assert error(masked, 0.5) == 0
    # A third head without a person of interest: of the first image nothing is known for sure.
    heads = {name: np.concatenate([batch[name], batch[name][:, :1]], 1) for name in ("heads", "head_weights")}
    heads["head_weights"][1, 2] = 0
    assert error(batch | heads) == pytest.approx(0.5 * 1 * GAUSSIAN_COST, rel=1e-4)
    with pytest.raises(ValueError, match="loss.joint_map_weight must be at least 0, got -1"):
        single_network.build_loss(build_targets, TARGET, joint_map_weight=-1)


def test_a_joint_outside_the_image_asks_for_an_empty_map():
    batch = hand_batch()
    with_joint = terms(FixedMaps(0.5), batch)["joints"][0]
    batch["joint_weights"][1, 0, 1] = 0
    without = terms(FixedMaps(0.5), batch)["joints"][0]
    assert with_joint - without == pytest.approx(0.5 * 0.25 * 32 * 48, rel=1e-4)


def test_ignored_regions_do_not_count_for_heads():
    batch = hand_batch()
    batch["region_masks"][0, :, 24:] = 0  # the second head of the first image
    assert terms(FixedMaps(), batch)["heads"][0] == pytest.approx(2 * GAUSSIAN_COST, rel=1e-4)
    batch["region_masks"][:] = 0
    assert terms(FixedMaps(0.9), batch)["heads"] == (0, 2)


def test_images_without_people_train_the_heads_alone():
    batch = hand_batch()
    batch["person_weights"][:] = 0
    losses = terms(FixedMaps(), batch)
    assert losses["joints"] == (0, 2)
    assert losses["heads"][0] > 0


def test_what_has_no_weight_has_no_influence_not_even_as_nan():
    network = build_pose_unet(2, SETTINGS)
    values = []
    for poison in (0.0, np.nan):
        batch = random_batch()
        for name in ("person_heads", "keypoints"):
            batch[name][1, 1] = poison
        batch["heads"][1, 1] = poison
        batch["keypoints"][0, 1, 1] = poison
        tensors = as_tensors(batch)
        with tf.GradientTape() as tape:
            losses, metrics = compute_loss(network, tensors)
            loss = tf.add_n([total for total, _ in losses.values()])
        gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
        values.append([loss, metrics["accuracy"][1], *gradients])
    for first, second in zip(*values, strict=True):
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first, second)


def test_data_outweigh_the_decay_of_the_paper_network():
    """One person of 15 joints and the head cost 100 where nothing is predicted, the decay of the kernels 3.3."""
    keras.utils.set_random_seed(0)
    decay = float(sum(build_pose_unet(15).losses))
    batch = hand_batch()
    batch["person_weights"][:] = [[1, 0], [1, 0]]
    batch["keypoints"][1, 0, 1] = [25, 12]
    losses = terms(FixedMaps(), batch)
    per_joint = losses["joints"][0] / losses["joints"][1] / 2
    assert per_joint == pytest.approx(6.28, abs=0.01)
    assert 16 * per_joint > 20 * decay
    # As a mean over the cells of the paper's maps it would be lost.
    assert 16 * per_joint / (128 * 224) < decay / 100


def test_joint_loss_reaches_the_head_map_through_the_mask():
    keras.utils.set_random_seed(0)
    network = build_pose_unet(2, SETTINGS)
    kernel = network.frame.get_layer("head_maps").kernel.value
    with tf.GradientTape() as tape:
        losses, _ = compute_loss(network, as_tensors(random_batch()))
        loss = losses["joints"][0]
    gradient = tape.gradient(loss, kernel).numpy()
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-3


def test_peaks_within_two_sigmas_are_counted_as_right():
    maps = np.zeros((1, 1, *HEATMAP_SIZE, 4), np.float32)
    maps[0, 0, 10, 20, :] = 1
    # 4 cells away, 5 cells away, not annotated, outside the image.
    keypoints = np.array([[[[24, 10], [20, 15], [20, 10], [48, 10]]]], np.float32)
    weights = np.array([[[1, 1, 0, 1]]], np.float32)
    correct, counted = single_network.count_correct(tf.constant(maps), tf.constant(keypoints), weights, 2.0)
    assert (float(correct), float(counted)) == (1, 2)


def test_pictures_have_a_row_for_each_image():
    network = build_pose_unet(15, SETTINGS)
    batch = hand_batch()
    batch["keypoints"] = np.random.default_rng(0).uniform(0, 30, (2, 2, 15, 2)).astype(np.float32)
    batch["joint_weights"] = np.ones((2, 2, 15), np.float32)
    (picture,) = single_network.draw_examples(network, as_tensors(batch), build_targets, POSETRACK15).values()
    assert picture.shape == (2 * 128, 7 * 192, 3) and picture.dtype == np.uint8
    labels, targets = picture[:128, :192], picture[:128, -192:]
    assert np.any(labels != 128) and targets.std() > 1


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    images = [synthetic_image(i, POSETRACK15, num_people=1 + i % 3) for i in range(6)]
    for image in images:
        for person in image["people"]:
            x, y = person["keypoints"][2]
            person["head_box"] = [x - 6, y - 6, x + 6, y + 6]
    return read_table(write_dataset(tmp_path_factory.mktemp("data"), POSETRACK15, images), "train")


def losses_by_step(directory, strategy, table, network=TRAINED, augmentation=PAYER2017_AUGMENTATION, **changes):
    fit = FrameFit(network.input_size, network.size_multiple)
    frames = WholeFrames(table, POSETRACK15, fit, augmentation, 0, ExampleSettings(2))
    target = single_network.TargetSettings(sigma_cells=1.5)
    targets = single_network.build_target_function(fit.heatmap_size, target)
    steps = changes.pop("steps", NUM_STEPS)
    train(
        TrainingPlan(
            build_model=lambda: build_pose_unet(15, network),
            compute_loss=single_network.build_loss(targets, target),
            make_dataset=functools.partial(make_dataset, frames, GLOBAL_BATCH),
        ),
        strategy=strategy,
        workdir=directory,
        # The rate of the paper twice over. Adam divides small gradients by their size, so at ten times the rate it
        # drives two runs apart that differ in the last bit of a sum.
        optimization=OptimizationSettings(**{"learning_rate": 1e-4, **changes}),
        run=RunSettings(total_steps=steps, log_every=1, checkpoint_every=steps // 2),
    )
    rows = pathlib.Path(directory, "train.csv").read_text().splitlines()
    column = rows[0].split(",").index("loss")
    return np.array([float(row.split(",")[column]) for row in rows[1:]])


@pytest.fixture(scope="module")
def one_device_run(table, tmp_path_factory):
    """The folder and the losses of a run."""
    directory = tmp_path_factory.mktemp("one")
    losses = losses_by_step(directory, tf.distribute.OneDeviceStrategy("/cpu:0"), table)
    assert len(losses) == NUM_STEPS and losses.std() > 1e-3 * losses.mean()
    return directory, losses


@pytest.fixture
def one_device_losses(one_device_run):
    return one_device_run[1]


def test_two_replicas_train_like_one_device(table, one_device_losses, tmp_path):
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("needs two logical CPUs: TensorFlow was started with one")
    losses = losses_by_step(tmp_path, build_strategy("mirrored"), table)
    np.testing.assert_allclose(losses, one_device_losses, rtol=1e-5)


def test_accumulated_parts_train_like_the_whole_batch(table, one_device_losses, tmp_path):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    losses = losses_by_step(tmp_path, strategy, table, accumulation_steps=2)
    np.testing.assert_allclose(losses, one_device_losses, rtol=1e-5)


def test_a_continued_run_has_the_losses_of_one_without_a_stop(table, one_device_run, tmp_path):
    directory, expected = one_device_run
    copy_as_stopped(directory, tmp_path, NUM_STEPS // 2)
    losses = losses_by_step(tmp_path, tf.distribute.OneDeviceStrategy("/cpu:0"), table)
    np.testing.assert_array_equal(losses, expected)


def test_compiled_steps_train_like_others(table, one_device_losses, tmp_path):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    losses = losses_by_step(tmp_path, strategy, table, jit_compile=True)
    np.testing.assert_allclose(losses, one_device_losses, rtol=1e-4)


def test_a_small_modern_network_learns(table, tmp_path):
    """On six pictures it does far better than empty maps, which cost 2 * pi * 1.5^2 / 4 for each Gaussian."""
    network = PoseUnetSettings(
        input_size=(64, 96),
        width=16,
        stem_widths=(8, 16),
        stem_downsampling="stride",
        **FEW_LAYERS,
        normalization="batch",
        heatmap_init_stddev=0.001,
        filter_init_bias=1.0,
    )
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    changes = {"learning_rate": 5e-3, "steps": 100}
    losses = losses_by_step(tmp_path, strategy, table, network, FrameAugmentation(), **changes)
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def system_of_few_layers():
    return build_single_network_system(POSETRACK15, NETWORK | FEW_LAYERS, INFERENCE)


def test_validation_in_training_is_that_of_evaluation_whatever_the_precision(table, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "score_poses", lambda table, poses, skeleton: poses)
    system = system_of_few_layers()
    trained = random_pose_unet(system, precision="mixed_bfloat16")
    found = evaluation.Validation(table, system, batch_size=2)(trained)
    network = evaluation.TrainedNetwork(
        system, build_inference_network(random_pose_unet(system), system), tmp_path / "step_1.npz"
    )
    expected = evaluation.predict_split(table, network, batch_size=2).poses
    assert sum(map(len, expected)) > 0
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(own.joint_scores, other.joint_scores, rtol=1e-5)


def test_workers_and_devices_evaluate_together_to_the_bit(table, monkeypatch):
    monkeypatch.setattr(
        evaluation,
        "score_poses",
        lambda table, poses, skeleton: [np.array(list(map(len, poses))), *vars(join_poses(poses)).values()],
    )
    system = system_of_few_layers()
    build_validation = functools.partial(evaluation.Validation, table, system, batch_size=2)
    assert_shared_to_the_bit(monkeypatch, build_validation, random_pose_unet(system))


def load_config(name):
    return importlib.import_module(f"configs.{name}").get_config()


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_fit_the_functions_that_receive_them(name, table, monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT))
    config = load_config(name).to_dict()
    system = build_single_network_system(POSETRACK15, config["network"], config["inference"])
    augmentation = FrameAugmentation(**config["augmentation"])
    frames = WholeFrames(
        table, POSETRACK15, system.fit, augmentation, config["seed"], ExampleSettings(**config["examples"])
    )
    assert frames.batch(0, 1, slice(0, 1))["images"].shape == (1, *config["network"]["input_size"], 3)
    single_network.build_loss(build_targets, single_network.TargetSettings(**config["target"]), **config["loss"])
    OptimizationSettings(**config["optimization"])
    RunSettings(seed=config["seed"], **config["run"])


def test_the_paper_config_is_the_default_network(monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT))
    config = load_config("single_network_posetrack17").to_dict()
    assert PoseUnetSettings(**config["network"]) == PoseUnetSettings(person_width=128, stem_widths=(128, 128))
    assert FrameAugmentation(**config["augmentation"]) == PAYER2017_AUGMENTATION


def test_the_program_trains_and_evaluates(table, tmp_path):
    arguments = (
        "--config=configs/single_network_synthetic.py",
        f"--workdir={tmp_path}",
        f"--config.data.directory={table.shards[0].parent}",
        "--config.data.validation_split=train",
        "--config.network.input_size=(64,96)",
        "--config.network.width=4",
        "--config.network.num_levels=2",
        # The next test has the residual network.
        "--config.network.encoder_depth=0",
        "--config.run.total_steps=2",
        "--config.run.log_every=1",
        "--config.run.pictures_every=1",
        "--config.run.evaluate_every=1",
    )
    # The config's strategy makes a device of each core, which a process can do only once.
    result = run("train_main.py", *arguments, separate_process=True)
    assert result.returncode == 0, result.stderr[-3000:]
    assert {"model.weights.h5", "single_network_system.json"} <= {path.name for path in tmp_path.iterdir()}
    rows = (tmp_path / "eval.csv").read_text().splitlines()
    assert rows[0].startswith("step,AP") and [row.split(",")[0] for row in rows[1:]] == ["1", "2"]
    header, *rows = (tmp_path / "train.csv").read_text().splitlines()
    assert {"loss/heads", "loss/joints", "loss/joint_maps", "loss/decay", "accuracy"} <= set(header.split(","))
    network = read_single_network_system(tmp_path).build_network()
    load_for_inference(network, tmp_path, "last")


def test_an_anchor_is_trained_kept_and_refused_where_it_does_not_exist(table, tmp_path):
    arguments = (
        "--config=configs/single_network_flies.py",
        f"--workdir={tmp_path / 'run'}",
        f"--config.data.directory={table.shards[0].parent}",
        "--config.data.validation_split=train",
        "--config.network.input_size=(64,96)",
        "--config.network.width=4",
        "--config.network.num_levels=2",
        "--config.network.encoder_depth=18",
        "--config.network.encoder_width=4",
        "--config.network.person_features=frame",
        "--config.run.total_steps=1",
    )
    result = run("train_main.py", *arguments, "--config.examples.anchor_joints=('left_hip',)")
    assert result.returncode == 0, result.stderr[-3000:]
    assert read_single_network_system(tmp_path / "run").anchor_joints == ("left_hip",)
    result = run("train_main.py", *arguments, "--config.examples.anchor_joints=('tail',)")
    assert result.returncode == 1
    assert_one_line(result, "anchor_joints must be distinct joints among")


def test_an_unknown_system_is_named_in_one_line(tmp_path):
    arguments = ("--config=configs/single_network_synthetic.py", f"--workdir={tmp_path}", "--config.system=other")
    result = run("train_main.py", *arguments)
    assert result.returncode == 1
    assert_one_line(result, f"config.system must be one of {', '.join(SYSTEMS)}, got 'other'")
