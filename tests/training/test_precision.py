"""The choice of the numbers that a network is trained in."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tfpose.inference import bfloat16_devices
from tfpose.training.optimization import OptimizationSettings
from tfpose.training.precision import choose_precision


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse2 avx512f avx512_bf16", "mixed_bfloat16"),
        ("fpu amx_bf16", "mixed_bfloat16"),
        ("fpu avx2 avx512f", "float32"),
    ],
)
def test_a_processor_that_multiplies_bfloat16_is_given_it(monkeypatch, tmp_path, flags, expected):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: amx_bf16\nflags\t\t: {flags}\nbogomips\t: 1\n")
    monkeypatch.setattr(bfloat16_devices, "_CPU_INFO", path)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert choose_precision("auto") == expected


def test_single_precision_where_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(bfloat16_devices, "_CPU_INFO", tmp_path / "nothing")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert choose_precision("auto") == "float32"


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"compute_capability": (9, 0)}, "mixed_bfloat16"),
        ({"compute_capability": (7, 5)}, "mixed_float16"),
        ({"compute_capability": (6, 1)}, "float32"),
        ({}, "float32"),
    ],
)
def test_a_graphics_card_decides_by_its_capability(monkeypatch, details, expected):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["card"] if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)
    assert choose_precision("auto") == expected


def test_named_precisions_stay_and_others_are_refused():
    assert choose_precision("mixed_float16") == "mixed_float16"
    with pytest.raises(ValueError, match="precision must be one of float32, .*auto, got 'half'"):
        OptimizationSettings(0.1, precision="half")
