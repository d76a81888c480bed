"""Names and conventions of Detectron2 and of the original Detectron."""

from __future__ import annotations

import dataclasses
import gzip
import json
import pickle
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from freed_memory import free_memory

from tfpose.checkpoints import load_for_inference
from tfpose.importing.conversion import convert_checkpoint
from tfpose.importing.import_settings import ImportSettings
from tfpose.inference.keypoint_rcnn_system import read_keypoint_rcnn_settings
from tfpose.models.keypoint_rcnn.network import build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.settings import RESNET50
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.detectron import (
    DETECTRON2_MEAN,
    check_anchors,
    convert_blobs,
    detectron2_name,
    infer_variant,
    select_blobs,
    select_weights,
)
from tfpose.pretrained.keypoint_rcnn import read_keypoint_rcnn
from tfpose.pretrained.keypoint_rcnn_weights import detectron2_names_of
from tfpose.pretrained.named_tensors import Checkpoint

STATISTICS = ("running_mean", "running_var")


@pytest.fixture(scope="module")
def golden(golden_dir):
    """By network: the names and shapes in Detectron2, and the names of the blobs in Detectron."""
    return json.loads(gzip.decompress((golden_dir / "keypoint_rcnn_names.json.gz").read_bytes()))


@pytest.mark.parametrize("network", ["R50", "X101"])
def test_every_blob_gets_its_name_in_detectron2(golden, network):
    names = golden[network]["blobs"]
    assert len(names) > 200
    for name, blob in names.items():
        assert detectron2_name(blob) == name
    shapes = golden[network]["shapes"]
    assert {name for name in shapes if not name.endswith(STATISTICS)} == set(names)


@pytest.mark.parametrize("blob", ["", "res2_0_branch3_w", "conv1_b", "fc6_s", "retnet_cls_w", "res2_0_branch2a_bn_x"])
def test_other_blobs_have_no_name(blob):
    assert detectron2_name(blob) is None


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        *[("s", "weight"), ("gamma", "weight"), ("b", "bias"), ("beta", "bias"), ("rm", "running_mean")],
        *[("running_mean", "running_mean"), ("riv", "running_var"), ("running_var", "running_var")],
    ],
)
def test_normalizations_are_understood_in_all_spellings(end, expected):
    assert detectron2_name(f"res5_2_branch2c_bn_{end}") == f"backbone.bottom_up.res5.2.conv3.norm.{expected}"


@pytest.mark.parametrize(
    ("network", "name", "stride_in", "std"),
    [("R50", "R-50-FPN", "1x1", (1.0, 1.0, 1.0)), ("X101", "X-101-32x8d-FPN", "3x3", (57.375, 57.12, 58.395))],
)
def test_what_the_file_does_not_say_follows_from_the_variant(golden, network, name, stride_in, std):
    shapes = {name: tuple(shape) for name, shape in golden[network]["shapes"].items()}
    variant = infer_variant(shapes, is_legacy=False)
    assert (variant.name, variant.stride_in, variant.pixel_std) == (name, stride_in, std)
    assert variant.pixel_mean == (103.53, 116.28, 123.675)
    legacy = infer_variant(shapes, is_legacy=True)
    assert (legacy.stride_in, legacy.pixel_std) == (stride_in, (1.0, 1.0, 1.0))
    assert legacy.pixel_mean == (102.9801, 115.9465, 122.7717)
    assert legacy.is_legacy


def test_depth_101_without_groups_is_the_resnet(golden):
    shapes = {name: tuple(shape) for name, shape in golden["R50"]["shapes"].items()}
    shapes["backbone.bottom_up.res4.22.conv1.weight"] = (256, 1024, 1, 1)
    assert infer_variant(shapes, is_legacy=False).name == "R-101-FPN"
    shapes["backbone.bottom_up.res4.35.conv1.weight"] = (256, 1024, 1, 1)
    with pytest.raises(ValueError, match=r"res4 must have 6 blocks .depth 50. or 23 .depth 101., got 36"):
        infer_variant(shapes, is_legacy=False)


def test_background_moves_behind_and_its_box_goes():
    arrays = convert_blobs(
        {
            "cls_score_w": np.array([[1.0, 2], [3, 4]]),
            "cls_score_b": np.array([5.0, 6]),
            "bbox_pred_w": np.arange(24.0).reshape(8, 3),
            "bbox_pred_b": np.arange(8.0),
        }
    )
    predictor = "roi_heads.box_predictor."
    np.testing.assert_array_equal(arrays[f"{predictor}cls_score.weight"], [[3, 4], [1, 2]])
    np.testing.assert_array_equal(arrays[f"{predictor}cls_score.bias"], [6, 5])
    np.testing.assert_array_equal(arrays[f"{predictor}bbox_pred.weight"], np.arange(12.0, 24).reshape(4, 3))
    np.testing.assert_array_equal(arrays[f"{predictor}bbox_pred.bias"], [4, 5, 6, 7])


def test_a_normalization_without_statistics_is_exactly_affine():
    arrays = convert_blobs({"res_conv1_bn_s": np.float32([0.5, 2]), "res_conv1_bn_b": np.float32([1, -1])})
    norm = "backbone.bottom_up.stem.conv1.norm."
    x = np.float64([3.0, 7.0])
    normalized = (x - arrays[f"{norm}running_mean"]) / np.sqrt(np.float64(arrays[f"{norm}running_var"]) + 1e-5)
    np.testing.assert_allclose(normalized * arrays[f"{norm}weight"] + arrays[f"{norm}bias"], [2.5, 13], rtol=1e-7)
    given = convert_blobs({"res_conv1_bn_s": np.ones(1), "res_conv1_bn_rm": np.full(1, 4.0)})
    assert given[f"{norm}running_mean"] == 4.0


@pytest.mark.parametrize(
    ("blobs", "message"),
    [
        ({"cls_score_w": np.zeros((81, 4))}, r"cls_score_w must have 2 rows .* got shape \(81, 4\)"),
        ({"bbox_pred_b": np.zeros(4)}, r"bbox_pred_b must have 8 rows .* got shape \(4,\)"),
        ({"res2_0_branch1_bn_s": np.ones(1), "res2_0_branch1_bn_gamma": np.ones(1)}, "there are two blobs for"),
    ],
)
def test_blobs_that_cannot_be_are_named(blobs, message):
    with pytest.raises(ValueError, match=message):
        convert_blobs(blobs)


def test_what_is_no_weight_is_left_out_and_what_is_unknown_is_named():
    blobs = {"fc6_w": 1, "fc6_w_momentum": 1, "__preserve__/x": 1, "kps_score_w": 1, "kps_score_b": 1}
    assert select_blobs(blobs) == {"fc6_w": 1}
    with pytest.raises(ValueError, match="mask_fcn1_w: not a blob of Keypoint R-CNN"):
        select_blobs({**blobs, "mask_fcn1_w": 1})
    tensors = {"pixel_mean": 1, "pixel_std": 1, "proposal_generator.anchor_generator.cell_anchors.4": 1, "x": 1}
    assert select_weights(tensors) == {"x": 1}


@pytest.fixture
def freed():
    """Frees the large network of a test."""
    yield
    free_memory()


def random_arrays(shapes):
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def write_detectron2(path, arrays):
    extra = {"pixel_mean": np.reshape(np.float32(DETECTRON2_MEAN), (3, 1, 1))}
    write_pickle(path, {"model": {**arrays, **extra}, "__author__": "test"})


def write_detectron(path, arrays, names):
    blobs = {blob: arrays[name] for name, blob in names.items()}
    for end in "wb":
        blobs[f"cls_score_{end}"] = blobs[f"cls_score_{end}"][::-1]
        box = blobs[f"bbox_pred_{end}"]
        blobs[f"bbox_pred_{end}"] = np.concatenate([np.full_like(box, 9), box])
    blobs["conv1_w_momentum"] = np.zeros(3, np.float32)
    write_pickle(path, {"blobs": blobs, "cfg": "MODEL:\n  TYPE: generalized_rcnn\n"})


def write_pickle(path, content):
    with open(path, "wb") as file:
        pickle.dump(content, file, 2)


@pytest.mark.usefixtures("freed")
@pytest.mark.parametrize("family", ["detectron2", "detectron"])
def test_a_file_of_the_zoo_becomes_our_network(golden, family, tmp_path):
    arrays = random_arrays(golden["R50"]["shapes"])
    path = tmp_path / "model_final.pkl"
    if family == "detectron2":
        write_detectron2(path, arrays)
    else:
        write_detectron(path, arrays, golden["R50"]["blobs"])
    convert_checkpoint(path, tmp_path / "rcnn.weights.h5", ImportSettings())
    path.unlink()
    free_memory()
    settings = read_keypoint_rcnn_settings(tmp_path / "rcnn")
    mean = (103.53, 116.28, 123.675) if family == "detectron2" else (102.9801, 115.9465, 122.7717)
    assert settings == dataclasses.replace(RESNET50, pixel_mean=mean, conventions=family)
    network = build_unfilled(lambda: build_keypoint_rcnn(settings))
    load_for_inference(network, tmp_path / "rcnn")
    shutil.rmtree(tmp_path)
    variables = detectron2_names_of(network)
    for name in arrays:
        if name.endswith(STATISTICS) and family == "detectron":
            continue
        # In another order; the loader's own tests see to that.
        found, expected = (np.abs(x).sum(dtype=np.float64) for x in (variables[name].numpy(), arrays[name]))
        np.testing.assert_allclose(found, expected, rtol=1e-9, err_msg=name)
    bias = "roi_heads.box_predictor.cls_score.bias"
    np.testing.assert_array_equal(variables[bias].numpy(), arrays[bias])


@dataclasses.dataclass
class Zeros:
    """A tensor of a file that is not there."""

    shape: tuple[int, ...]
    value: float = 0.0

    def to_array(self):
        return np.full(self.shape, self.value, np.float32)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pixel_mean", 123.675, r"pixel_mean must be \(103.53, 116.28, 123.675\) of BGR pixels, got \(123.67"),
        ("pixel_std", 57.12, r"pixel_std must be \(1.0, 1.0, 1.0\) of BGR pixels, got \(57.1"),
    ],
)
def test_a_network_of_other_pixels_is_refused(golden, name, value, message, tmp_path):
    """Detectron2 trains on RGB too, and from PyTorch's ImageNet networks, which divide the pixels."""
    tensors = {name: Zeros(tuple(shape)) for name, shape in golden["R50"]["shapes"].items()}
    checkpoint = Checkpoint(tmp_path / "model.pth", "", "model", tensors | {name: Zeros((3, 1, 1), value)}, {})
    with pytest.raises(ValueError, match=message):
        read_keypoint_rcnn(checkpoint, is_legacy=False)


def test_anchors_of_the_file_are_checked():
    """Those of 32 pixels as Detectron2 prints them."""
    published = [[-22.6274, -11.3137, 22.6274, 11.3137], [-16, -16, 16, 16], [-11.3137, -22.6274, 11.3137, 22.6274]]
    name = "proposal_generator.anchor_generator.cell_anchors.0"
    file = SimpleNamespace(to_array=lambda: np.float32(published))
    check_anchors(RESNET50.anchor_sizes, RESNET50.anchor_ratios, {name: file, "other": None})
    with pytest.raises(ValueError, match=rf"{name} must be boxes of size 16.0 and ratios \(0.5, 1.0, 2.0\), got"):
        check_anchors((16.0, 32.0), RESNET50.anchor_ratios, {name: file})


@pytest.mark.usefixtures("freed")
@pytest.mark.parametrize("family", ["detectron2", "detectron"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, name: tensors.pop(name), "missing: roi_heads.box_head.fc2.bias"),
        (lambda tensors, name: tensors.update({name: Zeros((3,))}), r"roi_heads.box_head.fc2.bias must have shape"),
        (lambda tensors, name: tensors.update({"surplus.weight": Zeros((3,))}), "surplus.weight"),
        (lambda tensors, name: tensors.update({name: Zeros((1024,), np.nan)}), " must hold finite numbers"),
    ],
)
def test_a_missing_extra_misshapen_or_broken_tensor_is_named(golden, family, change, message, tmp_path):
    tensors = {name: Zeros(tuple(shape)) for name, shape in golden["R50"]["shapes"].items()}
    name, path = "roi_heads.box_head.fc2.bias", tmp_path / "model.pkl"
    with open(path, "wb") as file:
        file.truncate(1 << 28)
    if family == "detectron":
        names = golden["R50"]["blobs"]
        tensors = {blob: tensors[name] for name, blob in names.items()}
        tensors |= {"bbox_pred_w": Zeros((8, 1024)), "bbox_pred_b": Zeros((8,))}
        name = names[name]
    change(tensors, name)
    with pytest.raises(ValueError, match=message) as caught:
        read_keypoint_rcnn(Checkpoint(path, "", "", tensors, {}), is_legacy=family == "detectron")
    assert str(path) in str(caught.value)
