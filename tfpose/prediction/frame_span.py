"""Selects frames of a source by their numbers."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class FrameSpan:
    """Selection of frames, counted from 0.

    Attributes:
        start: Index of the first frame.
        end: Index after the last frame; None selects all frames from `start` on.
        every: Step between frames; 2 selects every other frame.

    Raises:
        ValueError: A value is out of its range; the message names the flag.
    """

    start: int = 0
    end: int | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if self.start < 0:
            raise ValueError(f"--start must be at least 0, got {self.start}")
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"--end must be above --start={self.start}, got {self.end}")
        if self.every < 1:
            raise ValueError(f"--every must be at least 1, got {self.every}")

    def __contains__(self, index: int) -> bool:
        return self.start <= index and not self.is_over(index) and (index - self.start) % self.every == 0

    def is_over(self, index: int) -> bool:
        """Returns whether neither this frame nor a later one is selected."""
        return self.end is not None and index >= self.end

    def count(self, num_frames: int) -> int:
        """Returns how many of `num_frames` frames are selected."""
        stop = num_frames if self.end is None else min(self.end, num_frames)
        return len(range(self.start, stop, self.every))
