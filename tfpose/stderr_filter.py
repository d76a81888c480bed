"""What a program's stderr must bear: lines that TensorFlow and OpenCV always write, and a reader that is gone."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, TextIO

# C++ code writes these lines at every log level: hints on CPU instructions, and messages that there is no GPU, that
# LiteRT starts, that its converter quantizes or meets unknown attributes, and that a list of OpenCV lacks a codec.
_EXPECTED_LINES = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|To enable the following instructions:"
    rb"|[IWE]\d{4} .*\b(port|cudart_stub|cuda_platform|cpu_feature_guard|util|node_def_util)\.cc:\d+\]"
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate for CPU|fully_quantize: \d+, inference_type: \d+"
    rb"|OpenCV: FFMPEG: (tag .* is not supported with codec id|fallback to use tag)"
)

_HOLDING = threading.RLock()


class UnheardStream:
    """A stream whose reader may be gone, as after a lost connection: progress that nobody sees must end no run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes a text, or nothing where nobody reads it."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Writes what is held back, or nothing where nobody reads it."""
        with contextlib.suppress(OSError):
            self._stream.flush()


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Holds back what is written to stderr inside the `with` block, then writes all but the expected lines.

    Other threads wait until the block has ended where they hold back too.
    """
    # Of two threads at a time, one would leave the process with the file of the other in place of its stderr.
    with _HOLDING:
        _flush()
        try:
            own = os.dup(2)
        except OSError:
            # There is no stderr, as in a program without a console.
            yield
            return
        with os.fdopen(own, "wb", buffering=0) as stream, tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), 2)
            try:
                yield
            finally:
                _flush()
                os.dup2(own, 2)
                held.seek(0)
                for line in held:
                    if not _EXPECTED_LINES.match(line):
                        stream.write(line)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
