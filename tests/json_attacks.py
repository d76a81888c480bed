"""Gives damaged JSON files to everything that reads JSON.

    python tests/json_attacks.py --num=3000 --seed=0

Every input must be used, or be refused with one line of at most 500 characters, within 20 seconds of the processor and
1 GiB. Each input is named by its case and seed, and `--only=CASE --seed=SEED --num=1` repeats it. The inputs run in a
copy of this process, which is made anew when it dies.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import gc
import io
import json
import lzma
import multiprocessing
import os
import pathlib
import resource
import signal
import sys
import tarfile
import tempfile
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from json_mutations import Mutator

from tfpose.coco import category_from_skeleton
from tfpose.flags.command_line import Program, run_program
from tfpose.skeletons import COCO17, POSETRACK15

TESTS = pathlib.Path(__file__).resolve().parent
# Makers of small files lie beside the tests that they were made for.
sys.path += [str(TESTS / "data_prep"), str(TESTS / "report")]
SECONDS, MEMORY_BYTES, LINE_CHARACTERS = 20, 1 << 30, 500


class Hang(BaseException):
    """An input took too long."""


@dataclasses.dataclass
class Case:
    """Files and a reader of them.

    Attributes:
        targets: The files that are damaged, one at a time.
        run: Reads them; returns the exit code, None means 0.
        mutators: Damages each target.
        whole: The content of each target.
    """

    targets: list[pathlib.Path]
    run: Callable[[], int | None]

    def __post_init__(self) -> None:
        self.whole = [path.read_bytes() for path in self.targets]
        self.mutators = [Mutator(json.loads(data)) for data in self.whole]


def attack(case: Case, seed: int) -> tuple[str, str]:
    """Runs one input; returns what came of it: "used", "refused", or a fault, and the last line or the traceback."""
    number = seed % len(case.targets)
    case.targets[number].write_bytes(case.mutators[number].damaged(seed))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    output = io.StringIO()
    signal.signal(signal.SIGALRM, _raise_hang)
    signal.signal(signal.SIGPROF, _raise_hang)
    # Time of the processor, for machines that do other work too, and of the clock, for what waits.
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(20 * SECONDS)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = run_program(Program("attack", "", lambda values: None, lambda values, inputs: case.run()), ())
    except Hang:
        return "hang", ""
    except BaseException:
        return "traceback", traceback.format_exc()[-1500:]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        case.targets[number].write_bytes(case.whole[number])
    lines = output.getvalue().splitlines()
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > MEMORY_BYTES >> 10:
        return "memory", lines[-1] if lines else ""
    for line in lines:
        if len(line) > LINE_CHARACTERS or not line.isprintable():
            return "line", repr(line[:300])
    if "Traceback" in output.getvalue():
        return "traceback", output.getvalue()[-1500:]
    errors = [line for line in lines if line.startswith("error:")]
    if code and len(errors) != 1:
        return "no single line", repr(lines[-3:])
    return ("refused", errors[0]) if code else ("used", "")


def _raise_hang(*_: object) -> None:
    raise Hang


def build_cases(folder: pathlib.Path, with_tensorflow: bool = True) -> dict[str, Case]:
    """The readers, each with files of its own below a folder."""
    cases = {**_posetrack_cases(folder), **_dataset_cases(folder), **_file_cases(folder)}
    return cases | _network_cases(folder) if with_tensorflow else cases


def _posetrack_cases(folder: pathlib.Path) -> dict[str, Case]:
    from tfpose import score, track, tune

    with tarfile.open(
        fileobj=io.BytesIO(lzma.decompress((TESTS / "golden" / "poseval" / "cases.tar.xz").read_bytes()))
    ) as archive:
        archive.extractall(folder, filter="data")
    cases = {}
    for year, name in (("2017", "pt17_handmade"), ("2018", "pt18_perfect")):
        root, out = folder / name, folder / f"out{year}"
        _keep_one_file(root)
        files = [next((root / side).iterdir()) for side in ("gt", "pred")]
        metrics = "ap,mot" if year == "2017" else "ap,mot,hota"
        flags = [f"--predictions={root / 'pred'}", f"--output_dir={out}", "--num_processes=1"]
        scoring = [f"--ground_truth={root / 'gt'}", *flags, f"--metrics={metrics}"]
        cases[f"score{year}"] = Case(files, lambda words=scoring: score.main(words))
        report = [*scoring, "--report"]
        cases[f"score{year}_report"] = Case(files, lambda words=report: score.main(words))
        tracking = [*flags, f"--format={year}"]
        cases[f"track{year}"] = Case(files[1:], lambda words=tracking: track.main(words))
        searching = ["--tune=max_age_frames=1,2", f"--ground_truth={root / 'gt'}", *flags]
        cases[f"tune{year}"] = Case(files, lambda words=searching: tune.main(words))
    return cases | {"track_coco": _coco_case(folder, files)}


def _coco_case(folder: pathlib.Path, files: list[pathlib.Path]) -> Case:
    """COCO results and the annotations that say which image is which frame."""
    from tfpose import track

    truth, predictions = (json.loads(path.read_text()) for path in files)
    scores = {"score": 0.5, "keypoints": [9.0, 8.0, 0.5] * COCO17.num_joints}
    results = folder / "results.json"
    results.write_text(json.dumps([{**person, **scores} for person in predictions["annotations"]]))
    annotations = folder / "annotations_of_results"
    annotations.mkdir()
    (annotations / files[0].name).write_text(json.dumps(truth))
    words = [f"--predictions={results}", f"--ground_truth={annotations}", f"--output_dir={folder / 'out_coco'}"]
    words += ["--skeleton=coco17", "--keep_track_ids", "--num_processes=1", "--metrics=ap"]
    return Case([results, annotations / files[0].name], lambda: track.main(words))


def _keep_one_file(root: pathlib.Path) -> None:
    keep = sorted(path.name for path in (root / "gt").iterdir())[0]
    for side in ("gt", "pred"):
        for path in (root / side).iterdir():
            if path.name != keep:
                path.unlink()


def _dataset_cases(folder: pathlib.Path) -> dict[str, Case]:
    from source_folders import write_coco, write_posetrack17, write_posetrack18

    from data_prep import posetrack
    from data_prep.coco_keypoints.builder import read_source

    def converting(read: Callable, root: pathlib.Path) -> Callable[[], None]:
        def run() -> None:
            for split in read(root).splits.values():
                for image in range(split.num_images):
                    split.example(image, b"", split.size_of(image))

        return run

    cases = {}
    for name, write, read in (
        ("build_coco", write_coco, read_source),
        ("build_posetrack18", write_posetrack18, posetrack.read_source),
        ("build_posetrack17", write_posetrack17, posetrack.read_source),
        ("build_posetrack21", write_posetrack18, posetrack.read_source21),
    ):
        root = write(folder / name)
        cases[name] = Case(sorted((root / "annotations").rglob("*.json")), converting(read, root))
    return cases


def _file_cases(folder: pathlib.Path) -> dict[str, Case]:
    """Readers of single files; none imports TensorFlow."""
    from report_cases import make_report

    from tfpose.coco_results import detection_results, read_detections
    from tfpose.data.region_masks import draw_region_mask, read_crowd_region
    from tfpose.evaluation.tuned_settings import read_tuned_settings
    from tfpose.report import __main__ as report_program
    from tfpose.report.evaluation_file import Evaluation, write_evaluation
    from tfpose.tracking.choice import TrackerChoice

    def written(name: str, content: Any) -> list[pathlib.Path]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return [path]

    boxes = written(
        "boxes.json", detection_results(np.arange(5), np.array([[1.0, 2, 30, 40]] * 5), np.linspace(0.1, 0.9, 5))
    )
    inference = {"head_threshold": 0.3, "max_people": 9}
    tuned = written("tuning.json", {"best": {"tracker": TrackerChoice("offline").to_dict(), "inference": inference}})
    crowd = written("crowd.json", {"counts": [3, 590, 7], "size": [20, 30]})

    def draw() -> None:
        polygons, bitmaps = read_crowd_region(crowd[0].read_text(), np.array([1.0, 2, 3, 4]))
        draw_region_mask(polygons, bitmaps, np.eye(2, 3), (20, 30))

    results = folder / "results"
    results.mkdir()
    data = write_evaluation(Evaluation(results, {"boxes": "none"}, make_report(), coco={"AP": 51.5, "AR": 60.0}))
    pages = [f"--results={results}", f"--output={folder / 'report.html'}"]
    return {
        "boxes": Case(boxes, lambda: read_detections(boxes[0]) and None),
        "tuning": Case(tuned, lambda: read_tuned_settings(tuned[0]).tracker.settings() and None),
        "crowd": Case(crowd, draw),
        "report": Case([data], lambda: report_program.main(pages)),
    }


def _network_cases(folder: pathlib.Path) -> dict[str, Case]:
    """Readers that need TensorFlow."""
    from small_system import random_network, small_system, small_table

    from data_prep.preview import DEFAULTS
    from tfpose import systems
    from tfpose.checkpoints import BEST_WEIGHTS_NAME, RUN_CONFIG_FILE, load_for_inference, write_weights
    from tfpose.data import records
    from tfpose.exporting.system_file import SYSTEM_FILE, describe_system, read_system_description
    from tfpose.importing.keypoint_findings import _read_skeleton
    from tfpose.inference import keypoint_rcnn_system, keypoint_system, single_network_system
    from tfpose.models.keypoint_rcnn.settings import KeypointRcnnSettings
    from tfpose.systems.run_config import check_evaluated, read_run_config, write_run_config
    from tfpose.training.cluster import read_cluster

    workdir, data = folder / "workdir", folder / "data"
    keypoint_system.write_keypoint_system(workdir, small_system())
    keypoint_rcnn_system.write_keypoint_rcnn_settings(workdir, KeypointRcnnSettings())
    network = {"input_size": (64, 64), "width": 8, "num_levels": 3}
    single = single_network_system.build_single_network_system(POSETRACK15, network, {})
    single_network_system.write_single_network_system(workdir, single)
    (workdir / SYSTEM_FILE).write_text(json.dumps(describe_system("two_stage", COCO17, 0.2)))
    skeleton = folder / "skeleton.json"
    skeleton.write_text(json.dumps({"categories": [category_from_skeleton(COCO17)]}))
    small_table(data)
    info = {"splits": [{"name": "train", "shardLengths": ["4"]}]}
    (data / records.INFO_FILE).write_text(json.dumps(info))
    records.write_index(data, "train")
    config = systems.build_config(**DEFAULTS)
    write_run_config(config, workdir)
    run = folder / "run"
    keypoint_system.write_keypoint_system(run, small_system())
    write_weights(random_network(small_system()), run / BEST_WEIGHTS_NAME)
    cluster = folder / "cluster.json"
    processes = {"chief": ["127.0.0.1:4000"], "worker": ["127.0.0.1:4001", "127.0.0.1:4002"]}
    cluster.write_text(json.dumps({"cluster": processes, "task": {"type": "worker", "index": 1}}))

    def load_network() -> None:
        load_for_inference(keypoint_system.read_keypoint_system(run).build_network(), run, "best")

    def read_processes() -> None:
        # An environment variable cannot hold the byte 0.
        os.environ["TF_CONFIG"] = cluster.read_bytes().replace(b"\0", b"").decode("utf-8", "surrogateescape")
        try:
            read_cluster()
        finally:
            del os.environ["TF_CONFIG"]

    def read_config() -> None:
        found = read_run_config(workdir, systems.build_config)
        print(check_evaluated(config, found, workdir))

    return {
        "config": Case([workdir / RUN_CONFIG_FILE], read_config),
        "tf_config": Case([cluster], read_processes),
        "network": Case([run / keypoint_system.KEYPOINT_SYSTEM_FILE], load_network),
        "two_stage": Case(
            [workdir / keypoint_system.KEYPOINT_SYSTEM_FILE],
            lambda: keypoint_system.read_keypoint_system(workdir).heatmap_size and None,
        ),
        "single_network": Case(
            [workdir / single_network_system.SINGLE_NETWORK_FILE],
            lambda: single_network_system.read_single_network_system(workdir).fit and None,
        ),
        "keypoint_rcnn": Case(
            [workdir / keypoint_rcnn_system.KEYPOINT_RCNN_FILE],
            lambda: keypoint_rcnn_system.read_keypoint_rcnn_settings(workdir) and None,
        ),
        "saved_model": Case([workdir / SYSTEM_FILE], lambda: read_system_description(workdir) and None),
        "skeleton": Case([skeleton], lambda: _read_skeleton(str(skeleton), {}) and None),
        "metadata": Case(
            [data / records.METADATA_FILE, data / records.INFO_FILE],
            lambda: records.read_table(data, "train").labeled_keypoints(POSETRACK15) and None,
        ),
    }


def attack_all(names: list[str], seeds: range, with_tensorflow: bool) -> Iterator[tuple[str, int, str, str]]:
    """Yields (case, seed, outcome, words) of all inputs, in copies of this process."""
    # A page with its charts takes seconds.
    often = [name for name in names for _ in range(1 if "report" in name or name == "network" else 6)]
    waiting = [(often[seed % len(often)], seed) for seed in seeds]
    while waiting:
        reader, writer = multiprocessing.Pipe(duplex=False)
        child = os.fork()
        if not child:
            try:
                _attack_in_child(waiting, with_tensorflow, writer)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        writer.close()
        done = 0
        with contextlib.suppress(EOFError):
            while done < len(waiting):
                yield (*waiting[done], *reader.recv())
                done += 1
        _, status = os.waitpid(child, 0)
        if done < len(waiting):
            yield (*waiting[done], "died", f"status {status}")
            done += 1
        waiting = waiting[done:]


def _attack_in_child(inputs: list[tuple[str, int]], with_tensorflow: bool, results: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cases = build_cases(pathlib.Path(folder), with_tensorflow)
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        most = pages * resource.getpagesize() + 2 * MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for case in cases.values():
            if case.run():
                raise SystemExit("a case fails without damage")
        # What is there already is no garbage of an input.
        gc.freeze()
        for name, seed in inputs:
            results.send(attack(cases[name], seed))
            gc.collect()


def main() -> int:
    """Prints a table of the outcomes and every fault; returns 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=3000, help="Number of inputs.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the first input.")
    parser.add_argument("--only", default="", help="Case to attack; all by default.")
    parser.add_argument("--tensorflow", action=argparse.BooleanOptionalAction, default=True, help="Attack all readers.")
    arguments = parser.parse_args()
    names = [arguments.only] if arguments.only else [*CASES, *(NETWORK_CASES if arguments.tensorflow else ())]
    counts: dict[str, collections.Counter[str]] = {name: collections.Counter() for name in names}
    seeds = range(arguments.seed, arguments.seed + arguments.num)
    num_faults = 0
    for name, seed, outcome, words in attack_all(names, seeds, arguments.tensorflow):
        counts[name][outcome] += 1
        is_fault = outcome not in ("used", "refused")
        num_faults += is_fault
        if is_fault or arguments.only:
            print(f"{name} seed {seed}: {outcome}: {words}", flush=True)
    for name, of_case in counts.items():
        print(f"{name:20} {dict(of_case)}")
    print(f"{arguments.num} inputs, {num_faults} faults")
    return int(num_faults > 0)


CASES = (
    *("score2017", "score2017_report", "track2017", "tune2017"),
    *("score2018", "score2018_report", "track2018", "tune2018", "track_coco"),
    *("build_coco", "build_posetrack18", "build_posetrack17", "build_posetrack21"),
    *("boxes", "tuning", "crowd", "report"),
)
NETWORK_CASES = (
    *("two_stage", "single_network", "keypoint_rcnn", "saved_model", "skeleton", "metadata", "config"),
    *("tf_config", "network"),
)

if __name__ == "__main__":
    sys.exit(main())
