"""SLEAP files: every label arrives in the records, whatever holds the pictures."""

from __future__ import annotations

import json
import pathlib
import shutil

import cv2
import h5py
import numpy as np
import pytest
from animal_files import NAN, NODES, SIZE, animal, gray_level, media, skeleton_json, write_clip, write_slp
from source_folders import encoded_picture

from data_prep import build
from data_prep.labeled_videos import SplitChoice
from data_prep.slp.builder import Builder, read_source, split_of_name
from data_prep.slp.labels import LabelChoice
from data_prep.writing import write_dataset
from tfpose.data import records
from tfpose.picture_files import decode_upright

FLIES = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "flies"
POINTS = [(10.0, 20.0), (11.0, 21.0), (12.5, 22.0), NAN]
ALL_TRAIN = SplitChoice(val_share=0.0)


def simple(path, frames=None, **options):
    """One video, three labeled frames; the second animal of the last one is a prediction."""
    write_clip(path.parent / "clip.avi")
    frames = frames or [
        (0, 2, [animal(POINTS, 0)]),
        (0, 4, [animal(POINTS, 1), animal([(30, 30), (31, 31), (32, 32), (33, 33)], 0)]),
        (0, 9, [animal(POINTS, 0), animal(POINTS, 1, predicted=True)]),
    ]
    return write_slp(path, frames, [media(r"C:\labels\videos\clip.avi")], **options)


def read_table(source, output, split="train"):
    write_dataset(Builder, source, output)
    return records.read_table(output, split)


def test_counts_coordinates_visibility_and_identities_arrive(tmp_path):
    table = read_table(read_source(simple(tmp_path / "labels.slp"), choice=ALL_TRAIN), tmp_path / "out")
    assert table.images["file_name"] == ["clip/000002.jpg", "clip/000004.jpg", "clip/000009.jpg"]
    assert table.images["frame"].tolist() == [2, 4, 9]
    assert table.images["sequence"] == ["clip"] * 3
    assert table.images["height"].tolist() == [SIZE[0]] * 3 and table.images["width"].tolist() == [SIZE[1]] * 3
    assert table.first_person.tolist() == [0, 1, 3, 4]
    assert table.people["track_id"].tolist() == [0, 1, 0, 0]
    assert table.people["keypoints"][0].tolist() == [[10, 20], [11, 21], [12.5, 22], [0, 0]]
    assert table.people["visibility"].tolist() == [[2, 2, 2, 0], [2, 2, 2, 0], [2, 2, 2, 2], [2, 2, 2, 0]]
    # The extent of the joints, 15 % wider on each side; the height of 2 pixels is above a quarter of the extents.
    np.testing.assert_allclose(table.people["box"][0], [9.625, 19.7, 12.875, 22.3], atol=1e-5)
    assert table.people["annotation_id"].tolist() == [1, 2, 3, 4]


def test_frames_of_a_video_have_its_pixels(tmp_path):
    table = read_table(read_source(simple(tmp_path / "labels.slp"), choice=ALL_TRAIN), tmp_path / "out")
    for image, frame in enumerate((2, 4, 9)):
        picture = table.read_image_bytes(image)
        assert picture[:2] == b"\xff\xd8"
        assert np.abs(decode_upright(picture, "").astype(int) - gray_level(frame)).max() <= 3


def test_skeleton_has_edges_and_symmetric_nodes(tmp_path):
    skeleton = read_source(simple(tmp_path / "labels.slp")).skeleton
    assert skeleton.name == "fly" and skeleton.joints == NODES
    assert skeleton.limbs == ((0, 1), (0, 2), (0, 3))
    # The names tell which one is left.
    assert skeleton.left_right_pairs == (("eyeL", "eyeR"),)
    given = read_source(tmp_path / "labels.slp", LabelChoice(left_right_pairs=[("head", "tail")])).skeleton
    assert given.left_right_pairs == (("head", "tail"),)


def test_nodes_are_in_the_order_of_the_skeleton(tmp_path):
    changed = {"skeletons": [skeleton_json(order=(3, 0, 1, 2))]}
    source = read_source(simple(tmp_path / "labels.slp", metadata=changed))
    assert source.skeleton.joints == ("tail", "head", "eyeR", "eyeL")
    assert source.skeleton.limbs == ((1, 2), (1, 3), (1, 0))


def test_nodes_may_be_objects(tmp_path):
    def node(name):
        return {"py/object": "sleap.skeleton.Node", "py/state": {"py/tuple": [name, 1.0]}}

    kind = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [1]}]}
    links = [
        {"source": node("head"), "target": node("eyeR"), "type": kind},
        {"source": {"py/id": 1}, "target": node("eyeL"), "type": {"py/id": 3}},
        {"source": {"py/id": 1}, "target": node("tail"), "type": {"py/id": 3}},
    ]
    nodes = [{"id": {"py/id": number}} for number in (1, 2, 4, 5)]
    changed = {"skeletons": [{"links": links, "nodes": nodes, "graph": {"name": "fly"}}]}
    skeleton = read_source(simple(tmp_path / "labels.slp", metadata=changed)).skeleton
    assert skeleton.joints == NODES and skeleton.limbs == ((0, 1), (0, 2), (0, 3))
    assert skeleton.left_right_pairs == (("eyeL", "eyeR"),)


@pytest.mark.parametrize(("format_id", "shift"), [(None, 0.5), (1.0, 0.5), (1.1, 0), (1.3, 0)])
def test_pixel_centers_of_old_files_are_moved_to_whole_numbers(tmp_path, format_id, shift):
    source = read_source(simple(tmp_path / "labels.slp", format_id=format_id), choice=ALL_TRAIN)
    assert source.splits["train"].people["keypoints"][0][0].tolist() == [10 - shift, 20 - shift]


def test_invisible_points_are_not_labeled(tmp_path):
    frames = [(0, 1, [animal(POINTS, visible=[True, False, True, True])])]
    (people,) = (split.people for split in read_source(simple(tmp_path / "labels.slp", frames)).splits.values())
    assert people["visibility"].tolist() == [[2, 0, 2, 0]]


def test_animals_without_identities_are_in_photos(tmp_path):
    frames = [(0, frame, [animal(POINTS)]) for frame in range(3)]
    split = read_source(simple(tmp_path / "labels.slp", frames), choice=ALL_TRAIN).splits["train"]
    assert split.images["sequence"] == [""] * 3 and split.people["track_id"].tolist() == [-1] * 3


def test_predictions_are_taken_on_demand_where_nobody_corrected_them(tmp_path):
    frames = [
        (0, 0, [animal(POINTS, predicted=True), animal(POINTS, source=0)]),
        (0, 1, [animal(POINTS, 1, predicted=True), animal(POINTS, 1)]),
        (0, 2, [animal(POINTS, 0, predicted=True), animal(POINTS, 1)]),
        (0, 3, [animal(POINTS, predicted=True)]),
    ]
    path = simple(tmp_path / "labels.slp", frames)
    source = read_source(path, choice=ALL_TRAIN)
    assert np.diff(source.splits["train"].first_person).tolist() == [1, 1, 1]
    assert "4 animals that SLEAP predicted were left out; --predicted takes" in source.notes[1]
    source = read_source(path, LabelChoice(takes_predicted=True), ALL_TRAIN)
    assert np.diff(source.splits["train"].first_person).tolist() == [1, 1, 2, 1]


def test_a_frame_has_each_identity_once(tmp_path):
    source = read_source(simple(tmp_path / "labels.slp", [(0, 1, [animal(POINTS, 1), animal(POINTS, 1)])]))
    assert source.splits["train"].people["track_id"].tolist() == [1, -1]
    assert any("1 animals have no identity" in note for note in source.notes)


def test_a_frame_in_two_rows_of_the_table_has_labels(tmp_path):
    rows = [(0, 1, [animal(POINTS)]), (0, 1, [animal(POINTS)]), (0, 2, [])]
    source = read_source(simple(tmp_path / "labels.slp", rows))
    assert np.diff(source.splits["train"].first_person).tolist() == [2]
    assert any("1 frames without labels were left out" in note for note in source.notes)


# Pictures


def test_images_stay_as_they_are(tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        (tmp_path / "pictures" / f"{number}.jpg").write_bytes(encoded_picture(*SIZE, seed=number))
    names = [f"/elsewhere/pictures/{number}.jpg" for number in range(3)]
    video = {"backend": {"type": "ImageVideo", "filename": names[0], "filenames": names}}
    path = write_slp(tmp_path / "labels.slp", [(0, frame, [animal(POINTS)]) for frame in (0, 2)], [video])
    table = read_table(read_source(path, choice=ALL_TRAIN), tmp_path / "out")
    assert table.images["file_name"] == ["pictures/0.jpg", "pictures/2.jpg"]
    for image, number in enumerate((0, 2)):
        assert table.read_image_bytes(image) == (tmp_path / "pictures" / f"{number}.jpg").read_bytes()


def write_package(path, pictures, numbers, is_padded=False, **attributes):
    """Writes a package with embedded images of frames."""
    video = {"backend": {"type": "HDF5Video", "filename": ".", "dataset": "video3/video"}}
    write_slp(path, [(3, number, [animal(POINTS)]) for number in numbers], [video], format_id=1.2)
    rows = [np.frombuffer(picture, np.int8) for picture in pictures]
    with h5py.File(path, "a") as file:
        if is_padded:
            width = max(map(len, rows)) + 7
            images = file.create_dataset("video3/video", data=[np.pad(row, (0, width - len(row))) for row in rows])
        else:
            images = file.create_dataset("video3/video", (len(rows),), h5py.vlen_dtype(np.int8))
            for row, picture in enumerate(rows):
                images[row] = picture
        images.attrs.update(attributes)
        file["video3/frame_numbers"] = np.array(sorted(numbers), np.uint64)
        content = json.dumps({"backend": {"filename": r"C:\clips\nest.mp4"}})
        file.create_group("video3/source_video").attrs["json"] = content
    return path


@pytest.mark.parametrize("is_padded", [False, True])
def test_embedded_images_are_found_by_their_numbers_and_stay_as_they_are(tmp_path, is_padded):
    pictures = [cv2.imencode(".png", np.full(SIZE, gray_level(n), np.uint8))[1].tobytes() for n in (3, 8)]
    path = write_package(tmp_path / "labels.pkg.slp", pictures, (8, 3), is_padded)
    table = read_table(read_source(path, choice=ALL_TRAIN), tmp_path / "out")
    assert table.images["file_name"] == ["nest/000003.jpg", "nest/000008.jpg"]
    assert [table.read_image_bytes(image) for image in (0, 1)] == pictures


def test_videos_of_joined_packages_are_told_apart_by_their_places(tmp_path):
    """Each package calls its only video alike; a video file beside them has a number too."""
    write_clip(tmp_path / "clip.avi")
    videos, pictures = [media("clip.avi")], []
    for level, name in ((60, "a.pkg.slp"), (120, "b.pkg.slp")):
        pictures.append(cv2.imencode(".png", np.full(SIZE, level, np.uint8))[1].tobytes())
        write_package(tmp_path / name, pictures[-1:], (0,))
        with h5py.File(tmp_path / name, "a") as file:
            file.move("video3", "video0")
        videos.append({"backend": {"type": "HDF5Video", "filename": name, "dataset": "video0/video"}})
    frames = [(video, 0, [animal(POINTS, -1)]) for video in (0, 1, 2)]
    path = write_slp(tmp_path / "joined.slp", frames, videos, format_id=1.4)
    table = read_table(read_source(path, choice=ALL_TRAIN), tmp_path / "out")
    assert table.images["file_name"] == ["clip/000000.jpg", "nest/000000.jpg", "nest_2/000000.jpg"]
    assert [table.read_image_bytes(image) for image in (1, 2)] == pictures


@pytest.mark.parametrize(("attributes", "is_swapped"), [({}, True), ({"channel_order": "RGB"}, False)])
def test_colors_of_embedded_images_are_those_of_the_video(tmp_path, attributes, is_swapped):
    red_in_rgb = np.zeros((*SIZE, 3), np.uint8) + np.array([200, 10, 20], np.uint8)
    # SLEAP gives OpenCV the colors as red, green, blue; OpenCV takes them for blue, green, red.
    picture = cv2.imencode(".png", red_in_rgb if is_swapped else red_in_rgb[..., ::-1])[1].tobytes()
    path = write_package(tmp_path / "labels.pkg.slp", [picture], (3,), **attributes)
    table = read_table(read_source(path), tmp_path / "out")
    np.testing.assert_array_equal(decode_upright(table.read_image_bytes(0), ""), red_in_rgb)


# Splits


def test_the_last_frames_of_each_video_are_for_validation(tmp_path):
    write_clip(tmp_path / "other.avi")
    write_clip(tmp_path / "clip.avi")
    frames = [(video, frame, [animal(POINTS)]) for video in (0, 1) for frame in range(10)]
    path = write_slp(tmp_path / "labels.slp", frames, [media("clip.avi"), media("/x/other.avi")])
    source = read_source(path, choice=SplitChoice(val_share=0.25))
    assert source.splits["val"].images["file_name"] == [
        *("clip/000007.jpg", "clip/000008.jpg", "clip/000009.jpg", "other/000008.jpg", "other/000009.jpg")
    ]
    assert source.splits["train"].num_images == 15
    assert "val holds 5 of 20 labeled frames, the last ones of each video" in source.notes[-1]
    source = read_source(path, choice=SplitChoice(val_videos=("other",)))
    assert [set(name.split("/")[0] for name in s.images["file_name"]) for s in source.splits.values()] == [
        {"clip"},
        {"other"},
    ]
    with pytest.raises(ValueError, match=r"--val_videos must be videos with labels \(clip, other\), got 'nest'"):
        read_source(path, choice=SplitChoice(val_videos=("nest",)))
    with pytest.raises(ValueError, match="--val_videos must leave a video for training"):
        read_source(path, choice=SplitChoice(val_videos=("clip", "other")))


@pytest.mark.parametrize(("share", "num_val"), [(0.1, 3), (0.0, 0), (0.9, 27)])
def test_the_share_for_validation_is_kept(tmp_path, share, num_val):
    frames = [(0, frame, [animal(POINTS)]) for frame in range(30)]
    splits = read_source(simple(tmp_path / "labels.slp", frames), choice=SplitChoice(share)).splits
    assert {name: split.num_images for name, split in splits.items()} == {"train": 30 - num_val} | (
        {"val": num_val} if num_val else {}
    )


def test_hidden_files_that_macos_writes_are_passed_over(tmp_path):
    simple(tmp_path / "labels.slp")
    (tmp_path / "._labels.slp").write_bytes(b"\0\5\x16\7")
    assert read_source(tmp_path, choice=ALL_TRAIN).splits["train"].num_images == 3


def test_files_that_name_their_split_keep_it(tmp_path):
    folder = tmp_path / "split"
    folder.mkdir()
    simple(folder / "labels.train.slp")
    simple(folder / "labels.val.pkg.slp", [(0, 1, [animal(POINTS)])])
    source = read_source(folder)
    assert {name: split.num_images for name, split in source.splits.items()} == {"train": 3, "val": 1}
    shutil.copy(folder / "labels.train.slp", folder / "more.slp")
    source = read_source(folder)
    assert sum(split.num_images for split in source.splits.values()) == 7
    assert {name.split("/")[0] for name in source.splits["train"].images["file_name"]} >= {"clip", "clip_2"}


def test_names_of_files_tell_the_split():
    names = ("labels.train.slp", "val.pkg.slp", "my_test-set.slp", "trained.slp", "train_val.slp", "Validation.slp")
    assert [split_of_name(name) for name in names] == ["train", "val", "test", None, None, "val"]


# Refusals


def set_column(name, field, value):
    def change(file):
        table = file[name][()]
        table[field][0] = value
        file[name][...] = table

    return change


def without(name):
    def change(file):
        del file[name]

    return change


def replaced(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("frames"), "labels.slp: must hold a dataset 'frames', got none"),
        (without("instances"), "must hold a dataset 'instances', got none"),
        (without("points"), "must hold a dataset 'points', got none"),
        (without("metadata"), "must be a SLEAP file with 'metadata' that holds 'json', got no such text"),
        (without("videos_json"), "'frames': 'video' must be one of the 0 videos"),
        (replaced("points", np.zeros(3)), "'points' must have a column 'x', got 'numbers of shape"),
        (replaced("frames", np.array([b"a"])), "'frames' must have a column 'video'"),
        (replaced("videos_json", np.array([b"{"])), "'videos_json' in row 0 must be JSON, got '{'"),
        (replaced("videos_json", np.array([b"[]"])), "video 0 must be an object with a 'backend', got"),
        (replaced("videos_json", np.array([b'{"backend": {}}'])), "video 0: 'filename' must be a name, got None"),
        (set_column("frames", "video", 7), r"'video' must be one of the 1 videos \(0\), got 7"),
        (set_column("frames", "instance_id_end", 99), "'instance_id_end' must be a whole number from 0 to 5, got 99"),
        (set_column("frames", "instance_id_start", 5), "'instance_id_end' must be at least 'instance_id_start'"),
        (set_column("frames", "instance_id_end", 5), "'frames' must name each of the 5 instances once"),
        (set_column("instances", "track", 2), "'instances': 'track' must be a whole number from -1 to 1, got 2"),
        (set_column("instances", "skeleton", 1), "the animals must have one skeleton, got skeletons 0, 1"),
        (set_column("instances", "instance_type", 9), "'instance_type' must be a whole number from 0 to 1, got 9"),
        (set_column("instances", "point_id_end", 3), "an animal must have 4 of the 16 'points', got"),
        (set_column("instances", "point_id_end", 1 << 40), "an animal must have 4 of the 16 'points', got"),
        (set_column("points", "x", np.inf), r"'points' must hold pixels or NaN, got \[inf, 20.0\] in row 0"),
        (set_column("points", "y", 1e20), r"'points' must hold pixels or NaN, got \[10.0, 1e\+20\] in row 0"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, change, message):
    path = simple(tmp_path / "labels.slp")
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(ValueError, match=message):
        read_source(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"nodes": [{"name": "a"}, {"weight": 1}]}, "node 1 in the metadata must have a name, got {'weight': 1}"),
        ({"nodes": [{"name": name} for name in "abcb"]}, "joints must be distinct names"),
        ({"nodes": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}, "a node must be one of the 3 nodes in the metadata"),
        ({"nodes": 3}, "'nodes' in the metadata must be a list of objects with a name, got 3"),
        ({"skeletons": []}, "skeleton 0 must be an object with 'nodes' and 'links', got None"),
        (
            {"skeletons": [{"nodes": [{"id": 0}], "links": [{"source": 0, "target": 1, "type": {"py/id": 4}}]}]},
            "a link must be of type 1 or 2 and join two nodes",
        ),
    ],
)
def test_a_wrong_skeleton_is_refused_in_one_line(tmp_path, metadata, message):
    with pytest.raises(ValueError, match=f"labels.slp: .*{message}"):
        read_source(simple(tmp_path / "labels.slp", metadata=metadata))


def test_what_is_no_slp_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must be a SLEAP file or contain \*.slp, got no such file"):
        read_source(tmp_path)
    (tmp_path / "text.slp").write_text("labels")
    with pytest.raises(ValueError, match="text.slp: must be a SLEAP file, an HDF5 file, got the first bytes 6c 61"):
        read_source(tmp_path / "text.slp")
    path = simple(tmp_path / "labels.slp")
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ValueError, match="labels.slp: the file is damaged"):
        read_source(path)


def test_data_of_other_files_are_not_read(tmp_path):
    path = simple(tmp_path / "labels.slp")
    shutil.copy(path, tmp_path / "other.h5")
    with h5py.File(path, "a") as file:
        del file["points"]
        file["points"] = h5py.ExternalLink("other.h5", "points")
    with pytest.raises(ValueError, match="'points' must lie in this file, got a link to another place"):
        read_source(path)
    with h5py.File(path, "a") as file:
        del file["points"]
        file.create_dataset("points", (1 << 40, 4), "f8", chunks=(1, 4))
    with pytest.raises(ValueError, match="'points' must hold at most .* bytes of numbers"):
        read_source(path)


def test_labels_are_needed(tmp_path):
    with pytest.raises(ValueError, match="must hold labeled animals, got none"):
        read_source(simple(tmp_path / "labels.slp", [(0, 1, [])]))
    with pytest.raises(ValueError, match="must hold labeled animals, got 1 predicted animals; --predicted takes them"):
        read_source(simple(tmp_path / "labels.slp", [(0, 1, [animal(POINTS, predicted=True)])]))
    with pytest.raises(ValueError, match="must hold labeled joints, got none for 1 animals"):
        read_source(simple(tmp_path / "labels.slp", [(0, 1, [animal([NAN] * 4)])]))


def test_missing_videos_and_frames_are_named(tmp_path):
    path = simple(tmp_path / "labels.slp", [(0, 10, [animal(POINTS)])])
    with pytest.raises(ValueError, match="clip.avi: must have frame 10 .*labels.slp labels, got 10 frames"):
        write_dataset(Builder, read_source(path), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "clip.avi").write_bytes(b"no video")
    with pytest.raises(ValueError, match="clip.avi: cannot be opened as a video"):
        write_dataset(Builder, read_source(path), tmp_path / "out")
    (tmp_path / "clip.avi").unlink()
    with pytest.raises(FileNotFoundError, match=r"video 0: file not found: C:.labels.videos.clip.avi; put clip.avi"):
        read_source(path)


def test_a_file_that_stands_for_two_videos_is_refused(tmp_path):
    """Cameras give the videos of each day the same name."""
    write_clip(tmp_path / "clip.avi")
    frames = [(video, 2, [animal(POINTS)]) for video in (0, 1)]
    path = write_slp(tmp_path / "a.slp", frames, [media("/home/me/day1/clip.avi"), media("/home/me/day2/clip.avi")])
    message = (
        r"a.slp: '/home/me/day1/clip.avi' and '/home/me/day2/clip.avi' must be different files, got .*/clip.avi for"
    )
    with pytest.raises(ValueError, match=message):
        read_source(path)
    for day in ("day1", "day2"):
        (tmp_path / day).mkdir()
        write_clip(tmp_path / day / "clip.avi")
    assert read_source(path, choice=ALL_TRAIN).splits["train"].num_images == 2


@pytest.mark.parametrize(("shape", "is_right"), [([10, *SIZE, 1], True), (None, True), ([10, 48, 64, 1], False)])
def test_a_moved_video_is_refused_where_it_has_another_size(tmp_path, shape, is_right):
    video = media("/home/me/clip.avi")
    video["backend"]["shape"] = shape
    write_clip(tmp_path / "clip.avi")
    source = read_source(write_slp(tmp_path / "labels.slp", [(0, 2, [animal(POINTS)])], [video]), choice=ALL_TRAIN)
    if is_right:
        write_dataset(Builder, source, tmp_path / "out")
        return
    with pytest.raises(ValueError, match=r"clip.avi: frames must have 64x48 pixels as in .*labels.slp, got 48x64; it"):
        write_dataset(Builder, source, tmp_path / "out")


def test_missing_embedded_images_are_named(tmp_path):
    picture = encoded_picture(*SIZE, ".png")
    path = write_package(tmp_path / "labels.pkg.slp", [picture], (3,))
    with h5py.File(path, "a") as file:
        file["video3/frame_numbers"][0] = 4
    with pytest.raises(ValueError, match="'video3/video' must hold frame 3 .*, got 1 other frames"):
        write_dataset(Builder, read_source(path), tmp_path / "out")
    path = write_package(tmp_path / "cut.pkg.slp", [picture[:-20]], (3,))
    with pytest.raises(ValueError, match=r"cut.pkg.slp: video3/video\[0\]: truncated PNG"):
        write_dataset(Builder, read_source(path), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_program_builds_a_file(tmp_path, capsys):
    path = simple(tmp_path / "labels.slp")
    assert build.main(["slp", f"--source={path}", f"--output={tmp_path / 'out'}", "--val_share=0.3"]) == 0
    printed = capsys.readouterr()
    assert "skeleton fly: 4 joints: head, eyeR, eyeL, tail\nswapped in mirrored images: eyeL/eyeR" in printed.out
    assert "note: val holds 1 of 3 labeled frames, the last ones of each video" in printed.err
    assert records.read_table(tmp_path / "out", "val").images["file_name"] == ["clip/000009.jpg"]
    assert not list((tmp_path / "out").glob(".*"))
    assert build.main(["slp", "--source=/nowhere", f"--output={tmp_path / 'out'}"]) == 1
    assert "error: --source must be a file or folder, got no such file or folder: /nowhere" in capsys.readouterr().err


@pytest.mark.skipif(not FLIES.is_dir(), reason="needs the flies in ../shared/data")
def test_the_flies_are_read_whole(tmp_path):
    shutil.copy(FLIES / "clip.mp4", tmp_path / "clip.mp4")
    frames, joints = [], ()
    for half in ("train", "val"):
        content = json.loads((FLIES / "annotations" / f"flies_{half}_every_frame.json").read_text())
        joints = content["categories"][0]["keypoints"]
        by_image: dict = {}
        for person in content["annotations"]:
            points = np.array(person["keypoints"], float).reshape(-1, 3)
            points[points[:, 2] == 0] = np.nan
            entry = animal([tuple(point) for point in points[:, :2]], person["track_id"])
            by_image.setdefault(person["image_id"], []).append(entry)
        frames += [(0, image["source_frame"], by_image[image["id"]]) for image in content["images"]]
    skeleton = {"links": [], "nodes": [{"id": number} for number in range(len(joints))], "graph": {"name": "fly"}}
    metadata = {"skeletons": [skeleton], "nodes": [{"name": joint} for joint in joints]}
    path = write_slp(tmp_path / "clip.slp", frames, [media("tests/clip.mp4")], format_id=1.1, metadata=metadata)
    source = read_source(path, choice=SplitChoice(val_share=0.5))
    visibility = np.concatenate([split.people["visibility"] for split in source.splits.values()])
    assert visibility.shape == (3000, 13) and (visibility == 0).sum() == 637
    assert {name: (split.people["visibility"] > 0).sum() for name, split in source.splits.items()} == {
        "train": 19395,
        "val": 18968,
    }
    assert len(source.skeleton.left_right_pairs) == 5
    for split in source.splits.values():
        assert split.num_images == 750 and set(split.people["track_id"]) == {0, 1}
    # Ten frames are decoded and compared with the photos, which were made from the same video.
    write_slp(path, frames[:50:5], [media("tests/clip.mp4")], format_id=1.1, metadata=metadata)
    table = read_table(read_source(path, choice=ALL_TRAIN), tmp_path / "out")
    photos = sorted((FLIES / "images" / "train").rglob("*.jpg"))[:10]
    for image, photo in enumerate(photos):
        found, expected = (decode_upright(data, "") for data in (table.read_image_bytes(image), photo.read_bytes()))
        assert np.abs(found.astype(int) - expected).mean() < 2
