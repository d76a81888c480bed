"""The code blocks of README.md and docs/, and the commands in them."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shlex
from collections.abc import Iterator

PROJECT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
_DIRECTIVE = re.compile(r"<!-- (.+?) -->$")
_FENCE = re.compile(r"```(\w*)$")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PROGRAMS = ("tfpose", "python", "make", "pip", "docker", "curl")


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        page: it is on.
        line: of its first line, counted from 1.
        language: after the fence; empty for indented blocks.
        directive: the comment in the line above, such as 'run'.
        text: without fence and indent.
    """

    page: pathlib.Path
    line: int
    language: str
    directive: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def read_blocks(page: pathlib.Path) -> list[Block]:
    """All code blocks of a page, fenced and indented."""
    blocks: list[Block] = []
    lines = page.read_text().splitlines()
    index, directive = 0, ""
    while index < len(lines):
        line = lines[index]
        if match := _DIRECTIVE.match(line):
            directive = match[1]
        elif match := _FENCE.match(line):
            end = lines.index("```", index + 1)
            text = "\n".join(lines[index + 1 : end])
            blocks.append(Block(page, index + 2, match[1], directive, text))
            index, directive = end, ""
        elif line.startswith("    ") and (index == 0 or not lines[index - 1].strip()):
            end = index
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            text = "\n".join(part[4:] for part in lines[index:end]).rstrip()
            blocks.append(Block(page, index + 1, "", directive, text))
            index, directive = end - 1, ""
        elif line.strip():
            directive = ""
        index += 1
    return blocks


def commands(block: Block) -> Iterator[list[str]]:
    """The command lines of a block as words, without variables set in front and comments behind."""
    for line in block.text.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # No command: a quote that does not end, in a program or in prose.
        while words and _ASSIGNMENT.match(words[0]):
            words = words[1:]
        if words and words[0] in _PROGRAMS:
            yield words
