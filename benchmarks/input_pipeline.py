"""Compares the input pipeline to a usual loader and to bare JPEG decoding, in samples per second and core.

    python benchmarks/input_pipeline.py --data=data/coco_mini/coco_keypoints --images=COCO_MINI_DIR/images/train

Four programs run in turn in one process with one thread, for several rounds. Their medians are compared:
- tfpose: `PersonCrops.batch` with the paper's augmentation, and the target heatmaps of the batch;
- tfpose without checksums: the same, but records are not checked for damage;
- usual loader: one person at a time as in PyTorch projects for this task, with cv2.imread, cv2.warpAffine, a
  normalized and transposed float image, and a Python loop that draws the Gaussian of each joint;
- bare JPEG decoding: cv2.imdecode of the whole image of each person.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import statistics
import time
from collections.abc import Callable, Sequence
from unittest import mock

import cv2
import numpy as np
import tensorflow as tf
from absl import app, flags
from results_file import RECORD_HELP, ratios, record

import tfpose.data.record_files
from tfpose.crops import IMAGENET_MEAN, IMAGENET_STD, CropSettings
from tfpose.data.augmentation import Augmentation, draw_augmentation
from tfpose.data.person_crops import PersonCrops
from tfpose.data.records import read_table
from tfpose.training.two_stage import TargetSettings, build_target_function

CROP_SIZE, HEATMAP_SIZE, SIGMA_CELLS = (384, 288), (96, 72), 3.0
BATCH_SIZE = 32
AUGMENTATION = Augmentation(0.5, 40.0, 0.6, (0.7, 1.3))

_DATA = flags.DEFINE_string("data", None, "Folder of a dataset that tfpose build wrote.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "Folder of the image files of the same dataset.", required=True)
_SPLIT = flags.DEFINE_string("split", "train", "Split of the data.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Number of rounds.", lower_bound=1)
_RECORD = flags.DEFINE_bool("record", False, RECORD_HELP)


def build_ours(people: PersonCrops) -> Callable[[int], None]:
    """A batch with its targets."""
    build_targets = tf.function(build_target_function(people.crop, HEATMAP_SIZE, TargetSettings(SIGMA_CELLS)))

    def load(step: int) -> None:
        batch = people.batch(step, BATCH_SIZE, slice(0, BATCH_SIZE))
        build_targets({name: tf.constant(batch[name]) for name in ("keypoints", "weights")})

    return load


def without_checksums(load: Callable[[int], None]) -> Callable[[int], None]:
    """The same program, which takes every record for whole."""

    def load_unchecked(step: int) -> None:
        with mock.patch.object(tfpose.data.record_files, "_is_sum", lambda data, masked: True):
            load(step)

    return load_unchecked


def build_usual(people: PersonCrops, files: Sequence[str]) -> Callable[[int], None]:
    """A batch of the usual loader, person by person."""
    mean, std = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)

    def load(step: int) -> None:
        rng = np.random.default_rng(step)
        drawn = draw_augmentation(AUGMENTATION, BATCH_SIZE, rng)
        batch = []
        for sample in range(BATCH_SIZE):
            person = int(rng.integers(len(people)))
            image = cv2.imread(files[person], cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            matrix = usual_matrix(people.boxes[person], drawn["scales"][sample], drawn["rotations_degrees"][sample])
            crop = cv2.warpAffine(image, matrix, CROP_SIZE[::-1], flags=cv2.INTER_LINEAR)
            picture = ((crop.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)
            points = [matrix @ [x, y, 1.0] for x, y in people.keypoints[person]]
            batch.append((np.ascontiguousarray(picture), draw_targets(points, people.is_labeled[person])))
        np.stack([picture for picture, _ in batch])
        np.stack([targets for _, targets in batch])

    return load


def usual_matrix(box: np.ndarray, scale: float, degrees: float) -> np.ndarray:
    """The affine map through three points: center, above it, beside it."""
    height, width = CROP_SIZE
    center = (box[:2] + box[2:]) / 2
    side = max(box[2] - box[0], (box[3] - box[1]) * width / height) * 1.25 * scale
    angle = np.radians(degrees)
    up = np.array([np.sin(angle), -np.cos(angle)]) * side / 2
    across = np.array([-up[1], up[0]])
    source = np.array([center, center + up, center + across], np.float32)
    middle = np.array([width / 2, height / 2])
    target = np.array([middle, middle - [0, width / 2], np.array([width / 2, 0]) + middle], np.float32)
    return cv2.getAffineTransform(source, target)


def draw_targets(points: Sequence[np.ndarray], is_labeled: np.ndarray) -> np.ndarray:
    """[J, h, w]: a Gaussian patch of three sigmas around each joint's cell."""
    height, width = HEATMAP_SIZE
    reach = int(3 * SIGMA_CELLS)
    targets = np.zeros((len(points), height, width), np.float32)
    grid = np.arange(-reach, reach + 1, dtype=np.float32)
    for joint, point in enumerate(points):
        x, y = (int(value / 4 + 0.5) for value in point)
        low_x, low_y, high_x, high_y = x - reach, y - reach, x + reach + 1, y + reach + 1
        if not is_labeled[joint] or low_x >= width or low_y >= height or high_x < 0 or high_y < 0:
            continue
        patch = np.exp(-(grid[None] ** 2 + grid[:, None] ** 2) / (2 * SIGMA_CELLS**2))
        rows, columns = slice(max(low_y, 0), min(high_y, height)), slice(max(low_x, 0), min(high_x, width))
        targets[joint, rows, columns] = patch[
            rows.start - low_y : rows.stop - low_y, columns.start - low_x : columns.stop - low_x
        ]
    return targets


def build_decoding(people: PersonCrops, files: Sequence[str]) -> Callable[[int], None]:
    """The decoding of as many images from memory."""
    data = [np.frombuffer(pathlib.Path(file).read_bytes(), np.uint8) for file in files]

    def load(step: int) -> None:
        for person in np.random.default_rng(step).integers(len(people), size=BATCH_SIZE):
            cv2.imdecode(data[person], cv2.IMREAD_COLOR)

    return load


def main(argv: Sequence[str]) -> None:
    """Runs the programs in turn and prints medians and ratios."""
    del argv
    cv2.setNumThreads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    table = read_table(_DATA.value, _SPLIT.value)
    people = PersonCrops(table, table.skeleton, CropSettings(CROP_SIZE, margin_scale=1.25), AUGMENTATION)
    files = [str(pathlib.Path(_IMAGES.value) / table.images["file_name"][image]) for image in people.images]
    ours = build_ours(people)
    programs = {
        "tfpose": ours,
        "without checksums": without_checksums(ours),
        "usual loader": build_usual(people, files),
        "bare JPEG decoding": build_decoding(people, files),
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for step in range(_ROUNDS.value + 1):
        # In both orders, because what ran before decides what is in the processor's caches.
        for name, load in list(programs.items())[:: -1 if step % 2 else 1]:
            # Processor time of all threads: what one core could do, also while others use the machine.
            start = time.process_time()
            for part in range(4):
                load(4 * step + part)
            if step:  # the first round warms up
                seconds[name].append((time.process_time() - start) / (4 * BATCH_SIZE))
    report(seconds)


def report(seconds: dict[str, list[float]]) -> None:
    """Prints the medians of seconds per sample, and records the rounds if --record is given."""
    ours, loader, decoding = seconds["tfpose"], seconds["usual loader"], seconds["bare JPEG decoding"]
    to_unchecked = ratios(ours, seconds["without checksums"])
    to_loader, to_decoding = ratios(loader, ours), [100 * ratio for ratio in ratios(decoding, ours)]
    for name, values in seconds.items():
        value = statistics.median(values)
        print(f"{name:20} {1000 * value:6.2f} ms per sample  {1 / value:6.0f} samples/s per core")
    print(f"tfpose against itself without checksums: {statistics.median(to_unchecked):.3f}x the time")
    print(f"tfpose against the usual loader:   {statistics.median(to_loader):.2f}x")
    print(f"tfpose against bare JPEG decoding: {statistics.median(to_decoding):.0f} %")
    if _RECORD.value:
        rates = {"tfpose": ours, "usual_loader": loader, "jpeg_decoding": decoding}
        measured = {f"input_pipeline.{name}": ([1 / s for s in of], "samples/s") for name, of in rates.items()}
        measured["input_pipeline.to_unchecked"] = (to_unchecked, "times")
        measured["input_pipeline.to_usual_loader"] = (to_loader, "times")
        measured["input_pipeline.to_jpeg_decoding"] = (to_decoding, "%")
        record(measured)


if __name__ == "__main__":
    app.run(main)
