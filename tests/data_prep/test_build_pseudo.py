"""Annotations by a teacher: which joints and people become labels, and what the program writes."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import types

import cv2
import numpy as np
import program_runs
import pytest
import two_stage_runs
from record_writing import synthetic_image

from data_prep.pseudo import builder
from data_prep.pseudo.inputs import choose_splits, open_inputs
from data_prep.pseudo.judgment import Thresholds, judge_poses, mirror_back
from tfpose.data.records import read_table
from tfpose.poses import Poses
from tfpose.skeletons import COCO17, POSETRACK15, skeleton_from_names

ARMS = skeleton_from_names("arms", ("head", "left_hand", "right_hand", "left_foot"), left_right_pairs=None)
# Joints are seen where the heatmaps of random weights have any peak.
LENIENT = ("--joint_score=-1000", "--person_score=-1000", "--doubtful_score=-1000")


def people(*places: float, scores=None, joint_scores=None) -> Poses:
    """People of a size of 100 pixels, the joints of each 10 pixels apart."""
    corners = np.array(places, np.float64)
    keypoints = corners[:, None, None] + 10 * np.arange(4)[None, :, None] + np.zeros((1, 1, 2))
    count = len(corners)
    return Poses(
        keypoints=keypoints,
        joint_scores=np.full((count, 4), 0.9) if joint_scores is None else np.array(joint_scores),
        scores=np.full(count, 0.8) if scores is None else np.array(scores),
        boxes=np.stack([corners, corners, corners + 100, corners + 100], axis=1),
        track_ids=np.full(count, -1),
    )


def test_a_joint_below_the_score_is_unlabeled():
    labels = judge_poses(people(10, joint_scores=[[0.9, 0.29, 0.3, 0.5]]), ARMS, Thresholds())
    assert labels.is_labeled.tolist() == [[True, False, True, True]]
    assert labels.keypoints[0, 1].tolist() == [0, 0] and labels.keypoints[0, 2].tolist() == [30, 30]
    assert labels.counts["joints below the score"] == 1 and labels.counts["joints labeled"] == 3


def test_doubtful_people_are_ignored_and_improbable_people_are_left_out():
    poses = people(0, 200, 400, 600, scores=[0.3, 0.29, 0.1, 0.09])
    labels = judge_poses(poses, ARMS, Thresholds())
    assert labels.is_ignored.tolist() == [False, True, True]
    assert labels.is_labeled.any(axis=1).tolist() == [True, False, False]
    np.testing.assert_array_equal(labels.boxes, poses.boxes[:3])
    assert labels.counts["people left out"] == 1 and labels.counts["people ignored for their score"] == 2


def test_people_with_few_joints_are_ignored():
    labels = judge_poses(people(0, joint_scores=[[0.9, 0.9, 0.1, 0.1]]), ARMS, Thresholds())
    assert labels.is_ignored.tolist() == [True]
    assert labels.counts["people ignored for too few joints"] == 1


def test_joints_in_disagreement_are_unlabeled():
    poses, second = people(0), people(0)
    second.keypoints[0, 3] += [6, 7.9]
    assert judge_poses(poses, ARMS, Thresholds(), second).is_labeled.all()
    second.keypoints[0, 3] += [0, 0.2]
    labels = judge_poses(poses, ARMS, Thresholds(), second)
    assert labels.is_labeled.tolist() == [[True, True, True, False]]
    assert labels.counts["joints in disagreement"] == 1
    absent = people(0, joint_scores=[[0.9, 0.9, 0.9, 0.0]])
    assert judge_poses(poses, ARMS, Thresholds(), absent).is_labeled.tolist() == [[True, True, True, False]]


def test_people_of_one_side_alone_are_ignored():
    labels = judge_poses(people(0, 300), ARMS, Thresholds(), people(600, 0))
    assert labels.is_ignored.tolist() == [False, True, True]
    assert labels.boxes[:, 0].tolist() == [0, 300, 600]
    assert labels.counts["people ignored because one side alone found them"] == 2
    # What neither side takes for a person is no doubt.
    assert len(judge_poses(people(0), ARMS, Thresholds(), people(0, 600, scores=[0.8, 0.05])).boxes) == 1


def test_joints_that_the_second_model_lacks_are_not_compared():
    two = skeleton_from_names("two", ("left_foot", "head"))
    full = people(0)
    second = dataclasses.replace(full, keypoints=full.keypoints[:, [3, 0]] + 50, joint_scores=full.joint_scores[:, :2])
    second.keypoints[0, 1] = full.keypoints[0, 0]
    labels = judge_poses(full, ARMS, Thresholds(min_joints=1), second, two)
    assert labels.is_labeled.tolist() == [[True, True, True, False]]


def test_nobody_is_no_error():
    nobody = people(0).select(np.zeros(0, int))
    assert len(judge_poses(nobody, ARMS, Thresholds(), people(0)).boxes) == 1
    assert len(judge_poses(nobody, ARMS, Thresholds(), nobody).boxes) == 0


@pytest.mark.parametrize("skeleton", [COCO17, POSETRACK15, ARMS])
def test_mirrored_poses_come_back_by_the_pairs_of_the_skeleton(skeleton):
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(0, 99, (2, skeleton.num_joints, 2))
    scores = rng.uniform(0, 1, (2, skeleton.num_joints))
    boxes = np.array([[1.0, 2, 30, 40], [0, 0, 99, 49]])
    # What a perfect network says of the mirrored picture: pixel x is now at 99 - x, and left is right.
    partner = {a: b for pair in skeleton.left_right_pairs for a, b in (pair, pair[::-1])}
    seen = np.zeros_like(keypoints)
    seen_scores = np.zeros_like(scores)
    for joint, name in enumerate(skeleton.joints):
        other = skeleton.joints.index(partner.get(name, name))
        seen[:, other] = np.stack([99 - keypoints[:, joint, 0], keypoints[:, joint, 1]], axis=-1)
        seen_scores[:, other] = scores[:, joint]
    seen_boxes = np.stack([99 - boxes[:, 2], boxes[:, 1], 99 - boxes[:, 0], boxes[:, 3]], axis=1)
    back = mirror_back(Poses(seen, seen_scores, np.ones(2), seen_boxes, np.full(2, -1)), 100, skeleton)
    np.testing.assert_allclose(back.keypoints, keypoints)
    np.testing.assert_allclose(back.joint_scores, scores)
    np.testing.assert_allclose(back.boxes, boxes)


def test_splits_depend_on_names_alone():
    names = [f"{i}.jpg" for i in range(50)]
    splits = dict(zip(names, choose_splits(names, 0.2), strict=True))
    assert sum(split == "val" for split in splits.values()) == 10
    assert dict(zip(names[::-1], choose_splits(names[::-1], 0.2), strict=True)) == splits
    assert set(choose_splits(names, 0.0)) == {"train"}
    assert sorted(choose_splits(["a", "b"], 0.01)) == ["train", "val"]


def write_pictures(folder: pathlib.Path, count: int = 6) -> pathlib.Path:
    folder.mkdir()
    for index in range(count):
        (folder / f"{index:03d}.jpg").write_bytes(synthetic_image(index, POSETRACK15)["image"])
    return folder


def write_video(path: pathlib.Path, num_frames: int = 4) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for seed in range(num_frames):
        writer.write(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A work folder with random weights."""
    folder = tmp_path_factory.mktemp("teacher")
    two_stage_runs.write_keypoint_run(folder)
    return folder


def build(*arguments: object):
    return program_runs.run("-m", "data_prep.build", "pseudo", *arguments)


def test_pictures_and_videos_become_a_dataset_that_says_who_labeled_it(tmp_path, teacher):
    source = write_pictures(tmp_path / "source")
    write_video(source / "clip.avi")
    picture = cv2.imread(str(source / "000.jpg"))
    cv2.imwrite(str(source / "other.bmp"), picture)
    (source / "damaged.jpg").write_bytes((source / "001.jpg").read_bytes()[:-300])
    arguments = ("--source", source, "--output", tmp_path / "out", "--model", teacher, "--detector=whole_image")
    done = build(*arguments, *LENIENT, "--val_share=0.3", "--every=2")
    assert done.returncode == 0, done.stderr
    assert f"the labels are the poses of {teacher}, not ground truth" in done.stderr
    assert "damaged.jpg" in done.stderr
    tables = {split: read_table(tmp_path / "out", split) for split in ("train", "val")}
    names = [name for table in tables.values() for name in table.images["file_name"]]
    assert sorted(names) == [*(f"{i:03d}.jpg" for i in range(6)), "clip/000000.jpg", "clip/000002.jpg", "other.bmp"]
    for table in tables.values():
        assert table.teacher == str(teacher) and table.num_people == table.num_images
        for row, name in enumerate(table.images["file_name"]):
            if name.endswith(".jpg") and "/" not in name:
                assert table.read_image_bytes(row) == (source / name).read_bytes()
    frames = [split for split, table in tables.items() if "clip" in table.images["sequence"]]
    assert len(frames) == 1
    metadata = json.loads((tmp_path / "out" / "pseudo" / "1.0.0" / "metadata.json").read_text())
    facts = metadata["teacher"]
    assert facts["name"] == str(teacher) and len(facts["sha256"]) == 64
    assert facts["thresholds"]["joint_score"] == -1000 and facts["counts"]["people labeled"] == 9
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pseudo"]
    again = build(*arguments, *LENIENT, "--val_share=0.3", "--every=2")
    assert again.returncode == 0 and "holds this dataset already" in again.stderr
    other = build(*arguments, *LENIENT, "--val_share=0.4", "--every=2")
    program_runs.assert_one_line(other, "already holds another dataset")


def test_mirror_and_second_model_filter_labels(tmp_path, teacher):
    source = write_pictures(tmp_path / "source", 3)
    arguments = ("--source", source, "--model", teacher, "--detector=whole_image", *LENIENT, "--overwrite")
    labeled = {}
    for name, filters in {
        "none": (),
        "mirror": ("--agreement=mirror", "--max_distance=0.05"),
        "same": (f"--second_model={teacher}",),
    }.items():
        done = build(*arguments, *filters, "--output", tmp_path / name)
        assert done.returncode == 0, done.stderr
        table = read_table(tmp_path / name, "train")
        labeled[name] = int((table.people["visibility"] > 0).sum())
        assert not (table.people["visibility"][table.people["is_crowd"] > 0] > 0).any()
    # A model agrees with itself; random weights do not agree with the mirror.
    assert labeled["same"] == labeled["none"] > labeled["mirror"]


def test_evaluation_on_such_a_set_is_an_agreement(tmp_path, teacher):
    source = write_pictures(tmp_path / "source", 4)
    out, results = tmp_path / "out", tmp_path / "results"
    done = build("--source", source, "--output", out, "--model", teacher, "--detector=whole_image", *LENIENT)
    assert done.returncode == 0, done.stderr
    arguments = ("--config=two_stage_resnet18_synthetic", "--workdir", teacher, f"--config.data.directory={out}")
    network = (
        "--config.network.input_size=(64,64)",
        "--config.network.base_width=8",
        "--config.network.deconv_filters=8",
    )
    run = ("eval_main.py", *arguments, *network, "--split=train", "--output_dir", results)
    done = program_runs.run(*run)
    assert done.returncode == 0, done.stderr
    assert f"the labels of split train are the poses of teacher {teacher}" in done.stderr
    assert f"agreement with teacher {teacher}" in done.stdout
    assert " AP " not in done.stdout and "AP50" not in done.stdout
    metrics = json.loads((results / "metrics.json").read_text())
    assert "coco" not in metrics and metrics["agreement_with_teacher"]["teacher"] == str(teacher)
    assert "agreement" in metrics["agreement_with_teacher"]["keypoints"]
    program_runs.assert_one_line(program_runs.run(*run, "--report"), "--report requires labels by people")


@pytest.mark.slow
def test_training_on_such_a_set_reports_agreement(tmp_path, teacher):
    source = write_pictures(tmp_path / "source", 4)
    out = tmp_path / "out"
    done = build("--source", source, "--output", out, "--model", teacher, "--detector=whole_image", *LENIENT)
    assert done.returncode == 0, done.stderr
    network = (
        "--config.network.input_size=(64,64)",
        "--config.network.base_width=8",
        "--config.network.deconv_filters=8",
    )
    short = ("--config.run.total_steps=1", "--config.batch_size=2", "--config.strategy=one_device")
    done = program_runs.run(
        *("train_main.py", "--config=two_stage_resnet18_synthetic", "--workdir", tmp_path / "run"),
        *(f"--config.data.directory={out}", *network, *short),
    )
    assert done.returncode == 0, done.stderr
    assert "are the poses of teacher" in done.stderr
    header = (tmp_path / "run" / "eval.csv").read_text().splitlines()[0].split(",")
    assert "agreement" in header and "PCK_agreement" in header
    assert not [name for name in header if "AP" in name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source={tmp}/source",), "--model must be given for pseudo, got nothing"),
        (("--source={tmp}/source", "--model=nowhere"), "--model must be a SavedModel, the work folder of a run or"),
        (("--source={tmp}/source", "--model=picodet_s_320"), "--model must name a keypoint network, got picodet_s_320"),
        (("--source={tmp}/none", "--model={tmp}"), "--source must be a file or folder, got no such file or folder"),
        (("--source={tmp}/empty", "--model={tmp}"), "empty: must hold images"),
        (("--source={tmp}/source/000.jpg", "--model={tmp}"), "--val_share must be 0 for a single image or video"),
        (
            ("--source={tmp}/source", "--model={tmp}", "--doubtful_score=0.5"),
            "--doubtful_score must be at most --person_score=0.3, got 0.5",
        ),
        (
            ("--source={tmp}/source", "--model={tmp}", "--second_model={tmp}", "--agreement=mirror"),
            "--agreement cannot be combined with --second_model",
        ),
        (
            ("--source={tmp}/source", "--model={tmp}", "--max_distance=0.2"),
            "--max_distance requires --agreement=mirror",
        ),
    ],
)
def test_wrong_arguments_end_with_one_line(tmp_path, arguments, message):
    write_pictures(tmp_path / "source", 2)
    (tmp_path / "empty").mkdir()
    done = build(*(argument.format(tmp=tmp_path) for argument in arguments), "--output", tmp_path / "out")
    program_runs.assert_one_line(done, message)
    assert not (tmp_path / "out").exists()


def test_an_image_that_cannot_be_read_does_not_lose_the_labels_of_the_others(tmp_path, monkeypatch):
    """The last image of a split is known to be broken only after all have been labeled."""
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    labels = judge_poses(people(10), ARMS, Thresholds())
    frame = builder.LabeledFrame("a.jpg", "", "a.jpg", 0, (8, 8), tmp_path / "a.jpg", labels)
    teacher = types.SimpleNamespace(name="teacher", skeleton=ARMS, to_dict=dict)
    monkeypatch.setattr(builder, "find_teacher", lambda *_: teacher)
    monkeypatch.setattr(builder, "load_teacher", lambda *_: teacher)
    monkeypatch.setattr(builder._Labeling, "label", lambda *_: [frame])
    values = types.SimpleNamespace(
        **{"every": 1, "val_share": 0.5, "second_model": None, "overwrite": True, "agreement": "none"},
        **{"box_score": 0.5, "batch_size": 1},
    )
    (split,) = builder.read_source(tmp_path, values, Thresholds()).splits.values()
    assert split.num_images == 1


def test_nobody_to_label_leaves_nothing(tmp_path, teacher):
    source = write_pictures(tmp_path / "source", 2)
    done = build(
        *("--source", source, "--output", tmp_path / "out", "--model", teacher, "--detector=whole_image"),
        *("--person_score=1e9", "--doubtful_score=1e9"),
    )
    program_runs.assert_one_line(done, "nobody in 2 images can be labeled")
    assert not (tmp_path / "out").exists()


def test_wrong_arguments_do_not_start_tensorflow(tmp_path):
    script = (
        "import sys; from data_prep import build; code = build.main(sys.argv[1:]); "
        "print('tensorflow' in sys.modules); sys.exit(code)"
    )
    write_pictures(tmp_path / "source", 2)
    done = program_runs.run(
        *("-c", script, "pseudo", f"--source={tmp_path / 'source'}", "--model=nowhere", f"--output={tmp_path / 'o'}"),
        separate_process=True,
    )
    assert done.returncode == 1 and done.stdout.splitlines()[-1] == "False", done.stderr


def test_a_folder_of_videos_alone_is_a_source(tmp_path):
    write_video(tmp_path / "a.avi")
    write_video(tmp_path / "b.avi")
    assert [source.name for source in open_inputs(tmp_path, 1)] == ["a", "b"]
