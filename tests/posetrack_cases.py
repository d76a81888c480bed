"""PoseTrack cases for several folders of tests: files of the official evaluators' figures, small random sequences."""

from __future__ import annotations

import io
import lzma
import pathlib
import tarfile

import numpy as np

from tfpose.posetrack import PoseSequence, build_frame
from tfpose.skeletons import POSETRACK15


def unpack_cases(golden_dir: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Writes the synthetic cases into a folder, `<case>/gt`, `<case>/pred` and `<case>/expected.json`."""
    content = lzma.decompress((golden_dir / "poseval" / "cases.tar.xz").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.extractfile(member).read())
    return folder


def random_sequences(
    seed: int,
    num_frames: int = 6,
    num_people: int = 3,
    noise: float = 6.0,
    drop: float = 0.2,
    num_phantoms: int = 1,
    name: str = "000001_mpii_test",
    spacing: float = 0.0,
) -> tuple[PoseSequence, PoseSequence]:
    """Ground truth and predictions of one video: people who move, joints that are missing, tracks that change.

    Coordinates and scores are continuous, so there are no ties. A `spacing` (pixels) of 1000 keeps people and phantoms
    so far from each other that no joint has a rival.
    """
    rng = np.random.default_rng(seed)
    num_joints = POSETRACK15.num_joints
    centers = rng.uniform(60, 400, (num_people, 1, 2)) + rng.normal(0, 20, (num_people, num_joints, 2))
    centers += spacing * np.arange(num_people)[:, None, None]
    ids = rng.choice(50, num_people, replace=False)
    predicted_ids = list(rng.choice(500, num_people, replace=False))
    true_frames, predicted_frames = [], []
    for index in range(num_frames):
        centers = centers + rng.normal(0, 3, (num_people, 1, 2))
        is_there = rng.random(num_people) >= drop / 2
        visibility = 2 * (rng.random((num_people, num_joints)) >= drop)[is_there]
        corners = centers[is_there].mean(axis=1)
        true_frames.append(
            build_frame(
                f"images/val/{name}/{index:06d}.jpg",
                index,
                centers[is_there],
                visibility,
                ids[is_there],
                image_id=10**10 + index,
                is_labeled=bool(is_there.any()),
                head_boxes=np.concatenate([corners, corners + rng.uniform(20, 40, corners.shape)], axis=1),
            )
        )
        for person in range(num_people):
            if rng.random() < drop / 2:
                predicted_ids[person] = 1000 + 100 * person + index
        is_found = rng.random(num_people) >= drop
        found = centers[is_found] + rng.normal(0, noise, (is_found.sum(), num_joints, 2))
        phantoms = rng.uniform(60, 400, (num_phantoms, 1, 2)) + rng.normal(0, 20, (num_phantoms, num_joints, 2))
        keypoints = np.concatenate([found, phantoms])
        phantoms += spacing * (num_people + np.arange(num_phantoms))[:, None, None]
        phantom_ids = 5000 + 100 * index + np.arange(num_phantoms)
        predicted_frames.append(
            build_frame(
                f"images/val/{name}/{index:06d}.jpg",
                index,
                keypoints,
                2 * (rng.random(keypoints.shape[:2]) >= drop / 2),
                np.concatenate([np.array(predicted_ids)[is_found], phantom_ids]),
                image_id=10**10 + index,
                joint_scores=rng.uniform(0.01, 1, keypoints.shape[:2]),
            )
        )
    path = pathlib.Path(f"{name}.json")
    return (
        PoseSequence(name, POSETRACK15, tuple(true_frames), path),
        PoseSequence(name, POSETRACK15, tuple(predicted_frames), path),
    )


def mutate(value: object, rng: np.random.Generator) -> object:
    """A copy of parsed JSON in which one random spot is something else."""
    others = (None, -1, 10**40, 1e308, float("nan"), "12", "\ud800", [], {}, [[1]], True, -0.5, 10**9, 1 << 61)
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = list(value)[rng.integers(len(value))]
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return value | {key: mutate(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        index = int(rng.integers(len(value)))
        what = rng.random()
        if what < 0.1:
            return value[:index] + value[index + 1 :]
        if what < 0.2:
            return value[:index] + [value[index]] + value[index:]
        return value[:index] + [mutate(value[index], rng)] + value[index + 1 :]
    return others[rng.integers(len(others))]
