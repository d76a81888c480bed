import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfpose.inference.frame_peaks import SingleNetworkSettings, suppress_heads
from tfpose.inference.head_detection import find_heads


def heads_of(maps, **settings):
    """Heads of [B, h, w] maps as lists of (image, x, y), from the eager and the compiled function."""
    maps = np.asarray(maps, np.float32)[..., None]
    choice = SingleNetworkSettings(**settings)
    found = find_heads(tf.constant(maps), choice)
    signature = [tf.TensorSpec([None, None, None, 1], tf.float32)]
    compiled = tf.function(lambda m: find_heads(m, choice), input_signature=signature)(maps)
    for a, b in zip(found, compiled, strict=True):
        np.testing.assert_array_equal(a, b)
    images, heads, scores = (values.numpy() for values in found)
    np.testing.assert_array_equal(scores, maps[images, heads[:, 1], heads[:, 0], 0])
    return [(int(i), *head) for i, head in zip(images, heads.tolist(), strict=True)]


def blank(count=1, size=(12, 16)):
    return np.zeros((count, *size), np.float32)


def test_no_heads_in_an_empty_batch_or_below_the_threshold():
    assert heads_of(blank()) == []
    assert heads_of(blank(0)) == []
    maps = blank()
    maps[0, 3, 4] = 0.2
    assert heads_of(maps, head_threshold=0.2) == []
    assert heads_of(maps, head_threshold=0.19) == [(0, 4, 3)]


def test_strongest_first_within_each_image():
    maps = blank(2)
    maps[0, 2, 2], maps[0, 9, 12], maps[1, 5, 5] = 0.5, 0.7, 0.9
    assert heads_of(maps) == [(0, 12, 9), (0, 2, 2), (1, 5, 5)]


@pytest.mark.parametrize(("distance", "is_removed"), [(4.99, False), (5.0, True)])
def test_distance_is_inclusive(distance, is_removed):
    """Two heads 3 and 4 cells apart are exactly 5 apart."""
    maps = blank()
    maps[0, 2, 2], maps[0, 6, 5] = 0.9, 0.8
    assert heads_of(maps, head_distance_cells=distance) == [(0, 2, 2)] + [(0, 5, 6)] * (not is_removed)


def test_a_removed_head_removes_none():
    """In a row of three, 4 apart each, the middle one goes, so the last one stays though it is near the middle one."""
    maps = blank()
    maps[0, 5, [1, 5, 9]] = [0.9, 0.8, 0.7]
    assert heads_of(maps, head_distance_cells=4) == [(0, 1, 5), (0, 9, 5)]
    assert len(heads_of(maps, head_distance_cells=0)) == 3


def test_heads_of_another_image_remove_nothing():
    maps = blank(2)
    maps[0, 5, 5], maps[1, 5, 6] = 0.9, 0.8
    assert len(heads_of(maps)) == 2


def test_the_strongest_are_kept_where_there_are_too_many():
    maps = blank(3)
    maps[0, 1, [1, 6, 11]] = [0.3, 0.5, 0.4]
    maps[2, 1, [1, 6, 11]] = [0.5, 0.4, 0.3]
    assert heads_of(maps, max_people=2) == [(0, 6, 1), (0, 11, 1), (2, 1, 1), (2, 6, 1)]


@pytest.mark.parametrize("shape", [np.ones((3, 3)), np.ones((1, 9)), [[0, 1, 1], [1, 1, 0]], [[1, 0, 1], [1, 1, 1]]])
def test_a_plateau_is_one_head_at_its_first_cell(shape):
    maps = blank()
    shape = np.asarray(shape)
    maps[0, 4 : 4 + shape.shape[0], 5 : 5 + shape.shape[1]] = 0.6 * shape
    first = int(np.argmax(shape[0]))
    assert heads_of(maps, head_distance_cells=0) == [(0, 5 + first, 4)]


def test_a_flat_map_is_one_head_and_a_terrace_is_none():
    assert heads_of(np.full((1, 12, 16), 0.5), head_distance_cells=0) == [(0, 0, 0)]
    maps = blank()
    maps[0, 5, 2:9], maps[0, 5, 9] = 0.5, 0.6
    assert heads_of(maps, head_distance_cells=0) == [(0, 9, 5)]


def brute_force_heads(heat, threshold, squared_distance):
    height, width = heat.shape
    maxima = []
    for y, x in itertools.product(range(height), range(width)):
        around = heat[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        if heat[y, x] > threshold and (around <= heat[y, x]).all():
            maxima.append((-heat[y, x], y, x))
    kept = []
    for _, y, x in sorted(maxima):
        if all((x - a) ** 2 + (y - b) ** 2 > squared_distance for a, b in kept):
            kept.append((x, y))
    return kept


@pytest.mark.parametrize(("seed", "distance"), [(0, 1.0), (1, 2.5), (2, 4.0), (3, 4.5), (4, 7.0)])
def test_noise_gives_what_loops_give(seed, distance):
    """Noise without equal cells."""
    maps = np.random.default_rng(seed).random((2, 20, 24)).astype(np.float32)
    expected = [
        (image, *head)
        for image in range(2)
        for head in brute_force_heads(maps[image], np.float32(0.3), int(distance**2))
    ]
    assert heads_of(maps, head_threshold=0.3, head_distance_cells=distance) == expected


@pytest.mark.parametrize("distance", [0.0, 1.5, 4.0, 6.3])
def test_numpy_and_graph_remove_the_same_heads(distance):
    maps = np.random.default_rng(7).random((1, 24, 30)).astype(np.float32)
    settings = SingleNetworkSettings(head_distance_cells=distance)
    everything = np.array([head[1:] for head in heads_of(maps, head_distance_cells=0.0)])
    kept = everything[suppress_heads(everything, settings.squared_head_distance)]
    assert [(0, *head) for head in kept.tolist()] == heads_of(maps, head_distance_cells=distance)
