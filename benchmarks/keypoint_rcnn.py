"""Compares Keypoint R-CNN on an image of 800x1205 pixels to the same trunk in PyTorch.

    python benchmarks/keypoint_rcnn.py --torch_python=.venv-torch/bin/python --models R50 X101

tfpose runs detection from the prepared image to people, with keypoints and with boxes only, and each of its parts.
PyTorch runs trunk and heads in eager mode, as Detectron2 does; proposals, suppression and ROIAlign would need libraries
that this benchmark does not require. The time of Detectron2 for a whole image was measured once on another machine,
together with that of its trunk; the time of the trunk on this machine scales it. The goal is 0.8 times that time.

Both sides run in turn, so that other load on the machine slows both; the medians are compared. On a shared
machine use `--single_thread`: each side computes in one thread, and processor times are compared.

Weights are random, so the number of people is set to that of the reference. PyTorch is left out if its interpreter
cannot import torch. The peak memory is that of the process: time one model at a time to see its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import resource
import statistics
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from network_speed import add_side_flags, count_threads, start_sides, timed
from results_file import ratios, record
from torch_side import TorchSide

from tfpose.models.keypoint_rcnn.detection import detect_people, find_keypoints
from tfpose.models.keypoint_rcnn.images import pad_images
from tfpose.models.keypoint_rcnn.network import KeypointRcnn, build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.proposals import ScoredBoxes, select_proposals
from tfpose.models.keypoint_rcnn.settings import RESNET50, RESNEXT101_32X8D, KeypointRcnnSettings

IMAGE_SIZE = (800, 1205)
GOAL = 0.8
TORCH_SCRIPT = Path(__file__).with_name("keypoint_rcnn_torch.py")
TORCH_PARTS = ("trunk", "proposal_head", "box_head", "keypoint_head")


@dataclasses.dataclass(frozen=True)
class Reference:
    """Times of Detectron2 with two threads on an idle machine.

    Attributes:
        settings: Settings of the network.
        num_people: Number of people that it found in the image.
        trunk: Seconds of the trunk.
        people: Seconds of the whole network.
        boxes: Seconds of the network without its keypoint head.
    """

    settings: KeypointRcnnSettings
    num_people: int
    trunk: float
    people: float
    boxes: float


REFERENCES = {
    "R50": Reference(RESNET50, 48, 1.9, 4.5, 3.0),
    "X101": Reference(RESNEXT101_32X8D, 25, 5.2, 6.9, 6.2),
}


def build_network(reference: Reference) -> KeypointRcnn:
    """The network with random weights that give finite features and the reference's number of people."""
    detections = dataclasses.replace(
        reference.settings.detections, score_threshold=-1.0, max_detections=reference.num_people
    )
    network = build_keypoint_rcnn(dataclasses.replace(reference.settings, detections=detections))
    for variable in network.trunk.variables:
        if variable.path.endswith("conv3/norm_scale"):
            # Otherwise every block would double the features.
            variable.assign(tf.fill(variable.shape, 0.1))
    return network


def random_input() -> tuple[tf.Tensor, tf.Tensor]:
    """A padded random image and its size."""
    return pad_images([tf.random.stateless_normal([*IMAGE_SIZE, 3], [0, 1])])


def measure_memory(network: KeypointRcnn) -> float:
    """Peak memory of the process in GiB after one image."""
    _run_whole(tf.function(lambda: detect_people(network, *random_input())))()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def build_parts(network: KeypointRcnn, num_people: int) -> dict[str, Callable[[], None]]:
    """The parts of tfpose that are timed, by name."""
    boxes_only = _without_keypoints(network)
    images, sizes = random_input()
    pyramid = network(images, training=False)
    anchors = network.anchors(pyramid)
    settings = network.settings.proposals
    proposals = select_proposals(*network.score_anchors(pyramid), anchors, sizes, settings)
    people = ScoredBoxes(*(values[:num_people] for values in proposals))
    print(f"{len(proposals.boxes)} proposals, {len(detect_people(network, images, sizes).boxes)} people")
    functions = {
        "people": lambda: detect_people(network, images, sizes),
        "boxes": lambda: detect_people(boxes_only, images, sizes),
        "trunk": lambda: network(images, training=False),
        "proposal_head": lambda: select_proposals(*network.score_anchors(pyramid), anchors, sizes, settings),
        "box_head": lambda: network.predict_boxes(pyramid, proposals.boxes, proposals.image_indices),
        "keypoint_head": lambda: find_keypoints(network, pyramid, people),
    }
    return {name: _run_whole(tf.function(function)) for name, function in functions.items()}


def _without_keypoints(network: KeypointRcnn) -> KeypointRcnn:
    """The same network without its keypoint head; the other parts are shared."""
    boxes_only = build_keypoint_rcnn(network.settings.without_keypoints())
    boxes_only.trunk, boxes_only.proposal_head, boxes_only.box_head = (
        network.trunk,
        network.proposal_head,
        network.box_head,
    )
    return boxes_only


def _run_whole(function: Callable[[], object]) -> Callable[[], None]:
    return lambda: tf.nest.map_structure(lambda values: values.numpy(), function())


def time_model(
    model: str, torch_side: TorchSide | None, clock: Callable[[], float], num_rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]], float]:
    """The seconds of each round of each part of tfpose and of PyTorch, and the peak memory of tfpose in GiB."""
    num_people = REFERENCES[model].num_people
    network = build_network(REFERENCES[model])
    memory = measure_memory(network)
    print(f"peak memory of the process after one image: {memory:.2f} GiB")
    sides = {("tfpose", name): timed(run, clock) for name, run in build_parts(network, num_people).items()}
    if torch_side is not None:
        for part in TORCH_PARTS:
            sides["torch", part] = functools.partial(torch_side.run, model=model, part=part, num_people=num_people)
    times: dict[tuple[str, str], list[float]] = {side: [] for side in sides}
    for _ in range(num_rounds):
        for side, run in sides.items():
            times[side].append(run())
    ours, theirs = (
        {name: seconds for (owner, name), seconds in times.items() if owner == side} for side in ("tfpose", "torch")
    )
    return ours, theirs, memory


def scale_reference(model: str, name: str, theirs: dict[str, list[float]]) -> list[float]:
    """The seconds that Detectron2 would take on this machine, by the time of its trunk in each round."""
    reference = REFERENCES[model]
    return [getattr(reference, name) * seconds / reference.trunk for seconds in theirs["trunk"]]


def report(model: str, ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> str:
    """The medians of a model as lines of text."""
    lines = [f"{model}, {REFERENCES[model].num_people} people (median seconds: tfpose, PyTorch):"]
    for name in TORCH_PARTS:
        both = [statistics.median(side.get(name, [float("nan")])) for side in (ours, theirs)]
        lines.append(f"  {name:14} {both[0]:7.3f} {both[1]:7.3f}")
    for name in ("people", "boxes"):
        line = f"  whole, {name:7} {statistics.median(ours[name]):7.3f}"
        if theirs:
            expected = scale_reference(model, name, theirs)
            ratio = statistics.median(ratios(ours[name], expected))
            line += f"; Detectron2 would take {statistics.median(expected):.3f}: ratio {ratio:.2f} (goal {GOAL:.2f})"
        lines.append(line)
    return "\n".join(lines)


def record_model(
    prefix: str, model: str, ours: dict[str, list[float]], theirs: dict[str, list[float]], memory: float
) -> None:
    """Records the times and the memory of a model for docs/results.json."""
    measured = {f"{prefix}.memory": ([memory], "GiB")}
    for name in ("people", "boxes"):
        measured[f"{prefix}.{name}.tfpose"] = (ours[name], "s")
        if theirs:
            expected = scale_reference(model, name, theirs)
            measured[f"{prefix}.{name}.detectron2"] = (expected, "s")
            measured[f"{prefix}.{name}.ratio"] = (ratios(ours[name], expected), "times")
    record(measured)


def main() -> None:
    """Times the models and prints their parts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_side_flags(parser)
    parser.add_argument("--models", nargs="+", choices=REFERENCES, default=list(REFERENCES), help="models to time")
    parser.add_argument("--num_rounds", type=int, default=5, help="number of runs of each part")
    arguments = parser.parse_args()
    clock, torch_side = start_sides(arguments, TORCH_SCRIPT)
    for model in arguments.models:
        print(f"load average {os.getloadavg()[0]:.1f}")
        ours, theirs, memory = time_model(model, torch_side, clock, arguments.num_rounds)
        print(report(model, ours, theirs), flush=True)
        if arguments.record:
            prefix = f"keypoint_rcnn.{model.lower()}.{count_threads(arguments.single_thread)}"
            record_model(prefix, model, ours, theirs, memory)
    if torch_side is not None:
        torch_side.close()


if __name__ == "__main__":
    main()
