"""eval_main.py on files of poses, as a user runs it: scoring, tracking, tuning, and what is wrong in one line."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from program_runs import assert_one_line, run

from tfpose.evaluation.tracker_search import shown_on_interruption, write_tuning
from tfpose.json_files import write_json
from tfpose.metrics.joints import JOINTS, JOINTS21
from tfpose.metrics.posetrack import evaluate_posetrack
from tfpose.posetrack import NO_TRACK_ID, build_frame, read_posetrack, write_posetrack18
from tfpose.tracking.tuning import Trial

AP_KEYS = {"ap", "precision", "recall"}
MOT_KEYS = {"mota", "motp", "motp_matched", "mot_precision", "mot_recall"}


def read_metrics(directory):
    return json.loads((directory / "metrics.json").read_text())


def assert_percent(found, expected):
    """Equal to 1e-9; null in the same places."""
    as_numbers = [np.array([np.nan if value is None else value for value in row], float) for row in (found, expected)]
    np.testing.assert_allclose(*as_numbers, rtol=0, atol=1e-9)


@pytest.fixture
def without_ids(folders, tmp_path):
    """The predictions, 2018 format, as a network leaves them: without identities."""
    for path in folders["pred18"].iterdir():
        content = json.loads(path.read_text())
        for person in content["annotations"]:
            del person["track_id"]
        write_json(tmp_path / "without_ids" / path.name, content)
    return tmp_path / "without_ids"


def score(run_evaluation, true, predicted, output, *flags):
    return run_evaluation(f"--ground_truth={true}", f"--predictions={predicted}", f"--output_dir={output}", *flags)


def notes_of(result):
    assert result.returncode == 0, result.stderr
    return [line.removeprefix("note: ") for line in result.stderr.splitlines() if line.startswith("note: ")]


def rewrite(source, target, change):
    """Writes the 2018 files of a folder with other content."""
    for path in source.iterdir():
        content = json.loads(path.read_text())
        change(content)
        write_json(target / path.name, content)
    return target


def rename_images(old, new):
    def change(content):
        for image in content["images"]:
            image["file_name"] = image["file_name"].replace(old, new)

    return change


def test_people_without_identities_have_an_ap(run_evaluation, folders, without_ids, tmp_path):
    assert notes_of(score(run_evaluation, folders["gt18"], without_ids, tmp_path / "a", "--metrics=ap")) == []
    assert notes_of(score(run_evaluation, folders["gt18"], folders["pred18"], tmp_path / "b", "--metrics=ap")) == []
    assert read_metrics(tmp_path / "a")["posetrack"] == read_metrics(tmp_path / "b")["posetrack"]
    result = score(run_evaluation, folders["gt18"], without_ids, tmp_path / "c")
    assert_one_line(result, "'track_id' must be a whole number, got nothing; tfpose track", "--metrics=ap needs none")


def test_names_of_own_videos_are_scored_and_the_official_rule_is_a_note(run_evaluation, folders, tmp_path):
    change, metrics = rename_images("_mpii_test/", "_kitchen/cam2_"), "--metrics=ap,mot,hota"
    own = [rewrite(folders[side], tmp_path / side, change) for side in ("gt18", "pred18")]
    notes = notes_of(score(run_evaluation, *own, tmp_path / "a", metrics))
    assert len(notes) == 4 and all("poseval would refuse the file: the names of its images" in note for note in notes)
    assert notes_of(score(run_evaluation, folders["gt18"], folders["pred18"], tmp_path / "b", metrics)) == []
    for section in ("posetrack", "posetrack21"):
        assert read_metrics(tmp_path / "a")[section] == read_metrics(tmp_path / "b")[section]


def test_what_is_paired_with_what_is_said_where_images_differ(run_evaluation, folders, tmp_path):
    """Official metrics pair frames by position, whatever images they are of."""
    reordered = rewrite(folders["pred18"], tmp_path / "reordered", lambda content: content["images"].reverse())
    notes = notes_of(score(run_evaluation, folders["gt18"], reordered, tmp_path / "a"))
    assert len(notes) == 2
    assert "frames are paired by position as poseval does" in notes[0]
    assert "the same images are in another order" in notes[0] and "000001_mpii_test/" in notes[0]
    other = rewrite(folders["pred18"], tmp_path / "other", rename_images("_mpii_test/", "_bonn/"))
    (other / "000009_mpii_test.json").write_text("{}")
    notes = notes_of(score(run_evaluation, folders["gt18"], other, tmp_path / "b"))
    assert "1 of 3 files are left out: the ground truth has no file of the same name" in notes[0]
    assert len(notes) == 3 and "_bonn/" in notes[1] and "another order" not in notes[1]
    # A search pairs them likewise.
    flags = (f"--ground_truth={folders['gt18']}", f"--predictions={other}", f"--output_dir={tmp_path / 'c'}")
    tuned = run_evaluation("--tune=max_age_frames=5,6", "--num_processes=1", *flags)
    assert notes_of(tuned) == [*notes, "2 settings have the best MOTA; the first of them is taken"]


def join_videos(source, target):
    """Writes the two videos of a folder into one file."""
    contents = [json.loads(path.read_text()) for path in sorted(source.iterdir())]
    for number, content in enumerate(contents):
        for entry in (*content["images"], *content["annotations"]):
            for field in {"id", "image_id"} & set(entry):
                entry[field] = 2 * entry[field] + number
    joined = contents[0] | {name: contents[0][name] + contents[1][name] for name in ("images", "annotations")}
    write_json(target / "000001_mpii_test.json", joined)
    return joined


def test_videos_in_one_file_are_counted_and_tracked_alone(run_evaluation, folders, tmp_path):
    """Poseval evaluates the first video of a file only."""
    joined = [join_videos(folders[side], tmp_path / side) for side in ("gt18", "pred18")]
    notes = notes_of(score(run_evaluation, tmp_path / "gt18", tmp_path / "pred18", tmp_path / "scores"))
    assert len(notes) == 2 and all("frames are left out: poseval evaluates only the first of the 2" in n for n in notes)
    result = run_evaluation("--track", f"--predictions={tmp_path / 'pred18'}", f"--output_dir={tmp_path / 'tracked'}")
    assert len(notes_of(result)) == 1 and "holds 2 videos, each is tracked alone" in result.stderr
    tracked = json.loads((tmp_path / "tracked" / "predictions" / "000001_mpii_test.json").read_text())
    assert [image["id"] for image in tracked["images"]] == [image["id"] for image in joined[1]["images"]]
    ids = [{p["track_id"] for p in tracked["annotations"] if p["image_id"] % 2 == video} for video in (0, 1)]
    assert all(ids) and not set.intersection(*ids)


def test_a_search_uses_the_frames_that_scoring_uses(run_evaluation, folders, tmp_path):
    """The first video of a file, alone and in front of another one."""
    found = {}
    for name in ("joined", "alone"):
        for side in ("gt18", "pred18"):
            join_videos(folders[side], tmp_path / name / side)
        if name == "alone":
            for side in ("gt18", "pred18"):
                (path,) = (tmp_path / name / side).iterdir()
                content = json.loads(path.read_text())
                for field, key in (("images", "id"), ("annotations", "image_id")):
                    content[field] = [entry for entry in content[field] if entry[key] % 2 == 0]
                write_json(path, content)
        flags = (f"--ground_truth={tmp_path / name / 'gt18'}", f"--predictions={tmp_path / name / 'pred18'}")
        output = tmp_path / name / "tuned"
        result = run_evaluation("--tune=max_age_frames=5", "--num_processes=1", *flags, f"--output_dir={output}")
        assert result.returncode == 0, result.stderr
        found[name] = json.loads((output / "tuning.json").read_text())["best"]["scores"]
        told = [note for note in notes_of(result) if "only the first of the videos" in note]
        assert len(told) == (2 if name == "joined" else 0)
    assert found["joined"] == found["alone"]


def test_tracking_follows_the_frames_whatever_their_order_in_the_file(run_evaluation, folders, tmp_path):
    def shuffle(content):
        content["images"].sort(key=lambda image: image["id"] * 7 % 5)

    found = []
    for name, source in (("a", folders["pred18"]), ("b", rewrite(folders["pred18"], tmp_path / "pred", shuffle))):
        result = run_evaluation("--track", f"--predictions={source}", f"--output_dir={tmp_path / name}")
        assert ("the order of tracking" in result.stderr) == (name == "b")
        content = json.loads((tmp_path / name / "predictions" / "000001_mpii_test.json").read_text())
        found.append({(p["image_id"], *p["keypoints"]): p["track_id"] for p in content["annotations"]})
    assert found[0] == found[1] and len(found[0]) > 5


def test_coordinates_from_0_to_1_are_told(run_evaluation, folders, tmp_path):
    def scale(content):
        for person in content["annotations"]:
            person["keypoints"] = [value / 1e4 for value in person["keypoints"]]

    source = rewrite(folders["pred18"], tmp_path / "pred", scale)
    notes = notes_of(score(run_evaluation, folders["gt18"], source, tmp_path / "scores"))
    assert notes and all("all points must be in pixels, got coordinates from " in note for note in notes)


def test_tracking_counts_the_annotations_of_unlisted_images(run_evaluation, folders, tmp_path):
    def remove_image(content):
        del content["images"][-1]

    source = rewrite(folders["pred18"], tmp_path / "pred", remove_image)
    notes = notes_of(run_evaluation("--track", f"--predictions={source}", f"--output_dir={tmp_path / 'out'}"))
    assert notes and all(" left out: image_id is in no image" in note for note in notes)


def test_folders_of_results_and_files_in_place_of_folders(run_evaluation, folders, tmp_path):
    flags = (f"--predictions={folders['pred18']}", f"--output_dir={tmp_path / 'tracked'}")
    assert run_evaluation("--track", *flags, f"--ground_truth={folders['gt18']}").returncode == 0
    compare = f"--compare={tmp_path / 'tracked'}"
    result = score(run_evaluation, folders["gt18"], folders["pred18"], tmp_path / "scores", compare)
    assert notes_of(result) == [] and "comparison" in read_metrics(tmp_path / "scores")
    file = folders["pred18"] / "000001_mpii_test.json"
    result = score(run_evaluation, folders["gt18"], file, tmp_path / "file")
    assert_one_line(result, "000001_mpii_test.json: the predictions must be a folder of PoseTrack files, got a file")


@pytest.mark.parametrize(
    ("program", "flag", "words"),
    [
        ("score", "--images={tmp}/nope", "--images must be a folder, got {tmp}/nope"),
        ("track", "--images={tmp}/nope", "--images must be a folder, got {tmp}/nope"),
        ("score", "--compare={tmp}/nope", "{tmp}/nope: the folder of the predictions does not exist"),
        ("score", "--output_dir={tmp}/file", "--output_dir={tmp}/file: must be a folder, got a file"),
        ("track", "--output_dir={tmp}/file", "--output_dir={tmp}/file: must be a folder, got a file"),
    ],
)
def test_wrong_folders_are_told_before_the_work(folders, tmp_path, capsys, monkeypatch, program, flag, words):
    (tmp_path / "file").touch()
    for work in ("scoring.evaluate_posetrack", "retracking.track_all"):
        monkeypatch.setattr(f"tfpose.evaluation.{work}", None)
    flags = [f"--ground_truth={folders['gt18']}", f"--predictions={folders['pred18']}", "--report"]
    main = importlib.import_module(f"tfpose.{program}").main
    assert main([*flags, f"--output_dir={tmp_path / 'out'}", flag.format(tmp=tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {words.format(tmp=tmp_path)}\n"


@pytest.mark.parametrize("case", ["pt17_edges", "pt18_hota"])
def test_figures_of_the_command_are_the_official_ones(run_evaluation, poseval_dir, tmp_path, case):
    folder = poseval_dir / case
    expected = json.loads((folder / "expected.json").read_text())
    flags = (f"--ground_truth={folder / 'gt'}", f"--predictions={folder / 'pred'}", f"--output_dir={tmp_path}")
    result = run_evaluation(*flags, "--table=latex")
    assert result.returncode == 0, result.stderr
    found = read_metrics(tmp_path)["posetrack"]
    assert_percent(found["ap"], expected["ap_tie_variants"]["stable"])
    for ours, official in {"precision": "pre", "recall": "rec"}.items():
        assert_percent(found[ours], expected["ap"][official])
    for ours, official in {"mota": "mota", "motp": "motp", "mot_precision": "pre", "mot_recall": "rec"}.items():
        assert_percent(found[ours], expected["mot"][official])
    assert expected["mot_table"]["header"] + expected["mot_table"]["row"] in result.stdout


def test_metrics_json_is_as_agreed(run_evaluation, folders, tmp_path):
    flags = (f"--ground_truth={folders['gt18']}", f"--predictions={folders['pred18']}", f"--output_dir={tmp_path}")
    assert run_evaluation(*flags).returncode == 0
    metrics = read_metrics(tmp_path)
    assert set(metrics) == {"posetrack", "provenance"}
    assert set(metrics["posetrack"]) == {"joints"} | AP_KEYS | MOT_KEYS
    assert metrics["posetrack"]["joints"] == [*JOINTS, "total"]
    assert all(len(values) == 16 for values in metrics["posetrack"].values())
    provenance = metrics["provenance"]
    assert {"boxes", "labels", "sequences", "frames", "thresholds", "version"} <= set(provenance)
    assert (provenance["labels"], provenance["sequences"]) == (str(folders["gt18"]), 2)


def test_only_what_is_asked_for_is_in_metrics_json(run_evaluation, folders, tmp_path):
    flags = (f"--ground_truth={folders['gt18']}", f"--predictions={folders['pred18']}")
    assert run_evaluation(*flags, f"--output_dir={tmp_path / 'ap'}", "--metrics=ap").returncode == 0
    assert set(read_metrics(tmp_path / "ap")["posetrack"]) == {"joints"} | AP_KEYS
    more = ("--metrics=mot,hota", "--per_sequence", "--clean_figures")
    result = run_evaluation(*flags, f"--output_dir={tmp_path / 'more'}", *more)
    assert result.returncode == 0, result.stderr
    metrics = read_metrics(tmp_path / "more")
    assert set(metrics["posetrack"]) == {"joints"} | MOT_KEYS | {
        f"clean_{key}" for key in ("mota", "motp", "motp_matched", "mot_precision", "mot_recall")
    }
    assert metrics["posetrack21"]["joints"] == [*JOINTS21, "total"]
    assert {"hota", "map"} <= set(metrics["posetrack21"])
    assert list(metrics["sequences"]) == ["000001_mpii_test", "000002_mpii_test"]


def test_both_formats_give_the_same_figures(run_evaluation, folders, tmp_path):
    for year in ("17", "18"):
        flags = (f"--ground_truth={folders['gt' + year]}", f"--predictions={folders['pred' + year]}")
        assert run_evaluation(*flags, f"--output_dir={tmp_path / year}").returncode == 0
    assert read_metrics(tmp_path / "17")["posetrack"] == read_metrics(tmp_path / "18")["posetrack"]


def test_several_tables_are_printed_at_once(run_evaluation, folders, tmp_path):
    flags = (f"--ground_truth={folders['gt18']}", f"--predictions={folders['pred18']}", f"--output_dir={tmp_path}")
    printed = run_evaluation(*flags, "--table=text,latex,markdown,csv", "--per_sequence").stdout
    for words in ("\\begin{tabular}", "| --- |", "AP (%),Head,", "& Head & Shou & Elb  & Wri  &", "000002_mpii_test  "):
        assert words in printed


def test_comparison_and_report_are_written(run_evaluation, folders, tmp_path):
    worse = tmp_path / "worse"
    for path in folders["pred18"].iterdir():
        sequence = read_posetrack(path)
        frames = tuple(
            build_frame(f.file_name, f.index, np.zeros((0, 15, 2)), np.zeros((0, 15)), image_id=f.image_id)
            if sequence.name.startswith("000002")
            else f
            for f in sequence.frames
        )
        write_posetrack18(worse / path.name, dataclasses.replace(sequence, frames=frames))
    flags = (f"--ground_truth={folders['gt18']}", f"--predictions={folders['pred18']}", f"--output_dir={tmp_path}")
    result = run_evaluation(*flags, f"--compare={worse}", "--report")
    assert result.returncode == 0, result.stderr
    total = {folder: evaluate_posetrack(folders["gt18"], folder).total for folder in (folders["pred18"], worse)}
    gain = total[worse].tracking.mota[-1] - total[folders["pred18"]].tracking.mota[-1]
    assert read_metrics(tmp_path)["comparison"]["predictions"] == str(worse)
    _, _, table = result.stdout.partition("MOTA, second minus first")
    rows = [line.split() for line in table.splitlines()]
    assert rows[4][0] == "total" and rows[4][-1] == f"{gain:.1f}"
    # The sequence that did not change is above the one that lost everybody.
    assert [rows[2][0], rows[3][0]] == ["000001_mpii_test", "000002_mpii_test"]
    assert "worst 000002_mpii_test" in table
    for page in ("report.html", "comparison.html"):
        assert "</html>" in (tmp_path / page).read_text()


@pytest.mark.parametrize("file_format", ["2017", "2018"])
def test_tracking_then_scoring(run_evaluation, folders, without_ids, tmp_path, file_format):
    flags = (f"--predictions={without_ids}", f"--output_dir={tmp_path / 'out'}", f"--format={file_format}")
    changes = ("--tracker.settings=online", "--tracker.max_age_frames=3")
    result = run_evaluation("--track", *flags, f"--ground_truth={folders['gt18']}", *changes)
    assert result.returncode == 0, result.stderr
    metrics = read_metrics(tmp_path / "out")
    assert (
        metrics["posetrack"]
        == evaluate_posetrack(folders["gt18"], tmp_path / "out" / "predictions").to_dict()["posetrack"]
    )
    assert metrics["provenance"]["tracker"]["max_age_frames"] == 3
    assert metrics["provenance"]["tracker"]["motion"] == "velocity"
    for path in (tmp_path / "out" / "predictions").iterdir():
        is_2017 = "annolist" in json.loads(path.read_text())
        assert is_2017 == (file_format == "2017")
        people = [track_id for frame in read_posetrack(path).frames for track_id in frame.track_ids]
        assert people and NO_TRACK_ID not in people


def test_tracking_keeps_frames_without_people_and_reads_posetrack21(run_evaluation, folders, tmp_path):
    path = sorted(folders["pred18"].iterdir())[0]
    content = json.loads(path.read_text())
    del content["categories"]
    empty = content["images"][1]["id"]
    content["annotations"] = [person for person in content["annotations"] if person["image_id"] != empty]
    write_json(tmp_path / "in" / path.name, content)
    result = run_evaluation("--track", f"--predictions={tmp_path / 'in'}", f"--output_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    tracked = read_posetrack(tmp_path / "predictions" / path.name)
    assert [frame.image_id for frame in tracked.frames] == [image["id"] for image in content["images"]]
    assert tracked.frames[1].num_people == 0 and tracked.frames[0].num_people > 0


def test_tuning_finds_the_best_and_its_flags_give_the_same_score(run_evaluation, folders, without_ids, tmp_path):
    flags = (f"--predictions={without_ids}", f"--ground_truth={folders['gt18']}")
    grid = ("--tune=max_joint_distance_pixels=0.001,60", "--tune=min_joint_score=0.1,0.9")
    result = run_evaluation(*grid, *flags, f"--output_dir={tmp_path}", "--tracker.settings=online")
    assert result.returncode == 0, result.stderr
    content = json.loads((tmp_path / "tuning.json").read_text())
    scores = [trial["scores"]["MOTA"] for trial in content["trials"]]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True) and scores[0] > scores[-1]
    assert content["best"]["settings"] == content["trials"][0]["settings"]
    # Nobody can be followed within a thousandth of a pixel, whatever the scores.
    followed = {tuple(trial["settings"].values()): trial["scores"]["AssA"] for trial in content["trials"]}
    assert all(followed[60.0, score] > followed[0.001, score] for score in (0.1, 0.9))
    pasted = content["best"]["flags"]
    assert f"best MOTA: {pasted}" in result.stdout
    again = run_evaluation("--track", *flags, f"--output_dir={tmp_path / 'again'}", *pasted.split())
    assert again.returncode == 0, again.stderr
    assert read_metrics(tmp_path / "again")["posetrack"]["mota"][-1] == pytest.approx(scores[0], abs=1e-9)


def test_an_interrupted_search_shows_what_it_has_tried(capsys):
    trials = [Trial({"max_age_frames": age}, {"MOTA": 50.0 + age}) for age in (5, 6)]
    for done in (trials, []):
        with pytest.raises(KeyboardInterrupt), shown_on_interruption(done):
            raise KeyboardInterrupt
    assert capsys.readouterr().out == "max_age_frames   MOTA\n             5  55.00\n             6  56.00\n"


def test_a_search_without_a_known_objective_is_refused(tmp_path):
    trials = [Trial({"max_age_frames": age}, {"MOTA": np.nan}) for age in (1, 2)]
    with pytest.raises(ValueError, match="--tune_objective: MOTA must be known for some setting, got none"):
        write_tuning(tmp_path, trials, {"objective": "MOTA"})
    assert not list(tmp_path.iterdir())


def test_tuning_for_ap_sorts_by_ap(run_evaluation, folders, without_ids, tmp_path):
    flags = (f"--predictions={without_ids}", f"--ground_truth={folders['gt18']}", f"--output_dir={tmp_path}")
    result = run_evaluation("--tune=min_joint_score=0.9,0.1,0.5", *flags, "--tune_objective=ap", "--num_processes=1")
    assert result.returncode == 0, result.stderr
    content = json.loads((tmp_path / "tuning.json").read_text())
    assert content["objective"] == "AP"
    assert [trial["settings"]["min_joint_score"] for trial in content["trials"]] == [0.1, 0.5, 0.9]


MODES = {
    "score": ("--ground_truth={gt18}", "--predictions={pred18}", "--metrics=ap,mot,hota"),
    "track": ("--track", "--predictions={pred18}", "--tracker.settings=offline"),
    "tune": ("--tune=max_age_frames=5", "--num_processes=1", "--ground_truth={gt18}", "--predictions={pred18}"),
}


@pytest.mark.parametrize("mode", list(MODES))
def test_eval_main_hands_over_to_the_program_of_the_mode(run_evaluation, folders, tmp_path, mode):
    flags = [flag.format(**folders) for flag in MODES[mode]]
    handed = run_evaluation(*flags, f"--output_dir={tmp_path}")
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    own = run("-m", f"tfpose.{mode}", *(flag for flag in flags if flag != "--track"), f"--output_dir={tmp_path}")
    assert (own.returncode, own.stdout) == (handed.returncode, handed.stdout) and own.returncode == 0
    assert first and {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == first


def test_eval_main_hands_over_from_a_file_of_flags(run_evaluation, folders, tmp_path):
    flags = [flag.format(**folders) for flag in MODES["track"]]
    (tmp_path / "flags").write_text("\n".join(flags))
    result = run_evaluation(f"--flagfile={tmp_path / 'flags'}", f"--output_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert list((tmp_path / "predictions").iterdir())


@pytest.mark.parametrize(
    ("program", "flags", "words"),
    [
        ("track", ("--tuned=t.json", "--tracker.min_oks=0.1"), "--tracker.min_oks cannot be combined with --tuned"),
        ("track", ("--metrics=ap",), "--metrics requires --ground_truth, got none"),
        ("track", ("--ground_truth={gt18}", "--images=x"), "--images requires --report, got none"),
        ("score", ("--ground_truth={gt18}", "--video_rate=5"), "--video_rate requires --report, got none"),
        ("tune", ("--ground_truth={gt18}",), "--tune must be given, got nothing"),
        ("tune", ("--tune=min_oks=0.1",), "--ground_truth must be given without --workdir, got nothing"),
        ("tune", ("--tune=min_oks=0.1", "--split=val"), "--split requires --workdir, got none"),
        ("tune", ("--tune=min_oks=0.1", "--workdir=x"), "--predictions cannot be combined with --workdir"),
        (
            "tune",
            ("--tune=min_oks=0.1", "--workdir=x", "--config=two_stage_resnet50_coco"),
            "--predictions cannot be combined with --workdir",
        ),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(folders, tmp_path, program, flags, words):
    given = [flag.format(**folders) for flag in ("--predictions={pred18}", *flags)]
    assert_one_line(run("-m", f"tfpose.{program}", *given, f"--output_dir={tmp_path / 'out'}"), words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--metrics=ap,hota"], "--metrics=hota cannot be combined with --notracking: it requires identities"),
        (["--tracker.min_joints=3"], "--tracker.min_joints cannot be combined with --notracking"),
    ],
)
def test_what_requires_identities_is_refused_without_tracking(run_evaluation, tmp_path, flags, words):
    assert_one_line(run_evaluation("--workdir=x", f"--output_dir={tmp_path}", "--notracking", *flags), words)


@pytest.mark.parametrize("mode", list(MODES))
def test_files_need_no_tensorflow(project_dir, folders, tmp_path, mode):
    program = (
        "import runpy, sys\n"
        "try:\n    runpy.run_path('eval_main.py', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'tensorflow', 'keras', 'cv2', 'matplotlib'}))"
    )
    flags = [flag.format(**folders) for flag in (*MODES[mode], f"--output_dir={tmp_path}")]
    command = [sys.executable, "-c", program, *flags]
    environment = {**os.environ, "PYTHONPATH": str(project_dir)}
    done = subprocess.run(command, cwd=project_dir, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), ["nothing to do", "--ground_truth", "--track"]),
        (("--ground_truth={gt18}", "--output_dir={out}"), ["--predictions must be given, got nothing"]),
        (("--ground_truth={gt18}", "--predictions={pred18}"), ["--output_dir must be given"]),
        (("--workdir={gt18}", "--output_dir={out}"), ["config.json: not found", "--config"]),
        (
            ("--ground_truth={gt18}/none", "--predictions={pred18}", "--output_dir={out}"),
            ["gt18/none", "does not exist"],
        ),
        (("--track", "--predictions={gt18}/none", "--output_dir={out}"), ["gt18/none", "does not exist"]),
        (("--track", "--predictions={out}", "--output_dir={out}"), ["must hold predictions", "got none"]),
        (
            ("--ground_truth={gt18}", "--predictions={out}", "--output_dir={out}"),
            ["000001_mpii_test.json", "not found"],
        ),
        ((*MODES["score"][:2], "--output_dir={out}", "--metrics=mota"), ["--metrics must be some of", "mota"]),
        ((*MODES["score"][:2], "--output_dir={out}", "--table=html"), ["--table must be some of", "html"]),
        ((*MODES["score"][:2], "--output_dir={out}", "--boxes=x"), ["tfpose score has no flag --boxes"]),
        (
            (*MODES["score"][:2], "--output_dir={out}", "--tracker.motion=none"),
            ["tfpose score has no flag --tracker.motion"],
        ),
        (
            (*MODES["score"][:2], "--output_dir={out}", "--num_processes=0"),
            ["--num_processes must be a positive integer, got '0'"],
        ),
        ((*MODES["track"][:2], "--output_dir={out}", "--report"), ["--report requires --ground_truth"]),
        (
            (*MODES["track"][:2], "--output_dir={out}", "--tracker.max_age=5"),
            ["tfpose track has no flag --tracker.max_age; did you mean --tracker.max_age_frames?"],
        ),
        ((*MODES["track"][:2], "--output_dir={out}", "--tracker.max_age_frames=0"), ["at least 1, got 0"]),
        (
            (*MODES["track"][:2], "--output_dir={out}", "--tracker.max_age_frames=x"),
            ["--tracker.max_age_frames must be an integer, got 'x'"],
        ),
        (
            (*MODES["track"][:2], "--output_dir={out}", "--tracker.settings=best"),
            ["--tracker.settings must be one of payer2017, ", "got 'best'"],
        ),
        ((*MODES["score"][:2], "--output_dir={out}", "--tune=max_age_frames=x"), ["a whole number, got 'x'"]),
        ((*MODES["score"][:2], "--output_dir={out}", "--tune=max_jump=-1"), ["max_jump must be positive, got -1"]),
        (
            (*MODES["score"][:2], "--output_dir={out}", "--tune=age=1"),
            ["--tune must be NAME=VALUE", "NAME among", "got 'age=1'"],
        ),
    ],
)
def test_what_is_wrong_is_one_line(run_evaluation, folders, tmp_path, flags, words):
    places = {**folders, "out": tmp_path / "out"}
    places["out"].mkdir()
    assert_one_line(run_evaluation(*(flag.format(**places) for flag in flags)), *words)
    assert list(places["out"].iterdir()) == []


@pytest.mark.parametrize("mode", list(MODES))
def test_a_cut_file_is_named_and_leaves_no_figures(run_evaluation, folders, tmp_path, mode):
    predictions = tmp_path / "predictions"
    shutil.copytree(folders["pred18"], predictions)
    path = predictions / "000002_mpii_test.json"
    path.write_text(path.read_text()[:500])
    flags = (flag.format(**{**folders, "pred18": predictions}) for flag in MODES[mode])
    result = run_evaluation(*flags, f"--output_dir={tmp_path / 'out'}")
    assert_one_line(result, "000002_mpii_test.json: broken JSON at line 1")
    assert not list((tmp_path / "out").glob("*.json"))


def test_results_of_an_earlier_run_are_told(run_evaluation, folders, tmp_path):
    assert not notes_of(score(run_evaluation, folders["gt18"], folders["pred18"], tmp_path, "--report"))
    (note,) = notes_of(score(run_evaluation, folders["gt18"], folders["pred18"], tmp_path))
    assert note == f"{tmp_path / 'report.html'} shows an earlier run; --report writes it anew"
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "old.json").write_text("{}")
    result = run_evaluation("--track", f"--predictions={folders['pred18']}", f"--output_dir={tmp_path}")
    assert notes_of(result) == [f"{tmp_path / 'predictions'}: holds 1 file of an earlier run, such as old.json"]


def test_results_never_replace_the_predictions(run_evaluation, folders, tmp_path):
    shutil.copytree(folders["pred18"], tmp_path / "predictions")
    before = {path.name: path.read_bytes() for path in (tmp_path / "predictions").iterdir()}
    result = run_evaluation("--track", f"--predictions={tmp_path / 'predictions'}", f"--output_dir={tmp_path}")
    assert_one_line(result, "would replace the predictions")
    assert {path.name: path.read_bytes() for path in (tmp_path / "predictions").iterdir()} == before


def test_interruption_is_one_line_and_leaves_only_whole_files(project_dir, folders, tmp_path):
    sequence = read_posetrack(sorted(folders["pred18"].iterdir())[0])
    longer = tuple(dataclasses.replace(sequence.frames[i % 6], index=i, image_id=i + 1) for i in range(600))
    first = tmp_path / "in" / "000000.json"
    write_posetrack18(first, dataclasses.replace(sequence, frames=longer))
    for number in range(1, 40):
        os.link(first, first.with_stem(f"{number:06d}"))
    flags = ("--track", f"--predictions={tmp_path / 'in'}", f"--output_dir={tmp_path}")
    environment = {**os.environ, "PYTHONPATH": str(project_dir)}
    process = subprocess.Popen(
        [sys.executable, "eval_main.py", *flags],
        cwd=project_dir,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "predictions").glob("*.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    # As a terminal does: every process of the group gets it.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert [line for line in errors.splitlines() if line.startswith("error:")] == ["error: interrupted"]
    written = list((tmp_path / "predictions").iterdir())
    assert 0 < len([path for path in written if path.suffix == ".json"]) < 40
    assert all(read_posetrack(path).frames for path in written if not path.name.startswith("."))


def test_scoring_imports_no_package_that_it_does_not_use(project_dir, folders, tmp_path):
    program = (
        "import sys, tfpose.score\n"
        "assert not tfpose.score.main(sys.argv[1:])\n"
        "unused = {'tensorflow', 'scipy', 'ml_collections', 'yaml', 'fractions', 'tfpose.coco'}\n"
        "print(sorted(unused & set(sys.modules)))"
    )
    flags = [flag.format(**folders) for flag in (*MODES["score"], f"--output_dir={tmp_path}", "--num_processes=1")]
    environment = {**os.environ, "PYTHONPATH": str(project_dir)}
    command = [sys.executable, "-c", program, *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
