"""Assignment and losses of PicoDet against the formulas of the papers, written out for single cells."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfpose.models import picodet_objective as objective
from tfpose.models.picodet import cell_centers

SIZE = (64, 128)
SETTINGS = objective.ObjectiveSettings()


def batch_of(*boxes, ignored=()):
    people = np.zeros((1, 3, 4), np.float32)
    people[0, : len(boxes)] = np.reshape(boxes, (-1, 4))
    weights = np.zeros((1, 3), np.float32)
    weights[0, : len(boxes)] = 1
    areas = np.zeros((1, 1, 4), np.float32)
    areas[0, : len(ignored)] = np.reshape(ignored, (-1, 4))
    return {"boxes": people, "person_weights": weights, "ignored_boxes": areas}


def cells():
    return tuple(np.asarray(values) for values in cell_centers(SIZE))


def boxes_around_cells(sides=(1.5, 1.5)):
    """A box of some cells' size around each cell, and scores of 0.1. [1, A, 4], [1, A]"""
    centers, strides = cells()
    half = strides * np.array(sides) / 2
    return np.concatenate([centers - half, centers + half], axis=1)[None].astype(np.float32), np.full(
        (1, len(centers)), 0.1, np.float32
    )


def assign(found, scores, batch, settings=SETTINGS):
    return objective.Assignment(
        *(np.asarray(v) for v in objective.assign_cells(scores, found, batch, cells(), settings))
    )


def test_a_person_takes_as_many_cells_as_its_best_overlaps_add_up_to():
    found, scores = boxes_around_cells()
    person = np.array([20.0, 12, 44, 36])
    centers, _ = cells()
    # Four cells of stride 8 within the person have exactly the right box: 4 overlaps of 1, the others nearly 0.
    right = np.flatnonzero((np.abs(centers - [32, 24]) < 5).all(axis=1))[:4]
    assert len(right) == 4
    found[0, :] = 0
    found[0, right] = person
    chosen = assign(found, scores, batch_of(person))
    assert np.flatnonzero(chosen.is_positive[0]).tolist() == right.tolist()
    np.testing.assert_allclose(chosen.overlaps[0, right], 1)
    np.testing.assert_allclose(chosen.boxes[0, right], np.tile(person, (4, 1)))


def test_a_person_that_no_box_overlaps_takes_one_cell_near_its_center():
    found, scores = boxes_around_cells()
    found[:] = [-9.0, -9, -8, -8]
    person = np.array([60.0, 30, 68, 50])
    chosen = assign(found, scores, batch_of(person))
    row = np.flatnonzero(chosen.is_positive[0])
    centers, strides = cells()
    assert len(row) == 1
    assert (np.abs(centers[row] - [64, 40]) < 2.5 * strides[row]).all()


def test_cells_that_two_people_want_go_to_the_one_that_they_fit_better():
    found, scores = boxes_around_cells()
    left, right = np.array([16.0, 8, 56, 56]), np.array([24.0, 8, 64, 56])
    centers, _ = cells()
    found[0] = np.where(centers[:, :1] < 40, left, right)
    chosen = assign(found, scores, batch_of(left, right))
    rows = np.flatnonzero(chosen.is_positive[0])
    assert len(rows) > 2
    expected = np.where(centers[rows, :1] < 40, left, right)
    np.testing.assert_allclose(chosen.boxes[0, rows], expected)
    np.testing.assert_allclose(chosen.overlaps[0, rows], 1, rtol=1e-6)


def test_rows_without_a_person_take_no_cell():
    found, scores = boxes_around_cells()
    assert not assign(found, scores, batch_of()).is_positive.any()


def test_varifocal_loss_is_that_of_the_paper():
    scores, targets = np.array([0.3, 0.3, 0.9], np.float32), np.array([0.0, 0.7, 1.0], np.float32)
    expected = [
        -0.75 * 0.3**2 * np.log(0.7),
        -0.7 * (0.7 * np.log(0.3) + 0.3 * np.log(0.7)),
        -np.log(0.9),
    ]
    np.testing.assert_allclose(objective.varifocal_loss(scores, targets, 0.75, 2.0), expected, rtol=1e-4)


def test_distribution_focal_loss_shares_the_weight_of_two_bins():
    logits = np.random.default_rng(0).normal(size=(1, 1, 32)).astype(np.float32)
    logarithms = logits.reshape(4, 8) - np.log(np.exp(logits.reshape(4, 8)).sum(axis=1, keepdims=True))
    distances = np.array([[[0.0, 2.25, 5.5, 6.99]]], np.float32)
    expected = [
        -logarithms[0, 0],
        -(0.75 * logarithms[1, 2] + 0.25 * logarithms[1, 3]),
        -(0.5 * logarithms[2, 5] + 0.5 * logarithms[2, 6]),
        -(0.01 * logarithms[3, 6] + 0.99 * logarithms[3, 7]),
    ]
    np.testing.assert_allclose(objective.distribution_focal_loss(logits, distances)[0, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("box", "expected"),
    [([0, 0, 2, 2], 1.0), ([1, 0, 3, 2], 2 / 6), ([3, 0, 5, 2], -2 / 10), ([4, 4, 6, 6], -28 / 36)],
)
def test_generalized_overlap_is_that_of_the_paper(box, expected):
    boxes = np.array([[0.0, 0, 2, 2]], np.float32), np.array([box], np.float32)
    np.testing.assert_allclose(objective.generalized_overlap(*boxes), [expected], rtol=1e-5)


def losses(scores, found_logits, batch):
    outputs = {"scores": tf.constant(scores), "distribution": tf.constant(found_logits)}
    return {name: float(value) for name, value in objective.compute_losses(outputs, batch, SIZE, SETTINGS).items()}


def test_cells_in_ignored_boxes_are_no_background():
    centers, _ = cells()
    scores = np.full((1, len(centers)), 0.5, np.float32)
    logits = np.zeros((1, len(centers), 32), np.float32)
    everything = (-100, -100, 300, 300)
    assert losses(scores, logits, batch_of())["score"] > 10
    assert losses(scores, logits, batch_of(ignored=[everything])) == {"score": 0, "box": 0, "distance": 0}
    with_person = losses(scores, logits, batch_of((20, 12, 44, 36), ignored=[everything]))
    assert min(with_person.values()) > 0


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_gradients_are_finite_at_the_ends_of_the_scores(score):
    """Also where images have no people, and where boxes are far from every person."""
    centers, _ = cells()
    scores = tf.fill([1, len(centers)], score)
    logits = 30 * tf.one_hot(tf.zeros([1, len(centers), 4], tf.int32), 8)
    logits = tf.reshape(logits, [1, len(centers), 32])
    for batch in (batch_of(), batch_of((20, 12, 44, 36), (80, 4, 120, 60)), batch_of((60, 30, 60.5, 30.5))):
        with tf.GradientTape() as tape:
            tape.watch([scores, logits])
            outputs = {"scores": scores, "distribution": logits}
            total = tf.add_n(list(objective.compute_losses(outputs, batch, SIZE, SETTINGS).values()))
        for gradient in tape.gradient(total, [scores, logits], unconnected_gradients="zero"):
            assert np.isfinite(gradient).all()
