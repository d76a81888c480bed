"""The timeline of a video: which predicted track was whose, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfpose.metrics.frame_matches import SequenceMatches, TrackMatches
from tfpose.metrics.report import Table
from tfpose.report.page import Section, ShownTable
from tfpose.report.svg import COLORS, NARROW, Chart, new_figure, render_chart, round_step, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Dark text is legible on these colors in both themes. The ids tell tracks apart, so colors may repeat.
_TRACK_COLORS = ("#8db8f2", "#f2ab72", "#7fcdb4", "#e3a3cb", "#d4c65c", "#b7a8e6", "#a3cf85", "#f0968f")
_TRACK_INK = "#12161c"
_ROW_INCHES = 0.3
# More people are not drawn; the title says so.
_MOST_ROWS = 24
# Numbers of videos shown: those with most errors, and some with the fewest.
_NUM_WORST, _NUM_BEST = 4, 2
_MOST_DESCRIBED_TRACKS = 8
# Columns of the tables of tracks.
TRACK_COLUMNS = ("frames", "people", "tracks", "switches", "found", "missed", "unassigned")
_TEXT = (
    "A row is an annotated person, a bar the predicted track that was assigned to the person, with its id. ▾ marks a "
    "switch to a different track. A thin line: annotated, but not found. The row “nobody” counts the predictions that "
    "are assigned to no person. A prediction is assigned to the person with whom it shares most joints. MOTA counts "
    "switches joint by joint, so its numbers differ. Shown: {shown}."
)


def tracks_section(matches: Sequence[SequenceMatches]) -> Section:
    """Builds the section of timelines of some videos and a table of all; `matches` must not be empty."""
    shown = choose_sequences(matches)
    charts = [timeline_chart(f"timeline_{number}", sequence) for number, sequence in enumerate(shown)]
    are_all = len(shown) == len(matches)
    words = "all videos" if are_all else "the videos with most switches and misses, then those with the fewest"
    return Section("tracks", "Tracks", _TEXT.format(shown=words), charts=charts, tables=[tracks_table(matches)])


def choose_sequences(matches: Sequence[SequenceMatches]) -> list[SequenceMatches]:
    """Returns the videos with most switches, then misses; then some with the fewest, longest first."""

    def errors(sequence: SequenceMatches) -> tuple[int, float, int]:
        return sequence.num_switches, sequence.num_missed / max(sequence.num_present, 1), -len(sequence.frames)

    ordered = sorted(matches, key=errors, reverse=True)
    if len(ordered) <= _NUM_WORST + _NUM_BEST:
        return ordered
    return [*ordered[:_NUM_WORST], *ordered[-_NUM_BEST:][::-1]]


def tracks_totals(name: str, matches: Sequence[SequenceMatches]) -> tuple[str, np.ndarray]:
    """Returns a row of the numbers of frames, people, tracks and errors of all videos."""
    table = tracks_table(matches).table
    return name, table.rows[-1][1]


def tracks_table(matches: Sequence[SequenceMatches]) -> ShownTable:
    """Returns a table of people, tracks and errors by video, and in total."""
    rows = [(sequence.name, np.array(_counts(sequence), np.float64)) for sequence in matches]
    total = np.sum([values for _, values in rows], axis=0)
    return ShownTable(Table("Tracks by video", TRACK_COLUMNS, (*rows, ("total", total))), is_count=True)


def _counts(sequence: SequenceMatches) -> list[int]:
    ids = {int(i) for track in sequence.tracks for i in track.predicted_ids[track.is_found]}
    return [
        len(sequence.frames),
        len(sequence.tracks),
        len(ids),
        sequence.num_switches,
        sequence.num_present - sequence.num_missed,
        sequence.num_missed,
        int(sequence.extra_people.sum()),
    ]


def timeline_chart(name: str, sequence: SequenceMatches) -> Chart:
    """Draws the tracks of one video over its evaluated frames."""
    tracks = sequence.tracks[:_MOST_ROWS]
    colors = _track_colors(sequence)
    has_extra = bool(sequence.extra_people.any())

    def draw(width: float) -> Figure:
        num_rows = len(tracks) + has_extra
        figure = new_figure(width, num_rows * _ROW_INCHES + 0.55)
        axes = figure.subplots()
        frame_points = 72 * (width - 0.95) / max(len(sequence.frames), 1)
        for row, track in enumerate(tracks):
            _draw_track(axes, row, track, colors, frame_points)
        if has_extra:
            _draw_extra_people(axes, len(tracks), sequence.extra_people)
        _set_axes(axes, sequence, [f"person {track.track_id}" for track in tracks], has_extra, width)
        return figure

    title = f"{sequence.name}: {_count(sequence.num_switches, 'switch', 'switches')}, "
    title += f"{sequence.num_missed} of {sequence.num_present} missed"
    if len(tracks) < len(sequence.tracks):
        title += f" (drawn: {len(tracks)} of {len(sequence.tracks)} people)"
    return render_chart(name, title, _describe(sequence), draw)


def track_runs(track: TrackMatches) -> Iterator[tuple[int, int, int | None]]:
    """Yields runs of frames in which a person has one track: first frame, end, and the track's id (None if missed)."""
    ids = [
        (predicted if is_found else None, is_present)
        for predicted, is_found, is_present in zip(
            track.predicted_ids.tolist(), track.is_found.tolist(), track.is_present.tolist(), strict=True
        )
    ]
    start = 0
    for stop in range(1, len(ids) + 1):
        if stop == len(ids) or ids[stop] != ids[start]:
            if ids[start][1]:
                yield start, stop, ids[start][0]
            start = stop


def _track_colors(sequence: SequenceMatches) -> dict[int, str]:
    """Returns the color of each track by id, in the order of appearance."""
    seen = [found for track in sequence.tracks for _, _, found in track_runs(track) if found is not None]
    return {found: _TRACK_COLORS[i % len(_TRACK_COLORS)] for i, found in enumerate(dict.fromkeys(seen))}


def _draw_track(axes: Axes, row: int, track: TrackMatches, colors: dict[int, str], frame_points: float) -> None:
    for start, stop, found in track_runs(track):
        length = stop - start
        if found is None:
            axes.broken_barh([(start - 0.5, length)], (row - 0.05, 0.1), color=COLORS["muted"])
            continue
        axes.broken_barh([(start - 0.5, length)], (row - 0.3, 0.6), facecolor=colors[found], edgecolor="none")
        # A digit is about five points wide at this size.
        if length * frame_points > 5 * len(str(found)) + 3:
            place = ((start + stop - 1) / 2, row)
            axes.annotate(str(found), place, ha="center", va="center", fontsize=8, color=_TRACK_INK)
    for frame in np.flatnonzero(track.is_switch):
        axes.plot([frame - 0.5], [row - 0.38], marker="v", markersize=5, color=COLORS["worse"], clip_on=False)


def _draw_extra_people(axes: Axes, row: int, counts: np.ndarray) -> None:
    heights = 0.7 * counts / counts.max()
    axes.bar(np.arange(len(counts)), heights, width=1.0, bottom=row + 0.35 - heights, color=COLORS["worse"])


def _set_axes(axes: Axes, sequence: SequenceMatches, names: Sequence[str], has_extra: bool, width: float) -> None:
    most = int(sequence.extra_people.max()) if has_extra else 0
    labels = [shorten(name, 14) for name in names] + ([f"nobody (≤ {most})"] if has_extra else [])
    axes.set_yticks(range(len(labels)), labels, color=COLORS["ink"])
    axes.set_ylim(max(len(labels), 1) - 0.45, -0.6)
    num_frames = len(sequence.frames)
    axes.set_xlim(-0.6, max(num_frames, 1) - 0.4)
    least = max(1.0, num_frames / (6 if width <= NARROW else 14))
    every = int(round_step(least))
    ticks = np.arange(0, num_frames, every)
    axes.set_xticks(ticks, [str(number) for number in sequence.frames[ticks]])
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("frame")


def _describe(sequence: SequenceMatches) -> str:
    """Describes the chart in words."""
    parts = []
    for track in sequence.tracks[:_MOST_DESCRIBED_TRACKS]:
        runs = ", ".join(
            f"{'missed' if found is None else f'track {found}'} in {_frame_range(sequence, start, stop)}"
            for start, stop, found in track_runs(track)
        )
        parts.append(f"Person {track.track_id}: {runs}.")
    left_out = len(sequence.tracks) - len(parts)
    if left_out > 0:
        parts.append(f"{_count(left_out, 'more person', 'more people')} not described.")
    if sequence.extra_people.any():
        parts.append(f"{int(sequence.extra_people.sum())} predictions are assigned to nobody.")
    return " ".join(parts) or "Nobody is annotated."


def _frame_range(sequence: SequenceMatches, start: int, stop: int) -> str:
    first, last = int(sequence.frames[start]), int(sequence.frames[stop - 1])
    return f"frame {first}" if first == last else f"frames {first} to {last}"


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number} {singular if number == 1 else plural}"
