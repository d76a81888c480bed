"""The command `tfpose`: one name for all programs."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

import tfpose
from tfpose.flags.command_line import until_stdout_is_closed

# The module of each subcommand and what the subcommand does.
SUBCOMMANDS = {
    "predict": ("tfpose.predict", "find poses in images and videos, track and draw the people"),
    "predict-many": ("tfpose.predict_beam", "predict many inputs on many cores or machines"),
    "train": ("train_main", "train the network that a config describes"),
    "evaluate": ("eval_main", "predict a dataset with a trained network and score the poses"),
    "score": ("tfpose.score", "score PoseTrack prediction files against annotations"),
    "track": ("tfpose.track", "assign track identities to people in PoseTrack prediction files"),
    "tune": ("tfpose.tune", "search for the best tracker settings and thresholds"),
    "export": ("tfpose.export", "write a SavedModel that needs only TensorFlow"),
    "pretrained": ("tfpose.pretrained.__main__", "list, download and convert public checkpoints"),
    "report": ("tfpose.report.__main__", "join the results of evaluations into one HTML page"),
    "build": ("data_prep.build", "convert a dataset to TFRecord files"),
    "preview": ("data_prep.preview", "draw the training input and targets of a network"),
}
HELP = f"""Multi-person pose estimation and tracking, version {tfpose.__version__}.

usage: tfpose SUBCOMMAND [arguments]

{{subcommands}}

A two-stage system detects the people in an image, and then finds the joints of
each person. A single network finds the joints of all people without a detector.
A config is a Python file with the settings of the data, network and training.
A work folder holds the weights and the logs of one training run.
A public checkpoint is a file of trained weights that another project published.

tfpose SUBCOMMAND --help lists the flags. tfpose --version prints the version.
""".format(subcommands="\n".join(f"  {name:<13} {text}" for name, (_, text) in SUBCOMMANDS.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the subcommand that the first argument names; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        print(HELP, end="", file=sys.stderr)
        return 1
    name, *others = words
    if name in SUBCOMMANDS:
        return importlib.import_module(SUBCOMMANDS[name][0]).main(others)
    if name in ("--help", "-h", "-help", "--helpshort", "--helpfull", "help"):
        return until_stdout_is_closed(lambda: _print(HELP))
    if name in ("--version", "-version"):
        return until_stdout_is_closed(lambda: _print(f"tfpose {tfpose.__version__}\n"))
    close = difflib.get_close_matches(name, SUBCOMMANDS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the subcommands are {', '.join(SUBCOMMANDS)}"
    print(f"error: tfpose has no subcommand {name!r}; {hint}", file=sys.stderr)
    return 1


def _print(text: str) -> int:
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
