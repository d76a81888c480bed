"""Writes synthetic videos as files in the layout of PoseTrack 2018."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from data_prep.synthetic.annotations import SyntheticFrame
from data_prep.synthetic.scenes import SceneOptions
from data_prep.synthetic.video import generate_video
from tfpose.boxes import xywh_from_xyxy
from tfpose.file_names import full_disk_errors, named_errors
from tfpose.json_files import read_json
from tfpose.skeletons import POSETRACK15, POSETRACK18, map_joints

# To be raised when a seed starts to give other images: files of earlier versions are then written again.
GENERATOR_VERSION = 2
_JPEG_QUALITY = 93
_LARGEST_SEED = 999_999


def sequence_name(seed: int) -> str:
    """Returns the name of the sequence of a seed; evaluators take the kind of the video from its second part."""
    return f"{seed:06d}_mpii_synthetic"


def image_id(seed: int, frame: int) -> int:
    """Returns an image id of PoseTrack 2018: a one, six digits of the video, four digits of the frame."""
    return int(f"1{seed:06d}{frame:04d}")


@dataclasses.dataclass(frozen=True)
class VideoSettings:
    """Settings that all videos of a dataset share.

    Attributes:
        image_size: (height, width) of the frames in pixels.
        max_people: Largest number of labeled people in a video.
        options: Contents of the scenes.
    """

    image_size: tuple[int, int] = (270, 480)
    max_people: int = 5
    options: SceneOptions = dataclasses.field(default_factory=SceneOptions)


def write_posetrack18(
    directory: str | os.PathLike,
    splits: Mapping[str, Iterable[int]],
    num_frames: int | Mapping[str, int] = 20,
    settings: VideoSettings | None = None,
    report_progress: Callable[[str, int, int], None] | None = None,
    num_processes: int = 1,
    replaces: bool = True,
) -> list[Path]:
    """Writes annotations/<split>/<sequence>.json and images/<split>/<sequence>/NNNNNN.jpg.

    A sequence gets its name only when it is complete, its annotations last. Complete sequences that were made with the
    same arguments are kept, so an interrupted run can be repeated.

    Args:
        directory: Root folder of the dataset.
        splits: Seeds of the videos by name of the split, such as 'train'.
        num_frames: Number of frames in a video, at most 9999; one number, or one per split.
        settings: Settings that all videos share; None takes the defaults.
        report_progress: Function to call with the name of a sequence, its number from 1 and the number of sequences.
        num_processes: Number of processes that draw in parallel; the files do not depend on it.
        replaces: Whether sequences that were made with other arguments are drawn anew; otherwise they are an error.

    Returns:
        The annotation files, in the order of the splits and seeds.

    Raises:
        ValueError: A seed occurs twice, an argument is out of range, or a sequence must not be replaced.
    """
    frames_of_split = num_frames if isinstance(num_frames, Mapping) else dict.fromkeys(splits, num_frames)
    jobs = [_Job(split, int(seed), frames_of_split[split]) for split, seeds in splits.items() for seed in seeds]
    _check_jobs(jobs)
    settings = settings or VideoSettings()
    if not replaces:
        _refuse_other_sequences(Path(directory), jobs, settings)
    make = functools.partial(_make_sequence, Path(directory), settings=settings)
    paths = []
    for path, job in zip(_run(make, jobs, num_processes), jobs, strict=True):
        paths.append(path)
        if report_progress is not None:
            report_progress(sequence_name(job.seed), len(paths), len(jobs))
    return paths


class _Job(NamedTuple):
    """A video to draw."""

    split: str
    seed: int
    num_frames: int


def _make_sequence(directory: Path, job: _Job, settings: VideoSettings) -> Path:
    """Draws one video unless it is there; returns its annotation file."""
    split, seed, num_frames = job
    recipe = _recipe(settings, num_frames)
    path = _annotation_file(directory, job)
    images = directory / "images" / split / sequence_name(seed)
    if not (images.is_dir() and _has_recipe(path, recipe)):
        frames = generate_video(seed, num_frames, *settings.image_size, settings.max_people, settings.options)
        _write_sequence(path, images, seed, frames, recipe)
    return path


def _annotation_file(directory: Path, job: _Job) -> Path:
    return directory / "annotations" / job.split / f"{sequence_name(job.seed)}.json"


def _refuse_other_sequences(directory: Path, jobs: list[_Job], settings: VideoSettings) -> None:
    """Raises a ValueError for a sequence that was made with other arguments."""
    for job in jobs:
        path = _annotation_file(directory, job)
        if path.exists() and not _has_recipe(path, _recipe(settings, job.num_frames)):
            raise ValueError(f"{path}: was drawn with other flags; choose another --output, or add --overwrite")


def _recipe(settings: VideoSettings, num_frames: int) -> dict[str, Any]:
    """Returns the arguments of a sequence in the form that its annotation file holds."""
    recipe = {"generator_version": GENERATOR_VERSION, **dataclasses.asdict(settings), "num_frames": num_frames}
    # JSON turns tuples into lists.
    return json.loads(json.dumps(recipe))


def _run(make: Callable[[_Job], Path], jobs: list[_Job], num_processes: int) -> Iterator[Path]:
    if num_processes == 1:
        yield from map(make, jobs)
        return
    # A forked copy of a process with TensorFlow's threads may hang.
    context = multiprocessing.get_context("spawn")
    executor = concurrent.futures.ProcessPoolExecutor(num_processes, mp_context=context, initializer=_start_process)
    try:
        yield from executor.map(make, jobs, chunksize=4)
    finally:
        executor.shutdown(cancel_futures=True)


def _start_process() -> None:
    # Ctrl-C reaches every process: the parent decides, and the others finish their videos.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _check_jobs(jobs: list[_Job]) -> None:
    seen = set()
    for _, seed, num_frames in jobs:
        if not 0 <= seed <= _LARGEST_SEED:
            raise ValueError(f"splits: seeds must be between 0 and {_LARGEST_SEED}, got {seed}")
        if seed in seen:
            raise ValueError(f"splits: seeds must differ over all splits, got {seed} twice")
        if not 1 <= num_frames <= 9999:
            raise ValueError(f"num_frames must be between 1 and 9999, got {num_frames}")
        seen.add(seed)


def _has_recipe(path: Path, recipe: dict) -> bool:
    """Returns whether a sequence is complete and was made with the same arguments."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("synthetic") == recipe


def _write_sequence(path: Path, images: Path, seed: int, frames: Iterable[SyntheticFrame], recipe: dict) -> None:
    images.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with (
        full_disk_errors(images),
        tempfile.TemporaryDirectory(dir=images.parent, prefix=".unfinished_") as scratch,
    ):
        pictures = Path(scratch) / "images"
        pictures.mkdir()
        records, people = [], []
        for number, frame in enumerate(frames):
            _write_jpeg(pictures / f"{number:06d}.jpg", frame.image)
            records.append(_image_record(images, seed, number, frame, recipe["num_frames"]))
            people += _person_records(seed, number, frame)
        document = {
            "images": records,
            "annotations": people,
            "categories": [_CATEGORY],
            "synthetic": recipe,
        }
        annotations = Path(scratch) / "annotations.json"
        with named_errors(path):
            annotations.write_text(json.dumps(document), encoding="utf-8")
        if images.exists():
            shutil.rmtree(images)
        os.replace(pictures, images)
        os.replace(annotations, path)


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    is_encoded, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not is_encoded:
        raise OSError(f"{path}: cannot encode the image as JPEG")
    with named_errors(path):
        path.write_bytes(data.tobytes())


_CATEGORY = {
    "supercategory": "person",
    "id": 1,
    "name": "person",
    "keypoints": list(POSETRACK18.joints),
    "skeleton": [[a + 1, b + 1] for a, b in POSETRACK18.limbs],
}


def _rounded(values: np.ndarray) -> list:
    return np.round(np.asarray(values, np.float64), 3).tolist()


def _image_record(images: Path, seed: int, number: int, frame: SyntheticFrame, num_frames: int) -> dict:
    height, width = frame.image.shape[:2]
    return {
        "id": image_id(seed, number),
        "frame_id": image_id(seed, number),
        "vid_id": f"{seed:06d}",
        "file_name": f"images/{images.parent.name}/{images.name}/{number:06d}.jpg",
        "nframes": num_frames,
        "is_labeled": True,
        "has_no_densepose": True,
        "width": width,
        "height": height,
        "ignore_regions_x": [_rounded(region[:, 0]) for region in frame.ignore_regions],
        "ignore_regions_y": [_rounded(region[:, 1]) for region in frame.ignore_regions],
    }


def _person_records(seed: int, number: int, frame: SyntheticFrame) -> list[dict]:
    """Annotations of the people in a frame; flag 1 marks an annotated joint, as in PoseTrack."""
    values = np.concatenate([frame.keypoints, frame.is_labeled_joint[..., None]], axis=-1)
    keypoints = map_joints(values, POSETRACK15.joints, POSETRACK18.joints)
    boxes, head_boxes = xywh_from_xyxy(frame.boxes), xywh_from_xyxy(frame.head_boxes)
    return [
        {
            "id": image_id(seed, number) * 100 + int(track_id),
            "image_id": image_id(seed, number),
            "category_id": 1,
            "iscrowd": False,
            "track_id": int(track_id),
            "bbox": _rounded(boxes[person]),
            "bbox_head": _rounded(head_boxes[person]),
            "area": float(frame.areas[person]),
            "num_keypoints": int(frame.is_labeled_joint[person].sum()),
            "keypoints": _rounded(keypoints[person].reshape(-1)),
            "scores": [],
        }
        for person, track_id in enumerate(frame.track_ids)
    ]
