"""Tracks the people of PoseTrack files. NumPy and SciPy only."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Collection, Sequence

from tfpose.evaluation.progress import LateProgress
from tfpose.json_files import read_json
from tfpose.messages import count_of, print_notes
from tfpose.metrics.posetrack import find_poses_folder, find_sequence_files
from tfpose.posetrack import (
    NO_IMAGE_ID,
    NO_TRACK_ID,
    PoseSequence,
    frame_from_poses,
    poses_from_frame,
    read_posetrack,
    read_posetrack21,
    write_posetrack17,
    write_posetrack18,
)
from tfpose.posetrack.columns import TRACK_ID_LIMIT
from tfpose.posetrack.columns_2018 import video_number
from tfpose.posetrack.videos import find_videos
from tfpose.processes import choose_num_processes, map_forked
from tfpose.skeletons import POSETRACK18
from tfpose.tracking.choice import TrackerChoice
from tfpose.tracking.video import track_video

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
        people = count_of(self.num_people, "person", "people")
        tracks = count_of(self.num_tracks, "track")
        return f"{count_of(self.num_frames, 'frame')}: {people} in, {self.num_tracked} out, {tracks}"


def track_all(
    sources: Sequence[pathlib.Path | PoseSequence],
    output_dir: pathlib.Path,
    tracker: TrackerChoice | None,
    file_format: str = "2018",
    num_processes: int | None = None,
) -> TrackingSummary:
    """Tracks files or sequences and writes files of the same names.

    Args:
        sources: Files of PoseTrack 2017, 2018 or PoseTrack21, with or without identities, or what such files hold.
        output_dir: Folder for the results.
        tracker: Tracker and its settings; None keeps the identities.
        file_format: Format of the results, '2017' or '2018'.
        num_processes: Number of processes; None starts one per core.

    Raises:
        ValueError: A file is damaged, or the results would replace the predictions.
    """
    if any(isinstance(source, pathlib.Path) and source.resolve().parent == output_dir.resolve() for source in sources):
        raise ValueError(
            f"--output_dir must be a new folder, got {output_dir}, where the results would replace the predictions"
        )
    track = functools.partial(track_file, directory=output_dir, tracker=tracker, file_format=file_format)
    processes = choose_num_processes(num_processes, len(sources))
    parts = []
    with LateProgress("tracking", "sequences") as progress:
        for summary in map_forked(track, sources, processes):
            parts.append(summary)
            progress(len(parts), len(sources))
    note_other_files(output_dir, {_result_name(source) for source in sources})
    fields = dataclasses.fields(TrackingSummary)
    return TrackingSummary(**{f.name: sum(getattr(part, f.name) for part in parts) for f in fields})


def find_predictions(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the prediction files of a folder by their names without `.gz`.

    Raises:
        FileNotFoundError: The folder does not exist or is empty.
    """
    folder = find_poses_folder(folder)
    files = find_sequence_files(folder)
    if not files:
        raise FileNotFoundError(f"{folder}: must hold predictions, one *.json file per sequence, got none")
    return files


def track_file(
    source: pathlib.Path | PoseSequence, directory: pathlib.Path, tracker: TrackerChoice | None, file_format: str
) -> TrackingSummary:
    """Tracks one file or sequence and writes the result under the same name."""
    found = read_predictions(source) if isinstance(source, pathlib.Path) else source
    print_notes(unlisted_notes(found))
    tracked = track_file_sequence(found, tracker) if tracker else found
    WRITERS[file_format](directory / _result_name(source), tracked)
    return TrackingSummary(
        num_frames=len(found.frames),
        num_people=sum(frame.num_people for frame in found.frames),
        num_tracked=sum(frame.num_people for frame in tracked.frames),
        num_tracks=len({i for frame in tracked.frames for i in frame.track_ids.tolist()} - {NO_TRACK_ID}),
    )


def unlisted_notes(sequence: PoseSequence) -> list[str]:
    """Returns a line if the file of a sequence has annotations of images that it does not list."""
    if not sequence.num_unlisted:
        return []
    count = count_of(sequence.num_unlisted, "annotation")
    return [f"{sequence.path}: {count} left out: image_id is in no image"]


def note_other_files(folder: pathlib.Path, names: Collection[str]) -> None:
    """Prints a line on stderr if a folder of predictions holds files of an earlier run, which programs read as well.

    Args:
        folder: The folder, which exists.
        names: Names of the files of this run.
    """
    others = sorted(
        path.name
        for path in folder.iterdir()
        if path.name.endswith((".json", ".json.gz")) and not path.name.startswith(".") and path.name not in names
    )
    if others:
        print_notes([f"{folder}: holds {count_of(len(others), 'file')} of an earlier run, such as {others[0]}"])


def _result_name(source: pathlib.Path | PoseSequence) -> str:
    path = source if isinstance(source, pathlib.Path) else source.path
    return path.name.removesuffix(".gz")


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


def first_video(sequence: PoseSequence) -> PoseSequence:
    """Returns the frames that poseval evaluates: in files of 2018 those of the first video, else all."""
    numbers = [None if frame.image_id == NO_IMAGE_ID else video_number(frame.file_name) for frame in sequence.frames]
    if None in numbers or len(set(numbers)) < 2:
        return sequence
    kept = [frame for frame, number in zip(sequence.frames, numbers, strict=True) if number == numbers[0]]
    frames = tuple(dataclasses.replace(frame, index=index) for index, frame in enumerate(kept))
    return dataclasses.replace(sequence, frames=frames)


def track_file_sequence(sequence: PoseSequence, tracker: TrackerChoice) -> PoseSequence:
    """Tracks the content of a file as `track_sequence`, each of its videos alone and in the order of its frames.

    A line on stderr says so if there are several videos, or frames in another order. The frames keep their places.
    """
    videos = find_videos(sequence)
    if len(videos) > 1:
        print(f"note: {sequence.path}: holds {len(videos)} videos, each is tracked alone", file=sys.stderr)
    if any(video != sorted(video) for video in videos):
        print(
            f"note: {sequence.path}: the frames are not in the order of the numbers in their names, which is the order "
            "of tracking",
            file=sys.stderr,
        )
    return track_sequence(sequence, tracker, videos)


def track_sequence(
    sequence: PoseSequence, tracker: TrackerChoice, videos: Sequence[Sequence[int]] | None = None
) -> PoseSequence:
    """Gives the people of a sequence identities; frames without people are kept.

    Args:
        sequence: Frames with people, whose identities are ignored.
        tracker: Tracker and its settings.
        videos: Positions of the frames of each video, which share no identities; None for one video.

    Raises:
        ValueError: There are more tracks than evaluators accept.
    """
    tracked = [poses_from_frame(frame) for frame in sequence.frames]
    num_tracks = 0
    for positions in [range(len(tracked))] if videos is None else videos:
        of_video = track_video([tracked[position] for position in positions], *tracker.settings(), sequence.skeleton)
        for position, people in zip(positions, of_video, strict=True):
            tracked[position] = dataclasses.replace(people, track_ids=people.track_ids + num_tracks)
        num_tracks += 1 + max((int(people.track_ids.max()) for people in of_video if len(people)), default=-1)
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
    if num_tracks > TRACK_ID_LIMIT:
        raise ValueError(
            f"{sequence.path}: the number of tracks must be at most {TRACK_ID_LIMIT}, the limit of the evaluators, got "
            f"{num_tracks}; remove short tracks with --tracker.min_track_length_frames"
        )
    return dataclasses.replace(sequence, frames=frames)
