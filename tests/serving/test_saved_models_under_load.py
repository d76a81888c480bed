"""Exported SavedModels without tfpose: good and bad pictures at once, from several threads, as a server gets them."""

from __future__ import annotations

import base64
import json
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
import serve_requests
import tensorflow as tf

from tfpose.exporting.two_stage import trace

PROGRAM = pathlib.Path(serve_requests.__file__)
SIZES = [(120, 160), (90, 50), (200, 310)]
BOXES = [[[10.0, 5, 80, 90], [40, 20, 120, 110]], [[5, 5, 45, 85], [0, 0, 0, 0]], [[100, 20, 220, 190], [0, 0, 90, 99]]]
OUTPUTS = {"keypoints", "boxes", "scores", "num_persons"}


def picture(seed: int, size: tuple[int, int], extension: str) -> bytes:
    """Smooth noise, so that JPEG keeps it."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 18, 3), dtype=np.uint8)
    return cv2.imencode(extension, cv2.resize(noise, size[::-1]))[1].tobytes()


PICTURES = [picture(i, size, (".jpg", ".png", ".jpg")[i]) for i, size in enumerate(SIZES)]
# What is wrong, in the words of the error.
BROKEN = {
    "empty": (b"", "Input is empty"),
    "garbage": (b"this is no picture", "Unknown image file format"),
    "cut_jpeg": (PICTURES[0][: len(PICTURES[0]) // 2], "Invalid JPEG data"),
    "cut_png": (PICTURES[1][: len(PICTURES[1]) // 2], "Invalid PNG data"),
    "jpeg_without_content": (b"\xff\xd8\xff\xe0", "Invalid JPEG data"),
}
GOOD = {"one_jpeg": [0], "one_png": [1], "different_sizes": [0, 1, 2], "backwards": [2, 1, 0], "none": []}


# By the first word of a request's name: the model and the signature that it asks for.
ASKED = {
    "single_network": ("single_network", "serving_default"),
    "two_stage": ("two_stage", "serving_default"),
    "boxes": ("two_stage", "from_boxes"),
}
TOLERANT = {f"tolerant_{model}": (model, "tolerant") for model in ("single_network", "two_stage")}
FUNCTIONS = {
    ("single_network", "serving_default"): "find_people",
    ("two_stage", "serving_default"): "find_poses",
    ("two_stage", "from_boxes"): "find_people",
}
INPUTS = {"serving_default": [tf.TensorSpec([None], tf.string)]}
INPUTS["from_boxes"] = [*INPUTS["serving_default"], tf.TensorSpec([None, None, 4])]


def request(name: str, images: list[bytes], boxes: list) -> dict:
    """What is asked; `boxes` go along where the signature takes them."""
    model, signature = {**ASKED, **TOLERANT}[name.split()[0]]
    encoded = [base64.b64encode(data).decode() for data in images]
    asked = {"name": name, "model": model, "signature": signature, "images": encoded}
    if signature == "from_boxes":
        asked |= {"boxes": boxes, "boxes_shape": [len(boxes), len(boxes[0]) if boxes else 2, 4]}
    return asked


def good_requests() -> list[dict]:
    return [
        request(f"{asked} {name}", [PICTURES[row] for row in rows], [BOXES[row] for row in rows])
        for name, rows in GOOD.items()
        for asked in ASKED
    ]


def broken_requests() -> list[dict]:
    """Each alone and behind a good picture; and boxes that fit no picture."""
    requests = []
    for name, (data, _) in BROKEN.items():
        for asked in ASKED:
            requests.append(request(f"{asked} {name}", [data], BOXES[:1]))
            requests.append(request(f"{asked} {name} in a batch", [PICTURES[0], data], BOXES[:2]))
    infinite = [[[0.0, 0.0, float("inf"), 50.0]]]
    requests.append(request("boxes too_many_boxes", PICTURES[:1], BOXES[:2]))
    requests.append(request("boxes infinite_box", PICTURES[:1], infinite))
    return requests


def tolerant_requests() -> list[dict]:
    """A broken picture between two good ones; two broken ones alone; no picture."""
    batches = {name: [PICTURES[0], data, PICTURES[1]] for name, (data, _) in BROKEN.items()}
    batches |= {"nothing_good": [b"", b"garbage"], "none": []}
    return [request(f"{asked} {name}", images, []) for asked in TOLERANT for name, images in batches.items()]


MESSAGES = {name: words for name, (_, words) in BROKEN.items()} | {
    "too_many_boxes": "boxes must have one row for each of image_bytes",
    "infinite_box": "boxes must be finite",
}


@pytest.fixture(scope="module")
def expected_and_answers(served_models, tmp_path_factory) -> tuple[dict[str, dict[str, np.ndarray]], list[dict]]:
    """What this process computes without any SavedModel, and what the other one answered."""
    folder = tmp_path_factory.mktemp("serving")
    models = {name: str(served_models.path(name)) for name in ("two_stage", "single_network")}
    (folder / "models.json").write_text(json.dumps(models))
    (folder / "requests.json").write_text(json.dumps(good_requests() + broken_requests() + tolerant_requests()))
    files = [str(folder / f"{name}.json") for name in ("models", "requests", "answers")]
    command = [sys.executable, str(PROGRAM), *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "tfpose is None" in done.stdout
    functions = {
        asked: trace(getattr(getattr(served_models, asked[0]), method), *INPUTS[asked[1]])
        for asked, method in FUNCTIONS.items()
    }
    expected = {}
    for asked in good_requests():
        inputs = [tf.constant([base64.b64decode(data) for data in asked["images"]], tf.string)]
        if "boxes" in asked:
            inputs.append(tf.constant(asked["boxes"], tf.float32, shape=asked["boxes_shape"]))
        found = functions[asked["model"], asked["signature"]](*inputs)
        expected[asked["name"]] = {name: value.numpy() for name, value in found.items()}
    return expected, json.loads((folder / "answers.json").read_text())


def test_every_request_is_answered(expected_and_answers):
    _, answers = expected_and_answers
    names = [asked["name"] for asked in good_requests() + broken_requests() + tolerant_requests()]
    assert len(set(names)) == len(names)
    for loader in serve_requests.LOADERS:
        for phase in ("together", "later"):
            found = sorted(one["name"] for one in answers if (one["loader"], one["phase"]) == (loader, phase))
            assert found == sorted(names)


def test_good_pictures_give_their_poses_whatever_is_asked_beside_them(expected_and_answers):
    expected, answers = expected_and_answers
    assert max(values["num_persons"].sum() for values in expected.values()) > 3
    for one in answers:
        if one["name"] not in expected:
            continue
        assert set(one.get("outputs", one)) == OUTPUTS, one
        for name, values in expected[one["name"]].items():
            found = np.array(one["outputs"][name], values.dtype).reshape(values.shape)
            # Scores of these random weights reach 50; positions are in pixels.
            np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-2, err_msg=f"{one['name']} {name}")


def test_pictures_of_different_sizes_have_the_poses_they_have_alone(expected_and_answers):
    expected, _ = expected_and_answers
    for asked in ASKED:
        together = expected[f"{asked} different_sizes"]
        for row, name in enumerate(("one_jpeg", "one_png")):
            alone = expected[f"{asked} {name}"]
            count = alone["num_persons"][0]
            assert together["num_persons"][row] == count > 0
            np.testing.assert_allclose(together["keypoints"][row, :count], alone["keypoints"][0, :count], atol=1e-2)


def test_broken_requests_end_with_an_error_that_says_what_is_wrong(expected_and_answers):
    expected, answers = expected_and_answers
    broken = [one for one in answers if one["name"] not in expected and one["name"].split()[0] not in TOLERANT]
    assert {one["name"] for one in broken} == {asked["name"] for asked in broken_requests()}
    for one in broken:
        assert one.get("error") == "InvalidArgumentError", one
        assert MESSAGES[one["name"].split()[1]] in one["message"], one


def test_the_tolerant_signature_names_broken_pictures_and_serves_the_others(expected_and_answers):
    expected, answers = expected_and_answers
    tolerant = [one for one in answers if one["name"].split()[0] in TOLERANT]
    assert {one["name"] for one in tolerant} == {asked["name"] for asked in tolerant_requests()}
    for one in tolerant:
        assert set(one.get("outputs", one)) == OUTPUTS | {"is_valid"}, one
        asked, name = one["name"].split()
        found = {key: np.array(values) for key, values in one["outputs"].items()}
        if name in ("none", "nothing_good"):
            assert (
                found["is_valid"].tolist()
                == found["num_persons"].astype(bool).tolist()
                == [False] * len(found["is_valid"])
            )
            continue
        assert found["is_valid"].tolist() == [True, False, True], one["name"]
        assert not any(found[key][1].any() for key in OUTPUTS)
        for row, good in ((0, "one_jpeg"), (2, "one_png")):
            alone = expected[f"{asked.removeprefix('tolerant_')} {good}"]
            count = alone["num_persons"][0]
            assert found["num_persons"][row] == count > 0
            for key in ("keypoints", "boxes", "scores"):
                np.testing.assert_allclose(found[key][row, :count], alone[key][0, :count], rtol=1e-4, atol=1e-2)
