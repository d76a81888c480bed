"""Distillation: a keypoint network, the student, learns the heatmaps of a trained one, the teacher.

Hinton et al., "Distilling the Knowledge in a Neural Network", 2015; for heatmaps, Zhang et al., "Fast Human Pose
Estimation", 2019, equation 4: the loss is a weighted sum of the mean squared errors against labels and teacher. As
Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", 2022, advise, the teacher sees the
same augmented crop as the student at each step.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from tfpose import geometry
from tfpose.checkpoints import load_for_inference
from tfpose.crops import CropSettings
from tfpose.heatmaps import decode_heatmaps
from tfpose.importing.named_weights import find_workdir, require_kinds
from tfpose.inference.float32_networks import build_in_float32
from tfpose.inference.keypoint_system import KeypointSystem, read_keypoint_system
from tfpose.json_files import read_json, write_json
from tfpose.losses import heatmap_mse
from tfpose.models.simplification import simplify_network
from tfpose.models.unfilled import build_unfilled
from tfpose.skeletons import joint_mapping
from tfpose.training.batches import network_inputs
from tfpose.training.step import Batch, ComputeLoss, Losses
from tfpose.training.two_stage import BuildTargets, count_correct, draw_examples, label_errors

TEACHER_FILE = "teacher.json"
TEACHER_FLAG = "--config.distillation.teacher"


@dataclasses.dataclass(frozen=True)
class DistillationSettings:
    """Settings of distillation.

    Attributes:
        teacher: Work folder of a run of the two-stage system, or name of a public keypoint network. '' for no teacher.
        weight: Share of the teacher in the loss, from 0 to 1. The labels have the rest. 1 uses no label of a joint, and
            0 uses no teacher.
        min_peak: Least height of a peak of the teacher. A heatmap of the teacher with a lower peak is not learned.
    """

    teacher: str = ""
    weight: float = 1.0
    min_peak: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be in [0, 1], got {self.weight}")
        if not self.min_peak >= 0:
            raise ValueError(f"min_peak must be at least 0, got {self.min_peak}")

    @property
    def is_used(self) -> bool:
        """Whether there is a teacher whose heatmaps count."""
        return bool(self.teacher) and self.weight > 0


class Teacher:
    """The frozen network of a teacher, which turns the crops of a batch into target heatmaps for a student.

    Joints are matched by name. Both networks see one crop, which is cut at the larger of their input sizes
    (`shared_crop`) and resampled for the other network. The teacher's heatmaps are resampled to the student's cells by
    the pixel conventions of both networks. The heights of the peaks stay those of the teacher.

    Args:
        settings: Settings with a teacher.
        student: System of the student.

    Raises:
        OSError, ValueError: There is no such teacher, or it does not fit the student.
    """

    def __init__(self, settings: DistillationSettings, student: KeypointSystem) -> None:
        require_kinds(settings.teacher, TEACHER_FLAG, "")
        self.name, self.settings = settings.teacher, settings
        self.workdir = pathlib.Path(find_workdir(settings.teacher))
        self.system, self.student = read_keypoint_system(self.workdir), student
        self._joints = joint_mapping(self.system.skeleton.joints, student.skeleton.joints)
        self.has_joint = self._joints >= 0
        self._check_joints()
        self._check_aspect()
        self._file: pathlib.Path | None = None
        self._network: keras.Model | None = None

    def _check_joints(self) -> None:
        names, lacking = self.student.skeleton.joints, ~self.has_joint
        if lacking.all():
            raise ValueError(
                f"{TEACHER_FLAG} must have a joint of the student ({', '.join(names)}), got {self.name} with "
                f"{', '.join(self.system.skeleton.joints)}"
            )
        if lacking.any() and self.settings.weight == 1:
            absent = ", ".join(names[joint] for joint in np.flatnonzero(lacking))
            raise ValueError(
                "--config.distillation.weight must be below 1 for joints that the teacher lacks, because they need "
                f"labels, got 1.0 and {self.name} without {absent}; --config.skeleton chooses the joints of the student"
            )

    def _check_aspect(self) -> None:
        (height, width), (own_height, own_width) = self.student.crop.crop_size, self.system.crop.crop_size
        if height * own_width != width * own_height:
            raise ValueError(
                f"{TEACHER_FLAG} must have an input size of the student's aspect ratio, {height} x {width}, got "
                f"{self.name} with {own_height} x {own_width}"
            )

    @property
    def shared_crop(self) -> CropSettings:
        """How people are cut out for both networks: as for the student, at the larger input size."""
        size = max(self.student.crop.crop_size, self.system.crop.crop_size)
        return dataclasses.replace(self.student.crop, crop_size=size)

    def build(self) -> None:
        """Builds the network in its form for inference, in float32, with its weights. None of them can be trained."""
        network = build_in_float32(lambda: build_unfilled(self.system.build_network))
        self._file = load_for_inference(network, self.workdir)
        self._network = build_in_float32(lambda: simplify_network(network))
        self._network.trainable = False

    @property
    def network(self) -> keras.Model:
        """The network, once `build` was called."""
        if self._network is None:
            raise ValueError("the teacher must be built before it is used")
        return self._network

    def describe(self, workdir: pathlib.Path) -> None:
        """Writes which teacher a run has, with the digest of its weights, into the work folder of the run.

        A note tells that a run continues with other weights, as of a teacher that is still being trained.
        """
        digest = "" if self._file is None else hashlib.sha256(self._file.read_bytes()).hexdigest()
        file = "" if self._file is None else os.fspath(self._file)
        found = read_json(workdir / TEACHER_FILE) if (workdir / TEACHER_FILE).is_file() else {}
        if isinstance(found, dict) and found.get("sha256", digest) != digest:
            print(
                f"note: {self.name}: the run had another teacher before, or the same with other weights",
                file=sys.stderr,
            )
        write_json(workdir / TEACHER_FILE, dataclasses.asdict(self.settings) | {"file": file, "sha256": digest})

    def add_targets(self, batch: Batch) -> Batch:
        """Returns a batch as the student sees it, with the teacher's heatmaps.

        Args:
            batch: Batch of `PersonCrops` with `shared_crop`. Its crops may be of any color: the teacher sees them
                without the gains of `color_gains`.

        Returns:
            The batch, whose crops [B, H, W, 3] uint8 and keypoints [B, J, 2] are those of the student's input, and
            teacher_heatmaps [B, h, w, J] in the student's cells, and teacher_weights [B, J], 1 for a heatmap to learn.
        """
        heatmaps = self._find_heatmaps(batch["crops"])
        is_learned = tf.reduce_max(heatmaps, axis=(1, 2)) >= self.settings.min_peak
        is_learned = tf.logical_and(is_learned, self.has_joint)
        student = self.student
        size = student.crop.crop_size
        crops, keypoints = batch["crops"], batch["keypoints"]
        if size != self.shared_crop.crop_size:
            crops = tf.cast(tf.round(self._resample_crops(crops, size)), tf.uint8)
            scales = [1 / step for step in self._steps(self.shared_crop.crop_size, size)]
            keypoints = keypoints * tf.constant(scales[::-1], tf.float32)
        return batch | {
            "crops": crops,
            "keypoints": keypoints,
            "teacher_heatmaps": heatmaps,
            "teacher_weights": tf.cast(is_learned, tf.float32),
        }

    def _find_heatmaps(self, crops: tf.Tensor) -> tf.Tensor:
        """Returns the teacher's heatmaps [B, h, w, J] in the student's joints and cells; 0 for a joint it lacks."""
        own = self.system
        seen = self._resample_crops(crops, own.crop.crop_size)
        heatmaps = tf.stop_gradient(self.network(own.normalization(seen), training=False))
        heatmaps = tf.gather(heatmaps, np.maximum(self._joints, 0), axis=3)
        heatmaps *= self.has_joint.astype(np.float32)
        return geometry.resample_maps(heatmaps, self._heatmap_steps(heatmaps.shape[1:3]), self.student.heatmap_size)

    def _resample_crops(self, crops: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
        return geometry.resample_maps(crops, self._steps(self.shared_crop.crop_size, size), size)

    def _steps(self, source: tuple[int, int], target: tuple[int, int]) -> tuple[float, float]:
        """Returns the distances (y, x) between pixels of a crop of one size in pixels of the same crop of another."""
        # As `CropSettings.matrices`: with 'stride' the size counts pixels, otherwise the distances between them.
        extent = 0 if self.student.crop.convention == "stride" else 1
        steps = [(source[axis] - extent) / (target[axis] - extent) for axis in (0, 1)]
        return steps[0], steps[1]

    def _heatmap_steps(self, size: tuple[int, int]) -> tuple[float, float]:
        """Returns the distances (y, x) between cells of the student in cells of the teacher's heatmaps of a size."""
        student, own = self.student, self.system
        cells = geometry.heatmap_from_crop(student.crop.crop_size, student.heatmap_size, student.crop.convention)
        own_cells = geometry.heatmap_from_crop(own.crop.crop_size, size, own.crop.convention)
        crop_steps = self._steps(own.crop.crop_size, student.crop.crop_size)
        # Matrices have x first.
        steps = [float(own_cells[1 - i, 1 - i] / cells[1 - i, 1 - i]) * crop_steps[i] for i in (0, 1)]
        return steps[0], steps[1]


def build_distilled_loss(
    teacher: Teacher, build_targets: BuildTargets, num_hard_joints: int | None = None
) -> ComputeLoss:
    """Returns the function that computes the losses against labels and teacher.

    The loss of the labels is (1 - weight) times the mean over all labeled joints, or all of it for joints that the
    teacher lacks. The loss of the teacher is weight times the mean over all its heatmaps of the student's joints, those
    below `min_peak` counted as 0. Both are mean squared errors. A weight of 1 leaves out the labels.

    Args:
        teacher: The teacher, which must be built before the function is called.
        build_targets: Function from `build_target_function`.
        num_hard_joints: Number of labeled joints per person, those with the largest errors, that count. None counts
            all.
    """
    weight, student = teacher.settings.weight, teacher.student
    num_known = int(teacher.has_joint.sum())
    label_shares = np.where(teacher.has_joint, 1 - weight, 1.0).astype(np.float32)

    def compute_loss(model: keras.Model, batch: Batch) -> Losses:
        # A count that no network changes: the loop needs it before the gradient.
        num_targets = tf.cast(tf.shape(batch["crops"])[0] * num_known, tf.float32)
        batch = teacher.add_targets(batch)
        heatmaps = model(network_inputs(batch["crops"], batch, student.normalization), training=True)
        targets, weights = batch["teacher_heatmaps"], batch["teacher_weights"]
        errors = heatmap_mse(targets, heatmaps, weights)
        losses = {"teacher": (weight * tf.reduce_sum(errors), num_targets)}
        metrics = {"teacher_agreement": count_correct(heatmaps, targets, weights)}
        if weight < 1:
            labels, label_weights = build_targets(batch)
            errors, label_weights = label_errors(heatmaps, labels, label_weights, num_hard_joints)
            losses["labels"] = (tf.reduce_sum(errors * label_shares), tf.reduce_sum(label_weights))
            metrics["accuracy"] = count_correct(heatmaps, labels, label_weights)
        return losses, metrics

    return compute_loss


def draw_distilled_examples(
    model: keras.Model, batch: Batch, teacher: Teacher, num_examples: int = 4
) -> dict[str, np.ndarray]:
    """Draws examples of a batch: the crop with the teacher's joints, the heatmaps of the teacher, of the student."""
    student = teacher.student
    batch = teacher.add_targets({name: values[:num_examples] for name, values in batch.items()})
    crop_from_heatmap = geometry.invert(
        geometry.heatmap_from_crop(student.crop.crop_size, student.heatmap_size, student.crop.convention)
    )
    joints, _ = decode_heatmaps(batch["teacher_heatmaps"])
    batch["keypoints"] = geometry.transform_points(crop_from_heatmap, joints)

    def teacher_targets(drawn: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        return drawn["teacher_heatmaps"], drawn["teacher_weights"]

    return draw_examples(model, batch, teacher_targets, student.normalization, student.skeleton, num_examples)
