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

# Name of the folder inside the output folder.
PREDICTIONS_FOLDER = "predictions"
WRITERS = {"2017": write_posetrack17, "2018": write_posetrack18}


@dataclasses.dataclass(frozen=True)
class TrackingSummary:
    """Counts over all tracked sequences.

    Attributes:
        num_frames: Number of frames.
        num_people: Number of poses before tracking.
        num_tracked: Number of poses after tracking, which may remove and add some.
        num_tracks: Number of identities.
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
        predictions: Folder of `<sequence>.json` or `.json.gz` of PoseTrack 2017, 2018 or PoseTrack21, with or without
            identities.
        output_dir: Folder for the results.
        tracker: Tracker and its settings.
        file_format: Format of the results, '2017' or '2018'.
        num_processes: Number of processes; None starts one per core.

    Raises:
        FileNotFoundError: The folder does not exist or is empty.
        ValueError: A file is damaged, or the results would replace the predictions.
    """
    files = list(find_predictions(predictions).values())
    if output_dir.resolve() == predictions.resolve():
        raise ValueError(
            f"--output_dir must be a new folder, got {output_dir}, where the results would replace the predictions"
        )
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
    """Returns the prediction files of a folder by their names without `.gz`.

    Raises:
        FileNotFoundError: The folder does not exist or is empty.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: the folder of the predictions does not exist")
    files = find_sequence_files(folder)
    if not files:
        raise FileNotFoundError(f"{folder}: must hold predictions, one *.json file per sequence, got none")
    return files


def track_file(
    path: pathlib.Path, directory: pathlib.Path, tracker: TrackerChoice, file_format: str
) -> TrackingSummary:
    """Tracks one file and writes the result under the same name."""
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
        FileNotFoundError, ValueError: The file is missing or damaged, see `read_posetrack`.
    """
    content = read_json(path)
    is_posetrack21 = isinstance(content, dict) and "images" in content and "categories" not in content
    if is_posetrack21:
        return read_posetrack21(path, POSETRACK18)
    return read_posetrack(path, POSETRACK18, drop_unknown_images=True)


def track_sequence(sequence: PoseSequence, tracker: TrackerChoice) -> PoseSequence:
    """Gives the people of a sequence identities; frames without people are kept.

    Raises:
        ValueError: There are more tracks than evaluators accept.
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
            f"{sequence.path}: the number of tracks must be at most {TRACK_ID_LIMIT}, the limit of the evaluators, got "
            f"{highest + 1}; remove short tracks with --tracker.min_track_length_frames"
        )
    return dataclasses.replace(sequence, frames=frames)
