"""Settings of an import that the user may give where the checkpoint does not tell them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

# What receives the lines about a conversion.
Say = Callable[[str], None]

# Every network needs multiples of this at least; those that halve the size five times say that they need more.
_STRIDE = 16


@dataclasses.dataclass(frozen=True)
class ImportSettings:
    """Settings that the user gives. None or '' leaves a setting to the checkpoint.

    Attributes:
        input_size: Size (height, width) of the crops in pixels.
        stride_in: Convolution of a bottleneck that halves the size: '3x3', or '1x1' for networks of Caffe style.
        skeleton: Name of a known skeleton, or path of a COCO annotation file that names the joints.
        decoding: Method that turns heatmaps into keypoints: 'quarter', 'dark', 'udp' or 'udp_hub'.
    """

    input_size: tuple[int, int] | None = None
    stride_in: str = ""
    skeleton: str = ""
    decoding: str = ""


def parse_size(text: str) -> tuple[int, int]:
    """Returns (height, width) of a text such as '384x288'.

    Raises:
        ValueError: The text is no size, or a side is not a multiple of 16.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise ValueError(f"--input_size must be HEIGHTxWIDTH, such as 384x288, got {text!r}")
    return checked_size(int(match[1]), int(match[2]))


def checked_size(height: int, width: int) -> tuple[int, int]:
    """Returns (height, width) if both are multiples of 16.

    Raises:
        ValueError: A side is not a multiple of 16.
    """
    if min(height, width) < _STRIDE or height % _STRIDE or width % _STRIDE:
        raise ValueError(f"input size must be HEIGHTxWIDTH in multiples of {_STRIDE}, got {height}x{width}")
    return height, width
