"""Makes small dataset folders in the layouts that data_prep reads."""

from __future__ import annotations

import json
import pathlib

import cv2
import numpy as np

from tfpose.skeletons import POSETRACK18

JOINTS = ("head", "left_hand", "right_hand")


def encoded_picture(height: int, width: int, extension: str = ".jpg", seed: int = 0) -> bytes:
    """Noise, so that the file has some length."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(extension, noise)[1].tobytes()


def coco_person(annotation_id: int, image_id: int, **fields) -> dict:
    person = {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [4, 5, 2, 0, 0, 0, 8, 9, 1],
        "num_keypoints": 2,
        "bbox": [2.5, 3, 10, 12],
        "area": 60.5,
        "segmentation": [[2.5, 3, 12, 3, 12, 15]],
    }
    return person | fields


def write_coco(
    root: pathlib.Path,
    names: tuple[str, ...] = ("train2017", "val2017"),
    num_images: int = 5,
    below: str = "",
    change=lambda content: None,
) -> pathlib.Path:
    """Images 100, 101, ...; of each three the first two have a person, the second also a crowd."""
    for name in names:
        folder = root / below / name
        folder.mkdir(parents=True)
        images, people = [], []
        for number in range(num_images):
            extension = ".png" if number == 1 else ".jpg"
            file_name = f"{number:012d}{extension}"
            (folder / file_name).write_bytes(encoded_picture(20 + number, 30, extension, number))
            images.append({"id": 100 + number, "file_name": file_name, "height": 20 + number, "width": 30})
            if number % 3 < 2:
                people.append(coco_person(10 * number + 1, 100 + number))
            if number % 3 == 1:
                crowd = {"counts": [3, 597], "size": [20, 30]}
                keypoints = {"keypoints": [0] * 9, "num_keypoints": 0}
                people.append(coco_person(10 * number + 2, 100 + number, iscrowd=1, segmentation=crowd, **keypoints))
        category = {"id": 1, "name": "person", "keypoints": list(JOINTS), "skeleton": [[1, 2], [1, 3]]}
        content = {"images": images, "annotations": people, "categories": [category]}
        change(content)
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"person_keypoints_{name}.json").write_text(json.dumps(content))
    return root


def write_posetrack18(
    root: pathlib.Path, splits: tuple[str, ...] = ("train", "val"), annotation_folder: str = "annotations"
) -> pathlib.Path:
    """A sequence of four frames per split: two people, one of them alone, nobody, not labeled."""
    for number, split in enumerate(splits):
        name = f"{number:06d}_mpii_test"
        (root / "images" / split / name).mkdir(parents=True)
        images, people = [], []
        for frame in range(4):
            file_name = f"images/{split}/{name}/{frame:06d}.jpg"
            (root / file_name).write_bytes(encoded_picture(24, 32, seed=frame))
            image_id = 10_000_000_000 + number * 10_000 + frame
            regions = {"ignore_regions_x": [[0, 4, 4]], "ignore_regions_y": [[0, 0, 4]]} if frame == 0 else {}
            images.append({"id": image_id, "file_name": file_name, "is_labeled": frame < 3} | regions)
            people += [posetrack_person(image_id, track, frame) for track in range((2, 1, 0, 0)[frame])]
        category = {"id": 1, "name": "person", "keypoints": list(POSETRACK18.joints)}
        content = {"images": images, "annotations": people, "categories": [category]}
        path = root / annotation_folder / split / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    return root


def posetrack_person(image_id: int, track: int, frame: int) -> dict:
    """Nose and right ankle; the first has no box of its own."""
    keypoints = [0.0] * 51
    keypoints[0:3] = [5.0 + track, 6.0 + frame, 1]
    keypoints[48:51] = [15.0 + track, 16.0, 0]
    box = {"bbox": [4, 5, 10, 11], "bbox_head": [4, 5, 2, 3]} if track else {"bbox_head": [1, 2, 3, 4]}
    ids = {"id": image_id * 100 + track, "image_id": image_id, "track_id": track, "category_id": 1}
    return ids | {"keypoints": keypoints, "scores": []} | box


def write_posetrack17(root: pathlib.Path) -> pathlib.Path:
    """A sequence of two frames, the second without people."""
    folder = root / "images" / "bonn" / "000342_mpii"
    folder.mkdir(parents=True)
    frames = []
    for number in (1, 2):
        (folder / f"{number:08d}.jpg").write_bytes(encoded_picture(24, 32, seed=number))
        name = f"images/bonn/000342_mpii/{number:08d}.jpg"
        frames.append({"image": [{"name": name}], "imgnum": [number], "annorect": []})
    points = [
        {"id": [13], "x": [5], "y": [6], "is_visible": [1]},
        {"id": [0], "x": [15], "y": [16], "is_visible": [0]},
    ]
    head = {"x1": [1], "y1": [2], "x2": [3], "y2": [4]}
    frames[0]["annorect"] = [{"track_id": [3], "annopoints": [{"point": points}]} | head]
    path = root / "annotations" / "train" / "000342_mpii.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"annolist": frames}))
    return root


def assert_interrupted(returncode: int, errors: str, output: pathlib.Path) -> None:
    """The exit code and the last line of an interrupted build, which leaves nothing in its output folder."""
    assert returncode == 130
    assert errors.splitlines()[-1] == "error: interrupted; the dataset was not written"
    assert "Traceback" not in errors
    assert list(output.iterdir()) == []
