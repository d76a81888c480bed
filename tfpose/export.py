"""SavedModels that need nothing but TensorFlow: encoded images and boxes in, poses out.

    python -m tfpose.export --workdir=runs/demo --output=exported

Signatures of the two-stage system's second stage:

- `from_boxes`: `image_bytes` string [batch] (JPEG or PNG), `boxes` float32 [batch, persons, 4] (x1, y1, x2, y2 in
  image pixels; rows without area are padding) -> `keypoints` [batch, persons, joints, 3] (x, y, score in image pixels),
  `boxes` as given, `scores` [batch, persons] (0 for padding), `num_persons` int32 [batch]. People stay in the order of
  their boxes; near copies are not suppressed, as that would need the boxes' scores.
- `heatmaps`: the bare network, `images` float32 [batch, height, width, 3] normalised -> `heatmaps`.
"""

from __future__ import annotations

import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf
from absl import flags

from tfpose import crops, geometry
from tfpose.command_line import run_program
from tfpose.data.pictures import JPEG_OPTIONS, JPEG_START
from tfpose.inference.keypoint_system import KeypointSystem, read_keypoint_system
from tfpose.inference.two_stage import predict_keypoints, rescore_poses
from tfpose.models.batch_norm import fold_batch_norm
from tfpose.training.checkpoints import load_for_inference

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
            "from_boxes": tf.function(self.find_people).get_concrete_function(image_bytes, boxes),
            "heatmaps": tf.function(self.find_heatmaps).get_concrete_function(images),
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
            is_person = tf.reduce_all(boxes[..., 2:] > boxes[..., :2], axis=-1)
        slots = tf.where(is_person)  # [N, 2] (image, person)
        matrices = self.system.crop.matrices(tf.cast(tf.gather_nd(boxes, slots), tf.float64))
        keypoints, joint_scores = self._predict(self._cut_crops(image_bytes, slots[:, 0], matrices), matrices)
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

    def _predict(self, crops_of_people: tf.Tensor, matrices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Keypoints [N, J, 2] and scores [N, J], a chunk of people at a time."""
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


def cut_crops_tensor(image_bytes: tf.Tensor, crop_from_image: tf.Tensor, crop_size: tuple[int, int]) -> tf.Tensor:
    """`data.pictures.cut_crops` for one image as a graph.

    Args:
        image_bytes: scalar string, JPEG, PNG, BMP or GIF.
        crop_from_image: [P, 2, 3].
        crop_size: (height, width).

    Returns:
        [P, height, width, 3] uint8 RGB.
    """
    shape = [tf.shape(crop_from_image)[0], *crop_size, 3]
    is_jpeg = tf.strings.substr(image_bytes, 0, len(JPEG_START)) == JPEG_START
    reductions = tf.where(is_jpeg, crops.decode_reduction(crop_from_image), 1)
    result = tf.ensure_shape(tf.zeros(shape, tf.uint8), [None, *crop_size, 3])
    for reduction in crops.DECODE_REDUCTIONS:
        rows = tf.where(reductions == reduction)
        source = tf.gather_nd(crop_from_image, rows)
        if reduction > 1:
            to_full = tf.cast(crops.image_from_reduced(tf.constant([reduction])), source.dtype)
            source = geometry.compose(source, to_full)

        cut = functools.partial(_cut_at_scale, result, rows, source, image_bytes, is_jpeg, reduction)
        result = tf.cond(tf.size(rows) > 0, cut, functools.partial(tf.identity, result))
    return result


def _cut_at_scale(
    result: tf.Tensor,
    rows: tf.Tensor,
    crop_from_source: tf.Tensor,
    image_bytes: tf.Tensor,
    is_jpeg: tf.Tensor,
    reduction: int,
) -> tf.Tensor:
    """`result` with the crops of `rows` cut from the picture decoded at 1 / reduction."""
    picture = _decode(image_bytes, is_jpeg, reduction)
    matrices = tf.cast(crop_from_source, tf.float32)
    return tf.tensor_scatter_nd_update(result, rows, geometry.warp_image_tensor(picture, matrices, result.shape[1:3]))


def _decode(image_bytes: tf.Tensor, is_jpeg: tf.Tensor, reduction: int) -> tf.Tensor:
    """[H, W, 3] uint8; only a JPEG is ever reduced."""

    def decode_jpeg() -> tf.Tensor:
        return tf.io.decode_jpeg(image_bytes, ratio=reduction, **JPEG_OPTIONS)

    def decode_other() -> tf.Tensor:
        image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
        return tf.ensure_shape(image, [None, None, 3])

    return decode_jpeg() if reduction > 1 else tf.cond(is_jpeg, decode_jpeg, decode_other)


def export_keypoint_network(network: keras.Model, system: KeypointSystem, output: str | pathlib.Path) -> None:
    """Writes the SavedModel of a trained network; an existing one is replaced when the new one is whole.

    Args:
        network: as trained, under any precision; the export computes in float32, batch normalisation folded in.
        system: what belongs to the network.
        output: folder of the SavedModel.

    Raises:
        OSError: if it cannot be written, or `output` holds something that is not a SavedModel.
    """
    output = pathlib.Path(output)
    if output.exists() and not (output / "saved_model.pb").is_file():
        raise FileExistsError(f"{output}: exists and is not a SavedModel; choose another folder")
    module = KeypointModule(fold_batch_norm(network), system)
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        tf.saved_model.save(module, str(temporary / "model"), signatures=module.signatures())
        if output.exists():
            os.replace(output, temporary / "old")
        os.replace(temporary / "model", output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def main(argv: Sequence[str]) -> None:
    """Exports the weights of a work folder."""
    del argv
    system = read_keypoint_system(_WORKDIR.value)
    network = system.build_network()
    weights = load_for_inference(network, pathlib.Path(_WORKDIR.value), _WEIGHTS.value)
    export_keypoint_network(network, system, _OUTPUT.value)
    print(f"{weights} -> {_OUTPUT.value} (signatures: from_boxes, heatmaps)")


if __name__ == "__main__":
    _WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a training run.")
    _OUTPUT = flags.DEFINE_string("output", None, "Folder of the SavedModel.")
    _WEIGHTS = flags.DEFINE_enum("weights", "best", ["best", "last"], "Which weights of the run.")
    _CONFIG = flags.DEFINE_string("config", None, "Not needed: the work folder says what its weights are.")
    flags.mark_flags_as_required(["workdir", "output"])
    run_program(main)
