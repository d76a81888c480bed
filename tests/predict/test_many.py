"""The parts of `tfpose predict-many` that need no Apache Beam: inputs, names, marks, the report, the results."""

import csv
import dataclasses
import os
import pathlib
import sys
import threading
import types

import cv2
import numpy as np
import pytest
import tensorflow as tf
from program_runs import assert_one_line, run
from video_cases import people, write_picture, write_video

from tfpose import predict_beam
from tfpose.prediction import many_files
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.local_workers import run_watched
from tfpose.prediction.many_inputs import PICTURES, RECORDS, VIDEO, find_inputs
from tfpose.prediction.many_prediction import LoadedModel, predict_input
from tfpose.prediction.many_results import (
    DAMAGED,
    DONE,
    FAILED,
    DoneMarks,
    claim_output,
    count_statuses,
    crashed_row,
    write_report,
)
from tfpose.prediction.record_pictures import unpack_pictures
from tfpose.prediction.run import PredictionSettings, predict_source
from tfpose.prediction.sources import open_sources
from tfpose.skeletons import COCO17
from tfpose.tracking.choice import TrackerChoice


class FixedModel:
    """Finds one person, who moves, in every frame."""

    skeleton, problems, notes = COCO17, (), ()

    def check_sources(self, sources):
        pass

    def predict_frames(self, frames):
        return [people([(10 + frame.index, 20)]) for frame in frames]


def loaded_model():
    settings = PredictionSettings(pathlib.Path("unused"), ("posetrack",), tracker=TrackerChoice("online"))
    return LoadedModel(FixedModel(), settings, None, FrameSpan())


def write_records(path, pictures):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, image in pictures:
            fields = {"image": cv2.imencode(".png", image)[1].tobytes(), "file_name": name.encode()}
            feature = {
                key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in fields.items()
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return path


def test_inputs_are_videos_folders_of_pictures_and_record_files(tmp_path):
    write_video(tmp_path / "clip.avi", 2)
    for folder in ("left", "right"):
        for index in range(2):
            write_picture(tmp_path / folder / f"{index}.jpg")
    write_records(tmp_path / "data.tfrecord-00000-of-00001", [("a.png", np.zeros((4, 4, 3), np.uint8))])
    found = find_inputs([str(tmp_path / "*.*"), str(tmp_path / "left"), str(tmp_path / "right" / "*.jpg")])
    assert [(item.kind, item.name) for item in found] == [
        (VIDEO, "clip"),
        (RECORDS, "data.tfrecord-00000-of-00001"),
        (PICTURES, "right"),
        (PICTURES, "left"),
    ]
    assert [item.position for item in found] == [0, 1, 2, 3]
    assert [len(item.addresses) for item in found] == [1, 1, 2, 2]


def test_inputs_of_one_name_get_different_names_that_stay(tmp_path):
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / "clip.avi", 2)
    two = [item.name for item in find_inputs([str(tmp_path / "[ab]" / "clip.avi")])]
    three = [item.name for item in find_inputs([str(tmp_path / "*" / "clip.avi")])]
    assert len(set(three)) == 3 and three[:2] == two
    assert all(name.startswith("clip-") for name in three)
    # The same file twice is one input.
    path = str(tmp_path / "a" / "clip.avi")
    assert [item.name for item in find_inputs([path, path])] == ["clip"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("none/*.mp4", "none/.*: must match files, got none"), ("none.mp4", "none.mp4: there is no such file or folder")],
)
def test_a_pattern_or_file_that_is_missing_is_an_error(text, message):
    with pytest.raises(FileNotFoundError, match=message):
        find_inputs([text])


def test_results_are_those_of_tfpose_predict(tmp_path):
    video = write_video(tmp_path / "clip.avi", 6)
    for index in range(3):
        write_picture(tmp_path / "photos" / f"{index}.jpg", index)
    out, single = str(tmp_path / "out"), tmp_path / "single"
    for item in find_inputs([str(video), str(tmp_path / "photos")]):
        assert predict_input(item, loaded_model(), out, DoneMarks(out, "x")).status == DONE
    for source in open_sources([str(video), str(tmp_path / "photos")]):
        tracker = TrackerChoice("online") if source.is_video else None
        settings = PredictionSettings(single, ("posetrack",), tracker=tracker)
        predict_source(source, FixedModel().predict_frames, COCO17, settings)
    for name in ("clip", "photos"):
        files = [pathlib.Path(folder, "predictions", f"{name}.json").read_bytes() for folder in (out, single)]
        assert files[0] == files[1]
    assert not list((tmp_path / "out" / many_files.UNFINISHED_FOLDER).iterdir())


def with_drawings(loaded):
    return dataclasses.replace(loaded, settings=dataclasses.replace(loaded.settings, outputs=("posetrack", "video")))


def test_drawn_pictures_of_two_folders_do_not_overwrite_one_another(tmp_path):
    for folder in ("left", "right"):
        write_picture(tmp_path / folder / "0.jpg")
    out = str(tmp_path / "out")
    for item in find_inputs([str(tmp_path / "left"), str(tmp_path / "right")]):
        assert predict_input(item, with_drawings(loaded_model()), out, DoneMarks(out, "x")).status == DONE
    drawn = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out" / "pictures").rglob("*.jpg")]
    assert sorted(drawn) == ["pictures/left/0.jpg", "pictures/right/0.jpg"]


def test_results_do_not_replace_an_input(tmp_path):
    (tmp_path / "videos").mkdir()
    video = write_video(tmp_path / "videos" / "clip.mp4", 3)
    before, out = video.read_bytes(), str(tmp_path)
    row = predict_input(find_inputs([str(video)])[0], with_drawings(loaded_model()), out, DoneMarks(out, "x"))
    assert row.status == FAILED and "the results would replace the input" in row.message
    assert video.read_bytes() == before


def test_records_are_predicted_as_their_pictures(tmp_path):
    images = [np.random.default_rng(index).integers(0, 256, (40, 50, 3), np.uint8) for index in range(3)]
    names = [f"set/{index}.png" for index in range(3)]
    path = write_records(tmp_path / "x.tfrecord", list(zip(names, images, strict=True)))
    (item,) = find_inputs([str(path)])
    with item.open(FrameSpan()) as source:
        frames = list(source.frames())
    assert [frame.name for frame in frames] == ["0.png", "1.png", "2.png"]
    assert all((frame.image == image[..., ::-1]).all() for frame, image in zip(frames, images, strict=True))


def test_names_in_records_cannot_leave_the_folder(tmp_path):
    image = np.zeros((4, 4, 3), np.uint8)
    path = write_records(tmp_path / "x.tfrecord", [("../../evil.png", image), ("/etc/b.png", image), ("", image)])
    folder = tmp_path / "pictures"
    folder.mkdir()
    found = unpack_pictures(path, folder)
    assert [place.relative_to(folder).as_posix() for place in found] == ["000000.png", "etc/b.png", "000002.png"]


def test_damaged_records_are_errors(tmp_path):
    path = write_records(tmp_path / "x.tfrecord", [("a.png", np.zeros((4, 4, 3), np.uint8))] * 2)
    folder = tmp_path / "pictures"
    folder.mkdir()
    with pytest.raises(ValueError, match="pictures must have different names, got two that are called 'a.png'"):
        unpack_pictures(path, folder)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="must be whole, got a damaged one"):
        unpack_pictures(path, tmp_path / "other")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="must hold records, got none"):
        unpack_pictures(path, folder)


def test_a_broken_video_and_a_damaged_folder_are_rows(tmp_path):
    (tmp_path / "bad.avi").write_bytes(b"nothing")
    write_picture(tmp_path / "photos" / "0.jpg")
    (tmp_path / "photos" / "1.jpg").write_bytes(b"\xff\xd8\xff broken")
    out = str(tmp_path / "out")
    found = find_inputs([str(tmp_path / "bad.avi"), str(tmp_path / "photos")])
    marks = DoneMarks(out, "x")
    rows = [predict_input(item, loaded_model(), out, marks) for item in found]
    assert [row.status for row in rows] == [FAILED, DAMAGED]
    assert "cannot be opened as a video" in rows[0].message and "1.jpg: damaged JPEG" in rows[1].message
    # What failed is tried again, what is damaged stays as it is.
    assert [marks.find(item) is not None for item in found] == [False, True]
    rows.append(crashed_row(found[0], "code -9"))
    write_report(reversed(rows), out)
    with open(tmp_path / "out" / "report.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["status"] for line in lines].count("failed") == 2 and lines[-1]["frames"] == "1"
    assert count_statuses(out) == {DONE: 0, DAMAGED: 1, FAILED: 2}


def test_a_result_is_done_until_its_input_model_or_file_changes(tmp_path):
    video, out = write_video(tmp_path / "clip.avi", 3), str(tmp_path / "out")
    (item,) = find_inputs([str(video)])
    marks = DoneMarks(out, "settings")
    assert marks.find(item) is None
    row = predict_input(item, loaded_model(), out, marks)
    found = marks.find(item)
    assert found.is_earlier and (found.frames, found.status, found.seconds) == (3, DONE, row.seconds)
    assert DoneMarks(out, "other settings").find(item) is None
    whole = video.read_bytes()
    video.write_bytes(b"nothing")
    failed = predict_input(item, loaded_model(), out, marks)
    assert failed.status == FAILED and failed.message.endswith("results of an earlier run are there still")
    video.write_bytes(whole)
    os.utime(video, (1, 1))
    assert marks.find(item) is None
    predict_input(item, loaded_model(), out, marks)
    (tmp_path / "out" / "predictions" / "clip.json").unlink()
    assert marks.find(item) is None


def test_notes_of_the_prediction_are_in_the_report(tmp_path):
    (item,) = find_inputs([str(write_video(tmp_path / "clip.avi", 2))])
    output = str(tmp_path / "out")
    row = predict_input(item, loaded_model(), output, DoneMarks(output, "x"))
    assert row.status == DONE
    assert row.message.startswith(f"note: {output}/predictions/clip.json: PoseTrack's files have no left_eye")


def test_results_do_not_replace_those_of_another_input_with_the_same_name(tmp_path):
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / "clip.avi", 3)
    out, first = str(tmp_path / "out"), tmp_path / "monday" / "clip.avi"
    inputs = [find_inputs([str(tmp_path / folder / "clip.avi")])[0] for folder in ("monday", "tuesday")]
    marks = DoneMarks(out, "x")
    assert predict_input(inputs[0], loaded_model(), out, marks).status == DONE
    row = predict_input(inputs[1], loaded_model(), out, marks)
    assert row.status == FAILED and f"holds the results of {first} under the name clip; choose" in row.message
    assert marks.find(inputs[0])
    # A link leads to the same video, and a video that was moved leaves none behind.
    (tmp_path / "link").symlink_to(tmp_path / "monday")
    (linked,) = find_inputs([str(tmp_path / "link" / "clip.avi")])
    assert predict_input(linked, loaded_model(), out, marks).status == DONE
    assert predict_input(inputs[1], loaded_model(), out, DoneMarks(out, "x", True)).status == DONE
    (tmp_path / "tuesday" / "clip.avi").unlink()
    assert predict_input(inputs[0], loaded_model(), out, marks).status == DONE


@pytest.mark.parametrize(
    ("other", "is_other"), [("https://a.org/clip.mp4?key=1", False), ("https://b.org/clip.mp4", True)]
)
def test_addresses_of_one_file_differ_in_their_queries(other, is_other):
    assert many_files.is_elsewhere(other, "https://a.org/clip.mp4?key=2") == is_other


def test_a_list_of_inputs_may_begin_with_a_mark_of_its_encoding(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.mp4\r\n\r\nb.mp4\r\n")
    values = types.SimpleNamespace(input_list=str(tmp_path / "list.txt"))
    assert predict_beam._listed_inputs(values) == ["a.mp4", "b.mp4"]


def test_an_output_belongs_to_one_model_and_its_settings(tmp_path, monkeypatch):
    out = str(tmp_path / "out")
    assert claim_output(out, {"model_digest": "a", "every": 1}, False) == ""
    assert claim_output(out, {"model_digest": "a", "every": 1}, False) == ""
    with pytest.raises(ValueError, match=r"holds results of another setting \(every 1, now 2\); choose another --outp"):
        claim_output(out, {"model_digest": "a", "every": 2}, False)
    with pytest.raises(ValueError, match="holds results of another model"):
        claim_output(out, {"model_digest": "b", "every": 1}, False)
    assert claim_output(out, {"model_digest": "b", "every": 1}, True) == ""
    monkeypatch.setattr("tfpose.__version__", "99")
    assert "holds results of version" in claim_output(out, {"model_digest": "b", "every": 1}, False)


def test_the_digest_of_a_model_is_that_of_its_weights(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "best.weights.h5").write_bytes(b"weights")
    (tmp_path / "b" / "notes.txt").write_text("something")
    # Results below the work folder are none of its weights.
    (tmp_path / "b" / "results" / "predictions").mkdir(parents=True)
    (tmp_path / "b" / "results" / "predictions" / "clip.json").write_text("{}")
    (tmp_path / "b" / "predict_many.json").write_text("{}")
    digests = [many_files.digest_of_model(tmp_path / folder) for folder in ("a", "b")]
    assert digests[0] == digests[1]
    (tmp_path / "b" / "best.weights.h5").write_bytes(b"other weights")
    assert many_files.digest_of_model(tmp_path / "b") != digests[0]


def test_without_beam_that_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    result = run("-m", "tfpose.predict_beam", write_video(tmp_path / "clip.avi", 2), f"--output={tmp_path / 'out'}")
    assert_one_line(result, "requires the package apache-beam", "pip install 'tfpose[beam]'")


def test_a_worker_of_an_earlier_call_that_ends_late_is_no_crash(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda failure: None)
    may_end = threading.Event()

    def end_late():
        may_end.wait()
        raise RuntimeError("exited with return code 1")

    waiting = threading.Thread(target=end_late, name="run_worker")
    waiting.start()

    def act():
        may_end.set()
        waiting.join()

    assert run_watched(act, lambda: False)


def test_options_of_beam_replace_the_local_ones():
    assert predict_beam._local_options([], 3) == [
        "--runner=DirectRunner",
        "--direct_running_mode=multi_processing",
        "--direct_num_workers=3",
        "--default_sdk_harness_log_level=CRITICAL",
    ]
    given = ["--direct_num_workers", "8", "--direct_running_mode=in_memory"]
    assert predict_beam._local_options(given, 3) == [
        "--runner=DirectRunner",
        "--default_sdk_harness_log_level=CRITICAL",
    ]
    assert predict_beam._is_local(["--runner=DirectRunner"]) and not predict_beam._is_local(["--runner", "FlinkRunner"])


def test_windows_is_refused_in_one_line(monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="must run on Linux or macOS, got Windows"):
        patch.setattr(os, "name", "nt")
        predict_beam.run(None, ["clip.mp4"])
