"""Trains the network of a config, or continues the run in the work folder.

    python train_main.py --config=two_stage_resnet50_coco --workdir=runs/resnet50_coco
    python train_main.py --config=two_stage_resnet50_coco --workdir=runs/small --config.batch_size=16

Ctrl-C and SIGTERM save the state of the run first; the same command continues it.
"""

from __future__ import annotations

import functools
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tfpose.flags.command_line import Program, run_program
from tfpose.flags.config_flag import define_config_flag
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.startup_messages import start_tensorflow

Records = Mapping[str, Any]


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    define_config_flag(values, "Config to train. Required.", required=True)
    values.define_string(
        "workdir",
        None,
        "Folder for checkpoints, weights and tables. A run that is already in the folder is continued. Required.",
        required=True,
    )


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Composes data, network, loss and loop from the config."""
    del inputs
    # After the flags are parsed: TensorFlow takes seconds to import, --help should not.
    start_tensorflow()
    from tfpose.data.records import read_table
    from tfpose.training.loop import RunSettings, build_strategy, train
    from tfpose.training.optimization import OptimizationSettings

    config = values.config
    workdir = pathlib.Path(values.workdir)
    compose = choose_system(config.get("system", "two_stage"))
    # Several machines must build the strategy before any other operation.
    strategy = build_strategy(config.strategy, config.batch_size)
    records = {
        split: read_table(config.data.directory, config.data[f"{split}_split"]) for split in ("train", "validation")
    }
    train(
        strategy=strategy,
        workdir=workdir,
        optimization=OptimizationSettings(**config.optimization),
        run=RunSettings(seed=config.seed, **config.run),
        **compose(config, records),
    )


def choose_system(name: str) -> Any:
    """The function that composes what `train` needs of the system called `name`."""
    systems = {
        "two_stage": compose_two_stage,
        "single_network": compose_single_network,
        "keypoint_rcnn": compose_keypoint_rcnn,
    }
    if name not in systems:
        raise ValueError(f"config.system must be one of {', '.join(systems)}, got {name!r}")
    return systems[name]


def compose_two_stage(config: ConfigDict, records: Records) -> dict[str, Any]:
    """Model, loss, data and hooks of the keypoint network on crops of people."""
    from tfpose.data.augmentation import Augmentation
    from tfpose.data.person_crops import PersonCrops
    from tfpose.inference.keypoint_system import build_keypoint_system, write_keypoint_system
    from tfpose.skeletons import choose_skeleton
    from tfpose.training import two_stage
    from tfpose.training.batches import make_dataset
    from tfpose.training.loop import Hooks

    skeleton = choose_skeleton(config.skeleton, records["train"].skeleton)
    sections = ("network", "crop", "normalization", "inference", "selection")
    system = build_keypoint_system(skeleton, **{name: config[name].to_dict() for name in sections})
    people = PersonCrops(records["train"], skeleton, system.crop, Augmentation(**config.augmentation), config.seed)
    initialize = two_stage.build_initializer(system, **config.initialize)
    build_targets = two_stage.build_target_function(
        system.crop, system.heatmap_size, two_stage.TargetSettings(**config.target)
    )
    return {
        "build_model": system.build_network,
        "compute_loss": two_stage.build_loss(build_targets, system.normalization, **config.loss),
        "make_dataset": functools.partial(make_dataset, people, config.batch_size),
        "hooks": Hooks(
            describe=functools.partial(write_keypoint_system, system=system),
            initialize=initialize,
            evaluate=two_stage.Validation(records["validation"], system, config.evaluation.batch_size),
            draw_pictures=functools.partial(
                two_stage.draw_examples,
                build_targets=build_targets,
                normalization=system.normalization,
                skeleton=skeleton,
            ),
        ),
    }


def compose_single_network(config: ConfigDict, records: Records) -> dict[str, Any]:
    """Model, loss, data and hooks of the single heatmap network on whole frames."""
    from tfpose.data.frame_augmentation import FrameAugmentation
    from tfpose.data.whole_frames import WholeFrames
    from tfpose.evaluation.person_scores import score_poses
    from tfpose.inference.single_network import predict_frames
    from tfpose.inference.single_network_system import (
        build_inference_parts,
        build_single_network_system,
        write_single_network_system,
    )
    from tfpose.skeletons import choose_skeleton
    from tfpose.training import single_network
    from tfpose.training.batches import make_dataset
    from tfpose.training.loop import Hooks
    from tfpose.training.single_network_start import build_initializer

    skeleton = choose_skeleton(config.skeleton, records["train"].skeleton)
    system = build_single_network_system(skeleton, config.network.to_dict(), config.inference.to_dict())
    augmentation = FrameAugmentation(**config.augmentation)
    frames = WholeFrames(records["train"], skeleton, system.fit, augmentation, config.seed, **config.examples)
    target = single_network.TargetSettings(**config.target)
    build_targets = single_network.build_target_function(system.fit.heatmap_size, target)

    def score(model: Any) -> dict[str, float]:
        networks, table = build_inference_parts(model, system), records["validation"]
        poses = predict_frames(*networks, table, system.fit, system.inference, skeleton, config.evaluation.batch_size)
        return score_poses(table, poses, skeleton)

    return {
        "build_model": system.build_network,
        "compute_loss": single_network.build_loss(build_targets, target, **config.loss),
        "make_dataset": functools.partial(make_dataset, frames, config.batch_size),
        "hooks": Hooks(
            describe=functools.partial(write_single_network_system, system=system),
            initialize=build_initializer(system, **config.initialize),
            evaluate=single_network.Validation(score),
            draw_pictures=functools.partial(
                single_network.draw_examples, build_targets=build_targets, skeleton=skeleton
            ),
        ),
    }


def compose_keypoint_rcnn(config: ConfigDict, records: Records) -> dict[str, Any]:
    """Model, loss, data and hooks of the person detector on whole images."""
    from tfpose.data.detection_images import DetectionImages, DetectionInput
    from tfpose.inference.keypoint_rcnn_system import keypoint_rcnn_settings, write_keypoint_rcnn_settings
    from tfpose.models.keypoint_rcnn.network import build_keypoint_rcnn
    from tfpose.models.keypoint_rcnn.sampling import SamplingSettings
    from tfpose.skeletons import choose_skeleton
    from tfpose.training import keypoint_rcnn
    from tfpose.training.batches import make_dataset
    from tfpose.training.loop import Hooks

    skeleton = choose_skeleton(config.skeleton, records["train"].skeleton)
    settings = keypoint_rcnn_settings({**config.network.to_dict(), "num_joints": skeleton.num_joints})
    images = DetectionImages(records["train"], skeleton, DetectionInput(**config.input), config.seed)
    return {
        "build_model": functools.partial(build_keypoint_rcnn, settings),
        "compute_loss": keypoint_rcnn.build_loss(SamplingSettings(**config.sampling)),
        "make_dataset": functools.partial(make_dataset, images, config.batch_size),
        "hooks": Hooks(
            describe=functools.partial(write_keypoint_rcnn_settings, settings=settings),
            initialize=keypoint_rcnn.build_initializer(**config.initialize),
            evaluate=keypoint_rcnn.Validation(records["validation"], skeleton, config.evaluation.batch_size),
            draw_pictures=functools.partial(keypoint_rcnn.draw_examples, skeleton=skeleton),
        ),
    }


PROGRAM = Program("train_main.py", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
