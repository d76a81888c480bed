"""The page about a dataset, and the checks of its labels: each mistake is found, and a clean set has none."""

from __future__ import annotations

import pathlib
import re
import types

import numpy as np
import pytest
from record_writing import synthetic_image, write_dataset
from report.report_cases import Page

from data_prep import dataset_page, label_checks, preview
from data_prep.dataset_page import write_dataset_page
from data_prep.label_checks import check_labels
from tfpose import systems
from tfpose.data.records import RecordTable, read_table
from tfpose.skeletons import COCO17

# A person who faces the camera: offsets in pixels from the top of the head.
OFFSETS = {
    **{"nose": (0, 4), "eye": (2, 2), "ear": (3, 3), "shoulder": (8, 12), "elbow": (11, 24), "wrist": (12, 34)},
    **{"hip": (5, 34), "knee": (6, 50), "ankle": (6, 66)},
}


def make_person(left: float, top: float = 20.0, track_id: int = 0) -> dict:
    keypoints = []
    for joint in COCO17.joints:
        side, _, part = joint.rpartition("_")
        x, y = OFFSETS[part]
        # The left side of the body is on the right side of the picture.
        keypoints.append((left + (x if side == "left" else -x), top + y))
    points = np.array(keypoints, float)
    low, high = points.min(axis=0) - 3, points.max(axis=0) + 3
    person = synthetic_image(0, COCO17)["people"][0]
    area = float(np.prod(high - low))
    return person | {"keypoints": points, "box": [*low, *high], "area": area, "track_id": track_id}


def make_table(folder: pathlib.Path, change=None) -> RecordTable:
    """Two frames of one video with two people; `change` changes the people of the second frame."""
    images = []
    for frame in range(2):
        image = synthetic_image(frame, COCO17) | {"sequence": "video"}
        people = [make_person(40 + 2 * frame, track_id=0), make_person(110, track_id=1)]
        if change is not None and frame == 1:
            people = change(people)
        images.append(image | {"people": people})
    return read_table(write_dataset(folder, COCO17, images), "train")


def move(joint: str, place: tuple[float, float]):
    def change(people):
        people[1]["keypoints"][COCO17.index(joint)] = place
        return people

    return change


def swap_all(people):
    people[1]["keypoints"] = people[1]["keypoints"][COCO17.flip_order]
    return people


def swap_hips(people):
    joints = [COCO17.index(f"{side}_hip") for side in ("left", "right")]
    people[1]["keypoints"][joints] = people[1]["keypoints"][joints[::-1]]
    return people


def double(people):
    return [*people, people[1] | {"keypoints": people[1]["keypoints"] + 0.5, "track_id": 7}]


def shrink(people):
    x, y = people[1]["keypoints"][0]
    points = np.tile([[x, y]], (COCO17.num_joints, 1))
    visibility = np.zeros(COCO17.num_joints, int)
    return [people[0], people[1] | {"keypoints": points, "visibility": visibility, "box": [x - 2, y - 2, x + 2, y + 2]}]


def test_clean_labels_have_no_finding(tmp_path):
    assert check_labels(make_table(tmp_path)) == []


@pytest.mark.parametrize(
    ("change", "kinds", "words"),
    [
        (move("left_wrist", (400, 60)), {label_checks.OUTSIDE_PICTURE, label_checks.OUTSIDE_BOX}, "left wrist"),
        (move("left_wrist", (60, 60)), {label_checks.OUTSIDE_BOX}, "left wrist"),
        (swap_all, {label_checks.SWAPPED_SIDES}, "sides change from frame 0"),
        (swap_hips, {label_checks.SWAPPED_SIDES}, "shoulders and hips disagree"),
        (double, {label_checks.DUPLICATES}, "two people in the same place"),
        (shrink, {label_checks.ODD_BOXES}, "the box is 4x4 pixels"),
    ],
)
def test_each_mistake_is_found_and_nothing_else(tmp_path, change, kinds, words):
    findings = check_labels(make_table(tmp_path, change))
    assert {finding.kind for finding in findings} == kinds
    assert {finding.image for finding in findings} == {1}
    assert words in findings[0].details


def test_crowds_are_not_checked(tmp_path):
    def crowd(people):
        return [people[0], *(person | {"is_crowd": 1} for person in double(people)[1:])]

    assert check_labels(make_table(tmp_path, crowd)) == []


def test_page_is_one_file_with_counts_and_pictures(tmp_path):
    table = make_table(tmp_path / "data", double)
    (tmp_path / "page").mkdir()
    findings = write_dataset_page(tmp_path / "page" / "labels.html", table, "train", 20)
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["labels.html"]
    text = (tmp_path / "page" / "labels.html").read_text()
    page = Page(text)
    assert page.text("h2") == ["Summary", "People and boxes", "Joints", "Suspicious labels", "Examples", "Provenance"]
    assert page.table("Suspicious labels")[label_checks.DUPLICATES][0][0] == "1" and len(findings) == 1
    assert page.table("Joints (counts)")["nose"][0][0] == "5"
    sources = page.values("src")
    assert len(sources) == 2 and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"(?:src|href)=.https?:", text)


def test_pictures_that_are_left_out_are_counted_aloud(tmp_path, monkeypatch):
    table = make_table(tmp_path / "data")
    write_dataset_page(tmp_path / "few.html", table, "train", 1)
    assert "1 of 2 are shown; 1 are left out." in (tmp_path / "few.html").read_text()
    monkeypatch.setattr(dataset_page, "_MOST_BYTES", 0)
    write_dataset_page(tmp_path / "none.html", table, "train", 2)
    assert "0 of 2 are shown; 2 are left out. The pictures of a page" in (tmp_path / "none.html").read_text()


def test_program_writes_the_page(tmp_path, capsys):
    make_table(tmp_path / "data", double)
    assert preview.main([f"--data={tmp_path / 'data'}", f"--html={tmp_path / 'new' / 'page.html'}"]) == 0
    assert "1 suspicious labels in split train: " in capsys.readouterr().out
    assert (tmp_path / "new" / "page.html").is_file()


def test_program_without_a_place_for_its_result_is_refused(tmp_path, capsys):
    assert preview.main([f"--data={tmp_path}"]) == 1
    assert "--output must be a folder for the pictures, or --html a file" in capsys.readouterr().err
    assert preview.main([f"--data={tmp_path}", f"--html={tmp_path / 'metadata.json'}"]) == 1
    assert "--html must be a file that ends in .html, got" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert preview.main([f"--data={tmp_path}", f"--output={tmp_path / 'file'}"]) == 1
    assert f"--output={tmp_path / 'file'}: must be a folder, got a file" in capsys.readouterr().err


def test_pictures_of_an_earlier_run_are_told(tmp_path, capsys, monkeypatch):
    make_table(tmp_path / "data")
    (tmp_path / "out").mkdir()
    drawn = types.SimpleNamespace(draw_inputs=lambda *_: [("person_1", np.zeros((4, 4, 3), np.uint8))])
    monkeypatch.setattr(systems, "from_config", lambda _: drawn)
    assert preview.main([f"--data={tmp_path / 'data'}", f"--output={tmp_path / 'out'}"]) == 0
    assert "note" not in capsys.readouterr().err
    (tmp_path / "out" / "person_0.png").touch()
    assert preview.main([f"--data={tmp_path / 'data'}", f"--output={tmp_path / 'out'}"]) == 0
    assert "out: holds 1 picture of an earlier run, such as person_0.png" in capsys.readouterr().err
