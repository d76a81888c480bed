"""A Keypoint R-CNN in bfloat16 beside the same network in float32."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from keypoint_rcnn_cases import SMALL, random_images, small_network

from tfpose.inference.table_people import build_find_function
from tfpose.models.batch_norm import FusedBatchNormalization, fold_batch_norm
from tfpose.models.keypoint_rcnn import simplification
from tfpose.models.keypoint_rcnn.box_coding import PROPOSAL_WEIGHTS, decode_boxes
from tfpose.models.keypoint_rcnn.images import prepare_images
from tfpose.models.keypoint_rcnn.network import Parts
from tfpose.models.keypoint_rcnn.proposals import select_proposals
from tfpose.models.keypoint_rcnn.settings import DetectionSettings
from tfpose.models.keypoint_rcnn.simplification import simplify_keypoint_rcnn

# Each layer rounds by up to 1/512 (see test_bfloat16.py). Measured for three seeds: the features and the logits of
# joints change by 0.01 to 0.03 of the largest one.
FEATURE_CHANGE = 0.06
# Of 1369 boxes of a network that was trained for 300 steps on the synthetic videos, 97 % move by less than 1 pixel, the
# median by 0.1, and scores change by up to 0.013. Random networks have steeper logits: scores change by up to 0.05.
BOX_CHANGE, SCORE_CHANGE = 1.0, 0.08
# Where two boxes of nearly the same score overlap, rounding decides which one stays: for 3 % of the people.
SHARE_NEAR = 0.9


def build(normalization):
    """A network with random weights; the trunk of one with frozen normalizations has grouped convolutions."""
    settings = dataclasses.replace(
        SMALL,
        normalization=normalization,
        num_groups=4 if normalization == "frozen" else 1,
        detections=DetectionSettings(score_threshold=0.02),
    )
    network = small_network(settings, seed=1)
    for variable in network.variables:
        if variable.path.endswith(("bbox_pred/kernel", "anchor_deltas/kernel")):
            variable.assign(0.1 * variable)
        elif variable.name in ("moving_mean", "moving_variance"):
            values = np.random.default_rng(0).uniform(0.5, 1.5, variable.shape)
            variable.assign(values - 1 if variable.name == "moving_mean" else values)
    return network


@pytest.fixture(scope="module", params=["frozen", "batch"])
def networks(request):
    """A network and the same in bfloat16."""
    network = build(request.param)
    return network, simplify_keypoint_rcnn(network, "bfloat16")


@pytest.fixture(scope="module")
def images():
    return tf.constant(random_images(3, (60, 90), seed=1))


def relative_change(found, expected):
    return float(tf.reduce_max(tf.abs(tf.cast(found, tf.float32) - expected)) / tf.reduce_max(tf.abs(expected)))


def test_float32_is_the_network_itself():
    network = small_network()
    assert simplify_keypoint_rcnn(network) is simplify_keypoint_rcnn(network, "float32") is network


def test_features_are_near_those_of_float32_and_stay_in_bfloat16(networks, images):
    prepared, _ = prepare_images(images, SMALL)
    expected, found = (network(prepared, training=False) for network in networks)
    for level, exact in zip(found, expected, strict=True):
        assert level.dtype == tf.bfloat16
        assert 0 < relative_change(level, exact) < FEATURE_CHANGE


def test_boxes_and_scores_of_the_same_proposals_are_near_those_of_float32(networks, images):
    network, rounded = networks
    prepared, sizes = prepare_images(images, SMALL)
    pyramids = [each(prepared, training=False) for each in networks]
    anchors = network.anchors(pyramids[0])
    proposals = select_proposals(*network.score_anchors(pyramids[0]), anchors, sizes, SMALL.proposals)
    places = proposals.boxes, proposals.image_indices
    (exact, rough) = (each.predict_boxes(pyramid, *places) for each, pyramid in zip(networks, pyramids, strict=True))
    assert {values.dtype for values in rough} == {tf.float32}
    boxes, rough_boxes = (decode_boxes(deltas, proposals.boxes, PROPOSAL_WEIGHTS) for _, deltas in (exact, rough))
    scores, rough_scores = (tf.nn.softmax(logits)[:, 0] for logits, _ in (exact, rough))
    np.testing.assert_allclose(rough_boxes, boxes, atol=BOX_CHANGE)
    np.testing.assert_allclose(rough_scores, scores, atol=SCORE_CHANGE)
    maps, rough_maps = (
        each.predict_keypoint_maps(pyramid, *places) for each, pyramid in zip(networks, pyramids, strict=True)
    )
    assert rough_maps.dtype == tf.float32 and relative_change(rough_maps, maps) < FEATURE_CHANGE
    logits, deltas = rounded.score_anchors(pyramids[1])
    assert {values.dtype for values in (*logits, *deltas)} == {tf.float32}


@pytest.fixture(scope="module")
def graphs():
    """The graphs that find boxes with both networks, traced once."""
    network = build("frozen")
    signature = tf.TensorSpec((None, None, None, 3), tf.uint8)
    settings = network.settings.without_keypoints()
    both = network, simplify_keypoint_rcnn(network, "bfloat16")
    return [build_find_function(each, settings).get_concrete_function(signature) for each in both]


def test_people_are_near_those_of_float32(graphs, images):
    expected, found = (find(images) for find in graphs)
    assert all(one.dtype == other.dtype for one, other in zip(expected, found, strict=True))
    is_same_image = expected.image_indices.numpy()[:, None] == found.image_indices.numpy()
    distances = np.abs(expected.boxes.numpy()[:, None] - found.boxes.numpy()).max(axis=-1)
    distances[~is_same_image] = np.inf
    is_near = distances.min(axis=1) < BOX_CHANGE
    changes = np.abs(expected.scores.numpy() - found.scores.numpy()[distances.argmin(axis=1)])
    assert len(is_near) > 20 and is_near.mean() >= SHARE_NEAR
    assert changes[is_near].max() < SCORE_CHANGE


def test_all_convolutions_of_the_graph_multiply_bfloat16(graphs):
    dtypes = []
    for find in graphs:
        nodes = [node for node in find.graph.as_graph_def().node if node.op == "Conv2D"]
        dtypes.append([tf.dtypes.as_dtype(node.attr["T"].type) for node in nodes])
    assert len(dtypes[0]) == len(dtypes[1]) > 20
    assert [set(each) for each in dtypes] == [{tf.float32}, {tf.bfloat16}]


def test_no_normalization_is_left_and_weights_take_half_the_memory(networks):
    network, rounded = networks
    layers = [layer for part in Parts(*(getattr(rounded, name) for name in Parts._fields)) for layer in part.layers]
    assert not any(
        isinstance(layer, FusedBatchNormalization) or getattr(layer, "norm", "") == "frozen" for layer in layers
    )
    in_float32 = {variable.path.split("/")[-2] for variable in rounded.variables if variable.dtype == "float32"}
    assert in_float32 == {"objectness_logits", "anchor_deltas", "cls_score", "bbox_pred", "score_lowres"}
    assert network.trunk.get_layer("stem_conv1").kernel.dtype == "float32"


def test_normalizations_are_merged_before_weights_are_rounded(networks, images):
    network, _ = networks
    prepared, _ = prepare_images(images, SMALL)
    merged = simplification._merge_frozen_norms(fold_batch_norm(network.trunk))
    for found, expected in zip(merged(prepared), network.trunk(prepared, training=False), strict=True):
        assert relative_change(found, expected) < 1e-5
