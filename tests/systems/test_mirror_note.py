"""Training says that it mirrors images of joints whose left and right it does not know."""

import pytest

from tfpose.flags.config_flag import load_config
from tfpose.skeletons import COCO17, skeleton_from_names
from tfpose.systems.mirror_note import mirror_note

UNKNOWN = skeleton_from_names("own", ("nose", "ojo_uno", "ojo_dos"))


@pytest.mark.parametrize(
    ("joints", "named"),
    [
        (("nose", "vas_oko", "hoger_oko"), "the joints nose, vas_oko, hoger_oko, because skeleton own has no pairs"),
        (("left_eye", "right_eye", "left_paw", "tail"), "the joints left_paw, because"),
        (("left_eye", "right_eye", "tail"), ""),
        (("tail",), ""),
    ],
)
def test_joints_that_a_mirror_leaves_are_named(joints, named):
    note = mirror_note(load_config("two_stage_resnet18_synthetic"), skeleton_from_names("own", joints))
    assert named in note and bool(note) == bool(named)
    assert not note or note.endswith("--config.augmentation.mirror_probability=0")


@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("single_network_synthetic", "augmentation"),
        ("keypoint_rcnn_r50_coco", "input"),
        ("picodet_synthetic", ""),
    ],
)
def test_the_setting_of_each_system_is_named(name, section):
    config = load_config(name)
    assert bool(mirror_note(config, UNKNOWN)) == bool(section)
    assert mirror_note(config, COCO17) == ""


def test_a_detector_without_keypoints_says_nothing():
    config = load_config("keypoint_rcnn_r50_coco")
    config.network.keypoint_head_widths = ()
    assert mirror_note(config, UNKNOWN) == ""


def test_without_mirrored_images_nothing_is_said():
    config = load_config("two_stage_resnet18_synthetic")
    config.augmentation.mirror_probability = 0.0
    assert mirror_note(config, UNKNOWN) == ""
