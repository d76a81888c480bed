"""DeepLabCut projects: every label arrives in the records, from CSV and HDF5 files, of one animal and of several."""

from __future__ import annotations

import pathlib

import h5py
import numpy as np
import pytest
from animal_files import SIZE, write_csv_table, write_h5_table
from source_folders import encoded_picture

from data_prep import build
from data_prep.deeplabcut.builder import Builder, read_source
from data_prep.labeled_videos import SplitChoice
from data_prep.writing import write_dataset
from tfpose.data import records

ALL_TRAIN = SplitChoice(val_share=0.0)
PARTS = ("snout", "earL", "earR")
ONE = (["me"] * 6, [part for part in PARTS for _ in "xy"], ["x", "y"] * 3)
SEVERAL = (
    ["me"] * 10,
    ["m1"] * 4 + ["m2"] * 4 + ["single"] * 2,
    [part for part in ("snout", "tail") * 2 for _ in "xy"] + ["corner"] * 2,
    ["x", "y"] * 5,
)
CONFIG = """
Task: nest
scorer: me
multianimalproject: false
video_sets:
  ? /home/somebody/videos/day1.avi
  : crop: 0, 48, 0, 64
bodyparts: [earL, snout, earR]
skeleton: [[snout, earL], [snout, earR, nothing]]
"""
MULTI_CONFIG = """
Task: nest
scorer: me
multianimalproject: true
identity: true
individuals: [m1, m2]
uniquebodyparts: [corner]
multianimalbodyparts: [snout, tail]
bodyparts: MULTI!
skeleton:
- - snout
  - tail
"""


def values_of_one(num_frames=3):
    """The third body part is not labeled in the second frame."""
    values = np.arange(6.0 * num_frames).reshape(num_frames, 6)
    values[1, 4:] = np.nan
    return values


def project(root, video="day1", num_frames=3, separator="/", endings=(".csv",), header=ONE, values=None, config=CONFIG):
    """Writes a project with one video, or adds a video to it."""
    folder = root / "labeled-data" / video
    folder.mkdir(parents=True)
    if config is not None:
        (root / "config.yaml").write_text(config)
    names = [f"img{7 * number:03d}.png" for number in range(num_frames)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(encoded_picture(*SIZE, ".png", number))
    rows = [separator.join(("labeled-data", video, name)) for name in names]
    values = values_of_one(num_frames) if values is None else values
    for ending in endings:
        write = write_csv_table if ending == ".csv" else write_h5_table
        write(folder / f"CollectedData_me{ending}", header, rows, values)
    return root


def table_of(root):
    return root / "labeled-data" / "day1" / "CollectedData_me.csv"


@pytest.mark.parametrize(
    ("ending", "separator"), [(".csv", "/"), (".csv", "|"), (".csv", "\\"), (".h5", "/"), (".h5", "\\")]
)
def test_counts_coordinates_and_visibility_arrive(tmp_path, ending, separator):
    root = project(tmp_path / "nest", separator=separator, endings=(ending,))
    source = read_source(root, choice=ALL_TRAIN)
    write_dataset(Builder, source, tmp_path / "out")
    table = records.read_table(tmp_path / "out", "train")
    assert table.skeleton.name == "nest" and table.skeleton.joints == ("earL", "snout", "earR")
    assert table.skeleton.left_right_pairs == (("earL", "earR"),)
    assert table.skeleton.limbs == ((1, 0), (1, 2))
    names = [f"labeled-data/day1/img{number:03d}.png" for number in (0, 7, 14)]
    assert table.images["file_name"] == names and table.images["frame"].tolist() == [0, 7, 14]
    assert table.images["sequence"] == [""] * 3 and table.people["track_id"].tolist() == [-1] * 3
    assert table.people["keypoints"].tolist() == [
        [[2, 3], [0, 1], [4, 5]],
        [[8, 9], [6, 7], [0, 0]],
        [[14, 15], [12, 13], [16, 17]],
    ]
    assert table.people["visibility"].tolist() == [[2, 2, 2], [2, 2, 0], [2, 2, 2]]
    for image, name in enumerate(names):
        assert table.read_image_bytes(image) == (root / name).read_bytes()


@pytest.mark.parametrize("ending", [".csv", ".h5"])
def test_several_animals_have_identities_and_own_body_parts(tmp_path, ending):
    values = np.arange(30.0).reshape(3, 10)
    values[0, :4] = np.nan  # The first animal is not there.
    values[2] = np.nan  # Nothing is labeled.
    project(tmp_path, endings=(ending,), header=SEVERAL, values=values, config=MULTI_CONFIG)
    source = read_source(tmp_path, choice=ALL_TRAIN)
    split = source.splits["train"]
    assert source.skeleton.joints == ("snout", "tail") and source.skeleton.limbs == ((0, 1),)
    assert split.first_person.tolist() == [0, 1, 3]
    assert split.people["track_id"].tolist() == [1, 0, 1]
    assert split.people["keypoints"].tolist() == [[[4, 5], [6, 7]], [[10, 11], [12, 13]], [[14, 15], [16, 17]]]
    assert split.images["sequence"] == ["day1", "day1"]
    assert "body parts of 'single', which belong to no animal, were left out" in source.notes
    assert "1 frames without labels were left out" in source.notes


def test_names_of_animals_are_no_identities_unless_the_project_says_so(tmp_path):
    config = MULTI_CONFIG.replace("identity: true", "identity: false")
    project(tmp_path, header=SEVERAL, values=np.arange(30.0).reshape(3, 10), config=config)
    split = read_source(tmp_path, choice=ALL_TRAIN).splits["train"]
    assert split.people["track_id"].tolist() == [-1] * 6 and split.images["sequence"] == [""] * 3


def test_without_a_config_the_tables_name_the_body_parts(tmp_path):
    skeleton = read_source(project(tmp_path, config=None)).skeleton
    assert skeleton.joints == PARTS and skeleton.limbs == ()
    assert skeleton.left_right_pairs == (("earL", "earR"),)


def test_body_parts_that_the_project_does_not_list_are_left_out(tmp_path):
    config = CONFIG.replace("[earL, snout, earR]", "[snout, tail]")
    source = read_source(project(tmp_path, config=config), choice=ALL_TRAIN)
    assert source.splits["train"].people["visibility"].tolist() == [[2, 0]] * 3
    assert "body parts that config.yaml does not list were left out: earL, earR" in source.notes


def test_a_renamed_folder_keeps_its_images(tmp_path):
    root = project(tmp_path)
    (root / "labeled-data" / "day1").rename(root / "labeled-data" / "first")
    (path, *_) = read_source(root).splits["train"].image_paths
    assert pathlib.Path(path) == root / "labeled-data" / "first" / "img000.png" and pathlib.Path(path).is_file()


def test_the_csv_file_of_the_scorer_is_read(tmp_path):
    root = project(tmp_path, endings=(".csv", ".h5"))
    (root / "labeled-data" / "day1" / "CollectedData_me.h5").write_text("broken")
    (root / "labeled-data" / "day1" / "CollectedData_you.csv").write_text("broken")
    assert read_source(root, choice=ALL_TRAIN).splits["train"].num_images == 3
    (root / "config.yaml").unlink()
    with pytest.raises(ValueError, match="must hold one CollectedData_SCORER.*got CollectedData_me, CollectedData_you"):
        read_source(root)


def test_a_csv_file_whose_h5_file_holds_other_labels_is_refused(tmp_path):
    root = project(tmp_path / "nest", endings=(".csv", ".h5"))
    assert read_source(root, choice=ALL_TRAIN).splits["train"].num_images == 3
    table = table_of(root)
    table.write_text(table.read_text().replace(",12.0,", ",12.5,"))
    message = r"_me.csv: must hold the labels of CollectedData_me.h5, got others for 1 points, such as snout in img014"
    with pytest.raises(ValueError, match=message):
        read_source(root)
    table.with_suffix(".h5").unlink()
    assert 12.5 in read_source(root, choice=ALL_TRAIN).splits["train"].people["keypoints"]


def test_videos_that_the_project_does_not_list_are_left_out(tmp_path):
    project(tmp_path)
    project(tmp_path, video="day2")
    source = read_source(tmp_path, choice=ALL_TRAIN)
    assert source.splits["train"].num_images == 3
    assert "videos that config.yaml does not list were left out: day2" in source.notes
    (tmp_path / "config.yaml").write_text(CONFIG.replace("day1", "elsewhere"))
    assert read_source(tmp_path, choice=ALL_TRAIN).splits["train"].num_images == 6


def test_whole_videos_are_for_validation_on_demand(tmp_path):
    project(tmp_path, config=None)
    project(tmp_path, video="day2", config=None)
    splits = read_source(tmp_path, choice=SplitChoice(val_videos=("day1",))).splits
    assert splits["val"].images["file_name"][0] == "labeled-data/day1/img000.png"
    assert splits["train"].images["image_id"].tolist() == [1, 2, 3]
    assert splits["val"].images["image_id"].tolist() == [4, 5, 6]


def test_a_single_labeled_joint_has_a_box(tmp_path):
    values = 10 * values_of_one()
    values[0, 2:] = np.nan
    boxes = read_source(project(tmp_path, values=values), choice=ALL_TRAIN).splits["train"].people["box"]
    # A quarter of the median extent of the other two animals, which are 20 and 40 pixels large.
    np.testing.assert_allclose(boxes[0], [-3.75, 6.25, 3.75, 13.75])


# Refusals


@pytest.mark.parametrize(
    ("line", "found", "replacement", "message"),
    [
        (0, "scorer", "x", r"the first lines must begin with scorer, bodyparts, coords, got \['x', 'bodyparts'"),
        (2, "coords,x", "coords,likelihood", "a column must be x or y of a body part, got 'likelihood' of 'snout'"),
        (2, "coords,x", "coords,y", "y of 'snout' must be one column, got two"),
        (1, "bodyparts,snout", "bodyparts,", "a column must be x or y of a body part, got 'x' of ''"),
        (1, "earR,earR", "earR,tail", "'earR' must have the columns x and y, got only x"),
        (3, "0.0,1.0", "0.0,one", "line 4: a cell must be a number or empty, got 'one'"),
        (3, "0.0,1.0", "0.0,inf", r"img000.png: 'snout' must have two numbers of pixels or none, got \[0.0, inf\]"),
        (3, "0.0,1.0", "0.0,", r"img000.png: 'snout' must have two numbers of pixels or none, got \[0.0, nan\]"),
        (3, "0.0,1.0", "0.0", "line 4 must have 7 cells, as line 1 has, got 6"),
        (4, "img007", "img000", "each image must be in one row, got 'labeled-data/day1/img000.png' in several"),
        (4, "day1/img007", "day2/img000", "one row, got '.*day1/img000.png' and '.*day2/img000.png' for .*img000.png"),
    ],
)
def test_a_wrong_csv_file_is_refused_in_one_line(tmp_path, line, found, replacement, message):
    path = table_of(project(tmp_path))
    lines = path.read_text().splitlines()
    assert found in lines[line]
    lines[line] = lines[line].replace(found, replacement)
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=f"CollectedData_me.csv: .*{message}"):
        read_source(tmp_path)


@pytest.mark.parametrize("content", [b"", b"scorer,me", b"\xff\xfe\x00", b'scorer,"me'])
def test_what_is_no_table_is_refused(tmp_path, content):
    table_of(project(tmp_path)).write_bytes(content)
    with pytest.raises(ValueError, match="CollectedData_me.csv: (the first lines must begin|must be a CSV file)"):
        read_source(tmp_path)


def replaced(name, value):
    def change(file):
        del file[f"df_with_missing/{name}"]
        file[f"df_with_missing/{name}"] = value

    return change


def pickle_the_index(file):
    """What pandas does with names that are no texts."""
    del file["df_with_missing/axis1"]
    rows = file.create_dataset("df_with_missing/axis1", (1,), h5py.vlen_dtype(np.uint8))
    rows[0] = np.frombuffer(b"gASV", np.uint8)


def attribute(name, value):
    def change(file):
        file["df_with_missing"].attrs[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (attribute("pandas_type", np.bytes_("frame_table")), "got a table of the form 'frame_table'; put the CSV file"),
        (
            lambda file: file.move("df_with_missing", "other"),
            "must hold a table 'df_with_missing' .*, got no such table",
        ),
        (attribute("axis0_nlevels", np.int64(2)), "the header must have 3 or 4 rows, got 2"),
        (attribute("nblocks", np.int64(0)), "must hold numbers, got none"),
        (pickle_the_index, "must hold texts, got object, which is not read; put the CSV file of DeepLabCut beside it"),
        (replaced("block0_values", np.array([b"gASV"])), "must hold numbers, got .*, which is not read; put the CSV"),
        (replaced("block0_values", np.zeros((2, 2))), r"'block0_values' must have the shape \(3, 6\), got \(2, 2\)"),
        (replaced("block0_items_label1", np.array([9] * 6)), "block0_items_label1' must be a whole number from 0 to 2"),
        (replaced("block0_items_label1", np.array([0])), "the levels of 'block0_items' must have equal lengths"),
        (lambda file: file["df_with_missing"].__delitem__("axis1"), "must hold a dataset 'df_with_missing/axis1'"),
    ],
)
def test_a_wrong_h5_file_is_refused_in_one_line(tmp_path, change, message):
    project(tmp_path, endings=(".h5",))
    with h5py.File(tmp_path / "labeled-data" / "day1" / "CollectedData_me.h5", "a") as file:
        change(file)
    with pytest.raises(ValueError, match=f"CollectedData_me.h5: .*{message}"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("bodyparts: [a", "must be YAML, got something else"),
        ("- a", r"must hold the fields of a project, got \['a'\]"),
        ("bodyparts: !!python/object:os.system {}", "must be YAML, got something else"),
        ("bodyparts: 3", "'bodyparts' must be a list of names, got 3"),
        ("bodyparts: [a, a]", "'bodyparts' must be distinct names"),
        ("bodyparts: [a]\nskeleton: [3]", "'skeleton' must be a list of lists of names, got 3"),
        ("bodyparts: [a]\nvideo_sets: 3", "'video_sets' must hold videos, got 3"),
        ("bodyparts: [a, b]", r"the body parts \(a, b\) must be those of the labels, got snout, earL, earR"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line(tmp_path, config, message):
    with pytest.raises(ValueError, match=f"config.yaml: {message}"):
        read_source(project(tmp_path, config=config))


def test_labels_are_needed(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must contain labeled-data/VIDEO/CollectedData_SCORER.csv or .h5"):
        read_source(tmp_path)
    with pytest.raises(ValueError, match="must hold labeled body parts, got none in 1 tables"):
        read_source(project(tmp_path / "nest", values=np.full((3, 6), np.nan)))


def test_the_program_builds_a_project_and_names_a_missing_image(tmp_path, capsys):
    root = project(tmp_path / "nest")
    assert build.main(["deeplabcut", f"--source={root}", f"--output={tmp_path / 'out'}"]) == 0
    assert "note: val holds 1 of 3 labeled frames" in capsys.readouterr().err
    assert records.read_table(tmp_path / "out", "val").num_images == 1
    assert build.main(["deeplabcut", f"--source={root}", f"--output={tmp_path / 'out'}", "--predicted"]) == 1
    assert "error: --predicted must be left out for deeplabcut" in capsys.readouterr().err
    (root / "labeled-data" / "day1" / "img007.png").unlink()
    assert build.main(["deeplabcut", f"--source={root}", f"--output={tmp_path / 'more'}"]) == 1
    assert "img007.png: image file not found (1 of 2 are missing)" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()
