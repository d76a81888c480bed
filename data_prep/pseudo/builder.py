"""Labels images and videos by the poses of a teacher, and arranges them as records."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from data_prep.annotations import SplitAnnotations, photo_columns
from data_prep.pseudo.inputs import choose_splits, files_of_images, image_of_record, open_inputs
from data_prep.pseudo.judgment import Labels, Thresholds, judge_poses
from data_prep.pseudo.teachers import Opinions, TeacherChoice, find_teacher, load_teacher
from data_prep.shards import PoseDatasetBuilder
from data_prep.source import Source, digest_files, print_note
from data_prep.writing import read_metadata
from tfpose import __version__
from tfpose.boxes import areas
from tfpose.data.records import TEACHER_FIELD
from tfpose.flags.program_flags import ProgramFlags
from tfpose.prediction.frames import SourceFrame
from tfpose.prediction.pictures import Pictures
from tfpose.prediction.sources import Source as FrameSource
from tfpose.skeletons import Skeleton


class Builder(PoseDatasetBuilder):
    """Poses of a teacher as records."""


@dataclasses.dataclass(frozen=True)
class LabeledFrame:
    """A frame with its labels, without its pixels.

    Attributes:
        item: Name of the image, or of the video of the frame; all frames of an item are in one split.
        sequence: Name of the video; '' for an image.
        name: Name of the image, or one made from the name of the video and the number of the frame.
        image_id: Number of the image in files of COCO results.
        size: (height, width) in pixels.
        path: File of the image, or the frame inside a file.
        labels: Labels of the teacher.
    """

    item: str
    sequence: str
    name: str
    image_id: int
    size: tuple[int, int]
    path: os.PathLike[str]
    labels: Labels


def read_source(path: pathlib.Path, values: ProgramFlags, thresholds: Thresholds) -> Source | None:
    """Labels the images and videos of a source; returns None, with a note, if the dataset is there already.

    Args:
        path: Value of --source.
        values: Flags of the program.
        thresholds: Thresholds of the labels.

    Raises:
        FileNotFoundError: A file or model is missing.
        OSError: A public checkpoint cannot be downloaded.
        ValueError: A flag or a file is not valid, or nobody is found.
    """
    sources = open_inputs(path, values.every)
    items = [name for source in sources for name in (source.names if isinstance(source, Pictures) else [source.name])]
    split_of = dict(zip(items, choose_splits(items, values.val_share), strict=True))
    teacher = find_teacher(values, "model")
    second = find_teacher(values, "second_model") if values.second_model is not None else None
    facts = _describe(values, thresholds, teacher, second)
    digest = digest_files([file for source in sources for file in source.paths], facts)
    if not values.overwrite and _is_there(pathlib.Path(values.output), digest):
        return None
    model = load_teacher(teacher, values, "model")
    other = None if second is None else load_teacher(second, values, "second_model")
    opinions = Opinions(model, other, values.agreement == "mirror")
    labeling = _Labeling(teacher.name, model.skeleton, opinions, thresholds, values.batch_size)
    frames = labeling.label(sources)
    counts = dict(sum((frame.labels.counts for frame in frames), collections.Counter[str]()))
    for name, count in counts.items():
        print(f"{name}: {count:,}")
    facts |= {"inputs_digest": digest, "version": __version__, "counts": counts}
    return Source(
        _arrange(frames, split_of, model.skeleton),
        model.skeleton,
        digest,
        notes=(*labeling.notes, f"the labels are the poses of {teacher.name}, not ground truth"),
        provenance={TEACHER_FIELD: facts},
    )


def _describe(
    values: ProgramFlags, thresholds: Thresholds, teacher: TeacherChoice, second: TeacherChoice | None
) -> dict[str, Any]:
    """Returns who labels the images, and how, for metadata.json."""
    return {
        **teacher.to_dict(),
        "agreement": values.agreement if second is None else "second_model",
        **({} if second is None else {"second_model": second.to_dict()}),
        "box_score": values.box_score,
        "thresholds": dataclasses.asdict(thresholds),
        "val_share": values.val_share,
        "every": values.every,
    }


def _is_there(output: pathlib.Path, digest: str) -> bool:
    """Returns whether the same dataset was built before, and says so. A prediction of hours need not find it out.

    Raises:
        ValueError: Another dataset is there.
    """
    directory = output / Builder.name / str(Builder.VERSION)
    if not directory.exists():
        return False
    found = read_metadata(directory).get(TEACHER_FIELD)
    if not isinstance(found, dict) or found.get("inputs_digest") != digest:
        raise ValueError(f"{directory}: already holds another dataset; choose another --output, or add --overwrite")
    print_note(f"{directory}: holds this dataset already; --overwrite labels the images again")
    print(directory)
    return True


class _Labeling:
    """Labels the frames of all sources."""

    def __init__(
        self, teacher: str, skeleton: Skeleton, opinions: Opinions, thresholds: Thresholds, batch_size: int
    ) -> None:
        self._teacher, self._skeleton, self._opinions = teacher, skeleton, opinions
        self._thresholds, self._batch_size = thresholds, batch_size
        self.notes: list[str] = []

    def label(self, sources: Sequence[FrameSource]) -> list[LabeledFrame]:
        """Returns the labeled frames; `notes` says what was left out.

        Raises:
            ValueError: No frame can be read, or nobody is labeled.
        """
        frames: list[LabeledFrame] = []
        total = sum(source.num_frames or 0 for source in sources)
        has_numbers = len(sources) == 1 and not sources[0].is_video
        with tqdm(total=total, unit=" images", desc="labeling") as bar:
            for source in sources:
                files = files_of_images(source)
                for frame, found, other in self._opinions.iterate(source, self._batch_size):
                    bar.update()
                    try:
                        path = image_of_record(source, frame, files, self._teacher)
                    except ValueError as error:
                        self.notes.append(str(error))
                        continue
                    labels = judge_poses(found, self._skeleton, self._thresholds, other, self._opinions.second_skeleton)
                    image_id = frame.image_id if has_numbers else len(frames)
                    frames.append(_labeled_frame(source, frame, path, image_id, labels))
                self.notes += [*source.notes, *source.problems]
        if not frames:
            raise ValueError(f"--source: no image can be read: {next(iter(self.notes), 'there is none')}")
        if not any(frame.labels.is_labeled.any() for frame in frames):
            raise ValueError(
                f"--source: nobody in {len(frames)} images can be labeled; lower --person_score, --joint_score or "
                "--min_labeled_joints"
            )
        return frames


def _labeled_frame(
    source: FrameSource, frame: SourceFrame, path: os.PathLike[str], image_id: int, labels: Labels
) -> LabeledFrame:
    height, width = frame.image.shape[:2]
    sequence = source.name if source.is_video else ""
    return LabeledFrame(sequence or frame.name, sequence, frame.name, image_id, (height, width), path, labels)


def _arrange(
    frames: Sequence[LabeledFrame], split_of: Mapping[str, str], skeleton: Skeleton
) -> dict[str, SplitAnnotations]:
    """Arranges labeled frames as the records of their splits; a split whose images cannot be read is not there."""
    return {
        split: _build_split([frame for frame in frames if split_of[frame.item] == split], skeleton)
        for split in sorted({split_of[frame.item] for frame in frames})
    }


def _build_split(frames: Sequence[LabeledFrame], skeleton: Skeleton) -> SplitAnnotations:
    labels = [frame.labels for frame in frames]
    first_person = np.cumsum([0, *(len(of_frame.boxes) for of_frame in labels)])
    num_people = int(first_person[-1])
    is_labeled = np.concatenate([of_frame.is_labeled for of_frame in labels]).reshape(num_people, skeleton.num_joints)
    boxes = np.concatenate([of_frame.boxes for of_frame in labels]).astype(np.float32)
    positions = collections.Counter[str]()
    places = []
    for frame in frames:
        places.append(positions[frame.sequence] if frame.sequence else 0)
        positions[frame.sequence] += 1
    return SplitAnnotations(
        image_paths=[frame.path for frame in frames],
        images=photo_columns(len(frames))
        | {
            "file_name": [frame.name for frame in frames],
            "image_id": np.array([frame.image_id for frame in frames], np.int64),
            "height": np.array([frame.size[0] for frame in frames], np.int64),
            "width": np.array([frame.size[1] for frame in frames], np.int64),
            "sequence": [frame.sequence for frame in frames],
            "frame": np.array(places, np.int64),
        },
        people={
            "keypoints": np.concatenate([of_frame.keypoints for of_frame in labels]).astype(np.float32),
            "visibility": np.where(is_labeled, 2, 0).astype(np.int64),
            "box": boxes,
            "head_box": np.full((num_people, 4), np.nan, np.float32),
            "area": areas(boxes).astype(np.float32),
            "is_crowd": np.concatenate([of_frame.is_ignored for of_frame in labels]).astype(np.int64),
            "track_id": np.full(num_people, -1, np.int64),
            "annotation_id": np.arange(1, num_people + 1),
            "segmentation": [""] * num_people,
        },
        first_person=first_person,
    )
