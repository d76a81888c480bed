"""Messages of one line: what a file said, shortened and escaped, and exceptions as users read them."""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Iterable
from typing import Any

MOST_OF_A_VALUE = 80
_MOST_OF_A_LINE = 480
# Python's own text for these errors does not say what happened.
_NAMED_ERRORS = (LookupError, RecursionError, OverflowError, MemoryError)
# Where TensorFlow says in which node an error came up, before and behind its reason.
_NODES = re.compile(
    r"\{\{(function_)?node [^}]*\}\}|\[\[.*?\]\]|\[Op:.*"
    r"|Error in user-defined function passed to \S+ transformation with iterator: \S+: "
)
_ASSERTION = re.compile(r"assertion failed: \[(.*)\]\s*(\n|$)")
_WITHOUT_REASON = re.compile(
    r"Graph execution error|Detected at node|<stack traces|Detected call to|File \"|Traceback|\(\d+\) \w+:$|Hint:"
    r"|<tf\.|Function call stack|Original stack trace|\d+ root error\(s\) found|\d+ (successful|derived) "
)


def quote(value: Any) -> str:
    """Returns what a file said, as Python would write it, in at most 80 characters that can be printed.

    Args:
        value: Any value that JSON can hold; only the beginning of a large one is looked at.
    """
    return printable(_REPR.repr(value), MOST_OF_A_VALUE)


def printable(text: str, most_characters: int = _MOST_OF_A_LINE) -> str:
    """Returns a text in one line of at most so many characters, with its middle left out where it is longer.

    Whitespace becomes a space, and characters that cannot be printed become escape sequences.
    """
    if len(text) > 4 * most_characters:
        text = f"{text[: 2 * most_characters]} ... {text[-most_characters:]}"
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(text) <= most_characters:
        return text
    tail = most_characters // 4
    return f"{text[: most_characters - tail - 5]} ... {text[-tail:]}"


def count_of(count: int, noun: str, plural: str = "") -> str:
    """Returns a number with its noun, such as "1 frame" or "2 people".

    Args:
        count: The number.
        noun: The noun for one.
        plural: The noun for several; by default the noun with an s.
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def print_notes(notes: Iterable[str]) -> None:
    """Prints lines for the user on stderr."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def describe_error(error: BaseException) -> str:
    """Returns an exception as one line.

    Of TensorFlow's errors the line that gives the reason, of errors of the operating system the file and the reason.
    """
    text = _tensorflow_reason(str(error)) if is_tensorflow_error(error) else str(error)
    if isinstance(error, OSError) and error.filename is not None and error.filename2 is None:
        text = f"{error.filename}: {error.strerror}"
    if isinstance(error, _NAMED_ERRORS):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return printable(text) or type(error).__name__


def is_tensorflow_error(error: BaseException) -> bool:
    """Returns whether an exception is a `tf.errors.OpError`; TensorFlow is not imported."""
    return any(kind.__module__ == "tensorflow.python.framework.errors_impl" for kind in type(error).__mro__)


def _tensorflow_reason(message: str) -> str:
    if found := _ASSERTION.search(message):
        return found[1].replace("\\'", "'").replace('\\"', '"').replace("\\\\", "\\")
    for line in message.splitlines():
        reason = _NODES.sub("", line).strip()
        if reason and not _WITHOUT_REASON.match(reason):
            return reason
    return message


class _ShortRepr(reprlib.Repr):
    """Looks at the beginning of a value only, so that a large value costs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = MOST_OF_A_VALUE
        self.maxlevel = 4
        self.maxlist = self.maxtuple = 20

    def repr_int(self, value: int, level: int) -> str:
        # Python refuses to write whole numbers of thousands of digits.
        return repr(value) if value.bit_length() < 256 else f"a whole number of {value.bit_length()} bits"


_REPR = _ShortRepr()
