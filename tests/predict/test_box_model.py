"""`tfpose predict --boxes=FILE`: a file in place of a detector."""

import json

import cv2
import numpy as np
import program_runs
import pytest
import two_stage_runs
from video_cases import write_picture, write_video

from tfpose.coco_results import write_detections
from tfpose.inference.detected_boxes import BoxSettings
from tfpose.inference.detectors.boxes_file import BoxesFile
from tfpose.inference.detectors.detector import Picture
from tfpose.inference.detectors.keypoint_rcnn import load_keypoint_rcnn_detector
from tfpose.prediction.box_model import BoxPoseModel
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.frames import SourceFrame
from tfpose.prediction.pictures import coco_image_ids
from tfpose.prediction.sources import Video, open_sources
from tfpose.skeletons import COCO17
from tfpose.systems.loading import load_pose_model
from tfpose.systems.system import RunChoice
from tfpose.systems.two_stage import SHOWN_BOX_THRESHOLD


@pytest.fixture(scope="module")
def keypoints(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("keypoints")
    two_stage_runs.write_keypoint_run(workdir)
    return workdir


def write_boxes(path, image_ids, **changes):
    boxes = [{"image_id": i, "category_id": 1, "bbox": [10, 10, 40, 50], "score": 0.9} | changes for i in image_ids]
    path.write_text(json.dumps(boxes))
    return path


def test_boxes_of_a_detector_from_a_file_give_the_poses_of_the_detector(keypoints, tmp_path):
    detector = two_stage_runs.write_detector_run(tmp_path / "detector")
    rng = np.random.default_rng(0)
    images = [cv2.resize(rng.integers(0, 256, (16, 24, 3), dtype=np.uint8), (160, 120)) for _ in range(2)]
    expected = load_pose_model(RunChoice(keypoints, boxes=BoxSettings("detector", str(detector)))).predict(images)
    found = load_keypoint_rcnn_detector(detector, score_threshold=SHOWN_BOX_THRESHOLD)
    boxes, scores = zip(*found.find_people([Picture(lambda image=image: image) for image in images]), strict=True)
    ids = np.repeat([4, 9], [len(values) for values in scores])
    write_detections(tmp_path / "boxes.json", ids, np.concatenate(boxes), np.concatenate(scores))
    model = load_pose_model(RunChoice(keypoints, boxes=BoxSettings(str(tmp_path / "boxes.json"))))
    frames = [SourceFrame(0, "a", images[0], 4), SourceFrame(1, "b", images[1], 9), SourceFrame(2, "c", images[1], 5)]
    ours = model.predict_frames(frames)
    assert min(map(len, expected)) > 0 and len(ours[2]) == 0
    for mine, theirs in zip(ours, expected, strict=False):
        assert len(mine) == len(theirs)
        np.testing.assert_allclose(mine.keypoints, theirs.keypoints, atol=1e-3)
        np.testing.assert_allclose(mine.scores, theirs.scores, atol=1e-5)
        np.testing.assert_allclose(mine.boxes, theirs.boxes, atol=1e-3)
    (note,) = model.notes
    assert note.endswith(f"boxes.json: {len(ids)} of {len(ids)} boxes are used; 1 of 3 frames have no box")
    assert model.problems == []


def test_names_that_are_numbers_number_the_images():
    assert coco_image_ids(["000000000139", "000000000785"]) == [139, 785]
    assert coco_image_ids([str(2**63 - 1), "7"]) == [2**63 - 1, 7]
    assert coco_image_ids([str(2**63), "7"]) == [0, 1]
    assert coco_image_ids(["img_7", "img_8"]) == coco_image_ids(["7", "007"]) == coco_image_ids(["٣", "4"]) == [0, 1]


def model_of(path):
    return BoxPoseModel(lambda *_: {}, BoxesFile(path, category_id=None), COCO17, 0.2, "model")


@pytest.mark.parametrize(("span", "image_ids"), [(FrameSpan(), [8, 9]), (FrameSpan(2, 6, 2), [0, 3, 6]), (None, [-1])])
def test_a_file_of_other_frames_is_an_error(tmp_path, span, image_ids):
    model = model_of(write_boxes(tmp_path / "boxes.json", image_ids))
    with pytest.raises(ValueError, match=rf"a frame of clip \(counted from 0\), got none; .* has {image_ids[0]}$"):
        model.check_sources([Video("clip", str(write_video(tmp_path / "clip.avi", 8)), span)])


def test_boxes_of_one_frame_are_enough(tmp_path):
    model = model_of(write_boxes(tmp_path / "boxes.json", [4, 99]))
    model.check_sources([Video("clip", str(write_video(tmp_path / "clip.avi", 8)), FrameSpan(2, 6, 2))])
    for name in ("7.png", "0004.png"):
        write_picture(tmp_path / "photos" / name)
    model.check_sources(open_sources([str(tmp_path / "photos")]))


def test_frames_of_several_inputs_or_a_camera_have_no_numbers(tmp_path):
    model = model_of(write_boxes(tmp_path / "boxes.json", [0]))
    videos = [Video(name, str(write_video(tmp_path / f"{name}.avi", 2))) for name in "ab"]
    with pytest.raises(ValueError, match="--boxes requires images or one video, got 2 inputs .*: a, b"):
        model.check_sources(videos)
    live = Video("camera0", str(tmp_path / "a.avi"), is_live=True)
    with pytest.raises(ValueError, match="--boxes requires images or a video file, got the camera or stream camera0"):
        model.check_sources([live])


def test_the_only_category_of_a_file_counts_as_people(tmp_path, capsys):
    model = model_of(write_boxes(tmp_path / "boxes.json", [0], category_id=0))
    model.check_sources([Video("clip", str(write_video(tmp_path / "clip.avi", 2)))])
    assert "boxes.json: all boxes have category_id 0, and not 1, people in COCO" in capsys.readouterr().err


def test_boxes_in_the_program(keypoints, tmp_path):
    """Images in numbered files; a threshold that leaves no box is an error, and so is a SavedModel."""
    for name in ("000000000139.png", "000000000785.png"):
        write_picture(tmp_path / "photos" / name)
    boxes = write_boxes(tmp_path / "boxes.json", [785, 785, 3])
    flags = [f"--boxes={boxes}", f"--output={tmp_path / 'out'}", "--outputs=coco"]
    command = ["-m", "tfpose.predict", tmp_path / "photos", *flags]
    result = program_runs.run(*command, f"--model={keypoints}")
    assert result.returncode == 0, result.stderr[-2000:]
    assert f"note: {boxes}: 2 of 3 boxes are used; 1 of 2 frames have no box" in result.stderr
    # The second box is a copy of the first.
    (entry,) = json.loads((tmp_path / "out" / "coco" / "photos.json").read_text())
    assert entry["image_id"] == 785
    result = program_runs.run(*command, f"--model={keypoints}", "--box_score_threshold=0.95")
    program_runs.assert_one_line(result, "no box is in one of the 2 frames")
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "saved_model.pb").touch()
    result = program_runs.run(*command, f"--model={tmp_path / 'exported'}")
    program_runs.assert_one_line(result, "--boxes: ", "got a SavedModel; its signature from_boxes takes boxes")
