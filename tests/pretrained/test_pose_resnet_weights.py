"""Public weights in our network against the outputs of the PyTorch originals."""

from __future__ import annotations

import json
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpose.losses import mean_heatmap_loss
from tfpose.models.batch_norm import fold_batch_norm
from tfpose.models.pose_resnet import build_pose_resnet
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.pose_resnet import RESNET_NAMES
from tfpose.pretrained.published_names import load_published_arrays
from tfpose.pretrained.transfer import transfer_weights
from tfpose.skeletons import COCO17, POSETRACK15

# Of the maps' standard deviation; float32 against float64 is 6e-6, the mildest mistake 3e-2.
TOLERANCE = 1e-4
INPUTS = ("noise", "crop_microsoft", "crop_mmpose")


@pytest.fixture(scope="module")
def golden(golden_dir) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "simple_baseline" / "network_heatmaps.npz") as data:
        return dict(data)


def deviation_on_noise(model: keras.Model, golden: dict[str, np.ndarray], key: str) -> float:
    heatmaps = np.asarray(model(golden["noise"], training=False))[:, ::4, ::4]
    return float(np.abs(heatmaps - golden[key]).max() / golden[f"{key}_std"])


def deviations_on_all_inputs(model: keras.Model, shared_dir, key: str) -> list[float]:
    folder = shared_dir / "golden" / "simple_baseline"
    deviations = []
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / f"heatmaps_{key}.npz") as maps:
        for name in INPUTS:
            heatmaps = np.asarray(model(inputs[name].transpose(0, 2, 3, 1), training=False))
            expected = maps[name].transpose(0, 2, 3, 1)
            deviations.append(float(np.abs(heatmaps - expected).max() / expected.std()))
    return deviations


@pytest.mark.parametrize(("key", "salt"), [("r50_j17", 0), ("r50_j15", 1)])
def test_the_formula_makes_the_golden_weights(make_arrays, golden_dir, key, salt):
    path = golden_dir / "simple_baseline" / "network_models.json"
    arrays = make_arrays(key, salt)
    crc = 0
    for name in sorted(name for name in arrays if not name.endswith("num_batches_tracked")):
        crc = zlib.crc32(arrays[name].astype("<f4").tobytes(), crc)
    assert f"{crc:08x}" == json.loads(path.read_text())[key]["weights_crc32"]


def test_heatmaps_of_noise_match_the_original(r50, golden):
    assert deviation_on_noise(r50, golden, "r50_j17") < TOLERANCE


def test_heatmaps_of_all_inputs_match_the_original(r50, shared_dir):
    assert max(deviations_on_all_inputs(r50, shared_dir, "r50_j17")) < TOLERANCE


def test_folded_heatmaps_match_the_original(r50, golden):
    folded = fold_batch_norm(r50)
    assert not any("_bn" in layer.name for layer in folded.layers)
    assert deviation_on_noise(folded, golden, "r50_j17") < TOLERANCE


def test_heatmaps_of_15_joints_match_the_original(make_arrays, golden, shared_dir):
    model = build_unfilled(lambda: build_pose_resnet(15))
    load_published_arrays(model, make_arrays("r50_j15", 1), RESNET_NAMES)
    assert deviation_on_noise(model, golden, "r50_j15") < TOLERANCE
    assert max(deviations_on_all_inputs(model, shared_dir, "r50_j15")) < TOLERANCE


def test_names_of_mmpose_give_the_same_network(r50, make_arrays):
    """Both of its heads: that of MMPose 0.x has another prefix."""
    arrays = make_arrays("mmpose_r50", 0)
    old_head = {f"keypoint_{name}" if name.startswith("head.") else name: array for name, array in arrays.items()}
    assert any(name.startswith("keypoint_head.deconv_layers") for name in old_head)
    assert [*map(RESNET_NAMES.canonical, old_head)] == [*map(RESNET_NAMES.canonical, arrays)]
    model = build_unfilled(lambda: build_pose_resnet(17))
    load_published_arrays(model, old_head, RESNET_NAMES)
    for ours, theirs in zip(model.variables, r50.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)


def test_heatmaps_of_152_layers_match_the_original(make_arrays, golden, shared_dir):
    model = build_unfilled(lambda: build_pose_resnet(17, depth=152))
    load_published_arrays(model, make_arrays("r152_j17", 0), RESNET_NAMES)
    assert deviation_on_noise(model, golden, "r152_j17") < TOLERANCE
    assert max(deviations_on_all_inputs(model, shared_dir, "r152_j17")) < TOLERANCE


# Mistakes that keep every shape; each must move the heatmaps as far as it moved the original's.


def _set_epsilon(model, epsilon):
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = epsilon


def _pad_as_same_does(model, ending, before, after):
    for layer in model.layers:
        if layer.name.endswith(ending):
            layer.padding = ((before, after), (before, after))


def _change_kernel(model, name, change):
    layer = model.get_layer(name)
    layer.kernel.assign(change(layer.kernel.numpy()))


def _flip_deconvolutions(model):
    for index in (1, 2, 3):
        _change_kernel(model, f"deconv{index}_conv", lambda kernel: kernel[::-1, ::-1])


def _swap_deconvolution_axes(model):
    for index in (2, 3):
        _change_kernel(model, f"deconv{index}_conv", lambda k: k.transpose(0, 1, 3, 2))


MISTAKES = {
    "batch-norm epsilon 1e-3 (the Keras default)": lambda m: _set_epsilon(m, 1e-3),
    "stem convolution padded (2,3) as 'same' does": lambda m: _pad_as_same_does(m, "stem_conv_pad", 2, 3),
    "max pooling padded (0,1) as 'same' does": lambda m: _pad_as_same_does(m, "stem_pool_pad", 0, 1),
    "3x3 stride-2 convolutions padded (0,1) as 'same' does": lambda m: _pad_as_same_does(m, "conv2_pad", 0, 1),
    "stride on the first 1x1 (caffe style)": None,
    "deconvolution kernels spatially flipped": _flip_deconvolutions,
    "deconvolution in/out axes swapped where square": _swap_deconvolution_axes,
    "input channels reversed (RGB for BGR)": lambda m: _change_kernel(
        m, "stem_conv", lambda kernel: kernel[:, :, ::-1]
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_silent_mistake_would_be_seen(r50_arrays, golden, golden_dir, mistake):
    path = golden_dir / "simple_baseline" / "network_wrong_imports.json"
    expected = json.loads(path.read_text())["deviation"][mistake]
    change = MISTAKES[mistake]
    model = build_unfilled(lambda: build_pose_resnet(17, stride_in="3x3" if change else "1x1"))
    load_published_arrays(model, r50_arrays, RESNET_NAMES)
    if change:
        change(model)
    deviation = deviation_on_noise(model, golden, "r50_j17")
    # A sixteenth of the cells may miss the largest difference, but not by half.
    assert 0.5 * expected < deviation <= 1.001 * expected
    assert deviation > 100 * TOLERANCE


@pytest.fixture(scope="module")
def training(make_arrays, golden_dir) -> dict:
    """Two steps of Adam in float64 on the golden batch, and the golden values."""
    folder = golden_dir / "simple_baseline"
    expected = json.loads((folder / "network_train_step.json").read_text())
    with np.load(folder / "network_train_step.npz") as data:
        batch = {name: data[name] for name in data}
    model = build_unfilled(lambda: build_pose_resnet(17, input_size=(128, 96), dtype="float64"))
    load_published_arrays(model, make_arrays("r50_j17", expected["salt"]), RESNET_NAMES)
    names = {id(variable): name for name, (_, variable) in RESNET_NAMES.of_weights(model).items()}
    names = [names[id(variable)] for variable in model.trainable_variables]
    result = {"expected": expected, "batch": batch, "names": names}
    compute = _build_gradient_function(model, batch)
    loss, heatmaps, gradients = compute()
    result["heatmaps"] = heatmaps.numpy()
    result["gradient_norms"] = [np.linalg.norm(gradient.numpy()) for gradient in gradients]
    result["running"] = {
        name: variable.numpy() for name, (_, variable) in RESNET_NAMES.of_weights(model).items() if ".running_" in name
    }
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        variable.assign_sub(first_update(gradient.numpy()))
    del gradients, gradient, heatmaps  # A third of a gigabyte.
    result["losses"] = [float(loss), float(compute()[0])]
    return result


def first_update(gradient: np.ndarray) -> np.ndarray:
    """The first step of PyTorch's Adam, where both moments are those of one gradient; Keras adds epsilon before."""
    return 1e-3 * gradient / (np.abs(gradient) + 1e-8)


def _build_gradient_function(model, batch):
    images, target, weight = (tf.constant(batch[name], tf.float64) for name in ("input", "target", "weight"))
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function
    def compute():
        with tf.GradientTape() as tape:
            heatmaps = model(images, training=True)
            loss = mean_heatmap_loss(target, heatmaps, weight, reduction="all", scale=0.5)
        return loss, heatmaps, tape.gradient(loss, variables)

    return compute


def test_losses_of_two_steps_match_the_original(training):
    np.testing.assert_allclose(training["losses"], training["expected"]["loss_per_step_float64"][:2], rtol=1e-9)


def test_heatmaps_in_training_mode_match_the_original(training):
    expected = training["batch"]["output"]
    deviation = np.abs(training["heatmaps"][:, ::4, ::4] - expected).max() / expected.std()
    assert deviation < 1e-5


def test_gradient_norms_match_the_original(training):
    norms = dict(zip(training["names"], training["gradient_norms"], strict=True))
    expected = training["expected"]["grad_l2_step0"]
    assert norms.keys() == expected.keys()
    for name, norm in norms.items():
        np.testing.assert_allclose(norm, expected[name], rtol=1e-8, err_msg=name)


def test_running_statistics_after_a_step_match_the_original(training):
    for layer, statistics in training["expected"]["running_after_step0"].items():
        for kind, expected in statistics.items():
            found = training["running"][f"{layer}.running_{kind}"][: len(expected)]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7, err_msg=layer)


# Errors and transfers, on small networks.


def build_small(num_joints=3, **kwargs):
    return build_pose_resnet(num_joints, depth=18, input_size=(32, 32), base_width=4, deconv_filters=8, **kwargs)


def small_arrays(model):
    rng = np.random.default_rng(0)
    arrays = {}
    for name, (_, variable) in RESNET_NAMES.of_weights(model).items():
        shape = tuple(variable.shape)
        value = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        arrays[name] = value.transpose(3, 2, 0, 1) if len(shape) == 4 else value
    return arrays


def test_prefixes_are_dropped():
    assert RESNET_NAMES.canonical("module.head.final_layer.bias") == "final_layer.bias"
    assert RESNET_NAMES.canonical("keypoint_head.deconv_layers.0.weight") == "deconv_layers.0.weight"
    assert RESNET_NAMES.canonical("layer1.0.bn1.weight") == "layer1.0.bn1.weight"


def test_wrappers_counters_and_classifier_are_ignored():
    model = build_small()
    arrays = {f"module.{name}": array for name, array in small_arrays(model).items()}
    arrays["module.fc.weight"] = np.zeros((1000, 32))
    arrays["module.fc.bias"] = np.zeros(1000)
    arrays["module.bn1.num_batches_tracked"] = np.int64(3)
    load_published_arrays(model, arrays, RESNET_NAMES)
    np.testing.assert_array_equal(model.get_layer("stem_bn").moving_mean.numpy(), arrays["module.bn1.running_mean"])


def with_change(arrays, change):
    arrays = dict(arrays)
    change(arrays)
    return arrays


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("layer2.0.downsample.0.weight"), "missing: layer2.0.downsample.0.weight"),
        (lambda a: a.update(surplus=np.zeros(1)), "not in the model: surplus"),
        (
            lambda a: a.update({"bn1.weight": np.zeros(5)}),
            r"bn1.weight must have shape \(4,\), got \(5,\)",
        ),
        (
            lambda a: a.update({"conv1.weight": np.zeros((4, 3, 7, 5))}),
            r"conv1.weight must have shape \(4, 3, 7, 7\), got \(4, 3, 7, 5\)",
        ),
        (
            lambda a: a.update({"module.bn1.weight": np.zeros(4)}),
            "module.bn1.weight: there are two arrays for bn1.weight",
        ),
        (
            # The bits of bfloat16, as Paddle stores them.
            lambda a: a.update({"bn1.weight": np.full(4, 0x3F80, np.uint16)}),
            "bn1.weight must hold floating-point numbers, got uint16",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_named_and_change_nothing(change, message):
    model = build_small()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        load_published_arrays(model, with_change(small_arrays(model), change), RESNET_NAMES)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_with_other_layers_is_an_error():
    model = build_small(skip_connections=True)
    with pytest.raises(ValueError, match=r"must be a build_pose_resnet .* layer skip1_conv, which has no"):
        load_published_arrays(model, small_arrays(build_small()), RESNET_NAMES)


def test_heatmaps_of_coco_reach_posetrack_by_joint_name():
    source, model = build_small(num_joints=17), build_small(num_joints=15)
    load_published_arrays(source, small_arrays(source), RESNET_NAMES)
    fresh = model.get_layer("heatmaps").kernel.numpy()
    transfer_weights(source, model, COCO17.joints, POSETRACK15.joints)
    source_kernel, source_bias = source.get_layer("heatmaps").get_weights()
    kernel, bias = model.get_layer("heatmaps").get_weights()
    for index, joint in enumerate(POSETRACK15.joints):
        if joint in COCO17.joints:
            row = COCO17.index(joint)
            np.testing.assert_array_equal(kernel[..., index], source_kernel[..., row])
            assert bias[index] == source_bias[row]
        else:
            np.testing.assert_array_equal(kernel[..., index], fresh[..., index])
            assert bias[index] == 0
    assert sum(joint in COCO17.joints for joint in POSETRACK15.joints) == 13


def test_wrong_joint_lists_are_errors():
    source, target = build_small(num_joints=2), build_small(num_joints=2)
    with pytest.raises(ValueError, match="source_joints must be different names"):
        transfer_weights(source, target, ["a", "a"], ["a", "b"])
    with pytest.raises(ValueError, match="it has 2 joints, but target_joints has 3"):
        transfer_weights(source, target, ["a", "b"], ["a", "b", "c"])


def test_transfer_copies_everything_and_matches_heads_by_name():
    source, target = build_small(num_joints=3), build_small(num_joints=2)
    load_published_arrays(source, small_arrays(source), RESNET_NAMES)
    fresh = target.get_layer("heatmaps").kernel.numpy()
    transfer_weights(source, target, ["nose", "ear", "hip"], ["hip", "head_top"])
    images = np.random.default_rng(1).normal(size=(1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(target(images))[..., 0], np.asarray(source(images))[..., 2], rtol=1e-5)
    np.testing.assert_array_equal(target.get_layer("heatmaps").kernel.numpy()[..., 1], fresh[..., 1])


def test_transfer_between_different_networks_names_the_weight():
    source = build_small()
    wider = build_pose_resnet(3, 18, (32, 32), base_width=8, deconv_filters=8)
    joints = ["a", "b", "c"]
    with pytest.raises(ValueError, match="stem_conv/kernel: the target has shape"):
        transfer_weights(source, wider, joints, joints)
    deeper = build_pose_resnet(3, 34, (32, 32), base_width=4, deconv_filters=8)
    with pytest.raises(ValueError, match="missing: stage1_block2_conv1/kernel"):
        transfer_weights(source, deeper, joints, joints)
