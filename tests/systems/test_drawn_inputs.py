"""`tfpose preview` shows the crops that training sees."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from record_writing import synthetic_image, write_dataset
from small_system import small_table

from tfpose import systems
from tfpose.crops import IMAGENET_MEAN
from tfpose.data.records import read_table
from tfpose.skeletons import POSETRACK15

DETECTOR = {
    "system": "picodet",
    "data": {"directory": ""},
    "network": {"input_size": (64, 64), "width": 8, "scale": 0.25},
    "batch_size": 1,
    "optimization": {"learning_rate": 1e-3},
    "run": {"total_steps": 1},
}
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
    return draw_inputs(table, systems.build_config(**CONFIG, augmentation=augmentation))


def draw_inputs(table, config):
    return dict(systems.from_config(config).draw_inputs(config, table, 3))


@pytest.mark.parametrize("change", ["half_body_probability", "cutout_probability"])
def test_half_bodies_and_cutouts_are_drawn(tmp_path, change):
    table = small_table(tmp_path)
    plain, changed = draw(table), draw(table, **{change: 1.0})
    assert plain.keys() == changed.keys() and len(plain) == 3
    assert all((plain[name] != changed[name]).any() for name in plain)


def test_gains_are_drawn_as_factors_on_normalized_colors(tmp_path):
    """No gain changes a picture of the mean color, whose normalization is 0."""
    image = synthetic_image(0, POSETRACK15)
    picture = np.full((120, 160, 3), 255 * np.array(IMAGENET_MEAN), np.float64).round().astype(np.uint8)
    image["image"] = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    write_dataset(tmp_path, POSETRACK15, [image])
    table = read_table(tmp_path, "train")
    for config, section in ((CONFIG, "augmentation"), (DETECTOR, "input")):
        plain, changed = (
            draw_inputs(table, systems.build_config(**config, **{section: {"color_gain": gain}})) for gain in (0.0, 0.5)
        )
        for name, drawn in plain.items():
            np.testing.assert_array_equal(drawn, changed[name])
