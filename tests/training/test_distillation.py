"""A student learns the heatmaps of a teacher: values by hand, frozen weights, resumed runs, refusals."""

from __future__ import annotations

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from record_writing import synthetic_image, write_dataset
from small_system import SETTINGS, random_network, small_table
from stopped_runs import copy_as_stopped

from tfpose import geometry
from tfpose.checkpoints import BEST_WEIGHTS_NAME, list_checkpoints, read_checkpoint, write_weights
from tfpose.data.person_crops import PersonCrops
from tfpose.data.records import read_table
from tfpose.heatmaps import encode_heatmaps
from tfpose.inference.keypoint_networks import NETWORKS, KeypointNetwork
from tfpose.inference.keypoint_system import KeypointSystem, build_keypoint_system, write_keypoint_system
from tfpose.models.convolutions import convolve, normalize, rectify
from tfpose.models.heatmap_network import build_heatmap_network
from tfpose.models.output_layers import output_dtype
from tfpose.skeletons import COCO17, POSETRACK15, Skeleton, skeleton_from_names
from tfpose.systems import build_config, two_stage
from tfpose.training.distillation import DistillationSettings, Teacher, build_distilled_loss
from tfpose.training.loop import OptimizationSettings, RunSettings, build_strategy, train
from tfpose.training.two_stage import TargetSettings, build_target_function

BATCH = 4
TARGET = TargetSettings(sigma_cells=1.5)
PARTLY = np.array([joint in COCO17.joints for joint in POSETRACK15.joints])


def system_of(skeleton: Skeleton = POSETRACK15, size: tuple[int, int] = (64, 64), **sections) -> KeypointSystem:
    network = SETTINGS["network"] | {"input_size": size}
    return build_keypoint_system(skeleton, **{**SETTINGS, "network": network, **sections})


def write_teacher(directory: pathlib.Path, system: KeypointSystem) -> tuple[str, keras.Model]:
    """A work folder of a teacher with random weights, and its network as trained."""
    network = random_network(system, seed=5)
    write_keypoint_system(directory, system)
    write_weights(network, directory / BEST_WEIGHTS_NAME)
    return str(directory), network


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def coco_teacher(tmp_path_factory):
    """A teacher of other joints, another normalization and another order of colors."""
    system = system_of(COCO17, normalization={"mean": (0.5, 0.5, 0.5), "channel_order": "bgr"})
    return (*write_teacher(tmp_path_factory.mktemp("teacher"), system), system)


def built_teacher(name: str, student: KeypointSystem, weight: float = 0.5, **settings) -> Teacher:
    teacher = Teacher(DistillationSettings(name, weight, **settings), student)
    teacher.build()
    return teacher


def make_batch(table, teacher: Teacher) -> dict[str, tf.Tensor]:
    people = PersonCrops(table, teacher.student.skeleton, teacher.shared_crop, needs_labels=False)
    values = people.batch(0, BATCH, slice(0, BATCH))
    values["weights"][:, 3] = 0
    values["color_gains"] = np.full((BATCH, 3), 1.1, np.float32)
    return {name: tf.constant(value) for name, value in values.items()}


def targets_of(student: KeypointSystem):
    return build_target_function(student.crop, student.heatmap_size, TARGET)


@pytest.mark.parametrize("has_min_peak", [False, True])
def test_loss_by_hand(table, coco_teacher, has_min_peak):
    name, network, system = coco_teacher
    student = system_of()
    batch = make_batch(table, Teacher(DistillationSettings(name, 0.25), student))
    maps = network(system.normalization(batch["crops"]), training=False).numpy()
    min_peak = float(np.median(maps.max(axis=(1, 2)))) if has_min_peak else 0.0
    teacher = built_teacher(name, student, 0.25, min_peak=min_peak)
    model = random_network(student)
    losses, metrics = build_distilled_loss(teacher, targets_of(student))(model, batch)

    predicted = model(student.normalization(batch["crops"]) * 1.1, training=True).numpy()
    errors, counted = [], 0
    for joint in np.flatnonzero(PARTLY):
        of_teacher = maps[..., COCO17.index(POSETRACK15.joints[joint])]
        difference = np.square(predicted[..., joint] - of_teacher).mean(axis=(1, 2))
        errors.append(difference * (of_teacher.max(axis=(1, 2)) >= min_peak))
        counted += np.sum(of_teacher.max(axis=(1, 2)) >= min_peak)
    total, weight = losses["teacher"]
    np.testing.assert_allclose(total, 0.25 * np.sum(errors), rtol=1e-3)
    assert weight == BATCH * PARTLY.sum()
    assert metrics["teacher_agreement"][1] == counted
    assert 0 < counted < BATCH * PARTLY.sum() if has_min_peak else counted == BATCH * PARTLY.sum()

    targets, weights = (value.numpy() for value in targets_of(student)(batch))
    per_joint = np.square(predicted - targets).mean(axis=(1, 2)) * weights * np.where(PARTLY, 0.75, 1)
    np.testing.assert_allclose(losses["labels"][0], per_joint.sum(), rtol=1e-3)
    assert losses["labels"][1] == weights.sum()


def test_weight_1_uses_no_label(table, coco_teacher):
    student = system_of(COCO17)
    teacher = built_teacher(coco_teacher[0], student, 1.0)
    batch = make_batch(table, teacher)
    compute_loss = build_distilled_loss(teacher, targets_of(student))
    losses, metrics = compute_loss(random_network(student), batch)
    assert set(losses) == {"teacher"} and set(metrics) == {"teacher_agreement"}
    batch |= {"weights": tf.zeros_like(batch["weights"]), "keypoints": batch["keypoints"] + 100}
    assert compute_loss(random_network(student), batch)[0]["teacher"][0] == losses["teacher"][0]


def test_larger_teacher_sees_the_larger_crop_and_the_student_every_second_pixel(table, tmp_path):
    name, network = write_teacher(tmp_path, system_of(COCO17, (128, 128)))
    student = system_of(COCO17)
    teacher = built_teacher(name, student, 1.0)
    batch = make_batch(table, teacher)
    assert batch["crops"].shape == (BATCH, 128, 128, 3)
    seen = teacher.add_targets(batch)
    maps = network(student.normalization(batch["crops"]), training=False).numpy()
    np.testing.assert_allclose(seen["teacher_heatmaps"], maps[:, ::2, ::2], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(seen["crops"], batch["crops"][:, ::2, ::2])
    np.testing.assert_allclose(seen["keypoints"], batch["keypoints"] / 2)


def test_crops_of_the_student_are_those_that_it_predicts_on(table, tmp_path):
    name, _ = write_teacher(tmp_path, system_of(COCO17, (128, 128)))
    student = system_of(COCO17)
    seen = built_teacher(name, student, 1.0).add_targets(
        make_batch(table, Teacher(DistillationSettings(name), student))
    )
    alone = PersonCrops(table, COCO17, student.crop, needs_labels=False).batch(0, BATCH, slice(0, BATCH))
    difference = np.abs(seen["crops"].numpy().astype(int) - alone["crops"])
    assert np.quantile(difference, 0.99) <= 2
    np.testing.assert_allclose(seen["keypoints"], alone["keypoints"], atol=1e-3)


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (128, 128), (192, 192)])
@pytest.mark.parametrize("convention", ["stride", "udp", "paddle"])
def test_peaks_of_the_teacher_keep_their_place_in_the_crop(tmp_path, size, convention):
    """Whatever sizes and conventions both have."""
    crop = SETTINGS["crop"]
    system = system_of(COCO17, size, crop=crop | {"convention": convention})
    write_keypoint_system(tmp_path, system)
    student = system_of(COCO17, (128, 128))
    teacher = Teacher(DistillationSettings(str(tmp_path)), student)
    places = np.random.default_rng(0).uniform(35, 90, (2, 17, 2)).astype(np.float32)
    targets, _ = build_target_function(student.crop, student.heatmap_size, TARGET)(
        {"keypoints": tf.constant(places), "weights": tf.ones((2, 17))}
    )
    own_places = places * np.array(teacher._steps(size, (128, 128))[::-1])
    own_size = system.heatmap_size
    cells = geometry.transform_points(geometry.heatmap_from_crop(size, own_size, convention), own_places)
    own_maps, _ = encode_heatmaps(cells, np.ones((2, 17)), own_size, 1.5 * own_size[0] / 32)
    teacher._network = lambda images, training: own_maps
    found = teacher.add_targets(
        {"crops": tf.zeros((2, *teacher.shared_crop.crop_size, 3), tf.uint8), "keypoints": tf.constant(places)}
    )
    # Not the peaks: interpolation between coarser cells flattens them, but keeps the centers.
    np.testing.assert_allclose(centers(found["teacher_heatmaps"]), centers(targets), atol=0.05)


def centers(maps) -> np.ndarray:
    """The centers of mass of heatmaps in cells."""
    maps = np.asarray(maps, np.float64)
    return np.stack([np.einsum("bhwj,w->bj", maps, np.arange(32)), np.einsum("bhwj,h->bj", maps, np.arange(32))]) / (
        maps.sum(axis=(1, 2))
    )


def build_student(
    num_joints: int, input_size: tuple[int, int], synchronize_batch_norm: bool = False, name: str = "student"
) -> keras.Model:
    """Two convolutions with batch normalization, because each layer takes time to trace."""
    policy = keras.dtype_policies.get(keras.config.dtype_policy())
    images = keras.Input((*input_size, 3), dtype=output_dtype(policy), name="images")
    x = images
    for index in (1, 2):
        x = convolve(x, 8, 3, 2, policy, f"conv{index}")
        x = rectify(normalize(x, policy, f"norm{index}"), policy, f"relu{index}")
    return build_heatmap_network(images, x, num_joints, name, synchronize_batch_norm)


@pytest.fixture
def small_student(monkeypatch):
    monkeypatch.setitem(NETWORKS, "student", KeypointNetwork(build_student, heatmap_stride=4))


def config_of(directory: pathlib.Path, **sections):
    return build_config(
        system="two_stage",
        data={"directory": str(directory)},
        network={"name": "student", "input_size": (64, 64)},
        crop=SETTINGS["crop"],
        augmentation={"mirror_probability": 0.5, "rotation_degrees": 30.0, "rotation_probability": 0.5},
        initialize={"from_scratch": True},
        batch_size=BATCH,
        optimization={"learning_rate": 1e-3, "ema_decay": 0.9},
        run={"total_steps": 1},
        **sections,
    )


def losses_of_run(workdir: pathlib.Path, config, table, steps: int, strategy: str = "one_device", **optimization):
    """The rows of the training log of a run of so many steps, which may continue an earlier one."""
    keras.backend.clear_session()
    plan = two_stage.plan_training(config, table, table)
    settings = config.optimization.to_dict() | optimization
    train(
        plan,
        strategy=build_strategy(strategy),
        workdir=workdir,
        optimization=OptimizationSettings(**settings),
        run=RunSettings(total_steps=steps, log_every=1, pictures_every=steps, checkpoint_every=max(steps // 2, 1)),
    )
    lines = (workdir / "train.csv").read_text().splitlines()
    speed = lines[0].split(",").index("images_per_second")
    return [[field for i, field in enumerate(line.split(",")) if i != speed] for line in lines]


@pytest.mark.slow
def test_weight_0_is_no_teacher_to_the_bit(tmp_path, table, coco_teacher, small_student):
    plain = losses_of_run(tmp_path / "plain", config_of(tmp_path), table, 2)
    settings = {"teacher": coco_teacher[0], "weight": 0.0}
    assert losses_of_run(tmp_path / "zero", config_of(tmp_path, distillation=settings), table, 2) == plain


@pytest.mark.slow
def test_continued_run_is_exact_and_the_teacher_stays_as_it_was(tmp_path, table, coco_teacher, small_student):
    name, _, _ = coco_teacher
    weights = pathlib.Path(name, BEST_WEIGHTS_NAME).read_bytes()
    config = config_of(tmp_path, distillation={"teacher": name, "weight": 0.5})
    whole = losses_of_run(tmp_path / "whole", config, table, 4)
    assert len({row[whole[0].index("loss")] for row in whole[1:]}) == 4
    copy_as_stopped(tmp_path / "whole", tmp_path / "parts", 2)
    assert losses_of_run(tmp_path / "parts", config, table, 4) == whole
    assert {"loss/teacher", "loss/labels", "teacher_agreement", "accuracy"} <= set(whole[0])
    assert pathlib.Path(name, BEST_WEIGHTS_NAME).read_bytes() == weights
    values, _ = read_checkpoint(list_checkpoints(tmp_path / "whole")[-1])
    alone, _ = read_checkpoint(list_checkpoints(tmp_path / "parts")[-1])
    student = two_stage.plan_training(config, table, table).build_model()
    assert sum(key.startswith("model/") for key in values) == len(student.variables)
    for key, value in values.items():
        np.testing.assert_array_equal(alone[key], value)
    assert (tmp_path / "whole" / "teacher.json").is_file()


def test_a_run_that_continues_with_other_weights_of_its_teacher_says_so(tmp_path, coco_teacher, capsys):
    teacher = built_teacher(coco_teacher[0], system_of())
    for digest, is_told in ((None, False), (None, False), ("other", True)):
        if digest:
            (tmp_path / "teacher.json").write_text(json.dumps({"sha256": digest}))
        teacher.describe(tmp_path)
        assert ("another teacher before" in capsys.readouterr().err) == is_told


def test_a_run_without_a_teacher_removes_the_description_of_an_earlier_one(
    tmp_path, table, coco_teacher, small_student
):
    for distillation, stays in (({"teacher": coco_teacher[0], "weight": 0.5}, True), ({}, False)):
        plan = two_stage.plan_training(config_of(tmp_path, distillation=distillation), table, table)
        plan.hooks.describe(tmp_path)
        assert (tmp_path / "teacher.json").is_file() == stays


def test_teacher_is_not_trained(table, coco_teacher):
    name, _, _ = coco_teacher
    student = system_of()
    teacher = built_teacher(name, student)
    before = [variable.numpy() for variable in teacher.network.variables]
    model, batch = random_network(student), make_batch(table, teacher)
    with tf.GradientTape() as tape:
        losses, _ = build_distilled_loss(teacher, targets_of(student))(model, batch)
        loss = losses["teacher"][0]
    values = [variable.value for variable in teacher.network.variables]
    assert all(gradient is None for gradient in tape.gradient(loss, values))
    assert not teacher.network.trainable_variables
    for variable, value in zip(teacher.network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "optimization"),
    [("mirrored", {"precision": "mixed_bfloat16"}), ("one_device", {"accumulation_steps": 2})],
)
def test_distillation_runs_on_replicas_in_parts_and_in_mixed_precision(
    tmp_path, table, coco_teacher, small_student, strategy, optimization
):
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("needs two logical CPUs: TensorFlow was started with one")
    config = config_of(tmp_path, distillation={"teacher": coco_teacher[0], "weight": 0.5})
    rows = losses_of_run(tmp_path / "run", config, table, 2, strategy, **optimization)
    assert len(rows) == 3 and all(np.isfinite(float(row[rows[0].index("loss/teacher")])) for row in rows[1:])


def test_people_without_labels_are_learned_from(tmp_path, coco_teacher, small_student):
    images = [synthetic_image(i, COCO17, num_people=1) for i in range(3)]
    for image in images:
        image["people"][0]["visibility"] = np.zeros(17)
    images[0]["people"][0]["box"] = [5, 5, 5, 5]
    write_dataset(tmp_path / "data", COCO17, images)
    table = read_table(tmp_path / "data", "train")
    with pytest.raises(ValueError, match="none of 3 people has a labeled joint"):
        PersonCrops(table, COCO17, system_of(COCO17).crop)
    assert PersonCrops(table, COCO17, system_of(COCO17).crop, needs_labels=False).rows.tolist() == [1, 2]
    plan = two_stage.plan_training(
        config_of(tmp_path, distillation={"teacher": coco_teacher[0], "weight": 1.0}), table, table
    )
    assert plan.prepare is not None


def test_refusals(tmp_path, coco_teacher):
    name = coco_teacher[0]
    for change, message in (({"weight": 1.5}, r"weight must be in \[0, 1\]"), ({"min_peak": -1.0}, "at least 0")):
        with pytest.raises(ValueError, match=message):
            DistillationSettings(name, **change)
    cases = [
        (system_of(), 1.0, "weight must be below 1 .* without head_bottom, head_top"),
        (system_of(COCO17, (128, 96)), 0.5, "input size of the student's aspect ratio, 128 x 96, got .* 64 x 64"),
        (
            system_of(skeleton_from_names("fly", ("wing", "leg"))),
            0.5,
            r"must have a joint of the student \(wing, leg\)",
        ),
    ]
    for student, weight, message in cases:
        with pytest.raises(ValueError, match=message):
            Teacher(DistillationSettings(name, weight), student)
    with pytest.raises(ValueError, match="distillation.teacher must name a keypoint network, got picodet_s_320"):
        Teacher(DistillationSettings("picodet_s_320"), system_of())
    with pytest.raises(FileNotFoundError, match=r"keypoint_system.json: not found"):
        Teacher(DistillationSettings(str(tmp_path)), system_of())
