import os
import pathlib
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
from saved_model_calls import load, run_without_tfpose, slices_backwards
from small_system import random_network, small_system, small_table

from tfpose import crops
from tfpose import export as export_program
from tfpose.data import picture_tensors, pictures
from tfpose.exporting import two_stage as export
from tfpose.exporting.saved_model import write_saved_model
from tfpose.inference import person_keypoints
from tfpose.models.batch_norm import fold_batch_norm
from tfpose.models.simplification import simplify_network


def smooth_image(seed, size):
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (12, 18, 3), dtype=np.uint8), size[::-1])


@pytest.mark.parametrize("extension", [".jpg", ".png"])
@pytest.mark.parametrize("side", [20, 60, 150, 390, 900])
def test_crops_of_pipeline_and_graph_agree_within_one_gray_level(extension, side):
    """Noise at full contrast, turned and mirrored, at every decoding scale."""
    rng = np.random.default_rng(side)
    image = cv2.resize(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), (800, 600))
    data = cv2.imencode(extension, image)[1].tobytes()
    boxes = np.array([[200.0, 100, 200 + side, 100 + side], [390, 290, 390 + side, 290 + side]])
    matrices = np.asarray(
        crops.CropSettings((64, 48)).matrices(
            boxes, rotations_degrees=np.array([0.0, 33]), is_mirrored=np.array([False, True])
        )
    )
    by_opencv = pictures.cut_crops(lambda _: data, np.full((2, 2), [600, 800]), np.zeros(2, int), matrices, (64, 48))
    graph = tf.function(lambda d, m: picture_tensors.cut_crops_tensor(d, m, (64, 48)))
    by_graph = graph(tf.constant(data), tf.constant(matrices)).numpy()
    assert np.abs(by_opencv.astype(int) - by_graph.astype(int)).max() <= 1
    assert by_opencv.std() > 10


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(tmp_path_factory.mktemp("data"), size=(120, 160))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    system = small_system()
    network = random_network(system)
    output = tmp_path_factory.mktemp("export") / "model"
    export.export_keypoint_network(network, system, output)
    return system, network, output


def test_graphs_slice_forwards_only(exported):
    """TensorFlow's layout optimizer gives up at a stride below 0, and writes an error."""
    assert slices_backwards(exported[2]) == []


def padded_boxes(table, people):
    boxes = np.zeros((table.num_images, 4, 4), np.float32)
    for image in range(table.num_images):
        found = people.boxes[people.images == image]
        boxes[image, : len(found)] = found
    return boxes


def call_from_boxes(output, image_bytes, boxes):
    return numpy_outputs(load(output).signatures["from_boxes"], image_bytes, boxes)


def numpy_outputs(signature, image_bytes, boxes):
    found = signature(image_bytes=tf.constant(image_bytes), boxes=tf.constant(boxes))
    return {name: value.numpy() for name, value in found.items()}


def test_saved_model_gives_the_poses_of_evaluation(exported, table):
    system, network, output = exported
    assert_poses_of_evaluation(load(output).signatures["from_boxes"], network, system, table)


def test_a_network_of_half_precision_gives_the_poses_of_evaluation(table):
    """The function of the signature, which takes less time than to write and read it."""
    system = small_system()
    network = random_network(system, precision="mixed_float16")
    module = export.KeypointModule(simplify_network(network), system)
    assert_poses_of_evaluation(module.signatures()["from_boxes"], network, system, table)


def assert_poses_of_evaluation(signature, network, system, table):
    people = person_keypoints.ground_truth_boxes(table)
    find_keypoints = person_keypoints.build_keypoint_function(fold_batch_norm(network), system)
    keypoints, scores = person_keypoints.predict_people(find_keypoints, table, people, system)
    image_bytes = [table.read_image_bytes(i) for i in range(table.num_images)]
    found = numpy_outputs(signature, image_bytes, padded_boxes(table, people))
    assert found["num_persons"].tolist() == [0, 1, 2, 3]
    for image in range(table.num_images):
        rows = people.images == image
        of_image = found["keypoints"][image, : rows.sum()]
        np.testing.assert_allclose(of_image[..., :2], keypoints[rows], atol=1e-3)
        # Crops may differ by a gray level, and this network's scores reach 50.
        np.testing.assert_allclose(of_image[..., 2], scores[rows], rtol=1e-3, atol=1e-3)
        assert not found["keypoints"][image, rows.sum() :].any()


def test_padding_may_stand_anywhere_and_no_boxes_at_all_are_fine(exported, table):
    _, _, output = exported
    image_bytes = [table.read_image_bytes(i) for i in range(2)]
    box = [10.0, 20, 90, 100]
    boxes = np.zeros((2, 3, 4), np.float32)
    boxes[0, 2], boxes[1, 0] = box, box
    found = call_from_boxes(output, image_bytes, boxes)
    assert found["num_persons"].tolist() == [1, 1]
    assert (found["scores"] > 0).tolist() == [[False, False, True], [True, False, False]]
    nobody = call_from_boxes(output, image_bytes, np.zeros((2, 0, 4), np.float32))
    assert nobody["keypoints"].shape == (2, 0, 15, 3)


def test_more_people_than_a_chunk_in_images_of_different_sizes(exported, monkeypatch):
    _, _, output = exported
    images = [cv2.imencode(".png", smooth_image(i, size))[1].tobytes() for i, size in enumerate([(90, 70), (50, 200)])]
    boxes = np.zeros((2, 40, 4), np.float32)
    rng = np.random.default_rng(0)
    boxes[..., :2] = rng.uniform(0, 40, (2, 40, 2))
    boxes[..., 2:] = boxes[..., :2] + rng.uniform(5, 50, (2, 40, 2))
    together = call_from_boxes(output, images, boxes)
    alone = call_from_boxes(output, images[1:], boxes[1:, 37:38])
    np.testing.assert_allclose(together["keypoints"][1, 37], alone["keypoints"][0, 0], atol=1e-3)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff cut"])
def test_bytes_that_are_no_picture_are_a_clean_error(exported, data):
    _, _, output = exported
    with pytest.raises(tf.errors.InvalidArgumentError):
        call_from_boxes(output, [data], np.array([[[0, 0, 9, 9]]], np.float32))


def test_boxes_for_another_number_of_images_are_an_error(exported, table):
    _, _, output = exported
    with pytest.raises(tf.errors.InvalidArgumentError, match="one row for each of image_bytes"):
        call_from_boxes(output, [table.read_image_bytes(0)], np.zeros((2, 1, 4), np.float32))


@pytest.mark.parametrize("count", [3, 5])
def test_boxes_of_another_form_are_an_error(exported, table, count):
    _, _, output = exported
    with pytest.raises(tf.errors.InvalidArgumentError, match="4 numbers: x1, y1, x2, y2"):
        call_from_boxes(output, [table.read_image_bytes(0)], np.ones((1, 1, count), np.float32))


def test_an_output_below_a_file_is_named_before_the_work(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert export_program.main([f"--workdir={tmp_path}", f"--output={tmp_path / 'file' / 'model'}"])
    assert f"--output={tmp_path / 'file' / 'model'}: cannot be written: Not a directory" in capsys.readouterr().err


def test_export_does_not_overwrite_what_is_no_saved_model(tmp_path):
    (tmp_path / "precious").mkdir()
    system = small_system()
    with pytest.raises(FileExistsError, match="must be a new folder or a SavedModel"):
        export.export_keypoint_network(random_network(system), system, tmp_path / "precious")
    assert list(tmp_path.iterdir()) == [tmp_path / "precious"]


def test_a_folder_that_cannot_be_written_is_named_by_its_own_name(tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(PermissionError, match=rf"Permission denied: '{tmp_path}/exported'$"):
        write_saved_model(tf.Module(), dict, tmp_path / "exported", {})


def test_saved_model_runs_where_there_is_only_tensorflow(exported, table, tmp_path):
    """In a process that cannot import tfpose the checksum of the keypoints is the same."""
    _, _, output = exported
    statements = """
        found = model.signatures["from_boxes"](image_bytes=data, boxes=tf.constant([[[10.0, 20.0, 90.0, 100.0]]]))
        heatmaps = model.signatures["heatmaps"](images=tf.zeros([1, 64, 64, 3]))["heatmaps"]
        print(zlib.crc32(found["keypoints"].numpy().round(2).tobytes()), *heatmaps.shape)
    """
    printed = run_without_tfpose(statements, output, table.read_image_bytes(1), tmp_path)
    here = call_from_boxes(output, [table.read_image_bytes(1)], np.array([[[10.0, 20, 90, 100]]], np.float32))
    expected = zlib.crc32(here["keypoints"].round(2).tobytes())
    assert printed.split() == [str(expected), "1", "16", "16", "15"]
    assert pathlib.Path(output, "saved_model.pb").is_file()
