"""Keypoint R-CNN stage by stage against Detectron2 on a photo, and what holds for any weights."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from freed_memory import free_memory
from keypoint_rcnn_cases import (
    SMALL,
    golden_folder,
    golden_input,
    golden_network,
    random_images,
    small_network,
    trace_network,
)

from tfpose.models.keypoint_rcnn.convolution import TrunkConvolution, convolve
from tfpose.models.keypoint_rcnn.detection import (
    detect_people,
    find_keypoints,
    find_people,
    select_people,
)
from tfpose.models.keypoint_rcnn.heads import BOX_POOLED_SIZE, KEYPOINT_POOLED_SIZE
from tfpose.models.keypoint_rcnn.images import normalize_images, pad_images
from tfpose.models.keypoint_rcnn.network import build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.proposals import ScoredBoxes, select_proposals
from tfpose.models.keypoint_rcnn.roi_align import assign_levels, pool_boxes
from tfpose.models.keypoint_rcnn.settings import RESNET50, RESNEXT101_32X8D, KeypointRcnnSettings
from tfpose.models.unfilled import build_unfilled

# Two runs of the reference differ by 4e-5 in the features and 6e-5 in the logits.
FEATURE_TOLERANCE = 1e-4
# The heads alone on stored boxes.
HEAD_TOLERANCE = 1e-3
BOX_PIXELS = 5e-3
KEYPOINT_PIXELS = 0.05
# Every how many rows and columns of a map are stored.
RESIDUAL_STAGES = ("res2", "res3", "res4", "res5")
SLICE_STEPS = {
    "small": {"stem": 16, **dict.fromkeys(RESIDUAL_STAGES, 4)},
    "full": {"stem": 16, **dict.fromkeys((*RESIDUAL_STAGES, "p2", "p3"), 8), **dict.fromkeys(("p4", "p5", "p6"), 4)},
}


class GoldenRun:
    """The stages of one network on one image, computed once."""

    def __init__(self, folder, case, model):
        with np.load(folder / f"{case}_{model}.npz") as arrays:
            self.golden = dict(arrays)
        self.case = case
        self.network = golden_network(folder, model)
        self.images, self.sizes = golden_input(folder, f"{case}_bgr", self.network.settings)
        self.compute_stages, self.find_people = trace_network(self.network)
        outputs = self.compute_stages(self.images)
        pyramid_names = [f"p{level}" for level in range(2, 7)]
        self.features = dict(zip(["stem", *RESIDUAL_STAGES, *pyramid_names], outputs, strict=True))
        self.pyramid = outputs[-len(pyramid_names) :]
        self.logits, self.deltas = self.network.score_anchors(self.pyramid)

    def stored(self, name):
        boxes = tf.constant(self.golden[f"{name}_boxes"])
        return boxes, tf.zeros(len(boxes), tf.int32)


@pytest.fixture(
    scope="module",
    # Both images of a network one after the other, see `golden_network`, and the larger network first: TensorFlow keeps
    # the memory that it has used, and the smaller one fits into it.
    params=[
        pytest.param(("full", "X101"), marks=pytest.mark.slow),
        ("small", "X101"),
        ("small", "R50"),
        pytest.param(("full", "R50"), marks=pytest.mark.slow),
    ],
    ids="_".join,
)
def run(request, shared_dir):
    yield GoldenRun(golden_folder(shared_dir), *request.param)
    free_memory()


def assert_close(values, expected, tolerance):
    np.testing.assert_allclose(np.asarray(values), expected, rtol=0, atol=tolerance)


def channels_first(maps):
    return np.asarray(maps).transpose(0, 3, 1, 2)


def unmatched(boxes, others):
    """How many boxes have no partner within 0.05 px."""
    distances = np.abs(np.asarray(boxes)[:, None] - np.asarray(others)[None]).max(axis=-1)
    return np.sum(distances.min(axis=1) > 0.05)


def assert_keypoints_close(keypoints, expected):
    """Where two peaks of a map are nearly equal, either may be found: then the values there must be alike."""
    distances = np.abs(keypoints[..., :2] - expected[..., :2]).max(axis=-1)
    assert np.mean(distances < KEYPOINT_PIXELS) >= 0.99
    return distances


def test_input(run):
    golden = run.golden
    assert_close(run.images[0, :4, :4], golden["input_corner"].transpose(1, 2, 0), 1e-5)
    assert run.images.shape[1:3] == tuple(golden["padded_hw"])
    total = np.asarray(run.images, np.float64)
    np.testing.assert_allclose([total.sum(), np.abs(total).sum()], golden["input_sum"], rtol=1e-6)


@pytest.mark.parametrize("name", ["stem", "res2", "res3", "res4", "res5", "p2", "p3", "p4", "p5", "p6"])
def test_features(run, name):
    golden = run.golden
    maps = channels_first(run.features[name])[0]
    assert maps.shape == tuple(golden[f"{name}_shape"])
    channels = len(maps)
    expected = golden[f"{name}_slice"]
    step = SLICE_STEPS[run.case].get(name, 1)
    assert_close(maps[[0, 37, channels // 2, channels - 1]][:, ::step, ::step], expected, FEATURE_TOLERANCE)
    assert_close(maps.mean(axis=(1, 2)), golden[f"{name}_channel_mean"], FEATURE_TOLERANCE)


@pytest.mark.parametrize("level", range(2, 7))
def test_scored_anchors(run, level):
    golden = run.golden
    step = int(golden[f"rpn_stride_p{level}"])
    logits, deltas = run.logits[level - 2][0], run.deltas[level - 2][0]
    assert len(logits) == golden[f"rpn_count_p{level}"]
    assert_close(logits[::step], golden[f"rpn_logits_p{level}"], FEATURE_TOLERANCE)
    assert_close(deltas[::step], golden[f"rpn_deltas_p{level}"], FEATURE_TOLERANCE)


def test_proposals(run):
    network = run.network
    proposals = select_proposals(
        run.logits, run.deltas, network.anchors(run.pyramid), run.sizes, network.settings.proposals
    )
    expected = run.golden["proposal_boxes"]
    assert proposals.boxes.shape == expected.shape
    assert unmatched(proposals.boxes, expected) <= 10
    assert unmatched(expected, proposals.boxes) <= 10


def test_box_head_on_stored_proposals(run):
    golden = run.golden
    boxes, images = run.stored("proposal")
    np.testing.assert_array_equal(assign_levels(boxes), golden["proposal_levels"])
    pooled = pool_boxes(run.pyramid, boxes, images, BOX_POOLED_SIZE)
    chosen = tf.gather(pooled, golden["box_pooled_index"])
    assert_close(channels_first(chosen)[:, ::16], golden["box_pooled"], HEAD_TOLERANCE)
    head = run.network.box_head
    assert_close(keras.Model(head.input, head.get_layer("fc2").output)(chosen), golden["box_fc"], HEAD_TOLERANCE)
    logits, deltas = run.network.predict_boxes(run.pyramid, boxes, images)
    assert_close(logits, golden["box_class_logits"], HEAD_TOLERANCE)
    assert_close(deltas, golden["box_deltas"], HEAD_TOLERANCE)
    proposals = ScoredBoxes(boxes, tf.constant(golden["proposal_logits"]), images)
    people, positions = select_people(logits, deltas, proposals, run.sizes, run.network.settings.detections)
    np.testing.assert_array_equal(positions, golden["detection_proposal_index"])
    assert_close(people.boxes, golden["detection_boxes"], HEAD_TOLERANCE)
    assert_close(people.scores, golden["detection_scores"], HEAD_TOLERANCE)


def test_keypoint_head_on_stored_detections(run):
    golden = run.golden
    boxes, images = run.stored("detection")
    chosen = golden["keypoint_index"]
    chosen_boxes, chosen_images = tf.gather(boxes, chosen), tf.gather(images, chosen)
    pooled = channels_first(pool_boxes(run.pyramid, chosen_boxes, chosen_images, KEYPOINT_POOLED_SIZE))
    assert_close(pooled[:, ::4], golden["keypoint_pooled"], HEAD_TOLERANCE)
    if "keypoint_pooled_full" in golden:  # for the small image only
        assert_close(pooled[:1], golden["keypoint_pooled_full"], HEAD_TOLERANCE)
    maps = channels_first(run.network.predict_keypoint_maps(run.pyramid, chosen_boxes, chosen_images))
    joint_step = -(-maps.shape[1] // golden["keypoint_logits"].shape[1])
    assert_close(maps[:, ::joint_step], golden["keypoint_logits"], HEAD_TOLERANCE)
    scored = ScoredBoxes(boxes, tf.constant(golden["detection_scores"]), images)
    keypoints = find_keypoints(run.network, run.pyramid, scored).numpy()
    expected = golden["keypoints_xyls"]
    assert_keypoints_close(keypoints, expected)
    assert_close(keypoints[..., 2:], expected[..., 2:], HEAD_TOLERANCE)


def test_people(run):
    golden = run.golden
    people = run.find_people(run.images, run.sizes, tf.constant(golden["original_hw"][None], tf.int32))
    distances = np.abs(people.boxes.numpy()[:, None] - golden["final_boxes"][None]).max(axis=-1)
    partners = distances.argmin(axis=1)
    assert sorted(partners) == list(range(len(golden["final_boxes"])))
    assert distances.min(axis=1).max() < BOX_PIXELS
    assert_close(people.scores, golden["final_scores"][partners], 2e-4)
    assert_keypoints_close(people.keypoints.numpy()[..., [0, 1, 3]], golden["final_keypoints"][partners])


@pytest.fixture(scope="module")
def network():
    return small_network()


def people_of_image(people, image):
    is_own = people.image_indices == image
    return [np.asarray(values[is_own]) for values in (people.boxes, people.scores, people.keypoints)]


def test_images_give_the_same_alone_and_in_a_batch(network):
    """Of the same padded size: more padding would change the features near the border."""
    images = [tf.constant(random_images(1, size, seed)[0]) for seed, size in enumerate([(64, 96), (60, 70)])]
    prepared = [normalize_images(image, SMALL) for image in images]
    together = detect_people(network, *pad_images(prepared))
    for index, image in enumerate(prepared):
        alone = people_of_image(detect_people(network, *pad_images([image])), 0)
        assert len(alone[0]) > 1
        for values, expected in zip(people_of_image(together, index), alone, strict=True):
            np.testing.assert_allclose(values, expected, atol=1e-3, rtol=1e-3)


def test_people_lie_inside_their_image_best_first_without_overlap(network):
    images = random_images(3, (90, 120))
    people = find_people(network, tf.constant(images))
    for index in range(3):
        boxes, scores, keypoints = people_of_image(people, index)
        assert len(boxes) > 1
        assert np.all(boxes >= 0) and np.all(boxes <= [120, 90, 120, 90])
        assert np.all(np.diff(scores) <= 0) and np.all(scores > SMALL.detections.score_threshold)
        assert keypoints.shape == (len(boxes), SMALL.num_joints, 4)
        assert np.all(keypoints[..., :2] >= boxes[:, None, :2] - 1e-3)
        assert np.all(keypoints[..., :2] <= boxes[:, None, 2:] + 1e-3)


def test_one_graph_serves_all_sizes(network):
    graph = tf.function(
        lambda images: find_people(network, images), input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)]
    )
    for size, batch in [((64, 96), 1), ((90, 70), 2), ((128, 128), 1)]:
        images = tf.constant(random_images(batch, size))
        for values, expected in zip(graph(images), find_people(network, images), strict=True):
            np.testing.assert_allclose(values, expected, atol=2e-3, rtol=1e-3)
    assert graph.experimental_get_tracing_count() == 1


def test_no_people_is_no_error(network):
    settings = dataclasses.replace(SMALL, detections=dataclasses.replace(SMALL.detections, score_threshold=1.0))
    nobody = build_keypoint_rcnn(settings)
    people = tf.function(lambda images: find_people(nobody, images))(tf.constant(random_images(2, (64, 64))))
    assert people.boxes.shape == (0, 4)
    assert people.keypoints.shape == (0, SMALL.num_joints, 4)


def test_boxes_are_the_same_without_the_keypoint_head(network):
    boxes_only = build_keypoint_rcnn(SMALL.without_keypoints())
    for source, target in zip(
        (network.trunk, network.proposal_head, network.box_head),
        (boxes_only.trunk, boxes_only.proposal_head, boxes_only.box_head),
        strict=True,
    ):
        target.set_weights(source.get_weights())
    images = tf.constant(random_images(1, (64, 96)))
    people, expected = find_people(boxes_only, images), find_people(network, images)
    np.testing.assert_allclose(people.boxes, expected.boxes, atol=1e-4)
    assert people.keypoints.shape == (len(expected.boxes), 0, 4)
    with pytest.raises(ValueError, match="no keypoint head"):
        boxes_only.predict_keypoint_maps([], people.boxes, people.image_indices)


@pytest.mark.parametrize("channels, filters, groups", [(64, 64, 32), (64, 128, 2), (48, 48, 3), (24, 12, 12)])
@pytest.mark.parametrize("strides", (1, 2))
def test_grouped_convolutions_agree_in_both_forms_with_their_gradients(channels, filters, groups, strides):
    """And with separate convolutions of each group."""
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.normal(size=(2, 9, 7, channels)), tf.float32)
    kernel = tf.constant(rng.normal(size=(3, 3, channels // groups, filters)), tf.float32)

    def separate(inputs, kernel):
        parts = zip(tf.split(inputs, groups, -1), tf.split(kernel, groups, -1), strict=True)
        return tf.concat([tf.nn.conv2d(x, k, strides, "SAME") for x, k in parts], axis=-1)

    def evaluate(function):
        with tf.GradientTape() as tape:
            tape.watch([inputs, kernel])
            outputs = function(inputs, kernel)
            total = tf.reduce_sum(outputs * tf.sin(outputs))
        return [outputs, *tape.gradient(total, [inputs, kernel])]

    expected = evaluate(separate)
    for form in ("blocks", "auto"):
        found = evaluate(lambda x, k, form=form: convolve(x, k, strides, "same", groups, form))
        for values, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(values, wanted, atol=2e-3, rtol=1e-4)


def test_trunk_convolution_is_convolution_and_normalization():
    rng = np.random.default_rng(0)
    layer = TrunkConvolution(6, 3, strides=2, activation="relu")
    images = rng.normal(size=(2, 8, 10, 4)).astype(np.float32)
    layer.build(images.shape)
    norm = {name: rng.uniform(0.5, 1.5, 6).astype(np.float32) for name in ("scale", "shift", "mean", "variance")}
    for name, values in norm.items():
        getattr(layer, f"norm_{name}").assign(values)
    padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)])
    x = tf.nn.conv2d(padded, layer.kernel.value, 2, "VALID").numpy()
    x = (x - norm["mean"]) / np.sqrt(norm["variance"] + 1e-5) * norm["scale"] + norm["shift"]
    np.testing.assert_allclose(layer(images), np.maximum(x, 0), atol=1e-5)
    assert [variable.name for variable in layer.trainable_variables] == ["kernel"]
    assert layer.compute_output_shape((None, 9, 10, 4)) == (None, 5, 5, 6)


@pytest.mark.parametrize("settings, num_weights", [(RESNET50, 59_239_398), (RESNEXT101_32X8D, 122_623_462)])
def test_published_networks_have_the_published_number_of_weights(settings, num_weights):
    assert build_unfilled(lambda: build_keypoint_rcnn(settings)).count_params() == num_weights


def test_stem_and_first_stage_are_not_trained():
    trunk = build_keypoint_rcnn(dataclasses.replace(SMALL, num_frozen_stages=2)).trunk
    trained = {variable.path.split("/")[-2] for variable in trunk.trainable_variables}
    assert not any(name.startswith(("stem", "res2")) for name in trained)
    assert "res3_0_conv1" in trained and "fpn_lateral2" in trained


def test_batch_normalization_in_place_of_the_frozen_one_trains_from_scratch():
    network = build_keypoint_rcnn(dataclasses.replace(SMALL, normalization="batch"))
    names = {variable.name for variable in network.trunk.trainable_variables}
    assert {"gamma", "beta", "kernel"} <= names
    people = find_people(network, tf.constant(random_images(1, (64, 64))))
    assert np.isfinite(people.boxes).all()


def test_half_precision_gives_heads_in_single_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build_keypoint_rcnn(SMALL)
    finally:
        keras.config.set_dtype_policy("float32")
    pyramid = network(tf.zeros([1, 64, 64, 3]), training=False)
    assert {level.dtype for level in pyramid} == {tf.bfloat16}
    logits, deltas = network.score_anchors(pyramid)
    assert {values.dtype for values in (*logits, *deltas)} == {tf.float32}
    people = find_people(network, tf.constant(random_images(1, (64, 64))))
    assert people.keypoints.dtype == tf.float32


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"stride_in": "2x2"}, "stride_in must be one of"),
        ({"inner_width": 10, "num_groups": 4}, "inner_width must divide by num_groups, got 10 and 4"),
        ({"anchor_sizes": (8.0,)}, "anchor_sizes must have 5 entries"),
        ({"num_frozen_stages": 6}, "num_frozen_stages must be in 0..5, got 6"),
        ({"shortest_edge": 900, "longest_edge": 800}, "shortest_edge must be at least 1 and no longer than"),
        ({"num_joints": 0}, "num_joints must be at least 1, got 0"),
        ({"pyramid_width": 0}, "pyramid_width must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(KeypointRcnnSettings(), **changes)
