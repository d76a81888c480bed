"""The datasets that `tfpose build` converts.

A new dataset is a folder and an entry of `DATASETS`; the folder may be anywhere on the Python path:

    my_dataset/
      README.md        description: the layout of the published files, what is kept, the license
      CITATIONS.bib    citation
      builder.py       class Builder(PoseDatasetBuilder), and a function that reads the files

The function arranges the annotations of each split as `SplitAnnotations` and returns a `Source`. This program adds the
dataset without an edit of data_prep:

    import sys
    from data_prep import build
    from my_dataset import builder

    build.DATASETS["my_dataset"] = build.Dataset(
        load_builder=lambda: builder.Builder,
        read_source=lambda folder, values: builder.read_source(folder),
    )
    sys.exit(build.main())  # or build.main(["my_dataset", "--source=DIR", "--output=DIR"])
"""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from data_prep import posetrack, video_flags
from data_prep.coco_keypoints import flags as coco_flags
from data_prep.deeplabcut import flags as deeplabcut_flags
from data_prep.pseudo import flags as pseudo_flags
from data_prep.slp import flags as slp_flags
from data_prep.source import Source
from data_prep.synthetic import flags as synthetic_flags
from tfpose.flags.program_flags import ProgramFlags

if TYPE_CHECKING:
    from data_prep.shards import PoseDatasetBuilder


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset that `tfpose build` converts.

    Attributes:
        load_builder: Function that returns the builder class. It is called late, since importing
            tensorflow-datasets takes seconds.
        read_source: Function that reads the dataset from a folder; it also receives the flags of the program. It
            returns None if the dataset is in OUTPUT already, and has then said so.
        define_flags: Function that defines the flags of this dataset; None if it has none.
        needs_source: Whether the folder is that of --source. Otherwise it is OUTPUT/DATASET, where a dataset makes its
            own files.
        takes_file: Whether --source may also be a file.
        shared_flags: Names of the flags of other datasets that it takes too.
    """

    load_builder: Callable[[], type[PoseDatasetBuilder]]
    read_source: Callable[[pathlib.Path, ProgramFlags], Source | None]
    define_flags: Callable[[ProgramFlags], None] | None = None
    needs_source: bool = True
    takes_file: bool = False
    shared_flags: tuple[str, ...] = ()


def _builder_of(dataset: str) -> Callable[[], type[PoseDatasetBuilder]]:
    return lambda: importlib.import_module(f"data_prep.{dataset}.builder").Builder


def _read_posetrack(folder: pathlib.Path, values: ProgramFlags) -> Source:
    del values
    return posetrack.read_source(folder)


def _read_posetrack21(folder: pathlib.Path, values: ProgramFlags) -> Source:
    del values
    return posetrack.read_source21(folder)


_SKELETON_FLAGS = ("left_right_pairs", "sigmas")
_VIDEO_FLAGS = ("val_share", "val_videos", "predicted")

DATASETS: dict[str, Dataset] = {
    "coco_keypoints": Dataset(_builder_of("coco_keypoints"), coco_flags.read_source, coco_flags.define_flags),
    "posetrack17": Dataset(_builder_of("posetrack17"), _read_posetrack),
    "posetrack18": Dataset(_builder_of("posetrack18"), _read_posetrack),
    "posetrack21": Dataset(_builder_of("posetrack21"), _read_posetrack21),
    "slp": Dataset(
        _builder_of("slp"),
        slp_flags.read_source,
        video_flags.define_flags,
        takes_file=True,
        shared_flags=_SKELETON_FLAGS,
    ),
    "deeplabcut": Dataset(
        _builder_of("deeplabcut"), deeplabcut_flags.read_source, shared_flags=_SKELETON_FLAGS + _VIDEO_FLAGS
    ),
    "pseudo": Dataset(
        _builder_of("pseudo"),
        pseudo_flags.read_source,
        pseudo_flags.define_flags,
        takes_file=True,
        shared_flags=("val_share",),
    ),
    "synthetic": Dataset(
        _builder_of("synthetic"), synthetic_flags.read_source, synthetic_flags.define_flags, needs_source=False
    ),
}
