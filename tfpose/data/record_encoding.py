"""Encodes records as the bytes of a `tf.train.Example`, without TensorFlow.

The bytes are those of protocol buffers: a field is its number, the length of its content and the content. The messages
are defined in TensorFlow's `core/example/example.proto` and `feature.proto`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tfpose.data.records import IMAGE_FIELDS, LIST_FIELDS, PERSON_FIELDS

# The tag of a field is its number and the 2 of all fields that have a length.
_FIELD_1, _FIELD_2, _FIELD_3 = (bytes([number << 3 | 2]) for number in (1, 2, 3))
# Fields of the messages: `Features` in the example, its entries, key and value of an entry, and `value` of each list.
_FEATURES = _ENTRY = _KEY = _LIST_VALUE = _FIELD_1
_VALUE = _FIELD_2
_KINDS = {"bytes": _FIELD_1, "float": _FIELD_2, "int": _FIELD_3}
_DTYPES: dict[str, np.dtype] = {"float": np.dtype("<f4"), "int": np.dtype("<i8")}
# One value per row: an array, or a list of texts, numbers or arrays of different lengths.
_Column: TypeAlias = np.ndarray | Sequence[Any]
# Known only once the picture was read.
_PICTURE_FIELDS = ("image", "height", "width")


_FIELDS = {**IMAGE_FIELDS, **{f"people/{name}": kind for name, (kind, _) in PERSON_FIELDS.items()}}


@functools.lru_cache(maxsize=1 << 16)
def _varint(number: int) -> bytes:
    """Encodes a whole number of 64 bits in groups of 7 bits, the lowest first."""
    number &= (1 << 64) - 1
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


@functools.lru_cache(maxsize=1 << 12)
def _list_head(name: str, num_bytes: int) -> bytes:
    """Returns what stands before the list of the values of a field of a record: an entry of the map in `Features`."""
    head = b""
    for tag in (_KINDS[_FIELDS[name]], _VALUE):
        head = tag + _varint(len(head) + num_bytes) + head
    head = _field(_KEY, name.encode()) + head
    return _ENTRY + _varint(len(head) + num_bytes) + head


@functools.lru_cache(maxsize=1 << 12)
def _value_head(name: str, num_bytes: int) -> bytes:
    """Returns what stands before the only text of a list, or before its numbers, which are packed together."""
    head = _LIST_VALUE + _varint(num_bytes)
    return _list_head(name, len(head) + num_bytes) + head


class RecordEncoder:
    """Encodes the records of consecutive images. The fields have the same order in all records."""

    def __init__(
        self,
        images: Mapping[str, _Column],
        people: Mapping[str, _Column],
        first_person: np.ndarray,
        num_joints: int,
    ) -> None:
        """Checks the columns.

        Args:
            images: I values for each of `IMAGE_FIELDS` without the picture: texts, numbers, or arrays of numbers.
            people: P values for each of `PERSON_FIELDS`.
            first_person: [I + 1] row of the first person of each image, then P.
            num_joints: Number of joints J.

        Raises:
            ValueError: A column of people has another shape or type than the schema says.
        """
        self._images = {
            name: (kind, images[name]) for name, kind in IMAGE_FIELDS.items() if name not in _PICTURE_FIELDS
        }
        self._people = {
            f"people/{name}": (kind, _person_column(name, people[name], num_joints))
            for name, (kind, _) in PERSON_FIELDS.items()
        }
        self._first_person = first_person.tolist()

    def encode(self, image: int, picture: bytes, size: tuple[int, int]) -> tuple[bytes, bytes]:
        """Returns a record in two parts, of which the second is the picture itself, so that it need not be copied.

        Args:
            image: Position of the image.
            picture: Content of the image file.
            size: (height, width) of the image in pixels.
        """
        parts: list[bytes] = []
        for name, (kind, column) in self._images.items():
            parts += _entry(name, kind, column[image] if name in LIST_FIELDS else (column[image],))
        parts += _entry("height", "int", size[:1])
        parts += _entry("width", "int", size[1:])
        first, last = self._first_person[image], self._first_person[image + 1]
        for name, (kind, column) in self._people.items():
            parts += _entry(name, kind, column[first:last])
        before = b"".join((*parts, _value_head("image", len(picture))))
        return _FEATURES + _varint(len(before) + len(picture)) + before, picture


def _person_column(name: str, values: _Column, num_joints: int) -> _Column:
    """Returns a column as the schema has it; whole numbers of one byte as uint8, which are encoded as they are."""
    kind, shape = PERSON_FIELDS[name]
    if kind == "bytes":
        return values
    sides = tuple(num_joints if side == "joints" else side for side in shape)
    column = values if isinstance(values, np.ndarray) else np.array(values, _DTYPES[kind]).reshape(len(values), *sides)
    if column.dtype != _DTYPES[kind] or column.shape[1:] != sides:
        raise ValueError(
            f"people: {name!r} must be {_DTYPES[kind]} {['P', *sides]}, got {column.dtype} {['P', *column.shape[1:]]}"
        )
    is_short = kind == "int" and column.min(initial=0) >= 0 and column.max(initial=0) <= 0x7F
    return column.astype(np.uint8) if is_short else column


def _entry(name: str, kind: str, values: _Column) -> tuple[bytes, bytes]:
    """Encodes one field of a record, in two parts: `BytesList`, `FloatList` or `Int64List` and what is around it."""
    if kind == "bytes":
        texts = (text.encode() if isinstance(text, str) else text for text in values)
        content = b"".join([_field(_LIST_VALUE, text) for text in texts])
        return _list_head(name, len(content)), content
    if kind == "float":
        packed = np.asarray(values, _DTYPES["float"]).tobytes()
    elif isinstance(values, np.ndarray) and values.dtype == np.uint8:
        packed = values.tobytes()
    else:
        numbers = values.ravel().tolist() if isinstance(values, np.ndarray) else map(int, values)
        packed = b"".join(map(_varint, numbers))
    return (_value_head if packed else _list_head)(name, len(packed)), packed
