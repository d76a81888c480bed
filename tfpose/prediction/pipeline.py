"""Finds the poses in the frames of a source: decoding and network each run in a thread of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tfpose.poses import Poses
from tfpose.prediction.background import Background
from tfpose.prediction.frames import SourceFrame
from tfpose.prediction.sources import Source

PredictPoses = Callable[[Sequence[SourceFrame]], list[Poses]]


class NetworkFailure(ValueError):
    """The network failed on some frames; others may be fine."""


# Number of frames besides a batch that wait between two stages, enough to even out the times of frames.
_WAITING = 4


@dataclasses.dataclass(frozen=True)
class FrameResult:
    """Poses of a frame, without its pixels.

    Attributes:
        index: Index of the frame, see `SourceFrame`.
        name: Name of the frame, see `SourceFrame`.
        seconds: Time of the frame, see `SourceFrame`.
        image_size: Size (height, width) of the frame in pixels.
        image_id: Number of the frame in files of COCO results, see `SourceFrame`.
        poses: Poses in pixels of the frame.
    """

    index: int
    name: str
    seconds: float
    image_size: tuple[int, int]
    image_id: int
    poses: Poses


@dataclasses.dataclass(frozen=True)
class PredictedFrame:
    """A frame on its way through the pipeline.

    Attributes:
        frame: Decoded frame.
        found: All people that the network found.
        shown: People after tracking, which may leave some out.
    """

    frame: SourceFrame
    found: Poses
    shown: Poses

    @property
    def result(self) -> FrameResult:
        """The result of the frame, without its pixels."""
        frame, (height, width) = self.frame, self.frame.image.shape[:2]
        return FrameResult(frame.index, frame.name, frame.seconds, (height, width), frame.image_id, self.shown)


@contextlib.contextmanager
def predicted_frames(
    source: Source,
    predict: PredictPoses,
    update: Callable[[Poses], Poses],
    batch_size: int,
    should_stop: Callable[[], bool],
) -> Iterator[Iterable[PredictedFrame]]:
    """Iterates over the frames of a source with their people, which are found in the background.

    Args:
        source: Source of the frames.
        predict: Function from frames of one size to the people of each.
        update: Function from the people of a frame to those with identities, such as `Tracker.update`.
        batch_size: Largest number of frames that `predict` is given at once.
        should_stop: Function that is called before each frame and batch; True ends the iteration early.
    """
    waiting = batch_size + _WAITING
    with (
        Background(until(should_stop, source.frames()), waiting) as frames,
        Background(
            _predict(until(should_stop, batch_frames(frames, batch_size)), source, predict, update), waiting
        ) as found,
    ):
        yield found


@contextlib.contextmanager
def replayed_frames(source: Source, known: Mapping[int, tuple[Poses, Poses]]) -> Iterator[Iterable[PredictedFrame]]:
    """Iterates over the frames of a source once more, together with people that are known already.

    Args:
        source: Source of the frames.
        known: All people that the network found in a frame, and the people to draw in it, by the index of the frame,
            see `SourceFrame`. Other frames are left out.
    """
    frames = itertools.islice((frame for frame in source.frames() if frame.index in known), len(known))
    with Background(frames, _WAITING) as replayed:
        yield (PredictedFrame(frame, *known[frame.index]) for frame in replayed)


def until(should_stop: Callable[[], bool], items: Iterable) -> Iterator:
    """Yields items until `should_stop` returns True."""
    for item in items:
        if should_stop():
            return
        yield item


def batch_frames(frames: Iterable[SourceFrame], batch_size: int) -> Iterator[list[SourceFrame]]:
    """Yields batches of successive frames of one size, up to `batch_size` each."""
    batch: list[SourceFrame] = []
    for frame in frames:
        if batch and (len(batch) == batch_size or frame.image.shape != batch[0].image.shape):
            yield batch
            batch = []
        batch.append(frame)
    if batch:
        yield batch


def _predict(
    batches: Iterable[list[SourceFrame]], source: Source, predict: PredictPoses, update: Callable[[Poses], Poses]
) -> Iterator[PredictedFrame]:
    for batch in batches:
        for frame, found in _predict_batch(batch, source, predict):
            yield PredictedFrame(frame, found, update(found))


def _predict_batch(
    batch: list[SourceFrame], source: Source, predict: PredictPoses
) -> Iterator[tuple[SourceFrame, Poses]]:
    """Yields the frames with their people. An image that the network fails on is left out and named in `problems`."""
    try:
        found = predict(batch)
    except NetworkFailure as error:
        if source.is_video:
            raise
        if len(batch) == 1:
            source.problems.append(f"{batch[0].name}: {error}")
            return
        for frame in batch:
            yield from _predict_batch([frame], source, predict)
        return
    yield from zip(batch, found, strict=True)
