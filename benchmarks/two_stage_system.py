"""Compares the whole two-stage system to PyTorch, from the bytes of a JPEG to the poses of five people.

    python benchmarks/two_stage_system.py PHOTO.jpg --torch_python=.venv-torch/bin/python

Both sides decode the photo, look for people with a Keypoint R-CNN (ResNet-50, shorter side 800, 1000 proposals, five
people), and find the joints of five people in given boxes with a ResNet-50 of 384x288 pixels and the flip test. The
boxes are given because weights are random. tfpose runs one graph, as `tfpose predict` does; its detector leaves out
the keypoint head, whose joints the second stage replaces. PyTorch runs torchvision's `keypointrcnn_resnet50_fpn`, as it
is and without its keypoint head, and the plain network of network_speed.py, in both memory layouts. All sides run in
turn, so that other load on the machine slows all; the smallest times and the median of the ratios are printed.

tfpose also runs with the second stage in bfloat16 and with both stages in bfloat16, and each of its stages runs alone.
With `--single_thread` each side computes in one thread, and processor times are compared, which other processes hardly
change.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from inference_graph import randomize_normalizations
from keypoint_rcnn import Reference, build_network
from network_speed import add_side_flags, count_threads, start_sides, timed
from results_file import ratios, record
from torch_side import TorchSide

from tfpose.data.picture_tensors import cut_crops_from_frame
from tfpose.data.upright_pictures import decode_upright
from tfpose.exporting.two_stage_detector import TwoStageModule
from tfpose.inference.detectors.keypoint_rcnn import KeypointRcnnDetector
from tfpose.inference.keypoint_system import build_keypoint_system
from tfpose.inference.two_stage import predict_heatmaps
from tfpose.models.keypoint_rcnn.detection import select_people
from tfpose.models.keypoint_rcnn.images import prepare_images
from tfpose.models.keypoint_rcnn.proposals import select_proposals
from tfpose.models.keypoint_rcnn.settings import RESNET50, ProposalSettings
from tfpose.models.keypoint_rcnn.simplification import simplify_keypoint_rcnn
from tfpose.models.simplification import simplify_network
from tfpose.skeletons import COCO17

NUM_PEOPLE = 5
GOAL = 0.6
TORCH_SCRIPT = Path(__file__).with_name("two_stage_system_torch.py")
OURS, MIXED, BFLOAT16 = "tfpose", "tfpose bfloat16 keypoints", "tfpose bfloat16"
# Number formats of the detector and of the keypoint network.
DTYPES = {OURS: ("float32", "float32"), MIXED: ("float32", "bfloat16"), BFLOAT16: ("bfloat16", "bfloat16")}
PARTS = ("whole", "detector", "keypoints")
DEFAULT_ROUNDS = 7


def build_module(detector_dtype: str, dtype: str) -> TwoStageModule:
    """Both stages with random weights; the keypoint network computes in `dtype`."""
    # Without suppression every photo has as many proposals as there may be, on both sides.
    settings = dataclasses.replace(RESNET50, proposals=ProposalSettings(iou_threshold=1.0))
    rcnn = build_network(Reference(settings, NUM_PEOPLE, 0, 0, 0))
    detector = KeypointRcnnDetector(simplify_keypoint_rcnn(rcnn, detector_dtype))
    system = build_keypoint_system(
        COCO17,
        network={"name": "pose_resnet", "depth": 50, "input_size": (384, 288)},
        crop={"margin_scale": 1.25},
        normalization={},
        inference={"use_flip_test": True},
        selection={},
    )
    network = system.build_network()
    randomize_normalizations(network)
    return TwoStageModule(simplify_network(network, dtype), system, detector)


def people_boxes(picture: bytes) -> np.ndarray:
    """Boxes [5, 4] xyxy side by side, each four fifths as high as the picture."""
    height, width = tf.io.decode_jpeg(picture).shape[:2]
    left = np.arange(NUM_PEOPLE) * width / NUM_PEOPLE
    columns = [left, np.full(NUM_PEOPLE, 0.1 * height), left + width / NUM_PEOPLE, np.full(NUM_PEOPLE, 0.9 * height)]
    return np.stack(columns, axis=1).astype(np.float32)


def build_parts(module: TwoStageModule, picture: bytes) -> dict[str, Callable[[], object]]:
    """The whole system, and each of its two stages from the bytes on, as functions."""
    boxes, scores = tf.constant(people_boxes(picture)), tf.ones(NUM_PEOPLE)

    def find_keypoints(frame: tf.Tensor) -> tf.Tensor:
        return module.poses_in_boxes(boxes, scores, functools.partial(cut_crops_from_frame, frame))

    def run_both(data: tf.Tensor) -> tuple[tf.Tensor, ...]:
        frame = decode_upright(data)
        return *module.detector.find_people_in_graph(frame), find_keypoints(frame)

    functions = {
        "whole": run_both,
        "detector": lambda data: module.detector.find_people_in_graph(decode_upright(data)),
        "keypoints": lambda data: find_keypoints(decode_upright(data)),
    }
    return {part: compiled(function, tf.constant(picture)) for part, function in functions.items()}


def build_stages(module: TwoStageModule, picture: bytes) -> dict[str, Callable[[], object]]:
    """Each stage as a function of the results of those before it."""
    network, settings, system = module.detector.network, module.detector.settings, module.system
    frame = decode_upright(tf.constant(picture))
    images, sizes = prepare_images(frame[None], settings)
    pyramid = network(images, training=False)

    def propose(*pyramid: tf.Tensor) -> object:
        levels = list(pyramid)
        return select_proposals(*network.score_anchors(levels), network.anchors(levels), sizes, settings.proposals)

    proposals = propose(*pyramid)
    predictions = network.predict_boxes(pyramid, proposals.boxes, proposals.image_indices)
    matrices = system.crop.matrices(tf.cast(people_boxes(picture), tf.float64))
    cut = functools.partial(cut_crops_from_frame, crop_size=system.crop.crop_size)
    crops = cut(frame, matrices)
    print(f"images {images.shape[1:3]}, {len(proposals.boxes)} proposals")
    stages = {
        "decode": (decode_upright, tf.constant(picture)),
        "resize": (lambda frame: prepare_images(frame[None], settings), frame),
        "detector trunk": (lambda images: network(images, training=False), images),
        "proposals": (propose, *pyramid),
        "box head": (
            lambda *levels: network.predict_boxes(list(levels), proposals.boxes, proposals.image_indices),
            *pyramid,
        ),
        "suppression": (
            lambda *values: select_people(*values, proposals, sizes, settings.detections)[0],
            *predictions,
        ),
        "crops": (cut, frame, matrices),
        "crops to heatmaps": (
            lambda crops: predict_heatmaps(
                functools.partial(module.network, training=False),
                crops,
                system.normalization,
                system.skeleton.flip_order,
                system.keypoints,
            ),
            crops,
        ),
        "crops to poses": (module.predict, crops, matrices),
    }
    return {name: compiled(function, *inputs) for name, (function, *inputs) in stages.items()}


def compiled(function: Callable[..., object], *inputs: tf.Tensor) -> Callable[[], object]:
    """A call of the function as one graph, which waits for its results."""
    graph = tf.function(function, autograph=False).get_concrete_function(*inputs)
    return lambda: [output.numpy() for output in tf.nest.flatten(graph(*inputs))]


def choose_sides(
    picture: Path, layouts: list[str], torch_side: TorchSide | None, clock: Callable[[], float]
) -> dict[tuple[str, str], Callable[[], float]]:
    """The function that runs each part of each side once and returns its seconds."""
    data = picture.read_bytes()
    sides = {}
    for side, dtypes in DTYPES.items():
        parts = build_parts(build_module(*dtypes), data)
        # The mixed side shares its detector with the first side, its keypoint network with the last.
        sides |= {(side, part): timed(run, clock) for part, run in parts.items() if side != MIXED or part == "whole"}
    if torch_side is not None:
        request = {"picture": str(picture.resolve()), "boxes": people_boxes(data).tolist()}
        for layout in layouts:
            for has_head in (True, False):
                for part in PARTS if has_head else ("whole", "detector"):
                    side = f"torch {layout}{'' if has_head else ', boxes only'}"
                    sides[side, part] = functools.partial(
                        torch_side.run, part=part, layout=layout, has_keypoint_head=has_head, **request
                    )
    return sides


def run_in_turn(sides: Mapping[object, Callable[[], float]], num_rounds: int) -> dict[object, list[float]]:
    """Seconds of each round of each side."""
    times: dict[object, list[float]] = {side: [] for side in sides}
    for _ in range(num_rounds):
        for side, run in sides.items():
            times[side].append(run())
    return times


def better_layout(times: Mapping[tuple[str, str], list[float]], has_keypoint_head: bool) -> list[float]:
    """Seconds of PyTorch's whole system in its faster layout; empty without PyTorch."""
    of_torch = (
        values
        for (side, part), values in times.items()
        if part == "whole" and side.startswith("torch") and side.endswith("boxes only") != has_keypoint_head
    )
    return min(of_torch, key=min, default=[])


def report(times: Mapping[tuple[str, str], list[float]]) -> str:
    """The times and ratios as lines of text."""
    sides = dict.fromkeys(side for side, _ in times)
    lines = [f"{'smallest seconds':40}" + "".join(f"{part:>12}" for part in PARTS)]
    for side in sides:
        columns = (f"{min(times[side, part]):12.3f}" if (side, part) in times else " " * 12 for part in PARTS)
        lines.append(f"{side:40}" + "".join(columns))
    for has_head in (True, False):
        theirs = better_layout(times, has_head)
        for side in DTYPES if theirs else ():
            ours = times[side, "whole"]
            name = "torchvision" if has_head else "torchvision without its keypoint head"
            middle = statistics.median(ratios(ours, theirs))
            lines.append(f"{side} to {name}: {middle:.2f} (median), {min(ours) / min(theirs):.2f} (smallest times)")
    lines.append(f"goal: at most {GOAL}")
    return "\n".join(lines)


def record_times(prefix: str, times: Mapping[tuple[str, str], list[float]]) -> None:
    """Records the times of the whole system for docs/results.json."""
    names = {"tfpose": OURS, "bfloat16_keypoints": MIXED, "bfloat16": BFLOAT16}
    measured = {f"{prefix}.{name}": (times[side, "whole"], "s") for name, side in names.items()}
    for has_head, name in ((True, "pytorch"), (False, "pytorch_boxes_only")):
        theirs = better_layout(times, has_head)
        if theirs:
            measured[f"{prefix}.{name}"] = (theirs, "s")
            measured[f"{prefix}.{name}_ratio"] = (ratios(times[OURS, "whole"], theirs), "times")
            measured[f"{prefix}.{name}_mixed_ratio"] = (ratios(times[MIXED, "whole"], theirs), "times")
            measured[f"{prefix}.{name}_bfloat16_ratio"] = (ratios(times[BFLOAT16, "whole"], theirs), "times")
    record(measured)


def main() -> None:
    """Times both systems and the stages of tfpose."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("picture", type=Path, help="a JPEG")
    add_side_flags(parser, "torch, torchvision and Pillow")
    parser.add_argument(
        "--layouts", nargs="+", default=["channels_last", "contiguous"], help="PyTorch's memory layouts"
    )
    parser.add_argument("--num_rounds", type=int, default=DEFAULT_ROUNDS, help="number of runs of each side")
    arguments = parser.parse_args()
    clock, torch_side = start_sides(arguments, TORCH_SCRIPT)
    print(f"load average {os.getloadavg()[0]:.1f}")
    data = arguments.picture.read_bytes()
    formats = (OURS, BFLOAT16)
    stages = {
        (side, name): timed(run, clock)
        for side in formats
        for name, run in build_stages(build_module(*DTYPES[side]), data).items()
    }
    stage_times = run_in_turn(stages, arguments.num_rounds)
    print(f"{'smallest seconds':20}" + "".join(f"{side:>17}" for side in formats))
    for name in dict.fromkeys(name for _, name in stages):
        print(f"  {name:18}" + "".join(f"{min(stage_times[side, name]):17.3f}" for side in formats), flush=True)
    times = run_in_turn(choose_sides(arguments.picture, arguments.layouts, torch_side, clock), arguments.num_rounds)
    print(report(times))
    if arguments.record:
        record_times(f"two_stage_system.{count_threads(arguments.single_thread)}", times)
    if torch_side is not None:
        torch_side.close()


if __name__ == "__main__":
    main()
