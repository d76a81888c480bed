"""Predicts one of many inputs, from its files to its results and the mark that it is done."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfpose.messages import count_of, describe_error
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.many_files import folder_of_results, is_remote, publish
from tfpose.prediction.many_inputs import ManyInput
from tfpose.prediction.many_results import DAMAGED, DONE, FAILED, DoneMarks, ReportRow
from tfpose.prediction.run import PredictionSettings, PredictionSummary, check_source, predict_source
from tfpose.prediction.sources import Source

if TYPE_CHECKING:
    from tfpose.prediction.model import PoseModel


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model and the settings of predictions with it.

    Attributes:
        model: The model.
        settings: Settings; the folder is replaced for each input.
        is_tracked: Whether inputs are tracked; None tracks videos.
        span: Selection of the frames.
    """

    model: PoseModel
    settings: PredictionSettings
    is_tracked: bool | None
    span: FrameSpan

    def settings_of(self, source: Source, directory: pathlib.Path) -> PredictionSettings:
        """Returns the settings of a source, which has a tracker only if the source is tracked."""
        is_tracked = source.is_video if self.is_tracked is None else self.is_tracked
        tracker = self.settings.tracker if is_tracked else None
        return dataclasses.replace(self.settings, directory=directory, tracker=tracker)


def predict_input(item: ManyInput, loaded: LoadedModel, output: str, marks: DoneMarks) -> ReportRow:
    """Predicts an input as `tfpose predict` does, publishes its results, and marks it as done.

    Errors of any kind become a row: one broken input among a million must not end the others.
    """
    begin = time.monotonic()
    try:
        marks.check_name(item)
        state = item.state()
        with folder_of_results(output) as folder:
            with item.open(loaded.span) as source:
                settings = loaded.settings_of(source, folder)
                if not is_remote(output):
                    # Where the results will be.
                    check_source(source, dataclasses.replace(settings, directory=pathlib.Path(output)))
                loaded.model.check_sources([source])
                summary = predict_source(source, loaded.model.predict_frames, loaded.model.skeleton, settings)
            problems = [*summary.problems, *loaded.model.problems]
            # Files are named where they will be.
            notes = [note.replace(str(folder), output) for note in (*summary.notes, *loaded.model.notes)]
            _separate_pictures(folder, item.name)
            files = publish(folder, output)
        seconds = time.monotonic() - begin
        row = _row(item, summary, problems, notes, seconds)
        marks.write(item, row, state, files)
    except Exception as error:
        seconds = time.monotonic() - begin
        kept = "; results of an earlier run are there still" if marks.has_results(item) else ""
        message = f"{describe_error(error)}{kept}"
        row = ReportRow(item.position, item.label, item.name, FAILED, seconds=seconds, message=message)
    people = count_of(row.people, "person", "people")
    print(f"{item.name}: {count_of(row.frames, 'frame')}, {people}, {row.status}", flush=True)
    return row


def _separate_pictures(folder: pathlib.Path, name: str) -> None:
    """Moves drawn pictures to a folder of their input, since pictures of several inputs may have the same names."""
    pictures = folder / "pictures"
    if pictures.is_dir():
        aside = folder / "drawn"
        pictures.rename(aside)
        pictures.mkdir()
        aside.rename(pictures / name)


def _row(
    item: ManyInput, summary: PredictionSummary, problems: Sequence[str], notes: Sequence[str], seconds: float
) -> ReportRow:
    messages = [*problems, *(f"note: {note}" for note in notes)]
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    return ReportRow(
        position=item.position,
        input=item.label,
        name=item.name,
        status=DAMAGED if problems else DONE,
        frames=summary.num_frames,
        people=summary.num_people,
        tracks=summary.num_tracks,
        seconds=seconds,
        message=f"{messages[0]}{more}" if messages else "",
    )
