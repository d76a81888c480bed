"""Loss, first weights, validation and pictures of the person detector, for `training.loop.train`.

He et al., "Mask R-CNN", 2017, sections 3.1 and 5.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping

import cv2
import keras
import numpy as np
import tensorflow as tf

from tfpose.checkpoints import load_for_inference
from tfpose.data.records import RecordTable
from tfpose.evaluation.box_scores import score_table_people
from tfpose.inference.keypoint_rcnn_system import read_keypoint_rcnn_settings
from tfpose.inference.table_people import build_find_function, find_table_people
from tfpose.models.keypoint_rcnn.images import normalize_images
from tfpose.models.keypoint_rcnn.network import KeypointRcnn, build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.objective import compute_losses
from tfpose.models.keypoint_rcnn.sampling import SamplingSettings
from tfpose.models.keypoint_rcnn.settings import KEYPOINT_OFFSET, KeypointRcnnSettings
from tfpose.pretrained.keypoint_rcnn_trunk import load_trunk
from tfpose.skeletons import Skeleton
from tfpose.visualization import draw_pose, tile_pictures

Batch = Mapping[str, tf.Tensor]
WeightedSum = tuple[tf.Tensor, tf.Tensor]

# In the paths of weights: the head, and its layer that depends on which joints there are.
_KEYPOINT_HEAD, _JOINT_LAYER = "conv_fcn", "score_lowres"
BOX_COLOR = (255, 220, 0)


def build_loss(
    sampling: SamplingSettings,
) -> Callable[[KeypointRcnn, Batch], tuple[dict[str, WeightedSum], dict[str, WeightedSum]]]:
    """The losses of `models.keypoint_rcnn.objective` on a batch of `data.detection_images`.

    Each is a mean over boxes or joints of the replica's images, and weighs as many images as it is of: how many boxes
    are sampled depends on the network, and a weight that does would cost every replica a second forward pass.
    Detectron2 averages over devices likewise.

    Args:
        sampling: how many boxes are trained on.
    """

    def compute_loss(model: KeypointRcnn, batch: Batch) -> tuple[dict[str, WeightedSum], dict[str, WeightedSum]]:
        results = compute_losses(model, prepare_batch(batch, model.settings), sampling)
        num_images = tf.cast(tf.shape(batch["images"])[0], tf.float32)
        means = {name: tf.math.divide_no_nan(*pair) for name, pair in results.items()}
        return {name: (mean * num_images, num_images) for name, mean in means.items()}, {}

    return compute_loss


def prepare_batch(batch: Batch, settings: KeypointRcnnSettings) -> dict[str, tf.Tensor]:
    """The batch with images normalised as in inference: with zeros where they are padded."""
    images, sizes = batch["images"], batch["image_sizes"]
    is_inside = [
        tf.range(tf.shape(images)[axis + 1]) < sizes[:, axis, None]  # [B, H], [B, W]
        for axis in (0, 1)
    ]
    is_image = is_inside[0][:, :, None, None] & is_inside[1][:, None, :, None]
    return {**batch, "images": tf.where(is_image, normalize_images(images, settings), 0.0)}


class Validation:
    """Scores the network on a split: COCO's figures of boxes, `box_AP` and so on, and of keypoints if it has them.

    Args:
        table: the records of the split.
        skeleton: of the network.
        batch_size: images at once.
    """

    def __init__(self, table: RecordTable, skeleton: Skeleton, batch_size: int) -> None:
        self.table, self.skeleton, self.batch_size = table, skeleton, batch_size
        self._find: Callable | None = None

    def __call__(self, model: KeypointRcnn, step: int = 0) -> dict[str, float]:
        """Metrics in percent by name; always of the same model, so that it is compiled once."""
        if self._find is None:
            self._find = build_find_function(model)
        return score_table_people(self.table, find_table_people(self._find, self.table, self.batch_size), self.skeleton)


def build_initializer(
    trunk: str = "", source_workdir: str = "", from_scratch: bool = False
) -> Callable[[KeypointRcnn], None]:
    """What gives a fresh network its first weights.

    Args:
        trunk: of an ImageNet network, see `load_trunk`; '' for none.
        source_workdir: a finished run or an imported checkpoint whose weights are taken over, see `transfer_weights`;
            '' for none.
        from_scratch: the random weights stay.

    Raises:
        ValueError: unless exactly one of the three is asked for.
    """
    asked = [bool(trunk), bool(source_workdir), from_scratch]
    if sum(asked) != 1:
        raise ValueError(
            "initialize needs exactly one of trunk, source_workdir and from_scratch, got "
            f"trunk={trunk!r}, source_workdir={source_workdir!r}, from_scratch={from_scratch}"
        )

    def initialize(model: KeypointRcnn) -> None:
        if trunk:
            load_trunk(model, trunk)
        elif source_workdir:
            source = build_keypoint_rcnn(read_keypoint_rcnn_settings(source_workdir))
            load_for_inference(source, pathlib.Path(source_workdir))
            transfer_weights(source, model)

    return initialize


def transfer_weights(source: KeypointRcnn, target: KeypointRcnn) -> None:
    """Copies the weights between two networks that differ in their joints at most.

    With another number of joints the keypoint head's last layer stays as it is; so does the whole head if the source
    has none. A head that only the source has is passed over.

    Raises:
        ValueError: a weight has no counterpart of the same shape; names it. Nothing is changed then.
    """
    values = {variable.path: variable for variable in source.variables}
    lacks_head = source.keypoint_head is None
    has_other_joints = lacks_head or source.settings.num_joints != target.settings.num_joints
    assignments = []
    for variable in target.variables:
        is_head, is_joint_layer = _KEYPOINT_HEAD in variable.path, _JOINT_LAYER in variable.path
        if (is_head and lacks_head) or (is_joint_layer and has_other_joints):
            continue
        value = values.get(variable.path)
        found = None if value is None else tuple(value.shape)
        if found != tuple(variable.shape):
            raise ValueError(
                f"{variable.path}: expected shape {tuple(variable.shape)}, the source has {found or 'no such weight'}"
            )
        assignments.append((variable, keras.ops.convert_to_numpy(value)))
    for variable, value in assignments:
        variable.assign(value)


def draw_examples(
    model: KeypointRcnn, batch: Batch, skeleton: Skeleton, num_examples: int = 4
) -> dict[str, np.ndarray]:
    """Pictures of a training batch: what goes in with its boxes and joints."""
    del model
    count = min(num_examples, len(batch["images"]))
    examples = ({name: values[index].numpy() for name, values in batch.items()} for index in range(count))
    return {"input": tile_pictures([draw_example(example, skeleton) for example in examples], columns=2)}


def draw_example(example: Mapping[str, np.ndarray], skeleton: Skeleton) -> np.ndarray:
    """Picture [H, W, 3] of one example of a batch with its boxes and joints."""
    picture = example["images"]
    for person in np.flatnonzero(example["person_weights"] > 0):
        keypoints = example["keypoints"][person] - KEYPOINT_OFFSET
        picture = draw_pose(picture, keypoints, example["joint_weights"][person] > 0, skeleton)
        corners = np.rint(example["boxes"][person]).astype(int).tolist()
        picture = cv2.rectangle(picture, corners[:2], corners[2:], BOX_COLOR)
    return picture
