"""Exports the single heatmap network as a SavedModel that turns encoded images into poses.

- `serving_default`: `image_bytes` string [batch] (encoded images of any size) -> `keypoints` float32 [batch,
  persons, joints, 3] (x and y in pixels of the image, and a score that is 0 for a joint that was not found), `boxes`
  [batch, persons, 4] (x1, y1, x2, y2 around the joints), `scores` [batch, persons], `num_persons` int32 [batch]. Rows
  are padded with zeros to the largest number of persons in the batch.
- `tolerant`: see `tfpose.exporting.tolerant`.
- `from_frames`: `frames` uint8 [batch, height, width, 3], decoded RGB images of one size -> the outputs of
  `serving_default`. Images more than twice as large as the network's input are shrunk by averaging pixels.
- `heatmaps`: the bare frame network, `images` float32 [batch, height, width, 3], normalized and of the network's input
  size -> `head_maps` [batch, height / 4, width / 4, 1] and `joint_maps` [batch, height / 4, width / 4, joints] of all
  people.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfpose.data.picture_tensors import fit_frames
from tfpose.data.upright_pictures import read_upright_frame
from tfpose.exporting.saved_model import write_saved_model
from tfpose.exporting.system_file import SYSTEM_FILE, describe_system
from tfpose.exporting.tolerant import TOLERANT, tolerate_broken_images
from tfpose.inference.single_network import predict_people
from tfpose.inference.single_network_system import (
    SingleNetworkSystem,
    build_inference_network,
    build_inference_parts,
)
from tfpose.models.pose_unet import PoseUnet


class SingleNetworkModule(tf.Module):
    """Exported functions, which call the inference function that evaluation and prediction use."""

    def __init__(self, network: PoseUnet, system: SingleNetworkSystem, dtype: str = "float32") -> None:
        super().__init__(name="single_network")
        self.network = build_inference_network(network, system, dtype)
        self.system = system
        self._parts = build_inference_parts(self.network, system)

    def signatures(self) -> dict[str, Callable]:
        """Returns the concrete functions by signature name."""
        image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
        frames = tf.TensorSpec([None, None, None, 3], tf.uint8, name="frames")
        images = tf.TensorSpec([None, *self.system.fit.input_size, 3], tf.float32, name="images")
        serving_default = tf.function(self.find_people, autograph=False).get_concrete_function(image_bytes)
        return {
            "serving_default": serving_default,
            TOLERANT: tolerate_broken_images(serving_default),
            "from_frames": tf.function(self.find_people_in_frames, autograph=False).get_concrete_function(frames),
            "heatmaps": tf.function(self.find_heatmaps, autograph=False).get_concrete_function(images),
        }

    def find_heatmaps(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the outputs of the signature `heatmaps`."""
        maps = self.network.find_joints(images)
        return {name: maps[name] for name in ("head_maps", "joint_maps")}

    def find_people(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the outputs of the signature `serving_default`."""
        fit = self.system.fit
        frames, sizes = tf.map_fn(
            lambda data: read_upright_frame(data, fit),
            image_bytes,
            fn_output_signature=(tf.TensorSpec([*fit.input_size, 3], tf.uint8), tf.TensorSpec([2], tf.int64)),
            parallel_iterations=1,
        )
        return self._find(frames, sizes)

    def find_people_in_frames(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the outputs of the signature `from_frames`."""
        return self._find(*fit_frames(frames, self.system.fit))

    def _find(self, frames: tf.Tensor, sizes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Finds the people in fitted frames [B, H, W, 3] uint8 of images whose (height, width) are [B, 2]."""
        num_frames = tf.shape(frames)[0]
        # Fused convolutions fail on an empty batch.
        is_empty = tf.cast(tf.equal(num_frames, 0), tf.int32)
        frames = tf.pad(frames, [[0, is_empty], [0, 0], [0, 0], [0, 0]])
        matrices = self.system.fit.image_from_heatmap(tf.pad(sizes, [[0, is_empty], [0, 0]], constant_values=1))
        found = predict_people(*self._parts, frames, matrices, self.system.inference)
        return {name: values[:num_frames] for name, values in found.items()}


def export_single_network(
    network: PoseUnet,
    system: SingleNetworkSystem,
    output: str | pathlib.Path,
    formats: Sequence[str] = (),
    dtype: str = "float32",
) -> list[str]:
    """Writes the SavedModel of a trained network. An existing one is replaced when the new one is complete.

    Args:
        network: Trained network of any precision. The export merges batch normalization.
        system: System of the network. Its thresholds become those of the SavedModel.
        output: Folder of the SavedModel.
        formats: Formats in which the bare networks are written too, 'litert' and 'onnx': `frame`, which runs once for
            an image, and `person`, which runs for each head. Inputs and outputs are those of
            `tfpose.models.pose_unet`.
        dtype: "float32" or "bfloat16", in which the network of the SavedModel computes. All other files are float32.

    Returns:
        Descriptions of what was written.

    Raises:
        OSError: `output` cannot be written, or exists and is not a SavedModel.
        ValueError: A network cannot be written in one of the formats.
    """
    module = SingleNetworkModule(network, system, dtype)
    plain = module.network if dtype == "float32" else build_inference_network(network, system)
    networks = {"frame": plain.frame, "person": plain.person}
    threshold = system.inference.joint_threshold
    description = describe_system("single_network", system.skeleton, threshold, system.anchor_joints)
    return write_saved_model(module, module.signatures, output, networks, formats, {SYSTEM_FILE: description})
