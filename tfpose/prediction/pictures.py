"""Finds and reads images: files, folders, patterns and addresses.

Results have the names that the user gave: links are not followed.
"""

from __future__ import annotations

import dataclasses
import glob
import http.client
import os
import pathlib
import re
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tfpose.file_names import matching_names
from tfpose.messages import count_of
from tfpose.picture_files import count_pages, decode_upright, is_damaged_inside, picture_kind, read_header
from tfpose.prediction.decoding import DEFAULT_RATE
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.frames import SourceFrame

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"),
    ".pbm",
)
# Images that tfpose does not read. A folder that holds some is not read to its end, other files do not matter.
UNREADABLE_SUFFIXES = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".gif", ".dng", ".cr2", ".cr3", ".nef", ".arw")
_MOST_NAMES = 5
# Readers of COCO's files hold an image_id in 64 bits.
_MOST_IMAGE_ID = 2**63 - 1
# A server that is silent for so long is gone; a longer file is no image.
_TIMEOUT_SECONDS, _MOST_BYTES = 30, 1 << 28


@dataclasses.dataclass
class FoundPictures:
    """The pictures that the arguments of the command line name.

    Attributes:
        addresses: Absolute paths and URLs of images.
        folders: Folders among the arguments.
        problems: Images that are not read, one line for each argument.
        notes: Other files that are not read, one line for each argument.
    """

    addresses: list[pathlib.Path | str] = dataclasses.field(default_factory=list)
    folders: list[pathlib.Path] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add_file(self, path: pathlib.Path) -> None:
        """Adds an image file."""
        self.addresses.append(_absolute(path))

    def add_folder(self, folder: pathlib.Path) -> None:
        """Adds the images of a folder.

        Raises:
            FileNotFoundError: The folder holds no image.
        """
        self.folders.append(folder)
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        self._add_readable(entries, f"{folder}: must hold images")
        others = [entry for entry in entries if not _is_picture(entry)]
        self._leave_out(others, folder)

    def add_pattern(self, pattern: str) -> None:
        """Adds the images whose names match a pattern such as 'frames/*.jpg'.

        Raises:
            FileNotFoundError: No image matches.
        """
        if not glob.has_magic(pattern):
            raise no_such_input(pattern)
        found = [pathlib.Path(name) for name in matching_names(pattern)]
        self._add_readable(found, f"{pattern}: must match images")
        self._leave_out([path for path in found if path.is_file() and not _is_picture(path)], pattern)

    def add_url(self, url: str) -> None:
        """Adds an image behind an address; it is read when its turn comes."""
        self.addresses.append(url)

    def _add_readable(self, paths: Iterable[pathlib.Path], rule: str) -> None:
        paths = list(paths)
        pictures = [path for path in paths if _is_picture(path)]
        if not pictures:
            unreadable = sorted({path.suffix.lower() for path in paths} & set(UNREADABLE_SUFFIXES))
            hint = f"; convert {', '.join(unreadable)} to JPEG or PNG" if unreadable else ""
            raise FileNotFoundError(f"{rule} ({', '.join(PICTURE_SUFFIXES)}), got none{hint}")
        for path in pictures:
            self.add_file(path)

    def _leave_out(self, paths: Sequence[pathlib.Path], where: object) -> None:
        unreadable = [path for path in paths if path.suffix.lower() in UNREADABLE_SUFFIXES]
        others = [path for path in paths if path not in unreadable]
        if unreadable:
            self.problems.append(f"{where}: images not read: {_list_names(unreadable)}; convert them to JPEG or PNG")
        if others:
            self.notes.append(f"{where}: no images and not read: {_list_names(others)}")

    def source(self, span: FrameSpan | None = None) -> Pictures:
        """Returns all images as one source, each once."""
        addresses = list(dict.fromkeys(self.addresses))
        return Pictures(self._name(), addresses, span, self.problems, self.notes)

    def _name(self) -> str:
        """Returns the name of a single image, or of the folder that all images are in."""
        places = [_place(address) for address in self.addresses]
        if len(places) == 1 and not self.folders:
            return places[0].stem
        parents = {place.parent for place in places}
        return (parents.pop().name if len(parents) == 1 else "") or "pictures"


class Pictures:
    """Images, in the order of the numbers in their names.

    Attributes:
        name: Name for the results.
        paths: Paths of the selected files, in order, without URLs.
        names: Name of each selected image for the results: its path below the folder that all are in.
        image_ids: Number of each selected image in files of COCO results, see `coco_image_ids`.
        problems: Descriptions of images that could not be read, one line each.
        notes: Descriptions of what was not read besides, one line each.
    """

    is_video = is_live = False
    frames_per_second = DEFAULT_RATE

    def __init__(
        self,
        name: str,
        addresses: Sequence[pathlib.Path | str],
        span: FrameSpan | None = None,
        left_out: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Sorts the images.

        Args:
            name: Name for the results.
            addresses: Paths, and URLs as text.
            span: Selection of the images; None selects all.
            left_out: Problems from before, see `FoundPictures`.
            notes: Notes from before, see `FoundPictures`.

        Raises:
            ValueError: No image is selected, or two have one name.
        """
        span = span or FrameSpan()
        ordered = sorted(addresses, key=lambda address: natural_key(str(address)))
        self.name = name
        self._indices = [index for index in range(len(ordered)) if index in span]
        self._addresses = [ordered[index] for index in self._indices]
        if not self._addresses:
            raise ValueError(f"--start must be below {len(ordered)}, the number of images, got {span.start}")
        self.paths = [address for address in self._addresses if isinstance(address, pathlib.Path)]
        places = [_place(address) for address in self._addresses]
        root = os.path.commonpath([place.parent for place in places])
        self.names = [place.relative_to(root).as_posix() for place in places]
        for name in self.names if len(set(self.names)) < len(self.names) else ():
            if self.names.count(name) > 1:
                raise ValueError(f"images must have different names, got two that are called {name!r}")
        image_ids = coco_image_ids([_place(address).stem for address in ordered])
        self.image_ids = [image_ids[index] for index in self._indices]
        self._left_out, self._notes = list(left_out), list(notes)
        self.problems, self.notes = list(left_out), list(notes)

    @property
    def num_frames(self) -> int:
        """The number of images."""
        return len(self._addresses)

    def may_hold(self, image_ids: np.ndarray) -> np.ndarray:
        """Returns which numbers [N] are those of selected images, [N] bool."""
        return np.isin(image_ids, self.image_ids)

    def describe_ids(self) -> str:
        """Returns `image_ids` in words."""
        are_counted = self.image_ids == self._indices
        return "counted from 0" if are_counted else f"the number that is its name, such as {self.image_ids[0]}"

    def frames(self) -> Iterator[SourceFrame]:
        """Yields the images. Those that cannot be decoded are left out and named in `problems`."""
        self.problems, self.notes = list(self._left_out), list(self._notes)
        oblong: list[pathlib.Path | str] = []
        damaged: list[pathlib.Path | str] = []
        columns = (self._indices, self._addresses, self.names, self.image_ids)
        for index, address, name, image_id in zip(*columns, strict=True):
            try:
                data = _read_bytes(address)
                image = decode_upright(data, address)
            except (OSError, ValueError, http.client.HTTPException) as error:
                text = str(error)
                self.problems.append(text if str(address) in text else f"{address}: {text}")
                continue
            if (num_pages := count_pages(data)) > 1:
                self.notes.append(f"{address}: only the first of {num_pages} pages or frames was read")
            header = read_header(data, address)
            if not header.has_square_pixels:
                oblong.append(address)
            if is_damaged_inside(data, header):
                damaged.append(address)
            yield SourceFrame(index, name, image, image_id)
        if oblong:
            self.notes.append(
                f"{count_of(len(oblong), 'image')} with pixels that are not square, taken as square ({oblong[0]})"
            )
        if damaged:
            self.notes.append(
                f"{count_of(len(damaged), 'image')} with damaged pixels, where poses may be wrong ({damaged[0]})"
            )


def no_such_input(text: str) -> OSError:
    """Returns the error of an input that is neither a file nor a folder."""
    if not os.path.exists(text):
        return FileNotFoundError(f"{text}: there is no such file or folder")
    return OSError(f"{text}: must be a file or folder, got a pipe or device; name a camera by its number, as 0")


def coco_image_ids(stems: Sequence[str]) -> list[int]:
    """Returns the numbers of images in files of COCO results.

    They are the numbers that the files are called by, as in COCO (000000000139.jpg is 139). If a name is no number, or
    one of more than 64 bits, or two are the same number, the images are counted from 0.

    Args:
        stems: Names of the image files without folder and suffix, in order.
    """
    numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdecimal()]
    are_ids = len(set(numbers)) == len(stems) and max(numbers, default=0) <= _MOST_IMAGE_ID
    return numbers if are_ids else list(range(len(stems)))


def is_picture_file(path: pathlib.Path) -> bool:
    """Returns whether a file is an image by its name or its first bytes. A GIF is opened as a video."""
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return True
    with path.open("rb") as file:
        return picture_kind(file.read(16)) not in (None, "GIF")


def is_picture_url(text: str) -> bool:
    """Returns whether an address is that of an image, by its suffix."""
    parts = urllib.parse.urlsplit(text)
    return parts.scheme in ("http", "https") and parts.path.lower().endswith(PICTURE_SUFFIXES)


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Returns a key that sorts frame_2 before frame_10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", text)]


def _is_picture(path: pathlib.Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()


def _absolute(path: pathlib.Path) -> pathlib.Path:
    """Returns the absolute path without following links."""
    return pathlib.Path(os.path.abspath(path))


def _place(address: pathlib.Path | str) -> pathlib.PurePath:
    """Returns the path of an image; an address becomes a path below its server."""
    if isinstance(address, pathlib.Path):
        return _absolute(address)
    parts = urllib.parse.urlsplit(address)
    return pathlib.PurePath(os.path.normpath(f"/{parts.netloc}/{urllib.parse.unquote(parts.path)}"))


def _read_bytes(address: pathlib.Path | str) -> bytes:
    if isinstance(address, pathlib.Path):
        return address.read_bytes()
    with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer:
        data = answer.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{address}: must have at most {_MOST_BYTES >> 20} MiB, got more")
    return data


def _list_names(paths: Sequence[pathlib.Path]) -> str:
    names = sorted(path.name for path in paths)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
