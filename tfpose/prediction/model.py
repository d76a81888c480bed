"""A pose model as one function from frames to poses, and how a SavedModel becomes one."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from tfpose.exporting.system_file import SystemDescription, read_system_description
from tfpose.messages import describe_error
from tfpose.poses import Poses
from tfpose.prediction.frames import SourceFrame
from tfpose.prediction.pipeline import NetworkFailure
from tfpose.prediction.sources import Source
from tfpose.skeletons import SKELETONS_BY_NAME, Skeleton

Arrays = Mapping[str, np.ndarray]
FindPeople = Callable[[np.ndarray], Arrays]
OUTPUTS = ("keypoints", "boxes", "scores", "num_persons")
# Where nobody says when a joint counts as found.
_JOINT_THRESHOLD = 0.2
# Deflating a frame takes longer than a network needs for it.
_PNG_WITHOUT_COMPRESSION = (cv2.IMWRITE_PNG_COMPRESSION, 0)


class PoseModel:
    """Finds the people in frames.

    Attributes:
        skeleton: Skeleton of the poses.
        joint_threshold: Joints with a lower score count as not found.
    """

    def __init__(self, find_people: FindPeople, skeleton: Skeleton, joint_threshold: float, source: str) -> None:
        """Wraps a function.

        Args:
            find_people: Function from frames of one size [B, H, W, 3] uint8 RGB to the outputs of the signature
                `from_frames`.
            skeleton: Skeleton of the keypoints.
            joint_threshold: See the class.
            source: Name of the model, for messages.
        """
        self.skeleton, self.joint_threshold = skeleton, joint_threshold
        self._find_people, self._source = find_people, source

    @property
    def notes(self) -> list[str]:
        """Notes on the frames so far, one line each."""
        return []

    @property
    def problems(self) -> list[str]:
        """What is wrong with the frames so far, one line each."""
        return []

    def check_sources(self, sources: Sequence[Source]) -> None:
        """Checks that the model can find the people of these sources.

        Raises:
            ValueError: It cannot; says why.
        """

    def predict_frames(self, frames: Sequence[SourceFrame]) -> list[Poses]:
        """Finds the people in frames of one size; see `predict`."""
        return self.predict([frame.image for frame in frames])

    def predict(self, images: Sequence[np.ndarray]) -> list[Poses]:
        """Finds the people in frames of one size, each [H, W, 3] uint8 RGB.

        Raises:
            NetworkFailure: The network fails on these frames.
            ValueError: The outputs are not poses.
        """
        return self.poses_of(lambda: self._find_people(np.stack(images)))

    def poses_of(self, find: Callable[[], Arrays]) -> list[Poses]:
        """Returns the people of each frame from a function that computes the outputs of the network.

        Raises:
            NetworkFailure, ValueError: See `predict`.
        """
        try:
            found = find()
        except tf.errors.OpError as error:
            raise NetworkFailure(f"{self._source}: the network failed: {describe_error(error)}") from error
        self._check(found)
        return [poses_from_outputs(found, row) for row in range(len(found["num_persons"]))]

    def _check(self, found: Arrays) -> None:
        missing = [name for name in OUTPUTS if name not in found]
        if missing:
            raise ValueError(
                f"{self._source}: outputs must include {', '.join(OUTPUTS)}, got none called {', '.join(missing)}"
            )
        shape = found["keypoints"].shape
        if len(shape) != 4 or shape[2:] != (self.skeleton.num_joints, 3):
            raise ValueError(
                f"{self._source}: keypoints must be [frames, people, {self.skeleton.num_joints} joints of "
                f"{self.skeleton.name}, 3], got {list(shape)}"
            )


def poses_from_outputs(found: Arrays, row: int) -> Poses:
    """Returns the people of one frame of a batch; joints whose coordinates are not finite count as missing."""
    people = slice(int(found["num_persons"][row]))
    keypoints = found["keypoints"][row, people].astype(np.float64)
    is_place = np.isfinite(keypoints).all(axis=-1)
    keypoints[~is_place] = 0
    return Poses(
        keypoints=keypoints[..., :2],
        joint_scores=keypoints[..., 2],
        scores=np.nan_to_num(found["scores"][row, people].astype(np.float64)),
        boxes=np.nan_to_num(found["boxes"][row, people].astype(np.float64)),
        track_ids=np.full(len(keypoints), -1),
    )


def is_saved_model(directory: pathlib.Path) -> bool:
    """Returns whether a folder holds a SavedModel."""
    return (directory / "saved_model.pb").is_file()


def load_saved_model(directory: pathlib.Path, skeleton: str = "") -> PoseModel:
    """Loads a SavedModel with `from_frames` or `serving_default`.

    Args:
        directory: Folder of the SavedModel.
        skeleton: Name of a known skeleton, for a SavedModel without a description of its joints.

    Raises:
        ValueError: The SavedModel has neither signature, or its joints are unknown.
    """
    description = _describe(directory, skeleton)
    try:
        loaded = tf.saved_model.load(str(directory))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ValueError(f"{directory}: cannot be loaded as a SavedModel: {describe_error(error)}") from error
    find_people = _choose_signature(loaded, directory)
    return PoseModel(find_people, description.skeleton, description.joint_threshold, str(directory))


def _describe(directory: pathlib.Path, skeleton: str) -> SystemDescription:
    description = read_system_description(directory)
    if not skeleton and description is None:
        raise ValueError(f"{directory}: does not name its joints; give --skeleton={'|'.join(SKELETONS_BY_NAME)}")
    if not skeleton and description is not None:
        return description
    if skeleton not in SKELETONS_BY_NAME:
        raise ValueError(f"--skeleton must be one of {', '.join(SKELETONS_BY_NAME)}, got {skeleton!r}")
    named = SKELETONS_BY_NAME[skeleton]
    if description is None:
        return SystemDescription("", named, 0.0)
    if description.skeleton.joints != named.joints:
        raise ValueError(
            f"--skeleton={skeleton}: must have the joints that {directory} names, got others; leave the flag out"
        )
    return description


def _choose_signature(loaded: Any, directory: pathlib.Path) -> FindPeople:
    # The functions below hold `loaded`, without which the variables of its signatures are gone.
    signatures = loaded.signatures
    if "from_frames" in signatures:
        return lambda frames: as_arrays(loaded.signatures["from_frames"](frames=tf.constant(frames)))
    if "serving_default" in signatures and _input_names(signatures["serving_default"]) == ["image_bytes"]:
        return lambda frames: as_arrays(loaded.signatures["serving_default"](image_bytes=tf.constant(_encode(frames))))
    if "from_boxes" in signatures:
        raise ValueError(
            f"{directory}: requires the boxes of the people and cannot find people itself; export it again with a "
            "detector: tfpose export --workdir=RUN --detector=DETECTOR --output=DIR"
        )
    raise ValueError(
        f"{directory}: signatures must include serving_default with the input image_bytes, or from_frames, got "
        f"{', '.join(signatures) or 'none'}"
    )


def _input_names(signature: Any) -> list[str]:
    return list(signature.structured_input_signature[1])


def as_arrays(outputs: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    """Returns the outputs of a network as arrays."""
    return {name: values.numpy() for name, values in outputs.items()}


def _encode(frames: np.ndarray) -> list[bytes]:
    """Encodes each frame as a PNG, without loss."""
    encoded = (cv2.imencode(".png", cv2.cvtColor(f, cv2.COLOR_RGB2BGR), _PNG_WITHOUT_COMPRESSION)[1] for f in frames)
    return [picture.tobytes() for picture in encoded]


def function_of_frames(function: Callable[[tf.Tensor], dict[str, tf.Tensor]], needs_graph: bool = True) -> FindPeople:
    """Returns a function of an export's module as a function from frames to arrays.

    Args:
        function: Function from frames [B, H, W, 3] uint8 RGB to named tensors.
        needs_graph: Whether the function is compiled into one graph for frames of any number and size. False runs its
            operations one by one: the same results, sooner for the first frame and later for many.
    """
    if not needs_graph:
        run_operations = tf.autograph.experimental.do_not_convert(function)
        return lambda frames: as_arrays(run_operations(tf.constant(frames)))
    # There is no Python control flow to convert, and looking for it takes most of the time.
    find_people = tf.function(function, [tf.TensorSpec([None, None, None, 3], tf.uint8)], autograph=False)
    return lambda frames: as_arrays(find_people(frames))
