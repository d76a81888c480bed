r"""Searches for the best tracker settings and thresholds.

    tfpose tune --tune=max_age_frames=5,10,20 --predictions=poses --ground_truth=annotations/val \
        --output_dir=tuned
    tfpose tune --tune=head_threshold=0.1,0.2,0.3 --workdir=runs/single_network --output_dir=tuned

The command has two modes. With --predictions, tfpose tracks the poses of the files with every combination of the
values. With --workdir, tfpose predicts the poses of a split of the dataset in config.data.directory with a single
network (a network that finds the joints of all people without a detector), and searches thresholds of the network and
tracker settings together.

tfpose prints the results, the best first, and writes the results to OUTPUT_DIR/tuning.json. The flag --tuned of tfpose
track, evaluate, export and predict takes this file.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Sequence

from tfpose.file_names import check_output
from tfpose.flags.combinations import forbid_flags, require_companion, require_flags
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.config_flag import define_config_flag
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.search_flags import parse_search_choices, parse_tracker_choices
from tfpose.flags.startup_messages import start_tensorflow
from tfpose.flags.tracker_flags import base_from_flags, define_tracker_flags, request_from_flags
from tfpose.metrics.catalog import DEFAULT_OBJECTIVE, objectives

_FILE_FLAGS = ("predictions", "ground_truth")
_NETWORK_FLAGS = ("weights", "split", "tune_method")


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    values.define_texts(
        "tune",
        "Setting to search and the values to try, such as max_age_frames=5,10,20. Give this flag once for each "
        "setting. A setting is a --tracker flag without the prefix 'tracker.' or, only with --workdir, a threshold of "
        "the network: head_threshold, head_distance_cells, joint_threshold, person_threshold or max_people. Required.",
        required=True,
    )
    values.define_enum("tune_objective", DEFAULT_OBJECTIVE, list(objectives()), "Metric that the search maximizes.")
    values.define_string("output_dir", None, "Folder for tuning.json. Required.", required=True)
    values.define_integer(
        "num_processes",
        None,
        "Number of processes that try settings at the same time. By default one per processor core.",
        1,
    )
    _define_network_flags(values)


def _define_network_flags(values: ProgramFlags) -> None:
    """Defines the flags of a search with a network, and those of the tracker."""
    values.begin_section("Flags of a search on prediction files", "predictions")
    values.define_string(
        "predictions",
        None,
        "Folder of the predicted poses, one PoseTrack file for each video. Required without --workdir. "
        "Cannot be combined with --workdir.",
    )
    values.define_string(
        "ground_truth",
        None,
        "Folder of the PoseTrack annotations, one file with the name of the prediction file for each video. "
        "Required with --predictions. Cannot be combined with --workdir.",
    )
    values.begin_section("Flags of a search with a single network", "config")
    define_config_flag(
        values,
        "Config of the single network that predicts the poses. By default the config of the run in --workdir.",
        example="single_network_posetrack17",
        is_that_of_run=True,
    )
    values.define_string(
        "workdir",
        None,
        "Work folder of the training run whose weights are used. Required if --predictions is not given.",
    )
    values.define_enum(
        "weights",
        "best",
        ["best", "last"],
        "Weights to use: best has the best validation score of the run, last is from the last step of the "
        "run. Requires --workdir.",
    )
    values.define_string(
        "split",
        None,
        "Split of the dataset to predict, such as val. By default the validation split of the config. Requires "
        "--workdir.",
    )
    values.define_enum(
        "tune_method",
        "grid",
        ["grid", "coordinates"],
        "Search method: grid tries every combination of the values; coordinates changes one setting at a time until no "
        "change improves the metric, and needs far fewer trials. Requires --workdir.",
    )
    define_tracker_flags(
        values,
        "payer2017, or with --workdir the section tracker of the config",
        "Flags of the tracker (the settings that --tune does not name)",
    )


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Searches on files, or with a network."""
    del inputs
    check_output("output_dir", pathlib.Path(values.output_dir))
    if values.config is None and values.workdir is None:
        require_companion(values, _NETWORK_FLAGS, "workdir")
        require_flags(values, _FILE_FLAGS, "without --workdir")
        tune_on_files(values)
    else:
        require_flags(values, ["workdir"], "with --config")
        forbid_flags(values, _FILE_FLAGS, "--workdir")
        tune_network(values)


def tune_on_files(values: ProgramFlags) -> None:
    """Searches a grid of tracker settings."""
    from tfpose.evaluation.tracker_search import tune_tracker

    base = base_from_flags(values)
    choices = parse_tracker_choices(values.tune, base)
    tune_tracker(
        pathlib.Path(values.ground_truth),
        pathlib.Path(values.predictions),
        pathlib.Path(values.output_dir),
        choices,
        base,
        values.tune_objective,
        values.num_processes,
    )


def tune_network(values: ProgramFlags) -> None:
    """Searches the thresholds of a network and the settings of its tracker on a split."""
    start_tensorflow()
    from tfpose import systems
    from tfpose.data.records import read_table
    from tfpose.flags.run_flags import choose_config
    from tfpose.systems.system import RunChoice, TuningRequest

    config, _ = choose_config(values, pathlib.Path(values.workdir))
    system = systems.tunable_from_config(config)
    split = values.split or config.data.validation_split
    request = TuningRequest(
        run=RunChoice(pathlib.Path(values.workdir), values.weights),
        split=split,
        output_dir=pathlib.Path(values.output_dir),
        parse_choices=functools.partial(parse_search_choices, values.tune),
        tracker=dataclasses.replace(request_from_flags(values), flags=()),
        objective=values.tune_objective,
        method=values.tune_method,
        num_processes=values.num_processes,
    )
    table = read_table(config.data.directory, split)
    if table.teacher:
        raise ValueError(f"--tune requires labels by people, got those of teacher {table.teacher}")
    system.tune(config, table, request)


PROGRAM = Program("tfpose tune", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
