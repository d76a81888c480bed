"""Charts of the same numbers are drawn once: Matplotlib takes seconds for the charts of a page."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator

import pytest

from tfpose.report import comparison, comparisons, overview, scores, timeline, training
from tfpose.report.svg import Chart

_MODULES = (comparison, comparisons, overview, scores, timeline, training)


class DrawnCharts:
    """The charts so far, by their function and its arguments."""

    def __init__(self) -> None:
        self.is_used = True
        self._charts: dict[bytes, Chart] = {}

    def remember(self, draw: Callable[..., Chart]) -> Callable[..., Chart]:
        def draw_once(*arguments: object, **named: object) -> Chart:
            if not self.is_used:
                return draw(*arguments, **named)
            try:
                key = pickle.dumps((draw.__module__, draw.__name__, arguments, named))
            except (pickle.PicklingError, AttributeError, TypeError):
                return draw(*arguments, **named)
            if key not in self._charts:
                self._charts[key] = draw(*arguments, **named)
            return self._charts[key]

        return draw_once


_DRAWN = DrawnCharts()


@pytest.fixture(scope="module", autouse=True)
def charts_drawn_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in _MODULES:
            for name, function in list(vars(module).items()):
                if name.endswith("_chart"):
                    patch.setattr(module, name, _DRAWN.remember(function))
        yield


@pytest.fixture
def charts_drawn_anew() -> Iterator[None]:
    """For tests that draw a chart twice to compare."""
    _DRAWN.is_used = False
    yield
    _DRAWN.is_used = True
