"""The official figures, from files: every case of the official tools, and what must not matter."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfpose import processes
from tfpose.metrics import posetrack as module
from tfpose.metrics.average_precision import joint_average_precision
from tfpose.metrics.joints import JOINTS, JOINTS21
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_posetrack, evaluate_sequences
from tfpose.metrics.report import GROUP_NAMES, group_means, official_ap_table, official_tracking_table
from tfpose.posetrack import PoseSequence, build_frame, read_posetrack, write_posetrack17, write_posetrack18

SYNTHETIC = (
    *("pt17_absent_joints", "pt17_absent_joints_empty_frame", "pt17_basic", "pt17_edges", "pt17_handmade"),
    *("pt17_ties", "pt18_basic", "pt18_edges", "pt18_hota", "pt18_perfect"),
    *("errors/extra_prediction_file", "errors/sequence_without_annotation", "errors/single_annotated_frame"),
)
REAL = ("pt18_real_animated", "pt18_real_single")
ERRORS = {
    "duplicate_track_id": r"pred/000100_mpii\.json: frame 2 \(.*\): person 1: 'track_id' .* got 0 twice$",
    "frame_count_mismatch": r"pred/000100_mpii\.json: must have 8 frames as the ground truth, got 7$",
    "gt_without_head_box": r"gt/000100_mpii_test\.json: frame 0 \(.*\): person 0: must have a head box .* none;",
    "ignore_region_of_two_points": r"gt/000100_mpii\.json: frame 0 \(.*\): ignore regions .* 3 corners, got 2$",
    "missing_prediction_file": r"pred/000107_mpii\.json: prediction file not found; expected one",
    "prediction_without_track_id": r"pred/000100_mpii\.json: frame 0 \(.*\): person 0: 'track_id' .* got nothing;",
    "track_id_too_large": r"pred/000100_mpii\.json: frame 2 \(.*\): person 0: 'track_id' .* below 10000, got 10000$",
    "unknown_keypoint_name": r"pred/000100_mpii_test\.json: 'categories': 'keypoints' .* head_bottom, got \['neck'\]",
}
ALL_METRICS = ("ap", "mot", "hota")
few_examples = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 2**32 - 1)


def assert_percent(found: np.ndarray, expected: list, what: str) -> None:
    """Equal to 1e-9, with NaN where the golden file has null."""
    wanted = np.array([np.nan if value is None else value for value in expected], float)
    np.testing.assert_allclose(np.asarray(found, float), wanted, rtol=0, atol=1e-9, err_msg=what)


def compare_with_official(case: pathlib.Path, expected: dict) -> None:
    metrics = ALL_METRICS if "posetrack21" in expected else ("ap", "mot")
    report = evaluate_posetrack(case / "gt", case / "pred", PoseTrackOptions(metrics), per_sequence=True)
    assert report.total.num_frames == expected["n_frames_evaluated"]
    compare_average_precision(report, expected)
    assert set(report.sequences) == set(expected["ap_per_sequence"])
    if "mot" in expected:
        compare_tracking(report, expected)
    else:
        assert expected["mot_error"]["type"] == "IndexError"
        assert report.single_frame_sequences
    if "posetrack21" in expected:
        compare_posetrack21(report, expected["posetrack21"])


def compare_average_precision(report: module.PoseTrackReport, expected: dict) -> None:
    figures = report.total.average_precision
    assert_percent(figures.ap, expected["ap_tie_variants"]["stable"], "AP")
    assert_percent(figures.precision, expected["ap"]["pre"], "precision")
    assert_percent(figures.recall, expected["ap"]["rec"], "recall")
    assert_percent(figures.num_true, expected["n_gt_joints"], "true joints")
    assert_percent(figures.num_predicted, expected["n_pred_joints"], "predicted joints")
    assert_percent(figures.num_correct, expected["n_true_positive_joints"], "correct joints")
    assert_percent(figures.num_tied, expected["ap_tie_variants"]["n_tied"], "ties")
    for rule in ("best", "worst"):
        ap = joint_average_precision(report.samples, rule).ap
        assert_percent(ap, expected["ap_tie_variants"][f"ties_{rule}"], f"AP, {rule} order of ties")
    if not figures.num_tied.any():
        assert_percent(figures.ap, expected["ap"]["ap"], "official AP")
        compare_table(official_ap_table(figures), expected["ap_table"])
    for name, wanted in expected["ap_per_sequence"].items():
        figures = report.sequences[name].average_precision
        if not figures.num_tied.any():
            assert_percent(figures.ap, wanted["ap"], f"AP of {name}")
        assert_percent(figures.precision, wanted["pre"], f"precision of {name}")
        assert_percent(figures.recall, wanted["rec"], f"recall of {name}")


def compare_tracking(report: module.PoseTrackReport, expected: dict) -> None:
    compare_tracking_metrics(report.total.tracking, expected["mot"], "total")
    compare_table(official_tracking_table(report.total.tracking), expected["mot_table"])
    counts, detail = report.total.tracking.counts, expected["mot_detail"]
    for name in ("misses", "switches", "false_positives", "objects", "detections"):
        assert_percent(getattr(counts, name), detail["counts"][f"num_{name}"], name)
    sums = {event: np.array(values) for event, values in detail["distance_sum_by_event"].items()}
    matched = sums["MATCH"] + sums["SWITCH"]
    assert_percent(counts.near_distances, sums["RAW"], "near distances")
    assert_percent(counts.matched_distances, matched, "matched distances")
    assert_percent(counts.side_distances, sum(sums.values()) - sums["RAW"] - matched, "side distances")
    clean = detail["motp_match_switch_only"]
    assert_percent(report.total.tracking.motp_matched[: len(clean)], clean, "MOTP of matches")
    for name, wanted in expected["mot_per_sequence"].items():
        if "mota" in wanted:
            compare_tracking_metrics(report.sequences[name].tracking, wanted, name)


def compare_tracking_metrics(figures: module.TrackingMetrics, expected: dict, what: str) -> None:
    names = {"mota": "mota", "motp": "motp", "precision": "pre", "recall": "rec"}
    for ours, official in names.items():
        assert_percent(getattr(figures, ours), expected[official], f"{ours} of {what}")


def compare_table(table: object, expected: dict) -> None:
    assert (table.header, table.row) == (expected["header"], expected["row"])
    assert_percent(table.values, expected["values"], "table")


def compare_posetrack21(report: module.PoseTrackReport, expected: dict) -> None:
    assert list(JOINTS21) == expected["joint_order"][:15]
    for name, values in expected["hota_mean_over_thresholds"].items():
        assert_percent(report.total.hota[name], [100 * value for value in values], name)
    for sequence, wanted in expected["hota_per_sequence_total"].items():
        for name, value in wanted.items():
            assert_percent(report.sequences[sequence].hota[name][-1:], [100 * value], f"{name} of {sequence}")
    pose_map = report.total.pose_map
    for name, values in (("map", pose_map.ap), ("precision", pose_map.precision), ("recall", pose_map.recall)):
        wanted = [expected["pose_map"][name][group] for group in GROUP_NAMES]
        assert_percent(group_means(values, JOINTS21), wanted, f"PoseTrack21 {name}")


@pytest.mark.parametrize("case", SYNTHETIC)
def test_figures_are_the_official_ones(poseval_dir, load_expected, case):
    expected = load_expected(poseval_dir / case)
    assert expected["joint_order"] == [*JOINTS, "total"]
    compare_with_official(poseval_dir / case, expected)


@pytest.mark.parametrize("case", REAL)
def test_figures_of_real_annotations_are_the_official_ones(shared_dir, load_expected, case):
    folder = shared_dir / "golden" / "poseval" / case
    compare_with_official(folder, load_expected(folder))


def test_no_case_is_forgotten(poseval_dir):
    cases = {path.parent.relative_to(poseval_dir).as_posix() for path in poseval_dir.rglob("expected.json")}
    assert cases == {*SYNTHETIC, *(f"errors/{name}" for name in ERRORS)}


@pytest.mark.parametrize("name", ERRORS)
def test_what_the_official_tool_refuses_is_refused_in_one_line(poseval_dir, name):
    folder = poseval_dir / "errors" / name
    with pytest.raises((ValueError, FileNotFoundError), match=ERRORS[name]) as error:
        evaluate_posetrack(folder / "gt", folder / "pred")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", ["pt18_basic", "pt18_edges", "pt18_hota"])
def test_2017_files_of_the_same_content_give_the_same_figures(poseval_dir, tmp_path, case):
    for side in ("gt", "pred"):
        (tmp_path / side).mkdir()
        for path in sorted((poseval_dir / case / side).iterdir()):
            write_posetrack17(tmp_path / side / path.name, read_posetrack(path, drop_unknown_images=True))
    expected = evaluate_posetrack(poseval_dir / case / "gt", poseval_dir / case / "pred").to_dict()
    for truth, predictions in (("new", "new"), ("new", "old"), ("old", "new")):
        folders = {"new": tmp_path, "old": poseval_dir / case}
        assert evaluate_posetrack(folders[truth] / "gt", folders[predictions] / "pred").to_dict() == expected


@pytest.mark.parametrize("case", [case for case in SYNTHETIC if "extra" not in case])
def test_sequences_in_memory_score_as_their_files(poseval_dir, case):
    folders = poseval_dir / case / "gt", poseval_dir / case / "pred"
    truth, predictions = ([read_posetrack(p, drop_unknown_images=True) for p in sorted(f.iterdir())] for f in folders)
    in_memory = evaluate_sequences(truth, predictions, per_sequence=True)
    assert in_memory.to_dict() == evaluate_posetrack(*folders, per_sequence=True).to_dict()


def test_as_many_predictions_as_annotated_sequences_are_scored(poseval_dir):
    paths = sorted((poseval_dir / SYNTHETIC[0] / "gt").iterdir())
    truth = [read_posetrack(path, drop_unknown_images=True) for path in paths]
    message = f"one sequence for each of the {len(truth)} of the ground truth, got {len(truth) - 1}"
    with pytest.raises(ValueError, match=message):
        evaluate_sequences(truth, truth[1:])


def test_compressed_files_score_as_plain_ones(poseval_dir, tmp_path):
    import gzip

    case = poseval_dir / "pt17_basic"
    (tmp_path / "gt").mkdir()
    for path in (case / "gt").iterdir():
        (tmp_path / "gt" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    expected = evaluate_posetrack(case / "gt", case / "pred").to_dict()
    assert evaluate_posetrack(tmp_path / "gt", case / "pred").to_dict() == expected


def test_files_of_the_same_name_up_to_a_dot_are_told_apart(poseval_dir, tmp_path):
    case = poseval_dir / "pt18_basic"
    for side in ("gt", "pred"):
        (tmp_path / side).mkdir()
        for number, path in enumerate(sorted((case / side).iterdir())):
            shutil.copy(path, tmp_path / side / f"video.{number}.json")
    expected = evaluate_posetrack(case / "gt", case / "pred", per_sequence=True).sequences
    found = evaluate_posetrack(tmp_path / "gt", tmp_path / "pred", per_sequence=True).sequences
    assert list(found) == [f"video.{number}" for number in range(len(expected))]
    assert [metrics.num_frames for metrics in found.values()] == [metrics.num_frames for metrics in expected.values()]


def test_several_processes_give_the_same_report(poseval_dir, monkeypatch):
    case = poseval_dir / "pt18_hota"
    options = PoseTrackOptions(ALL_METRICS, has_clean_metrics=True)
    expected = evaluate_posetrack(case / "gt", case / "pred", options, per_sequence=True, num_processes=1).to_dict()
    monkeypatch.setattr(module, "_SEQUENCES_PER_TASK", 1)
    monkeypatch.setattr(module, "_BYTES_PER_PROCESS", 1)
    monkeypatch.setattr(processes, "may_fork", lambda: True)
    steps = []
    found = evaluate_posetrack(
        case / "gt", case / "pred", options, True, num_processes=2, progress=lambda *step: steps.append(step)
    )
    assert found.to_dict() == expected
    assert steps == [(1, 3), (2, 3), (3, 3)]
    broken = poseval_dir / "errors" / "duplicate_track_id"
    with pytest.raises(ValueError, match=ERRORS["duplicate_track_id"]):
        evaluate_posetrack(broken / "gt", broken / "pred", num_processes=2)


def test_metrics_json_has_the_agreed_keys(poseval_dir):
    case = poseval_dir / "pt17_absent_joints"
    blocks = evaluate_posetrack(case / "gt", case / "pred").to_dict()
    lists = {"ap", "precision", "recall", "mota", "motp", "motp_matched", "mot_precision", "mot_recall"}
    assert set(blocks) == {"posetrack"}
    assert set(blocks["posetrack"]) == {"joints"} | lists
    assert all(len(values) == 16 for values in blocks["posetrack"].values())
    assert blocks["posetrack"]["ap"][JOINTS.index("head_top")] is None
    json.dumps(blocks, allow_nan=False)
    only_ap = evaluate_posetrack(case / "gt", case / "pred", PoseTrackOptions(("ap",))).to_dict()["posetrack"]
    assert set(only_ap) == {"joints", "ap", "precision", "recall"}


def test_clean_figures_count_every_frame_as_it_is(make_sequences):
    truth, _ = make_sequences(0, num_frames=3, drop=0, num_phantoms=0)
    nobody = build_frame("x", 1, np.zeros((0, 15, 2)), np.zeros((0, 15)))
    frames = (_as_predictions(truth.frames[0]), nobody, _as_predictions(truth.frames[2]))
    predictions = dataclasses.replace(truth, frames=frames)
    figures = evaluate_sequences([truth], [predictions], PoseTrackOptions(has_clean_metrics=True)).total
    # Officially the third frame is dropped, and the three people of the second are one miss and one false positive.
    assert figures.tracking.counts.objects.tolist() == [4] * 15
    assert figures.tracking.counts.misses.tolist() == figures.tracking.counts.false_positives.tolist() == [1] * 15
    assert figures.clean_tracking.counts.objects.tolist() == [9] * 15
    assert figures.clean_tracking.counts.misses.tolist() == [3] * 15
    assert figures.clean_tracking.mota == pytest.approx([100 * 6 / 9] * 16)


def _as_predictions(frame: module.Any) -> module.Any:
    return dataclasses.replace(frame, joint_scores=np.random.default_rng(frame.index).random(frame.visibility.shape))


@few_examples
@given(seeds, st.integers(1, 4))
def test_perfect_predictions_give_100(make_sequences, seed, num_people):
    truth, _ = make_sequences(seed, num_people=num_people)
    truth = dataclasses.replace(truth, frames=tuple(frame for frame in truth.frames if frame.num_people))
    predictions = dataclasses.replace(truth, frames=tuple(map(_as_predictions, truth.frames)))
    options = PoseTrackOptions(ALL_METRICS, has_clean_metrics=True)
    figures = evaluate_sequences([truth], [predictions], options).total
    is_there = figures.average_precision.num_true > 0
    assert figures.average_precision.ap[:15][is_there] == pytest.approx(100)
    for tracking in (figures.tracking, figures.clean_tracking):
        has_objects = tracking.counts.objects > 0
        for values in (tracking.mota, tracking.motp_matched, tracking.precision, tracking.recall):
            assert values[:15][has_objects] == pytest.approx(100)
    for name in ("HOTA", "DetA", "AssA", "LocA"):
        values = figures.hota[name][:15][[is_there[JOINTS.index(joint)] for joint in JOINTS21]]
        assert values == pytest.approx(100)


def _shuffle_people(pair: tuple, seed: int) -> tuple:
    rng = np.random.default_rng(seed)
    return tuple(
        dataclasses.replace(
            sequence, frames=tuple(_select(frame, rng.permutation(frame.num_people)) for frame in sequence.frames)
        )
        for sequence in pair
    )


@few_examples
@given(seeds)
def test_the_order_of_people_without_rivals_does_not_matter(make_sequences, seed):
    pair = make_sequences(seed, num_people=4, num_phantoms=2, spacing=1000)
    assert_same_figures(pair, _shuffle_people(pair, seed))


@few_examples
@given(seeds)
def test_the_order_of_rivals_does_not_matter_to_tracking_before_two_objects_share_a_track(make_sequences, seed):
    # In later frames two objects may have been matched last with one track; officially the first in the file keeps it.
    # (Nor is it free for AP, where equal shares of joints go to the first in the file.)
    pair = make_sequences(seed, num_frames=2, num_people=5, noise=12, num_phantoms=4)
    assert_same_figures(pair, _shuffle_people(pair, seed), ("clean_mota", "clean_motp", "clean_mot_recall"))


def _select(frame: module.Any, people: np.ndarray) -> module.Any:
    names = ("keypoints", "visibility", "joint_scores", "scores", "boxes", "head_boxes", "track_ids")
    names += ("annotation_ids", "has_points")
    return dataclasses.replace(frame, **{name: getattr(frame, name)[people] for name in names})


def assert_same_figures(first: tuple, second: tuple, names: tuple[str, ...] = ()) -> None:
    """Of two pairs of ground truth and predictions: HOTA and all of poseval's, or those named."""
    options = PoseTrackOptions(ALL_METRICS, has_clean_metrics=True)
    blocks = [evaluate_sequences([t], [p], options).to_dict() for t, p in (first, second)]
    for name in names or blocks[0]["posetrack"]:
        assert _close(blocks[0]["posetrack"][name], blocks[1]["posetrack"][name]), name
    for name, values in blocks[0]["posetrack21"]["hota"].items():
        assert _close(values, blocks[1]["posetrack21"]["hota"][name]), name


def _close(first: list, second: list) -> bool:
    if isinstance(first[0], str):
        return first == second
    arrays = [np.array([np.nan if value is None else value for value in values]) for values in (first, second)]
    return np.allclose(*arrays, rtol=0, atol=1e-9, equal_nan=True)


@few_examples
@given(seeds)
def test_names_of_tracks_do_not_matter(make_sequences, seed):
    pair = make_sequences(seed)
    new_ids = np.random.default_rng(seed).permutation(10000)

    def rename(sequence: PoseSequence) -> PoseSequence:
        frames = (dataclasses.replace(frame, track_ids=new_ids[frame.track_ids]) for frame in sequence.frames)
        return dataclasses.replace(sequence, frames=tuple(frames))

    assert_same_figures(pair, tuple(map(rename, pair)))


@few_examples
@given(seeds)
def test_the_order_of_annotations_across_frames_does_not_matter(make_sequences, tmp_path, seed):
    rng = np.random.default_rng(seed)
    folders = tmp_path / "plain", tmp_path / "shuffled"
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    for side, sequence in zip(("gt", "pred"), make_sequences(seed), strict=True):
        name = f"{sequence.name}.json"
        write_posetrack18(folders[0] / side / name, sequence)
        content = json.loads((folders[0] / side / name).read_text())
        # Frames in any order, the people of a frame in theirs.
        rank = {image["id"]: order for image, order in zip(content["images"], rng.permutation(99), strict=False)}
        content["annotations"].sort(key=lambda annotation: rank[annotation["image_id"]])
        (folders[1] / side).mkdir(parents=True, exist_ok=True)
        (folders[1] / side / name).write_text(json.dumps(content))
    plain, shuffled = (evaluate_posetrack(folder / "gt", folder / "pred").to_dict() for folder in folders)
    assert plain == shuffled


@few_examples
@given(seeds, seeds)
def test_the_order_of_sequences_does_not_matter(make_sequences, first_seed, second_seed):
    (a, b), (c, d) = make_sequences(first_seed), make_sequences(second_seed, name="000002_mpii_test")
    options = PoseTrackOptions(ALL_METRICS)
    forward, backward = (evaluate_sequences(*pair, options).to_dict() for pair in (([a, c], [b, d]), ([c, a], [d, b])))
    for block in forward:
        for name, values in forward[block].items():
            lists = [(values, backward[block][name])]
            if isinstance(values, dict):
                lists = [(values[key], backward[block][name][key]) for key in values]
            assert all(_close(*pair) for pair in lists), name


@few_examples
@given(seeds, st.integers(0, 30))
def test_removing_a_predicted_person_never_finds_more_joints(make_sequences, seed, position):
    truth, predictions = make_sequences(seed, num_phantoms=2, noise=12)
    # Rivals: everybody is predicted twice.
    doubled = tuple(_select(f, np.repeat(np.arange(f.num_people), 2)) for f in predictions.frames)
    rng = np.random.default_rng(seed)
    doubled = tuple(
        dataclasses.replace(
            f, keypoints=f.keypoints + rng.normal(0, 6, f.keypoints.shape), track_ids=np.arange(f.num_people)
        )
        for f in doubled
    )
    index = position % len(doubled)
    if not doubled[index].num_people:
        return
    kept = np.delete(np.arange(doubled[index].num_people), position % doubled[index].num_people)
    fewer = (*doubled[:index], _select(doubled[index], kept), *doubled[index + 1 :])
    before, after = (
        evaluate_sequences([truth], [dataclasses.replace(predictions, frames=frames)]).total.average_precision
        for frames in (doubled, fewer)
    )
    assert after.num_correct.sum() <= before.num_correct.sum()
    assert np.array_equal(after.num_true, before.num_true)


@few_examples
@given(seeds, st.integers(0, 30))
def test_without_rivals_removing_a_person_never_raises_recall(make_sequences, seed, position):
    truth, predictions = make_sequences(seed, num_people=1, num_phantoms=0, drop=0.05)
    index = position % len(predictions.frames)
    frames = list(predictions.frames)
    frames[index] = _select(frames[index], np.arange(0))
    fewer = dataclasses.replace(predictions, frames=tuple(frames))
    before, after = (
        evaluate_sequences([truth], [p], PoseTrackOptions(has_clean_metrics=True)).total for p in (predictions, fewer)
    )
    assert (after.average_precision.recall <= before.average_precision.recall + 1e-9).all()
    recalls = after.clean_tracking.recall, before.clean_tracking.recall
    assert np.all((recalls[0] <= recalls[1] + 1e-9) | np.isnan(recalls[1]))


def test_posetrack21_takes_no_labeled_frame_without_people(poseval_dir, tmp_path):
    shutil.copytree(poseval_dir / "pt18_perfect", tmp_path / "case")
    path = sorted((tmp_path / "case" / "gt").iterdir())[0]
    content = json.loads(path.read_text())
    first = next(image for image in content["images"] if image["is_labeled"])
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != first["id"]]
    path.write_text(json.dumps(content))
    folders = tmp_path / "case" / "gt", tmp_path / "case" / "pred"
    with pytest.raises(ValueError, match="a labeled frame must have people outside of ignored regions, got none"):
        evaluate_posetrack(*folders, PoseTrackOptions(("hota",)))
    clean = evaluate_posetrack(*folders, PoseTrackOptions(("hota",), has_clean_metrics=True)).total.clean_hota
    assert 0 < clean["HOTA"][-1] < 100


def test_posetrack21_refuses_other_images_and_2017_files(poseval_dir, tmp_path):
    shutil.copytree(poseval_dir / "pt18_perfect", tmp_path / "case")
    folders = tmp_path / "case" / "gt", tmp_path / "case" / "pred"
    path = sorted(folders[1].iterdir())[0]
    text = path.read_text()
    content = json.loads(text)
    content["images"][1]["id"] += 5000
    path.write_text(json.dumps(content | {"annotations": []}))
    with pytest.raises(ValueError, match=r"frame 1: image 'id' must be that of the ground truth"):
        evaluate_posetrack(*folders, PoseTrackOptions(("hota",)))
    case = poseval_dir / "pt17_basic"
    with pytest.raises(ValueError, match="PoseTrack21's metrics require files of the 2018 or 2021 format"):
        evaluate_posetrack(case / "gt", case / "pred", PoseTrackOptions(("hota",)))


def test_sequences_without_evaluated_frames_vanish(poseval_dir, tmp_path):
    shutil.copytree(poseval_dir / "pt18_perfect", tmp_path / "case")
    folders = tmp_path / "case" / "gt", tmp_path / "case" / "pred"
    first, second = sorted(folders[0].iterdir())

    def unlabel(path: pathlib.Path) -> None:
        content = json.loads(path.read_text())
        for image in content["images"]:
            image["is_labeled"] = False
        path.write_text(json.dumps(content | {"annotations": []}))

    unlabel(first)
    report = evaluate_posetrack(*folders, PoseTrackOptions(ALL_METRICS), per_sequence=True)
    assert list(report.sequences) == [second.name.split(".")[0]]
    assert report.num_sequences == 1
    alone = report.sequences[second.name.split(".")[0]]
    np.testing.assert_array_equal(report.total.tracking.mota, alone.tracking.mota)
    np.testing.assert_allclose(report.total.hota["HOTA"][:15], alone.hota["HOTA"][:15])
    unlabel(second)
    for metrics, rule in ((ALL_METRICS, "has people"), (("hota",), "is labeled")):
        with pytest.raises(ValueError, match=f"gt: there is nothing to evaluate, since no frame .* {rule}"):
            evaluate_posetrack(*folders, PoseTrackOptions(metrics))


def test_folders_that_are_not_there_or_empty_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="the folder of the ground truth does not exist"):
        evaluate_posetrack(tmp_path / "no", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"must hold the ground truth, one \*.json file per sequence"):
        evaluate_posetrack(tmp_path, tmp_path)


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="metrics must be a sequence of names, got the text 'ap'"):
        PoseTrackOptions("ap")
    with pytest.raises(ValueError, match="metrics must be some of ap, mot, hota, got mota"):
        PoseTrackOptions(("mota",))
    with pytest.raises(ValueError, match="tie_rule must be"):
        PoseTrackOptions(tie_rule="random")


def test_scoring_imports_neither_tensorflow_nor_keras():
    modules = (
        "average_precision",
        "hota",
        "ignore_regions",
        "keypoints",
        "matching",
        "posetrack",
        "report",
        "tracking",
    )
    program = (
        "import sys, tfpose.posetrack, "
        + ", ".join(f"tfpose.metrics.{name}" for name in modules)
        + "\nprint(sorted({name.split('.')[0] for name in sys.modules} & {'tensorflow', 'keras', 'cv2', 'absl'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
