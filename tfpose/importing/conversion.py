"""A checkpoint file of another framework becomes weights, a config and a work folder of ours."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil

import keras

from tfpose.checkpoints import BEST_WEIGHTS_NAME, FINAL_WEIGHTS_NAME, list_checkpoints, write_weights
from tfpose.importing.config_file import check_replaceable, format_config
from tfpose.importing.import_settings import ImportSettings
from tfpose.importing.pose_resnet_system import ImportedSystem, infer_system
from tfpose.inference.keypoint_rcnn_system import write_keypoint_rcnn_settings
from tfpose.inference.keypoint_system import write_keypoint_system
from tfpose.json_files import write_text
from tfpose.pretrained.checkpoint_files import CheckpointFile, read_arrays, read_checkpoint_file
from tfpose.pretrained.download import sha256_of_file
from tfpose.pretrained.keypoint_rcnn import read_keypoint_rcnn
from tfpose.pretrained.pose_resnet import load_torch_arrays
from tfpose.pretrained.public_checkpoints import expected_scores
from tfpose.pretrained.recognition import DESCRIPTIONS, Recognized, recognize

WEIGHTS_SUFFIX = ".weights.h5"


@dataclasses.dataclass(frozen=True)
class _Targets:
    """What is written for --output=NAME.weights.h5."""

    weights: pathlib.Path
    config: pathlib.Path
    workdir: pathlib.Path


def convert_checkpoint(path: pathlib.Path, output: pathlib.Path, settings: ImportSettings) -> None:
    """Converts a file and prints what it was and what was written.

    Args:
        path: a checkpoint of PyTorch or Detectron.
        output: NAME.weights.h5; the work folder NAME and, for keypoint networks, NAME.py come beside it.
        settings: what the user says about the file.

    Raises:
        FileNotFoundError, FileExistsError, OSError: `path` is missing, or `output` cannot be written.
        ValueError: the file is damaged or of an unknown kind, or a tensor is missing, superfluous or misshapen.
    """
    name = output.name.removesuffix(WEIGHTS_SUFFIX)
    targets = _Targets(output, output.with_name(f"{name}.py"), output.with_name(name))
    _check_workdir(targets.workdir)
    file = read_checkpoint_file(path)
    recognized = recognize(file)
    print(f"{path}: {DESCRIPTIONS[recognized.family]} ({file.container}, {len(recognized.tensors)} tensors)")
    convert = _convert_pose_resnet if recognized.family in ("microsoft", "mmpose") else _convert_keypoint_rcnn
    convert(file, recognized, targets, settings)


def _convert_pose_resnet(
    file: CheckpointFile, recognized: Recognized, targets: _Targets, settings: ImportSettings
) -> None:
    check_replaceable(targets.config)
    imported = infer_system(file.path, recognized, settings)
    summary = _describe(file, imported)
    print(summary)
    network = imported.system.build_network()
    arrays = read_arrays(file.path, recognized.tensors)
    try:
        load_torch_arrays(network, arrays)
    except ValueError as error:
        raise ValueError(f"{file.path}: {error}") from error
    _write_network(network, targets)
    write_keypoint_system(targets.workdir, imported.system)
    title = f"{DESCRIPTIONS[recognized.family]}, imported."
    provenance = f"From {file.path.name}, SHA-256 {sha256_of_file(file.path)}.\n{summary}"
    write_text(targets.config, format_config(imported.system, title, provenance, targets.config, targets.workdir))
    print(f"written: {targets.weights}, {targets.config}, {targets.workdir}{os.sep}")
    print(f"evaluate: python eval_main.py --config={targets.config} --workdir={targets.workdir} --output_dir=results")


def _convert_keypoint_rcnn(
    file: CheckpointFile, recognized: Recognized, targets: _Targets, settings: ImportSettings
) -> None:
    if settings != ImportSettings():
        raise ValueError("--input_size, --stride_in, --skeleton and --decoding have no meaning for Keypoint R-CNN")
    network, variant = read_keypoint_rcnn(file.path, recognized)
    print(
        f"network: {variant.name}, {network.settings.num_joints} joints\n"
        f"input: BGR, mean {variant.pixel_mean}, std {variant.pixel_std}\n"
        f"stride in: the {variant.stride_in} convolutions of bottlenecks"
    )
    if variant.is_legacy:
        print("conventions: those of Detectron (boxes of whole pixels, rounded anchors, features half a cell off)")
    _write_network(network, targets)
    write_keypoint_rcnn_settings(targets.workdir, network.settings)
    print(f"written: {targets.weights}, {targets.workdir}{os.sep}")


def _describe(file: CheckpointFile, imported: ImportedSystem) -> str:
    """What was recognised, a line for each thing, with where it is known from."""
    system = imported.system
    height, width = system.crop.crop_size
    values = {
        "input size": f"{height}x{width}",
        "stride in": f"the {system.network['stride_in']} convolutions of bottlenecks",
        "joints": f"{system.skeleton.num_joints} ({system.skeleton.name})",
        "decoding": system.keypoints.decoding,
    }
    lines = [
        f"network: ResNet-{system.network['depth']}, {system.skeleton.num_joints} heatmaps",
        f"input: {system.normalization.channel_order.upper()}, mean {system.normalization.mean}, "
        f"std {system.normalization.std}, boxes times {system.crop.margin_scale}",
        *(f"{name}: {value} ({imported.findings[name].source})" for name, value in values.items()),
    ]
    expected = expected_scores(file.path)
    return "\n".join(lines + ([f"published: {expected}"] if expected else []))


def _check_workdir(workdir: pathlib.Path) -> None:
    if workdir.exists() and not workdir.is_dir():
        raise FileExistsError(f"{workdir}: exists and is no folder; choose another --output")
    if list_checkpoints(workdir):
        raise FileExistsError(f"{workdir}: is the work folder of a training; choose another --output")


def _write_network(network: keras.Model, targets: _Targets) -> None:
    """The weights, and the same under the names that a work folder has for them."""
    write_weights(network, targets.weights)
    targets.workdir.mkdir(parents=True, exist_ok=True)
    for name in (BEST_WEIGHTS_NAME, FINAL_WEIGHTS_NAME):
        _link(targets.weights, targets.workdir / name)


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
    """The same file under another name, where the disk can do that; else a copy."""
    temporary = target.with_name(f".incomplete_{target.name}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    # Two names of one file are not replaced by each other.
    temporary.unlink(missing_ok=True)
