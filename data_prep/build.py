"""Converts a dataset to TFRecord files.

    tfpose build DATASET --source=DIR --output=DIR
    tfpose build synthetic --output=DIR
    tfpose build DATASET --help

DATASET is one of
  coco_keypoints  COCO person keypoints, or your own data in COCO's layout: people or other objects with any joints, or
                  with bounding boxes alone, from which only a person detector can learn
  posetrack17     PoseTrack 2017
  posetrack18     PoseTrack 2018
  posetrack21     PoseTrack21
  slp             labels of SLEAP: a file or a folder of .slp files, with their videos, images or embedded images
  deeplabcut      labels of DeepLabCut: a project folder with config.yaml and labeled-data
  pseudo          images and videos of any kind, labeled by a trained model (--model)
  synthetic       videos that tfpose draws; requires no --source

tfpose writes the files to OUTPUT/DATASET/VERSION in the layout of tensorflow-datasets, where VERSION is the version of
the dataset builder. An interrupted run leaves no incomplete dataset. Run the same command again to build the dataset.

The file data_prep/DATASET/README.md of the source code describes the files that the --source folder must contain. The
docstring of the module data_prep.datasets describes how to add a dataset.
"""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Mapping, Sequence

from data_prep.annotations import count_split
from data_prep.datasets import DATASETS, Dataset
from data_prep.source import Source, print_note
from tfpose.file_names import check_output
from tfpose.flags.combinations import forbid_flags, require_companion
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.startup_messages import start_tensorflow
from tfpose.interruption import signals_interrupt
from tfpose.skeletons import unpaired_sided_joints

__all__ = ["DATASETS", "PROGRAM", "Dataset", "count_table", "define_flags", "main", "run"]


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program and those of all datasets."""
    values.define_string(
        "source",
        None,
        "Folder of the published dataset, or of your own data in the same layout. For slp, a file or a folder of .slp "
        "files. For pseudo, a folder of images and videos, or one file. Required for all datasets except synthetic.",
    )
    values.define_string(
        "output",
        None,
        "Folder for the converted datasets. tfpose writes the files to OUTPUT/DATASET/VERSION, where VERSION is the "
        "version of the dataset builder. Required.",
    )
    values.define_bool(
        "overwrite",
        False,
        "Replace a dataset that is already in OUTPUT/DATASET/VERSION. By default tfpose keeps the dataset if it was "
        "built from the same files and flags, and ends with an error otherwise.",
    )
    values.define_bool(
        "beam", False, "Write the files in parallel with Apache Beam. Requires pip install 'tfpose[beam]'."
    )
    values.define_list(
        "beam_options",
        [
            *("runner=DirectRunner", "direct_running_mode=multi_processing", "direct_num_workers=0"),
            "default_sdk_harness_log_level=WARNING",
        ],
        "Options of the Apache Beam pipeline in the form NAME=VALUE, separated by commas. direct_num_workers=0 starts "
        "one worker per processor core. Only with --beam.",
    )
    for dataset in DATASETS.values():
        if dataset.define_flags is not None:
            dataset.define_flags(values)


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Reads, checks, writes and counts the dataset."""
    name = _dataset_argument(inputs)
    forbid_flags(values, _flags_of_others(name), name)
    with signals_interrupt():
        _build(name, values)


def _dataset_argument(inputs: Sequence[str]) -> str:
    if len(inputs) != 1 or inputs[0] not in DATASETS:
        raise ValueError(
            f"DATASET must be one of {', '.join(DATASETS)}, got {' '.join(inputs) or 'nothing'}; see --help"
        )
    return inputs[0]


def _flags_of_others(name: str) -> list[str]:
    """Returns the names of the flags that only other datasets take."""
    defined = {}
    for dataset, description in DATASETS.items():
        flags = ProgramFlags()
        if description.define_flags is not None:
            description.define_flags(flags)
        defined[dataset] = list(flags)
    own = {*defined[name], *DATASETS[name].shared_flags}
    return [flag for flags in defined.values() for flag in flags if flag not in own]


def _build(name: str, values: ProgramFlags) -> None:
    from data_prep.writing import check_beam, write_dataset

    output = _required(values, "output", "a folder to write to")
    require_companion(values, ["beam_options"], "beam")
    beam_options = values.beam_options if values.beam else None
    # Not after hours of drawing or labeling.
    check_output("output", output)
    if beam_options is not None:
        check_beam(beam_options)
    dataset = DATASETS[name]
    if not dataset.needs_source and values.source is not None:
        raise ValueError(f"--source must be left out for {name}, whose files tfpose makes, got {values.source}")
    folder = _source_folder(values, dataset.takes_file) if dataset.needs_source else output / name
    _check_apart("source", folder, output / name)
    if values["videos"].present:
        _check_apart("videos", pathlib.Path(values.videos), output / name)
    source = dataset.read_source(folder, values)
    if source is None:
        return
    _print_source(source)
    if values.beam:
        start_tensorflow(use_devices=False)
    directory = write_dataset(dataset.load_builder(), source, output, values.overwrite, beam_options)
    print(count_table({split: count_split(annotations) for split, annotations in source.splits.items()}))
    # At the end, where they are read.
    for note in source.notes:
        print_note(note)
    for name_of_split, split in source.splits.items():
        for note in split.notes:
            print_note(f"{name_of_split}: {note}")
    print(directory)


def _source_folder(values: ProgramFlags, takes_file: bool) -> pathlib.Path:
    folder = _required(values, "source", "the folder of the published dataset")
    if not folder.is_dir() and not (takes_file and folder.is_file()):
        kind = "file or folder" if takes_file else "folder"
        raise FileNotFoundError(f"--source must be a {kind}, got no such {kind}: {folder}")
    return folder


def _check_apart(flag: str, path: pathlib.Path, datasets: pathlib.Path) -> None:
    """Checks that a path is not inside a converted dataset, which --overwrite removes with all files in it."""
    inner, outer = path.resolve(), datasets.resolve()
    below = inner.relative_to(outer).parts if inner.is_relative_to(outer) else ()
    if below and re.fullmatch(r"\d+\.\d+\.\d+", below[0]):
        raise ValueError(f"--{flag} must not be inside a converted dataset, got {path} in {datasets / below[0]}")


def _required(values: ProgramFlags, name: str, meaning: str) -> pathlib.Path:
    value = values[name].value
    if not value:
        raise ValueError(f"--{name} must be {meaning}, got nothing")
    return pathlib.Path(value)


def _print_source(source: Source) -> None:
    """Prints the skeleton, since a wrong order of the mirrored joints would spoil the training without an error."""
    skeleton = source.skeleton
    pairs = ", ".join(f"{left}/{right}" for left, right in skeleton.left_right_pairs)
    print(f"skeleton {skeleton.name}: {skeleton.num_joints} joints: {', '.join(skeleton.joints)}")
    print(f"swapped in mirrored images: {pairs or 'no joints; if that is wrong, set --left_right_pairs'}")
    if unpaired := unpaired_sided_joints(skeleton):
        print(
            f"warning: no pair contains {', '.join(unpaired)}, whose names tell a side; mirrored images do not swap "
            "these joints; --left_right_pairs=LEFT:RIGHT,... sets the pairs",
            file=sys.stderr,
        )


def count_table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Formats counts as a table with one column per split."""
    width = max(len(name) for name in next(iter(counts.values())))
    lines = [" " * width + "".join(f"{split:>12}" for split in counts)]
    for name in next(iter(counts.values())):
        numbers = "".join(f"{split[name]:>12,}" for split in counts.values())
        lines.append(f"{name:<{width}}{numbers}")
    return "\n".join(lines)


PROGRAM = Program(
    "tfpose build",
    __doc__,
    define_flags,
    run,
    takes_inputs=True,
    interruption="interrupted; the dataset was not written",
    unused_flags=lambda words: [flag for name in DATASETS if name in words for flag in _flags_of_others(name)],
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
