"""Weights by a formula, and networks that hold them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import keras
import numpy as np
import pytest
from formula_weights import make_array

from tfpose.models.pose_resnet import build_pose_resnet
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.pose_resnet import RESNET_NAMES
from tfpose.pretrained.published_names import load_published_arrays

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def make_arrays(golden_dir) -> Callable[[str, int], Arrays]:
    """A function from a network's key in `network_state_dicts.json.gz` and a salt to its arrays."""
    raw = (golden_dir / "simple_baseline" / "network_state_dicts.json.gz").read_bytes()
    shapes = json.loads(gzip.decompress(raw))

    def make(key: str, salt: int = 0) -> Arrays:
        return {name: make_array(RESNET_NAMES.canonical(name), tuple(shape), salt) for name, shape in shapes[key]}

    return make


@pytest.fixture(scope="session")
def r50_arrays(make_arrays) -> Arrays:
    return make_arrays("r50_j17")


@pytest.fixture(scope="session")
def r50(r50_arrays) -> keras.Model:
    """ResNet-50 with 17 joints and the golden weights; tests must not change it."""
    model = build_unfilled(lambda: build_pose_resnet(17))
    load_published_arrays(model, r50_arrays, RESNET_NAMES)
    return model
