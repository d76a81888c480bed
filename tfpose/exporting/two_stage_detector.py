"""Exports the whole two-stage system as a SavedModel that turns encoded images into poses.

The SavedModel has the signatures of `tfpose.exporting.two_stage` and

- `serving_default`: `image_bytes` string [batch] (encoded images of any size) -> `keypoints` float32 [batch,
  persons, joints, 3] (x and y in pixels of the image, and a score), `boxes` [batch, persons, 4] (x1, y1, x2, y2 of the
  detector, without the margin of crops), `scores` [batch, persons], `num_persons` int32 [batch]. People are sorted by
  falling score and near copies are suppressed. Rows are padded with zeros to the largest number of persons in the
  batch.
- `tolerant`: see `tfpose.exporting.tolerant`.
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

from tfpose.data.picture_tensors import cut_crops_from_frame
from tfpose.data.upright_pictures import cut_upright_crops, decode_upright
from tfpose.exporting.saved_model import write_saved_model
from tfpose.exporting.tolerant import TOLERANT, tolerate_broken_images
from tfpose.exporting.two_stage import KeypointModule, WriteMore, bare_networks, describe_keypoints, trace
from tfpose.inference.detectors.detector import ExportableDetector
from tfpose.inference.keypoint_system import KeypointSystem
from tfpose.inference.litert_network import LitertNetwork
from tfpose.models.simplification import simplify_network
from tfpose.processes import num_cores


class TwoStageModule(KeypointModule):
    """Exported functions of both stages, which call the inference functions that evaluation and prediction use."""

    def __init__(
        self, network: keras.Model | LitertNetwork, system: KeypointSystem, detector: ExportableDetector
    ) -> None:
        super().__init__(network, system)
        # The SavedModel finds the variables of the detector's network in this attribute.
        self.detector_network = detector.network
        self.detector = detector
        self._find_boxes = detector.find_people_in_graph
        self.is_in_litert = isinstance(network, LitertNetwork) and isinstance(detector.network, LitertNetwork)
        # TensorFlow uses all cores for one image, LiteRT a core for each.
        self._images_at_once = num_cores() if self.is_in_litert else 1

    def _share_graphs(self) -> None:
        super()._share_graphs()
        image = tf.TensorSpec([None, None, 3], tf.uint8)
        self._find_boxes = tf.function(self.detector.find_people_in_graph, [image], autograph=False)

    def signatures(self) -> dict[str, Callable]:
        """Returns the concrete functions by signature name."""
        keypoint_signatures = super().signatures()
        image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
        frames = tf.TensorSpec([None, None, None, 3], tf.uint8, name="frames")
        serving_default = trace(self.find_poses, image_bytes)
        return {
            "serving_default": serving_default,
            TOLERANT: tolerate_broken_images(serving_default),
            "from_frames": trace(self.find_poses_in_frames, frames),
            **keypoint_signatures,
        }

    def find_poses(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the outputs of the signature `serving_default`."""

        def find(data: tf.Tensor) -> tf.Tensor:
            found = self._find_boxes(decode_upright(data))
            return self.poses_in_boxes(*found, functools.partial(cut_upright_crops, data))

        return self._map_images(find, image_bytes)

    def find_poses_in_frames(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the outputs of the signature `from_frames`."""

        def find(frame: tf.Tensor) -> tf.Tensor:
            found = self._find_boxes(frame)
            return self.poses_in_boxes(*found, functools.partial(cut_crops_from_frame, frame, warp=self.warp))

        return self._map_images(find, frames)

    def _map_images(self, find: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the outputs of a signature by a function from one image to the rows of its people."""
        columns = self.num_columns
        rows = tf.map_fn(
            lambda image: tf.RaggedTensor.from_tensor(find(image)),
            images,
            fn_output_signature=tf.RaggedTensorSpec([None, columns], tf.float32, ragged_rank=1),
            parallel_iterations=1 if tf.executing_eagerly() else self._images_at_once,
        )
        # Without the shape a batch without people would have no columns.
        padded = rows.to_tensor(shape=[None, None, columns])
        return self.outputs_of_rows(padded, rows.row_lengths())


def export_two_stage(
    network: keras.Model,
    system: KeypointSystem,
    detector: ExportableDetector,
    output: str | pathlib.Path,
    formats: Sequence[str] = (),
    write_more: WriteMore | None = None,
    dtype: str = "float32",
) -> list[str]:
    """Writes the SavedModel of both stages. An existing one is replaced when the new one is complete.

    Args:
        network: Trained keypoint network of any precision. The export merges batch normalization.
        system: System of the keypoint network.
        detector: Detector of people. Its thresholds become those of the SavedModel.
        output: Folder of the SavedModel.
        formats: Formats in which the bare networks are written too, see `export_keypoint_network` and
            `ExportableDetector.bare_networks`.
        write_more: Function that writes further files of the keypoint network.
        dtype: "float32" or "bfloat16", in which the keypoint network of the SavedModel computes. All other files are
            float32.

    Returns:
        Descriptions of what was written.

    Raises:
        OSError: `output` cannot be written, or exists and is not a SavedModel.
        ValueError: The network cannot be written in one of the formats.
    """
    module = TwoStageModule(simplify_network(network, dtype), system, detector)
    plain = module.network if dtype == "float32" else simplify_network(network)
    networks = {**bare_networks(plain), **detector.bare_networks}
    more = write_more and functools.partial(write_more, networks["keypoints"])
    return write_saved_model(module, module.signatures, output, networks, formats, describe_keypoints(system), more)
