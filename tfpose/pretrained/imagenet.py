"""Loads Keras' ImageNet ResNets (`keras.applications.ResNet50/101/152`) into the backbone of a pose network.

Keras' bottlenecks stride in the first 1x1, their convolutions have biases, their normalizations have an epsilon of
1.001e-5, and they were trained on BGR pixels of 0..255 minus a mean. Biases and epsilon merge exactly into our layers;
`input_normalization` of `load_imagenet_encoder` chooses how the pixels are treated.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from tfpose.crops import IMAGENET_MEAN, IMAGENET_STD
from tfpose.models.pose_resnet import BLOCKS_PER_STAGE
from tfpose.weights_files import load_weights_file

# Means of the BGR channels of images whose white is 255: `keras.applications.resnet.preprocess_input`.
CAFFE_MEAN = (103.939, 116.779, 123.68)
_NETWORKS = {
    50: keras.applications.ResNet50,
    101: keras.applications.ResNet101,
    152: keras.applications.ResNet152,
}
_STEM = "stem_conv"
_STEM_FILTERS = 64

InputNormalization = Literal["imagenet", "caffe"]


def load_imagenet_encoder(
    model: keras.Model,
    weights: str | os.PathLike[str] = "imagenet",
    input_normalization: InputNormalization = "imagenet",
) -> None:
    """Sets the backbone of a `build_pose_resnet(..., stride_in="1x1")` model; the other layers keep their weights.

    Args:
        model: A model of depth 50, 101 or 152 whose bottlenecks stride in the first 1x1. Its layers tell its depth.
        weights: `"imagenet"` downloads Keras' public file (or takes it from Keras' cache). Any other value is the path
            of a file saved from the Keras network of the same depth, with or without its classifier.
        input_normalization: Normalization of the images that the model will see. `"caffe"` is the one that Keras'
            network was trained on (BGR, 0..255, minus `CAFFE_MEAN`), and is exact. `"imagenet"` is RGB minus
            `crops.IMAGENET_MEAN`, divided by `crops.IMAGENET_STD`: channel order and scale move into the first kernel,
            the difference of the means (half a gray level at most) into its normalization. This is exact except in
            the outermost rows and columns, where zeros are padded.

    Raises:
        ValueError: The model is no such network, or the file does not hold weights of its depth.
        FileNotFoundError: `weights` is a path without a file, or the download failed.
    """
    if input_normalization not in ("imagenet", "caffe"):
        raise ValueError(f"input_normalization must be 'imagenet' or 'caffe', got {input_normalization!r}.")
    depth = _find_depth(model)
    source = read_imagenet_network(depth, weights)
    for name, source_name in _encoder_convolutions(depth).items():
        kernel, bias = _float64(source.get_layer(source_name).weights)
        normalization = source.get_layer(_normalization_name(source_name))
        gamma, beta, mean, variance = _float64(normalization.weights)
        mean = mean - bias
        if name == _STEM and input_normalization == "imagenet":
            mean = mean - _mean_shift(kernel)
            kernel = _rgb_kernel(kernel)
        own = model.get_layer(_normalization_name(name))
        # gamma / sqrt(variance + epsilon) stays the same.
        variance = variance + (normalization.epsilon - own.epsilon)
        model.get_layer(name).set_weights([kernel])
        own.set_weights([gamma, beta, mean, variance])


def _find_depth(model: keras.Model) -> int:
    """Returns the depth of a model whose backbone has the layers of one of Keras' networks."""
    found = {layer.name: layer for layer in model.layers if _is_encoder_convolution(layer)}
    depth = next((depth for depth in _NETWORKS if _encoder_convolutions(depth).keys() == found.keys()), None)
    width = found[_STEM].filters if _STEM in found else None
    if depth is None or width != _STEM_FILTERS:
        raise ValueError(
            f"model {model.name} must be a build_pose_resnet of depth 50, 101 or 152 and base_width {_STEM_FILTERS}, "
            f"got one with {len(found)} backbone convolutions and base_width {width}."
        )
    # A stride of the 1x1 convolutions is a layer of its own.
    if found["stage2_block0_conv2"].strides == (2, 2):
        raise ValueError(f"stride_in of model {model.name} must be '1x1' for Keras' ImageNet weights, got '3x3'.")
    return depth


def _encoder_convolutions(depth: int) -> dict[str, str]:
    """Maps the names of the backbone's convolutions in our network to those in Keras' network."""
    names = {_STEM: "conv1_conv"}
    for stage, num_blocks in enumerate(BLOCKS_PER_STAGE[depth], start=1):
        for block in range(num_blocks):
            ours, theirs = f"stage{stage}_block{block}", f"conv{stage + 1}_block{block + 1}"
            names |= {f"{ours}_conv{i}": f"{theirs}_{i}_conv" for i in (1, 2, 3)}
            if block == 0:
                names[f"{ours}_shortcut_conv"] = f"{theirs}_0_conv"
    return names


def _is_encoder_convolution(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Conv2D) and layer.name.startswith(("stem_", "stage"))


def _normalization_name(convolution_name: str) -> str:
    head, tail = convolution_name.rsplit("conv", 1)
    return f"{head}bn{tail}"


def _float64(weights: list[keras.Variable]) -> list[np.ndarray]:
    return [np.asarray(keras.ops.convert_to_numpy(weight), np.float64) for weight in weights]


def _rgb_kernel(kernel: np.ndarray) -> np.ndarray:
    """Converts the stem's kernel [h, w, 3, out] from BGR levels to normalized RGB."""
    levels = 255.0 * np.asarray(IMAGENET_STD)
    return kernel[:, :, ::-1] * levels[:, None]


def _mean_shift(kernel: np.ndarray) -> np.ndarray:
    """Returns the stem's output [out] for the difference between both means, under the BGR kernel [h, w, 3, out]."""
    difference = 255.0 * np.asarray(IMAGENET_MEAN)[::-1] - np.asarray(CAFFE_MEAN)
    return np.einsum("hwco,c->o", kernel, difference)


def read_imagenet_network(depth: int, weights: str | os.PathLike[str]) -> keras.Model:
    """Builds Keras' network of depth 50, 101 or 152.

    Args:
        depth: Depth of the network.
        weights: As in `load_imagenet_encoder`.

    Raises:
        ValueError: The file does not hold weights of this depth.
        FileNotFoundError: `weights` is a path without a file, or the download failed.
    """
    if weights == "imagenet":
        return _download_network(depth)
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file with ImageNet weights of ResNet-{depth}.")
    failures = []
    for include_top in (False, True):
        shape = (None, None, 3) if not include_top else None
        network = _NETWORKS[depth](weights=None, include_top=include_top, input_shape=shape)
        try:
            load_weights_file(network, path)
        except ValueError as error:
            failures.append(str(error).removeprefix(f"{path}: "))
        else:
            return network
    raise ValueError(
        f"{path}: must hold weights saved from keras.applications.ResNet{depth}; without the classifier: "
        f"{failures[0]}; with it: {failures[1]}"
    )


def _download_network(depth: int) -> keras.Model:
    try:
        return _NETWORKS[depth](weights="imagenet", include_top=False)
    except Exception as error:  # Keras raises a bare Exception for a failed download.
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f"ImageNet weights of ResNet-{depth} are not in Keras' cache, and the download failed ({reason}); give the "
            "path of a local file instead"
        ) from error
