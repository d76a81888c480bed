"""Compares `tfpose build coco_keypoints` with a plain copy of the pictures, in pictures per second.

    python benchmarks/build_speed.py --source=COCO_MINI_DIR --folder=SCRATCH_DIR

The dataset has as many pictures as COCO's training split. They are links to the pictures of a small set, whose people
are repeated with new ids. Both sides read the pictures from the memory of the operating system, and count as done when
everything is on the disk. The folder must have space for all pictures twice.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

from results_file import RECORD_HELP, record

# Images of COCO 2017 train.
NUM_PICTURES = 118_287
SPLIT = "train"


def write_source(small: pathlib.Path, source: pathlib.Path, num_pictures: int) -> list[pathlib.Path]:
    """Writes a dataset of so many pictures that repeats a small one; returns its pictures."""
    annotations = json.loads((small / "annotations" / f"person_keypoints_{SPLIT}.json").read_text())
    originals, people_of = annotations["images"], {}
    for person in annotations["annotations"]:
        people_of.setdefault(person["image_id"], []).append(person)
    folder = source / "images" / SPLIT
    folder.mkdir(parents=True)
    pictures, images, people = [], [], []
    for number in range(1, num_pictures + 1):
        image = originals[number % len(originals)]
        picture = folder / f"{number:012d}.jpg"
        picture.symlink_to((small / "images" / SPLIT / image["file_name"]).resolve())
        pictures.append(picture)
        images.append({**image, "id": number, "file_name": picture.name})
        for person in people_of.get(image["id"], ()):
            people.append({**person, "id": len(people) + 1, "image_id": number})
    (source / "annotations").mkdir()
    content = {**annotations, "images": images, "annotations": people}
    (source / "annotations" / f"person_keypoints_{SPLIT}.json").write_text(json.dumps(content))
    return pictures


def time_copy(pictures: list[pathlib.Path], folder: pathlib.Path) -> float:
    """Copies the pictures to a folder; returns the seconds."""
    folder.mkdir()
    os.sync()
    start = time.perf_counter()
    for picture in pictures:
        shutil.copyfile(picture, folder / picture.name)
    os.sync()
    return time.perf_counter() - start


def time_build(source: pathlib.Path, output: pathlib.Path) -> tuple[float, float]:
    """Builds the dataset; returns the seconds, and the largest memory of the process in GiB."""
    os.sync()
    start = time.perf_counter()
    command = [sys.executable, "-m", "data_prep.build", "coco_keypoints", f"--source={source}", f"--output={output}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.sync()
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def main() -> None:
    """Prints pictures per second of both sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, required=True, help="Small dataset in COCO's layout.")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="Folder to write to; must not exist.")
    parser.add_argument("--num_pictures", type=int, default=NUM_PICTURES, help="Number of pictures.")
    parser.add_argument("--rounds", type=int, default=1, help="Number of rounds.")
    parser.add_argument("--record", action="store_true", help=RECORD_HELP)
    arguments = parser.parse_args()
    folder = arguments.folder
    pictures = write_source(arguments.source, folder / "source", arguments.num_pictures)
    size = sum(picture.stat().st_size for picture in pictures) / 1e9
    print(f"{len(pictures)} pictures, {size:.1f} GB")
    copied, built = [], []
    for _ in range(arguments.rounds):
        copied.append(len(pictures) / time_copy(pictures, folder / "copy"))
        shutil.rmtree(folder / "copy")
        seconds, memory = time_build(folder / "source", folder / "built")
        built.append(len(pictures) / seconds)
        shutil.rmtree(folder / "built")
        print(
            f"copy {copied[-1]:.0f} pictures/s, tfpose build {built[-1]:.0f} pictures/s, "
            f"{built[-1] / copied[-1]:.2f} of it; at most {memory:.2f} GiB"
        )
    shutil.rmtree(folder)
    if arguments.record:
        ratios = [rate / other for rate, other in zip(built, copied, strict=True)]
        record({"build_speed.coco_keypoints.ratio": (ratios, ""), "build_speed.coco_keypoints.rate": (built, "1/s")})


if __name__ == "__main__":
    main()
