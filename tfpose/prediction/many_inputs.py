"""The inputs of `tfpose predict-many`: which files belong together, and what their results are called."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence

from tfpose.file_names import local_name
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.many_files import is_remote, local_copies, match_pattern, state_of
from tfpose.prediction.pictures import PICTURE_SUFFIXES, FoundPictures, Pictures, is_picture_file, no_such_input
from tfpose.prediction.record_pictures import is_record_file, unpack_pictures
from tfpose.prediction.sources import Source, Video, name_of_url

VIDEO, PICTURES, RECORDS = "video", "pictures", "records"
_DIGITS = 8


@dataclasses.dataclass(frozen=True)
class ManyInput:
    """Files that are predicted together, by one worker: a video, the pictures of a folder, or a TFRecord file.

    Attributes:
        position: Position among all inputs, from 0.
        name: Name of the results, different from that of every other input.
        kind: `VIDEO`, `PICTURES` or `RECORDS`.
        addresses: Paths or addresses of the files.
        problems: Pictures that are not read, one line each.
        notes: Other files that are not read, one line each.
    """

    position: int
    name: str
    kind: str
    addresses: tuple[str, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The file, or the folder of several pictures, for messages and the report."""
        return self.addresses[0] if len(self.addresses) == 1 else _folder_of(self.addresses[0])

    def state(self) -> str:
        """Returns text that changes if a file changes."""
        return _digest(" ".join(f"{name} {state_of(name)}" for name in self.addresses))

    @contextlib.contextmanager
    def open(self, span: FrameSpan) -> Iterator[Source]:
        """Yields the frames of the input as `tfpose predict` reads them.

        Raises:
            OSError, ValueError: A file cannot be read.
        """
        with local_copies(self.addresses) as paths, contextlib.ExitStack() as stack:
            if self.kind == VIDEO:
                yield Video(self.name, paths[0], span)
                return
            places: list[pathlib.Path | str] = [_place(path) for path in paths]
            if self.kind == RECORDS:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tfpose_"))
                places = list(unpack_pictures(pathlib.Path(paths[0]), pathlib.Path(folder)))
            yield Pictures(self.name, places, span, self.problems, self.notes)


def find_inputs(texts: Iterable[str]) -> list[ManyInput]:
    """Returns the inputs that the arguments of the command line name.

    Args:
        texts: Videos, pictures, TFRecord files, folders of pictures, patterns such as 'videos/*.mp4' and addresses.

    Raises:
        FileNotFoundError: A file does not exist, a pattern matches nothing, or a folder holds no picture.
        OSError: An address cannot be listed.
    """
    files: dict[str, None] = {}
    folders: list[tuple[str, FoundPictures]] = []
    for text in map(local_name, texts):
        path = pathlib.Path(text)
        if "://" not in text and path.is_dir():
            found = FoundPictures()
            found.add_folder(path)
            folders.append((os.path.abspath(path), found))
        else:
            files.update(dict.fromkeys(_matches(text)))
    groups: dict[tuple[str, str], list[str]] = {}
    for address in files:
        kind = _kind_of(address)
        groups.setdefault((kind, _folder_of(address) if kind == PICTURES else address), []).append(address)
    left_out: dict[tuple[str, str], FoundPictures] = {}
    for folder, found in folders:
        key = (PICTURES, folder)
        groups[key] = [str(address) for address in found.addresses]
        left_out[key] = found
    return _name_inputs(groups, left_out)


def _matches(text: str) -> list[str]:
    """Returns the files that a path, an address or a pattern names."""
    if "://" not in text and os.path.isfile(text):
        return [os.path.abspath(text)]
    has_magic = any(character in text for character in "*?[")
    if text.startswith(("http://", "https://")) or (is_remote(text) and not has_magic):
        return [text]
    if "://" not in text and not has_magic:
        raise no_such_input(text)
    found = match_pattern(text)
    if not found:
        raise FileNotFoundError(f"{text}: must match files, got none")
    return found if is_remote(text) else [os.path.abspath(name) for name in found]


def _kind_of(address: str) -> str:
    if is_record_file(address):
        return RECORDS
    if "://" in address:
        return PICTURES if address.lower().partition("?")[0].endswith(PICTURE_SUFFIXES) else VIDEO
    return PICTURES if is_picture_file(pathlib.Path(address)) else VIDEO


def _name_inputs(
    groups: dict[tuple[str, str], list[str]], left_out: dict[tuple[str, str], FoundPictures]
) -> list[ManyInput]:
    """Returns the inputs with the names that `tfpose predict` gives; those that share a name get digits behind it."""
    names = [_name_of(kind, place, addresses, (kind, place) in left_out) for (kind, place), addresses in groups.items()]
    counts = collections.Counter(names)
    inputs = []
    for position, ((key, addresses), name) in enumerate(zip(groups.items(), names, strict=True)):
        unique = name if counts[name] == 1 else f"{name}-{_digest(key[1])[:_DIGITS]}"
        found = left_out.get(key, FoundPictures())
        inputs.append(ManyInput(position, unique, key[0], tuple(addresses), tuple(found.problems), tuple(found.notes)))
    return inputs


def _name_of(kind: str, place: str, addresses: Sequence[str], is_folder: bool) -> str:
    if kind == PICTURES and (len(addresses) > 1 or is_folder):
        return os.path.basename(place) or "pictures"
    if "://" in addresses[0] and kind != RECORDS:
        return name_of_url(addresses[0])
    file_name = os.path.basename(addresses[0])
    # coco-val.tfrecord-00000-of-00008 has its number in its suffix.
    return file_name if kind == RECORDS else pathlib.PurePath(file_name).stem


def _folder_of(address: str) -> str:
    return address.rpartition("/")[0]


def _place(path: str) -> pathlib.Path | str:
    return path if "://" in path else pathlib.Path(path)


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()
