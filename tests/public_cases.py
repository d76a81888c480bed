"""Runs the situations of ../shared/cases, which come from public bug reports, and checks what their expected.txt says.

    python tests/public_cases.py --demo=demo
    python tests/public_cases.py files_01 runs_13

A finished demo (`make demo`) gives the model and the pictures of the cases that need one; ffmpeg makes their videos.
Prints one row for each expectation. The exit status is 1 if one does not hold.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

PROJECT = pathlib.Path(__file__).resolve().parents[1]
CASES = PROJECT.parent / "shared" / "cases"
TIMEOUT_SECONDS = 1800

Check = tuple[str, bool]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a case left behind.

    Attributes:
        text: Standard output and standard error of its commands.
        folder: The folder of its results.
    """

    text: str
    folder: pathlib.Path

    def section(self, title: str) -> str:
        """Returns the lines between the heading `== title` and the next heading."""
        parts = re.split(r"^==+ ", self.text, flags=re.MULTILINE)
        return "\n".join(part for part in parts if part.partition("\n")[0].strip() == title)

    def says(self, *words: str, section: str | None = None) -> bool:
        """Whether each word or pattern occurs, whatever its case."""
        text = self.text if section is None else self.section(section)
        return all(re.search(word, text, re.IGNORECASE) for word in words)

    def is_built(self, name: str) -> bool:
        """Whether a dataset was converted to the folder."""
        return any((self.folder / name).rglob("metadata.json"))

    def rows(self, path: str) -> list[dict[str, str]]:
        """Returns the rows of a CSV file of the results; none if it is missing."""
        file = self.folder / path
        return list(csv.DictReader(file.open(encoding="utf-8"))) if file.is_file() else []


def check_files_01(case: Outcome) -> Iterator[Check]:
    yield "both are converted", case.is_built("plain") and case.is_built("with_empty")
    yield "4 images, 4 people", case.says(r"images\s.*\b4\b", r"people\s.*\b4\b", section="with_empty")
    yield "a note names the annotation", case.says("note", "annotation", section="with_empty")


def check_files_02(case: Outcome) -> Iterator[Check]:
    names = [path.name for path in (CASES / "files_02_split_names" / "input").iterdir()]
    for name in names:
        yield f"{name}: converted or one line", case.is_built(name) or case.says("error: ", section=name)


def check_files_03(case: Outcome) -> Iterator[Check]:
    yield (
        "upright sizes: turned or refused with EXIF",
        case.is_built("sizes_upright") or case.says("error: .*EXIF", section="sizes_upright"),
    )
    yield "no sizes: EXIF is named", case.says("EXIF", section="no_sizes")
    yield "stored sizes: converted", case.is_built("sizes_stored")
    counts = re.findall(r"SavedModel from bytes \S+ people (\d+)", case.text)
    predicted = re.findall(r"tfpose.predict \S+ \S+ people (\d+)", case.text)
    yield "SavedModel finds as many in both", len(counts) >= 2 and len({*counts, *predicted}) == 1


def check_files_07(case: Outcome) -> Iterator[Check]:
    yield "scores of both forms are equal", case.says("^EQUAL$|\nEQUAL\n")
    tracked = list((case.folder / "tracked").rglob("*.json"))
    tracked = [path for path in tracked if "predictions" in path.parts]
    identities = [{row["track_id"] for row in json.loads(path.read_text())["annotations"]} for path in tracked]
    yield "2 tracks for each video", bool(identities) and all(len(found) == 2 for found in identities)
    title = "ground truth without annotations (test set, DCPose 30)"
    yield "no annotations: one line", case.says("error: .*annotations", section=title)


def check_files_08(case: Outcome) -> Iterator[Check]:
    for name in ("own_names", "jta_names"):
        yield f"{name}: converted and scored", case.is_built(f"data_{name}") and metrics(case, f"scores_{name}")
    yield "no heads: one line names the head boxes", case.says("head", section="no_heads")
    yield "own predictions are scored", metrics(case, "again")
    yield (
        "own predictions are tracked and tuned",
        any((case.folder / "tr").rglob("*.json")) and any((case.folder / "tu").rglob("tuning.json")),
    )


def metrics(case: Outcome, name: str) -> bool:
    """Whether a scoring left its metrics."""
    return (case.folder / name / "metrics.json").is_file()


def check_files_10(case: Outcome) -> Iterator[Check]:
    for name in ("one", "camel", "suffix", "prefix_word", "tail"):
        found = case.says(r"mirror|pairs", section=name) and not case.says("pairs[^\n]*none", section=name)
        yield f"{name}: pairs found or a warning", found or case.says("warning|note", section=name)
    yield "five: joined, or one line", case.is_built("five") or case.says("error: .*categor", section="five")


def check_files_11(case: Outcome) -> Iterator[Check]:
    yield "from_zero: says counted from 1", case.says("from 1", section="from_zero")
    yield "null: no limbs", case.is_built("null")
    for name in ("from_zero", "beyond", "self", "strings"):
        yield f"{name}: a note, or one line", case.says("note:|warning:|error: ", section=name)


def check_files_12(case: Outcome) -> Iterator[Check]:
    yield "slash works", case.is_built("slash")
    yield "backslash works or is named", case.is_built("backslash") or case.says("backslash", section="backslash")
    for name in ("drive", "with_split", "url", "label_studio"):
        yield f"{name}: converted or one line", case.is_built(name) or case.says("error: ", section=name)


def check_files_13(case: Outcome) -> Iterator[Check]:
    for name in ("nan", "null"):
        named = case.says("error: ", "annotation", "joint|nose|keypoint", section=name)
        yield f"{name}: not labeled, or one line", case.is_built(name) or named
    for name in ("minus_one", "score_as_flag", "text"):
        yield f"{name}: one line", case.says("error: ", section=name) and not case.is_built(name)
    for name in ("outside", "zero_zero_one"):
        yield f"{name}: kept", case.is_built(name)


def check_files_14(case: Outcome) -> Iterator[Check]:
    kinds = re.findall(
        r"^(\S+)\s+\((\d+), (\d+), 3\) mean \|luma difference\| to the original: ([\d.]+)", case.text, re.M
    )
    close = [name for name, height, width, luma in kinds if (height, width) == ("200", "160") and float(luma) < 8]
    differing = {name for name, *_ in kinds} - set(close)
    # These two files hold 2 and 67 colors; Pillow decodes them to the same pixels.
    yield f"kinds near the original: {len(close)}", len(close) >= 8 and differing <= {"bit.png", "palette.png"}
    for name in ("webp", "bmp", "gif", "webp_named_jpg", "heic_named_jpg"):
        yield f"{name}: one line, or converted", case.is_built(name) or case.says("error: ", section=name)


def check_files_16(case: Outcome) -> Iterator[Check]:
    yield "predictions carry category 0", case.says(r"category ids \[0\]")
    scores = re.findall(r"AP ([\d.-]+) AP50 ([\d.-]+) AR ([\d.-]+)", case.text)
    yield "pycocotools gives the same", len(scores) == 2 and scores[0] == scores[1]
    for name in ("category0", "category1"):
        yield f"boxes_{name}: used, or one line", case.says("AP |error: ", section=f"boxes_{name}")
    yield "boxes_text_ids: names image_id", case.says("error: .*image_id", section="boxes_text_ids")


def check_files_17(case: Outcome) -> Iterator[Check]:
    for name in ("payer2017", "online", "offline"):
        found = re.findall(r"(\d{6})\S* identities (\d+) switches (\d+)", case.section(name))
        by_video = {video: (int(identities), int(switches)) for video, identities, switches in found}
        for video in ("000201", "000202"):
            yield f"{name} {video}: 4 identities, no switch", by_video.get(video) == (4, 0)
        yield f"{name} 000203: no switch", by_video.get("000203", (0, 1))[1] == 0


def check_files_18(case: Outcome) -> Iterator[Check]:
    yield "joined: a note on what was left out", case.says("note:", "frames|video|image", section="joined")
    match = re.search(r"^\{'.*\}$", case.text, re.MULTILINE)
    by_video = re.findall(r"'([^']+)': \{([^}]*)\}", match.group()) if match else []
    tracks = [set(ids.split(", ")) for _, ids in by_video]
    shared = any(one & other for i, one in enumerate(tracks) for other in tracks[:i])
    refused = case.says("error: ", section="track joined")
    yield "tracks begin anew with each video, or one line", refused or (len(tracks) > 1 and not shared)


def status(case: Outcome) -> str:
    """Returns the last exit status that a case printed."""
    found = re.findall(r"^rc (\d+)", case.text, re.MULTILINE)
    return found[-1] if found else ""


def probe(path: pathlib.Path, what: str) -> list[str]:
    """Returns what ffprobe says about the video of a file; nothing if it cannot be read."""
    command = [
        "ffprobe",
        "-v",
        "error",
        "-count_frames",
        "-select_streams",
        "v",
        "-show_entries",
        what,
        "-of",
        "csv=p=0",
    ]
    answer = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False).stdout
    return answer.strip().rstrip(",").split(",")


def check_runs_01(case: Outcome) -> Iterator[Check]:
    yield "exit status 0", status(case) == "0"
    yield "poses are written", bool(case.rows("out/csv/clip.csv"))
    video = case.folder / "out/videos/clip.mp4"
    yield "20 frames", probe(video, "stream=nb_read_frames") == ["20"]
    rate = probe(video, "stream=avg_frame_rate")[0].split("/")
    yield "119.2 frames/s", len(rate) == 2 and abs(int(rate[0]) / int(rate[1]) - 119.19) < 0.5


def check_runs_02(case: Outcome) -> Iterator[Check]:
    yield "exit status 0, no word of damage", status(case) == "0" and not case.says("damage")
    seconds = {row["frame"]: float(row["seconds"]) for row in case.rows("out/csv/phone.csv") if row.get("seconds")}
    times = sorted(seconds.values())
    yield "frame 10 at 1.0 s", any(abs(value - 1.0) < 0.02 for value in times)
    yield "last frames at about 9 s", bool(times) and abs(times[-1] - 9.1) < 0.5
    for name in ("phone", "screen"):
        found = list((case.folder / "out/videos").glob(f"{name}.*"))
        length = float(probe(found[0], "format=duration")[0] or 0) if found else 0.0
        yield f"{name}: 9 to 10 s", 8.9 < length < 10.3


def check_runs_06(case: Outcome) -> Iterator[Check]:
    yield "exit status 0", status(case) == "0"
    last = re.search(r"^19,[^,\n]*,(\d+\.?\d*)", case.text, re.MULTILINE)
    yield "last frame at 1.9 s", last is not None and abs(float(last.group(1)) - 1.9) < 0.01
    found = list((case.folder / "out/videos").glob("*"))
    yield "20 frames", bool(found) and probe(found[0], "stream=nb_read_frames") == ["20"]


def check_runs_07(case: Outcome) -> Iterator[Check]:
    served = re.findall(r"^([1368]) (\d+) \[+([\d., ]+)\]", case.text, re.MULTILINE)
    boxes = [[float(value) for value in numbers.split(",")[:4]] for _, _, numbers in served]
    near = [all(abs(a - b) < 12 for a, b in zip(box, boxes[0], strict=True)) for box in boxes]
    yield "the same person in all four", len(boxes) == 4 and all(near)


def check_runs_09(case: Outcome) -> Iterator[Check]:
    yield "exit status 0", status(case) == "0"
    rows = case.rows("out/csv/a.csv")
    names = {value for row in rows for value in row.values() if value and value.endswith(".jpg")}
    yield "frames 0001.jpg to 0003.jpg", names == {"0001.jpg", "0002.jpg", "0003.jpg"}
    pictures = [path for path in (case.folder / "out").rglob("*.jpg")]
    yield "three annotated pictures", len(pictures) == 3
    files = list((case.folder / "out").rglob("*coco*/*.json")) + list((case.folder / "out").rglob("*coco*.json"))
    ids = {entry["image_id"] for path in files for entry in _results(path)}
    yield "COCO image ids 1, 2, 3", ids == {1, 2, 3}


def _results(path: pathlib.Path) -> list[dict]:
    content = json.loads(path.read_text())
    return content if isinstance(content, list) else content.get("annotations", [])


def check_runs_11(case: Outcome) -> Iterator[Check]:
    yield "the first ends well", case.says(r"^rc A 0", r"rc A 0")
    yield "the second is refused", bool(re.search(r"^rc B [12]", case.text, re.MULTILINE))
    # `tail -1` of the case refuses two files on some systems.
    log = case.folder / "b.log"
    said = log.read_text(encoding="utf-8") if log.is_file() else case.text
    yield "by a line with the process", bool(re.search(r"error: .*\b(pid|process)\b", said))
    steps = [int(row["step"]) for row in case.rows("run/train.csv") if row.get("step", "").isdigit()]
    yield "train.csv has each step once", bool(steps) and steps == sorted(set(steps))
    yield "the folder lives", any(step > 400 for step in steps) or not case.says("error:.*402")


def check_runs_12(case: Outcome) -> Iterator[Check]:
    for name in ("single quotes", "no task", "index out of range", "evaluator", "cpu_cores and TF_CONFIG"):
        part = case.section(name)
        yield f"{name}: one line, status 1", "error: " in part and "TF_CONFIG" in part and "rc 1" in part
    part = case.section("the other worker never comes: SIGTERM after 60 s, SIGKILL 20 s later")
    yield "waiting is said", bool(re.search("waiting for worker 1 at", part))
    yield "SIGTERM ends it", "rc 137" not in part.split("(137")[0] and "rc 1" in part


def check_runs_13(case: Outcome) -> Iterator[Check]:
    flags = {
        "--config.batch_size=0": "batch_size",
        "--config.batch_size=-4": "batch_size",
        "--config.optimization.accumulation_steps=3": "accumulation_steps",
        "--config.network.input_size=64x64": "input_size",
    }
    for flag, field in flags.items():
        part = case.section(flag)
        yield f"{flag}: one line, status 1", bool(re.search(rf"error: .*{field}", part)) and "rc 1" in part


def check_runs_15(case: Outcome) -> Iterator[Check]:
    rows = case.rows("out/csv/bad.csv")
    frames = {int(row["frame"]) for row in rows if row.get("frame", "").isdigit()}
    yield "frames behind the bad stretch too", any(frame >= 15 for frame in frames)
    yield "a line says which are missing", case.says("missing|could not be (read|decoded)|damaged")


def check_runs_16(case: Outcome) -> Iterator[Check]:
    steps = {row["step"] for row in case.rows("run/train.csv")}
    yield "steps 4, 8, 12 and 16 were trained", {"4", "8", "12", "16"} <= steps
    yield "another optimizer is refused", case.says("error: .*optimizer|error: .*adam")


def check_runs_17(case: Outcome) -> Iterator[Check]:
    lines = [line for line in case.text.splitlines() if "error: " in line]
    yield "three lines with path and reason", len(lines) == 3 and all("/s" in line for line in lines)


def check_runs_18(case: Outcome) -> Iterator[Check]:
    yield "predict works in another folder", status(case) == "0"
    # The case asks for a top-level package of configs, which there is no more: configs are named without a folder.
    trained = re.split(r"Traceback.*?Error: [^\n]*", case.text, maxsplit=1, flags=re.DOTALL)[-1]
    yield "training says where the configs are, or trains", bool(re.search(r"error: --config|step \d", trained))


def check_runs_19(case: Outcome) -> Iterator[Check]:
    lines = [line for line in case.text.splitlines() if line.startswith("error: ")]
    words = ("HTML|web page", "LFS|pointer", "empty", r"d\.safetensors")
    for word in words:
        yield f"one line: {word}", any(re.search(word, line) for line in lines)
    yield "nothing is written", not list(case.folder.glob("*.h5"))


def check_runs_20(case: Outcome) -> Iterator[Check]:
    yield "exit status 0", status(case) == "0"
    # Width, height and frames of the picture, and packets of the sound.
    sizes = re.findall(r"(\d+),(\d+),(\d+) (\d+)$", case.text, re.MULTILINE)
    whole = [frames == "20" and int(sound) > 0 for *_, frames, sound in sizes]
    yield "five videos of 20 frames and sound", len(whole) == 5 and all(whole)
    yield "the turned one is upright", ("270", "480", "20") in [size[:3] for size in sizes]


CHECKS: dict[str, Callable[[Outcome], Iterator[Check]]] = {
    name.removeprefix("check_"): check for name, check in sorted(globals().items()) if name.startswith("check_")
}
NEED_DEMO = {"files_03", "files_08", *(name for name in CHECKS if name.startswith("runs_"))} - {
    f"runs_{number}" for number in (11, 12, 13, 16, 19)
}


def run_case(folder: pathlib.Path, demo: pathlib.Path, work: pathlib.Path) -> Outcome:
    """Runs the commands of one case from the project's root."""
    environment = {
        **os.environ,
        "OUT": str(work),
        "WORK": str(work),
        "PY": sys.executable,
        "TFPOSE": str(PROJECT),
        "PYTHONPATH": str(PROJECT),
        "DEMO": str(demo),
        "MODEL": str(demo / "saved_models" / "single_network"),
        "FRAMES": str(demo / "data" / "synthetic" / "videos" / "images" / "test"),
    }
    script = folder / "command.sh"
    answer = subprocess.run(
        ["bash", str(script)],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Outcome(answer.stdout.decode(errors="replace"), work)


def main() -> int:
    """Runs the cases whose names are given, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="beginnings of names, such as files_01; all by default")
    parser.add_argument("--demo", type=pathlib.Path, default=PROJECT / "demo", help="folder of a finished demo")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the results and outputs; removed by default")
    chosen = parser.parse_args()
    failed = 0
    root = chosen.keep or pathlib.Path(tempfile.mkdtemp())
    for name, check in CHECKS.items():
        if chosen.cases and not any(name.startswith(case) for case in chosen.cases):
            continue
        if name in NEED_DEMO and not chosen.demo.is_dir():
            print(f"{name:10} skipped: {chosen.demo} is missing; make demo")
            continue
        (folder,) = CASES.glob(f"{name}_*")
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
        outcome = run_case(folder, chosen.demo.resolve(), root / name)
        # Some commands empty their folder, so the text is written afterwards.
        (root / f"{name}.txt").write_text(outcome.text, encoding="utf-8")
        for what, holds in check(outcome):
            failed += not holds
            print(f"{name:10} {'holds' if holds else 'FAILS':6} {what}", flush=True)
    if chosen.keep is None:
        shutil.rmtree(root)
    print(f"{failed} expectations do not hold")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
