import numpy as np
import pytest
import tensorflow as tf

from tfpose import crops, geometry

BOX = np.array([[10.0, 20, 110, 220]])


def matrices(boxes=BOX, size=(256, 192), **settings):
    drawn = {name: settings.pop(name) for name in ("scales", "rotations_degrees", "is_mirrored") if name in settings}
    return np.asarray(crops.CropSettings(size, **settings).matrices(boxes, **drawn))


def apply(matrix, points):
    return np.asarray(geometry.transform_points(matrix, np.asarray(points, np.float64)))


def test_crops_of_the_reference_implementation(golden_dir):
    """Affine maps of Xiao et al.'s code, compared by where crop pixels come from in the image."""
    golden = np.load(golden_dir / "simple_baseline" / "affine.npz")
    for i, (width, height) in enumerate(golden["output_size"]):
        side = golden["scale"][i, 0].astype(np.float64) * 200
        half = np.array([side, side * height / width]) / 2
        center = golden["center"][i].astype(np.float64)
        box = np.concatenate([center - half, center + half])[None]
        ours = matrices(box, (height, width), rotations_degrees=golden["rotation"][i])[0]
        crop_points = np.random.default_rng(i).uniform(0, 1, (20, 2)) * [width, height]
        assert_same_source(ours, golden["inverse"][i], crop_points)


def test_boxes_of_the_reference_implementation(golden_dir):
    golden = np.load(golden_dir / "simple_baseline" / "boxes.npz")
    boxes = golden["boxes_xywh"].astype(np.float64)
    boxes[:, 2:] += boxes[:, :2]
    for width, height in ((288, 384), (192, 256), (256, 256)):
        ours = matrices(boxes, (height, width), margin_scale=1.25)
        center = golden[f"center_{width}x{height}"]
        np.testing.assert_allclose(
            (ours[:, :, :2] @ center[:, :, None])[..., 0] + ours[:, :, 2],
            np.broadcast_to([width / 2, height / 2], center.shape),
            atol=1e-3,
        )
        sides = 200 * golden[f"scale_{width}x{height}"]
        np.testing.assert_allclose(width / ours[:, 0, 0], sides[:, 0], rtol=1e-6)


def test_crops_of_mmpose(golden_dir):
    golden = np.load(golden_dir / "simple_baseline" / "mmpose_warp.npz")
    for i, box in enumerate(golden["bbox_xyxy"].astype(np.float64)):
        settings = {"margin_scale": 1.25, "size": (384, 288)}
        angle = golden["rotation"][i]
        stride = matrices(box[None], rotations_degrees=angle, **settings)[0]
        corners = np.array([[0, 0], [287, 0], [0, 383], [287, 383.0]])
        assert_same_source(stride, golden["warp_inverse"][i], corners)
        # mmpose's UDP warp turns the other way.
        udp = matrices(box[None], rotations_degrees=-angle, convention="udp", **settings)[0]
        inverse = geometry.invert(golden["warp_udp"][i].astype(np.float64))
        assert_same_source(udp, inverse, corners)


def assert_same_source(crop_from_image, golden_image_from_crop, crop_points):
    image_points = apply(geometry.invert(crop_from_image), crop_points)
    np.testing.assert_allclose(image_points, apply(golden_image_from_crop, crop_points), atol=1e-4)


def test_box_with_margin_in_pixels_fills_the_crop():
    matrix = matrices(size=(320, 220), margin_pixels=60)[0]  # box 100x200 -> 220x320
    np.testing.assert_allclose(matrix, [[1, 0, 50], [0, 1, 40]], atol=1e-9)


def test_short_side_grows_to_the_aspect_ratio():
    square = np.array([[0.0, 0, 100, 100]])
    matrix = matrices(square, (256, 192))[0]
    np.testing.assert_allclose(np.diag(matrix[:, :2]), [1.92, 1.92])


def test_stretching_fits_both_sides():
    square = np.array([[0.0, 0, 100, 100]])
    matrix = matrices(square, (256, 192), keep_aspect=False)[0]
    np.testing.assert_allclose(apply(matrix, [[0, 0], [100, 100]]), [[0, 0], [192, 256]])


def test_mirrored_crop_is_the_mirror_image():
    plain, mirrored = matrices()[0], matrices(is_mirrored=np.array([True]))[0]
    points = np.random.default_rng(0).uniform(0, 200, (5, 2))
    x, y = apply(plain, points).T
    np.testing.assert_allclose(apply(mirrored, points).T, [191 - x, y], atol=1e-9)
    image = np.random.default_rng(1).integers(0, 256, (240, 120, 3), dtype=np.uint8)
    crop = geometry.warp_image(image, plain, (256, 192))
    mirrored_crop = geometry.warp_image(image, mirrored, (256, 192))
    assert np.abs(crop[:, ::-1].astype(int) - mirrored_crop).max() <= 1


def test_box_of_one_pixel_and_box_without_area_give_finite_crops():
    boxes = np.array([[5.0, 5, 6, 6], [5, 5, 5, 5], [9, 9, 3, 3]])
    result = matrices(boxes)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result[0, 0, 0], 192 / 1)


def test_crop_matrices_are_the_same_in_a_graph():
    crop = crops.CropSettings((64, 48), margin_pixels=60.0)
    graph = tf.function(lambda b: crop.matrices(b, rotations_degrees=20.0))
    np.testing.assert_allclose(graph(tf.constant(BOX)), crop.matrices(BOX, rotations_degrees=20.0))


@pytest.mark.parametrize(
    ("zoom", "reduction"),
    [(2.0, 1), (1.0, 1), (0.51, 1), (0.5, 2), (0.3, 2), (0.25, 4), (0.1, 8), (0.01, 8)],
)
def test_reduction_leaves_one_decoded_pixel_per_crop_pixel(zoom, reduction):
    turned = matrices(np.array([[0.0, 0, 100, 100]]) / zoom, (100, 100), rotations_degrees=30.0)
    assert np.asarray(crops.decode_reduction(turned)).tolist() == [reduction]


def test_reduced_pixels_lie_at_the_mean_of_their_sources():
    matrix = np.asarray(crops.image_from_reduced(np.array([4])))[0]
    np.testing.assert_allclose(apply(matrix, [[0, 1]]), [[1.5, 5.5]])


def test_source_window_holds_all_that_the_warp_reads():
    rng = np.random.default_rng(0)
    image = rng.integers(1, 256, (300, 400, 3), dtype=np.uint8)
    for angle in (0.0, 33.0, -120.0):
        matrix = matrices(np.array([[150.0, 80, 210, 190]]), (64, 48), rotations_degrees=angle)
        top, left, height, width = crops.source_windows(matrix, (64, 48), (300, 400))[0]
        masked = np.zeros_like(image)
        window = (slice(top, top + height), slice(left, left + width))
        masked[window] = image[window]
        np.testing.assert_array_equal(
            geometry.warp_image(image, matrix[0], (64, 48)),
            geometry.warp_image(masked, matrix[0], (64, 48)),
        )
        assert height * width < 300 * 400 / 3


def test_source_window_of_a_box_outside_the_image_is_still_a_window():
    matrix = matrices(np.array([[900.0, 900, 950, 950]]), (64, 48))
    top, left, height, width = crops.source_windows(matrix, (64, 48), (300, 400))[0]
    assert (top, left) == (299, 399)
    assert (height, width) == (1, 1)


def test_normalization_by_hand():
    pixel = np.array([[255, 0, 51]], np.uint8)
    rgb = np.asarray(crops.normalize_crops(pixel))
    np.testing.assert_allclose(rgb, [[(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]], rtol=1e-5)
    bgr = np.asarray(crops.normalize_crops(pixel, channel_order="bgr"))
    np.testing.assert_allclose(bgr, [[(0.2 - 0.485) / 0.229, -0.456 / 0.224, (1 - 0.406) / 0.225]], rtol=1e-5)
    with pytest.raises(ValueError, match="channel_order must be 'rgb' or 'bgr', got 'gbr'"):
        crops.normalize_crops(pixel, channel_order="gbr")


def test_annotated_boxes_are_clipped_as_published():
    """Of the publisher: x2 = min(W - 1, x1 + max(0, w - 1)), and the width is x2 - x1."""
    boxes = [[-5, 10, 30, 40], [90, 70, 120, 80], [10, 10, 10, 30]]
    sizes = [[80, 100]] * 3
    crop = crops.CropSettings((64, 48), clips_annotated_boxes=True)
    expected = [[0, 10, 34, 39], [90, 70, 99, 79], [10, 10, 10, 29]]
    assert crop.clip_annotated(np.array(boxes), np.array(sizes)).tolist() == expected
    assert crops.CropSettings((64, 48)).clip_annotated(np.array(boxes), np.array(sizes)).tolist() == boxes
