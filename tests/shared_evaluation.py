"""A check that an evaluation gives every worker's devices a share and finds the same as one device alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import pytest

from tfpose.evaluation.shares import ALONE, EvaluationShare


def assert_shared_to_the_bit(
    monkeypatch: pytest.MonkeyPatch, build_validation: Callable[[], Callable], network: keras.Model
) -> None:
    """Three workers of two devices each; a device, and a whole worker, may have nothing to do.

    Args:
        monkeypatch: lets the workers keep their parts.
        build_validation: makes a validation whose scoring is replaced, so that it returns arrays of what it found.
        network: to evaluate.
    """
    expected = build_validation()(network, 0, ALONE)
    assert len(expected[0]) > 1
    monkeypatch.setattr(EvaluationShare, "_gather", lambda self, rows: rows)
    together = build_validation()
    shares = [EvaluationShare(["/cpu:0"] * 2, worker=worker, num_workers=3) for worker in range(3)]
    parts = [together(network, 0, share) for share in shares]
    assert max(len(part[0]) for part in parts) < len(expected[0])
    assert_equal(parts, expected)


def assert_equal(parts: Sequence[Sequence[np.ndarray]], expected: Sequence[np.ndarray]) -> None:
    for *of_workers, whole in zip(*parts, expected, strict=True):
        assert {part.dtype for part in of_workers} == {whole.dtype}
        np.testing.assert_array_equal(np.concatenate(of_workers), whole)
