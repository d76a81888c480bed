"""Trains the network that a config describes, or continues the run in the work folder.

    tfpose train --config=two_stage_resnet50_coco --workdir=runs/resnet50_coco
    tfpose train --config=two_stage_resnet50_coco --workdir=runs/small --config.batch_size=16

A config is a Python file with the settings of the data, network and training. The config describes one of these:

- the keypoint network of a two-stage system, which finds the joints of each detected person (names two_stage_*);
- a single network, which finds the joints of all people without a detector (names single_network_*);
- a person detector: a Keypoint R-CNN or a PicoDet (names keypoint_rcnn_* and picodet_*).

Ctrl-C, SIGTERM or a lost connection ends the run after the current step and saves the state. The same command continues
the run.
`python train_main.py` takes the same arguments as tfpose train.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Sequence

from tfpose import __version__
from tfpose.file_names import check_output
from tfpose.flags.cache_flag import define_cache_flag, use_cache
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.config_flag import config_names, define_config_flag
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.startup_messages import start_tensorflow
from tfpose.skeletons import choose_skeleton


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    define_config_flag(values, f"Config to train. Required. The names are {', '.join(config_names())}.", required=True)
    values.define_string(
        "workdir",
        None,
        "Folder for checkpoints, weights and training logs (CSV, TensorBoard). tfpose continues a run that "
        "is already in the folder. Required.",
        required=True,
    )
    define_cache_flag(values, "Used only if config.initialize or config.distillation names a public checkpoint. ")


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Trains the network of the config."""
    del inputs
    use_cache(values)
    # After the flags are parsed: TensorFlow takes seconds to import, --help should not.
    start_tensorflow(use_devices=False)
    from tfpose import systems
    from tfpose.checkpoints import list_checkpoints
    from tfpose.data.records import read_table
    from tfpose.evaluation.teacher_agreement import teacher_note
    from tfpose.systems.mirror_note import mirror_note
    from tfpose.systems.run_config import (
        check_continued,
        check_joints,
        common_settings,
        digest_of_evaluation,
        write_run_config,
    )
    from tfpose.training.agreement import report_agreement
    from tfpose.training.batches import check_devices
    from tfpose.training.distribution import check_same_everywhere, is_chief
    from tfpose.training.loop import RunSettings, build_strategy, describe_also, train
    from tfpose.training.optimization import OptimizationSettings, idle_note

    config, workdir = values.config, pathlib.Path(values.workdir)
    system = systems.from_config(config)
    # Several machines must build the strategy before any other operation.
    strategy = build_strategy(config.strategy, config.batch_size)
    start_tensorflow()
    common = common_settings(config)
    check_same_everywhere(strategy, {"tfpose": __version__, "names of settings": " ".join(common)})
    check_same_everywhere(strategy, common)
    if is_chief(strategy):
        check_output("workdir", workdir)
    check_devices(config, strategy.num_replicas_in_sync)
    if list_checkpoints(workdir) and (note := systems.compare_with_run(config, workdir, check_continued)):
        print(note, file=sys.stderr)
    tables = [read_table(config.data.directory, config.data[f"{split}_split"]) for split in ("train", "validation")]
    check_same_everywhere(strategy, {"training data": tables[0].digest(), "validation data": tables[1].digest()})
    if list_checkpoints(workdir):
        check_joints(workdir / system.DESCRIPTION_FILE, choose_skeleton(config.skeleton, tables[0].skeleton).joints)
    if note := mirror_note(config, tables[0].skeleton):
        print(note, file=sys.stderr)
    plan, settings = system.plan_training(config, *tables), RunSettings(seed=config.seed, **config.run)
    measured_on = digest_of_evaluation(config, tables[1])
    plan = dataclasses.replace(plan, hooks=dataclasses.replace(plan.hooks, measured_on=measured_on))
    optimization = OptimizationSettings(**config.optimization)
    if note := idle_note(optimization, settings.total_steps):
        print(note, file=sys.stderr)
    if teacher := tables[1].teacher:
        print(teacher_note(teacher, config.data.validation_split), file=sys.stderr)
        plan, settings = report_agreement(plan, settings)
    plan = describe_also(plan, functools.partial(systems.forget_other_systems, config))
    train(
        describe_also(plan, functools.partial(write_run_config, config)),
        strategy=strategy,
        workdir=workdir,
        optimization=optimization,
        run=settings,
    )


PROGRAM = Program("tfpose train", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
