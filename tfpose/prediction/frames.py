"""A frame of any source."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class SourceFrame:
    """A decoded frame.

    Attributes:
        index: Index of the image, or of the frame in the video, from 0.
        name: Name of the image file, or a name made from the video's name and the index.
        image: Pixels [H, W, 3] uint8 RGB, which belong to this frame alone: they may be drawn over.
        image_id: Number of the frame in files of COCO results, see `pictures.coco_image_ids`; in a video the index.
        seconds: Time since the first frame of the video; 0 for images.
        file_seconds: The same time on the clock of the video file, which is also that of its sound.
    """

    index: int
    name: str
    image: np.ndarray
    image_id: int
    seconds: float = 0.0
    file_seconds: float = 0.0
