"""`tfpose preview` shows the crops that training sees."""

from __future__ import annotations

import pytest
from small_system import small_table

from tfpose import systems

CONFIG = {
    "system": "two_stage",
    "data": {"directory": ""},
    "network": {"input_size": (64, 64)},
    "target": {"sigma_cells": 2.0},
    "batch_size": 1,
    "optimization": {"learning_rate": 1e-3},
    "run": {"total_steps": 1},
}


def draw(table, **augmentation):
    config = systems.build_config(**CONFIG, augmentation=augmentation)
    return dict(systems.from_config(config).draw_inputs(config, table, 3))


@pytest.mark.parametrize("change", ["half_body_probability", "cutout_probability"])
def test_half_bodies_and_cutouts_are_drawn(tmp_path, change):
    table = small_table(tmp_path)
    plain, changed = draw(table), draw(table, **{change: 1.0})
    assert plain.keys() == changed.keys() and len(plain) == 3
    assert all((plain[name] != changed[name]).any() for name in plain)
