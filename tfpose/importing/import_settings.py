"""What the user may say about a checkpoint that the checkpoint itself does not."""

from __future__ import annotations

import dataclasses
import re

# The networks halve the size five times.
_STRIDE = 32


@dataclasses.dataclass(frozen=True)
class ImportSettings:
    """None or '' leaves a setting to the file.

    Attributes:
        input_size: (height, width) of the crops.
        stride_in: '3x3', or '1x1' for Caffe-style bottlenecks.
        skeleton: name of a known skeleton, or the path of a COCO annotation file.
        decoding: 'quarter', 'dark' or 'udp'.
    """

    input_size: tuple[int, int] | None = None
    stride_in: str = ""
    skeleton: str = ""
    decoding: str = ""


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) from such as '384x288'.

    Raises:
        ValueError: it is something else, or not of multiples of 32.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise ValueError(f"--input_size must be HEIGHTxWIDTH, such as 384x288, got {text!r}")
    return checked_size(int(match[1]), int(match[2]))


def checked_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) if both are multiples of 32.

    Raises:
        ValueError: they are not.
    """
    if min(height, width) < _STRIDE or height % _STRIDE or width % _STRIDE:
        raise ValueError(f"the input size must be HEIGHTxWIDTH in multiples of {_STRIDE}, got {height}x{width}")
    return height, width
