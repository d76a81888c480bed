"""Detectors of people, by name.

Every detector has the interface of `detector.Detector`: pictures in, boxes and scores out. A new detector is

- a file of its own in this package with a class that has this interface and a function that loads it, and
- an entry of `DETECTORS`: an `ExportableKind` if the class also has the interface of `detector.ExportableDetector`.

`--detector=NAME` then accepts it in evaluation; prediction and export, which need the detector in a graph, accept the
exportable ones. A kind must recognize its names without loading anything: a work folder by its description file, a
public model by a prefix. `boxes_file.BoxesFile` has the interface too, but no entry: it is what `--boxes=FILE` says.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable

from tfpose.inference.detectors.detector import Detector, ExportableDetector
from tfpose.inference.detectors.keras_hub import PRESET_PREFIX, load_keras_hub_detector
from tfpose.inference.detectors.keypoint_rcnn import load_keypoint_rcnn_detector
from tfpose.inference.detectors.picodet import load_litert_picodet, load_picodet_detector
from tfpose.inference.detectors.whole_image import WHOLE_IMAGE, WholeImageDetector
from tfpose.inference.keypoint_rcnn_system import KEYPOINT_RCNN_FILE
from tfpose.inference.picodet_system import PICODET_FILE
from tfpose.pretrained.public_checkpoints import DEFAULT_DETECTOR, suggest_names

# From the name, the weights of a work folder ('best' or 'last'), the score threshold and the IoU threshold.
Load = Callable[[str, str, float | None, float | None], Detector]
LoadExportable = Callable[[str, str, float | None, float | None], ExportableDetector]
# From the name, the LiteRT file of the network, the score threshold and the IoU threshold.
LoadLitert = Callable[[str, pathlib.Path, float | None, float | None], ExportableDetector]


@dataclasses.dataclass(frozen=True)
class DetectorKind:
    """A kind of detector.

    Attributes:
        form: Form of its names, for messages.
        recognizes: Function that says whether a name is one of this kind.
        load: Function that loads the detector of a name, see `load_detector`.
        load_bfloat16: Function that loads the detector with its network in bfloat16; None where it is always float32.
    """

    form: str
    recognizes: Callable[[str], bool]
    load: Load
    load_bfloat16: Load | None = None


@dataclasses.dataclass(frozen=True)
class ExportableKind(DetectorKind):
    """A kind of detector that can be part of a SavedModel; `DetectorKind` explains the other attributes.

    Attributes:
        load_litert: Function that loads the detector with its only bare network in a LiteRT file; None where there is
            no such file.
    """

    load: LoadExportable
    load_bfloat16: LoadExportable | None = None
    load_litert: LoadLitert | None = None


def _has_file(name: str) -> Callable[[str], bool]:
    return lambda workdir: (pathlib.Path(workdir) / name).is_file()


DETECTORS: dict[str, DetectorKind] = {
    "keypoint_rcnn": ExportableKind(
        f"the work folder of a Keypoint R-CNN ({KEYPOINT_RCNN_FILE})",
        _has_file(KEYPOINT_RCNN_FILE),
        load_keypoint_rcnn_detector,
        load_bfloat16=functools.partial(load_keypoint_rcnn_detector, dtype="bfloat16"),
    ),
    "picodet": ExportableKind(
        f"the work folder of a PicoDet ({PICODET_FILE})",
        _has_file(PICODET_FILE),
        load_picodet_detector,
        load_litert=load_litert_picodet,
    ),
    "whole_image": ExportableKind(
        WHOLE_IMAGE, lambda name: name == WHOLE_IMAGE, lambda name, weights, *thresholds: WholeImageDetector()
    ),
    "keras_hub": DetectorKind(
        f"{PRESET_PREFIX}PRESET",
        lambda name: name.startswith(PRESET_PREFIX),
        lambda name, weights, *thresholds: load_keras_hub_detector(name.removeprefix(PRESET_PREFIX), *thresholds),
    ),
}


def load_detector(
    name: str,
    weights: str = "best",
    score_threshold: float | None = None,
    iou_threshold: float | None = None,
    dtype: str = "float32",
) -> Detector:
    """Loads any detector.

    Args:
        name: Work folder of a detector, 'whole_image', or 'keras_hub:' and the name or folder of a preset.
        weights: 'best' or 'last', the weights of a work folder.
        score_threshold: Boxes with a lower score are left out; None stands for the detector's own threshold.
        iou_threshold: A box is left out if its overlap with a better box is larger; None stands for the detector's own
            threshold.
        dtype: "bfloat16" for a network in bfloat16, where its kind has one; "float32".

    Raises:
        FileNotFoundError, ValueError: The detector is missing, damaged or needs a package that is not installed.
    """
    kind = _find_kind(name)
    load = kind.load_bfloat16 if dtype == "bfloat16" and kind.load_bfloat16 else kind.load
    return load(name, weights, score_threshold, iou_threshold)


def load_exportable_detector(
    name: str,
    weights: str = "best",
    score_threshold: float | None = None,
    iou_threshold: float | None = None,
    dtype: str = "float32",
) -> ExportableDetector:
    """Loads a detector that can be part of a SavedModel; the arguments are those of `load_detector`.

    Raises:
        FileNotFoundError, ValueError: The detector is missing, damaged or cannot be part of a SavedModel.
    """
    kind = _find_kind(name)
    if not isinstance(kind, ExportableKind):
        exportable = (kind for kind in DETECTORS.values() if isinstance(kind, ExportableKind))
        raise ValueError(
            f"--detector must be {_list_forms(exportable)}, got {name!r}; other detectors cannot run inside a "
            "TensorFlow graph, which prediction and export need"
        )
    load = kind.load_bfloat16 if dtype == "bfloat16" and kind.load_bfloat16 else kind.load
    return load(name, weights, score_threshold, iou_threshold)


def find_litert_loader(name: str) -> LoadLitert | None:
    """Returns the function that loads a detector with its network in a LiteRT file; None if its kind has none."""
    kind = _find_kind(name)
    return kind.load_litert if isinstance(kind, ExportableKind) else None


def _find_kind(name: str) -> DetectorKind:
    for kind in DETECTORS.values():
        if kind.recognizes(name):
            return kind
    forms = f"{_list_forms(DETECTORS.values())}, or the name of a public detector such as {DEFAULT_DETECTOR}"
    raise FileNotFoundError(f"--detector must be {forms}, got {name!r}{suggest_names(name)}")


def _list_forms(kinds: Iterable[DetectorKind]) -> str:
    return " or ".join(kind.form for kind in kinds)
