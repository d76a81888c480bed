"""Notes on the pictures of a dataset, for the user."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

from tfpose.json_files import read_json, write_json


class PictureNotes:
    """Counts the notes on pictures, with the name of the first picture of each; shards of any process write theirs."""

    def __init__(self) -> None:
        """Begins without notes."""
        self._counts: dict[str, tuple[int, str]] = {}

    def add(self, notes: Iterable[str], file_name: str, count: int = 1) -> None:
        """Adds the notes on a picture."""
        for note in notes:
            number, first = self._counts.get(note, (0, file_name))
            self._counts[note] = number + count, first

    def lines(self) -> list[str]:
        """Returns a line for each kind of note."""
        return [f"{note}: {count} (first: {first})" for note, (count, first) in self._counts.items()]

    def write(self, path: pathlib.Path) -> None:
        """Writes the notes of a shard."""
        write_json(path, self._counts)

    @classmethod
    def read(cls, paths: Iterable[pathlib.Path]) -> PictureNotes:
        """Reads the notes of shards."""
        notes = cls()
        for path in sorted(paths):
            for note, (count, first) in read_json(path).items():
                notes.add([note], first, count)
        return notes
