"""The page of one evaluation or several: what is on it, and that it is sound whatever the evaluation."""

from __future__ import annotations

import base64
import dataclasses
import html.parser
import json
import pathlib
import re
import subprocess

import cv2
import numpy as np
import pytest
from program_runs import assert_one_line, run
from report.evaluation_cases import PROVENANCE, TRAINING, cut, make_evaluation, make_videos
from report.report_cases import Page, make_report

from tfpose.evaluation.report_videos import ScoredVideos
from tfpose.metrics.frame_matches import SequenceMatches, TrackMatches
from tfpose.metrics.report import metric_tables
from tfpose.posetrack import build_frame
from tfpose.report.evaluation_file import Evaluation, read_evaluation, write_evaluation
from tfpose.report.overview import names_of_results, write_overview
from tfpose.report.timeline import timeline_chart
from tfpose.report.training import read_training_tables

STRANGE = '<script>alert(1)</script>" onload="x & {{ 7 * 7 }}'


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory) -> dict[str, Evaluation]:
    """Two systems on the same videos."""
    folder = tmp_path_factory.mktemp("results")
    picture = np.full((480, 800, 3), 90, np.uint8)
    return {
        "Good one": make_evaluation(folder / "good", make_videos(picture=picture)),
        "Noisy <one>": make_evaluation(folder / "noisy", make_videos(noise=9.0)),
    }


@pytest.fixture(scope="module")
def joined(evaluations, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_overview(path, "Both", evaluations)
    return path.read_text()


def write_one(folder: pathlib.Path, evaluation: Evaluation) -> str:
    write_overview(folder / "page.html", "One", {"the only": evaluation})
    return (folder / "page.html").read_text()


class Outline(html.parser.HTMLParser):
    """Headings in their order, and each element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.levels: list[int] = []
        self.elements: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))

    def all(self, *tags: str) -> list[dict]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def check_sound(text: str) -> Page:
    """What holds for any page; returns it taken apart, for which its tags must be balanced."""
    page, outline = Page(text), Outline(text)
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    targets = [value for value in page.values("href") if value]
    assert {target.removeprefix("#") for target in targets} <= set(ids)
    addresses = [*page.values("src"), *page.values("poster"), *page.values("srcset"), *page.values("data")]
    assert all(address.startswith("data:") for address in addresses)
    assert not re.search(r"@import|url\((?!#)|(?:src|href|poster)=.https?:", text)
    assert all(image.get("alt") for image in outline.all("img"))
    assert all(
        video.get("aria-label") and "controls" in video and "autoplay" not in video for video in outline.all("video")
    )
    assert all(cell.get("scope") in ("col", "row") for cell in outline.all("th"))
    assert all(table["title"] for table in page.tables)
    assert outline.levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in zip(outline.levels[:-1], outline.levels[1:], strict=True))
    assert page.tags.count("main") == 1 and any(value == "skip" for value in page.values("class"))
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    return page


def test_joined_page_compares_and_then_folds_details_of_each_system(joined):
    page = check_sound(joined)
    headings = [text for text in page.text("h2")]
    topics = ["Joints", "Sequences", "Tracks", "Best and worst"]
    assert headings == ["Systems", "Training", "Tables", *topics, "Video", "Provenance"]
    names = ("Good one", "Noisy <one>")
    assert page.text("h3") == [f"{topic}: details of {name}" for topic in topics for name in names]
    # All details are folded, and nothing unfolds them for paper.
    assert page.tags.count("details") == len(page.text("h3")) + 1
    assert "open" not in page.tags and "beforeprint" not in joined
    assert page.tags.count("video") == 2
    assert {"configs/small.py", "ground truth", "400", "1.2.3"} <= set(page.text("td"))


def test_page_of_one_system_has_cards_with_intervals_and_no_comparison(evaluations, tmp_path):
    page = check_sound(write_one(tmp_path, evaluations["Good one"]))
    assert page.text("h2")[0] == "Summary" and "Main metrics (%)" not in page.text("caption")
    intervals = evaluations["Good one"].report.intervals
    expected = [f"{interval.low:.1f} to {interval.high:.1f}" for interval in intervals.values()]
    assert [text for text in page.text("dd") if " to " in text] == expected


def test_page_says_how_intervals_are_made_and_where_there_are_none(evaluations, joined, tmp_path):
    assert "percentile bootstrap, 1,000 resamples of the 2 sequences with replacement, seed 0." in joined
    shown = [text for text in Page(joined).text("span") if re.fullmatch(r"[−\d.]+ to [−\d.]+", text)]
    # AP and MOTA of two systems.
    assert len(shown) == 4
    alone = make_evaluation(tmp_path / "alone", make_videos(("first",)))
    text = write_one(tmp_path, alone)
    assert "No interval is given for the mAP: there is only one sequence." in text
    assert "percentile bootstrap" not in text


def test_results_of_earlier_versions_are_read(evaluations, tmp_path):
    evaluation = evaluations["Good one"]
    path = write_evaluation(dataclasses.replace(evaluation, directory=tmp_path))
    content = json.loads(path.read_text())
    del content["posetrack"]["intervals"], content["command"], content["date"]
    path.write_text(json.dumps(content))
    read = read_evaluation(tmp_path)
    # MOTA's counts of each sequence are in the file, AP's are not.
    assert read.report.intervals == {"tracking": evaluation.report.intervals["tracking"]}
    assert (read.command, read.date) == ("", "")


def test_results_of_one_network_are_compared_by_their_settings(evaluations, tmp_path):
    def with_threshold(threshold: float) -> Evaluation:
        provenance = {**PROVENANCE, "weights": "best.npz", "thresholds": {"joint_threshold": threshold}}
        return dataclasses.replace(evaluations["Good one"], provenance=provenance)

    both = {"Low": with_threshold(0.1), "High": with_threshold(0.5)}
    write_overview(tmp_path / "page.html", "Both", {**both, "other": evaluations["Noisy <one>"]})
    page = check_sound((tmp_path / "page.html").read_text())
    assert "Settings" in page.text("h2")
    description = next(text for text in page.text("desc") if "joint_threshold" in text)
    assert description.startswith("Low: joint_threshold=0.1: mAP") and "High: joint_threshold=0.5: mAP" in description
    assert "other" not in description
    rows = {row[0][0]: [cell[0] for cell in row[1:]] for table in page.tables for row in table["rows"]}
    assert rows["thresholds.joint_threshold"] == ["0.1", "0.5", "–"]


def test_training_runs_share_one_chart(evaluations, tmp_path):
    other = dataclasses.replace(TRAINING, training={**TRAINING.training, "loss": [4.0, 3.0, 2.0, 1.0]})
    second = dataclasses.replace(evaluations["Noisy <one>"], training=other)
    write_overview(tmp_path / "page.html", "Both", {"A": evaluations["Good one"], "B": second})
    page = check_sound((tmp_path / "page.html").read_text())
    assert (tmp_path / "page_pictures" / "runs.svg").is_file()
    assert "Training: details of B" in page.text("h3")
    assert any("B: 400 steps; the loss went from 4 to 1." in text for text in page.text("p"))


def test_command_and_date_are_in_the_provenance_and_in_the_last_line(evaluations, tmp_path):
    evaluation = dataclasses.replace(evaluations["Good one"], command="tfpose score --x", date="2026-01-02 03:04 UTC")
    write_overview(tmp_path / "page.html", "One", {"A": evaluation}, origin="tfpose report --y, today")
    page = check_sound((tmp_path / "page.html").read_text())
    assert {"tfpose score --x", "2026-01-02 03:04 UTC"} <= set(page.text("td"))
    assert page.text("code") == ["tfpose report --y, today"]


def test_videos_have_a_poster_for_paper(joined):
    outline = Outline(joined)
    posters = [video["poster"] for video in outline.all("video")]
    assert [image["src"] for image in outline.all("img") if image.get("class") == "print-only"] == posters


def test_tables_have_a_row_of_exact_numbers_for_each_system(joined, evaluations):
    page = check_sound(joined)
    for table in metric_tables([(name, evaluation.report.total) for name, evaluation in evaluations.items()]):
        shown = next(t for t in page.tables if t["title"] == table.title)
        rows = {row[0][0]: [float(exact) for _, exact, _ in row[1:]] for row in shown["rows"][1:]}
        assert rows == {name: values.tolist() for name, values in table.rows}
        assert [text for text, _, _ in shown["rows"][0]] == ["system", *table.columns]


def test_timeline_says_who_was_found_by_whom(joined):
    # The cases' predictions change their ids from 0 and 1 to 10 and 11 after two of four frames.
    page = check_sound(joined)
    descriptions = page.text("desc")
    assert "Person 0: track 0 in frames 0 to 1, track 10 in frames 2 to 3." in " ".join(descriptions)
    assert "first: 2 switches, 0 of 8 missed" in page.text("figcaption")
    cells = page.table("Tracks by video")
    columns = [text for text, _, _ in cells["sequence"]]
    total = dict(zip(columns, (text for text, _, _ in cells["total"]), strict=True))
    assert total == {
        **{"frames": "8", "people": "4", "tracks": "8", "switches": "4"},
        **{"found": "16", "missed": "0", "unassigned": "0"},
    }


def test_long_video_of_many_people_says_who_is_not_drawn(tmp_path):
    everywhere = np.ones(1200, bool)
    tracks = tuple(TrackMatches(i, everywhere, everywhere, np.full(1200, i)) for i in range(30))
    zeros = np.zeros(1200, np.int64)
    matches = SequenceMatches("long", np.arange(1200) * 4, zeros, zeros, zeros, zeros, tracks)
    chart = timeline_chart("timeline", matches)
    assert chart.title == "long: 0 switches, 0 of 36000 missed (drawn: 24 of 30 people)"
    assert "Person 7: track 7 in frames 0 to 4796. 22 more people not described." in chart.description
    labels = re.findall(r">(\d+)</text>", chart.narrow)
    assert labels[:3] == ["0", "800", "1600"]


def test_training_says_how_it_went(joined):
    page = check_sound(joined)
    words = "400 steps; the loss went from 0.5 to 0.125. Best validation AP: 73.5 after 400 steps."
    assert words in page.text("p")


def test_pictures_and_video_are_inside_the_page_and_can_be_decoded(joined):
    outline = Outline(joined)
    images = [image for image in outline.all("img") if image.get("class") != "print-only"]
    # Of eight frames in each system four are best, four worst, each with two pictures.
    assert len(images) == 2 * 8 * 2
    sides = []
    for image in images:
        kind, _, content = image["src"].partition(",")
        assert kind == "data:image/webp;base64"
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
        sides.append(max(decoded.shape))
    # The first system's pictures are 800 pixels wide; where there are none, the canvas is as large as the people need.
    # The pictures of the two systems take turns, and each picture of the first has 640 pixels.
    assert sides.count(640) >= len(sides) // 2 and max(sides) == 640
    assert any("first, frame" in image["alt"] and "correct joints, 30 annotated" in image["alt"] for image in images)
    kind, _, content = outline.all("video")[0]["src"].partition(",")
    assert kind == "data:video/webm;base64"
    # How Matroska files begin.
    assert base64.b64decode(content)[:4] == b"\x1aE\xdf\xa3"


def test_size_is_bounded(joined):
    assert len(joined) < 3_000_000


def test_evaluation_comes_back_from_its_file(evaluations, tmp_path):
    evaluation = dataclasses.replace(evaluations["Good one"], directory=tmp_path)
    path = write_evaluation(evaluation)
    again = read_evaluation(tmp_path)
    assert write_evaluation(dataclasses.replace(again, directory=tmp_path / "b")).read_text() == path.read_text()
    assert again.provenance == PROVENANCE
    tables = [metric_tables([*e.report.sequences.items(), ("total", e.report.total)]) for e in (evaluation, again)]
    for first, second in zip(*tables, strict=True):
        assert [name for name, _ in first.rows] == [name for name, _ in second.rows]
        for (_, values), (_, read) in zip(first.rows, second.rows, strict=True):
            np.testing.assert_array_equal(values, read)
    for first, second in zip(evaluation.matches, again.matches, strict=True):
        assert first.name == second.name
        np.testing.assert_array_equal(first.frame_scores, second.frame_scores)
        assert [t.is_switch.tolist() for t in first.tracks] == [t.is_switch.tolist() for t in second.tracks]
    assert again.gallery == evaluation.gallery and again.video == evaluation.video
    np.testing.assert_array_equal(again.training.training["loss"], TRAINING.training["loss"])


def test_page_from_files_is_the_page_from_memory(evaluations, tmp_path):
    evaluation = evaluations["Good one"]
    write_evaluation(evaluation)
    read = read_evaluation(evaluation.directory)
    first = write_one(tmp_path, evaluation)
    (tmp_path / "again").mkdir()
    assert write_one(tmp_path / "again", read) == first


def test_names_from_files_are_text_only(tmp_path):
    evaluation = make_evaluation(tmp_path / "out", make_videos((STRANGE, "b\x00c")))
    evaluation = dataclasses.replace(evaluation, provenance={STRANGE: STRANGE})
    write_overview(tmp_path / "page.html", STRANGE, {STRANGE: evaluation, "other": evaluation})
    page = check_sound((tmp_path / "page.html").read_text())
    assert page.tags.count("script") == 1
    assert "onload" not in {name for _, name, _ in page.attributes}
    assert STRANGE in page.text("h1") and any(STRANGE in text for text in page.text("h3"))


def nobody(videos: ScoredVideos) -> ScoredVideos:
    """The same videos in which nobody was found."""
    predicted = [
        dataclasses.replace(
            sequence,
            frames=tuple(
                build_frame(f.file_name, f.index, np.zeros((0, 15, 2)), np.zeros((0, 15)), image_id=f.image_id)
                for f in sequence.frames
            ),
        )
        for sequence in videos.predicted
    ]
    return dataclasses.replace(videos, predicted=predicted)


def one_frame(videos: ScoredVideos) -> ScoredVideos:
    return dataclasses.replace(videos, truth=[cut(videos.truth[0], 1)], predicted=[cut(videos.predicted[0], 1)])


@pytest.mark.parametrize("change", [nobody, one_frame])
def test_page_of_little_is_sound(change, tmp_path):
    page = check_sound(write_one(tmp_path, make_evaluation(tmp_path / "out", change(make_videos()))))
    assert "Tracks" in page.text("h2") and "Best and worst" in page.text("h2")
    if change is nobody:
        assert "first: 0 switches, 8 of 8 missed" in page.text("figcaption")


def test_without_identities_there_are_no_tracks(tmp_path):
    videos = dataclasses.replace(make_videos(), has_identities=False)
    page = check_sound(write_one(tmp_path, make_evaluation(tmp_path / "out", videos, ("ap",))))
    assert "Tracks" not in page.text("h2") and "Best and worst" in page.text("h2")


def test_photos_alone_have_cocos_figures(tmp_path):
    measures = {"pck": {"total": 81.5, "joints": {"nose": 90.0}}}
    evaluation = Evaluation(tmp_path, PROVENANCE, coco={"AP": 61.5, "AR": 70.0}, correct_keypoints=measures)
    page = check_sound(write_one(tmp_path, evaluation))
    assert page.text("h2") == ["Summary", "Tables", "Joints", "Provenance"]
    assert page.table("COCO keypoints (%)")["the only"][0][0] == "61.5"
    assert page.table("Correct keypoints (%)")["nose"][0][0] == "90.0"


def test_systems_scored_on_different_data_are_called_so(evaluations, joined, tmp_path):
    words = "scored on different data"
    assert words not in joined
    other = make_evaluation(tmp_path / "out", make_videos(("third",)))
    write_overview(tmp_path / "page.html", "Both", {**evaluations, "other": other})
    assert words in (tmp_path / "page.html").read_text()


def test_no_evaluation_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one evaluation, got none"):
        write_overview(tmp_path / "page.html", "None", {})


def test_pictures_elsewhere_or_missing_are_refused(evaluations, tmp_path):
    evaluation = dataclasses.replace(evaluations["Good one"], directory=tmp_path / "deep")
    (tmp_path / "deep").mkdir()
    (tmp_path / "secret.webp").write_bytes(b"x")
    frame = evaluation.gallery[0]
    with pytest.raises(FileNotFoundError, match="best_0_truth.webp: file not found; the evaluation's"):
        write_one(tmp_path, evaluation)
    outside = dataclasses.replace(evaluation, gallery=[dataclasses.replace(frame, truth="../secret.webp")])
    with pytest.raises(ValueError, match="must be a file below"):
        write_one(tmp_path, outside)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 99}, "'format_version' must be 1, got 99"),
        ({"matches": [{"name": "x"}]}, "got no 'frames'"),
        ({"gallery": [{"surplus": 1}]}, "got no 'score'"),
        ({"posetrack": 5}, "got something else"),
    ],
)
def test_another_file_is_refused_with_one_line(evaluations, tmp_path, change, words):
    path = write_evaluation(dataclasses.replace(evaluations["Good one"], directory=tmp_path))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        read_evaluation(tmp_path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_training_tables_are_read_with_half_rows_and_thinned(tmp_path):
    rows = [f"{step},{1 / step},x" for step in range(1, 2502)]
    (tmp_path / "train.csv").write_text("\n".join(["step,loss,note", *rows, "2502,0."]))
    tables = read_training_tables(tmp_path)
    assert len(tables.training["step"]) == 834 and tables.training["step"][-1] == 2501
    assert np.isnan(tables.training["note"]).all()
    assert tables.evaluation == {}
    (tmp_path / "train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="must have a column 'step', got a, b"):
        read_training_tables(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected the table of a training run"):
        read_training_tables(tmp_path / "none")


def run_program(*flags: object) -> subprocess.CompletedProcess:
    return run("-m", "tfpose.report", *flags)


def test_program_joins_results(evaluations, tmp_path):
    folders = [write_evaluation(evaluation).parent for evaluation in evaluations.values()]
    output = tmp_path / "new" / "report.html"
    done = run_program(f"--results={folders[0]},{folders[1]}", f"--output={output}", "--names=A,B")
    assert done.returncode == 0, done.stderr
    page = check_sound(output.read_text())
    assert page.text("h3")[:2] == ["Joints: details of A", "Joints: details of B"]
    assert f"--output={output} --names=A,B, 2" in page.text("code")[0]
    assert done.stdout.startswith(f"written: {output} (")


def test_folders_with_one_name_are_told_apart_by_the_folders_above(tmp_path):
    folders = [tmp_path / name for name in ("a/run_1/x", "b/run_1/x", "b/run_1/y")]
    assert names_of_results(folders) == ["a/run 1/x", "b/run 1/x", "y"]
    assert len(set(names_of_results([tmp_path, tmp_path]))) == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "--results must name at least one folder"),
        (("--results={0}", "--names=a,b"), "--names must have one entry for each of the 1 --results, got 2"),
        (("--results={0},{0}",), "--results must be different folders, got "),
        (("--results={0},{0}", "--names=A,A"), "--names must be distinct, got A, A"),
        (("--results={0}/none",), "report_data.json: file not found"),
    ],
)
def test_wrong_flags_are_one_line(evaluations, tmp_path, flags, words):
    folder = write_evaluation(evaluations["Good one"]).parent
    done = run_program(*(flag.format(folder) for flag in flags), f"--output={tmp_path / 'r.html'}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ") and words in done.stderr.splitlines()[-1]
    assert not (tmp_path / "r.html").exists()


def test_a_page_replaces_no_results(evaluations):
    path = write_evaluation(evaluations["Good one"])
    before = path.read_text()
    done = run_program(f"--results={path.parent}", f"--output={path}")
    assert_one_line(done, "--output must be a file that ends in .html, got")
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coco": {"AR": "60.0"}}, r"coco.AR must be a number, got '60.0'"),
        ({"correct_keypoints": {"pck": {"total": 1.0, "joints": {"nose": "9"}}}}, "joints.nose must be a number"),
    ],
)
def test_text_in_place_of_a_number_is_named(tmp_path, change, message):
    path = write_evaluation(Evaluation(tmp_path, {}, coco={"AR": 60.0}))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        read_evaluation(tmp_path)


@pytest.mark.parametrize("place", ["total", "sequence"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda metrics: metrics["hota"].pop("FA-HOTA"), "got no 'FA-HOTA'"),
        (lambda metrics: metrics["hota"]["FA-HOTA"].pop(), "IndexError"),
        (lambda metrics: metrics.update(hota=None), r"must have the metrics of posetrack.total"),
    ],
    ids=["no column", "short column", "no metric"],
)
def test_damaged_metrics_of_the_total_or_of_a_sequence_are_named(tmp_path, place, change, message):
    path = write_evaluation(Evaluation(tmp_path, {}, make_report()))
    content = json.loads(path.read_text())
    report = content["posetrack"]
    change(report["total"] if place == "total" else next(iter(report["sequences"].values())))
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_evaluation(tmp_path)
