"""From a source to the poses of its frames: decoding, network and drawing each in a thread of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from tfpose.poses import Poses
from tfpose.prediction.background import Background
from tfpose.prediction.sources import Source, SourceFrame

PredictPoses = Callable[[Sequence[np.ndarray]], list[Poses]]
# Frames that wait between two stages, beside a batch: enough to even out how long a frame takes.
_WAITING = 4


@dataclasses.dataclass(frozen=True)
class FrameResult:
    """What was found in a frame, without its pixels.

    Attributes:
        index: as in `SourceFrame`.
        name: as in `SourceFrame`.
        seconds: as in `SourceFrame`.
        image_size: (height, width).
        poses: in pixels of the frame.
    """

    index: int
    name: str
    seconds: float
    image_size: tuple[int, int]
    poses: Poses


@dataclasses.dataclass(frozen=True)
class PredictedFrame:
    """A frame on its way through the pipeline.

    Attributes:
        frame: as decoded.
        found: everybody the network found.
        shown: those who are left after tracking.
    """

    frame: SourceFrame
    found: Poses
    shown: Poses

    @property
    def result(self) -> FrameResult:
        """What of it is kept."""
        height, width = self.frame.image.shape[:2]
        return FrameResult(self.frame.index, self.frame.name, self.frame.seconds, (height, width), self.shown)


@contextlib.contextmanager
def predicted_frames(
    source: Source,
    predict: PredictPoses,
    update: Callable[[Poses], Poses],
    batch_size: int,
    should_stop: Callable[[], bool],
) -> Iterator[Iterable[PredictedFrame]]:
    """The frames of a source with their people, found in the background.

    Args:
        source: of the frames.
        predict: from frames of one size to the people of each.
        update: of a tracker, or what gives people back as they are.
        batch_size: frames that `predict` is given at once, at most.
        should_stop: asked before each frame and batch; True ends the iteration early.
    """
    waiting = batch_size + _WAITING
    with (
        Background(until(should_stop, source.frames()), waiting) as frames,
        Background(_predict(until(should_stop, batch_frames(frames, batch_size)), predict, update), waiting) as found,
    ):
        yield found


@contextlib.contextmanager
def replayed_frames(
    source: Source, found: Sequence[Poses], shown: Sequence[Poses]
) -> Iterator[Iterable[PredictedFrame]]:
    """The frames of a source once more, as far as their people are known: as found, and as they shall be shown."""
    with Background(itertools.islice(source.frames(), len(found)), _WAITING) as frames:
        yield (PredictedFrame(*of_frame) for of_frame in zip(frames, found, shown, strict=False))


def until(should_stop: Callable[[], bool], items: Iterable) -> Iterator:
    """The items, until it is time to stop."""
    for item in items:
        if should_stop():
            return
        yield item


def batch_frames(frames: Iterable[SourceFrame], batch_size: int) -> Iterator[list[SourceFrame]]:
    """Up to `batch_size` frames of one size that follow each other."""
    batch: list[SourceFrame] = []
    for frame in frames:
        if batch and (len(batch) == batch_size or frame.image.shape != batch[0].image.shape):
            yield batch
            batch = []
        batch.append(frame)
    if batch:
        yield batch


def _predict(
    batches: Iterable[list[SourceFrame]], predict: PredictPoses, update: Callable[[Poses], Poses]
) -> Iterator[PredictedFrame]:
    for batch in batches:
        for frame, found in zip(batch, predict([frame.image for frame in batch]), strict=True):
            yield PredictedFrame(frame, found, update(found))
