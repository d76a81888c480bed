"""Heatmaps: golden values of the public codes, round trips, one result in every way to run."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfpose import heatmaps

METHODS = ("peak", "quarter", "quadratic", "dark", "udp", "udp_hub")
STRIDE = 4
# prefix in the golden file: sigma in cells, decoding method, blur kernel
CODECS = {
    "msra_s2": (2.0, "quarter", 11),
    "msra_s3": (3.0, "quarter", 11),
    "dark_s2": (2.0, "dark", 11),
    "dark_s3": (3.0, "dark", 11),
    "dark_s3_blur17": (3.0, "dark", 17),
    "udp_s2": (2.0, "udp", 11),
    "udp_s3": (3.0, "udp", 11),
}
# How each of mmpose's codecs draws its target.
ENCODINGS = {
    "quarter": {"centers": "rounded", "cutoff_sigmas": 3.0},
    "dark": {"centers": "subcell", "cutoff_sigmas": None},
    "udp": {"centers": "subcell", "cutoff_sigmas": 3.0},
}


@pytest.fixture(params=["trimmed", "full"])
def read_golden(request, golden_dir):
    """Reads a golden file by its name: the part of it that the project holds, or all of it."""
    if request.param == "trimmed":
        folder, prefix = golden_dir / "simple_baseline", "heatmaps_"
    else:
        shared_dir = request.getfixturevalue("shared_dir")
        folder, prefix = shared_dir / "golden" / "simple_baseline", ""

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(folder / f"{prefix}{name}.npz") as arrays:
            return dict(arrays)

    return read


def channels_last(maps: np.ndarray) -> np.ndarray:
    return np.moveaxis(maps, 1, -1)


def encode_one(x: float, y: float, size=(24, 18), sigma=2.0, **options) -> np.ndarray:
    maps, _ = heatmaps.encode_heatmaps([[[x, y]]], [[1.0]], size, sigma, **options)
    return np.asarray(maps)


def decode_one(maps: np.ndarray, method: str, **options) -> np.ndarray:
    keypoints, _ = heatmaps.decode_heatmaps(maps, method, **options)
    return np.asarray(keypoints)[0, 0]


def map_with(values: dict[tuple[int, int], float], size=(8, 10)) -> np.ndarray:
    """One map [1, H, W, 1] that is zero but for the values at (x, y)."""
    maps = np.zeros((1, *size, 1), np.float32)
    for (x, y), value in values.items():
        maps[0, y, x, 0] = value
    return maps


# Golden values


@pytest.mark.parametrize(("prefix", "sigma"), [("288x384_sigma3", 3.0), ("192x256_sigma2", 2.0)])
def test_encode_agrees_with_the_targets_of_microsoft(read_golden, prefix, sigma):
    golden = read_golden("targets")
    target = channels_last(golden[f"{prefix}_target"])
    maps, weights = heatmaps.encode_heatmaps(
        golden[f"{prefix}_joints"][..., :2] / STRIDE,
        golden[f"{prefix}_vis"][..., 0],
        target.shape[1:3],
        sigma,
        centers="rounded",
        cutoff_sigmas=3.0,
    )
    np.testing.assert_allclose(maps, target, atol=1e-5)
    np.testing.assert_array_equal(weights, golden[f"{prefix}_weight"][..., 0])


@pytest.mark.parametrize("prefix", CODECS)
def test_encode_agrees_with_mmpose(read_golden, prefix):
    golden = read_golden("mmpose_codecs")
    sigma, method, _ = CODECS[prefix]
    target = channels_last(golden[f"{prefix}_encode_heatmaps"])
    size = np.array(target.shape[1:3])
    # UDP counts the cells between the outer pixel centers, so its stride is not quite 4.
    stride = ((size * STRIDE - 1) / (size - 1))[::-1] if method in heatmaps.UNBIASED_DECODINGS else STRIDE
    maps, weights = heatmaps.encode_heatmaps(
        golden[f"{prefix}_encode_keypoints"] / stride,
        golden[f"{prefix}_encode_visible"],
        tuple(size.tolist()),
        sigma,
        **ENCODINGS[method],
    )
    np.testing.assert_allclose(maps, target, atol=1e-5)
    np.testing.assert_array_equal(weights, golden[f"{prefix}_encode_weights"])


@pytest.mark.parametrize("size", ["big", "small"])
@pytest.mark.parametrize(("method", "key"), [("peak", "preds_without_quarter_offset"), ("quarter", "preds")])
def test_decode_agrees_with_the_predictions_of_microsoft(read_golden, size, method, key):
    golden = {name.removeprefix(f"{size}_"): array for name, array in read_golden("final_preds").items()}
    maps = channels_last(golden["heatmaps"])
    keypoints, scores = (np.asarray(part) for part in heatmaps.decode_heatmaps(maps, method))
    map_size = np.array(maps.shape[2:0:-1])
    image_cells = golden["scale"][:, None, :1] * 200 / map_size[0]
    image_keypoints = golden["center"][:, None] + (keypoints - map_size / 2) * image_cells
    # The golden values are float32 of the order of 1000: 1e-4 is two of their steps.
    np.testing.assert_allclose(image_keypoints, golden[key], atol=1e-4)
    np.testing.assert_array_equal(scores, golden["maxvals"][..., 0])
    if method == "peak":
        np.testing.assert_array_equal(keypoints, golden["argmax"])


@pytest.mark.parametrize("prefix", CODECS)
def test_decode_agrees_with_mmpose(read_golden, prefix):
    golden = read_golden("mmpose_codecs")
    _, method, blur_kernel = CODECS[prefix]
    maps = channels_last(golden[f"{prefix}_decode_heatmaps"])
    keypoints, scores = heatmaps.decode_heatmaps(maps, method, blur_kernel, convention="mmpose")
    size = np.array(maps.shape[2:0:-1])
    stride = STRIDE * size / (size - 1) if method in heatmaps.UNBIASED_DECODINGS else STRIDE
    np.testing.assert_allclose(np.asarray(keypoints) * stride, golden[f"{prefix}_decode_keypoints"], atol=1e-4)
    np.testing.assert_array_equal(scores, golden[f"{prefix}_decode_scores"])


def flip_order_of(pairs: np.ndarray, num_joints: int) -> np.ndarray:
    order = np.arange(num_joints)
    order[pairs[:, 0]], order[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    return order


@pytest.mark.parametrize("num_joints", [17, 15])
def test_mirrored_maps_agree_with_microsoft(read_golden, num_joints):
    golden = read_golden("flip")
    order = flip_order_of(golden[f"pairs_{num_joints}"], num_joints)
    maps, mirrored, back, averaged, shifted = (
        channels_last(golden[f"{name}_{num_joints}"])
        for name in (
            "output",
            "output_of_flipped_input",
            "flip_back",
            "averaged",
            "averaged_shifted",
        )
    )
    np.testing.assert_array_equal(heatmaps.mirror_heatmaps(mirrored, order, False), back)
    np.testing.assert_array_equal(heatmaps.average_flipped(maps, mirrored, order, False), averaged)
    np.testing.assert_array_equal(heatmaps.average_flipped(maps, mirrored, order, True), shifted)


# Encoding


def test_gaussian_is_one_at_its_keypoint_and_falls_off_as_written():
    maps = encode_one(7.0, 5.0, sigma=2.0)[0, :, :, 0]
    assert maps[5, 7] == 1.0
    assert maps[5, 9] == pytest.approx(np.exp(-0.5))
    assert maps[8, 7] == pytest.approx(np.exp(-9 / 8))


def test_joints_without_weight_have_empty_maps_whatever_their_keypoint():
    keypoints = [[[np.nan, np.nan], [5.0, 5.0], [np.inf, 3.0], [4.0, 4.0]]]
    maps, weights = heatmaps.encode_heatmaps(keypoints, [[0.0, 0.0, 0.0, 0.5]], (24, 18), 2.0)
    np.testing.assert_array_equal(np.max(maps, axis=(0, 1, 2)), [0, 0, 0, 1])
    np.testing.assert_array_equal(weights, [[0, 0, 0, 0.5]])


@pytest.mark.parametrize("centers", ["subcell", "rounded"])
@pytest.mark.parametrize("cutoff_sigmas", [None, 3.0])
def test_keypoints_that_are_not_on_the_map_lose_their_weight(centers, cutoff_sigmas):
    keypoints = [[[np.nan, 4.0], [40.0, 5.0], [5.0, -40.0], [-6.0, 5.0], [4.0, 4.0]]]
    maps, weights = heatmaps.encode_heatmaps(keypoints, np.ones((1, 5)), (24, 18), 2.0, centers, cutoff_sigmas)
    # The tail of the fourth, six cells left of the map, still reaches column 0.
    np.testing.assert_array_equal(weights, [[0, 0, 0, 1, 1]])
    np.testing.assert_array_equal(np.max(maps, axis=(0, 1, 2)) > 0, [0, 0, 0, 1, 1])


def test_cutoff_leaves_a_square_of_seven_cells_at_one_sigma():
    maps = encode_one(9.2, 10.4, sigma=1.0, cutoff_sigmas=3.0)[0, :, :, 0]
    rows, columns = np.nonzero(maps)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (7, 13, 6, 12)
    assert np.count_nonzero(maps) == 49


def test_every_person_of_a_batch_is_encoded_as_if_alone():
    rng = np.random.default_rng(3)
    keypoints, weights = rng.uniform(-4, 26, (5, 3, 2)), rng.integers(0, 2, (5, 3))
    together, _ = heatmaps.encode_heatmaps(keypoints, weights, (24, 18), 2.0)
    for person in range(5):
        alone, _ = heatmaps.encode_heatmaps(keypoints[person : person + 1], weights[person : person + 1], (24, 18), 2.0)
        # Vectorised float32 exponentials differ in the last bit with the length of the array.
        np.testing.assert_allclose(together[person], alone[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma_cells": 0.0}, "sigma_cells must be a positive number, got 0.0"),
        ({"sigma_cells": 2.0, "cutoff_sigmas": -1.0}, "cutoff_sigmas must be a positive number"),
        ({"sigma_cells": 2.0, "centers": "cell"}, "centers must be 'subcell' or 'rounded'"),
    ],
)
def test_encode_says_which_option_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        heatmaps.encode_heatmaps(np.zeros((1, 1, 2)), np.ones((1, 1)), (8, 8), **options)


# Decoding


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("xy", [(4, 3), (7, 4), (3, 2), (5, 5), (1, 6), (8, 1)])
def test_a_single_lit_cell_is_found_where_it_is(method, xy):
    if method == "udp_hub" and xy in ((1, 6), (8, 1)):
        pytest.skip("its blur mirrors the map, so a hill beside the border has a twin beyond it")
    np.testing.assert_allclose(decode_one(map_with({xy: 0.7}), method), xy, atol=1e-4)


def test_a_mirrored_border_draws_hills_toward_it():
    x, y = decode_one(map_with({(1, 4): 0.7}), "udp_hub")
    assert 0.2 < x < 1 - 1e-3
    assert y == pytest.approx(4, abs=1e-4)


@pytest.mark.parametrize("method", ["peak", "quarter", "dark"])
@pytest.mark.parametrize("xy", [(0, 0), (9, 0), (0, 7), (9, 7), (4, 0), (0, 3)])
def test_a_lit_cell_of_the_border_is_found_where_it_is(method, xy):
    np.testing.assert_array_equal(decode_one(map_with({xy: 0.7}), method), xy)


def test_udp_takes_the_border_for_level_and_moves_half_a_cell_outward():
    """The cell beyond the border repeats the border's: the hill seems to lie between them."""
    np.testing.assert_allclose(decode_one(map_with({(9, 0): 0.7}), "udp"), [9.5, -0.5], atol=1e-3)


def test_of_equal_peaks_the_first_in_row_order_wins():
    np.testing.assert_array_equal(decode_one(map_with({(2, 5): 1.0, (7, 3): 1.0}), "peak"), [7, 3])
    np.testing.assert_array_equal(decode_one(map_with({(7, 3): 1.0, (2, 3): 1.0}), "peak"), [2, 3])


def test_quarter_offset_goes_to_the_higher_neighbor():
    maps = map_with({(4, 3): 1.0, (5, 3): 0.5, (4, 2): 0.1})
    np.testing.assert_array_equal(decode_one(maps, "quarter"), [4.25, 2.75])


def test_quarter_offset_at_the_border_follows_the_convention():
    """In column 1 Microsoft moves along neither axis, mmpose along y; in column 0 neither does."""
    maps = map_with({(1, 3): 1.0, (2, 3): 0.5, (1, 4): 0.5})
    np.testing.assert_array_equal(decode_one(maps, "quarter", convention="microsoft"), [1, 3])
    np.testing.assert_array_equal(decode_one(maps, "quarter", convention="mmpose"), [1, 3.25])
    maps = map_with({(0, 3): 1.0, (1, 3): 0.5, (0, 4): 0.5})
    np.testing.assert_array_equal(decode_one(maps, "quarter", convention="mmpose"), [0, 3])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("convention", "expected"), [("microsoft", 0.0), ("mmpose", -1.0)])
@pytest.mark.parametrize("value", [0.0, -0.3, np.nan])
def test_a_map_without_a_positive_value_has_no_keypoint(method, convention, expected, value):
    maps = np.full((1, 8, 10, 1), value, np.float32)
    keypoints, scores = heatmaps.decode_heatmaps(maps, method, convention=convention)
    np.testing.assert_array_equal(keypoints, np.full((1, 1, 2), expected))
    np.testing.assert_array_equal(scores, [[np.float32(value)]])


@pytest.mark.parametrize("method", METHODS)
def test_no_people_give_no_keypoints(method):
    keypoints, scores = heatmaps.decode_heatmaps(np.zeros((0, 24, 18, 5), np.float32), method)
    assert keypoints.shape == (0, 5, 2)
    assert scores.shape == (0, 5)


def test_dark_leaves_peaks_in_the_outer_two_rows_and_columns():
    for x, y in [(1.3, 10.2), (16.4, 10.2), (8.3, 1.2), (8.3, 22.4)]:
        np.testing.assert_array_equal(decode_one(encode_one(x, y), "dark"), np.round([x, y]))
    assert decode_one(encode_one(2.3, 10.2), "dark")[0] != 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "best"}, "method must be one of peak, quarter, quadratic, dark, udp, udp_hub, got 'best'"),
        ({"method": "dark", "blur_kernel": 10}, "blur_kernel must be an odd positive .* got 10"),
        ({"convention": "coco"}, "convention must be 'microsoft' or 'mmpose', got 'coco'"),
    ],
)
def test_decode_says_which_option_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        heatmaps.decode_heatmaps(np.zeros((1, 8, 8, 1), np.float32), **options)


# Round trips

# Half a cell and a quarter of one by construction, a little more for rounding. A parabola is off by at most
# 0.0120 cells from the top of a Gaussian of two cells, and by 0.0053 from one of three.
ROUND_TRIP_CELLS = {"peak": 0.5001, "quarter": 0.2501, "quadratic": 0.0125, "dark": 0.02, "udp": 0.02, "udp_hub": 0.02}


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(8, 39),
    y=st.floats(8, 55),
    sigma=st.sampled_from([2.0, 3.0]),
    method=st.sampled_from(METHODS),
)
def test_decode_finds_what_encode_drew(x, y, sigma, method):
    maps = encode_one(x, y, (64, 48), sigma)
    np.testing.assert_allclose(decode_one(maps, method), [x, y], atol=ROUND_TRIP_CELLS[method])


@settings(max_examples=30, deadline=None)
@given(x=st.integers(2, 45), y=st.integers(2, 61), method=st.sampled_from(["peak", "quarter"]))
def test_a_target_on_a_cell_comes_back_exactly(x, y, method):
    maps = encode_one(x, y, (64, 48), 2.0, centers="rounded", cutoff_sigmas=3.0)
    np.testing.assert_array_equal(decode_one(maps, method), [x, y])


@pytest.mark.parametrize("shift_one_cell", [False, True])
def test_mirrored_maps_and_flipped_keypoints_coincide(shift_one_cell):
    """A cell lit for the left joint at (3, 2) of the mirrored map is the right joint's at 9 - 3."""
    maps = np.concatenate([map_with({(3, 2): 1.0}), map_with({(8, 5): 1.0})], axis=-1)
    mirrored = heatmaps.mirror_heatmaps(maps, [1, 0], shift_one_cell)
    keypoints, _ = heatmaps.decode_heatmaps(mirrored, "peak")
    np.testing.assert_array_equal(keypoints, np.array([[[1, 5], [6, 2]]]) + [shift_one_cell, 0])


def test_shift_keeps_the_first_column():
    shifted = heatmaps.mirror_heatmaps(np.float32([[[[3], [2], [1]]]]), [0], True)
    np.testing.assert_array_equal(shifted, [[[[1], [1], [2]]]])


# The same result however they are run


def noisy_maps() -> np.ndarray:
    rng = np.random.default_rng(5)
    keypoints = rng.uniform(6, 18, (4, 5, 2))
    maps, _ = heatmaps.encode_heatmaps(keypoints, np.ones((4, 5)), (28, 24), 2.0)
    return (np.asarray(maps) + rng.normal(0, 0.01, maps.shape)).astype(np.float32)


ANY_SIZE = tf.TensorSpec([None, None, None, None], tf.float32)


@pytest.mark.parametrize("method", METHODS)
def test_decode_gives_the_same_in_eager_function_pipeline_and_compiled(method):
    maps = noisy_maps()
    expected, expected_scores = heatmaps.decode_heatmaps(maps, method)

    def decode(maps):
        return heatmaps.decode_heatmaps(maps, method)

    dataset = tf.data.Dataset.from_tensors(maps).map(decode)
    runs = {
        "function": tf.function(decode, input_signature=[ANY_SIZE])(maps),
        "pipeline": next(iter(dataset)),
        "compiled": tf.function(decode, jit_compile=True)(maps),
    }
    for name, (keypoints, scores) in runs.items():
        np.testing.assert_allclose(keypoints, expected, atol=2e-5, err_msg=name)
        np.testing.assert_array_equal(scores, expected_scores, err_msg=name)


def test_encode_gives_the_same_in_eager_and_pipeline_with_sizes_known_only_there():
    rng = np.random.default_rng(6)
    keypoints, weights = rng.uniform(-5, 35, (3, 5, 2)), np.float32([[1, 1, 0, 1, 1]] * 3)
    expected, expected_weights = heatmaps.encode_heatmaps(keypoints, weights, (28, 24), 2.0)

    def encode(keypoints, weights, size):
        return heatmaps.encode_heatmaps(keypoints, weights, (size[0], size[1]), 2.0)

    inputs = tf.data.Dataset.from_tensors((keypoints, weights, np.int32([28, 24])))
    maps, mapped_weights = next(iter(inputs.map(encode)))
    np.testing.assert_allclose(maps, expected, atol=1e-6)
    np.testing.assert_array_equal(mapped_weights, expected_weights)


def test_flip_test_and_decoding_survive_in_a_saved_model(tmp_path):
    module = tf.Module()

    @tf.function(input_signature=[ANY_SIZE])
    def predict(maps):
        averaged = heatmaps.average_flipped(maps, maps, [1, 0, 3, 2, 4], True)
        return heatmaps.decode_heatmaps(averaged, "dark")

    module.predict = predict
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for maps in (noisy_maps(), noisy_maps()[:1, :20, :19], noisy_maps()[:0]):
        for loaded_part, part in zip(loaded.predict(maps), predict(maps), strict=True):
            np.testing.assert_allclose(loaded_part, part, atol=2e-5)


def test_quadratic_decoding_finds_the_top_of_a_parabola():
    """Values 0, 3, 2 have their top at +1/4 cell (curvature 4, slope 1); 1, 3, 1 in y do not move it."""
    maps = np.zeros((1, 5, 6, 1), np.float32)
    maps[0, 2, 2:5, 0] = [0, 3, 2]
    maps[0, 1, 3, 0] = maps[0, 3, 3, 0] = 1
    keypoints, scores = heatmaps.decode_heatmaps(maps, "quadratic")
    np.testing.assert_allclose(keypoints, [[[3.25, 2.0]]])
    np.testing.assert_array_equal(scores, [[3.0]])


def test_quadratic_decoding_stays_on_the_border_and_moves_half_a_cell_between_equal_ones():
    maps = np.zeros((1, 4, 5, 2), np.float32)
    maps[0, 0, 2:4, 0] = 1.0
    maps[0, 1, 0, 1] = 1.0
    maps[0, 2, 0, 1] = 0.5
    keypoints, _ = heatmaps.decode_heatmaps(maps, "quadratic")
    # The second: in y values 0, 1, 0.5 have their top at 0.5 * 0.5 / 1.5 cells.
    np.testing.assert_allclose(keypoints, [[[2.5, 0.0], [0.0, 1 + 1 / 6]]], rtol=1e-6)
