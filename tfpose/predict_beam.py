"""Predicts many videos, images or TFRecord files with Apache Beam: on the cores of a machine, or on a cluster.

    tfpose predict-many 'videos/*.mp4' --output=results
    tfpose predict-many 'videos/*.mp4' photos --model=runs/single --output=results --workers=8
    tfpose predict-many --input_list=videos.txt --model=exported --output=results
    tfpose predict-many 'gs://bucket/videos/*.mp4' --output=gs://bucket/results -- --runner=DataflowRunner --region=...

INPUT is a video, an image, a folder of images, a TFRecord file with encoded images, a pattern, or an address of a file
system that Apache Beam knows, such as gs://bucket/clip.mp4. A video is predicted by one worker, and so are the images
of one folder and the images of one TFRecord file. The results are those of tfpose predict with the same flags.

tfpose writes OUTPUT/predictions/NAME.json, a PoseTrack file. --outputs names further results. NAME is the name that
tfpose predict uses. Inputs with the same name get eight digits of their path behind the name.

OUTPUT/report.csv has one row for each input: input, name, status, frames, people, tracks, seconds, message. The status
is done, damaged (tfpose omitted frames or images that it could not read) or failed (there are no results). The exit
code is 1 if an input is damaged or failed. A worker process that crashes makes the input that it read fail.

Run the same command again after an interruption: tfpose predicts only the inputs that are not done, have changed or
have failed. A folder with results of another model or other settings is an error, unless --overwrite is given. An
input fails if the folder holds the results of another input with its name.

The arguments after -- are options of Apache Beam. Requires pip install 'tfpose[beam]'.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import logging
import os
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfpose.file_locks import hold_lock
from tfpose.file_names import check_output
from tfpose.flags.cache_flag import fetch_models
from tfpose.flags.combinations import forbid_flags
from tfpose.flags.command_line import Program, define_all_flags, parse_arguments, run_program
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.tracker_flags import tracker_from_flags
from tfpose.interruption import SignalWatch
from tfpose.messages import count_of, describe_error
from tfpose.predict import OUTPUTS, check_flags, check_model, choose_models, define_prediction_flags, load_model
from tfpose.pretrained.public_checkpoints import PUBLIC_CHECKPOINTS, is_public_name
from tfpose.processes import num_cores

if TYPE_CHECKING:
    from tfpose.prediction.beam_inference import Job
    from tfpose.prediction.many_inputs import ManyInput
    from tfpose.prediction.many_prediction import LoadedModel
    from tfpose.prediction.many_results import ReportRow

_LOCK_NAME = ".predict_many.lock"
_DEFAULT_OUTPUTS = ("posetrack",)
# Flags that do not decide about the results, and those whose content does.
_OWN_FLAGS = ("input_list", "workers", "overwrite")
_UNRELATED = {*_OWN_FLAGS, "output", "batch_size", "cache", "model", "detector", "tuned", "outputs"}
_LOCAL_RUNNERS = ("DirectRunner", "direct", "SwitchingDirectRunner", "FnApiRunner")


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    define_prediction_flags(values, takes_boxes=False)
    values["output"].help = (
        "Folder for the results, or an address such as gs://bucket/results. All workers must reach it. By default "
        "results, in the current folder."
    )
    values[
        "outputs"
    ].help = (
        f"Results to write, separated by commas: {', '.join(OUTPUTS)}, see tfpose predict --help. By default posetrack."
    )
    values.begin_section("Flags of many inputs (the arguments after -- are options of Apache Beam)", "input_list")
    values.define_string("input_list", None, "Text file with further inputs, one in each line.")
    values.define_integer(
        "workers",
        None,
        "Number of processes on this machine. By default one for each core. Cannot be combined with a --runner after "
        "-- that uses other machines.",
        1,
    )
    values.define_bool(
        "overwrite",
        False,
        "Replace results of another model, of other settings, or of another input with the same name in the folder of "
        "--output. By default these are errors.",
    )


def run(values: ProgramFlags, inputs: Sequence[str]) -> int:
    """Predicts all inputs; returns the exit code."""
    if os.name == "nt":
        raise ValueError("predict-many must run on Linux or macOS, got Windows; use predict")
    beam_options = _beam_words(values)
    texts = list(inputs[: len(inputs) - len(beam_options)])
    words, is_local = _words_of_flags(values), _is_local(beam_options)
    _choose(values)
    check_flags(values)
    _check_own_flags(values, is_local)
    from tfpose.prediction.frame_span import FrameSpan
    from tfpose.prediction.many_files import is_remote
    from tfpose.prediction.many_inputs import find_inputs
    from tfpose.prediction.many_results import digest_of_settings

    FrameSpan(values.start, values.end, values.every)
    tracker_from_flags(values)
    found = find_inputs([*texts, *_listed_inputs(values)])
    if not found:
        raise ValueError("INPUT must be a video, an image, a folder of images or a pattern, got nothing")
    output = values.output if is_remote(values.output) else os.path.abspath(values.output)
    if not is_remote(output):
        check_output("output", pathlib.Path(output))
    with _local_models(values):
        check_model(values.model)
        fetch_models(values, "model")
        settings = _describe_settings(values)
    with _silent_beam():
        from tfpose.prediction.beam_inference import Job

    num_workers = min(values.workers or num_cores(), len(found))
    options = [*(_local_options(beam_options, num_workers) if is_local else ()), *beam_options]
    # Workers find functions by their modules, and do not know that of a program that runs as __main__.
    load = functools.partial(importlib.import_module("tfpose.predict_beam").load, words)
    job = Job(load, output, digest_of_settings(settings), options, values.overwrite)
    return _predict(found, job, settings, is_local)


def load(words: Sequence[str]) -> LoadedModel:
    """Loads the model in a worker.

    Args:
        words: The flags of the command line.

    Raises:
        OSError, ValueError: The model cannot be loaded.
    """
    from tfpose.prediction.frame_span import FrameSpan
    from tfpose.prediction.many_prediction import LoadedModel
    from tfpose.prediction.sources import silence_opencv

    values = ProgramFlags(words)
    define_all_flags(PROGRAM, values)
    parse_arguments(PROGRAM, values)
    is_default_model = values.model is None
    _choose(values)
    silence_opencv()
    with _local_models(values):
        model, settings = load_model(values, is_default_model)
    return LoadedModel(model, settings, values.tracking, FrameSpan(values.start, values.end, values.every))


def _beam_words(values: ProgramFlags) -> list[str]:
    words = list(values.arguments)
    return words[words.index("--") + 1 :] if "--" in words else []


def _words_of_flags(values: ProgramFlags) -> list[str]:
    """Returns the flags that the user gave, without the inputs, which may be many."""
    return [values[name].serialize() for name in values if values[name].present and name not in _OWN_FLAGS]


def _choose(values: ProgramFlags) -> None:
    choose_models(values)
    if values.outputs is None:
        values["outputs"].value = list(_DEFAULT_OUTPUTS)


def _is_local(beam_options: Sequence[str]) -> bool:
    runner = _beam_option(beam_options, "runner")
    return runner is None or runner.rpartition(".")[2] in _LOCAL_RUNNERS


def _beam_option(beam_options: Sequence[str], name: str) -> str | None:
    """Returns the value of an option in one of the forms --name=value and --name value."""
    for position, word in enumerate(beam_options):
        if word == f"--{name}":
            return beam_options[position + 1] if position + 1 < len(beam_options) else ""
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
    return None


def _local_options(beam_options: Sequence[str], num_workers: int) -> list[str]:
    """Returns the options of several processes on this machine, without those that the user gives."""
    defaults = {
        "runner": "DirectRunner",
        "direct_running_mode": "multi_processing",
        "direct_num_workers": str(num_workers),
        # Workers would print the traceback of an error, of which one line is printed here.
        "default_sdk_harness_log_level": "CRITICAL",
    }
    return [f"--{name}={value}" for name, value in defaults.items() if _beam_option(beam_options, name) is None]


def _check_own_flags(values: ProgramFlags, is_local: bool) -> None:
    if not is_local:
        forbid_flags(
            values, ("workers",), "a --runner that uses other machines; set the number of its workers after --"
        )
    if importlib.util.find_spec("apache_beam") is None:
        raise ValueError(
            "tfpose predict-many requires the package apache-beam, which is not installed; run pip install "
            "'tfpose[beam]'"
        )


@contextlib.contextmanager
def _silent_beam(is_silent: bool = True) -> Iterator[None]:
    """Within, Beam logs nothing: not of packages of Google's cloud that are missing, nor of workers that are gone."""
    logger = logging.getLogger("apache_beam")
    level = logger.level
    if is_silent:
        logging.disable(logging.WARNING)
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        logging.disable(logging.NOTSET)


def _listed_inputs(values: ProgramFlags) -> list[str]:
    if values.input_list is None:
        return []
    path = pathlib.Path(values.input_list)
    if not path.is_file():
        raise FileNotFoundError(f"--input_list must be a text file, got {values.input_list!r}: no file")
    lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    return [line.strip() for line in lines if line.strip()]


@contextlib.contextmanager
def _local_models(values: ProgramFlags) -> Iterator[None]:
    """Within, --model and --detector are local folders, copied from their addresses where they are not."""
    from tfpose.prediction.many_files import copy_folder, is_remote

    given = {name: values[name].value for name in ("model", "detector")}
    with tempfile.TemporaryDirectory(prefix="tfpose_") as folder:
        for name, address in given.items():
            if address and is_remote(address):
                copy_folder(address, pathlib.Path(folder) / name)
                values[name].value = os.path.join(folder, name)
        try:
            yield
        finally:
            for name, address in given.items():
                values[name].value = address


def _describe_settings(values: ProgramFlags) -> dict[str, Any]:
    """Returns what decides about the results."""
    names = sorted({name for name in values if name not in _UNRELATED} - {"v", "verbosity", "only_check_args"})
    settings = {name: values[name].value for name in names if name not in ("flagfile", "undefok")}
    tuned = pathlib.Path(values.tuned).read_text(encoding="utf-8") if values.tuned else None
    return {
        "model_digest": _digest_of(values.model),
        "detector_digest": _digest_of(values.detector) if values.detector else None,
        "outputs": sorted(values.outputs),
        "tuned": tuned,
        **{
            name: value if isinstance(value, (int, float, bool, type(None))) else str(value)
            for name, value in settings.items()
        },
    }


def _digest_of(model: str) -> str:
    from tfpose.prediction.many_files import digest_of_model

    if is_public_name(model):
        public = PUBLIC_CHECKPOINTS[model]
        return f"{public.url} {public.digits}"
    return digest_of_model(pathlib.Path(model)) if pathlib.Path(model).is_dir() else model


def _predict(inputs: Sequence[ManyInput], job: Job, settings: Mapping[str, Any], is_local: bool) -> int:
    from tfpose.prediction.many_files import is_remote, join
    from tfpose.prediction.many_results import DAMAGED, DONE, FAILED, REPORT_FILE, claim_output, count_statuses

    with contextlib.ExitStack() as stack:
        if not is_remote(job.output):
            os.makedirs(job.output, exist_ok=True)
            rule = "the output of one run of tfpose predict-many"
            stack.enter_context(hold_lock(pathlib.Path(job.output) / _LOCK_NAME, rule))
            _clear_unfinished(job.output)
            stack.callback(_clear_unfinished, job.output)
        note = claim_output(job.output, settings, job.overwrite)
        if note:
            print(f"note: {note}", file=sys.stderr)
        code = _run_local_workers(job, inputs) if is_local else _run_elsewhere(job, inputs)
    if code:
        return code
    counts = count_statuses(job.output)
    words = ", ".join(f"{counts[status]} {status}" for status in (DONE, DAMAGED, FAILED) if counts[status])
    print(f"{count_of(sum(counts.values()), 'input')}: {words}")
    print(f"written: {join(job.output, REPORT_FILE)}")
    return 1 if counts[DAMAGED] or counts[FAILED] else 0


def _run_elsewhere(job: Job, inputs: Sequence[ManyInput]) -> int:
    from tfpose.prediction.beam_inference import run_pipeline

    with _worker_errors():
        run_pipeline(job, inputs)
    return 0


def _run_local_workers(job: Job, inputs: Sequence[ManyInput]) -> int:
    """Predicts the inputs; those at which a worker process crashes fail, and the others are predicted once more.

    Returns:
        0, or the exit code after an interruption.
    """
    from tfpose.prediction.beam_inference import run_pipeline
    from tfpose.prediction.local_workers import WorkerCrash, run_watched
    from tfpose.prediction.many_results import crashed_row

    crashed: list[ReportRow] = []
    with SignalWatch() as watch:
        while True:
            left = [item for item in inputs if item.position not in {row.position for row in crashed}]
            try:
                with _worker_errors(), _silent_beam():
                    run_watched(functools.partial(run_pipeline, job, left, crashed), lambda: watch.stop_requested)
            except WorkerCrash as crash:
                if not crash.tasks:
                    raise
                by_position = {item.position: item for item in left}
                for task in crash.tasks:
                    crashed.append(crashed_row(by_position[int(task)], str(crash)))
                    print(f"error: {crashed[-1].input}: {crashed[-1].message}", file=sys.stderr)
                continue
            if not watch.stop_requested:
                return 0
            print("error: interrupted; run the same command again to predict the other inputs", file=sys.stderr)
            return watch.exit_code


@contextlib.contextmanager
def _worker_errors() -> Iterator[None]:
    """Makes the error of a worker, whose text holds the traceback, one line."""
    try:
        yield
    except RuntimeError as error:
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        text = re.sub(r" \[while running '.*$", "", lines[-1] if lines else describe_error(error))
        raise ValueError(re.sub(r"^[\w.]*(?:Error|Failure): ", "", text)) from error


def _clear_unfinished(output: str) -> None:
    from tfpose.prediction.many_files import UNFINISHED_FOLDER

    shutil.rmtree(pathlib.Path(output) / UNFINISHED_FOLDER, ignore_errors=True)


PROGRAM = Program("tfpose predict-many", __doc__, define_flags, run, takes_inputs=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
