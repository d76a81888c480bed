"""ViTPose against Hugging Face's outputs, in the names of all publishers, and what mistakes in it would cost."""

from __future__ import annotations

import gzip
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from checkpoint_writers import write_safetensors, write_zip
from formula_weights import make_array

from tfpose.checkpoints import load_for_inference
from tfpose.geometry import heatmap_from_crop, transform_points
from tfpose.heatmaps import decode_heatmaps
from tfpose.importing.conversion import convert_checkpoint
from tfpose.importing.families import FAMILIES, find_family
from tfpose.importing.import_settings import ImportSettings
from tfpose.inference.keypoint_system import read_keypoint_system
from tfpose.models import pose_vit, tinypose, transformer
from tfpose.models.batch_norm import FusedBatchNormalization
from tfpose.models.pose_vit import build_pose_vit
from tfpose.models.simplification import simplify_network
from tfpose.pretrained import pose_vit as names
from tfpose.pretrained.named_tensors import read_checkpoint
from tfpose.pretrained.pose_vit import VIT_NAMES, load_vit_encoder
from tfpose.pretrained.transfer import transfer_weights

# Of the heatmaps' standard deviation.
TOLERANCE = 1e-4
MINI = {"width": 32, "depth": 2, "num_heads": 4, "input_size": (64, 64), "norm_epsilon": 1e-12}
NETWORKS = {
    "vitpose_mini_classic": MINI,
    "vitpose_mini_simple": {**MINI, "decoder": "simple"},
    "vitpose_mini_plus": {**MINI, "num_experts": 6, "expert_width": 8},
}
LARGE_NETWORKS = {
    "vitpose_base": {},
    "vitpose_base_simple": {"decoder": "simple"},
    "vitpose_plus_small": {"width": 384, "num_experts": 6, "expert_width": 96},
}


def make_arrays(description: dict) -> dict[str, np.ndarray]:
    """The weights of a network by the formula."""
    gains = description["gains"]
    return {name: make_array(name, tuple(shape), gains=gains) for name, shape in description["shapes"].items()}


@pytest.fixture(scope="module")
def goldens(golden_dir) -> dict[str, dict]:
    """Weights, inputs and heatmaps of each small network."""
    folder = golden_dir / "published_networks"
    inputs = dict(np.load(folder / "hrnet_w8_mini_inputs.npz"))
    return {
        name: {
            "arrays": make_arrays(json.loads(gzip.decompress((folder / f"{name}.json.gz").read_bytes()))),
            "inputs": inputs,
            "heatmaps": dict(np.load(folder / f"{name}_heatmaps.npz")),
        }
        for name in NETWORKS
    }


def deviation(model: keras.Model, golden: dict) -> float:
    """The largest difference to the publisher's heatmaps in their standard deviations."""
    deviations = []
    for kind, expected in golden["heatmaps"].items():
        heatmaps = np.asarray(model(golden["inputs"][kind].transpose(0, 2, 3, 1), training=False))
        deviations.append(np.abs(heatmaps - expected.transpose(0, 2, 3, 1)).max() / expected.std())
    return max(deviations)


def build_with_weights(name: str, golden: dict, **changes: object) -> keras.Model:
    """A small network with the weights of its golden file."""
    model = build_pose_vit(5, **{**NETWORKS[name], **changes})
    VIT_NAMES.load(model, golden["arrays"])
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_heatmaps_are_those_of_the_publisher(name, goldens):
    assert deviation(build_with_weights(name, goldens[name]), goldens[name]) < TOLERANCE


@pytest.mark.parametrize("name", NETWORKS)
def test_merged_normalizations_change_no_heatmap(name, goldens):
    """The normalizations are random, and so are the experts of `vitpose_mini_plus`."""
    model = build_with_weights(name, goldens[name])
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.name in ("gamma", "beta", "bias"):
            variable.assign(variable + rng.normal(0, 0.3, variable.shape))
    merged = simplify_network(model)
    assert not any(variable.path.startswith("block0/norm") for variable in merged.variables)
    images = next(iter(goldens[name]["inputs"].values())).transpose(0, 2, 3, 1)
    expected = np.asarray(model(images, training=False))
    assert np.abs(np.asarray(merged(images, training=False)) - expected).max() / expected.std() < TOLERANCE


def test_the_graph_for_inference_has_an_error_function_that_onnx_knows():
    network = simplify_network(build_pose_vit(5, **MINI))
    graph = tf.function(lambda images: network(images, training=False))
    operations = {node.type for node in graph.get_concrete_function(tf.zeros((1, 64, 64, 3))).graph.get_operations()}
    assert "Erf" in operations
    assert "Erfc" not in operations


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE_NETWORKS)
def test_heatmaps_of_published_sizes_are_those_of_the_publisher(name, shared_dir):
    folder = shared_dir / "golden" / "keypoint_backbones"
    golden = {
        "inputs": np.load(folder / "inputs_256x192.npz"),
        "heatmaps": dict(np.load(folder / f"{name}_heatmaps.npz")),
    }
    model = build_pose_vit(17, norm_epsilon=1e-12, **LARGE_NETWORKS[name])
    VIT_NAMES.load(model, make_arrays(json.loads((folder / f"{name}.json").read_text())))
    assert deviation(model, golden) < TOLERANCE


def rename(arrays: dict[str, np.ndarray], pairs: list[tuple[str, str]]) -> dict[str, np.ndarray]:
    """The arrays under other names: every pair of a pattern and its replacement in turn."""
    renamed = {}
    for name, array in arrays.items():
        for pattern, replacement in pairs:
            name = re.sub(pattern, replacement, name)
        renamed[name] = array
    return renamed


def with_joined_attention(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with one matrix of queries, keys and values, as the authors and MMPose store them."""
    joined = {name: array for name, array in arrays.items() if ".attention.attention." not in name}
    for name in arrays:
        if ".attention.attention.query." in name:
            parts = [arrays[name.replace("query", part)] for part in ("query", "key", "value")]
            joined[name.replace("attention.attention.query", "attn.qkv")] = np.concatenate(parts)
    return joined


DECODER_NAMES = [
    (r"head\.deconv1", "head.deconv_layers.0"),
    (r"head\.batchnorm1", "head.deconv_layers.1"),
    (r"head\.deconv2", "head.deconv_layers.3"),
    (r"head\.batchnorm2", "head.deconv_layers.4"),
    (r"head\.conv", "head.final_layer"),
]


def of_authors(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The names of the authors' code, with what their files of ViTPose++ also hold."""
    pairs = [
        (r"embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
        (r"embeddings\.position_embeddings", "pos_embed"),
        (r"encoder\.layer", "blocks"),
        (r"attention\.output\.dense", "attn.proj"),
        ("layernorm_before", "norm1"),
        ("layernorm_after", "norm2"),
        (r"backbone\.layernorm", "backbone.last_norm"),
        *DECODER_NAMES,
        (r"^head\.", "keypoint_head."),
    ]
    extra = {"associate_keypoint_heads.0.final_layer.weight": np.ones(3), "backbone.cls_token": np.ones((1, 1, 32))}
    return {**rename(with_joined_attention(arrays), pairs), **extra}


def of_mmpose(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The names of MMPose 1.x, whose positions include that of the class token."""
    pairs = [
        (r"embeddings\.patch_embeddings\.projection", "patch_embed.projection"),
        (r"embeddings\.position_embeddings", "pos_embed"),
        (r"encoder\.layer", "layers"),
        (r"attention\.output\.dense", "attn.proj"),
        (r"layernorm_before", "ln1"),
        (r"layernorm_after", "ln2"),
        (r"backbone\.layernorm", "backbone.ln1"),
        (r"mlp\.fc1", "ffn.layers.0.0"),
        (r"mlp\.fc2", "ffn.layers.1"),
        *DECODER_NAMES,
    ]
    renamed = rename(with_joined_attention(arrays), pairs)
    positions = renamed["backbone.pos_embed"]
    return {**renamed, "backbone.pos_embed": positions[:, 1:] + positions[:, :1]}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("publisher", [of_authors, of_mmpose])
def test_the_names_of_all_publishers_mean_the_same(name, publisher, goldens):
    if publisher is of_mmpose and name == "vitpose_mini_plus":
        pytest.skip("MMPose has no experts")
    model = build_pose_vit(5, **NETWORKS[name])
    VIT_NAMES.load(model, publisher(goldens[name]["arrays"]))
    assert deviation(model, goldens[name]) < TOLERANCE


def write_hub_folder(folder, arrays) -> None:
    """A folder as `save_pretrained` of Hugging Face's library writes it."""
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", arrays)
    config = {"backbone_config": {"num_attention_heads": 4, "image_size": [64, 64], "layer_norm_eps": 1e-12}}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folder_of_hugging_face_becomes_a_work_folder(name, goldens, tmp_path):
    golden = goldens[name]
    write_hub_folder(tmp_path / "hub", golden["arrays"])
    convert_checkpoint(tmp_path / "hub", tmp_path / "vit.weights.h5", ImportSettings(), say=lambda line: None)
    system = read_keypoint_system(tmp_path / "vit")
    assert {**system.network, "decoder": ""} == {
        "name": "pose_vit",
        "decoder": "",
        "num_experts": NETWORKS[name].get("num_experts", 0),
        "expert_width": NETWORKS[name].get("expert_width", 0),
        **{key: value for key, value in MINI.items()},
        "input_size": (64, 64),
    }
    assert (system.crop.convention, system.keypoints.decoding, system.keypoints.shift_one_cell) == ("udp", "udp", False)
    network = system.build_network()
    load_for_inference(network, tmp_path / "vit")
    assert deviation(network, golden) < TOLERANCE


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"a folder must hold model.safetensors, got none"):
        read_checkpoint(tmp_path)


def test_the_decoding_of_the_hub_can_be_chosen(goldens, tmp_path):
    write_hub_folder(tmp_path / "hub", goldens["vitpose_mini_simple"]["arrays"])
    convert_checkpoint(
        tmp_path / "hub", tmp_path / "vit.weights.h5", ImportSettings(decoding="udp_hub"), say=lambda line: None
    )
    system = read_keypoint_system(tmp_path / "vit")
    assert (system.crop.convention, system.keypoints.decoding, system.keypoints.shift_one_cell) == (
        "udp",
        "udp_hub",
        False,
    )


def test_an_unknown_width_needs_the_number_of_heads(goldens, tmp_path):
    write_zip(tmp_path / "vit_64x64.pth", goldens["vitpose_mini_classic"]["arrays"])
    checkpoint = read_checkpoint(tmp_path / "vit_64x64.pth")
    assert find_family(checkpoint) is FAMILIES["vitpose"]
    with pytest.raises(ValueError, match=r"vit_64x64.pth: num_attention_heads must be in a config.json"):
        find_family(checkpoint).infer_system(checkpoint, ImportSettings())


def inverse(affine: np.ndarray) -> np.ndarray:
    """The inverse of an affine map [2, 3]."""
    return np.linalg.inv(np.vstack([affine, [0, 0, 1]]).astype(np.float64))[:2]


def test_keypoints_are_those_of_the_hub(golden_dir):
    golden = np.load(golden_dir / "published_networks" / "vitpose_decoding.npz")
    heatmaps = tf.constant(golden["heatmaps"].transpose(0, 2, 3, 1))
    cells, scores = decode_heatmaps(heatmaps, "udp_hub")
    crop = inverse(heatmap_from_crop((256, 192), (64, 48), "udp"))
    keypoints = transform_points(crop, np.asarray(cells))
    for row, crop_from_image in enumerate(golden["crop_from_image"]):
        found = transform_points(inverse(crop_from_image), np.asarray(keypoints[row]))
        assert np.abs(np.asarray(found) - golden["keypoints"][row]).max() < 1e-3
    np.testing.assert_allclose(scores, golden["scores"], atol=1e-6)


def test_the_published_blur_gives_other_keypoints_than_the_hub(golden_dir):
    heatmaps = np.load(golden_dir / "published_networks" / "vitpose_decoding.npz")["heatmaps"].transpose(0, 2, 3, 1)
    hub, published = (np.asarray(decode_heatmaps(heatmaps, method)[0]) for method in ("udp_hub", "udp"))
    assert np.abs(hub - published).max() > 0.05


class WithoutClass:
    """Positions without the vector of the class token."""

    def __init__(self, find_positions):
        self.find_positions = find_positions

    def __call__(self, array, shape, has_class):
        return self.find_positions(array[:, 1:], shape, has_class=False)


def make_mistake(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the library make a mistake."""
    ops = keras.ops
    if mistake == "order of attention":
        monkeypatch.setattr(names, "_PARTS", ("key", "query", "value"))
    elif mistake == "approximate gelu":
        monkeypatch.setattr(transformer, "_gelu", lambda x: keras.activations.gelu(x, approximate=True))
    elif mistake == "no class token":
        monkeypatch.setattr(names, "_find_positions", WithoutClass(names._find_positions))
    elif mistake == "aligned corners":
        enlarge = tinypose.AlignedUpsampling
        monkeypatch.setattr(pose_vit.layers, "UpSampling2D", lambda size, interpolation, **rest: enlarge(size, **rest))
    elif mistake == "no relu":
        monkeypatch.setattr(pose_vit, "rectify", lambda x, policy, name: x)
    else:
        join = ops.concatenate
        monkeypatch.setattr(transformer.ops, "concatenate", lambda parts, axis: join(parts[::-1], axis=axis))


@pytest.mark.parametrize(
    ("mistake", "name"),
    [
        ("order of attention", "vitpose_mini_classic"),
        ("approximate gelu", "vitpose_mini_classic"),
        ("no class token", "vitpose_mini_classic"),
        ("aligned corners", "vitpose_mini_simple"),
        ("no relu", "vitpose_mini_simple"),
        ("experts first", "vitpose_mini_plus"),
    ],
)
def test_mistakes_are_seen(mistake, name, goldens, monkeypatch):
    make_mistake(mistake, monkeypatch)
    assert deviation(build_with_weights(name, goldens[name]), goldens[name]) > 3 * TOLERANCE


def test_another_expert_gives_other_heatmaps(goldens):
    model = build_with_weights("vitpose_mini_plus", goldens["vitpose_mini_plus"], expert=1)
    assert deviation(model, goldens["vitpose_mini_plus"]) > 0.01


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_gives_float32_heatmaps_near_those_of_float32(name, goldens):
    for dtype, limit in (("mixed_float16", 0.05), ("mixed_bfloat16", 0.3)):
        model = build_with_weights(name, goldens[name], dtype=dtype)
        assert model.output.dtype == "float32"
        assert deviation(model, goldens[name]) < limit


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_for_inference_has_the_same_heatmaps(name, goldens):
    folded = simplify_network(build_with_weights(name, goldens[name], drop_path_rate=0.5, dtype="mixed_float16"))
    assert not [layer for layer in folded.layers if isinstance(layer, FusedBatchNormalization)]
    assert deviation(folded, goldens[name]) < TOLERANCE


def keys_weight(distance: float, a: float = -0.75) -> float:
    """The cubic kernel of Keys, 1981, equation 4, with -0.75 in place of -0.5."""
    t = abs(distance)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def test_positions_are_resampled_for_another_size(goldens):
    """Expected: PyTorch's rule, `interpolate(mode="bicubic", align_corners=False)`: Keys' cubic kernel with -0.75."""
    row = np.random.default_rng(0).normal(size=8).astype(np.float32)
    positions = np.tile(row[None, :, None], (6, 1, 2))[None]
    larger = transformer.resize_positions(positions, (6, 16))
    for column in range(16):
        place = (column + 0.5) / 2 - 0.5
        cells = np.arange(np.floor(place) - 1, np.floor(place) + 3)
        expected = sum(keys_weight(place - cell) * row[int(np.clip(cell, 0, 7))] for cell in cells)
        np.testing.assert_allclose(larger[0, :, column], expected, atol=1e-5)
    np.testing.assert_array_equal(transformer.resize_positions(positions, (6, 8)), positions)
    model = build_pose_vit(5, **{**MINI, "input_size": (128, 96)})
    VIT_NAMES.load(model, goldens["vitpose_mini_classic"]["arrays"])
    positions = model.get_layer("positions").positions
    source = goldens["vitpose_mini_classic"]["arrays"]["backbone.embeddings.position_embeddings"]
    expected = transformer.resize_positions((source[:, 1:] + source[:, :1]).reshape(1, 4, 4, 32), (8, 6))
    np.testing.assert_array_equal(np.asarray(positions), expected)


def test_weights_move_to_a_network_with_another_size_and_other_joints(goldens):
    source = build_with_weights("vitpose_mini_classic", goldens["vitpose_mini_classic"])
    target = build_pose_vit(3, **{**MINI, "input_size": (96, 64), "drop_path_rate": 0.3})
    transfer_weights(source, target, ["a", "b", "c", "d", "e"], ["b", "x", "e"])
    expected = transformer.resize_positions(np.asarray(source.get_layer("positions").positions), (6, 4))
    np.testing.assert_array_equal(np.asarray(target.get_layer("positions").positions), expected)
    heatmaps = np.asarray(target.get_layer("heatmaps").kernel)
    np.testing.assert_array_equal(heatmaps[..., [0, 2]], np.asarray(source.get_layer("heatmaps").kernel)[..., [1, 4]])


def test_an_encoder_of_a_pretraining_starts_a_network(goldens, tmp_path):
    """Expected: the layers of the encoder, with the positions of a square resampled; the decoder keeps its weights."""
    arrays = of_authors(goldens["vitpose_mini_classic"]["arrays"])
    encoder = {
        name.removeprefix("backbone.").replace("last_norm", "norm"): array
        for name, array in arrays.items()
        if name.startswith("backbone.")
    }
    extra = {"mask_token": np.ones((1, 1, 32)), "decoder_embed.weight": np.ones((4, 32)), "head.bias": np.ones(9)}
    write_zip(tmp_path / "mae.pth", {"model": {**encoder, **extra}})
    model = build_pose_vit(5, **{**MINI, "input_size": (96, 64)})
    before = np.asarray(model.get_layer("deconv1_conv").kernel)
    load_vit_encoder(model, str(tmp_path / "mae.pth"))
    whole = build_with_weights("vitpose_mini_classic", goldens["vitpose_mini_classic"])
    for layer in ("block0", "block1", "norm", "patches"):
        for ours, theirs in zip(model.get_layer(layer).weights, whole.get_layer(layer).weights, strict=True):
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    np.testing.assert_array_equal(np.asarray(model.get_layer("deconv1_conv").kernel), before)
    del encoder["blocks.1.mlp.fc2.bias"]
    write_zip(tmp_path / "cut.pth", {"model": encoder})
    with pytest.raises(ValueError, match=r"cut.pth: The weights do not fit the model; missing: block1.contract.bias"):
        load_vit_encoder(model, str(tmp_path / "cut.pth"))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("head.conv.weight", None, r"missing: heatmaps.weight"),
        ("strange.weight", np.ones(3), r"not in the model: strange.weight"),
        ("head.conv.bias", np.ones(4), r"heatmaps.bias must have shape \(5,\), got \(4,\)"),
        ("backbone.encoder.layer.1.attention.attention.key.bias", None, r"missing: block1.key.bias"),
        ("backbone.embeddings.position_embeddings", np.ones((17, 32)), r"positions must have shape \(1, 17, 32\)"),
        ("backbone.encoder.layer.1.mlp.fc1.weight", np.ones((4, 4, 1, 1)), r"block1.expand.weight must have shape"),
        ("head.conv.bias", np.ones(5, np.int8), r"heatmaps.bias must hold floating-point numbers, got int8"),
        ("head.deconv2.weight", np.ones((4, 4)), r"deconv2_conv.weight must have shape \(256, 256, 4, 4\)"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_changes(name, change, words, goldens):
    arrays = dict(goldens["vitpose_mini_classic"]["arrays"])
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change
    model = build_pose_vit(5, **MINI)
    before = model.get_weights()
    with pytest.raises(ValueError, match=words):
        VIT_NAMES.load(model, arrays)
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
