import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfpose import geometry


def random_matrix(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = cv2.getRotationMatrix2D((30, 20), rng.uniform(-180, 180), rng.uniform(0.5, 2))
    matrix[:, 2] += rng.uniform(-10, 10, 2)
    return matrix


@given(st.integers(0, 10_000))
def test_inverse_composed_with_the_map_is_the_identity(seed):
    matrix = random_matrix(seed)
    identity = np.asarray(geometry.compose(geometry.invert(matrix), matrix))
    np.testing.assert_allclose(identity, [[1, 0, 0], [0, 1, 0]], atol=1e-9)


@pytest.mark.parametrize("outer_shape", [(2, 3), (5, 2, 3)])
def test_compose_is_the_same_in_numpy(outer_shape):
    rng = np.random.default_rng(0)
    outer, inner = rng.normal(size=outer_shape), rng.normal(size=(5, 2, 3))
    expected = np.asarray(geometry.compose(outer, inner))
    np.testing.assert_allclose(geometry.compose_arrays(outer, inner), expected, rtol=0, atol=1e-14)


def test_compose_applies_the_inner_map_first():
    double = np.array([[2.0, 0, 0], [0, 2, 0]])
    move = np.array([[1.0, 0, 5], [0, 1, 0]])
    points = np.array([[1.0, 1.0]])
    composed = geometry.compose(double, move)
    np.testing.assert_allclose(geometry.transform_points(composed, points), [[12, 2]])


def test_points_move_with_batches_of_matrices():
    matrices = np.stack([random_matrix(i) for i in range(3)])
    points = np.random.default_rng(0).normal(size=(3, 4, 2))
    together = np.asarray(geometry.transform_points(matrices, points))
    for i in range(3):
        np.testing.assert_allclose(together[i], points[i] @ matrices[i, :, :2].T + matrices[i, :, 2], atol=1e-12)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_lit_pixel_lands_on_its_transformed_keypoint(turn):
    image = np.zeros((21, 31, 3), np.uint8)
    image[5, 12] = 255
    cos, sin = np.round(np.cos(np.radians(turn))), np.round(np.sin(np.radians(turn)))
    matrix = np.array([[cos, -sin, 20], [sin, cos, 20]])
    x, y = np.asarray(geometry.transform_points(matrix, np.array([[12.0, 5.0]])))[0]
    warped = geometry.warp_image(image, matrix, (41, 51))
    assert warped[int(y), int(x)].tolist() == [255, 255, 255]
    assert warped.sum() == 3 * 255


@pytest.mark.parametrize("seed", range(5))
def test_both_warps_agree_within_one_grey_level_on_noise(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    matrix = random_matrix(seed)
    by_opencv = geometry.warp_image(image, matrix, (32, 48))
    by_tensorflow = geometry.warp_image_tensor(image, matrix[None].astype(np.float32), (32, 48))[0]
    difference = by_opencv.astype(int) - by_tensorflow.numpy().astype(int)
    assert np.abs(difference).max() <= 1
    assert by_opencv.std() > 10


def test_opencv_warps_in_a_graph():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    matrices = np.stack([random_matrix(seed) for seed in range(3)]).astype(np.float32)
    in_graph = tf.function(lambda pixels, maps: geometry.warp_image_by_opencv(pixels, maps, (32, 48)))
    expected = [geometry.warp_image(image, matrix, (32, 48)) for matrix in matrices]
    np.testing.assert_array_equal(in_graph(tf.constant(image), tf.constant(matrices)), expected)
    assert in_graph(tf.constant(image), tf.zeros((0, 2, 3))).shape == (0, 32, 48, 3)


def test_warp_of_the_reference_implementation(golden_dir):
    golden = np.load(golden_dir / "simple_baseline" / "warp.npz")
    for matrix, crop in zip(golden["matrix"], golden["crops"], strict=True):
        ours = geometry.warp_image(golden["image"], matrix, crop.shape[:2])
        assert np.abs(ours.astype(int) - crop).max() <= 1


def test_warp_runs_inside_tf_data():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    matrix = random_matrix(3).astype(np.float32)[None]
    eager = geometry.warp_image_tensor(image, matrix, (16, 24))
    dataset = tf.data.Dataset.from_tensors((image, matrix)).map(lambda i, m: geometry.warp_image_tensor(i, m, (16, 24)))
    np.testing.assert_array_equal(next(iter(dataset)), eager)


def test_stride_convention_puts_cell_i_over_pixel_stride_times_i():
    matrix = geometry.heatmap_from_crop((256, 192), (64, 48))
    points = np.array([[0.0, 0], [4, 8], [191, 255]])
    moved = np.asarray(geometry.transform_points(matrix, points.astype(np.float32)))
    np.testing.assert_allclose(moved, points / 4)


def test_udp_convention_joins_the_outermost_pixels_and_cells():
    matrix = geometry.heatmap_from_crop((256, 192), (64, 48), "udp")
    corner = np.asarray(geometry.transform_points(matrix, np.array([[191.0, 255]], np.float32)))
    np.testing.assert_allclose(corner, [[47, 63]], rtol=1e-6)


def test_unknown_convention_is_named():
    with pytest.raises(ValueError, match="convention must be 'stride', 'udp' or 'paddle', got 'center'"):
        geometry.heatmap_from_crop((256, 192), (64, 48), "center")


def test_no_maps_move_no_points():
    moved = geometry.transform_points(np.zeros((0, 2, 3)), np.zeros((0, 3, 2)))
    assert moved.shape == (0, 3, 2)


def test_resampled_maps_have_the_values_at_even_steps():
    maps = np.random.default_rng(0).uniform(size=(2, 9, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(geometry.resample_maps(maps, (1.0, 1.0), (9, 8)), maps)
    np.testing.assert_allclose(geometry.resample_maps(maps, (2.0, 2.0), (5, 4)), maps[:, ::2, ::2], rtol=1e-6)
    finer = geometry.resample_maps(maps, (0.5, 0.5), (18, 16))
    np.testing.assert_allclose(finer[:, ::2, ::2], maps, rtol=1e-6)
    np.testing.assert_allclose(finer[:, 1, 1], maps[:, :2, :2].mean(axis=(1, 2)), rtol=1e-5)
    # Beyond the last pixel its value continues.
    np.testing.assert_allclose(finer[:, 17, 15], maps[:, 8, 7], rtol=1e-6)


def test_resampling_averages_over_steps_of_more_than_two_pixels():
    maps = np.zeros((1, 12, 1, 1), np.float32)
    maps[0, 4] = 1
    coarse = np.asarray(geometry.resample_maps(maps, (4.0, 1.0), (3, 1)))[0, :, 0, 0]
    np.testing.assert_allclose(coarse, [0, 0.5, 0])
