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
from typing import NamedTuple

import cv2
import numpy as np

from data_prep.synthetic.annotations import SyntheticFrame
from data_prep.synthetic.scenes import SceneOptions
from data_prep.synthetic.video import generate_video
from tfpose.boxes import xywh_from_xyxy
from tfpose.skeletons import POSETRACK15, POSETRACK18, map_joints

# Raise when the same seed starts to give other pictures: files of older versions are then rewritten.
GENERATOR_VERSION = 2
_JPEG_QUALITY = 93
_LARGEST_SEED = 999_999


def sequence_name(seed: int) -> str:
    """Name of the sequence of a seed; evaluators take the kind of video from the second word."""
    return f"{seed:06d}_mpii_synthetic"


def image_id(seed: int, frame: int) -> int:
    """PoseTrack 2018's image id: a one, the video's number, the frame's number."""
    return int(f"1{seed:06d}{frame:04d}")


def write_posetrack18(
    directory: str | os.PathLike,
    splits: Mapping[str, Iterable[int]],
    num_frames: int | Mapping[str, int] = 20,
    image_size: tuple[int, int] = (270, 480),
    max_people: int = 5,
    options: SceneOptions | None = None,
    report_progress: Callable[[str, int, int], None] | None = None,
    num_processes: int = 1,
) -> list[Path]:
    """Writes annotations/<split>/<sequence>.json and images/<split>/<sequence>/NNNNNN.jpg.

    A sequence appears under its name only when it is complete, its annotations last; complete
    sequences made with the same arguments are kept, so an interrupted run may be repeated.

    Args:
        directory: root of the data set.
        splits: name of a split, such as 'train', to the seeds of its videos.
        num_frames: per video, at most 9999; one number, or one per split.
        image_size: (height, width).
        max_people: labeled people per video.
        options: what scenes contain.
        report_progress: called with a sequence name, its number from 1 and the number of sequences.
        num_processes: that draw at once; the files do not depend on it.

    Returns:
        The annotation files, in the order of the splits and seeds.

    Raises:
        ValueError: if a seed is out of range or given twice, or an argument is out of range.
    """
    frames_of_split = num_frames if isinstance(num_frames, Mapping) else dict.fromkeys(splits, num_frames)
    jobs = [_Job(split, int(seed), frames_of_split[split]) for split, seeds in splits.items() for seed in seeds]
    _check_jobs(jobs)
    options = options or SceneOptions()
    video = {"image_size": list(image_size), "max_people": max_people}
    recipe = {"generator_version": GENERATOR_VERSION, **video, "options": _as_json(dataclasses.asdict(options))}
    make = functools.partial(_make_sequence, Path(directory), recipe=recipe, options=options)
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


def _make_sequence(directory: Path, job: _Job, recipe: dict, options: SceneOptions) -> Path:
    """Draws one video unless it is there; returns its annotation file."""
    split, seed, num_frames = job
    recipe = {**recipe, "num_frames": num_frames}
    path = directory / "annotations" / split / f"{sequence_name(seed)}.json"
    images = directory / "images" / split / sequence_name(seed)
    if not (images.is_dir() and _has_recipe(path, recipe)):
        height, width = recipe["image_size"]
        frames = generate_video(seed, recipe["num_frames"], height, width, recipe["max_people"], options)
        _write_sequence(path, images, seed, frames, recipe)
    return path


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
    # Ctrl-C reaches every process; the first one decides, the others finish their video.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _as_json(values: dict) -> dict:
    """The values as they will be read from a file: JSON has no tuples."""
    return json.loads(json.dumps(values))


def _check_jobs(jobs: list[_Job]) -> None:
    seen = set()
    for _, seed, num_frames in jobs:
        if not 0 <= seed <= _LARGEST_SEED:
            raise ValueError(f"splits: seeds must be between 0 and {_LARGEST_SEED}, got {seed}")
        if seed in seen:
            raise ValueError(f"splits: a seed may occur once over all splits, got {seed} again")
        if not 1 <= num_frames <= 9999:
            raise ValueError(f"num_frames: must be between 1 and 9999, got {num_frames}")
        seen.add(seed)


def _has_recipe(path: Path, recipe: dict) -> bool:
    """Whether a sequence was completed with the same arguments."""
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("synthetic") == recipe
    except (OSError, ValueError):
        return False


def _write_sequence(path: Path, images: Path, seed: int, frames: Iterable[SyntheticFrame], recipe: dict) -> None:
    images.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=images.parent, prefix=".unfinished_") as scratch:
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
        annotations.write_text(json.dumps(document), encoding="utf-8")
        if images.exists():
            shutil.rmtree(images)
        os.replace(pictures, images)
        os.replace(annotations, path)


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    is_encoded, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not is_encoded:
        raise OSError(f"{path}: the picture could not be encoded as JPEG")
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
    """Annotations of the people of a frame; flag 1 marks an annotated joint, as in PoseTrack."""
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
