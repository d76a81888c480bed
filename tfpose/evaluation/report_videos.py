"""The parts of a report that belong to videos: timelines of people, best and worst frames, a video of the poses."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tfpose.evaluation.report_pictures import Candidate, DrawnPeople, draw_scaled, write_gallery, write_video
from tfpose.evaluation.retracking import first_video, read_predictions
from tfpose.messages import quote
from tfpose.metrics.frame_matches import SequenceMatches, match_sequence
from tfpose.metrics.posetrack import pair_files, sequence_names
from tfpose.picture_files import decode_upright
from tfpose.posetrack import Frame, PoseSequence, poses_from_frame
from tfpose.report.evaluation_file import Evaluation

SCORE_NAME = (
    "The score of a frame is the share of its joints that are correct (within half a head, PCKh@0.5): twice the number "
    "of correct joints, divided by the number of annotated plus predicted joints. Joints in ignored regions do not "
    "count."
)
# Longer videos make pages that are too large to send.
_MOST_VIDEO_FRAMES = 60
_LONGEST_VIDEO_SIDE = 480
# Threshold that draws every joint of a file, however low its score.
LOWEST_SCORE = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True)
class ScoredVideos:
    """Videos with annotated and predicted people.

    Attributes:
        truth: Annotated videos.
        predicted: The same videos, frame by frame, with the predicted people.
        read_picture: Function from the positions of a video and of a frame to the picture, or to None if the picture is
            not available.
        has_identities: Whether the predicted track ids are identities.
        joint_threshold: Predicted joints with a lower score are drawn thin.
        frames_per_second: Frame rate of the video to write.
    """

    truth: Sequence[PoseSequence]
    predicted: Sequence[PoseSequence]
    read_picture: Callable[[int, int], np.ndarray | None]
    has_identities: bool = True
    joint_threshold: float = LOWEST_SCORE
    frames_per_second: float = 10.0


def read_scored_videos(
    ground_truth: pathlib.Path, predictions: pathlib.Path, images: pathlib.Path | None, frames_per_second: float
) -> ScoredVideos:
    """Reads the videos of two folders of PoseTrack files.

    Args:
        ground_truth: Folder of the annotations.
        predictions: Folder of the predictions.
        images: Root folder of the images that the annotations name; None if it is not available.
        frames_per_second: Frame rate of the video to write.

    Raises:
        FileNotFoundError, ValueError: A file is missing or damaged, see `read_predictions`.
    """
    pairs = pair_files(ground_truth, predictions)
    names = sequence_names([true for true, _ in pairs])
    truth, predicted = (
        [
            dataclasses.replace(first_video(read_predictions(pair[side])), name=name)
            for name, pair in zip(names, pairs, strict=True)
        ]
        for side in (0, 1)
    )
    files = [frame.file_name for sequence in truth for frame in sequence.frames]
    if images is not None and files and not any((images / name).is_file() for name in files):
        print(
            f"note: --images={images} holds none of the {len(files)} images that the annotations name, such as "
            f"{quote(files[0])}; the report shows the poses on an empty background",
            file=sys.stderr,
        )

    def read_picture(video: int, frame: int) -> np.ndarray | None:
        return None if images is None else read_picture_below(images, truth[video].frames[frame].file_name)

    return ScoredVideos(truth, predicted, read_picture, frames_per_second=frames_per_second)


def read_picture_below(folder: pathlib.Path, name: str) -> np.ndarray | None:
    """Reads an upright picture [H, W, 3] uint8 RGB; None if it is absent, damaged or outside the folder."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        return None
    try:
        return decode_upright(path.read_bytes(), path)
    except (OSError, ValueError):
        return None


def add_videos(evaluation: Evaluation, videos: ScoredVideos) -> Evaluation:
    """Returns the evaluation with timelines, gallery and video; writes pictures into the evaluation's folder.

    Raises:
        ValueError: The annotations do not suit poseval's metrics.
        OSError: A file cannot be written.
    """
    matches = [match_sequence(*pair) for pair in zip(videos.truth, videos.predicted, strict=True)]
    candidates = [c for video, sequence in enumerate(matches) for c in _candidates(videos, video, sequence)]
    shown = _shown_videos(videos)
    clip = write_video(
        evaluation.directory, _drawn_frames(videos, shown), videos.frames_per_second, _describe(videos, shown)
    )
    return dataclasses.replace(
        evaluation,
        matches=[sequence for sequence in matches if len(sequence.frames)] if videos.has_identities else (),
        gallery=write_gallery(evaluation.directory, candidates),
        score_name=SCORE_NAME,
        video=clip,
    )


def _candidates(videos: ScoredVideos, video: int, matches: SequenceMatches) -> Iterator[Candidate]:
    columns = (matches.frames, matches.frame_scores, matches.true_joints, matches.predicted_joints)
    for frame, score, true, predicted, correct in zip(*columns, matches.correct_joints, strict=True):
        yield Candidate(
            group=matches.name,
            name=f"{matches.name}, frame {frame}",
            score=float(score),
            weight=int(true),
            details=f"{correct} correct joints, {true} annotated, {predicted} predicted",
            read=functools.partial(_read_frame, videos, video, int(frame)),
        )


def _read_frame(videos: ScoredVideos, video: int, frame: int) -> tuple[np.ndarray | None, DrawnPeople, DrawnPeople]:
    truth = videos.truth[video]
    annotated = DrawnPeople(poses_from_frame(truth.frames[frame]), truth.skeleton, LOWEST_SCORE)
    return videos.read_picture(video, frame), annotated, _predicted_people(videos, video, frame)


def _predicted_people(videos: ScoredVideos, video: int, frame: int) -> DrawnPeople:
    predicted = videos.predicted[video]
    poses = poses_from_frame(predicted.frames[frame])
    if not videos.has_identities:
        poses = dataclasses.replace(poses, track_ids=np.full(len(poses), -1))
    return DrawnPeople(poses, predicted.skeleton, videos.joint_threshold)


def _shown_videos(videos: ScoredVideos) -> list[tuple[int, int]]:
    """Returns the positions of the videos to show, evenly spread, with the number of frames to show of each."""
    lengths = [len(sequence.frames) for sequence in videos.predicted]
    if not lengths:
        return []
    count = int(np.clip(_MOST_VIDEO_FRAMES // max(1, int(np.median(lengths))), 1, len(lengths)))
    chosen = np.unique(np.linspace(0, len(lengths) - 1, count).round().astype(int))
    return [(int(video), min(lengths[video], _MOST_VIDEO_FRAMES // len(chosen))) for video in chosen]


def _drawn_frames(videos: ScoredVideos, shown: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
    for video, num_frames in shown:
        sequence = videos.predicted[video]
        extents = [_predicted_people(videos, video, frame).extent for frame in range(num_frames)]
        extent = tuple(max(sides) for sides in zip(*extents, strict=True)) if extents else (1, 1)
        for frame in range(num_frames):
            size = _known_size(sequence.frames[frame]) or _known_size(videos.truth[video].frames[frame]) or extent
            people = dataclasses.replace(_predicted_people(videos, video, frame), is_colored_by_track=True)
            yield draw_scaled(videos.read_picture(video, frame), people, size, _LONGEST_VIDEO_SIDE)


def _known_size(frame: Frame) -> tuple[int, int] | None:
    return frame.image_size if min(frame.image_size) > 0 else None


def _describe(videos: ScoredVideos, shown: Sequence[tuple[int, int]]) -> str:
    names = [videos.predicted[video].name for video, _ in shown]
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
