"""Writes quantized LiteRT files of keypoint networks, and how much accuracy they lose."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfpose.data.person_crops import crop_matrices
from tfpose.data.records import RecordTable, read_table
from tfpose.data.served_crops import crop_batches
from tfpose.evaluation.person_scores import score_network
from tfpose.exporting.quantization import QuantizedNetwork, quantize_convolutions, quantize_weights
from tfpose.heatmaps import decode_heatmaps
from tfpose.inference.keypoint_system import KeypointSystem
from tfpose.inference.litert_network import LitertNetwork, open_interpreter
from tfpose.inference.person_keypoints import PersonBoxes, ground_truth_boxes
from tfpose.json_files import write_json
from tfpose.messages import print_notes

WEIGHTS, INT8 = "weights", "int8"
MODES = {WEIGHTS: "keypoints_weights_int8", INT8: "keypoints_int8"}
_FLOAT_FILE = "keypoints.tflite"
# More people hardly change the ranges of activations; the converter takes about a second for each.
_NUM_CALIBRATION_PEOPLE = 48
# Mean distance of joints from those of the float network, in heatmap cells, with which the search for layers ends.
_MOST_DISTANCE_CELLS = 0.3
_BATCH_SIZE = 16
_NUM_TIMED_RUNS = 20


@dataclasses.dataclass(frozen=True)
class QuantizationRequest:
    """The quantized files to write.

    Attributes:
        modes: Some of `MODES`.
        dataset: Folder of a dataset; empty for none. Required for 'int8'.
        calibration_split: Split of the dataset with the people of the calibration.
        score_split: Split of the dataset on which average precision is measured; empty for none.
    """

    modes: tuple[str, ...]
    dataset: str = ""
    calibration_split: str = "train"
    score_split: str = ""

    def __post_init__(self) -> None:
        unknown = [mode for mode in self.modes if mode not in MODES]
        if unknown:
            raise ValueError(f"--quantize must be some of {', '.join(MODES)}, got {unknown[0]!r}")
        if INT8 in self.modes and not self.dataset:
            raise ValueError(f"--quantize={INT8} requires --calibration, got none")
        if self.score_split and not self.dataset:
            raise ValueError("--quantize_score_split requires --calibration, got none")


def write_quantized(
    request: QuantizationRequest, system: KeypointSystem, network: keras.Model, directory: pathlib.Path
) -> list[str]:
    """Writes quantized LiteRT files, and beside each a JSON file with its size, speed and loss of accuracy.

    Args:
        request: Which files.
        system: System of the network, for crops and decoding.
        network: Simplified keypoint network with the output `heatmaps`.
        directory: Folder of the files, which holds the LiteRT file of the network in float32.

    Returns:
        Descriptions of the files.

    Raises:
        FileNotFoundError, ValueError: The dataset is missing or damaged, or has no people.
    """
    images = _read_images(_read_people(request), system) if request.dataset else None
    float_content = (directory / _FLOAT_FILE).read_bytes()
    measure = _Measure(system, network, images, request)
    descriptions = []
    for mode in request.modes:
        if mode == INT8 and images is not None:
            quantized = quantize_convolutions(network, float_content, images, measure.distance, _MOST_DISTANCE_CELLS)
        else:
            quantized = quantize_weights(network)
        path = directory / f"{MODES[mode]}.tflite"
        path.write_bytes(quantized.content)
        measured = measure.describe(quantized, float_content, path)
        write_json(path.with_suffix(".json"), measured, indent=2)
        print_notes(_distance_note(path, measured))
        descriptions.append(f"{path.parent.name}/{path.name} ({_in_words(measured)})")
    return descriptions


def check_dataset(request: QuantizationRequest) -> None:
    """Checks that the splits of a request can be read, before a network is exported.

    Raises:
        FileNotFoundError, ValueError: See `write_quantized`.
    """
    if request.dataset:
        _read_people(request)
    if request.score_split:
        read_table(request.dataset, request.score_split)


def _read_people(request: QuantizationRequest) -> tuple[RecordTable, PersonBoxes]:
    """Returns the split of the calibration, and boxes of people that are evenly spread over it."""
    table = read_table(request.dataset, request.calibration_split)
    people = ground_truth_boxes(table)
    if not len(people):
        raise ValueError(f"{request.dataset}: split {request.calibration_split} must have people with joints, got none")
    count = min(_NUM_CALIBRATION_PEOPLE, len(people))
    return table, people.select(np.unique(np.linspace(0, len(people) - 1, count).astype(int)))


def _read_images(found: tuple[RecordTable, PersonBoxes], system: KeypointSystem) -> np.ndarray:
    """Returns normalized crops [N, H, W, 3] of the people of a table."""
    table, people = found
    crop = system.crop
    matrices = crop_matrices(crop, crop.clip_annotated(people.boxes, table.sizes(people.images)))
    batches = crop_batches(table, people.images, matrices, crop.crop_size, _BATCH_SIZE, crop.reduces_images)
    return np.concatenate([np.asarray(system.normalization(batch), np.float32) for batch in batches])


class _Measure:
    """Compares quantized networks with the original."""

    def __init__(
        self, system: KeypointSystem, network: keras.Model, images: np.ndarray | None, request: QuantizationRequest
    ) -> None:
        self._system, self._images = system, images
        self._table = read_table(request.dataset, request.score_split) if request.score_split else None
        self._score_split = request.score_split
        self._joints = None if images is None else self._find_joints(lambda part: network(part)["heatmaps"], images)
        self._float_score = self._score(lambda part: network(part)["heatmaps"])

    def distance(self, content: bytes) -> float:
        """Returns the mean distance of joints from those of the original, in heatmap cells, weighted by their scores.

        It is NaN without pictures of a calibration.
        """
        if self._images is None or self._joints is None:
            return float("nan")
        expected, scores = self._joints
        found, _ = self._find_joints(LitertNetwork(content), self._images)
        return float(np.average(np.linalg.norm(found - expected, axis=-1), weights=np.maximum(scores, 1e-6)))

    def describe(self, quantized: QuantizedNetwork, float_content: bytes, path: pathlib.Path) -> dict[str, Any]:
        """Returns all measured values of a quantized file by name."""
        times = _time_in_turn({"float": float_content, "file": quantized.content}, self._system)
        values: dict[str, Any] = {
            "megabytes": {"float": len(float_content) / 1e6, "file": len(quantized.content) / 1e6},
            "milliseconds_of_one_core_per_person": times,
        }
        if self._images is not None:
            values["distance_heatmap_cells"] = self.distance(quantized.content)
            values["calibration_people"] = len(self._images)
        if quantized.num_convolutions:
            values["convolutions"] = quantized.num_convolutions
            values["float_convolutions"] = list(quantized.float_layers)
        if self._float_score is not None:
            score = self._score(LitertNetwork(path))
            values["coco_ap"] = {"split": self._score_split, "float": self._float_score, "file": score}
        return values

    def _find_joints(self, network: Callable[[Any], Any], images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns joints [N, J, 2] in heatmap cells and scores [N, J]."""
        settings, found = self._system.keypoints, []
        for start in range(0, len(images), _BATCH_SIZE):
            heatmaps = network(tf.constant(images[start : start + _BATCH_SIZE]))
            found.append(decode_heatmaps(heatmaps, settings.decoding, settings.blur_kernel))
        joints, scores = (
            np.concatenate([np.asarray(value) for value in values]) for values in zip(*found, strict=True)
        )
        return joints, scores

    def _score(self, network: Callable[[Any], Any]) -> float | None:
        """Returns COCO's AP in percent with annotated boxes; None without a split."""
        if self._table is None:
            return None
        return score_network(self._table, network, self._system)


def _time_in_turn(contents: Mapping[str, bytes], system: KeypointSystem) -> dict[str, float]:
    """Returns the smallest processor times of a run, in milliseconds. All files run in turn, each in one thread."""
    image = np.random.default_rng(0).standard_normal((1, *system.crop.crop_size, 3)).astype(np.float32)
    interpreters = {name: open_interpreter(content) for name, content in contents.items()}
    best = dict.fromkeys(contents, float("inf"))
    for _ in range(_NUM_TIMED_RUNS):
        for name, interpreter in interpreters.items():
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
            start = time.process_time()
            interpreter.invoke()
            best[name] = min(best[name], 1e3 * (time.process_time() - start))
    return best


def _distance_note(path: pathlib.Path, measured: Mapping[str, Any]) -> list[str]:
    """Returns a line if the joints of a quantized file are too far from those of the original."""
    distance = measured.get("distance_heatmap_cells", 0.0)
    if distance <= _MOST_DISTANCE_CELLS:
        return []
    return [
        f"{path.name}: joints must be at most {_MOST_DISTANCE_CELLS:g} heatmap cells from those of the float network, "
        f"got {distance:.2f} on average; the file is written, but loses accuracy, which --quantize_score_split measures"
    ]


def _in_words(measured: Mapping[str, Any]) -> str:
    """Returns the measured values in a sentence."""
    megabytes, times = measured["megabytes"], measured["milliseconds_of_one_core_per_person"]
    words = [
        f"{megabytes['file']:.2f} MB, float {megabytes['float']:.2f} MB",
        f"{times['file']:.1f} ms of one core per person, float {times['float']:.1f} ms",
    ]
    if "float_convolutions" in measured:
        words.append(f"{len(measured['float_convolutions'])} of {measured['convolutions']} convolutions in float")
    if "distance_heatmap_cells" in measured:
        words.append(f"joints {measured['distance_heatmap_cells']:.2f} heatmap cells from those of float")
    if "coco_ap" in measured:
        score = measured["coco_ap"]
        loss = score["float"] - score["file"]
        words.append(f"AP {score['file']:.1f} on split {score['split']}, float {score['float']:.1f}, loss {loss:.1f}")
    return "; ".join(words)
