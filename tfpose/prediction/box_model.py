"""A keypoint network alone as a pose model: a file says where the people are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfpose.inference.detectors.boxes_file import BoxesFile
from tfpose.poses import Poses, no_poses
from tfpose.prediction.frames import SourceFrame
from tfpose.prediction.model import Arrays, PoseModel, as_arrays
from tfpose.prediction.sources import Source
from tfpose.skeletons import Skeleton

FindPosesInBoxes = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


class BoxPoseModel(PoseModel):
    """Finds the poses of the people in the boxes of a file. The `image_id` of a box is that of its `SourceFrame`."""

    def __init__(
        self, find_poses: FindPosesInBoxes, boxes: BoxesFile, skeleton: Skeleton, joint_threshold: float, source: str
    ) -> None:
        """Compiles a function.

        Args:
            find_poses: Function from a frame [H, W, 3] uint8 RGB, boxes [N, 4] float32 xyxy and their scores [N] to the
                outputs of the signature `from_frames` for a batch of this frame.
            boxes: Boxes of people.
            skeleton: Skeleton of the keypoints.
            joint_threshold: See `PoseModel`.
            source: Name of the model, for messages.
        """
        super().__init__(self._refuse_images, skeleton, joint_threshold, source)
        shapes = (((None, None, 3), tf.uint8), ((None, 4), tf.float32), ((None,), tf.float32))
        self._find_poses = tf.function(find_poses, [tf.TensorSpec(*shape) for shape in shapes], autograph=False)
        self._boxes = boxes
        self._num_used = self._num_frames = self._num_empty = 0

    @property
    def notes(self) -> list[str]:
        """How many boxes and frames found each other."""
        return [
            f"{self._boxes.source}: {self._num_used} of {len(self._boxes.image_ids)} boxes are used; "
            f"{self._num_empty} of {self._num_frames} frames have no box"
        ]

    @property
    def problems(self) -> list[str]:
        """That no frame had a box, if so."""
        return [] if self._num_used else [f"{self._boxes.source}: no box is in one of the {self._num_frames} frames"]

    def check_sources(self, sources: Sequence[Source]) -> None:
        """Checks that boxes of the file can be in the source.

        Raises:
            ValueError: There are several sources, it is a camera or stream, or no box is in one of its frames.
        """
        if len(sources) > 1:
            raise ValueError(
                f"--boxes requires images or one video, got {len(sources)} inputs whose frames have the same numbers: "
                f"{', '.join(source.name for source in sources):.200}"
            )
        (source,) = sources
        if source.is_live:
            raise ValueError(f"--boxes requires images or a video file, got the camera or stream {source.name}")
        image_ids = self._boxes.image_ids
        if not source.may_hold(image_ids).any():
            first = f"the first of {len(image_ids)} has {image_ids[0]}" if len(image_ids) else "the file has no boxes"
            raise ValueError(
                f"{self._boxes.source}: the image_id of a box must be that of a frame of {source.name} "
                f"({source.describe_ids()}), got none; {first}"
            )

    def predict_frames(self, frames: Sequence[SourceFrame]) -> list[Poses]:
        """Finds the poses in the boxes of each frame; see `PoseModel.predict`."""
        return [self._predict_frame(frame) for frame in frames]

    def _predict_frame(self, frame: SourceFrame) -> Poses:
        boxes, scores = self._boxes.find_by_id(frame.image_id)
        self._num_frames += 1
        self._num_used += len(scores)
        if not len(scores):
            self._num_empty += 1
            return no_poses(self.skeleton.num_joints)
        arguments = (frame.image, boxes.astype(np.float32), scores.astype(np.float32))
        return self.poses_of(lambda: as_arrays(self._find_poses(*arguments)))[0]

    def _refuse_images(self, images: np.ndarray) -> Arrays:
        raise ValueError(f"{self._boxes.source}: boxes need numbered frames, got {len(images)} images without numbers")
