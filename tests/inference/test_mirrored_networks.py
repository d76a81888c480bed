from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from small_single_network import random_pose_unet, small_single_network

from tfpose.heatmaps import mirror_heatmaps
from tfpose.inference.mirrored_networks import MirroredNetworks
from tfpose.inference.single_network_system import build_inference_network, build_inference_parts
from tfpose.models.pose_unet import mask_heads
from tfpose.skeletons import POSETRACK15

SYSTEM = small_single_network(use_flip_test=True)
SIZE = SYSTEM.network.input_size


def random_pictures(num_pictures: int = 2) -> np.ndarray:
    """Pictures that mirrored twice, cell upon cell, are themselves: the last three columns repeat those before them."""
    pictures = np.random.default_rng(0).normal(size=(num_pictures, *SIZE, 3)).astype(np.float32)
    pictures[:, :, -3:] = pictures[:, :, -6:-3]
    return pictures


def mirror_cell_on_cell(pictures: np.ndarray) -> np.ndarray:
    """Pixel W - 4 - x in the place of pixel x; the columns 2, 1, 0 fill the last three."""
    columns = np.concatenate([np.arange(SIZE[1] - 4, -1, -1), [2, 1, 0]])
    return pictures[:, :, columns]


@pytest.fixture(scope="module")
def network():
    return build_inference_network(random_pose_unet(SYSTEM), SYSTEM)


def test_mirrored_pictures_give_mirrored_maps(network) -> None:
    find_joints, filter_joints = build_inference_parts(network, SYSTEM)
    pictures = random_pictures()
    np.testing.assert_array_equal(mirror_cell_on_cell(mirror_cell_on_cell(pictures)), pictures)
    maps, mirrored = find_joints(pictures), find_joints(mirror_cell_on_cell(pictures))
    for name, order in (("head_maps", [0]), ("joint_maps", POSETRACK15.flip_order)):
        expected = mirror_heatmaps(maps[name], order, shift_one_cell=False)
        np.testing.assert_allclose(mirrored[name], expected, atol=1e-6, err_msg=name)
        assert not np.allclose(mirrored[name], maps[name], atol=1e-4)
    heads = np.array([[3.0, 4.0], [20.0, 9.0]], np.float32)
    mirrored_heads = [SIZE[1] // 4 - 1, 0] - heads * [1, -1]
    people = filter_joints(maps["person_features"], mask_heads(maps["head_maps"], heads, 2.0), maps["joint_maps"])
    masked = mask_heads(mirrored["head_maps"], mirrored_heads.astype(np.float32), 2.0)
    found = filter_joints(mirrored["person_features"], masked, mirrored["joint_maps"])
    np.testing.assert_allclose(found, mirror_heatmaps(people, POSETRACK15.flip_order, False), atol=1e-6)
    assert float(np.abs(people).max()) > 1e-3


def test_maps_are_means_of_both(network) -> None:
    pictures = random_pictures()
    found = MirroredNetworks(network, POSETRACK15.flip_order).find_joints(pictures)["joint_maps"]
    own, other = (network.find_joints(seen)["joint_maps"] for seen in (pictures, mirror_cell_on_cell(pictures)))
    other = np.asarray(other)[:, :, ::-1][..., POSETRACK15.flip_order]
    np.testing.assert_allclose(found, (own + other) / 2, atol=1e-6)
    assert not np.allclose(own, other, atol=1e-4)


def test_cells_of_the_mirror_image_lie_on_those_of_the_picture() -> None:
    """A network that only looks at the pixel under each cell sees the same in both, so the mean changes nothing."""

    class Sampler:
        def find_joints(self, images):
            cells = images[:, ::4, ::4]
            return {"head_maps": cells[..., :1], "joint_maps": cells, "person_features": cells}

    pictures = tf.constant(np.random.default_rng(0).normal(size=(2, *SIZE, 3)), tf.float32)
    found = MirroredNetworks(Sampler(), np.arange(3)).find_joints(pictures)
    np.testing.assert_array_equal(found["joint_maps"], pictures[:, ::4, ::4])
    np.testing.assert_array_equal(found["head_maps"], pictures[:, ::4, ::4, :1])


def test_without_the_flip_test_the_network_is_used_as_it_is(network) -> None:
    assert build_inference_parts(network, small_single_network()) == (network.find_joints, network.filter_joints)
