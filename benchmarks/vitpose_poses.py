r"""Compares the keypoints of ViTPose in tfpose and in transformers, from a picture and boxes to keypoints.

    python benchmarks/vitpose_poses.py PICTURE --torch_python=.venv-torch/bin/python --boxes 10 20 100 200
    python benchmarks/vitpose_poses.py PICTURE --torch_python=.venv-torch/bin/python --boxes 10 20 100 200 \
        --workdir=runs/vitpose_coco_mini

The interpreter of `--torch_python` needs torch, transformers, Pillow and scipy. Both sides use one set of weights,
which transformers writes with `save_pretrained` and tfpose imports from that folder, with the decoding `udp_hub`.
Those weights are random, so many heatmaps have several peaks of nearly one height, and one pixel of another gray level
can choose another one. With `--workdir`, the weights of a training are written for transformers first.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import re
import subprocess
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from results_file import RECORD_HELP, record

from tfpose.checkpoints import load_for_inference
from tfpose.crops import IMAGENET_STD
from tfpose.data.picture_tensors import cut_crops_from_frame, decode_picture
from tfpose.geometry import heatmap_from_crop, transform_points
from tfpose.heatmaps import decode_heatmaps
from tfpose.importing.conversion import convert_checkpoint
from tfpose.importing.import_settings import ImportSettings
from tfpose.inference.keypoint_system import KeypointSystem, read_keypoint_system

TORCH_SCRIPT = pathlib.Path(__file__).with_name("vitpose_transformers.py")
GOAL_PIXELS = 0.05
_HUB_ENDS = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
_HUB_ENDS |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
_HUB_NAMES = (
    (r"^block(\d+)\.", r"backbone.encoder.layer.\1."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"^norm\.", "backbone.layernorm."),
    (r"\.projection\.", ".attention.output.dense."),
    (r"\.expand\.", ".mlp.fc1."),
    (r"\.contract\.", ".mlp.fc2."),
    (r"^deconv(\d)_conv", r"head.deconv\1"),
    (r"^deconv(\d)_bn", r"head.batchnorm\1"),
    (r"^heatmaps", "head.conv"),
    (r"^patches\.", "backbone.embeddings.patch_embeddings.projection."),
)


def to_image(system: KeypointSystem, cells: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Keypoints [P, J, 2] in image pixels from cells of heatmaps and matrices [P, 2, 3] from image to crop."""
    to_cells = heatmap_from_crop(system.crop.crop_size, system.heatmap_size, system.crop.convention)
    points = np.asarray(transform_points(_inverse(to_cells), cells))
    return np.stack([transform_points(_inverse(matrix), row) for matrix, row in zip(matrices, points, strict=True)])


def _inverse(affine: np.ndarray) -> np.ndarray:
    return np.linalg.inv(np.vstack([np.asarray(affine, np.float64), [0, 0, 1]]))[:2]


def write_hub_folder(workdir: pathlib.Path, folder: pathlib.Path) -> None:
    """Writes the network of a run as transformers reads it: config.json and model.safetensors."""
    system = read_keypoint_system(workdir)
    network = system.build_network()
    load_for_inference(network, workdir)
    settings = system.network
    backbone = {
        "model_type": "vitpose_backbone",
        "hidden_size": settings["width"],
        "num_hidden_layers": settings["depth"],
        "num_attention_heads": settings["num_heads"],
        "image_size": list(settings["input_size"]),
        "out_indices": [settings["depth"]],
        "layer_norm_eps": settings.get("norm_epsilon", 1e-6),
    }
    config = {
        "model_type": "vitpose",
        "architectures": ["VitPoseForPoseEstimation"],
        "backbone_config": backbone,
        "id2label": {str(index): joint for index, joint in enumerate(system.skeleton.joints)},
        "use_simple_decoder": settings.get("decoder") == "simple",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    arrays = {}
    for variable in network.weights:
        arrays.update(_to_hub(variable.path, np.asarray(variable, np.float32)))
    header, start = {}, 0
    for name, array in arrays.items():
        end = start + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).tobytes())


def _to_hub(path: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """The tensors of transformers that a variable holds, by name."""
    *layer, end = path.split("/")
    if end == "positions":
        positions = array.reshape(1, -1, array.shape[-1])
        return {"backbone.embeddings.position_embeddings": np.pad(positions, ((0, 0), (1, 0), (0, 0)))}
    array = array.transpose({2: (1, 0), 4: (3, 2, 0, 1)}.get(array.ndim, tuple(range(array.ndim))))
    name = ".".join([*layer, _HUB_ENDS[end]])
    for pattern, replacement in _HUB_NAMES:
        name = re.sub(pattern, replacement, name)
    if ".qkv." not in name:
        return {name: array}
    parts = zip(("query", "key", "value"), np.split(array, 3), strict=True)
    return {name.replace("qkv", f"attention.attention.{part}"): values for part, values in parts}


def compare(picture: pathlib.Path, folder: pathlib.Path) -> float:
    """Prints the differences for a folder of vitpose_transformers.py; returns the largest from our own crops, in px."""
    convert_checkpoint(folder, folder / "tfpose.weights.h5", ImportSettings(decoding="udp_hub"), say=lambda line: None)
    system = read_keypoint_system(folder / "tfpose")
    network = system.build_network()
    load_for_inference(network, folder / "tfpose")
    theirs = np.load(folder / "poses.npz")
    boxes = theirs["boxes"].copy()
    boxes[:, 2:] += boxes[:, :2]
    matrices = np.asarray(system.crop.matrices(boxes))
    frame = decode_picture(tf.constant(picture.read_bytes()))
    cut = tf.function(functools.partial(cut_crops_from_frame, frame, crop_size=system.crop.crop_size))
    crops = cut(tf.constant(matrices), reduces_images=system.crop.reduces_images)
    inputs = np.asarray(system.normalization(crops))
    heatmaps = np.asarray(network(inputs, training=False))
    same_input = np.asarray(network(theirs["crops"].transpose(0, 2, 3, 1), training=False))
    expected = theirs["heatmaps"].transpose(0, 2, 3, 1)
    levels = np.abs(inputs.transpose(0, 3, 1, 2) - theirs["crops"]) * 255 * np.array(IMAGENET_STD)[:, None, None]
    print(f"crops: {100 * (levels > 0.5).mean():.2f} % of the values differ, by {levels.max():.0f} gray levels at most")
    print(f"heatmaps of the same inputs: {np.abs(same_input - expected).max() / expected.std():.1e} of their deviation")
    for name, maps in (("their heatmaps", expected), ("their inputs", same_input), ("our own crops", heatmaps)):
        cells = np.asarray(decode_heatmaps(maps, system.keypoints.decoding)[0])
        errors = np.linalg.norm(to_image(system, cells, matrices) - theirs["keypoints"], axis=-1)
        print(
            f"keypoints from {name}: median {np.median(errors):.4f} px, largest {errors.max():.4f} px, "
            f"{100 * (errors <= GOAL_PIXELS).mean():.1f} % of {errors.size} within {GOAL_PIXELS} px"
        )
    return float(errors.max())


def main() -> None:
    """Lets transformers write a network, and compares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("--torch_python", required=True, help="Python interpreter with torch and transformers")
    parser.add_argument("--boxes", nargs="+", required=True, help="x, y, width and height of each box")
    parser.add_argument("--workdir", type=pathlib.Path, help="work folder of a ViTPose without experts")
    parser.add_argument("--experts", action="store_true", help="ViTPose++-S instead of ViTPose-B")
    parser.add_argument("--record", action="store_true", help=RECORD_HELP)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.workdir:
            write_hub_folder(arguments.workdir, pathlib.Path(folder))
        command = [arguments.torch_python, str(TORCH_SCRIPT), str(arguments.picture), folder]
        command += ["--boxes", *arguments.boxes, *["--experts"] * arguments.experts]
        subprocess.run(command, check=True)
        largest = compare(arguments.picture, pathlib.Path(folder))
    if arguments.record:
        record({"vitpose_poses.largest_difference": ([largest], "px")})


if __name__ == "__main__":
    main()
