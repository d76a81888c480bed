"""The people of several sequences in common arrays, so that sequences share the work per frame. NumPy only."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from tfpose.metrics.matching import NearJoints, People, find_near_joints
from tfpose.metrics.posetrack_selection import SelectedPeople


@dataclasses.dataclass(frozen=True)
class SequenceBatch:
    """At least one sequence, with the people that one evaluator selects from them.

    The arrays that the metrics share are computed at their first use.

    Attributes:
        sequences: The selected people of each sequence.
    """

    sequences: Sequence[SelectedPeople]

    @functools.cached_property
    def frame_sequences(self) -> np.ndarray:
        """The sequence [F] of each evaluated frame, in ascending order."""
        return np.repeat(np.arange(len(self.sequences)), self._num_frames)

    @functools.cached_property
    def true(self) -> People:
        """The true people of all sequences; frames count on from one sequence to the next."""
        return self._join([sequence.true for sequence in self.sequences])

    @functools.cached_property
    def predicted(self) -> People:
        """The predicted people of all sequences; frames count on from one sequence to the next."""
        return self._join([sequence.predicted for sequence in self.sequences])

    @functools.cached_property
    def near(self) -> NearJoints:
        """The pairs of a true and a predicted joint of `true` and `predicted` that are near each other."""
        return find_near_joints(self.true, self.predicted)

    @property
    def _num_frames(self) -> list[int]:
        return [sequence.num_frames for sequence in self.sequences]

    def _join(self, parts: Sequence[People]) -> People:
        first_frames = np.cumsum(self._num_frames) - self._num_frames
        columns = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(People)}
        columns["frames"] = np.concatenate([p.frames + first for p, first in zip(parts, first_frames, strict=True)])
        return People(**columns)
