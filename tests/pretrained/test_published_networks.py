"""HRNet and PP-TinyPose against the outputs of their publishers' code, and what mistakes in them would cost."""

from __future__ import annotations

import gzip
import json

import keras
import numpy as np
import pytest
from checkpoint_writers import write_legacy, write_safetensors, write_zip
from formula_weights import make_array, paddle_name
from network_mistakes import BilinearUpSampling2D, pad_like_keras, take_keras_epsilon

from tfpose.checkpoints import load_for_inference
from tfpose.importing.conversion import convert_checkpoint
from tfpose.importing.families import FAMILIES, find_family
from tfpose.importing.import_settings import ImportSettings
from tfpose.inference.keypoint_system import read_keypoint_system
from tfpose.models import pose_hrnet, tinypose
from tfpose.models.batch_norm import FusedBatchNormalization, fold_batch_norm
from tfpose.pretrained.named_tensors import read_checkpoint
from tfpose.pretrained.pose_hrnet import HRNET_NAMES
from tfpose.pretrained.published_names import load_published_arrays
from tfpose.pretrained.tinypose import TINYPOSE_NAMES

# Of the heatmaps' standard deviation; float32 against float64 is at most 1e-5.
TOLERANCE = 1e-4
SIZE = (64, 64)
NETWORKS = {
    "hrnet_w8_mini": (
        HRNET_NAMES,
        lambda **changes: pose_hrnet.build_pose_hrnet(
            5, width=8, input_size=SIZE, modules=(1, 2, 2), blocks_per_branch=1, **changes
        ),
    ),
    "tinypose_mini": (
        TINYPOSE_NAMES,
        lambda **changes: tinypose.build_tinypose(
            5, width=8, input_size=SIZE, modules=(1, 2, 1), units_per_branch=1, **changes
        ),
    ),
}


@pytest.fixture(scope="module")
def goldens(golden_dir) -> dict[str, dict]:
    """Weights, inputs and heatmaps of each network."""
    folder = golden_dir / "published_networks"
    result = {}
    for name in NETWORKS:
        description = json.loads(gzip.decompress((folder / f"{name}.json.gz").read_bytes()))
        rename = paddle_name if name.startswith("tinypose") else str
        arrays = {
            rename(key): make_array(key, tuple(shape), gains=description["gains"])
            for key, shape in description["shapes"].items()
        }
        data = {kind: dict(np.load(folder / f"{name}_{kind}.npz")) for kind in ("inputs", "heatmaps")}
        result[name] = {"arrays": arrays, **data}
    return result


def largest_deviation(name: str, golden: dict, **changes: object) -> float:
    """The largest difference to the publisher's heatmaps in their standard deviations."""
    names, build = NETWORKS[name]
    model = build(**changes)
    load_published_arrays(model, golden["arrays"], names)
    deviations = []
    for kind, expected in golden["heatmaps"].items():
        heatmaps = np.asarray(model(golden["inputs"][kind].transpose(0, 2, 3, 1), training=False))
        deviations.append(np.abs(heatmaps - expected.transpose(0, 2, 3, 1)).max() / expected.std())
    return max(deviations)


@pytest.mark.parametrize("name", NETWORKS)
def test_heatmaps_are_those_of_the_publisher(name, goldens):
    assert largest_deviation(name, goldens[name]) < TOLERANCE


def of_mmpose(arrays, head):
    """The names of MMPose."""
    return {
        f"{head}.{name}" if name.startswith("final_layer.") else f"backbone.{name}": a for name, a in arrays.items()
    }


@pytest.mark.parametrize(
    ("write", "rename"),
    [
        (write_zip, lambda arrays: arrays),
        (write_legacy, lambda arrays: {"state_dict": {f"module.{name}": array for name, array in arrays.items()}}),
        (write_zip, lambda arrays: {"state_dict": of_mmpose(arrays, "head"), "meta": {}}),
        (write_legacy, lambda arrays: {"state_dict": of_mmpose(arrays, "keypoint_head")}),
        (write_safetensors, lambda arrays: arrays),
    ],
    ids=["original", "in training", "MMPose 1", "MMPose 0", "safetensors"],
)
def test_an_hrnet_is_recognized_in_the_files_of_all_publishers(write, rename, goldens, tmp_path):
    arrays = goldens["hrnet_w8_mini"]["arrays"]
    write(tmp_path / "pose_hrnet_w8_64x64.pth", rename(arrays))
    checkpoint = read_checkpoint(tmp_path / "pose_hrnet_w8_64x64.pth")
    assert find_family(checkpoint) is FAMILIES["hrnet"]
    assert {HRNET_NAMES.canonical(name) for name in checkpoint.tensors} == set(arrays)
    system = find_family(checkpoint).infer_system(checkpoint, ImportSettings()).system
    assert (system.normalization.channel_order, system.crop.crop_size) == ("rgb", (64, 64))
    settings = {"width": 8, "modules": (1, 2, 2), "blocks_per_branch": 1, "input_size": (64, 64)}
    assert system.network == {"name": "pose_hrnet", **settings}


def test_an_imported_hrnet_has_the_heatmaps_of_its_publisher(goldens, tmp_path):
    golden = goldens["hrnet_w8_mini"]
    write_zip(tmp_path / "pose_hrnet_w8_64x64.pth", golden["arrays"])
    weights = tmp_path / "hrnet.weights.h5"
    convert_checkpoint(tmp_path / "pose_hrnet_w8_64x64.pth", weights, ImportSettings(), say=lambda line: None)
    network = read_keypoint_system(tmp_path / "hrnet").build_network()
    load_for_inference(network, tmp_path / "hrnet")
    expected = golden["heatmaps"]["smooth"]
    heatmaps = np.asarray(network(golden["inputs"]["smooth"].transpose(0, 2, 3, 1), training=False))
    assert np.abs(heatmaps - expected.transpose(0, 2, 3, 1)).max() < TOLERANCE * expected.std()


def skip_relu_of_fusion(function):
    return lambda x, policy, name: x if name.endswith("_relu") and "fuse" in name else function(x, policy, name)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("mistake", ["bilinear", "no relu", "padding", "epsilon"])
def test_mistakes_are_seen(name, mistake, goldens, monkeypatch):
    module = tinypose if name.startswith("tinypose") else pose_hrnet
    if mistake == "bilinear":
        monkeypatch.setattr(module.layers, "UpSampling2D", BilinearUpSampling2D)
    elif mistake == "no relu":
        monkeypatch.setattr(module, "rectify", skip_relu_of_fusion(module.rectify))
    elif mistake == "padding":
        pad_like_keras(monkeypatch)
    else:
        take_keras_epsilon(monkeypatch)
    assert largest_deviation(name, goldens[name]) > 10 * TOLERANCE


def count_branch_0_once(terms, module, name):
    kept = terms if terms[0] is not terms[1] else terms[1:]
    return keras.layers.Add(dtype=module.policy, name=f"{module.name}_{name}_add")(kept)


class SplitInterleave(keras.layers.Layer):
    """Joins the halves without mixing them."""

    def call(self, inputs):
        return keras.ops.concatenate(inputs, axis=-1)


@pytest.mark.parametrize(
    ("attribute", "replacement"),
    [
        ("_add", count_branch_0_once),
        ("InterleaveChannels", SplitInterleave),
        ("AlignedUpsampling", BilinearUpSampling2D),
    ],
)
def test_mistakes_in_tinypose_are_seen(attribute, replacement, goldens, monkeypatch):
    monkeypatch.setattr(tinypose, attribute, replacement)
    assert largest_deviation("tinypose_mini", goldens["tinypose_mini"]) > 10 * TOLERANCE


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_is_named_the_same_in_two_networks(name):
    first, second = ([layer.name for layer in NETWORKS[name][1]().layers] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("name", NETWORKS)
def test_all_normalizations_merge_into_their_convolutions(name, goldens):
    names, build = NETWORKS[name]
    model = build()
    load_published_arrays(model, goldens[name]["arrays"], names)
    folded = fold_batch_norm(model)
    assert not [layer for layer in folded.layers if isinstance(layer, FusedBatchNormalization)]
    images = goldens[name]["inputs"]["noise"].transpose(0, 2, 3, 1)
    expected = np.asarray(model(images))
    assert np.abs(np.asarray(folded(images)) - expected).max() < TOLERANCE * expected.std()


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_gives_float32_heatmaps_near_those_of_float32(name, goldens):
    assert largest_deviation(name, goldens[name], dtype="mixed_float16") < 0.1
    assert largest_deviation(name, goldens[name], dtype="mixed_bfloat16") < 0.5


@pytest.mark.parametrize("name", NETWORKS)
def test_a_missing_and_a_superfluous_tensor_are_named(name, goldens):
    names, build = NETWORKS[name]
    arrays = dict(goldens[name]["arrays"])
    missing = next(key for key in arrays if key.endswith("weight"))
    arrays["strange.weight"] = arrays.pop(missing)
    with pytest.raises(ValueError, match=r"missing.*not in the model: strange\.weight"):
        load_published_arrays(build(), arrays, names)


@pytest.mark.parametrize(
    ("build", "changes", "words"),
    [
        (pose_hrnet.build_pose_hrnet, {"input_size": (100, 64)}, "input_size must be"),
        (pose_hrnet.build_pose_hrnet, {"modules": (1, 2)}, "modules must be"),
        (pose_hrnet.build_pose_hrnet, {"width": 0}, "width must be"),
        (tinypose.build_tinypose, {"input_size": (64,)}, "input_size must be"),
        (tinypose.build_tinypose, {"width": 7}, "width must be an even"),
        (tinypose.build_tinypose, {"units_per_branch": 0}, "units_per_branch must be"),
    ],
)
def test_arguments_are_checked(build, changes, words):
    with pytest.raises(ValueError, match=words):
        build(5, **changes)


def test_sizes_may_vary():
    model = tinypose.build_tinypose(3, width=8, input_size=(None, None), modules=(1, 1, 1), units_per_branch=1)
    for height, width in ((64, 32), (96, 128)):
        images = np.random.default_rng(0).normal(size=(1, height, width, 3)).astype(np.float32)
        fixed = tinypose.build_tinypose(3, width=8, input_size=(height, width), modules=(1, 1, 1), units_per_branch=1)
        fixed.set_weights(model.get_weights())
        np.testing.assert_allclose(np.asarray(model(images)), np.asarray(fixed(images)), atol=1e-6)
