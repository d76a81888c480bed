import threading

import keras
import keypoint_rcnn_cases
import numpy as np
import pytest

from tfpose.models.keypoint_rcnn.network import build_keypoint_rcnn
from tfpose.models.pose_resnet import build_pose_resnet
from tfpose.models.pose_vit import build_pose_vit
from tfpose.models.unfilled import build_unfilled


def build_small():
    return build_pose_resnet(3, 18, (32, 32), base_width=4, deconv_filters=8)


def kernels(network):
    return [variable.numpy() for variable in network.variables if variable.name in ("kernel", "positions")]


def test_only_the_network_that_is_built_within_has_zeros():
    assert not any(kernel.any() for kernel in kernels(build_unfilled(build_small)))
    assert all(kernel.any() for kernel in kernels(build_small()))


def test_the_networks_of_other_threads_have_random_weights():
    built = []

    def build():
        thread = threading.Thread(target=lambda: built.append(build_small()))
        thread.start()
        thread.join()
        return build_small()

    assert not any(kernel.any() for kernel in kernels(build_unfilled(build)))
    assert all(kernel.any() for kernel in kernels(built[0]))


def test_after_an_error_weights_are_random_again():
    with pytest.raises(ZeroDivisionError):
        build_unfilled(lambda: 1 / 0)
    assert all(kernel.any() for kernel in kernels(build_small()))


@pytest.mark.parametrize(
    "build",
    [
        build_small,
        lambda: build_pose_vit(3, input_size=(32, 32), width=8, depth=1, num_heads=2),
        lambda: build_keypoint_rcnn(keypoint_rcnn_cases.SMALL),
    ],
    ids=["pose_resnet", "pose_vit", "keypoint_rcnn"],
)
def test_nothing_random_is_drawn(build, monkeypatch):
    """Also not by an initializer that is not known yet."""
    for name in ("truncated_normal", "normal", "uniform"):
        monkeypatch.setattr(keras.src.initializers.random_initializers.random, name, None)
    network = build_unfilled(build)
    assert network.count_params() and all(np.isfinite(weights).all() for weights in network.get_weights())
