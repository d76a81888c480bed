"""Records the scores of one or more finished demos for docs/results.json, one value for each demo.

    make demo && make demo DEMO=demo1 DEMO_SEED=1 && make demo DEMO=demo2 DEMO_SEED=2
    python benchmarks/demo_scores.py demo demo1 demo2 --note='seeds 0, 1 and 2'

For each of the two systems it reads results/SYSTEM/metrics.json of every demo. `--minutes` records how long the demos
took: time them on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

from results_file import record

from tfpose.json_files import read_json

SYSTEMS = ("two_stage", "single_network")
COMMAND = "make demo"


def read_scores(demo: pathlib.Path, system: str) -> dict[str, float]:
    """Reads AP, PCK@0.2 (of a system that takes boxes), PoseTrack mAP and MOTA in percent.

    Raises:
        FileNotFoundError: The demo has no metrics of the system.
        ValueError: The file has no such metrics.
    """
    path = demo / "results" / system / "metrics.json"
    metrics: Any = read_json(path)
    try:
        posetrack = metrics["posetrack"]
        scores = {"ap": metrics["coco"]["AP"], "map": posetrack["ap"][-1], "mota": posetrack["mota"][-1]}
        return scores | ({"pck": metrics["pck"]["total"]} if "pck" in metrics else {})
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error} must be there, as in the metrics of a demo") from error


def main() -> None:
    """Records the scores of both systems."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demos", type=pathlib.Path, nargs="+", help="folder of a finished demo")
    parser.add_argument("--minutes", type=float, nargs="+", help="duration of each timed demo")
    parser.add_argument("--note", default="", help="how the demos differ, for example their seeds")
    options = parser.parse_args()
    try:
        measured = {}
        for system in SYSTEMS:
            scores = [read_scores(demo, system) for demo in options.demos]
            for name in scores[0]:
                measured[f"demo.{system}.{name}"] = ([of_demo[name] for of_demo in scores], "%")
        record(measured, COMMAND, options.note)
        if options.minutes:
            record({"demo.minutes": (options.minutes, "minutes")}, COMMAND)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {error}")


if __name__ == "__main__":
    main()
