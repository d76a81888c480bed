"""eval_main.py and the export program with the single network, as a user runs them."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
from program_runs import assert_one_line, run
from record_writing import synthetic_image, write_dataset
from small_single_network import INFERENCE, NETWORK, random_pose_unet, small_single_network

from tfpose.checkpoints import BEST_WEIGHTS_NAME, write_weights
from tfpose.inference.single_network_system import write_single_network_system
from tfpose.skeletons import POSETRACK15

CONFIG = "--config=configs/single_network_posetrack18_mini.py"
WHOLE, ALONE, IGNORED = "000001_mpii_test", "000002_mpii_test", "000003_mpii_test"
NUM_FRAMES = {WHOLE: 5, ALONE: 1, IGNORED: 3}


def frame_of(sequence, index, image_id):
    """Pictures and people of a video are all alike."""
    image = synthetic_image(int(sequence[:6]), POSETRACK15, size=(96, 150), num_people=2)
    for person in image["people"]:
        person["head_box"] = [*person["keypoints"][0] - 8, *person["keypoints"][0] + 8]
    name = f"images/val/{sequence}/{index:06d}.jpg"
    return image | {"sequence": sequence, "frame": index, "image_id": image_id, "file_name": name}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A video of five frames, one of a single frame, one whose frames are ignored altogether."""
    images = []
    for sequence, count in NUM_FRAMES.items():
        images += [frame_of(sequence, index, int(sequence[:6]) * 10000 + index) for index in range(count)]
    for image in images[-NUM_FRAMES[IGNORED] :]:
        image["ignore_points"] = [-1, -1, 151, -1, 151, 97, -1, 97]
        image["ignore_lengths"] = [4]
    return write_dataset(tmp_path_factory.mktemp("data"), POSETRACK15, images, "val")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """What a training run leaves."""
    system = small_single_network()
    directory = tmp_path_factory.mktemp("run")
    write_single_network_system(directory, system)
    write_weights(random_pose_unet(system), directory / BEST_WEIGHTS_NAME)
    return directory


@pytest.fixture(scope="module")
def flags(dataset, workdir):
    """Of the small network, which finds people where there are none."""
    network = {"num_levels": 3, "width": 8, "person_width": 8, "width_growth": 1.0}
    network |= {"stem_widths": "(8,8)", "stem_downsampling": "pool"}
    changes = {f"network.{name}": value for name, value in network.items()}
    changes |= {"network.input_size": "({},{})".format(*NETWORK["input_size"])}
    changes |= {"data.directory": dataset, "data.validation_split": "val"}
    changes |= {f"inference.{name}": value for name, value in INFERENCE.items()} | {"evaluation.batch_size": 2}
    return [CONFIG, f"--workdir={workdir}", *(f"--config.{name}={value}" for name, value in changes.items())]


def without(flags, part):
    return [flag for flag in flags if part not in flag]


def succeed(result):
    assert result.returncode == 0, result.stderr[-3000:]
    return result


def read_frames(directory, sequence):
    """The people of each frame of a predicted sequence."""
    content = json.loads((directory / "predictions" / f"{sequence}.json").read_text())
    people = {image["id"]: [] for image in content["images"]}
    for person in content["annotations"]:
        people[person["image_id"]].append(person)
    return list(people.values())


@pytest.fixture(scope="module")
def evaluated(run_evaluation, flags, tmp_path_factory):
    output = tmp_path_factory.mktemp("evaluated")
    result = succeed(run_evaluation(*flags, f"--output_dir={output}", "--num_pictures=2", "--metrics=ap,mot"))
    return output, result


def test_evaluation_writes_what_the_two_stage_system_writes(evaluated):
    output, result = evaluated
    metrics = json.loads((output / "metrics.json").read_text())
    assert set(metrics) == {"posetrack", "coco", "provenance"}
    provenance = metrics["provenance"]
    assert (provenance["sequences"], provenance["frames"]) == (3, sum(NUM_FRAMES.values()))
    assert provenance["thresholds"]["head_threshold"] == 0.02
    assert provenance["tracker"]["name"] == "payer2017"
    assert provenance["weights"].endswith(BEST_WEIGHTS_NAME)
    assert len(list((output / "pictures").iterdir())) == 2
    assert "MOTA Total" in result.stdout


def test_identities_go_on_through_a_video(evaluated):
    ids = [[person["track_id"] for person in people] for people in read_frames(evaluated[0], WHOLE)]
    assert len(ids[0]) > 1 and ids == [ids[0]] * NUM_FRAMES[WHOLE]


def test_a_broken_picture_ends_the_evaluation_with_one_line(run_evaluation, flags, tmp_path):
    images = [frame_of(WHOLE, index, index + 1) for index in range(3)]
    images[1]["image"] = images[1]["image"][:200]
    data = write_dataset(tmp_path / "data", POSETRACK15, images, "val")
    changes = (f"--config.data.directory={data}", f"--output_dir={tmp_path / 'out'}")
    result = run_evaluation(*without(flags, "data.directory"), *changes)
    assert_one_line(result, f"{WHOLE}/000001.jpg", "cannot decode the picture")
    assert not (tmp_path / "out").exists()


def test_a_video_of_one_frame_and_one_that_is_ignored_altogether_are_predicted(evaluated):
    output, _ = evaluated
    assert [len(people) > 0 for people in read_frames(output, ALONE)] == [True]
    assert [len(people) > 0 for people in read_frames(output, IGNORED)] == [True] * NUM_FRAMES[IGNORED]


def test_a_split_without_anything_to_evaluate_is_predicted_all_the_same(run_evaluation, flags, tmp_path):
    """All people are in ignored regions: no figures, but files."""
    images = [frame_of(IGNORED, index, index + 1) for index in range(2)]
    for image in images:
        image["ignore_points"], image["ignore_lengths"] = [-1, -1, 151, -1, 151, 97, -1, 97], [4]
        image["people"] = []
    data = write_dataset(tmp_path / "data", POSETRACK15, images, "val")
    changes = (f"--config.data.directory={data}", f"--output_dir={tmp_path / 'out'}")
    result = succeed(run_evaluation(*without(flags, "data.directory"), *changes))
    assert "note: PoseTrack's metrics are left out" in result.stderr
    assert len(read_frames(tmp_path / "out", IGNORED)) == 2


@pytest.fixture(scope="module")
def tuned(run_evaluation, flags, tmp_path_factory):
    output = tmp_path_factory.mktemp("tuned")
    choices = ("--tune=max_age_frames=1,3", "--tune=head_threshold=0.05,0.1", "--tune=joint_threshold=0.0,0.05")
    return output, succeed(run_evaluation(*flags, f"--output_dir={output}", *choices))


def test_tuning_writes_and_prints_every_trial_best_first(tuned):
    output, result = tuned
    content = json.loads((output / "tuning.json").read_text())
    assert set(content) == {"objective", "best", "trials", "provenance"}
    scores = [trial["scores"]["MOTA"] for trial in content["trials"]]
    assert len(scores) == 8 and scores == sorted(scores, reverse=True)
    assert content["best"]["settings"] == content["trials"][0]["settings"]
    assert content["provenance"]["base"]["inference"]["head_threshold"] == 0.02
    table = result.stdout[result.stdout.index("head_threshold") :].splitlines()
    assert table[0].split() == ["head_threshold", "joint_threshold", "max_age_frames", "MOTA", "AP"]
    assert [float(line.split()[3]) for line in table[1:9]] == pytest.approx(scores, abs=0.005)
    assert table[9] == f"best MOTA: {content['best']['flags']}"


def test_evaluation_with_tuned_settings_has_the_figures_of_the_trial(run_evaluation, flags, tuned, tmp_path):
    """Through the file, and as flags."""
    best = json.loads((tuned[0] / "tuning.json").read_text())["best"]
    rest = without(flags, "config.inference")
    for name, changes in (("file", [f"--tuned={tuned[0] / 'tuning.json'}"]), ("flags", best["flags"].split())):
        output = tmp_path / name
        succeed(run_evaluation(*rest, f"--output_dir={output}", *changes))
        metrics = json.loads((output / "metrics.json").read_text())
        assert metrics["posetrack"]["mota"][-1] == pytest.approx(best["scores"]["MOTA"], abs=1e-9)
        assert metrics["posetrack"]["ap"][-1] == pytest.approx(best["scores"]["AP"], abs=1e-9)
        assert metrics["provenance"]["tracker"] == best["tracker"]
        found = metrics["provenance"]["thresholds"]
        assert {key: found[key] for key in best["inference"]} == best["inference"]


def test_poses_are_tracked_again_with_the_tuned_tracker(run_evaluation, evaluated, tuned, tmp_path):
    flags = (f"--predictions={evaluated[0] / 'predictions'}", f"--output_dir={tmp_path}")
    succeed(run_evaluation("--track", *flags, f"--tuned={tuned[0] / 'tuning.json'}"))
    assert len(list((tmp_path / "predictions").iterdir())) == 3


def test_flags_without_meaning_here_are_named(run_evaluation, flags, tuned, tmp_path):
    output, file = f"--output_dir={tmp_path}", tuned[0] / "tuning.json"
    plain = without(flags, "config.inference")
    cases = [
        ([*flags, "--boxes=boxes.json"], ["--boxes cannot be combined with the single network"]),
        ([*flags, f"--tuned={file}"], ["--config.inference.head_threshold cannot be combined with", str(file)]),
        (
            [*plain, f"--tuned={file}", "--tracker.max_age_frames=3"],
            ["--tracker.max_age_frames cannot be combined with --tuned"],
        ),
        ([*plain, f"--tuned={tmp_path / 'none.json'}"], ["none.json", "not found"]),
        ([*flags, "--tune=heads=0.1"], ["--tune must be NAME=VALUE", "got 'heads=0.1'"]),
        ([*flags, "--tune=head_threshold=0.1", "--num_pictures=1"], ["tfpose tune has no flag --num_pictures"]),
    ]
    for arguments, words in cases:
        assert_one_line(run_evaluation(*arguments, output), *words)
    assert not list(tmp_path.iterdir())


def test_thresholds_are_not_those_of_the_two_stage_system(run_evaluation, flags, tuned, tmp_path):
    two_stage = (
        "--config=configs/two_stage_resnet18_synthetic.py",
        f"--workdir={tmp_path}",
        f"--output_dir={tmp_path}",
        *(flag for flag in flags if flag.startswith("--config.data.directory")),
    )
    result = run_evaluation(*two_stage, "--tune=head_threshold=0.1")
    assert_one_line(result, "--workdir must be a run of the single network for a search")
    result = run_evaluation(*two_stage, f"--tuned={tuned[0] / 'tuning.json'}")
    assert_one_line(result, "tuning.json: requires a config of the single network, got one of the two-stage system")


def test_weights_of_another_network_are_named(run_evaluation, flags, workdir, tmp_path):
    output = f"--output_dir={tmp_path / 'out'}"
    result = run_evaluation(*without(flags, "person_width"), "--config.network.person_width=16", output)
    assert_one_line(result, "config.network.person_width must be 8, as for the weights in", "got 16")
    other = tmp_path / "other"
    shutil.copytree(workdir, other)
    content = json.loads((other / "single_network_system.json").read_text())
    content["network"]["num_levels"] = 2
    (other / "single_network_system.json").write_text(json.dumps(content))
    moved = without(without(flags, "workdir"), "num_levels")
    result = run_evaluation(*moved, f"--workdir={other}", "--config.network.num_levels=2", output)
    assert_one_line(result, BEST_WEIGHTS_NAME, "weights do not fit")
    result = run_evaluation(*moved, f"--workdir={tmp_path}", "--config.network.num_levels=3", output)
    assert_one_line(result, "single_network_system.json: not found; expected the work folder of a training run")


def export(*arguments: object) -> subprocess.CompletedProcess:
    return run("-m", "tfpose.export", *arguments)


def test_exported_model_gives_the_poses_of_evaluation(evaluated, workdir, dataset, tmp_path):
    """The work folder's thresholds are those of the flags."""
    import tensorflow as tf

    from tfpose.data.records import read_table

    result = succeed(export(f"--workdir={workdir}", f"--output={tmp_path / 'model'}"))
    assert "signatures serving_default, tolerant, from_frames, heatmaps" in result.stdout
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    table = read_table(dataset, "val")
    rows = [row for row, name in enumerate(table.images["sequence"]) if name == IGNORED]
    found = signature(image_bytes=tf.constant([table.read_image_bytes(row) for row in rows]))
    frames = read_frames(evaluated[0], IGNORED)
    assert found["num_persons"].numpy().tolist() == [len(people) for people in frames]
    for row, people in enumerate(frames):
        written = np.array([person["keypoints"] for person in people]).reshape(len(people), -1, 3)
        exported = found["keypoints"][row].numpy()
        order = [written_index(joint) for joint in POSETRACK15.joints]
        is_joint = exported[..., 2] > 0
        np.testing.assert_allclose(exported[..., :2][is_joint], written[:, order, :2][is_joint], atol=1e-3)


def written_index(joint: str) -> int:
    from tfpose.skeletons import POSETRACK18

    return POSETRACK18.joints.index(joint)


def test_export_takes_tuned_thresholds(workdir, tuned, tmp_path, monkeypatch):
    """What is given to the function that writes, which takes seconds."""
    exported = []
    write = "tfpose.systems.single_network.export_single_network"
    monkeypatch.setattr(write, lambda *arguments: exported.append(arguments) or [])
    flags = (f"--workdir={workdir}", f"--output={tmp_path / 'model'}")
    path = tmp_path / "tuning.json"
    content = json.loads((tuned[0] / "tuning.json").read_text())
    expected = content["best"]["inference"] | {"max_people": 1}
    assert expected["head_threshold"] != INFERENCE["head_threshold"]
    content["best"]["inference"] = expected
    path.write_text(json.dumps(content))
    succeed(export(*flags, f"--tuned={path}"))
    ((_, system, *_),) = exported
    assert {name: getattr(system.inference, name) for name in expected} == expected
    assert_one_line(export(*flags, f"--tuned={tmp_path / 'none.json'}"), "none.json", "not found")


def test_export_of_a_folder_that_is_no_run_is_one_line(tmp_path):
    result = export(f"--workdir={tmp_path}", f"--output={tmp_path / 'model'}")
    assert_one_line(result, "must be the work folder of a training run")
    assert not (tmp_path / "model").exists()
