"""Exports the second stage of the two-stage system as a SavedModel that turns encoded images and boxes into poses.

- `from_boxes`: `image_bytes` string [batch] (encoded images of any size), `boxes` float32 [batch, persons, 4] (x1,
  y1, x2, y2 in image pixels; a box without area is padding) -> `keypoints` [batch, persons, joints, 3] (x and y in
  image pixels, and a score), `boxes` as given, `scores` [batch, persons] (0 for padding), `num_persons` int32 [batch].
  People stay in the order of their boxes. Near copies are not suppressed, because that requires the scores of the
  boxes.
- `heatmaps`: the bare network, `images` float32 [batch, height, width, 3], normalized -> `heatmaps`.

`tfpose.exporting.two_stage_detector` adds the first stage.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfpose import geometry
from tfpose.boxes import areas
from tfpose.data.picture_tensors import cut_crops_from_frame
from tfpose.data.upright_pictures import cut_upright_crops
from tfpose.exporting.saved_model import write_saved_model
from tfpose.exporting.system_file import SYSTEM_FILE, describe_system
from tfpose.inference.keypoint_system import KEYPOINT_SYSTEM_FILE, KeypointSystem
from tfpose.inference.litert_network import LitertNetwork
from tfpose.inference.two_stage import predict_keypoints, rescore_poses
from tfpose.models.simplification import simplify_network
from tfpose.oks import object_keypoint_similarity

# Number of people that go through the network at once, which limits the memory for crowded images.
CHUNK_SIZE = 32
# Columns of a person's row before the joints: those of the box, and the score.
_BOX_COLUMNS, _SCORE_COLUMN = 4, 4
# From the keypoint network, with a dict of outputs, and a folder to descriptions of the files written there.
WriteMore = Callable[[keras.Model, pathlib.Path], list[str]]


class KeypointModule(tf.Module):
    """Exported functions, which call the inference function that evaluation and prediction use."""

    def __init__(self, network: keras.Model | LitertNetwork, system: KeypointSystem) -> None:
        """Wraps a network; only a Keras network can be exported."""
        super().__init__(name="keypoints")
        self.network = network
        self.system = system
        self.warp = geometry.warp_image_by_opencv if isinstance(network, LitertNetwork) else geometry.warp_image_tensor
        self.predict: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]] = self._predict
        self.run_network: Callable[[tf.Tensor], tf.Tensor] = self._run_network

    @property
    def num_columns(self) -> int:
        """The number of columns of a person's row: the box, the score, and x, y and score of each joint."""
        return _BOX_COLUMNS + 1 + 3 * self.system.skeleton.num_joints

    def signatures(self) -> dict[str, Callable]:
        """Returns the concrete functions by signature name."""
        self._share_graphs()
        image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
        boxes = tf.TensorSpec([None, None, 4], tf.float32, name="boxes")
        images = tf.TensorSpec([None, *self.system.crop.crop_size, 3], tf.float32, name="images")
        return {
            "from_boxes": trace(self.find_people, image_bytes, boxes),
            "heatmaps": trace(self.find_heatmaps, images),
        }

    def find_heatmaps(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the output of the signature `heatmaps`."""
        return {"heatmaps": self.run_network(images)}

    def find_people(self, image_bytes: tf.Tensor, boxes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the outputs of the signature `from_boxes`."""
        num_images, num_boxes = tf.unstack(tf.shape(boxes)[:2])
        checks = [
            tf.debugging.assert_equal(
                tf.shape(image_bytes)[0], num_images, "boxes must have one row for each of image_bytes"
            ),
            # The shape of a signature is not checked, and a graph counts on it.
            tf.debugging.assert_equal(
                tf.size(boxes), _BOX_COLUMNS * num_images * num_boxes, "boxes must have 4 numbers: x1, y1, x2, y2"
            ),
        ]
        with tf.control_dependencies(checks):
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
        """Cuts the crops [N, H, W, 3] uint8 of people that are sorted by image."""
        crop_size, reduces_images = self.system.crop.crop_size, self.system.crop.reduces_images

        def cut_from_image(index: tf.Tensor) -> tf.RaggedTensor:
            rows = tf.where(image_of_person == index)[:, 0]
            cut = cut_upright_crops(image_bytes[index], tf.gather(matrices, rows), crop_size, reduces_images)
            return tf.RaggedTensor.from_tensor(tf.reshape(cut, [tf.shape(cut)[0], -1]))

        cut = tf.map_fn(
            cut_from_image,
            tf.range(tf.shape(image_bytes, out_type=tf.int64)[0]),
            fn_output_signature=tf.RaggedTensorSpec([None, None], tf.uint8, ragged_rank=1),
            parallel_iterations=1,
        )
        return tf.reshape(cut.flat_values, [-1, *crop_size, 3])

    def find_poses_in_boxes(self, frame: tf.Tensor, boxes: tf.Tensor, box_scores: tf.Tensor) -> dict[str, tf.Tensor]:
        """Finds the poses of people in given boxes of a decoded image; no signature has these outputs.

        Args:
            frame: Image [H, W, 3] uint8 RGB.
            boxes: [P, 4] float32 xyxy in image pixels.
            box_scores: [P] float32.

        Returns:
            The outputs of `serving_default`, see `two_stage_detector`, for a batch of this image.
        """
        rows = self.poses_in_boxes(boxes, box_scores, functools.partial(cut_crops_from_frame, frame, warp=self.warp))
        return self.outputs_of_rows(rows[None], tf.shape(rows)[:1])

    def poses_in_boxes(self, boxes: tf.Tensor, box_scores: tf.Tensor, cut_crops: Callable[..., tf.Tensor]) -> tf.Tensor:
        """Finds the people in the boxes of an image.

        Args:
            boxes: [P, 4] float32 xyxy in image pixels.
            box_scores: [P] float32.
            cut_crops: Function from (matrices, crop_size, reduces_images) to the crops of the image.

        Returns:
            Rows [K, 5 + 3 J], best first and without near copies: box, score, and x, y and score of each joint.
        """
        if tf.executing_eagerly() and not len(boxes):
            # Outside of a graph Keras sees that there are no people, and refuses to look for the largest of no values.
            return tf.zeros([0, self.num_columns])
        matrices = self.system.crop.matrices(tf.cast(boxes, tf.float64))
        crops = cut_crops(matrices, self.system.crop.crop_size, self.system.crop.reduces_images)
        keypoints, joint_scores = self.predict(crops, matrices)
        kept, scores = self._select_poses(keypoints, joint_scores, boxes, box_scores)
        people = tf.concat([tf.cast(keypoints, tf.float32), joint_scores[..., None]], axis=-1)
        joints = tf.reshape(people, [-1, 3 * self.system.skeleton.num_joints])
        rows = tf.concat([boxes, scores[:, None], joints], axis=1)
        return tf.gather(rows, kept)

    def outputs_of_rows(self, rows: tf.Tensor, num_persons: tf.Tensor) -> dict[str, tf.Tensor]:
        """Splits the rows of people [B, P, 5 + 3 J], of which [B] are not padding, into named outputs."""
        joints = self.system.skeleton.num_joints
        return {
            "keypoints": tf.reshape(rows[..., _BOX_COLUMNS + 1 :], [*tf.unstack(tf.shape(rows)[:2]), joints, 3]),
            "boxes": rows[..., :_BOX_COLUMNS],
            "scores": rows[..., _SCORE_COLUMN],
            "num_persons": tf.cast(num_persons, tf.int32),
        }

    def _select_poses(
        self, keypoints: tf.Tensor, joint_scores: tf.Tensor, boxes: tf.Tensor, box_scores: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Selects poses as `inference.two_stage.select_poses` does.

        Returns:
            Positions [K] of the poses that stay, and scores [P] of all.
        """
        selection = self.system.selection
        scores = rescore_poses(box_scores, joint_scores, selection.joint_threshold)
        sizes = areas(tf.cast(boxes, tf.float64), ops)
        sigmas = self.system.skeleton.sigmas
        similarities = object_keypoint_similarity(keypoints, keypoints, sizes, sizes, sigmas, xp=ops)
        # TensorFlow's operation replaces `suppress_poses`, whose loop depends on values that a graph does not have.
        # It compares in float32, so the similarities are compared with the threshold before.
        is_too_alike = tf.cast(similarities > selection.oks_threshold, tf.float32)
        kept = tf.image.non_max_suppression_overlaps(is_too_alike, scores, tf.shape(scores)[0], overlap_threshold=0.5)
        return kept, scores

    def _share_graphs(self) -> None:
        """Makes one graph of each part that several signatures have."""
        crops, images = (tf.TensorSpec([None, *self.system.crop.crop_size, 3], kind) for kind in (tf.uint8, tf.float32))
        self.run_network = tf.function(self._run_network, [images], autograph=False)
        self.predict = tf.function(self._predict, [crops, tf.TensorSpec([None, 2, 3], tf.float64)], autograph=False)

    def _run_network(self, images: tf.Tensor) -> tf.Tensor:
        """Returns heatmaps [N, h, w, J] of normalized crops [N, H, W, 3]."""
        return self.network(images, training=False)

    def _predict(self, crops_of_people: tf.Tensor, matrices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts keypoints [N, J, 2] in image pixels and scores [N, J], a chunk of people at a time.

        Args:
            crops_of_people: Crops [N, H, W, 3] uint8.
            matrices: Matrices [N, 2, 3] float64 from image to crop.
        """
        system = self.system
        joints = system.skeleton.num_joints

        def predict_chunk(start: tf.Tensor, keypoints: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, ...]:
            part = slice(start, start + CHUNK_SIZE)
            found = predict_keypoints(
                self.run_network,
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
    """Returns a function as one graph."""
    # Without autograph, whose search for Python control flow would take most of the time; there is none.
    return tf.function(function, autograph=False).get_concrete_function(*signature)


def export_keypoint_network(
    network: keras.Model,
    system: KeypointSystem,
    output: str | pathlib.Path,
    formats: Sequence[str] = (),
    write_more: WriteMore | None = None,
    dtype: str = "float32",
) -> list[str]:
    """Writes the SavedModel of a trained network. An existing one is replaced when the new one is complete.

    Args:
        network: Trained network of any precision. The export merges batch normalization.
        system: System of the network.
        output: Folder of the SavedModel.
        formats: Formats in which the bare network is written too, as `keypoints`: 'litert' and 'onnx'.
        write_more: Function that writes further files of the keypoint network.
        dtype: "float32" or "bfloat16", in which the keypoint network of the SavedModel computes. All other files are
            float32.

    Returns:
        Descriptions of what was written.

    Raises:
        OSError: `output` cannot be written, or exists and is not a SavedModel.
        ValueError: The network cannot be written in one of the formats.
    """
    module = KeypointModule(simplify_network(network, dtype), system)
    networks = bare_networks(module.network if dtype == "float32" else simplify_network(network))
    more = write_more and functools.partial(write_more, networks["keypoints"])
    return write_saved_model(module, module.signatures, output, networks, formats, describe_keypoints(system), more)


def describe_keypoints(system: KeypointSystem) -> dict[str, Mapping[str, Any]]:
    """Returns the JSON files that the SavedModel holds by name: the one of its joints, and its keypoint system."""
    description = describe_system("two_stage", system.skeleton, system.selection.joint_threshold)
    return {SYSTEM_FILE: description, KEYPOINT_SYSTEM_FILE: system.to_dict()}


def bare_networks(network: keras.Model) -> dict[str, keras.Model]:
    """Returns the networks that are converted to other formats by file name, with named outputs."""
    return {"keypoints": keras.Model(network.input, {"heatmaps": network.output})}
