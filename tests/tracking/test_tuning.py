"""The grid search."""

from __future__ import annotations

import math

import pytest

from tfpose.tracking.tuning import Trial, expand_grid, format_trials, search_grid

CHOICES = {"x": [1, 2, 3], "y": [10, 20]}


def score_sum(settings):
    return {"mota": settings["x"] * settings["y"], "minus": -settings["x"]}


def score_with_gap(settings):
    return {"mota": math.nan if settings["x"] == 2 else -abs(settings["x"] - 3)}


def fail_at_two(settings):
    if settings["x"] == 2:
        raise ValueError("x must not be 2, got 2")
    return {"mota": 0.0}


def test_grid_has_every_combination_once():
    grid = expand_grid(CHOICES)
    assert grid[0] == {"x": 1, "y": 10} and grid[1] == {"x": 1, "y": 20}
    assert sorted((s["x"], s["y"]) for s in grid) == [(x, y) for x in (1, 2, 3) for y in (10, 20)]


def test_best_comes_first():
    trials = search_grid(score_sum, CHOICES, "mota")
    assert [t.scores["mota"] for t in trials] == [60, 40, 30, 20, 20, 10]
    assert trials[0].settings == {"x": 3, "y": 20}
    # Equal ones in the order of the grid.
    assert [t.settings for t in trials[3:5]] == [{"x": 1, "y": 20}, {"x": 2, "y": 10}]
    assert search_grid(score_sum, CHOICES, "minus")[0].settings == {"x": 1, "y": 10}


def test_not_a_number_comes_last():
    assert [t.settings["x"] for t in search_grid(score_with_gap, {"x": [1, 2, 3]}, "mota")] == [3, 1, 2]


def test_two_processes_give_the_same():
    assert search_grid(score_sum, CHOICES, "mota", num_processes=2) == search_grid(score_sum, CHOICES, "mota")


@pytest.mark.parametrize("num_processes", [1, 2])
def test_error_of_the_scoring_function_comes_through(num_processes):
    with pytest.raises(ValueError, match="x must not be 2, got 2"):
        search_grid(fail_at_two, CHOICES, "mota", num_processes=num_processes)


def test_progress_is_reported_in_the_order_of_the_grid():
    seen: list[Trial] = []
    search_grid(score_sum, CHOICES, "mota", on_trial=seen.append)
    assert [trial.settings for trial in seen] == expand_grid(CHOICES)


def test_unknown_objective_lists_the_measures():
    with pytest.raises(ValueError, match=r"objective must be one of \['minus', 'mota'\], got 'hota'"):
        search_grid(score_sum, CHOICES, "hota")


@pytest.mark.parametrize("values", [[], "greedy", 3])
def test_choices_must_be_lists(values):
    with pytest.raises(ValueError, match="choices: 'x' must be a list of values to try"):
        expand_grid({"x": values})


def test_num_processes_must_be_positive():
    with pytest.raises(ValueError, match="num_processes must be at least 1, got 0"):
        search_grid(score_sum, CHOICES, "mota", num_processes=0)


def test_table_has_a_line_per_trial():
    table = format_trials(search_grid(score_sum, CHOICES, "mota"), max_rows=2)
    assert [line.split() for line in table.splitlines()] == [
        ["x", "y", "mota", "minus"],
        ["3", "20", "60.00", "-3.00"],
        ["2", "20", "40.00", "-2.00"],
    ]
