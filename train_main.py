"""Trains the network that a config file describes; continues what is in the work folder.

python train_main.py --config=configs/two_stage_resnet50_coco.py --workdir=runs/resnet50_coco
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from tfpose.command_line import run_program

_CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment; see configs/.", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints and logs; a run in it is continued.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: Sequence[str]) -> None:
    """Composes data, network, loss and loop from the config."""
    del argv
    # After the flags are parsed: TensorFlow takes seconds to import, --help should not.
    from tfpose.data.augmentation import Augmentation
    from tfpose.data.person_crops import PersonCrops
    from tfpose.data.records import read_table
    from tfpose.inference.keypoint_system import build_keypoint_system, choose_skeleton, write_keypoint_system
    from tfpose.training import two_stage
    from tfpose.training.loop import Hooks, RunSettings, build_strategy, train
    from tfpose.training.optimization import OptimizationSettings

    config = _CONFIG.value
    workdir = pathlib.Path(_WORKDIR.value)
    # Several machines must build the strategy before any other operation.
    strategy = build_strategy(config.strategy)
    records = {
        split: read_table(config.data.directory, config.data[f"{split}_split"]) for split in ("train", "validation")
    }
    skeleton = choose_skeleton(config.skeleton, records["train"].skeleton)
    sections = ("network", "crop", "normalization", "inference", "selection")
    system = build_keypoint_system(skeleton, **{name: config[name].to_dict() for name in sections})
    people = PersonCrops(records["train"], skeleton, system.crop, Augmentation(**config.augmentation), config.seed)
    initialize = two_stage.build_initializer(system, **config.initialize)
    write_keypoint_system(workdir, system)
    build_targets = two_stage.build_target_function(
        system.crop, system.heatmap_size, two_stage.TargetSettings(**config.target)
    )
    train(
        strategy=strategy,
        build_model=system.build_network,
        compute_loss=two_stage.build_loss(build_targets, system.normalization, **config.loss),
        make_dataset=functools.partial(two_stage.make_dataset, people, config.batch_size),
        workdir=workdir,
        optimization=OptimizationSettings(**config.optimization),
        run=RunSettings(seed=config.seed, **config.run),
        hooks=Hooks(
            initialize=initialize,
            evaluate=two_stage.Validation(records["validation"], system, config.evaluation.batch_size),
            draw_pictures=functools.partial(
                two_stage.draw_examples,
                build_targets=build_targets,
                normalization=system.normalization,
                skeleton=skeleton,
            ),
        ),
    )


if __name__ == "__main__":
    run_program(main)
