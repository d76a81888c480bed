"""python -m tfpose.pretrained: from files as others publish them to heatmaps, configs and scores."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import pathlib
import re
import shutil
import threading

import numpy as np
import pytest
from checkpoint_writers import WRITERS, Reduce, small_arrays, write_legacy, write_zip
from freed_memory import free_memory
from program_runs import run
from record_writing import synthetic_image, write_dataset

from tfpose.checkpoints import load_for_inference
from tfpose.crops import Normalization
from tfpose.importing import keypoint_family
from tfpose.importing.conversion import convert_checkpoint
from tfpose.importing.families import FAMILIES, find_family
from tfpose.importing.import_settings import ImportSettings, parse_size
from tfpose.inference.keypoint_system import read_keypoint_system
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.named_tensors import read_checkpoint
from tfpose.pretrained.public_checkpoints import PUBLIC_CHECKPOINTS, checkpoint_at, expected_scores
from tfpose.skeletons import COCO17, POSETRACK15, POSETRACK18

# Of the maps' standard deviation; the mildest mistake moves them by 3e-2.
TOLERANCE = 1e-4


def convert(path, **settings):
    """Converts; returns the work folder."""
    output = path.parent / "out" / f"{path.name.split('.')[0]}.weights.h5"
    convert_checkpoint(path, output, ImportSettings(**settings))
    return output.with_name(output.name.removesuffix(".weights.h5"))


@pytest.fixture
def scratch(tmp_path):
    """A folder for large files; afterwards the large networks of the test are freed too."""
    yield tmp_path
    shutil.rmtree(tmp_path)
    free_memory()


def load(workdir):
    system = read_keypoint_system(workdir)
    network = build_unfilled(system.build_network)
    load_for_inference(network, workdir)
    return system, network


def load_config(workdir):
    spec = importlib.util.spec_from_file_location("imported_config", workdir.with_name(f"{workdir.name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


# Golden weights in the files of their families.


def with_prefix(prefix, arrays):
    return {prefix + name: array for name, array in arrays.items()}


def old_head(arrays):
    return {name.replace("head.", "keypoint_head.", 1): array for name, array in arrays.items()}


MICROSOFT, MMPOSE, CAFFE = "Microsoft R50 in training", "MMPose 0.x R50", "Microsoft R50 of Caffe style"
GOLDEN_FILES = {
    MICROSOFT: (
        *(write_zip, "r50_j17", 0, "checkpoint.pth.tar"),
        lambda a: {"epoch": 9, "model": "pose_resnet", "state_dict": with_prefix("module.", a), "optimizer": {}},
    ),
    "Microsoft R50 with 15 joints": (write_zip, "r50_j15", 1, "posetrack.pth", lambda arrays: arrays),
    "Microsoft R152": (write_legacy, "r152_j17", 0, "pose_resnet_152_384x288.pth.tar", lambda arrays: arrays),
    MMPOSE: (
        *(write_legacy, "mmpose_r50", 0, "res50_coco_384x288.pth"),
        lambda arrays: {"meta": {}, "state_dict": old_head(arrays)},
    ),
    CAFFE: (write_legacy, "r50_j17", 0, "pose_resnet_50_caffe.pth", lambda arrays: arrays),
}


@pytest.fixture(scope="module")
def golden_maps(golden_dir):
    with np.load(golden_dir / "simple_baseline" / "network_heatmaps.npz") as data:
        return dict(data)


@pytest.fixture(scope="module")
def golden_import(make_arrays, tmp_path_factory):
    """A function that converts a golden file, once, and returns its work folder."""
    folder = tmp_path_factory.mktemp("imports")

    @functools.cache
    def convert_golden(what):
        write, key, salt, name, wrap = GOLDEN_FILES[what]
        write(folder / name, wrap(make_arrays(key, salt)))
        workdir = convert(folder / name)
        free_memory()
        return workdir

    yield convert_golden
    shutil.rmtree(folder)


def deviation_on_noise(network, golden_maps, key):
    heatmaps = np.asarray(network(golden_maps["noise"], training=False))[:, ::4, ::4]
    return np.abs(heatmaps - golden_maps[key]).max() / golden_maps[f"{key}_std"]


@pytest.mark.parametrize("what", ["Microsoft R50 with 15 joints", "Microsoft R152"])
def test_files_give_the_golden_heatmaps(what, golden_import, golden_maps):
    key = GOLDEN_FILES[what][1]
    system, network = load(golden_import(what))
    assert system.skeleton == (POSETRACK15 if key == "r50_j15" else COCO17)
    assert deviation_on_noise(network, golden_maps, key) < TOLERANCE


@pytest.mark.parametrize(("what", "family"), [(MICROSOFT, "microsoft"), (MMPOSE, "mmpose")])
def test_a_picture_gives_the_golden_heatmaps_of_its_family_and_not_of_the_other(
    what, family, golden_import, golden_maps, shared_dir
):
    """From the picture's bytes: order of the channels, mean and std are those of the family."""
    system, network = load(golden_import(what))
    assert system.normalization.channel_order == {"microsoft": "bgr", "mmpose": "rgb"}[family]
    assert deviation_on_noise(network, golden_maps, "r50_j17") < TOLERANCE
    folder = shared_dir / "golden" / "simple_baseline"
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "heatmaps_r50_j17.npz") as maps:
        crop = inputs["crop_u8_bgr"][None, :, :, ::-1]
        heatmaps = np.asarray(network(system.normalization(crop), training=False))
        deviations = {}
        for name in ("microsoft", "mmpose"):
            expected = maps[f"crop_{name}"].transpose(0, 2, 3, 1)
            deviations[name] = np.abs(heatmaps - expected).max() / expected.std()
    other = {"microsoft": "mmpose", "mmpose": "microsoft"}[family]
    assert deviations[family] < TOLERANCE
    assert deviations[other] > 0.1


def test_the_wrong_stride_would_be_seen(golden_import, golden_maps, golden_dir):
    """A file of Caffe style is recognized by its name; the same weights then give other heatmaps."""
    system, network = load(golden_import(CAFFE))
    assert system.network["stride_in"] == "1x1"
    wrong = json.loads((golden_dir / "simple_baseline" / "network_wrong_imports.json").read_text())["deviation"]
    expected = wrong["stride on the first 1x1 (caffe style)"]
    assert deviation_on_noise(network, golden_maps, "r50_j17") == pytest.approx(expected, rel=0.5)


@pytest.mark.parametrize(("what", "family"), [(MICROSOFT, "microsoft"), (MMPOSE, "mmpose")])
def test_input_of_each_family_is_normalized_as_there(what, family, golden_import):
    """By hand: Microsoft's code feeds blue where the weights of ImageNet know red."""
    system = read_keypoint_system(golden_import(what))
    red, green, blue = pixel = np.array([200, 100, 50], np.uint8)
    positions = (blue, green, red) if family == "microsoft" else (red, green, blue)
    expected = [
        (float(value) / 255 - mean) / std
        for value, mean, std in zip(positions, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    ]
    np.testing.assert_allclose(np.asarray(system.normalization(pixel[None])), [expected], rtol=1e-5)


# Small networks from here on.


def infer(path, settings):
    checkpoint = read_checkpoint(path)
    return find_family(checkpoint).infer_system(checkpoint, settings)


def mmpose_arrays(arrays):
    is_head = {name: name.startswith(("deconv_layers.", "final_layer.")) for name in arrays}
    return {("head." if is_head[name] else "backbone.") + name: array for name, array in arrays.items()}


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_depth_is_recognized(depth, kind, tmp_path):
    path = tmp_path / "network.pth"
    WRITERS[kind](path, small_arrays(depth=depth))
    imported = infer(path, ImportSettings())
    assert imported.system.network["depth"] == depth
    assert imported.system.network["base_width"] == 4


def test_config_and_weights_fit_together(tmp_path):
    arrays = small_arrays()
    write_zip(tmp_path / "small_64x32.pth", arrays)
    workdir = convert(tmp_path / "small_64x32.pth")
    system, network = load(workdir)
    config = load_config(workdir)
    for section, expected in system.to_dict().items():
        if section in ("network", "normalization"):
            assert {name: config[section][name] for name in expected} == expected
    assert config.network.input_size == (64, 32)
    assert config.inference.to_dict() == system.to_dict()["keypoints"]
    assert config.selection.to_dict() == system.to_dict()["selection"]
    assert config.crop.to_dict() == {k: v for k, v in system.to_dict()["crop"].items() if k != "crop_size"}
    assert config.crop.margin_scale == 1.25
    assert (config.skeleton, config.initialize.source_workdir) == ("coco17", str(workdir))
    final = network.get_layer("heatmaps").get_weights()
    np.testing.assert_array_equal(final[0][0, 0].T, arrays["final_layer.weight"][:, :, 0, 0])
    # Python keeps the config compiled beside it, if it is allowed to.
    written = {path.name for path in workdir.parent.iterdir()} - {"__pycache__"}
    assert written == {"small_64x32", "small_64x32.py", "small_64x32.weights.h5"}
    files = {"best.weights.h5", "config.json", "keypoint_system.json", "model.weights.h5"}
    assert {path.name for path in workdir.iterdir()} == files


MMENGINE_CONFIG = """
codec = dict(
    heatmap_size=(16, 24), input_size=(
        64,
        96,
    ), sigma=2, type='MSRAHeatmap', unbiased=True)
model = dict(backbone=dict(depth=50, style='caffe', type='ResNet'))
"""


@pytest.mark.parametrize(
    ("name", "config", "settings", "expected"),
    [
        ("x.pth", "", {}, ((384, 288), "3x3", "quarter", "stride", True)),
        ("pose_resnet_50_256x192.pth.tar", "", {}, ((256, 192), "3x3", "quarter", "stride", True)),
        (
            "td-hm_res50_8xb64-210e_coco-256x192-04af38ce_20220923.pth",
            "",
            {},
            ((256, 192), "3x3", "quarter", "stride", True),
        ),
        ("td-hm_res50_dark-8xb64-210e_coco-384x288-8b90b538.pth", "", {}, ((384, 288), "3x3", "dark", "stride", True)),
        ("res50_udp_coco_256x192.pth", "", {}, ((256, 192), "3x3", "udp", "udp", False)),
        ("pose_resnet_50_caffe_256x192.pth.tar", "", {}, ((256, 192), "1x1", "quarter", "stride", True)),
        ("epoch_210.pth", MMENGINE_CONFIG, {}, ((96, 64), "1x1", "dark", "stride", True)),
        (
            *("res50_dark_384x288.pth", MMENGINE_CONFIG),
            {"input_size": (64, 32), "stride_in": "3x3", "decoding": "quarter"},
            ((64, 32), "3x3", "quarter", "stride", True),
        ),
    ],
)
def test_settings_come_from_flags_config_and_name_in_this_order(name, config, settings, expected, tmp_path):
    path = tmp_path / name
    write_zip(path, {"meta": {"cfg": config}, "state_dict": mmpose_arrays(small_arrays())})
    system = infer(path, ImportSettings(**settings)).system
    keypoints = system.keypoints
    found = (
        system.crop.crop_size,
        system.network["stride_in"],
        keypoints.decoding,
        system.crop.convention,
        keypoints.shift_one_cell,
    )
    assert found == expected
    assert keypoints.use_flip_test


MMPOSE_0_CONFIG = """
model = dict(
    test_cfg=dict(
        flip_test=True,
        post_process='unbiased',
        shift_heatmap=False,
        modulate_kernel=17))
dataset_info = dict(
    dataset_name='own',
    keypoint_info=dict({
        0:
        dict(name='L_Horn', id=0, color=[0, 255, 0], type='upper', swap='R_Horn'),
        1:
        dict(
            name='R_Horn',
            id=1,
            color=[255, 128, 0],
            type='upper',
            swap='L_Horn')
    }),
    skeleton_info=dict({0: dict(link=('L_Horn', 'R_Horn'), id=0, color=[0, 0, 255])}))
"""


def test_heatmaps_are_read_as_the_config_in_the_file_says(tmp_path):
    write_zip(tmp_path / "a.pth", {"meta": {"config": MMPOSE_0_CONFIG}, "state_dict": mmpose_arrays(small_arrays(2))})
    imported = infer(tmp_path / "a.pth", ImportSettings())
    keypoints = imported.system.keypoints
    assert (keypoints.decoding, keypoints.blur_kernel, keypoints.shift_one_cell) == ("dark", 17, False)
    assert imported.findings["blur_kernel"].source == "the config in the file"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("dict(bgr_to_rgb=True, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])", Normalization()),
        ("dict(type='NormalizeTensor', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])", Normalization()),
        (
            "dict(\n bgr_to_rgb=False,\n mean=[\n 102.0,\n 114.75,\n 127.5,\n ],\n std=[\n 1.0,\n 1.0,\n 1.0,\n ])",
            Normalization((0.4, 0.45, 0.5), (1 / 255,) * 3, "bgr"),
        ),
    ],
)
def test_inputs_are_normalized_as_the_config_in_the_file_says(config, expected, tmp_path):
    content = {"meta": {"cfg": f"data_preprocessor={config}"}, "state_dict": mmpose_arrays(small_arrays())}
    write_zip(tmp_path / "a.pth", content)
    assert infer(tmp_path / "a.pth", ImportSettings()).system.normalization == expected


def infer_skeleton(path, num_joints, meta=None, skeleton=""):
    write_zip(path, {"meta": meta or {}, "state_dict": mmpose_arrays(small_arrays(num_joints))})
    settings = ImportSettings(skeleton=str(skeleton))
    return infer(path, settings)


def test_joints_come_from_flag_description_name_and_number(tmp_path):
    assert infer_skeleton(tmp_path / "a.pth", 17).system.skeleton == COCO17
    assert infer_skeleton(tmp_path / "a.pth", 15).system.skeleton == POSETRACK15
    assert infer_skeleton(tmp_path / "res50_posetrack18.pth", 17).system.skeleton == POSETRACK18
    described = {"dataset_meta": {"keypoint_id2name": dict(enumerate(POSETRACK18.joints))}}
    assert infer_skeleton(tmp_path / "a.pth", 17, described).system.skeleton == POSETRACK18
    assert infer_skeleton(tmp_path / "a.pth", 17, described, "coco17").system.skeleton == COCO17
    old = infer_skeleton(tmp_path / "a.pth", 2, {"config": MMPOSE_0_CONFIG}).system.skeleton
    assert (old.joints, old.flip_order.tolist()) == (("L_Horn", "R_Horn"), [1, 0])
    oldest = {"config": "data = dict(train=dict(type='TopDownPoseTrack18Dataset'))"}
    assert infer_skeleton(tmp_path / "a.pth", 17, oldest).system.skeleton == POSETRACK18
    annotations = tmp_path / "own.json"
    annotations.write_text(json.dumps({"categories": [{"name": "cow", "keypoints": ["left_horn", "right_horn"]}]}))
    skeleton = infer_skeleton(tmp_path / "a.pth", 2, skeleton=annotations).system.skeleton
    assert (skeleton.joints, skeleton.flip_order.tolist()) == (("left_horn", "right_horn"), [1, 0])


def test_unknown_joints_are_not_mirrored(tmp_path):
    imported = infer_skeleton(tmp_path / "pose_resnet_50_256x256.pth", 16)
    assert imported.system.skeleton.num_joints == 16
    assert not imported.system.keypoints.use_flip_test
    assert "no flip test" in imported.findings["joints"].source


def test_a_skeleton_that_does_not_fit_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"--skeleton must have 17 joints .* got posetrack15 with 15"):
        infer_skeleton(tmp_path / "a.pth", 17, skeleton="posetrack15")
    with pytest.raises(ValueError, match=r"--skeleton must be one of coco17, .* got 'cat'"):
        infer_skeleton(tmp_path / "a.pth", 17, skeleton="cat")


@pytest.mark.parametrize("text", ["384", "384x", "x288", "384x290", "0x32", "a", "-32x32"])
def test_sizes_that_cannot_be_are_errors(text):
    with pytest.raises(ValueError, match=r"input.size must be HEIGHTxWIDTH"):
        parse_size(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("layer2.0.downsample.0.weight"), "missing: layer2.0.downsample.0.weight"),
        (lambda a: a.pop("bn1.running_var"), "missing: bn1.running_var"),
        (lambda a: a.pop("final_layer.weight"), r"final_layer.weight must have shape \(joints, .* got no such tensor"),
        (lambda a: a.update(surplus=np.zeros(1, np.float32)), "not in the model: surplus"),
        (
            lambda a: a.update({"layer4.1.bn2.bias": np.zeros(5, np.float32)}),
            r"layer4.1.bn2.bias must have shape \(32,\)",
        ),
        (lambda a: a.update({"final_layer.bias": np.zeros(3, np.float32)}), "final_layer.bias must have shape"),
        (lambda a: a.update({"conv1.weight": np.zeros((4, 3, 7, 5), np.float32)}), "conv1.weight must have shape"),
        (lambda a: a.update({"bn1.bias": np.full(4, np.inf, np.float32)}), "bn1.bias must hold finite numbers"),
        (
            lambda a: a.update({"layer3.2.conv1.weight": np.zeros(1, np.float32)}),
            r"blocks per stage must .* \(2, 2, 3, 2\)",
        ),
        (lambda a: a.update({"layer1.0.conv3.weight": np.zeros(1, np.float32)}), r"\(2, 2, 2, 2\) bottlenecks"),
    ],
)
@pytest.mark.parametrize("kind", WRITERS)
def test_tensors_that_do_not_fit_are_named_and_nothing_is_written(change, message, kind, tmp_path):
    arrays = small_arrays()
    change(arrays)
    WRITERS[kind](tmp_path / "wrong.pth", arrays)
    with pytest.raises(ValueError, match=message) as caught:
        convert(tmp_path / "wrong.pth")
    assert str(tmp_path / "wrong.pth") in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"fc.weight": 0, "layer1.0.conv1.weight": 0}, "got an ImageNet classifier without heatmaps"),
        ({"backbone.conv1.weight": 0, "backbone.bn1.bias": 0}, "got 2 tensors such as backbone.conv1.weight"),
        ({"encoder.weight": 0}, "got 1 tensors such as encoder.weight"),
        ({"head.final_layer.weight": 0}, "got 1 tensors such as head.final_layer.weight"),
    ],
)
def test_networks_of_other_kinds_are_refused(content, message, tmp_path):
    write_zip(tmp_path / "other.pth", {name: np.zeros(3, np.float32) for name in content})
    with pytest.raises(ValueError, match=message) as error:
        convert(tmp_path / "other.pth")
    assert all(family.description in str(error.value) for family in FAMILIES.values())


class ToyFamily:
    description = "network of a toy"

    def matches(self, checkpoint):
        return any(name.startswith("toy.") for name in checkpoint.names)

    def convert(self, checkpoint, targets, settings, say):
        targets.workdir.mkdir(parents=True)
        (targets.workdir / "toy.txt").write_text(f"{sorted(checkpoint.tensors)} {settings.decoding}")


def test_a_new_family_is_one_class_and_one_entry(tmp_path, monkeypatch, capsys):
    write_zip(tmp_path / "new.pth", {"state_dict": {"module.toy.weight": np.zeros(3, np.float32)}})
    with pytest.raises(ValueError, match=r"got 1 tensors such as module.toy.weight"):
        convert(tmp_path / "new.pth")
    monkeypatch.setitem(FAMILIES, "toy", ToyFamily())
    workdir = convert(tmp_path / "new.pth", decoding="dark")
    assert (workdir / "toy.txt").read_text() == "['module.toy.weight'] dark"
    assert "new.pth: network of a toy (PyTorch zip file, 1 tensors)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "other.pth: content must be named tensors, got a list"),
        ({"epoch": 3}, "content must be named tensors, got none; it holds epoch"),
        ({"state_dict": {"conv1.weight": np.zeros(3, np.float32), "x": 5}}, "x must be a tensor, got a int"),
    ],
)
def test_files_without_named_tensors_are_refused(content, message, tmp_path):
    write_zip(tmp_path / "other.pth", content)
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "other.pth")


def test_logs_of_training_do_not_disturb(tmp_path):
    """mmengine's checkpoints hold its logs: objects of a class of its own, and methods by getattr."""
    log = Reduce("mmengine.logging.history_buffer.HistoryBuffer")
    method = Reduce("__builtin__.getattr", log, "mean")
    hub = {"log_scalars": {"train/loss": log}, "methods": {"mean": method}}
    write_zip(tmp_path / "best.pth", {"message_hub": hub, "meta": {}, "state_dict": mmpose_arrays(small_arrays())})
    assert load(convert(tmp_path / "best.pth"))[0].normalization.channel_order == "rgb"


def test_files_of_others_are_not_overwritten_but_ours_are(tmp_path):
    write_zip(tmp_path / "small.pth", small_arrays())
    (tmp_path / "out").mkdir()
    precious = tmp_path / "out" / "small.py"
    precious.write_text("print('precious')\n")
    with pytest.raises(FileExistsError, match=r"small.py: exists and was not written by this program"):
        convert(tmp_path / "small.pth")
    assert precious.read_text() == "print('precious')\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small.py"]
    precious.unlink()
    (tmp_path / "out" / "small" / "checkpoints").mkdir(parents=True)
    (tmp_path / "out" / "small" / "checkpoints" / "step_00000010.npz").touch()
    with pytest.raises(FileExistsError, match="small: is the work folder of a training"):
        convert(tmp_path / "small.pth")
    (tmp_path / "out" / "small" / "checkpoints" / "step_00000010.npz").unlink()
    convert(tmp_path / "small.pth")
    changed = small_arrays(seed=1)
    write_zip(tmp_path / "small.pth", changed)
    _, network = load(convert(tmp_path / "small.pth"))
    np.testing.assert_array_equal(network.get_layer("heatmaps").get_weights()[1], changed["final_layer.bias"])


def test_an_interrupted_import_leaves_no_description_of_the_weights_before(tmp_path, monkeypatch):
    """Networks of two families have weights of the same shapes, and other inputs."""
    write_zip(tmp_path / "small.pth", mmpose_arrays(small_arrays()))
    workdir = convert(tmp_path / "small.pth")
    (workdir / "picodet.json").touch()

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(keypoint_family, "write_keypoint_system", interrupt)
    write_legacy(tmp_path / "small.pth", small_arrays(seed=1))
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "small.pth")
    assert {path.name for path in workdir.iterdir()} == {"best.weights.h5", "model.weights.h5"}


def test_a_file_name_cannot_put_code_into_the_config(tmp_path):
    name = 'x""";open("trace","w");""".pth'
    write_zip(tmp_path / name, small_arrays())
    output = tmp_path / "out" / 'y""";1÷0;"\\".weights.h5'
    convert_checkpoint(tmp_path / name, output, ImportSettings())
    workdir = output.with_name(output.name.removesuffix(".weights.h5"))
    config = load_config(workdir)
    assert config.initialize.source_workdir == str(workdir)
    assert "open(" in workdir.with_name(f"{workdir.name}.py").read_text()


def test_public_checkpoints_are_whole_entries():
    for name, public in PUBLIC_CHECKPOINTS.items():
        assert public.url.startswith("https://")
        assert "AP" in public.expected
        if name.startswith(("mmpose", "detectron2")):
            assert public.digits and public.digits in public.file_name
    assert PUBLIC_CHECKPOINTS["mmpose_r50_384x288"].digits == "7b8db90e"
    assert PUBLIC_CHECKPOINTS["detectron2_x101_3x"].digits == "5ad38f"
    assert expected_scores(pathlib.Path("pose_resnet_152_384x288.pth.tar")) == "74.3 keypoint AP"
    known = PUBLIC_CHECKPOINTS["mmpose_r152_384x288"]
    assert expected_scores(pathlib.Path(known.file_name)) == "75.0 keypoint AP"
    assert expected_scores(pathlib.Path("model_final.pkl")) == ""
    assert checkpoint_at(known.url) == ("mmpose_r152_384x288", known)


# As a user runs it.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the argument must be one checkpoint file or the name of a public checkpoint .* got none"),
        (["a", "b"], "got a b"),
        (
            ["nothing.pth", "--output=x.weights.h5"],
            "nothing.pth: must be a file or the name of a public checkpoint, got neither",
        ),
        (["{evil}"], "--output must be given with a file"),
        (["{evil}", "--output=x.h5"], "--output must end in .weights.h5, .* got 'x.h5'"),
        (["{evil}", "--output={tmp}/x.weights.h5"], "evil.pth: it asks for 'posix.system'.*nothing was executed"),
        (["{evil}", "--output={tmp}/x.weights.h5", "--input_size=3"], "--input_size must be HEIGHTxWIDTH.*got '3'"),
        (["microsoft_r50_384x288"], "save pose_resnet_50_384x288.pth.tar from https://drive.* in the folder "),
        (["http://127.0.0.1:9/x.pth", "--cache={tmp}/cache"], "no connection .* save http://127.*/x.pth in the folder"),
    ],
)
def test_bad_calls_end_with_one_line(arguments, message, tmp_path):
    write_zip(tmp_path / "evil.pth", {"x": Reduce("posix.system", f"touch {tmp_path}/trace")})
    done = run("-m", "tfpose.pretrained", *(a.format(evil=tmp_path / "evil.pth", tmp=tmp_path) for a in arguments))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert re.search(message, lines[0])
    assert not (tmp_path / "trace").exists()


def test_the_list_names_every_public_checkpoint():
    done = run("-m", "tfpose.pretrained", "list")
    assert done.returncode == 0, done.stderr
    for name, public in PUBLIC_CHECKPOINTS.items():
        assert name in done.stdout
        assert public.url in done.stdout


@pytest.fixture
def served(tmp_path):
    """The address of a folder."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_from_an_address_to_scores_in_two_commands(served, tmp_path):
    folder, address = served
    write_legacy(folder / "pose_resnet_18_64x32.pth.tar", small_arrays())
    for split, seed in (("train", 0), ("val", 1)):
        write_dataset(
            tmp_path / "data" / "coco_keypoints", COCO17, [synthetic_image(seed, COCO17, num_people=2)], split
        )
    converted = run(
        *("-m", "tfpose.pretrained", f"{address}/pose_resnet_18_64x32.pth.tar"),
        *("--output=models/small.weights.h5", f"--cache={tmp_path / 'cache'}"),
        folder=tmp_path,
    )
    assert converted.returncode == 0, converted.stderr
    assert "pose_resnet of Microsoft's human-pose-estimation.pytorch (PyTorch file of the" in converted.stdout
    assert "input size: 64x32 (the file name)" in converted.stdout
    evaluated = run("eval_main.py", "--workdir=models/small", "--output_dir=results", folder=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    metrics = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert "AP" in metrics["coco"]
    people = json.loads((tmp_path / "results" / "predictions.json").read_text())
    assert len(people) == 2
