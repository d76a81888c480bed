"""Loss, first weights, validation and pictures of the person detector, for `training.loop.train`.

Source: He et al., "Mask R-CNN", 2017, sections 3.1 and 5.
"""

from __future__ import annotations

import functools
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence

import cv2
import keras
import numpy as np
import tensorflow as tf

from tfpose.checkpoints import load_for_inference
from tfpose.data.records import RecordTable
from tfpose.evaluation.box_scores import score_table_people
from tfpose.evaluation.shares import ALONE, DeviceCopies, EvaluationShare
from tfpose.importing.named_weights import find_workdir, require_kinds
from tfpose.inference.keypoint_rcnn_system import read_keypoint_rcnn_settings, read_keypoint_rcnn_skeleton
from tfpose.inference.table_people import (
    TablePeople,
    build_find_function,
    find_table_people,
    image_batches,
    no_table_people,
)
from tfpose.models.keypoint_rcnn.images import normalize_images
from tfpose.models.keypoint_rcnn.network import KeypointRcnn, build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.objective import compute_losses
from tfpose.models.keypoint_rcnn.sampling import SamplingSettings
from tfpose.models.keypoint_rcnn.settings import KEYPOINT_OFFSET, KeypointRcnnSettings
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.keypoint_rcnn_trunk import load_trunk
from tfpose.pretrained.transfer import check_same_settings
from tfpose.skeletons import Skeleton
from tfpose.training.step import Batch, ComputeLoss, Losses
from tfpose.visualization import add_side_legend, draw_named_pose, draw_pose, tile_pictures

# Parts of the paths of weights: the keypoint head, and the layer of the head that depends on the joints.
_KEYPOINT_HEAD, _JOINT_LAYER = "conv_fcn", "score_lowres"
# Settings that no shape of a weight tells, but that weights must be used with as trained.
_UNSEEN_SETTINGS = ("stride_in", "pixel_mean", "pixel_std", "conventions")
BOX_COLOR = (255, 220, 0)


def build_loss(sampling: SamplingSettings) -> ComputeLoss:
    """Returns the function that computes the losses of the detector on a batch of `data.detection_images`.

    Each loss is a mean over boxes or joints of the images of a replica, and its weight is the number of these images.
    The number of sampled boxes cannot be the weight: it depends on the network, and a weight that depends on the
    network costs every replica a second forward pass. Detectron2 averages over devices in the same way.

    Args:
        sampling: How many boxes the detector is trained on.
    """

    def compute_loss(model: KeypointRcnn, batch: Batch) -> Losses:
        results = compute_losses(model, prepare_batch(batch, model.settings), sampling)
        num_images = tf.cast(tf.shape(batch["images"])[0], tf.float32)
        means = {name: tf.math.divide_no_nan(*pair) for name, pair in results.items()}
        return {name: (mean * num_images, num_images) for name, mean in means.items()}, {}

    return compute_loss


def prepare_batch(batch: Batch, settings: KeypointRcnnSettings) -> dict[str, tf.Tensor]:
    """Returns the batch with images normalized as in inference, which means zeros in the padding."""
    images, sizes = batch["images"], batch["image_sizes"]
    is_inside = [
        tf.range(tf.shape(images)[axis + 1]) < sizes[:, axis, None]  # [B, H], [B, W]
        for axis in (0, 1)
    ]
    is_image = is_inside[0][:, :, None, None] & is_inside[1][:, None, :, None]
    return {**batch, "images": tf.where(is_image, normalize_images(images, settings), 0.0)}


class Validation:
    """Scores the detector on a split: COCO's metrics of boxes (`box_AP` and others), and of keypoints if it has any.

    The network is evaluated in float32 whatever it is trained in, as eval_main.py evaluates its weights.

    Args:
        table: Records of the split.
        skeleton: Skeleton of the network.
        batch_size: Number of images that the network processes at once.
    """

    def __init__(self, table: RecordTable, skeleton: Skeleton, batch_size: int) -> None:
        self.table, self.skeleton, self.batch_size = table, skeleton, batch_size
        self._copies = DeviceCopies(build_find_function)

    def __call__(self, model: KeypointRcnn, step: int = 0, share: EvaluationShare = ALONE) -> dict[str, float]:
        """Returns the metrics in percent by name. Every call must pass a model with the same settings.

        All devices and workers look at a share of the batches of images.
        """
        build_copy = functools.partial(build_keypoint_rcnn, model.settings)
        functions = self._copies.update(model, build_copy, share.devices)
        num_joints = model.settings.num_joints if model.settings.has_keypoint_head else 0

        def find(device: int, part: slice) -> tuple[np.ndarray, ...]:
            people = no_table_people(num_joints)
            if part.start < part.stop:
                people = find_table_people(functions[device], self.table, self.batch_size, part)
            return tuple(vars(people).values())

        people = TablePeople(*share.run(len(image_batches(self.table, self.batch_size)), 1, find))
        return score_table_people(self.table, people, self.skeleton)


def build_initializer(
    trunk: str = "", source_workdir: str = "", from_scratch: bool = False, joints: Sequence[str] = ()
) -> Callable[[KeypointRcnn], None]:
    """Returns the function that gives a fresh network its first weights.

    Args:
        trunk: Weights of an ImageNet network for the trunk, see `load_trunk`; '' for none.
        source_workdir: Work folder of a finished run, or name of a public checkpoint, whose weights are copied, see
            `transfer_weights`; '' for none.
        from_scratch: Whether the network keeps its random weights.
        joints: Names of the joints of the network, in order; empty if they are not known.

    Raises:
        ValueError: Not exactly one of `trunk`, `source_workdir` and `from_scratch` is given.
    """
    asked = [bool(trunk), bool(source_workdir), from_scratch]
    if sum(asked) != 1:
        raise ValueError(
            "initialize must set exactly one of trunk, source_workdir and from_scratch, got "
            f"trunk={trunk!r}, source_workdir={source_workdir!r}, from_scratch={from_scratch}"
        )
    require_kinds(source_workdir, "--config.initialize.source_workdir", "", wants_detector=True)

    def initialize(model: KeypointRcnn) -> None:
        if trunk:
            load_trunk(model, trunk)
        elif source_workdir:
            workdir = pathlib.Path(find_workdir(source_workdir))
            source_settings = read_keypoint_rcnn_settings(workdir)
            source = build_unfilled(lambda: build_keypoint_rcnn(source_settings))
            load_for_inference(source, workdir)
            theirs = {name: getattr(source_settings, name) for name in _UNSEEN_SETTINGS}
            check_same_settings(source_workdir, theirs, vars(model.settings))
            skeleton = read_keypoint_rcnn_skeleton(workdir)
            has_other_joints = bool(joints) and skeleton is not None and skeleton.joints != tuple(joints)
            transfer_weights(source, model, has_other_joints)
            if has_other_joints and model.keypoint_head is not None:
                print(
                    f"note: the last layer of the keypoint head starts from random weights, because {source_workdir} "
                    "has other joints",
                    file=sys.stderr,
                )

    return initialize


def transfer_weights(source: KeypointRcnn, target: KeypointRcnn, has_other_joints: bool = False) -> None:
    """Copies the weights from `source` to `target`, which may only differ in their joints.

    If the joints differ, the last layer of the target's keypoint head keeps its weights. If the source has no keypoint
    head, the whole head of the target keeps its weights. A head that only the source has is ignored.

    Args:
        source: Network to copy from.
        target: Network to copy to.
        has_other_joints: Whether the joints differ though their numbers may be equal.

    Raises:
        ValueError: A weight has no counterpart of the same shape; the message names the weight. No weight is changed.
    """
    values = {variable.path: variable for variable in source.variables}
    lacks_head = source.keypoint_head is None
    has_other_joints |= lacks_head or source.settings.num_joints != target.settings.num_joints
    assignments = []
    for variable in target.variables:
        is_head, is_joint_layer = _KEYPOINT_HEAD in variable.path, _JOINT_LAYER in variable.path
        if (is_head and lacks_head) or (is_joint_layer and has_other_joints):
            continue
        value = values.get(variable.path)
        if value is None or tuple(value.shape) != tuple(variable.shape):
            got = "no such weight" if value is None else tuple(value.shape)
            raise ValueError(f"{variable.path} of the source must have shape {tuple(variable.shape)}, got {got}")
        assignments.append((variable, keras.ops.convert_to_numpy(value)))
    for variable, value in assignments:
        variable.assign(value)


def draw_examples(
    model: KeypointRcnn, batch: Batch, skeleton: Skeleton, num_examples: int = 4
) -> dict[str, np.ndarray]:
    """Draws the images of a training batch with their boxes and joints."""
    del model
    count = min(num_examples, len(batch["images"]))
    examples = ({name: values[index].numpy() for name, values in batch.items()} for index in range(count))
    return {"input": tile_pictures([draw_example(example, skeleton) for example in examples], columns=2)}


def draw_named_example(example: Mapping[str, np.ndarray], skeleton: Skeleton) -> np.ndarray:
    """Draws one example of a batch; the person with the most labeled joints has the names of the joints."""
    picture = draw_example(example, skeleton)
    is_labeled = (example["joint_weights"] > 0) & (example["person_weights"] > 0)[:, None]
    if is_labeled.any():
        person = int(is_labeled.sum(axis=1).argmax())
        keypoints = example["keypoints"][person] - KEYPOINT_OFFSET
        picture = draw_named_pose(picture, keypoints, is_labeled[person], skeleton)
    return add_side_legend(picture)


def draw_example(example: Mapping[str, np.ndarray], skeleton: Skeleton) -> np.ndarray:
    """Draws one example of a batch with its boxes and joints as a picture [H, W, 3]."""
    picture = example["images"]
    for person in np.flatnonzero(example["person_weights"] > 0):
        keypoints = example["keypoints"][person] - KEYPOINT_OFFSET
        picture = draw_pose(picture, keypoints, example["joint_weights"][person] > 0, skeleton)
        corners = np.rint(example["boxes"][person]).astype(int).tolist()
        picture = cv2.rectangle(picture, corners[:2], corners[2:], BOX_COLOR)
    return picture
