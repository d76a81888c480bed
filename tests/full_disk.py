"""Runs every program that writes on a disk that is too small, and prints a table of what came of it.

    python tests/full_disk.py --only=predict

Each program first runs on a disk with room, and then with 0, 30, 70 and 97 % of what it wrote. It must end with exit
code 1 and one line that names a file or folder and says that no space is left. What it leaves under a final name must
be whole. The disks are tmpfs, which only root can mount.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import cv2
import h5py
import numpy as np
from program_runs import run

TESTS = pathlib.Path(__file__).resolve().parent
# Makers of small files lie beside the tests that they were made for.
sys.path += [str(TESTS / name) for name in ("data_prep", "report", "pretrained", "predict", "evaluation")]
SHARES = (0.0, 0.3, 0.7, 0.97)
PAGE = 4096
LARGE = 1 << 30
REASONS = ("No space left on device", "free disk space must be")
_FILLER = "filler"


@dataclasses.dataclass(frozen=True)
class Case:
    """A program.

    Attributes:
        words: Its arguments, with {out} for the folder on the disk.
        result: What exists below the folder only if it is whole; '' if each file is whole by itself.
        num_bytes: How much it writes; 0 where a run on a disk with room must tell.
    """

    words: tuple[str, ...]
    result: str = ""
    num_bytes: int = 0


@contextlib.contextmanager
def small_disk(num_bytes: int) -> Iterator[pathlib.Path]:
    """Mounts a disk of so many bytes, rounded up to pages.

    Raises:
        PermissionError: Mounting is not permitted.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={max(num_bytes, PAGE)}", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermissionError(done.stderr.strip())
        try:
            if not num_bytes:
                pathlib.Path(folder, _FILLER).write_bytes(bytes(PAGE))
            yield pathlib.Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def can_mount() -> bool:
    """Whether small disks can be made here."""
    try:
        with small_disk(PAGE):
            return True
    except (PermissionError, FileNotFoundError):
        return False


def used_bytes(folder: pathlib.Path) -> int:
    """The pages that the files of a folder fill; a file with several names counts once."""
    sizes = {path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return sum(-(-size // PAGE) * PAGE for size in sizes.values())


def flaw_of(path: pathlib.Path) -> str:
    """What is wrong with a file under a final name; '' if it is whole."""
    readers: dict[str, Callable[[], object]] = {
        ".json": lambda: json.loads(path.read_text()),
        ".npz": lambda: [values.shape for values in np.load(path, allow_pickle=False).values()],
        ".h5": lambda: _read_weights(path),
        ".html": lambda: _require(path.read_text().rstrip().endswith("</html>")),
        ".svg": lambda: _require(path.read_text().rstrip().endswith("</svg>")),
        ".mp4": lambda: _require(cv2.VideoCapture(str(path)).read()[0]),
    }
    pictures = dict.fromkeys((".png", ".jpg", ".webp"), lambda: _require(cv2.imread(str(path)) is not None))
    try:
        (readers | pictures).get(path.suffix, lambda: None)()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _read_weights(path: pathlib.Path) -> None:
    with h5py.File(path) as file:
        file.visititems(lambda _, entry: entry[()] is None if isinstance(entry, h5py.Dataset) else None)


def _require(is_whole: bool) -> None:
    if not is_whole:
        raise ValueError("not whole")


def faults_of(case: Case, folder: pathlib.Path, code: int, stderr: str) -> list[str]:
    """What is wrong with a run on a full disk."""
    faults = [] if code == 1 else [f"exit code {code}"]
    lines = [line for line in stderr.replace("\r", "\n").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:")]
    faults += [] if len(errors) == 1 else [f"{len(errors)} lines of error: {stderr[-300:]!r}"]
    if errors and not (any(reason in errors[0] for reason in REASONS) and str(folder) in errors[0]):
        faults.append(f"does not say where and why: {errors[0]}")
    faults += [f"hidden name: {line}" for line in errors if "/." in line]
    # TensorFlow warns of graphs that were built again and again, since all programs run in this process.
    faults += [f"long line: {line[:300]}" for line in lines if len(line) > 500 and "retracing" not in line]
    faults += ["traceback"] if "Traceback" in stderr else []
    if case.result and (folder / case.result).exists():
        faults.append(f"{case.result} exists")
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.name == ".lock":
            continue
        if path.is_file() and "/." not in f"/{name}" and (flaw := flaw_of(path)):
            faults.append(f"{name}: {flaw}")
        elif "/." in f"/{name}":
            faults.append(f"left over: {name}")
    return faults


def try_program(case: Case, num_bytes: int) -> tuple[int, str, list[str], int]:
    """Runs a program on a disk; returns exit code, stderr, faults and the bytes that it filled."""
    with small_disk(num_bytes) as folder:
        words = [word.format(out=folder) for word in case.words]
        result = run("-m", "tfpose", *words)
        faults = faults_of(case, folder, result.returncode, result.stderr) if num_bytes < LARGE else []
        return result.returncode, result.stderr, faults, used_bytes(folder)


def build_cases(folder: pathlib.Path) -> dict[str, Case]:
    """The programs, each with inputs of its own below a folder."""
    return {**_build_cases(folder), **_file_cases(folder), **_network_cases(folder)}


def _build_cases(folder: pathlib.Path) -> dict[str, Case]:
    from source_folders import write_coco, write_posetrack17, write_posetrack18

    writers = {"coco_keypoints": write_coco, "posetrack17": write_posetrack17, "posetrack18": write_posetrack18}
    cases = {
        name: ("build", name, f"--source={write(folder / name)}", "--output={out}") for name, write in writers.items()
    }
    cases["posetrack21"] = ("build", "posetrack21", f"--source={folder / 'posetrack18'}", "--output={out}")
    sizes = ("--num_train_videos=1", "--num_val_videos=1", "--num_test_videos=1", "--num_frames=3")
    cases["synthetic"] = ("build", "synthetic", "--output={out}", *sizes)
    return {f"build {name}": Case(words, f"{name}/1.0.0") for name, words in cases.items()}


def _file_cases(folder: pathlib.Path) -> dict[str, Case]:
    from posetrack_cases import random_sequences
    from report_cases import make_report

    from tfpose.posetrack import write_posetrack18
    from tfpose.report.evaluation_file import Evaluation, write_evaluation

    for side, sequence in zip(("true", "found"), random_sequences(1, name="000001_mpii_test"), strict=True):
        write_posetrack18(folder / side / "000001_mpii_test.json", sequence)
    results = folder / "results"
    results.mkdir()
    write_evaluation(Evaluation(results, {"boxes": "none"}, make_report(), coco={"AP": 51.5, "AR": 60.0}))
    flags = (f"--predictions={folder / 'found'}", "--output_dir={out}", "--num_processes=1")
    scored = (f"--ground_truth={folder / 'true'}", *flags)
    return {
        "score": Case(("score", *scored, "--report")),
        "track": Case(("track", *flags)),
        "tune": Case(("tune", "--tune=max_age_frames=1,2", *scored)),
        "report": Case(("report", f"--results={results}", "--output={out}/report.html")),
    }


def _network_cases(folder: pathlib.Path) -> dict[str, Case]:
    from record_writing import synthetic_image, write_dataset
    from small_single_network import random_pose_unet, small_single_network
    from video_cases import write_video

    from tfpose.checkpoints import BEST_WEIGHTS_NAME, write_weights
    from tfpose.inference.single_network_system import write_single_network_system
    from tfpose.skeletons import POSETRACK15

    data, photos, workdir = folder / "data", folder / "photos", folder / "single"
    for split, offset in (("train", 0), ("val", 10)):
        images = [synthetic_image(i + offset, POSETRACK15, num_people=i % 3) for i in range(5)]
        write_dataset(data, POSETRACK15, [image | {"sequence": "000001_mpii_test"} for image in images], split)
    photos.mkdir()
    for image in images[:3]:
        (photos / image["file_name"]).write_bytes(image["image"])
    system = small_single_network()
    write_single_network_system(workdir, system)
    write_weights(random_pose_unet(system), workdir / BEST_WEIGHTS_NAME)
    video = write_video(folder / "video.mp4", 20)
    config = ("--config=two_stage_resnet18_synthetic", f"--config.data.directory={data}")
    network = {"input_size": "(64,64)", "base_width": 8, "deconv_filters": 8}
    numbers = {"total_steps": 2, "log_every": 1, "checkpoint_every": 1, "evaluate_every": 2, "pictures_every": 2}
    changes = {"strategy": "one_device", "batch_size": 4, "optimization.warmup_steps": 0, "evaluation.batch_size": 4}
    changes |= {f"network.{name}": value for name, value in network.items()}
    changes |= {f"run.{name}": value for name, value in numbers.items()}
    training = ("train", *config, *(f"--config.{name}={value}" for name, value in changes.items()))
    trained = folder / "trained"
    result = run("-m", "tfpose", *training, f"--workdir={trained}")
    if result.returncode:
        raise RuntimeError(result.stderr[-2000:])
    checkpoint = _write_checkpoint(folder / "pose_resnet_50_256x192.pth")
    return {
        "train": Case((*training, "--workdir={out}/run"), num_bytes=used_bytes(trained)),
        "evaluate": Case(
            ("evaluate", f"--workdir={trained}", "--output_dir={out}", "--num_pictures=2", "--num_videos=1", "--report")
        ),
        "export": Case(("export", f"--workdir={trained}", "--output={out}/model"), "model"),
        "predict photos": Case(("predict", str(photos), f"--model={workdir}", "--output={out}")),
        "predict video": Case(
            ("predict", str(video), f"--model={workdir}", "--output={out}", "--outputs=posetrack,coco,csv,video")
        ),
        "preview": Case(("preview", f"--data={data}", "--output={out}", "--num=3")),
        "pretrained": Case(("pretrained", str(checkpoint), "--output={out}/r50.weights.h5")),
    }


def _write_checkpoint(path: pathlib.Path) -> pathlib.Path:
    import gzip

    from checkpoint_writers import write_zip
    from formula_weights import make_array

    from tfpose.pretrained.pose_resnet import RESNET_NAMES

    raw = (TESTS / "golden" / "simple_baseline" / "network_state_dicts.json.gz").read_bytes()
    shapes = json.loads(gzip.decompress(raw))["r50_j17"]
    write_zip(path, {name: make_array(RESNET_NAMES.canonical(name), tuple(shape), 0) for name, shape in shapes})
    return path


def try_all(cases: dict[str, Case], shares: tuple[float, ...] = SHARES) -> Iterator[tuple[str, str, list[str]]]:
    """Yields (program, disk, faults) of all runs."""
    for name, case in cases.items():
        code, stderr, _, size = (0, "", [], case.num_bytes) if case.num_bytes else try_program(case, LARGE)
        yield name, f"{size >> 10} kB", [] if code == 0 else [f"fails on a disk with room: {stderr[-500:]}"]
        for share in shares if code == 0 else ():
            code, stderr, faults, _ = try_program(case, int(share * size))
            # A part of the pages can be all pages.
            is_enough = share > 0 and -(-int(share * size) // PAGE) * PAGE >= size
            yield name, f"{share:.0%}", [] if code == 0 and is_enough else faults


def main() -> int:
    """Prints a table of the runs; returns 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="Beginning of the names of the programs to run; all by default.")
    arguments = parser.parse_args()
    num_faults = 0
    with tempfile.TemporaryDirectory() as folder:
        cases = {n: c for n, c in build_cases(pathlib.Path(folder)).items() if n.startswith(arguments.only)}
        for name, disk, faults in try_all(cases):
            num_faults += bool(faults)
            print(f"{name:22} {disk:>8}  {'; '.join(faults) or 'ok'}", flush=True)
    print(f"{num_faults} runs with faults")
    return int(num_faults > 0)


if __name__ == "__main__":
    sys.exit(main())
