import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from program_runs import PROJECT

from tfpose.models.pointwise import PointwiseConvolution, Subsampling


@pytest.mark.parametrize("size", [(5, 7), (None, None)])
@pytest.mark.parametrize("options", [{}, {"activation": "tanh"}, {"use_bias": False}])
def test_same_as_convolution_with_the_same_weights(size, options):
    images = keras.Input((*size, 6))
    layer = PointwiseConvolution(3, bias_initializer="random_normal", **options)
    model = keras.Model(images, layer(images))
    convolution = keras.layers.Conv2D(3, 1, **options)
    reference = keras.Model(images, convolution(images))
    convolution.set_weights(layer.get_weights())
    assert model.output_shape == reference.output_shape == (None, *size, 3)
    values = np.random.default_rng(0).normal(size=(2, 5, 7, 6)).astype(np.float32)
    np.testing.assert_allclose(model(values), reference(values), rtol=1e-5, atol=1e-6)


def test_is_rebuilt_from_its_config():
    layer = PointwiseConvolution(4, activation="tanh", name="maps")
    again = PointwiseConvolution.from_config(layer.get_config())
    assert (again.filters, again.name, again.activation) == (4, "maps", keras.activations.tanh)


@pytest.mark.parametrize("option", [{"strides": 2}, {"kernel_size": 3}, {"groups": 2}])
def test_anything_but_a_product_at_each_place_is_an_error(option):
    with pytest.raises(ValueError, match="pointwise"):
        PointwiseConvolution(4, **option)


@pytest.mark.parametrize("size", [(5, 8), (None, None)])
def test_subsampling_before_a_convolution_of_1x1_is_its_stride(size):
    images = keras.Input((*size, 6))
    convolution = keras.layers.Conv2D(3, 1)
    strided = keras.layers.Conv2D(3, 1, strides=2)
    model = keras.Model(images, convolution(Subsampling(2)(images)))
    reference = keras.Model(images, strided(images))
    strided.set_weights(convolution.get_weights())
    values = np.random.default_rng(0).normal(size=(2, 5, 8, 6)).astype(np.float32)
    np.testing.assert_allclose(model(values), reference(values), rtol=1e-5, atol=1e-6)
    assert model.output_shape == reference.output_shape


@pytest.mark.slow
def test_the_gradient_of_a_narrow_network_stays_inside_its_memory():
    """With strided convolutions of 1x1, TensorFlow ended this process with a double free, on several threads only."""
    program = (
        "import keras, numpy as np, tensorflow as tf\n"
        "from tfpose.models.pose_resnet import build_pose_resnet\n"
        "model = build_pose_resnet(15, depth=18, input_size=(64, 64), base_width=8, deconv_filters=8)\n"
        "@tf.function\n"
        "def differentiate(images):\n"
        "    with tf.GradientTape() as tape:\n"
        "        loss = tf.reduce_mean(model(images, training=True) ** 2)\n"
        "    return tape.gradient(loss, [variable.value for variable in model.trainable_variables])\n"
        "for _ in range(30):\n"
        "    gradients = differentiate(np.ones((1, 64, 64, 3), np.float32))\n"
    )
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in threads}
    environment["PYTHONPATH"] = str(PROJECT)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]


# The forms in which this library multiplies matrices. On TensorFlow 2.21 [B, 1, m, k] by [k, n] is wrong.
PRODUCTS = {
    "matrices": lambda b, c, m, k, n: ((m, k), (k, n)),
    "batches of matrices": lambda b, c, m, k, n: ((b, m, k), (b, k, n)),
    "a batch whose matrices serve for several": lambda b, c, m, k, n: ((b, 1, m, k), (b, c, k, n)),
}


@pytest.mark.parametrize("form", PRODUCTS)
def test_products_of_odd_small_shapes_are_those_of_numpy(form):
    rng = np.random.default_rng(0)
    for sizes in rng.choice([1, 2, 3, 5, 7, 13, 16], (100, 5)):
        left, right = (rng.normal(size=shape).astype(np.float32) for shape in PRODUCTS[form](*map(int, sizes)))
        np.testing.assert_allclose(tf.matmul(left, right), left @ right, atol=1e-4)
        np.testing.assert_allclose(tf.matmul(left.swapaxes(-1, -2), right, transpose_a=True), left @ right, atol=1e-4)
        np.testing.assert_allclose(tf.matmul(left, right.swapaxes(-1, -2), transpose_b=True), left @ right, atol=1e-4)
