"""report_data.json: the content of a page of one evaluation, from which pages can be written later and elsewhere.

docs/report.md describes its fields. NumPy only.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.json_files import is_number, null_for_nan, number_or_nan, read_json, write_json
from tfpose.messages import quote
from tfpose.metrics.catalog import METRICS
from tfpose.metrics.frame_matches import SequenceMatches, TrackMatches
from tfpose.metrics.intervals import Interval, draw_sequences, percentile_interval, resample_tracking
from tfpose.metrics.posetrack_metrics import PoseTrackMetrics, PoseTrackReport, computed_columns
from tfpose.metrics.tracking import TrackingCounts, stack_counts
from tfpose.typed_json import build_typed, describing

REPORT_DATA_FILE = "report_data.json"
FORMAT_VERSION = 1

Columns = Mapping[str, Sequence[float]]


@dataclasses.dataclass(frozen=True)
class TrainingTables:
    """The tables that a training run wrote, by name of the column; NaN where a row has no number.

    Attributes:
        training: Columns of train.csv, at least `step` and `loss`.
        evaluation: Columns of eval.csv, at least `step`; empty if nothing was evaluated.
    """

    training: Columns
    evaluation: Columns


@dataclasses.dataclass(frozen=True)
class GalleryFrame:
    """One of the best or the worst frames, with pictures.

    Attributes:
        is_best: Whether the frame is one of the best; otherwise it is one of the worst.
        name: Name of the sequence and frame, or of the picture, for readers.
        score: Score in percent; see `Evaluation.score_name`.
        details: The numbers behind the score, in words.
        truth: Path of the picture with the annotated people, relative to the folder of the file.
        prediction: Path of the picture with the predicted people, relative to the folder of the file.
    """

    is_best: bool
    name: str
    score: float
    details: str
    truth: str
    prediction: str


@dataclasses.dataclass(frozen=True)
class VideoClip:
    """A video with people drawn over it.

    Attributes:
        path: Path of the video, relative to the folder of the file.
        poster: Path of a picture of the first frame, relative to the folder of the file.
        description: A description of the video.
    """

    path: str
    poster: str
    description: str


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One evaluation, as pages show it.

    Attributes:
        directory: Folder of the file; paths of pictures and videos are relative to it.
        provenance: Where the metrics come from.
        report: PoseTrack's metrics, with those of each sequence and without samples; None for single photos.
        curves: Precision and recall in percent of each joint of `JOINTS`, from `charts.precision_envelope`.
        matches: The matches of videos with identities.
        coco: COCO's metrics in percent by name.
        correct_keypoints: `total` and `joints` in percent, by the name of the metric, such as "pck".
        training: The tables of the training run, where known.
        gallery: Frames with the annotated beside the predicted people.
        score_name: Description of the score that chose the frames of the gallery.
        video: A video of the predictions; None if there is none.
        command: The command line that wrote the evaluation; empty if it is not known.
        date: When the evaluation was written, in words; empty if it is not known.
    """

    directory: pathlib.Path
    provenance: Mapping[str, Any]
    report: PoseTrackReport | None = None
    curves: Sequence[tuple[np.ndarray, np.ndarray]] = ()
    matches: Sequence[SequenceMatches] = ()
    coco: Mapping[str, float] = dataclasses.field(default_factory=dict)
    correct_keypoints: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    training: TrainingTables | None = None
    gallery: Sequence[GalleryFrame] = ()
    score_name: str = ""
    video: VideoClip | None = None
    command: str = ""
    date: str = ""


def write_evaluation(evaluation: Evaluation) -> pathlib.Path:
    """Writes report_data.json into the evaluation's folder, whole or not at all."""
    path = evaluation.directory / REPORT_DATA_FILE
    write_json(path, _evaluation_to_dict(evaluation))
    return path


def read_evaluation(directory: str | pathlib.Path) -> Evaluation:
    """Reads the report_data.json of a folder of results.

    Raises:
        FileNotFoundError: The folder has no such file.
        ValueError: The file has other content; the message names the file.
    """
    path = pathlib.Path(directory) / REPORT_DATA_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: file not found; tfpose evaluate, score and track write it with --report")
    content = read_json(path)
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(f"{path}: 'format_version' must be {FORMAT_VERSION}, got {quote(version)}")
    with describing(path, "a file that tfpose evaluate, score or track wrote with --report"):
        return _evaluation_from_dict(path.parent, content)


def _evaluation_to_dict(evaluation: Evaluation) -> dict[str, Any]:
    training = evaluation.training
    return {
        "format_version": FORMAT_VERSION,
        "provenance": _numbers_to_json(evaluation.provenance),
        "command": evaluation.command,
        "date": evaluation.date,
        "posetrack": None if evaluation.report is None else _report_to_dict(evaluation.report),
        "curves": [[_plain(values) for values in curve] for curve in evaluation.curves],
        "matches": [_matches_to_dict(matches) for matches in evaluation.matches],
        "coco": _numbers_to_json(evaluation.coco),
        "correct_keypoints": _numbers_to_json(evaluation.correct_keypoints),
        "training": None if training is None else {name: _tables_to_dict(getattr(training, name)) for name in _TABLES},
        "gallery": [_numbers_to_json(dataclasses.asdict(frame)) for frame in evaluation.gallery],
        "score_name": evaluation.score_name,
        "video": None if evaluation.video is None else dataclasses.asdict(evaluation.video),
    }


_TABLES = tuple(field.name for field in dataclasses.fields(TrainingTables))


def _evaluation_from_dict(directory: pathlib.Path, content: Mapping[str, Any]) -> Evaluation:
    training, posetrack, video = content["training"], content["posetrack"], content["video"]
    return Evaluation(
        directory=directory,
        provenance=dict(_object(content, "provenance")),
        report=None if posetrack is None else _report_from_dict(posetrack),
        curves=[(_numbers(precision), _numbers(recall)) for precision, recall in content["curves"]],
        matches=[_matches_from_dict(matches) for matches in content["matches"]],
        coco=_measures(content, "coco"),
        correct_keypoints={
            name: {**measure, "total": number_or_nan(measure["total"]), "joints": _measures(measure, "joints")}
            for name, measure in _object(content, "correct_keypoints").items()
        },
        training=None
        if training is None
        else TrainingTables(**{t: {name: _numbers(c).tolist() for name, c in training[t].items()} for t in _TABLES}),
        gallery=[_gallery_frame(frame) for frame in content["gallery"]],
        score_name=content["score_name"],
        video=None if video is None else build_typed(VideoClip, video, "video"),
        # Files of earlier versions do not say.
        command=str(content.get("command", "")),
        date=str(content.get("date", "")),
    )


def _measures(content: Mapping[str, Any], field: str) -> dict[str, float]:
    """Returns an object of numbers, with NaN for null."""
    values = _object(content, field)
    for name, value in values.items():
        if value is not None and not is_number(value):
            raise ValueError(f"{field}.{name} must be a number, got {quote(value)}")
    return {name: number_or_nan(value) for name, value in values.items()}


def _object(content: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    if not isinstance(content[field], Mapping):
        raise ValueError(f"{field!r} must be an object, got {quote(content[field])}")
    return content[field]


def _gallery_frame(content: Mapping[str, Any]) -> GalleryFrame:
    score = number_or_nan(content["score"])
    return dataclasses.replace(build_typed(GalleryFrame, {**content, "score": 0.0}, "gallery"), score=score)


def _tables_to_dict(columns: Columns) -> dict[str, list]:
    return {name: _plain(np.asarray(values, np.float64)) for name, values in columns.items()}


def _report_to_dict(report: PoseTrackReport) -> dict[str, Any]:
    return {
        "total": _metrics_to_dict(report.total),
        "num_sequences": report.num_sequences,
        "sequences": {name: _metrics_to_dict(metrics) for name, metrics in report.sequences.items()},
        "single_frame_sequences": list(report.single_frame_sequences),
        "intervals": {name: [interval.low, interval.high] for name, interval in report.intervals.items()},
    }


def _report_from_dict(content: Mapping[str, Any]) -> PoseTrackReport:
    total = _metrics_from_dict(content["total"])
    sequences = {name: _metrics_from_dict(metrics) for name, metrics in content["sequences"].items()}
    for name, metrics in sequences.items():
        if set(metrics.blocks) != set(total.blocks):
            raise ValueError(
                f"posetrack.sequences.{name} must have the metrics of posetrack.total ({', '.join(total.blocks)}), got "
                f"{', '.join(metrics.blocks) or 'none'}"
            )
    return PoseTrackReport(
        total=total,
        num_sequences=int(content["num_sequences"]),
        sequences=sequences,
        samples=None,
        single_frame_sequences=tuple(content["single_frame_sequences"]),
        intervals=_intervals_from_dict(content["intervals"])
        if "intervals" in content
        else _intervals_of_counts(sequences.values()),
    )


def _intervals_from_dict(content: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    for name, ends in content.items():
        if len(ends) != 2 or not all(map(is_number, ends)) or ends[0] > ends[1]:
            raise ValueError(f"posetrack.intervals.{name} must be two rising numbers, got {quote(ends)}")
    return {name: Interval(float(low), float(high)) for name, (low, high) in content.items()}


def _intervals_of_counts(sequences: Iterable[PoseTrackMetrics]) -> dict[str, Interval]:
    """Returns the intervals that files of earlier versions allow: they hold counts for MOTA, but none for AP."""
    counts = [metrics.tracking.counts for metrics in sequences if metrics.tracking is not None]
    if len(counts) < 2:
        return {}
    interval = percentile_interval(resample_tracking(stack_counts(counts), draw_sequences(len(counts))))
    return {} if interval is None else {"tracking": interval}


def _metrics_to_dict(metrics: PoseTrackMetrics) -> dict[str, Any]:
    results = {name: metrics.blocks.get(name) for name in _result_types()}
    return {"num_frames": metrics.num_frames} | {
        name: None if result is None else _result_to_dict(result) for name, result in results.items()
    }


def _metrics_from_dict(content: Mapping[str, Any]) -> PoseTrackMetrics:
    blocks = {
        name: _result_from_dict(make, content[name])
        for name, make in _result_types().items()
        if content[name] is not None
    }
    metrics = PoseTrackMetrics(num_frames=int(content["num_frames"]), blocks=blocks)
    # A table or chart would find a missing column or a short one too late.
    computed_columns(metrics)
    return metrics


def _result_types() -> dict[str, Callable[..., Any]]:
    """Returns the type of the result of each block of the catalog, by name."""
    return {block.name: block.result for group in METRICS.values() for block in group.blocks}


def _result_to_dict(result: Any) -> dict[str, Any]:
    """Returns a dictionary or dataclass of arrays as JSON; the dataclass may hold another one."""
    if not isinstance(result, Mapping):
        result = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    return {name: _plain(v) if isinstance(v, np.ndarray) else _result_to_dict(v) for name, v in result.items()}


def _result_from_dict(make: Callable[..., Any], content: Mapping[str, Any]) -> Any:
    fields = {
        name: _result_from_dict(TrackingCounts, values) if isinstance(values, Mapping) else _numbers(values)
        for name, values in content.items()
    }
    return make(**fields)


def _matches_to_dict(matches: SequenceMatches) -> dict[str, Any]:
    arrays = {name: getattr(matches, name).tolist() for name in _FRAME_COUNTS}
    tracks = [{"track_id": track.track_id, "predicted": _track_to_list(track)} for track in matches.tracks]
    return {"name": matches.name, **arrays, "tracks": tracks}


_FRAME_COUNTS = ("frames", "true_joints", "predicted_joints", "correct_joints", "extra_people")


def _matches_from_dict(content: Mapping[str, Any]) -> SequenceMatches:
    arrays = {name: np.array(content[name], np.int64) for name in _FRAME_COUNTS}
    tracks = tuple(_track_from_list(track["track_id"], track["predicted"]) for track in content["tracks"])
    if {len(values) for values in (*arrays.values(), *(track.is_found for track in tracks))} != {len(arrays["frames"])}:
        raise ValueError(f"the lists of {content['name']} are not of one length")
    return SequenceMatches(name=content["name"], tracks=tracks, **arrays)


_ABSENT, _MISSED = None, "missed"


def _track_to_list(track: TrackMatches) -> list[int | str | None]:
    columns = (track.is_present.tolist(), track.is_found.tolist(), track.predicted_ids.tolist())
    return [
        (predicted if is_found else _MISSED) if is_present else _ABSENT
        for is_present, is_found, predicted in zip(*columns, strict=True)
    ]


def _track_from_list(track_id: int, entries: Sequence[int | str | None]) -> TrackMatches:
    is_found = np.array([entry not in (_ABSENT, _MISSED) for entry in entries], bool)
    ids = [entry if is_there else 0 for entry, is_there in zip(entries, is_found, strict=True)]
    is_present = np.array([entry is not _ABSENT for entry in entries], bool)
    return TrackMatches(int(track_id), is_present, is_found, np.array(ids, np.int64))


def _plain(values: np.ndarray) -> list:
    return null_for_nan(np.asarray(values))


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    """Returns an array; whole numbers stay whole, so that a file that is read and written stays the same."""
    array = np.array([np.nan if value is None else value for value in values])
    if array.ndim != 1 or array.dtype.kind not in "fi":
        raise ValueError(f"a list of numbers must be here, got {quote(values)}")
    return array


def _numbers_to_json(content: Any) -> Any:
    """Returns the content with null for numbers that are not finite."""
    if isinstance(content, Mapping):
        return {name: _numbers_to_json(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_numbers_to_json(value) for value in content]
    is_lacking = isinstance(content, float) and not np.isfinite(content)
    return None if is_lacking else content
