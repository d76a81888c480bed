"""Pictures and the video of a report: annotated beside predicted people, small enough for a web page."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np

from tfpose.picture_files import write_picture
from tfpose.poses import Poses
from tfpose.report.evaluation_file import GalleryFrame, VideoClip
from tfpose.skeletons import Skeleton
from tfpose.video_files import VideoFileWriter
from tfpose.visualization import draw_identities, draw_poses

# Name of the folder inside the folder of results.
MEDIA_FOLDER = "report_media"
# Longer side in pixels. On phones, and side by side, pictures are no wider.
LONGEST_SIDE = 640
_WEBP_QUALITY = 80
# Largest numbers of frames shown. There are more bad ones because mistakes teach more.
_NUM_BEST, _NUM_WORST = 4, 6
# Background where the picture is not available.
_EMPTY_COLOR = (70, 74, 82)
_EMPTY_MARGIN = 0.1


@dataclasses.dataclass(frozen=True)
class DrawnPeople:
    """People to draw.

    Attributes:
        poses: Poses in pixels of the picture.
        skeleton: Skeleton of the poses.
        joint_threshold: Joints with a lower score are thin, and their limbs dashed.
        is_colored_by_track: Color people by their identity instead of by the side of the body. Colors of sides show
            whether left and right are confused.
    """

    poses: Poses
    skeleton: Skeleton
    joint_threshold: float
    is_colored_by_track: bool = False

    def draw(self, image: np.ndarray, scale: float) -> np.ndarray:
        """Draws the people over a picture that has been scaled by `scale`."""
        poses = dataclasses.replace(self.poses, keypoints=(self.poses.keypoints + 0.5) * scale - 0.5)
        nobody = np.full(len(poses), -1)
        colored = poses if self.is_colored_by_track else dataclasses.replace(poses, track_ids=nobody)
        image = draw_poses(image, colored, self.skeleton, self.joint_threshold, shows_faint_joints=True)
        return draw_identities(image, poses, self.joint_threshold)

    @property
    def extent(self) -> tuple[int, int]:
        """The size (height, width) of a picture that holds all drawn joints."""
        points = self.poses.keypoints[self.poses.joint_scores > 0]
        width, height = np.ceil((1 + _EMPTY_MARGIN) * np.max(np.append(points, [[1.0, 1.0]], axis=0), axis=0))
        return int(height), int(width)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A frame that may be shown.

    Attributes:
        group: Name of the video that the frame belongs to; frames are taken from many groups.
        name: Name of the frame for readers.
        score: Score in percent.
        weight: Among equal scores the frame with the larger weight is shown first.
        details: Numbers behind the score, in words.
        read: Function that returns the picture or None, the annotated people and the predicted people.
    """

    group: str
    name: str
    score: float
    weight: int
    details: str
    read: Callable[[], tuple[np.ndarray | None, DrawnPeople, DrawnPeople]]


def choose_frames(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """Returns the best and the worst frames, from as many groups as possible; no frame is in both lists."""
    known = [candidate for candidate in candidates if math.isfinite(candidate.score)]
    best = _choose(known, min(math.ceil(len(known) / 2), _NUM_BEST), sign=-1)
    rest = [candidate for candidate in known if candidate not in best]
    return best, _choose(rest, min(len(known) // 2, _NUM_WORST), sign=1)


def _choose(candidates: Sequence[Candidate], count: int, sign: int) -> list[Candidate]:
    """Returns the first `count` frames by score: the lowest for sign 1, the highest for sign -1."""
    per_group = math.ceil(count / max(1, len({candidate.group for candidate in candidates})))
    taken: dict[str, int] = {}
    chosen: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (sign * c.score, -c.weight, c.name)):
        if len(chosen) < count and taken.get(candidate.group, 0) < per_group:
            taken[candidate.group] = taken.get(candidate.group, 0) + 1
            chosen.append(candidate)
    return chosen


def write_gallery(directory: pathlib.Path, candidates: Sequence[Candidate]) -> list[GalleryFrame]:
    """Draws the best and the worst frames into `directory`/report_media."""
    best, worst = choose_frames(candidates)
    frames = []
    for kind, chosen in (("best", best), ("worst", worst)):
        for number, candidate in enumerate(chosen):
            names = [f"{MEDIA_FOLDER}/{kind}_{number}_{side}.webp" for side in ("truth", "prediction")]
            _write_pair(directory, names, candidate)
            frames.append(
                GalleryFrame(kind == "best", candidate.name, candidate.score, candidate.details, names[0], names[1])
            )
    return frames


def _write_pair(directory: pathlib.Path, names: Sequence[str], candidate: Candidate) -> None:
    image, *sides = candidate.read()
    for name, people in zip(names, sides, strict=True):
        extent = tuple(max(pair) for pair in zip(*(side.extent for side in sides), strict=True))
        write_webp(directory / name, draw_scaled(image, people, extent))


def draw_scaled(
    image: np.ndarray | None, people: DrawnPeople, extent: tuple[int, int], longest_side: int = LONGEST_SIDE
) -> np.ndarray:
    """Draws people over a picture scaled down for a page, or over an empty one of size `extent` if it is None."""
    height, width = extent if image is None else image.shape[:2]
    scale = min(1.0, longest_side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if image is None:
        small = np.full((size[1], size[0], 3), _EMPTY_COLOR, np.uint8)
    else:
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return people.draw(small, scale)


def write_webp(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes a picture [H, W, 3] uint8 RGB, whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, image, (cv2.IMWRITE_WEBP_QUALITY, _WEBP_QUALITY))


def write_video(
    directory: pathlib.Path, frames: Iterable[np.ndarray], frames_per_second: float, description: str
) -> VideoClip | None:
    """Writes drawn frames as `directory`/report_media/video.webm; returns None if there are no frames.

    Raises:
        OSError: A file cannot be written.
    """
    clip = VideoClip(f"{MEDIA_FOLDER}/video.webm", f"{MEDIA_FOLDER}/video.webp", description)
    size: tuple[int, int] | None = None
    with VideoFileWriter(directory / clip.path, frames_per_second) as writer:
        for frame in frames:
            if size is None:
                size = frame.shape[:2]
                write_webp(directory / clip.poster, frame)
            writer.write(_fit(frame, size))
    return clip if size else None


def _fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Centers the picture on a black one of size (height, width), scaled down if it is larger."""
    if image.shape[:2] == size:
        return image
    scale = min(1.0, size[0] / image.shape[0], size[1] / image.shape[1])
    width, height = max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale))
    canvas = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return canvas
