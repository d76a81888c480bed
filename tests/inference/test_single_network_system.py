"""The single network's description in its work folder."""

import json

import pytest

from tfpose.exporting.system_file import describe_system
from tfpose.inference.single_network_system import (
    SINGLE_NETWORK_FILE,
    build_single_network_system,
    read_single_network_system,
    with_inference,
    write_single_network_system,
)
from tfpose.skeletons import COCO17

NETWORK = {"input_size": (64, 128), "width": 8, "num_levels": 3, "stem_widths": (4, 8), "head_mask_sigma_cells": 3.0}


def system():
    return build_single_network_system(COCO17, NETWORK, {"head_threshold": 0.25})


def test_a_written_system_is_read_back(tmp_path):
    write_single_network_system(tmp_path, system())
    read = read_single_network_system(tmp_path)
    assert read.to_dict() == system().to_dict()
    assert read.network == system().network
    assert read.fit.input_size == (64, 128) and read.fit.heatmap_size == (16, 32)
    assert read.build_network().frame.output["joint_maps"].shape == (None, 16, 32, 17)


def test_inference_masks_heads_as_training_did():
    changed = with_inference(system(), {"head_threshold": 0.1, "head_mask_sigma_cells": 9.0})
    assert (changed.inference.head_threshold, changed.inference.head_mask_sigma_cells) == (0.1, 3.0)
    assert changed.network == system().network


def test_the_anchor_stays_with_the_system(tmp_path):
    anchored = build_single_network_system(COCO17, NETWORK, {}, ["left_hip", "right_hip"])
    write_single_network_system(tmp_path, anchored)
    read = read_single_network_system(tmp_path)
    assert read.anchor_joints == ("left_hip", "right_hip")
    assert with_inference(read, {"use_flip_test": True}).anchor_joints == ("left_hip", "right_hip")
    assert "anchor_joints" not in system().to_dict()
    assert describe_system("single_network", COCO17, 0.1, read.anchor_joints)["anchor_joints"] == [
        "left_hip",
        "right_hip",
    ]
    assert "anchor_joints" not in describe_system("single_network", COCO17, 0.1)


def test_an_anchor_that_does_not_exist_or_that_a_mirror_moves_is_refused():
    with pytest.raises(ValueError, match="anchor_joints must be distinct joints among nose, .*, got 'tail'"):
        build_single_network_system(COCO17, NETWORK, {}, ("tail",))
    one_side = build_single_network_system(COCO17, NETWORK, {}, ("left_hip",))
    with pytest.raises(ValueError, match=r"use_flip_test requires anchor_joints .*, got \('left_hip',\)"):
        with_inference(one_side, {"use_flip_test": True})


def test_a_folder_without_description_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{SINGLE_NETWORK_FILE}: not found; expected the work folder"):
        read_single_network_system(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [{"network": {"wdth": 8}}, {"network": {"input_size": [60, 128]}}, {"skeleton": {}}, {"anchor_joints": "nose"}],
)
def test_a_damaged_description_is_named(tmp_path, damage):
    (tmp_path / SINGLE_NETWORK_FILE).write_text(json.dumps(system().to_dict() | damage))
    with pytest.raises(
        ValueError, match=f"{SINGLE_NETWORK_FILE}: must be the description of a single network, got something else"
    ):
        read_single_network_system(tmp_path)


def test_unknown_settings_are_named():
    with pytest.raises(ValueError, match="network must have settings among .*width.*, got '?wdth"):
        build_single_network_system(COCO17, {"wdth": 3}, {})
    with pytest.raises(ValueError, match="inference must have settings among .*head_threshold.*, got 't_head'"):
        build_single_network_system(COCO17, NETWORK, {"t_head": 0.2})
