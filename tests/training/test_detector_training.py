"""Loss, first weights, validation and pictures of the person detector."""

from __future__ import annotations

import csv
import dataclasses
import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keypoint_rcnn_cases import small_network
from shared_evaluation import assert_shared_to_the_bit
from small_detector import INPUT, SAMPLING, SETTINGS, small_table
from stopped_runs import copy_as_stopped

from tfpose.checkpoints import write_weights
from tfpose.data.detection_images import DetectionImages
from tfpose.data.pictures import decode_window
from tfpose.evaluation.box_scores import BOX_METRICS
from tfpose.inference.keypoint_rcnn_system import write_keypoint_rcnn_settings
from tfpose.metrics.coco import STATISTICS
from tfpose.models.keypoint_rcnn.detection import People
from tfpose.models.keypoint_rcnn.images import prepare_images
from tfpose.models.keypoint_rcnn.network import build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.objective import compute_losses
from tfpose.models.keypoint_rcnn.settings import KEYPOINT_OFFSET
from tfpose.skeletons import COCO17, POSETRACK15, POSETRACK18
from tfpose.training import keypoint_rcnn
from tfpose.training.batches import make_dataset
from tfpose.training.loop import OptimizationSettings, RunSettings, TrainingPlan, build_strategy, train

BOX_TERMS = ("anchor_classes", "anchor_boxes", "classes", "boxes")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return DetectionImages(small_table(tmp_path_factory.mktemp("data")), POSETRACK15, INPUT)


def batch_of(images, step=0, size=2):
    return {name: tf.constant(values) for name, values in images.batch(step, size, slice(0, size)).items()}


def test_images_are_prepared_as_in_inference(images):
    drawn = {
        "shortest_edges": np.array([SETTINGS.shortest_edge]),
        "is_mirrored": np.array([False]),
        "sample_seeds": np.zeros((1, 2), np.int32),
    }
    batch = {name: tf.constant(values) for name, values in images.examples(np.array([1]), drawn).items()}
    found = keypoint_rcnn.prepare_batch(batch, SETTINGS)["images"]
    picture = decode_window(images.table.read_image_bytes(1), (0, 0, 60, 90))
    expected, sizes = prepare_images(tf.constant(picture[None]), SETTINGS)
    assert sizes.numpy().tolist() == batch["image_sizes"].numpy().tolist() == [[64, 96]]
    np.testing.assert_allclose(found[:, :64, :96], expected[:, :64, :96], atol=1e-5)
    assert not np.any(found[:, :, 96:])


def test_losses_are_means_over_the_images_of_the_replica(images):
    network, batch = small_network(SETTINGS), batch_of(images)
    losses, metrics = keypoint_rcnn.build_loss(SAMPLING)(network, batch)
    expected = compute_losses(network, keypoint_rcnn.prepare_batch(batch, SETTINGS), SAMPLING)
    assert tuple(losses) == (*BOX_TERMS, "keypoints") and metrics == {}
    for name, (total, weight) in losses.items():
        assert float(weight) == 2
        np.testing.assert_allclose(total / weight, tf.math.divide_no_nan(*expected[name]), rtol=1e-5)
    assert float(losses["anchor_boxes"][0]) > 0 and float(losses["keypoints"][0]) > 0


def losses_of_run(images, workdir, strategy):
    """[steps, terms] of a run of the network without keypoints."""
    keras.backend.clear_session()
    train(
        TrainingPlan(
            build_model=functools.partial(small_network, SETTINGS.without_keypoints()),
            compute_loss=keypoint_rcnn.build_loss(SAMPLING),
            make_dataset=functools.partial(make_dataset, images, 2),
        ),
        strategy=strategy,
        workdir=workdir,
        optimization=OptimizationSettings(1e-3, optimizer="sgd", weight_decay=1e-4, warmup_steps=2),
        run=RunSettings(total_steps=3, log_every=1, checkpoint_every=2),
    )
    with open(workdir / "train.csv", newline="") as file:
        return np.array([[float(row[f"loss/{term}"]) for term in BOX_TERMS] for row in csv.DictReader(file)])


@pytest.fixture(scope="module")
def whole_run(images, tmp_path_factory):
    """The folder and the losses of a run."""
    directory = tmp_path_factory.mktemp("whole")
    losses = losses_of_run(images, directory, build_strategy("one_device"))
    assert losses.shape == (3, 4) and len(np.unique(losses[:, 0])) == 3
    return directory, losses


def test_a_run_that_is_continued_has_the_same_losses(images, whole_run, tmp_path):
    directory, expected = whole_run
    copy_as_stopped(directory, tmp_path, 2)
    np.testing.assert_array_equal(losses_of_run(images, tmp_path, build_strategy("one_device")), expected)


@pytest.mark.slow
def test_two_replicas_train_like_one_device(images, whole_run, tmp_path):
    """Where, as here, as many boxes are sampled in every image."""
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("needs two logical CPUs: TensorFlow was started with one")
    two = losses_of_run(images, tmp_path, build_strategy("mirrored"))
    np.testing.assert_allclose(two, whole_run[1], rtol=1e-4)


def find_annotated_people(table):
    """A perfect network, asked for the images of a table in order."""
    rows = itertools.count()

    def find(pictures):
        row = next(rows)
        start, stop = table.first_person[row : row + 2]
        keypoints = table.people["keypoints"][start:stop] + KEYPOINT_OFFSET
        keypoints = np.concatenate([keypoints, np.ones_like(keypoints)], axis=-1)
        values = (table.people["box"][start:stop], np.ones(stop - start), np.zeros(stop - start, np.int32), keypoints)
        return People(*map(tf.constant, values))

    return find


def test_validation_of_the_annotations_themselves_is_100(images, monkeypatch):
    monkeypatch.setattr(keypoint_rcnn, "build_find_function", lambda _: find_annotated_people(images.table))
    metrics = keypoint_rcnn.Validation(images.table, POSETRACK15, batch_size=1)(small_network(SETTINGS))
    assert metrics["box_AP"] == pytest.approx(100)
    assert metrics["AP"] == pytest.approx(100)
    assert tuple(metrics) == (*BOX_METRICS, *STATISTICS)


@pytest.fixture(scope="module")
def validation(images):
    """Shared, because it is compiled at its first call."""
    return keypoint_rcnn.Validation(images.table, POSETRACK15, batch_size=4)


def test_validation_of_a_random_network_gives_figures_of_boxes_and_keypoints(validation):
    metrics = validation(small_network(SETTINGS))
    assert {"box_AP", "box_AP50", "AP", "AP50"} <= metrics.keys()
    assert 0 <= metrics["box_AP"] < 50


def test_workers_and_devices_evaluate_together_to_the_bit(images, validation, monkeypatch):
    monkeypatch.setattr(
        keypoint_rcnn, "score_table_people", lambda table, people, skeleton: list(vars(people).values())
    )
    validations = iter([validation, keypoint_rcnn.Validation(images.table, POSETRACK15, batch_size=4)])
    assert_shared_to_the_bit(monkeypatch, lambda: next(validations), small_network(SETTINGS))


def test_pictures_show_the_batch_with_boxes(images):
    batch = batch_of(images, size=4)
    (sheet,) = keypoint_rcnn.draw_examples(small_network(SETTINGS), batch, POSETRACK15).values()
    assert sheet.shape == (2 * 64, 2 * 128, 3) and sheet.dtype == np.uint8
    index = int(np.argmax(batch["person_weights"][:, 0]))
    x1, y1 = np.rint(batch["boxes"][index, 0, :2]).astype(int)
    picture = sheet[index // 2 * 64 :, index % 2 * 128 :]
    assert tuple(picture[y1, x1]) == keypoint_rcnn.BOX_COLOR


def test_exactly_one_kind_of_first_weights_must_be_chosen():
    for trunk, source, scratch in (("", "", False), ("imagenet", "", True), ("imagenet", "run", False)):
        with pytest.raises(ValueError, match="initialize must set exactly one of"):
            keypoint_rcnn.build_initializer(trunk, source, scratch)


def test_weights_of_another_run_are_taken_over_but_for_other_joints(tmp_path):
    source = small_network(dataclasses.replace(SETTINGS, num_joints=17), seed=1)
    write_keypoint_rcnn_settings(tmp_path, source.settings)
    write_weights(source, tmp_path / "best.weights.h5")
    target = small_network(SETTINGS, seed=2)
    before = {variable.path: variable.numpy() for variable in target.variables}
    keypoint_rcnn.build_initializer("", str(tmp_path), False)(target)
    expected = {variable.path: variable.numpy() for variable in source.variables}
    for variable in target.variables:
        values = before if "score_lowres" in variable.path else expected
        np.testing.assert_array_equal(variable.numpy(), values[variable.path], err_msg=variable.path)


def test_joints_of_other_names_are_not_taken_over_though_there_are_as_many(tmp_path, capsys):
    """COCO and PoseTrack 2018 both have 17."""
    settings = dataclasses.replace(SETTINGS, num_joints=17)
    source, target = (small_network(settings, seed=seed) for seed in (1, 2))
    write_keypoint_rcnn_settings(tmp_path, settings, COCO17)
    write_weights(source, tmp_path / "best.weights.h5")
    before = {variable.path: variable.numpy() for variable in target.variables}
    keypoint_rcnn.build_initializer(source_workdir=str(tmp_path), joints=POSETRACK18.joints)(target)
    assert "the keypoint head starts from random weights" in capsys.readouterr().err
    copied = {variable.path: variable.numpy() for variable in target.variables}
    of_joints = [path for path in copied if "score_lowres" in path]
    assert of_joints and all(np.array_equal(copied[path], before[path]) for path in of_joints)
    keypoint_rcnn.build_initializer(source_workdir=str(tmp_path), joints=COCO17.joints)(target)
    for theirs, ours in zip(source.variables, target.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_weights_are_refused_where_they_would_make_another_detector(tmp_path):
    write_keypoint_rcnn_settings(tmp_path, SETTINGS)
    write_weights(small_network(SETTINGS), tmp_path / "best.weights.h5")
    target = small_network(dataclasses.replace(SETTINGS, conventions="detectron"))
    with pytest.raises(ValueError, match=r"--config.network.conventions must be detectron2, .* got detectron"):
        keypoint_rcnn.build_initializer(source_workdir=str(tmp_path))(target)


def test_weights_for_boxes_only_go_both_ways():
    source, target = small_network(SETTINGS, seed=1), build_keypoint_rcnn(SETTINGS.without_keypoints())
    keypoint_rcnn.transfer_weights(source, target)
    back = small_network(SETTINGS, seed=2)
    head = [variable.numpy() for variable in back.keypoint_head.variables]
    keypoint_rcnn.transfer_weights(target, back)
    for ours, theirs in zip(back.trunk.variables, source.trunk.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    for variable, value in zip(back.keypoint_head.variables, head, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_weights_of_another_network_are_refused_and_change_nothing():
    target = small_network(SETTINGS)
    before = [variable.numpy() for variable in target.variables]
    with pytest.raises(ValueError, match="must have shape .*, got"):
        keypoint_rcnn.transfer_weights(small_network(dataclasses.replace(SETTINGS, box_head_width=24)), target)
    for variable, value in zip(target.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
