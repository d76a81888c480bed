"""Tracks the people of PoseTrack files. NumPy and SciPy only."""

from __future__ import annotations

import dataclasses
import functools
import pathlib

from tfpose.evaluation.progress import LateProgress
from tfpose.json_files import read_json
from tfpose.metrics.posetrack import find_sequence_files
from tfpose.posetrack import (
    PoseSequence,
    frame_from_poses,
    poses_from_frame,
    read_posetrack,
    read_posetrack21,
    write_posetrack17,
    write_posetrack18,
)
from tfpose.posetrack.columns import TRACK_ID_LIMIT
from tfpose.processes import choose_num_processes, map_forked
from tfpose.skeletons import POSETRACK18
from tfpose.tracking.choice import TrackerChoice
from tfpose.tracking.video import track_video

# Below the output folder.
PREDICTIONS_FOLDER = "predictions"
WRITERS = {"2017": write_posetrack17, "2018": write_posetrack18}


@dataclasses.dataclass(frozen=True)
class TrackingSummary:
    """How much was tracked.

    Attributes:
        num_frames: of all sequences.
        num_people: poses found in them.
        num_tracked: poses in the result, which may have lost or gained some.
        num_tracks: identities.
    """

    num_frames: int
    num_people: int
    num_tracked: int
    num_tracks: int

    def __str__(self) -> str:
        return (
            f"{self.num_frames} frames: {self.num_people} people in, {self.num_tracked} out, {self.num_tracks} tracks"
        )


def track_folder(
    predictions: pathlib.Path,
    output_dir: pathlib.Path,
    tracker: TrackerChoice,
    file_format: str = "2018",
    num_processes: int | None = None,
) -> TrackingSummary:
    """Tracks every file of a folder and writes files of the same names.

    Args:
        predictions: folder of `<sequence>.json` or `.json.gz`, 2017, 2018 or PoseTrack21; with identities or not.
        output_dir: folder for the results.
        tracker: and its settings.
        file_format: '2017' or '2018', of the results.
        num_processes: None takes as many as there are cores.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it.
        ValueError: a file is broken, or the results would replace the predictions.
    """
    files = list(find_predictions(predictions).values())
    if output_dir.resolve() == predictions.resolve():
        raise ValueError(f"{predictions}: the results would replace the predictions; choose another --output_dir")
    track = functools.partial(track_file, directory=output_dir, tracker=tracker, file_format=file_format)
    processes = choose_num_processes(num_processes, len(files))
    parts = []
    with LateProgress("tracking", "sequences") as progress:
        for summary in map_forked(track, files, processes):
            parts.append(summary)
            progress(len(parts), len(files))
    fields = dataclasses.fields(TrackingSummary)
    return TrackingSummary(**{f.name: sum(getattr(part, f.name) for part in parts) for f in fields})


def find_predictions(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The prediction files of a folder by name without `.gz`.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: the folder of the predictions is not there")
    files = find_sequence_files(folder)
    if not files:
        raise FileNotFoundError(f"{folder}: should hold predictions, one *.json file per sequence; found none")
    return files


def track_file(
    path: pathlib.Path, directory: pathlib.Path, tracker: TrackerChoice, file_format: str
) -> TrackingSummary:
    """Tracks one file and writes one of the same name."""
    found = read_predictions(path)
    tracked = track_sequence(found, tracker)
    WRITERS[file_format](directory / path.name.removesuffix(".gz"), tracked)
    return TrackingSummary(
        num_frames=len(found.frames),
        num_people=sum(frame.num_people for frame in found.frames),
        num_tracked=sum(frame.num_people for frame in tracked.frames),
        num_tracks=len({track_id for frame in tracked.frames for track_id in frame.track_ids.tolist()}),
    )


def read_predictions(path: pathlib.Path) -> PoseSequence:
    """Reads predictions of any format with the 17 joints of 2018 files.

    Raises:
        FileNotFoundError, ValueError: as `read_posetrack`.
    """
    content = read_json(path)
    is_posetrack21 = isinstance(content, dict) and "images" in content and "categories" not in content
    if is_posetrack21:
        return read_posetrack21(path, POSETRACK18)
    return read_posetrack(path, POSETRACK18, drop_unknown_images=True)


def track_sequence(sequence: PoseSequence, tracker: TrackerChoice) -> PoseSequence:
    """Gives the people of a sequence identities; frames without people stay.

    Raises:
        ValueError: there are more tracks than evaluators take.
    """
    poses = [poses_from_frame(frame) for frame in sequence.frames]
    tracked = track_video(poses, *tracker.settings(), sequence.skeleton)
    frames = tuple(
        frame_from_poses(
            frame.file_name,
            frame.index,
            people,
            image_id=frame.image_id,
            is_labeled=frame.is_labeled,
            image_size=frame.image_size,
            ignore_regions=frame.ignore_regions,
        )
        for frame, people in zip(sequence.frames, tracked, strict=True)
    )
    highest = max((int(people.track_ids.max()) for people in tracked if len(people)), default=0)
    if highest >= TRACK_ID_LIMIT:
        raise ValueError(
            f"{sequence.path}: should have fewer than {TRACK_ID_LIMIT} tracks, which is all that evaluators take, "
            f"found {highest + 1}; remove short ones with --tracker.min_track_length_frames"
        )
    return dataclasses.replace(sequence, frames=frames)
