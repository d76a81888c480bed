"""Predicts one source, from its first frame to the files of its results."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from time import monotonic

import numpy as np
from tqdm import tqdm

from tfpose.file_names import MOST_NAME_BYTES
from tfpose.messages import count_of
from tfpose.poses import Poses
from tfpose.prediction.background import Background
from tfpose.prediction.drawing import DrawingStyle, PoseArtist
from tfpose.prediction.frames import SourceFrame
from tfpose.prediction.outputs import OutputPaths, PictureSink, TolerantSink, VideoSink, Write, lost_joints, write_files
from tfpose.prediction.pipeline import (
    FrameResult,
    PredictedFrame,
    PredictPoses,
    predicted_frames,
    replayed_frames,
)
from tfpose.prediction.sources import Pictures, Source
from tfpose.skeletons import Skeleton
from tfpose.tracking.choice import TrackerChoice
from tfpose.tracking.settings import NO_SMOOTHING
from tfpose.tracking.smoothing import smooth_video
from tfpose.tracking.tracker import Tracker

# Number of drawn frames that wait to be written.
_WAITING = 4


@dataclasses.dataclass(frozen=True)
class PredictionSettings:
    """Settings of a prediction.

    Attributes:
        directory: Folder for the results.
        outputs: Kinds of results to write, some of `outputs.OUTPUTS`.
        posetrack_format: Version of the PoseTrack format, '2017' or '2018'.
        batch_size: Largest number of frames that the network is given at once.
        tracker: Tracker that gives people identities; None predicts poses without identities.
        style: Settings of the drawings.
        video_suffix: Suffix of annotated videos: '.mp4', '.webm' or '.avi'.
        video_rate: Frame rate of annotated videos; None takes that of the source.
        should_keep_sound: Whether the sound of a video file is copied to the annotated one.
    """

    directory: pathlib.Path
    outputs: Sequence[str] = ("posetrack", "video")
    posetrack_format: str = "2018"
    batch_size: int = 4
    tracker: TrackerChoice | None = None
    style: DrawingStyle = dataclasses.field(default_factory=DrawingStyle)
    video_suffix: str = ".mp4"
    video_rate: float | None = None
    should_keep_sound: bool = True


@dataclasses.dataclass(frozen=True)
class PredictionSummary:
    """Summary of a prediction.

    Attributes:
        name: Name of the source.
        num_frames: Number of frames in the results.
        num_people: Number of people in all frames.
        num_tracks: Number of identities.
        frames_per_second: Speed, from the start of the first batch to the end of the last write.
        written: Files and folders that were written.
        notes: Notes for the user, one line each.
        problems: Descriptions of frames and files that could not be read or written, one line each.
    """

    name: str
    num_frames: int
    num_people: int
    num_tracks: int
    frames_per_second: float
    written: Sequence[pathlib.Path]
    notes: Sequence[str]
    problems: Sequence[str]

    def __str__(self) -> str:
        tracks = f", {count_of(self.num_tracks, 'track')}" if self.num_tracks else ""
        speed = f", {self.frames_per_second:.1f} frames/s" if self.frames_per_second else ""
        people = count_of(self.num_people, "person", "people")
        return f"{self.name}: {count_of(self.num_frames, 'frame')}, {people}{tracks}{speed}"


def predict_source(
    source: Source,
    predict: PredictPoses,
    skeleton: Skeleton,
    settings: PredictionSettings,
    should_stop: Callable[[], bool] = lambda: False,
    show_progress: bool = False,
) -> PredictionSummary:
    """Finds the people in all frames, gives them identities, and writes the results.

    If `should_stop` returns True, the results of the frames until then are written. If an error is raised, the poses
    are written and the drawn video is not. If the drawings cannot be written, the poses still are.

    Args:
        source: Source of the frames.
        predict: Function from frames of one size to the people of each.
        skeleton: Skeleton of the poses.
        settings: Settings of the prediction.
        should_stop: Function that is called before each frame; True ends the prediction early.
        show_progress: Whether to draw a progress bar on the terminal.

    Raises:
        OSError: A file of poses cannot be written.
        ValueError: The source has no frame that can be decoded, or `predict` fails.
    """
    run = _Run(source, predict, skeleton, settings, should_stop, show_progress)
    return run.repair_and_draw() if run.needs_all_frames else run.draw_at_once()


def check_source(source: Source, settings: PredictionSettings, boxes: str | None = None) -> None:
    """Checks that a source and settings fit together.

    Args:
        source: Source of the frames.
        settings: Settings of the prediction.
        boxes: File of boxes that is read besides, if there is one.

    Raises:
        ValueError: The results would replace the input or have names that are too long, or the tracker's settings
            repair tracks with later frames, which a camera does not have.
    """
    results = _paths_of_results(source, settings)
    for path in itertools.chain(*results.values()):
        if len(os.fsencode(path.name)) > MOST_NAME_BYTES:
            raise ValueError(
                f"{source.name}: must be a name of at most {MOST_NAME_BYTES} bytes with {path.suffix}, got "
                f"{len(os.fsencode(path.name))}; rename the input"
            )
    inputs = {path.resolve() for path in (*source.paths, *([pathlib.Path(boxes)] if boxes else []))}
    replaced = inputs & {path.resolve() for kind in settings.outputs for path in results[kind]}
    if replaced:
        raise ValueError(f"{min(replaced)}: the results would replace the input; choose another --output")
    if source.is_live and settings.tracker and settings.tracker.settings()[1] != NO_SMOOTHING:
        raise ValueError(
            f"--tracker.settings={settings.tracker.name} requires later frames, which {source.name} does not have; "
            "choose --tracker.settings=online"
        )


def _paths_of_results(source: Source, settings: PredictionSettings) -> dict[str, set[pathlib.Path]]:
    """Returns the files of each kind of result, also of the kinds that are not among the outputs."""
    paths = OutputPaths(settings.directory, source.name)
    if isinstance(source, Pictures):
        drawings = {PictureSink(paths.pictures).path_of(name) for name in source.names}
    else:
        drawings = {paths.video(settings.video_suffix)}
    return {"posetrack": {paths.posetrack}, "coco": {paths.coco}, "csv": {paths.csv}, "video": drawings}


class _Run:
    """State of `predict_source`."""

    def __init__(
        self,
        source: Source,
        predict: PredictPoses,
        skeleton: Skeleton,
        settings: PredictionSettings,
        should_stop: Callable[[], bool],
        show_progress: bool,
    ) -> None:
        self._source, self._predict, self._skeleton, self._settings = source, predict, skeleton, settings
        self._should_stop, self._show_progress = should_stop, show_progress
        self._paths = OutputPaths(settings.directory, source.name)
        tracker, self._smoothing = settings.tracker.settings() if settings.tracker else (None, NO_SMOOTHING)
        self._update = Tracker(tracker, skeleton).update if tracker else _unchanged
        self._batch_size = 1 if source.is_live else settings.batch_size
        self._sink = TolerantSink(self._choose_sink())
        self._start: float | None = None
        results = _paths_of_results(source, settings)
        self._earlier = sorted(path for kind in settings.outputs for path in results[kind] if path.is_file())

    @property
    def needs_all_frames(self) -> bool:
        """Whether tracks are repaired with later frames."""
        return self._smoothing != NO_SMOOTHING

    def draw_at_once(self) -> PredictionSummary:
        """Draws each frame as soon as its people are known."""
        results: list[FrameResult] = []
        with (
            self._files_after_errors(results),
            self._predicted_frames() as frames,
            self._progress("frames") as bar,
            contextlib.closing(self._draw_and_write(frames)) as drawn,
        ):
            for item in drawn:
                results.append(item.result)
                bar.update()
        return self._summarize(results, self._write_files(results))

    def repair_and_draw(self) -> PredictionSummary:
        """Finds the people of all frames, repairs their tracks, then decodes the frames once more to draw them."""
        found: list[Poses] = []
        tracked: list[FrameResult] = []
        with self._files_after_errors(tracked), self._predicted_frames() as frames, self._progress("poses") as bar:
            for item in frames:
                found.append(item.found)
                tracked.append(item.result)
                bar.update()
        shown = self._repair(tracked)
        written = self._write_files(shown)
        if "video" in self._settings.outputs:
            problems, notes = self._source.problems, self._source.notes
            known = {result.index: (people, result.poses) for result, people in zip(shown, found, strict=True)}
            undrawn = set(known)
            # After Ctrl-C the people found so far are still drawn; a second Ctrl-C ends the drawing too.
            with (
                replayed_frames(self._source, known) as frames,
                self._progress("drawing", len(shown)) as bar,
                contextlib.closing(self._draw_and_write(frames)) as drawn,
            ):
                for item in drawn:
                    bar.update()
                    undrawn.discard(item.frame.index)
            if undrawn:
                lost = f"{len(undrawn)} of {len(shown)} frames could not be read again and are not drawn"
                problems = [*problems, f"{self._source.name}: {lost}"]
            self._source.problems, self._source.notes = problems, notes
        return self._summarize(shown, written)

    def _repair(self, tracked: Sequence[FrameResult]) -> list[FrameResult]:
        smoothed = smooth_video([result.poses for result in tracked], self._smoothing)
        return [dataclasses.replace(result, poses=poses) for result, poses in zip(tracked, smoothed, strict=True)]

    @contextlib.contextmanager
    def _files_after_errors(self, results: Sequence[FrameResult]) -> Iterator[None]:
        """Writes the poses so far after an error in the context; a failed write does not hide this error."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError, ValueError):
                self._write_files(self._repair(results) if self.needs_all_frames else results)
            raise

    def _predict_timed(self, frames: Sequence[SourceFrame]) -> list[Poses]:
        if self._start is None:
            self._start = monotonic()
        return self._predict(frames)

    def _predicted_frames(self) -> contextlib.AbstractContextManager[Iterable[PredictedFrame]]:
        return predicted_frames(self._source, self._predict_timed, self._update, self._batch_size, self._should_stop)

    def _draw_and_write(self, frames: Iterable[PredictedFrame]) -> Generator[PredictedFrame, None, None]:
        """Yields the frames, each after its drawing was written, if the outputs include drawings."""
        if "video" not in self._settings.outputs:
            yield from frames
            return
        artist = PoseArtist(self._skeleton, self._settings.style)
        with (
            self._sink as sink,
            Background(_draw(frames, artist), _WAITING) as drawn,
            Background(_prepare(drawn, sink), _WAITING) as prepared,
        ):
            for item, write in prepared:
                write()
                yield item

    def _choose_sink(self) -> VideoSink | PictureSink:
        source, settings = self._source, self._settings
        if isinstance(source, Pictures):
            return PictureSink(self._paths.pictures)
        path = self._paths.video(settings.video_suffix)
        return VideoSink(path, source, settings.video_rate, settings.should_keep_sound)

    def _write_files(self, results: Sequence[FrameResult]) -> list[pathlib.Path]:
        if not results:
            return []
        settings = self._settings
        return write_files(settings.outputs, self._paths, results, self._skeleton, settings.posetrack_format)

    def _summarize(self, results: Sequence[FrameResult], written: Sequence[pathlib.Path]) -> PredictionSummary:
        if not results and not self._should_stop():
            problem = next(iter(self._source.problems), "no frame could be decoded")
            raise ValueError(f"{self._source.name}: nothing to predict: {problem}")
        seconds = 0.0 if self._start is None else monotonic() - self._start
        return PredictionSummary(
            name=self._source.name,
            num_frames=len(results),
            num_people=sum(len(result.poses) for result in results),
            num_tracks=len({i for result in results for i in result.poses.track_ids.tolist() if i >= 0}),
            frames_per_second=len(results) / max(seconds, 1e-9),
            written=[*written, *(self._sink.written if results else [])],
            notes=[*self._source.notes, *self._sink.notes, *self._note_lost_joints(), *self._note_replaced()],
            problems=[*self._source.problems, *([self._sink.problem] if self._sink.problem else [])],
        )

    def _note_replaced(self) -> list[str]:
        """Says that files of an earlier run were replaced: they may be of another input with the same name."""
        if not self._earlier:
            return []
        return [f"replaced {count_of(len(self._earlier), 'file')} of an earlier run, such as {self._earlier[0]}"]

    def _note_lost_joints(self) -> list[str]:
        if "posetrack" not in self._settings.outputs:
            return []
        lost = lost_joints(self._skeleton, self._settings.posetrack_format)
        others = " and ".join(kind for kind in ("coco", "csv") if kind in self._settings.outputs)
        hint = f"the files in {others} hold them" if others else "--outputs=coco,csv writes them"
        return [f"{self._paths.posetrack}: PoseTrack's files have no {', '.join(lost)}; {hint}"] if lost else []

    def _progress(self, stage: str, total: int | None = None) -> tqdm:
        total = total or self._source.num_frames
        name = f"{self._source.name}: {stage}"
        return tqdm(total=total, desc=name, unit=" frames", disable=not self._show_progress, smoothing=0.1)


def _unchanged(poses: Poses) -> Poses:
    return poses


def _draw(frames: Iterable[PredictedFrame], artist: PoseArtist) -> Iterator[tuple[PredictedFrame, np.ndarray]]:
    for item in frames:
        # Nothing else reads the frame any more, so it is drawn over.
        yield item, artist.draw(item.frame.image, item.shown, item.found)


def _prepare(
    drawn: Iterable[tuple[PredictedFrame, np.ndarray]], sink: TolerantSink
) -> Iterator[tuple[PredictedFrame, Write]]:
    """Yields each frame, and the function that writes its drawing."""
    for item, image in drawn:
        yield item, sink.prepare(item.frame, image)
