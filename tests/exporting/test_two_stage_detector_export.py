"""The SavedModel of both stages against evaluation, and in service."""

from __future__ import annotations

import functools
import subprocess
import sys
import textwrap
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
import two_stage_runs
from keypoint_rcnn_cases import SMALL
from saved_model_calls import call, load, pictures, run_without_tfpose, slices_backwards

from tfpose.checkpoints import load_for_inference
from tfpose.data.picture_tensors import decode_picture
from tfpose.data.records import read_table
from tfpose.evaluation.two_stage import EvaluationSettings, predict_split
from tfpose.exporting.two_stage import trace
from tfpose.exporting.two_stage_detector import TwoStageModule, export_two_stage
from tfpose.inference.detected_boxes import BoxSettings
from tfpose.inference.detectors.detector import Picture
from tfpose.inference.detectors.keypoint_rcnn import load_keypoint_rcnn_detector
from tfpose.inference.keypoint_system import read_keypoint_system, with_margin
from tfpose.models.batch_norm import fold_batch_norm
from tfpose.models.simplification import simplify_network

MARGIN = 7.0
THRESHOLDS = {"score_threshold": 0.5, "iou_threshold": 0.3}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return read_table(two_stage_runs.write_pictures(tmp_path_factory.mktemp("data")), "val")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The work folders of the keypoint network, which does not suppress its alike poses by itself, and the detector."""
    root = tmp_path_factory.mktemp("runs")
    two_stage_runs.write_keypoint_run(root / "keypoints", selection={"joint_threshold": 5.0, "oks_threshold": 0.3})
    two_stage_runs.write_detector_run(root / "detector")
    return root / "keypoints", root / "detector"


def load_parts(runs, **thresholds):
    system = read_keypoint_system(runs[0])
    network = system.build_network()
    load_for_inference(network, runs[0])
    return network, with_margin(system, MARGIN), load_keypoint_rcnn_detector(runs[1], **thresholds)


@pytest.fixture(scope="module")
def exported(runs, tmp_path_factory):
    output = tmp_path_factory.mktemp("export") / "model"
    export_two_stage(*load_parts(runs), output)
    return output


def test_graphs_slice_forwards_only(exported):
    """TensorFlow's layout optimizer gives up at a stride below 0, and writes an error."""
    assert slices_backwards(exported) == []


def evaluate(runs, table, output_dir, **box_settings):
    system = read_keypoint_system(runs[0])
    settings = BoxSettings("detector", str(runs[1]), margin_pixels=MARGIN, **box_settings)
    network = system.build_network()
    load_for_inference(network, runs[0])
    system = with_margin(system, MARGIN)
    return predict_split(
        table, simplify_network(network), system, "best", settings, output_dir, EvaluationSettings(batch_size=3)
    )


@pytest.fixture(scope="module")
def evaluated(runs, table, tmp_path_factory):
    return evaluate(runs, table, tmp_path_factory.mktemp("evaluated")).poses


def assert_same_poses(found, expected, atol=1e-3):
    assert found["num_persons"].tolist() == [len(poses) for poses in expected]
    for row, poses in enumerate(expected):
        people = slice(len(poses))
        np.testing.assert_allclose(found["keypoints"][row, people, :, :2], poses.keypoints, atol=atol)
        np.testing.assert_allclose(found["boxes"][row, people], poses.boxes, atol=1e-3)
        # This network's scores reach 50.
        np.testing.assert_allclose(found["keypoints"][row, people, :, 2], poses.joint_scores, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(found["scores"][row, people], poses.scores, rtol=1e-5, atol=1e-4)
        for values in (found["keypoints"], found["boxes"], found["scores"]):
            assert not values[row, len(poses) :].any()


def test_saved_model_gives_the_poses_of_evaluation(exported, evaluated, runs, table):
    """Pictures of different sizes in one batch, near copies suppressed in both."""
    found = call(exported, pictures(table))
    assert found["keypoints"].shape == (len(two_stage_runs.SIZES), found["num_persons"].max(), 15, 3)
    assert len(set(found["num_persons"].tolist())) > 1
    assert_same_poses(found, evaluated)
    detections = load_keypoint_rcnn_detector(runs[1]).find_people(
        Picture(functools.partial(decode, data)) for data in pictures(table)
    )
    assert found["num_persons"].sum() < sum(len(scores) for _, scores in detections)


def decode(data):
    return decode_picture(tf.constant(data)).numpy()


def test_a_picture_alone_has_the_poses_that_it_has_in_a_batch(exported, table):
    together = call(exported, pictures(table))
    for row, data in enumerate(pictures(table)):
        alone = call(exported, [data])
        count = int(alone["num_persons"][0])
        assert count == together["num_persons"][row] and alone["keypoints"].shape[1] == count
        np.testing.assert_allclose(alone["keypoints"][0], together["keypoints"][row, :count], atol=1e-3)


@pytest.fixture(scope="module")
def find_sure_poses(runs):
    """The function of the signature with other thresholds of boxes, in chunks of 2 people; traced, not written."""
    network, system, detector = load_parts(runs, **THRESHOLDS)
    module = TwoStageModule(fold_batch_norm(network), system, detector)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfpose.exporting.two_stage.CHUNK_SIZE", 2)
        function = trace(module.find_poses, tf.TensorSpec([None], tf.string))
    return lambda image_bytes: {key: values.numpy() for key, values in function(tf.constant(image_bytes)).items()}


def test_thresholds_and_chunks_give_the_poses_of_evaluation(find_sure_poses, runs, table, evaluated, tmp_path):
    """Some pictures hold more people than a chunk."""
    prediction = evaluate(runs, table, tmp_path, **THRESHOLDS)
    assert 0 < sum(map(len, prediction.poses)) < sum(map(len, evaluated))
    found = find_sure_poses(pictures(table))
    assert found["num_persons"].max() > 2
    assert_same_poses(found, prediction.poses)


def test_pictures_without_people_have_no_columns(find_sure_poses):
    blank = cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))[1].tobytes()
    found = find_sure_poses([blank] * 3)
    assert found["num_persons"].tolist() == [0, 0, 0]
    assert found["keypoints"].shape == (3, 0, 15, 3)
    assert found["boxes"].shape == (3, 0, 4) and found["scores"].shape == (3, 0)


def test_given_boxes_have_the_same_keypoints(exported, table):
    found = call(exported, pictures(table))
    signature = load(exported).signatures["from_boxes"]
    given = signature(image_bytes=tf.constant(pictures(table)), boxes=tf.constant(found["boxes"]))
    np.testing.assert_allclose(given["keypoints"], found["keypoints"], atol=1e-3)
    np.testing.assert_array_equal(given["num_persons"], found["num_persons"])


def test_decoded_frames_have_the_poses_of_their_pictures(exported, table):
    """Of a size of which no crop is decoded smaller."""
    for row in (1, 3):
        data = table.read_image_bytes(row)
        expected = call(exported, [data, data])
        frames = np.stack([decode(data)] * 2)
        found = load(exported).signatures["from_frames"](frames=tf.constant(frames))
        assert expected["num_persons"][0] > 0
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-3, err_msg=name)


def test_no_pictures_at_all_are_fine(exported):
    found = call(exported, np.zeros(0, object))
    assert found["num_persons"].shape == (0,) and found["keypoints"].shape == (0, 0, 15, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (3000, 2), (700, 900)])
def test_pictures_of_unusual_sizes(exported, size):
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8), size[::-1])
    found = call(exported, [cv2.imencode(".png", picture)[1].tobytes()])
    count = int(found["num_persons"][0])
    assert found["keypoints"].shape == (1, count, 15, 3)
    assert np.isfinite(found["keypoints"]).all()
    assert (found["boxes"] <= [*size[::-1], *size[::-1]]).all()


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff cut", b"\x89PNG\r\n\x1a\n cut"])
def test_bytes_that_are_no_picture_are_a_clean_error(exported, table, data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(exported, [table.read_image_bytes(0), data])


def test_truncated_pictures_are_a_clean_error(exported, table):
    for whole in pictures(table)[:2]:
        with pytest.raises(tf.errors.InvalidArgumentError):
            call(exported, [whole[: len(whole) // 2]])


def test_saved_model_runs_where_there_is_only_tensorflow(exported, table, tmp_path):
    """In a process that cannot import tfpose the checksum of the keypoints is the same."""
    statements = """
        found = model.signatures["serving_default"](image_bytes=data)
        print(sorted(model.signatures))
        print(zlib.crc32(found["keypoints"].numpy().round(1).tobytes()), *found["num_persons"].numpy())
    """
    printed = run_without_tfpose(statements, exported, table.read_image_bytes(0), tmp_path)
    here = call(exported, [table.read_image_bytes(0)])
    assert here["num_persons"][0] > 0
    expected = zlib.crc32(here["keypoints"].round(1).tobytes())
    assert printed.splitlines() == [
        "['from_boxes', 'from_frames', 'heatmaps', 'serving_default', 'tolerant']",
        f"{expected} {here['num_persons'][0]}",
    ]


# Prints the growth of resident memory in MiB while pictures of 20 sizes come again and again, in changing order, and
# then while each has a size of its own.
SERVICE = """
    import sys
    import numpy as np
    import tensorflow as tf

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 2**20

    def draw_picture():
        height, width = rng.integers(20, 200, 2)
        picture = tf.constant(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        return tf.io.encode_png(picture) if rng.integers(2) else tf.io.encode_jpeg(picture)

    def serve(num_calls, choose_picture):
        before = resident()
        for index in range(num_calls):
            signature(image_bytes=tf.stack([choose_picture()] * (1 + index % 3)))
        return resident() - before

    signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
    rng = np.random.default_rng(0)
    pool = [draw_picture() for _ in range(20)]
    choose_known = lambda: pool[rng.integers(len(pool))]
    serve(100, draw_picture)
    serve(50, choose_known)
    print(serve(250, choose_known), serve(150, draw_picture))
"""


@pytest.mark.slow
def test_calls_with_pictures_of_changing_size_leave_nothing_behind(exported):
    """A leak of one picture a call would be 8 MiB. For new sizes, TensorFlow's CPU kernels (oneDNN) are kept by the
    shapes that they were made for, up to a limit.
    """
    command = [sys.executable, "-c", textwrap.dedent(SERVICE), str(exported)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    growth_of_known_sizes, growth_of_new_sizes = map(float, done.stdout.split())
    assert growth_of_known_sizes < 4
    assert growth_of_new_sizes < 50


def test_signatures_are_one_graph_each(exported, table):
    """A signature is a graph that was traced at export: there is nothing to trace in service."""
    signature = load(exported).signatures["serving_default"]
    graphs = {signature.graph for _ in (call(exported, [data]) for data in pictures(table))}
    assert len(graphs) == 1
    assert SMALL.has_keypoint_head
    assert not any("keypoint_head" in operation.name for operation in signature.graph.get_operations())
