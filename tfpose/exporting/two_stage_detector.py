"""Exports the whole two-stage system as a SavedModel that turns encoded images into poses.

The SavedModel has the signatures of `tfpose.exporting.two_stage` and

- `serving_default`: `image_bytes` string [batch] (encoded images of any size) -> `keypoints` float32 [batch,
  persons, joints, 3] (x and y in pixels of the image, and a score), `boxes` [batch, persons, 4] (x1, y1, x2, y2 of the
  detector, without the margin of crops), `scores` [batch, persons], `num_persons` int32 [batch]. People are sorted by
  falling score and near copies are suppressed. Rows are padded with zeros to the largest number of persons in the
  batch.
- `from_frames`: `frames` uint8 [batch, height, width, 3], decoded RGB images of one size -> the outputs of
  `serving_default`. Where `serving_default` decodes a JPEG at a smaller size for a crop, images are shrunk by averaging
  pixels.

Images are processed one after another and their people in chunks, so that memory does not grow with the batch.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf
from keras import ops

from tfpose.boxes import areas
from tfpose.data.picture_tensors import cut_crops_from_frame
from tfpose.data.upright_pictures import cut_upright_crops, decode_upright
from tfpose.exporting.saved_model import write_saved_model
from tfpose.exporting.two_stage import KeypointModule, bare_networks, describe_keypoints, trace
from tfpose.inference.detectors.detector import ExportableDetector
from tfpose.inference.keypoint_system import KeypointSystem
from tfpose.inference.two_stage import rescore_poses
from tfpose.models.batch_norm import fold_batch_norm
from tfpose.oks import object_keypoint_similarity

# Columns of a person's row before the joints: those of the box, and the score.
_BOX_COLUMNS, _SCORE_COLUMN = 4, 4


class TwoStageModule(KeypointModule):
    """Exported functions of both stages, which call the inference functions that evaluation and prediction use."""

    def __init__(self, network: keras.Model, system: KeypointSystem, detector: ExportableDetector) -> None:
        super().__init__(network, system)
        # The SavedModel finds the variables of the detector's network in this attribute.
        self.detector_network = detector.network
        self.detector = detector

    def signatures(self) -> dict[str, Callable]:
        """Returns the concrete functions by signature name."""
        image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
        frames = tf.TensorSpec([None, None, None, 3], tf.uint8, name="frames")
        return {
            "serving_default": trace(self.find_poses, image_bytes),
            "from_frames": trace(self.find_poses_in_frames, frames),
            **super().signatures(),
        }

    def find_poses(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the outputs of the signature `serving_default`."""

        def find(data: tf.Tensor) -> tf.Tensor:
            return self._find_poses_in_image(decode_upright(data), functools.partial(cut_upright_crops, data))

        return self._map_images(find, image_bytes)

    def find_poses_in_frames(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the outputs of the signature `from_frames`."""

        def find(frame: tf.Tensor) -> tf.Tensor:
            return self._find_poses_in_image(frame, functools.partial(cut_crops_from_frame, frame))

        return self._map_images(find, frames)

    def _map_images(self, find: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the outputs of a signature by a function from one image to the rows of its people."""
        joints = self.system.skeleton.num_joints
        columns = _BOX_COLUMNS + 1 + 3 * joints
        rows = tf.map_fn(
            lambda image: tf.RaggedTensor.from_tensor(find(image)),
            images,
            fn_output_signature=tf.RaggedTensorSpec([None, columns], tf.float32, ragged_rank=1),
            parallel_iterations=1,
        )
        # Without the shape a batch without people would have no columns.
        padded = rows.to_tensor(shape=[None, None, columns])
        return {
            "keypoints": tf.reshape(padded[..., _BOX_COLUMNS + 1 :], [*tf.unstack(tf.shape(padded)[:2]), joints, 3]),
            "boxes": padded[..., :_BOX_COLUMNS],
            "scores": padded[..., _SCORE_COLUMN],
            "num_persons": tf.cast(rows.row_lengths(), tf.int32),
        }

    def _find_poses_in_image(self, image: tf.Tensor, cut_crops: Callable[..., tf.Tensor]) -> tf.Tensor:
        """Finds the people of an image.

        Args:
            image: Image [H, W, 3] uint8.
            cut_crops: Function from (matrices, crop_size) to the crops of the image.

        Returns:
            Rows [P, 5 + 3 J]: box, score, and x, y and score of each joint.
        """
        boxes, box_scores = self.detector.find_people_in_graph(image)
        matrices = self.system.crop.matrices(tf.cast(boxes, tf.float64))
        crops = cut_crops(matrices, self.system.crop.crop_size)
        keypoints, joint_scores = self.predict(crops, matrices)
        kept, scores = self._select_poses(keypoints, joint_scores, boxes, box_scores)
        people = tf.concat([tf.cast(keypoints, tf.float32), joint_scores[..., None]], axis=-1)
        columns = 3 * self.system.skeleton.num_joints
        rows = tf.concat([boxes, scores[:, None], tf.reshape(people, [-1, columns])], axis=1)
        return tf.gather(rows, kept)

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


def export_two_stage(
    network: keras.Model,
    system: KeypointSystem,
    detector: ExportableDetector,
    output: str | pathlib.Path,
    formats: Sequence[str] = (),
) -> list[str]:
    """Writes the SavedModel of both stages. An existing one is replaced when the new one is complete.

    Args:
        network: Trained keypoint network of any precision. The export computes in float32 and merges batch
            normalization.
        system: System of the keypoint network.
        detector: Detector of people. Its thresholds become those of the SavedModel.
        output: Folder of the SavedModel.
        formats: Formats in which the keypoint network is written too, see `export_keypoint_network`.

    Returns:
        Descriptions of what was written.

    Raises:
        OSError: `output` cannot be written, or exists and is not a SavedModel.
        ValueError: The network cannot be written in one of the formats.
    """
    module = TwoStageModule(fold_batch_norm(network), system, detector)
    networks = bare_networks(module.network)
    return write_saved_model(module, module.signatures, output, networks, formats, describe_keypoints(system))
