"""The second stage of the two-stage system as a SavedModel: encoded images and boxes in, poses out.

- `from_boxes`: `image_bytes` string [batch] (JPEG or PNG), `boxes` float32 [batch, persons, 4] (x1, y1, x2, y2 in
  image pixels; rows without area are padding) -> `keypoints` [batch, persons, joints, 3] (x, y, score in image pixels),
  `boxes` as given, `scores` [batch, persons] (0 for padding), `num_persons` int32 [batch]. People stay in the order of
  their boxes; near copies are not suppressed, as that would need the boxes' scores.
- `heatmaps`: the bare network, `images` float32 [batch, height, width, 3] normalised -> `heatmaps`.

`tfpose.exporting.two_stage_detector` adds the first stage.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfpose.data.picture_tensors import cut_crops_tensor
from tfpose.exporting.saved_model import write_saved_model
from tfpose.exporting.system_file import describe_system
from tfpose.inference.keypoint_system import KeypointSystem
from tfpose.inference.two_stage import predict_keypoints, rescore_poses
from tfpose.models.batch_norm import fold_batch_norm

# People that go through the network at once; bounds the memory of crowded images.
CHUNK_SIZE = 32


class KeypointModule(tf.Module):
    """The exported functions, around the one inference function of evaluation and prediction."""

    def __init__(self, network: keras.Model, system: KeypointSystem) -> None:
        super().__init__(name="keypoints")
        self.network = network
        self.system = system

    def signatures(self) -> dict[str, Callable]:
        """Concrete functions by signature name."""
        image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
        boxes = tf.TensorSpec([None, None, 4], tf.float32, name="boxes")
        images = tf.TensorSpec([None, *self.system.crop.crop_size, 3], tf.float32, name="images")
        return {
            "from_boxes": trace(self.find_people, image_bytes, boxes),
            "heatmaps": trace(self.find_heatmaps, images),
        }

    def find_heatmaps(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """The signature `heatmaps`."""
        return {"heatmaps": self.network(images, training=False)}

    def find_people(self, image_bytes: tf.Tensor, boxes: tf.Tensor) -> dict[str, tf.Tensor]:
        """The signature `from_boxes`."""
        check = tf.debugging.assert_equal(
            tf.shape(image_bytes)[0], tf.shape(boxes)[0], "boxes must have one row for each of image_bytes"
        )
        with tf.control_dependencies([check]):
            boxes = tf.debugging.check_numerics(boxes, "boxes must be finite")
            is_person = tf.reduce_all(boxes[..., 2:] > boxes[..., :2], axis=-1)
        slots = tf.where(is_person)  # [N, 2] (image, person)
        matrices = self.system.crop.matrices(tf.cast(tf.gather_nd(boxes, slots), tf.float64))
        keypoints, joint_scores = self.predict(self._cut_crops(image_bytes, slots[:, 0], matrices), matrices)
        people = tf.concat([tf.cast(keypoints, tf.float32), joint_scores[..., None]], axis=-1)
        shape = tf.shape(boxes, out_type=tf.int64)[:2]
        scores = rescore_poses(1.0, joint_scores, self.system.selection.joint_threshold)
        return {
            "keypoints": tf.scatter_nd(slots, people, tf.concat([shape, tf.shape(people, out_type=tf.int64)[1:]], 0)),
            "boxes": boxes,
            "scores": tf.scatter_nd(slots, scores, shape),
            "num_persons": tf.reduce_sum(tf.cast(is_person, tf.int32), axis=1),
        }

    def _cut_crops(self, image_bytes: tf.Tensor, image_of_person: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
        """[N, H, W, 3] uint8 crops of people sorted by image."""
        crop_size = self.system.crop.crop_size

        def cut_from_image(index: tf.Tensor) -> tf.RaggedTensor:
            rows = tf.where(image_of_person == index)[:, 0]
            cut = cut_crops_tensor(image_bytes[index], tf.gather(matrices, rows), crop_size)
            return tf.RaggedTensor.from_tensor(tf.reshape(cut, [tf.shape(cut)[0], -1]))

        cut = tf.map_fn(
            cut_from_image,
            tf.range(tf.shape(image_bytes, out_type=tf.int64)[0]),
            fn_output_signature=tf.RaggedTensorSpec([None, None], tf.uint8, ragged_rank=1),
            parallel_iterations=1,
        )
        return tf.reshape(cut.flat_values, [-1, *crop_size, 3])

    def predict(self, crops_of_people: tf.Tensor, matrices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Keypoints [N, J, 2] in image pixels and scores [N, J], a chunk of people at a time.

        Args:
            crops_of_people: [N, H, W, 3] uint8.
            matrices: [N, 2, 3] float64 from image to crop.
        """
        system = self.system
        joints = system.skeleton.num_joints

        def predict_chunk(start: tf.Tensor, keypoints: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, ...]:
            part = slice(start, start + CHUNK_SIZE)
            found = predict_keypoints(
                lambda images: self.network(images, training=False),
                crops_of_people[part],
                matrices[part],
                system.crop,
                system.normalization,
                system.skeleton.flip_order,
                system.keypoints,
            )
            return start + CHUNK_SIZE, tf.concat([keypoints, found[0]], 0), tf.concat([scores, found[1]], 0)

        empty = (tf.zeros([0, joints, 2], matrices.dtype), tf.zeros([0, joints]))
        _, keypoints, scores = tf.while_loop(
            lambda start, *_: start < tf.shape(matrices)[0],
            predict_chunk,
            (tf.constant(0), *empty),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, joints, 2]),
                tf.TensorShape([None, joints]),
            ),
            parallel_iterations=1,
        )
        return keypoints, scores


def trace(function: Callable, *signature: tf.TensorSpec) -> Callable:
    """The function as one graph."""
    # There is no Python control flow to convert, and looking for it takes most of the time.
    return tf.function(function, autograph=False).get_concrete_function(*signature)


def export_keypoint_network(
    network: keras.Model, system: KeypointSystem, output: str | pathlib.Path, formats: Sequence[str] = ()
) -> list[str]:
    """Writes the SavedModel of a trained network; an existing one is replaced when the new one is whole.

    Args:
        network: as trained, under any precision; the export computes in float32, batch normalisation folded in.
        system: what belongs to the network.
        output: folder of the SavedModel.
        formats: 'litert' and 'onnx' write the bare network too, as `keypoints`.

    Returns:
        What was written, in words.

    Raises:
        OSError: if it cannot be written, or `output` holds something that is not a SavedModel.
        ValueError: the network cannot be written in one of the formats.
    """
    module = KeypointModule(fold_batch_norm(network), system)
    networks = bare_networks(module.network)
    return write_saved_model(module, module.signatures, output, networks, formats, describe_keypoints(system))


def describe_keypoints(system: KeypointSystem) -> dict[str, Any]:
    """What a SavedModel says of its joints."""
    return describe_system("two_stage", system.skeleton, system.selection.joint_threshold)


def bare_networks(network: keras.Model) -> dict[str, keras.Model]:
    """What is converted to other formats, by file name, with named outputs."""
    return {"keypoints": _with_named_output(network)}


def _with_named_output(network: keras.Model) -> keras.Model:
    return keras.Model(network.input, {"heatmaps": network.output})
