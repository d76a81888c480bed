"""Examples, first weights and a short training of PicoDet."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json

import numpy as np
import pytest
from program_runs import run
from random_weights import build_random
from shared_evaluation import assert_shared_to_the_bit
from small_detector import small_table

from tfpose.checkpoints import write_weights
from tfpose.data.pictures import decode_window
from tfpose.data.stretched_images import StretchedImages, StretchedInput
from tfpose.inference.detectors import load_detector
from tfpose.inference.detectors.detector import Picture
from tfpose.inference.picodet_system import PicodetSettings, write_picodet_settings
from tfpose.training import picodet
from tfpose.training.batches import sample_inputs

SIZE = (64, 128)
SETTINGS = PicodetSettings(input_size=SIZE, width=8, scale=0.25)


def no_inputs():
    raise AssertionError("a network with statistics needs no images")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(tmp_path_factory.mktemp("data"), size=(128, 160))


def examples_of(images, **drawn):
    count = len(images)
    plain = {
        "shares": np.ones((count, 2)),
        "places": np.zeros((count, 2)),
        "is_mirrored": np.zeros(count, bool),
        "color_gains": np.ones((count, 3)),
    }
    return images.examples(np.arange(count), {**plain, **drawn})


def test_whole_images_are_stretched_with_their_boxes(table):
    images = StretchedImages(table, SIZE)
    examples = examples_of(images)
    for place, image in enumerate(images.rows):
        people = table.people_of(image)
        expected = table.people["box"][people.start : people.stop] * np.tile([128 / 160, 64 / 128], 2)
        expected = np.clip(expected, 0, [128, 64, 128, 64])
        count = int(examples["person_weights"][place].sum())
        np.testing.assert_allclose(examples["boxes"][place, :count], expected, rtol=1e-5)
        picture = decode_window(table.read_image_bytes(image), (0, 0, 128, 160)).astype(float)
        # Half the height: each new pixel lies between two rows. Column 2 lies at 2.625.
        between = (picture[::2] + picture[1::2]) / 2
        column = 0.375 * between[:, 2] + 0.625 * between[:, 3]
        assert np.abs(examples["images"][place][:, 2] - column).max() <= 4


def test_mirrored_parts_show_what_their_boxes_say(table):
    """The part from a quarter to three quarters, mirrored: a point at half of the image stays at half."""
    images = StretchedImages(table, SIZE)
    count = len(images)
    drawn = {"shares": np.full((count, 2), 0.5), "places": np.full((count, 2), 0.25)}
    plain, mirrored = examples_of(images, **drawn), examples_of(images, **drawn, is_mirrored=np.ones(count, bool))
    np.testing.assert_array_equal(plain["images"][:, :, ::-1], mirrored["images"])
    np.testing.assert_allclose(
        128 - plain["boxes"][..., [2, 1, 0, 3]] * [1, -1, 1, -1] - [0, 128, 0, 128],
        np.where(plain["person_weights"][..., None] > 0, mirrored["boxes"], [128, 0, 128, 0]),
        atol=1e-4,
    )


def test_batch_is_a_function_of_seed_and_step_and_replicas_share_it(table):
    images, again = (StretchedImages(table, SIZE, StretchedInput(), seed=3) for _ in range(2))
    whole = images.batch(5, 4, slice(0, 4))
    parts = [again.batch(5, 4, slice(start, start + 2)) for start in (0, 2)]
    for name, values in whole.items():
        np.testing.assert_array_equal(values, np.concatenate([part[name] for part in parts]))


def test_crowds_and_ignore_regions_are_ignored(tmp_path):
    table = small_table(tmp_path)
    table.people["is_crowd"][-1] = 1
    table.images["ignore_regions"][1] = [np.array([[0.0, 0], [45, 0], [45, 30]])]
    images = StretchedImages(table, SIZE)
    examples = examples_of(images)
    region = examples["ignored_boxes"][list(images.rows).index(1)]
    np.testing.assert_allclose(region[0], [0, 0, 64, 32])
    last = list(images.rows).index(table.num_images - 1)
    box = table.people["box"][-1] * np.tile([128 / 90, 64 / 60], 2)
    np.testing.assert_allclose(examples["ignored_boxes"][last, 0], np.clip(box, 0, [128, 64] * 2), rtol=1e-5)
    assert examples["person_weights"][last].sum() == 1


def random_network():
    return build_random(SETTINGS.build_network, lambda path: 0.1 * ("head" in path), seed=1)


def test_statistics_that_a_publisher_merged_are_measured(table, tmp_path):
    """Evaluation stays the same; training, which was far from it, comes near."""
    source = random_network()
    write_picodet_settings(tmp_path, SETTINGS)
    for variable in source.variables:
        if variable.name == "moving_mean":
            variable.assign(variable * 0)
    write_weights(source, tmp_path / "best.weights.h5")
    samples = functools.partial(sample_inputs, StretchedImages(table, SIZE), "images", SETTINGS.normalization)
    target = SETTINGS.build_network()
    picodet.build_initializer(samples, str(tmp_path))(target)
    inputs = next(samples())
    expected, same = (np.concatenate([np.ravel(x) for x in network(inputs).values()]) for network in (source, target))
    np.testing.assert_allclose(same, expected, atol=1e-4 * expected.std())
    before, after = (
        np.concatenate([np.ravel(x) for x in network(inputs, training=True).values()]) for network in (source, target)
    )
    errors = [np.abs(values - expected).mean() / expected.std() for values in (before, after)]
    assert errors[1] < 0.05 < 0.4 < errors[0]


def test_weights_of_another_run_are_copied_or_refused(tmp_path):
    source = random_network()
    write_picodet_settings(tmp_path, SETTINGS)
    write_weights(source, tmp_path / "best.weights.h5")
    target = SETTINGS.build_network()
    picodet.build_initializer(no_inputs, str(tmp_path))(target)
    for ours, theirs in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    wider = PicodetSettings(input_size=SIZE, width=16, scale=0.25).build_network()
    with pytest.raises(ValueError, match="config.network.width and config.network.scale must be those of the source"):
        picodet.build_initializer(no_inputs, str(tmp_path))(wider)
    with pytest.raises(ValueError, match="exactly one of source_workdir and from_scratch"):
        picodet.build_initializer(no_inputs)


def test_weights_of_a_public_checkpoint_are_looked_for_in_the_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TFPOSE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match="the cache must be a folder that can be written"):
        picodet.build_initializer(no_inputs, "picodet_s_320")(SETTINGS.build_network())


def test_workers_and_devices_evaluate_together_to_the_bit(table, monkeypatch):
    monkeypatch.setattr(picodet, "score_boxes", lambda table, people: dict(enumerate(list(vars(people).values())[:4])))
    settings = dataclasses.replace(SETTINGS, score_threshold=0.0, max_people=5)

    def build_validation():
        validation = picodet.Validation(table, settings)
        return lambda *arguments: list(validation(*arguments).values())

    assert_shared_to_the_bit(monkeypatch, build_validation, random_network())


@pytest.mark.slow
def test_train_and_evaluate_and_use_as_a_detector(table, tmp_path):
    """A few steps in half precision are finite, and the evaluation's boxes are those of --detector."""
    options = {
        "data.directory": table.shards[0].parent,
        "data.validation_split": "train",
        "network.input_size": SIZE,
        "network.width": 8,
        "network.scale": 0.25,
        "batch_size": 2,
        "optimization.precision": "mixed_bfloat16",
        "optimization.warmup_steps": 1,
        "run.total_steps": 4,
        "run.log_every": 1,
        "run.checkpoint_every": 4,
        "run.evaluate_every": 4,
        "run.pictures_every": 4,
    }
    flags = [f"--config.{name}={value}" for name, value in options.items()]
    workdir, output = tmp_path / "run", tmp_path / "results"
    result = run("train_main.py", "--config=configs/picodet_synthetic.py", f"--workdir={workdir}", *flags)
    assert result.returncode == 0, result.stderr[-2000:]
    with (workdir / "train.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(np.isfinite(float(row[f"loss/{name}"])) for row in rows for name in ("score", "box", "distance"))
    assert min(float(row["gradient_norm"]) for row in rows) > 0
    result = run("eval_main.py", f"--workdir={workdir}", "--split=train", f"--output_dir={output}")
    assert result.returncode == 0, result.stderr[-2000:]
    metrics = json.loads((output / "metrics.json").read_text())
    assert "AP50" in metrics["boxes"]
    boxes = json.loads((output / "detections.json").read_text())
    picture = Picture(lambda: decode_window(table.read_image_bytes(0), (0, 0, 128, 160)))
    found, scores = load_detector(str(workdir)).find_people([picture])[0]
    first = [box for box in boxes if box["image_id"] == int(table.images["image_id"][0])]
    np.testing.assert_allclose([box["score"] for box in first], scores, rtol=1e-5)
    np.testing.assert_allclose([box["bbox"][:2] for box in first], found[:, :2], atol=1e-3)
    result = run("eval_main.py", f"--workdir={workdir}", f"--output_dir={output}", "--boxes=ground_truth")
    assert result.returncode == 1 and "--boxes cannot be combined" in result.stderr
