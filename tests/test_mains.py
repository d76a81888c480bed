"""The command-line programs, as a user runs them: each in a process of its own."""

import csv
import json
import re
import signal
import subprocess
import sys
import time

import pytest
from program_runs import ENVIRONMENT, PROJECT, assert_one_line, run
from record_writing import synthetic_image, write_dataset

from tfpose.skeletons import COCO17, POSETRACK15

pytestmark = pytest.mark.slow

CONFIG = "--config=configs/two_stage_resnet18_synthetic.py"
SMALL = (
    "--config.network.input_size=(64,64)",
    "--config.network.base_width=8",
    # Devices cannot be divided any more where another test has used TensorFlow.
    "--config.strategy=one_device",
    "--config.network.deconv_filters=8",
    "--config.batch_size=4",
    # Devices cannot be divided in a process that has used TensorFlow.
    "--config.strategy=one_device",
    "--config.optimization.warmup_steps=0",
    "--config.run.total_steps=6",
    "--config.run.log_every=1",
    "--config.run.checkpoint_every=2",
    "--config.run.evaluate_every=3",
    "--config.run.pictures_every=3",
    "--config.evaluation.batch_size=4",
)


def train(dataset, workdir, *changes):
    return run("train_main.py", CONFIG, f"--workdir={workdir}", f"--config.data.directory={dataset}", *SMALL, *changes)


def losses(workdir):
    with open(workdir / "train.csv", newline="") as file:
        return [(row["step"], row["loss"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    for split, offset in (("train", 0), ("val", 10)):
        images = [synthetic_image(i + offset, POSETRACK15, num_people=i % 3) for i in range(5)]
        for image in images:
            image["sequence"] = "000001_mpii_test"
        write_dataset(directory, POSETRACK15, images, split)
    return directory


@pytest.fixture(scope="module")
def finished_run(dataset, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "first"
    result = train(dataset, workdir)
    assert result.returncode == 0, result.stderr[-3000:]
    return workdir


def test_training_leaves_checkpoints_tables_and_weights(finished_run):
    assert [step for step, _ in losses(finished_run)] == [str(step) for step in range(1, 7)]
    names = {path.name for path in finished_run.iterdir()}
    assert {"model.weights.h5", "best.weights.h5", "eval.csv", "keypoint_system.json"} <= names


def test_training_that_is_killed_continues_with_the_same_losses(dataset, finished_run, tmp_path):
    workdir = tmp_path / "killed"
    flags = (CONFIG, f"--workdir={workdir}", f"--config.data.directory={dataset}", *SMALL)
    command = [sys.executable, "train_main.py", *flags]
    process = subprocess.Popen(command, cwd=PROJECT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 240
    while not list(workdir.glob("checkpoints/step_*.npz")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    result = train(dataset, workdir)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "continuing after step" in result.stdout + result.stderr
    assert losses(workdir) == losses(finished_run)


def test_evaluation_writes_predictions_pictures_and_metrics(dataset, finished_run, tmp_path):
    result = run("eval_main.py", f"--workdir={finished_run}", f"--output_dir={tmp_path}", "--num_pictures=2")
    assert result.returncode == 0, result.stderr[-3000:]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["coco"]) >= {"AP", "AP50", "AP75", "AR"}
    assert metrics["provenance"]["boxes"] == "ground truth"
    assert metrics["provenance"]["frames"] == 5
    assert (tmp_path / "predictions" / "000001_mpii_test.json").is_file()
    assert len(list((tmp_path / "pictures").iterdir())) == 2


def test_export_writes_a_saved_model(finished_run, tmp_path):
    result = run("-m", "tfpose.export", f"--workdir={finished_run}", f"--output={tmp_path / 'model'}")
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tmp_path / "model" / "saved_model.pb").is_file()


def test_weights_move_to_another_skeleton_by_joint_name(finished_run, tmp_path):
    images = [synthetic_image(i, COCO17, num_people=1) for i in range(4)]
    write_dataset(tmp_path / "coco", COCO17, images, "train")
    write_dataset(tmp_path / "coco", COCO17, images, "val")
    changes = ("--config.initialize.from_scratch=False", f"--config.initialize.source_workdir={finished_run}")
    result = train(tmp_path / "coco", tmp_path / "run", *changes, "--config.run.total_steps=1")
    assert result.returncode == 0, result.stderr[-3000:]


def test_preview_draws_people(dataset, tmp_path):
    result = run("-m", "data_prep.preview", f"--data={dataset}", f"--output={tmp_path}", "--num=3", CONFIG)
    assert result.returncode == 0, result.stderr[-3000:]
    assert len(list(tmp_path.glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            ("--config.data.directory=/nonexistent",),
            ["/nonexistent", "must be the folder of a dataset that tfpose build wrote"],
        ),
        (("--config.data.train_split=trian",), ["no TFRecord files of split 'trian'", "'train'"]),
        (("--config.skeleton=coco18",), ["skeleton must be", "coco18"]),
        (("--config.initialize.from_scratch=False",), ["initialize must set exactly one of"]),
        (("--config.network.depth=99",), ["depth must be one of", "99"]),
        (("--config.optimization.precision=float8",), ["precision must be one of", "float8"]),
        (("--config.batch_sise=8",), ["the config has no value 'batch_sise'. Did you mean"]),
        (("--config.network.widht=8",), ["the config has no value 'widht'."]),
        (("--config.batch_size=many",), ["batch_size", "many"]),
        (("--config.augmentation.mirror_probability=2.0",), ["mirror_probability must lie in [0, 1], got 2.0"]),
    ],
)
def test_wrong_setting_ends_training_with_one_line(dataset, tmp_path, changes, words):
    assert_one_line(train(dataset, tmp_path / "run", *changes), *words)


def test_names_of_public_checkpoints_in_a_config_are_looked_for_in_the_cache_of_the_flag(dataset, tmp_path):
    (tmp_path / "file").write_text("")
    cache = tmp_path / "file" / "cache"
    changes = ("--config.initialize.from_scratch=False", "--config.initialize.source_workdir=mmpose_r50_256x192")
    result = train(dataset, tmp_path / "run", *changes, f"--cache={cache}")
    assert_one_line(result, f"{cache}: the cache must be a folder that can be written")


def test_unknown_flag_is_named(tmp_path):
    result = run("train_main.py", CONFIG, f"--workdir={tmp_path}", "--wrokdir=x")
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr
    assert "wrokdir" in result.stderr


def test_missing_config_file_is_named(tmp_path):
    result = run("train_main.py", "--config=configs/none.py", f"--workdir={tmp_path}")
    assert_one_line(result, "--config=configs/none.py: there is no such file")


def test_checkpoint_of_another_architecture_is_named(dataset, finished_run):
    changes = ("--config.network.base_width=16", "--config.run.total_steps=7")
    assert_one_line(train(dataset, finished_run, *changes), "--config.network.base_width must be 8", "got 16")


def test_unreadable_checkpoints_are_named(dataset, finished_run, tmp_path):
    checkpoints = tmp_path / "run" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "step_00000002.npz").write_bytes(b"half a checkpoint")
    assert_one_line(train(dataset, tmp_path / "run"), "none of the 1 checkpoints can be read")


def test_evaluation_without_a_run_is_one_line(dataset, tmp_path):
    arguments = (f"--workdir={tmp_path}", f"--output_dir={tmp_path}", f"--config.data.directory={dataset}")
    assert_one_line(run("eval_main.py", CONFIG, *arguments), "expected the work folder of a training run")


@pytest.mark.parametrize("program", ["eval_main", "tfpose.tune"])
def test_an_output_that_cannot_be_written_is_named_before_the_evaluation(tmp_path, program):
    (tmp_path / "file").write_text("")
    words = ["--tune=max_age_frames=1"] if "tune" in program else []
    result = run("-m", program, f"--workdir={tmp_path}", f"--output_dir={tmp_path}/file", *words)
    assert_one_line(result, f"--output_dir={tmp_path}/file: must be a folder, got a file")


def test_evaluation_with_a_broken_box_file_is_one_line(dataset, finished_run, tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text('[{"image_id": 1,')
    result = run("eval_main.py", f"--workdir={finished_run}", f"--output_dir={tmp_path}", f"--boxes={boxes}")
    assert_one_line(result, "boxes.json", "broken JSON")


def test_evaluation_by_the_config_of_another_network_is_refused(dataset, finished_run, tmp_path):
    arguments = (f"--workdir={finished_run}", f"--output_dir={tmp_path}", f"--config.data.directory={dataset}")
    assert_one_line(run("eval_main.py", CONFIG, *arguments), "--config.network.base_width must be 8", "got 16")


def test_help_needs_no_tensorflow_and_says_what_flags_do():
    for program in ("train_main.py", "eval_main.py"):
        result = run(program, "--helpshort", separate_process=True)
        assert "--workdir" in result.stdout
        assert "TensorFlow" not in result.stderr


# What TensorFlow, its libraries and OpenCV write by themselves.
FOREIGN = re.compile(
    r"^[IWEF]\d{4} |\[[IWE]:|^\d{4}-\d\d-\d\d |oneDNN|cuInit|[cC]uda|TensorRT|InitializeLog|\.cc:\d|AVX"
)


def test_every_program_writes_its_own_lines_only(dataset, tmp_path):
    """Each in a process of its own, with the environment of a user, from the start to the end."""
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    workdir, model, broken = tmp_path / "run", tmp_path / "model", tmp_path / "broken.pth"
    broken.write_bytes(b"no checkpoint")
    data = f"--config.data.directory={dataset}"
    (tmp_path / "photo.jpg").write_bytes(synthetic_image(1, POSETRACK15)["image"])
    short = "--config.run.total_steps=2"
    commands = (
        ("train", CONFIG, f"--workdir={workdir}", data, *SMALL, short),
        ("evaluate", CONFIG, f"--workdir={workdir}", data, *SMALL, short, f"--output_dir={tmp_path / 'results'}"),
        ("export", f"--workdir={workdir}", f"--output={model}"),
        # A model that needs boxes.
        ("predict", str(tmp_path / "photo.jpg"), f"--model={model}", f"--output={tmp_path / 'poses'}"),
        ("preview", f"--data={dataset}", f"--output={tmp_path / 'pictures'}", "--num=1"),
        ("build", "synthetic", f"--output={tmp_path / 'built'}", "--num_train_videos=1", "--num_val_videos=1"),
        ("pretrained", str(broken), f"--output={tmp_path / 'r50.weights.h5'}"),
        ("score", f"--ground_truth={tmp_path}", f"--predictions={tmp_path}", f"--output_dir={tmp_path}"),
    )
    for words in commands:
        found = subprocess.run(
            [sys.executable, "-m", "tfpose", *words], cwd=PROJECT, env=environment, capture_output=True, check=False
        )
        lines = re.split(r"[\r\n]+", found.stderr.decode())
        assert [line for line in lines if FOREIGN.search(line) or len(line) > 500] == [], words
        must_fail = words[0] in ("predict", "pretrained", "score")
        assert (found.returncode == 1) is must_fail, (words, lines[-5:])
        assert [line[:6] for line in lines if line] == ["error:"] or not must_fail, lines
