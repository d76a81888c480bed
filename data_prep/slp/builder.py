"""Reads SLEAP files, with the skeleton, the videos and the identities in them."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from data_prep.labeled_videos import (
    LabeledVideo,
    SplitChoice,
    build_splits,
    describe_splits,
    distinct_names,
    split_videos,
)
from data_prep.shards import PoseDatasetBuilder
from data_prep.slp.labels import LabelChoice, SleapLabels, read_labels
from data_prep.source import Source, digest_files

# Words of file names that name a split, such as in labels.train.slp and val.pkg.slp.
_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


class Builder(PoseDatasetBuilder):
    """SLEAP labels as records."""

    HOMEPAGE = "https://sleap.ai"


def read_source(source: pathlib.Path, labels: LabelChoice | None = None, choice: SplitChoice | None = None) -> Source:
    """Reads a SLEAP file, or all SLEAP files in a folder.

    If the name of each file contains the word train, val or test, each file is a part of this split, unless `choice`
    names videos. Otherwise the labeled frames of all files are split as `choice` says.

    Args:
        source: The file or the folder.
        labels: What to take of each file; None takes the animals that users labeled.
        choice: Which frames become `val`; None takes the last tenth of each video.

    Raises:
        FileNotFoundError: There is no such file, or a video is missing.
        ValueError: A file is not valid, or its skeleton is not that of the others.
    """
    labels, choice = labels or LabelChoice(), choice or SplitChoice()
    files = [source] if source.is_file() else sorted(source.glob("[!.]*.slp"))
    if not files:
        raise FileNotFoundError(f"{source}: must be a SLEAP file or contain *.slp, got no such file")
    read = [read_labels(path, labels) for path in files]
    for other in read[1:]:
        if other.skeleton.joints != read[0].skeleton.joints:
            raise ValueError(
                f"{other.path}: skeleton must be that of {files[0].name} ({', '.join(read[0].skeleton.joints)}), "
                f"got {', '.join(other.skeleton.joints)}"
            )
    parts, how = _split(read, choice)
    digest = digest_files(files, {"labels": dataclasses.asdict(labels), "split": dataclasses.asdict(choice)})
    notes = (*(note for file in read for note in file.notes), how)
    return Source(build_splits(parts), read[0].skeleton, digest, notes=notes)


def _split(files: Sequence[SleapLabels], choice: SplitChoice) -> tuple[dict[str, list[LabeledVideo]], str]:
    """Returns the videos of each split, and in words how they were split."""
    names = [split_of_name(file.path.name) for file in files]
    if None not in names and "train" in names and not choice.val_videos:
        by_split: dict[str, list[LabeledVideo]] = {}
        for split in ("train", "val", "test"):
            videos = [video for file, name in zip(files, names, strict=True) if name == split for video in file.videos]
            if videos:
                by_split[split] = _named_apart(videos)
        return by_split, "the names of the files name the splits"
    parts = split_videos(_named_apart([video for file in files for video in file.videos]), choice)
    return parts, describe_splits(parts, choice)


def split_of_name(name: str) -> str | None:
    """Returns the split that a file name contains as a word; None if it contains none or several."""
    found = {_SPLIT_WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def _named_apart(videos: Sequence[LabeledVideo]) -> list[LabeledVideo]:
    """Gives each video a name of its own; the names of its frames begin with it."""
    names = distinct_names(video.name for video in videos)
    return [
        dataclasses.replace(
            video, name=name, file_names=[f"{name}/{file.rpartition('/')[2]}" for file in video.file_names]
        )
        for video, name in zip(videos, names, strict=True)
    ]
