"""benchmarks/serving_load.py against benchmarks/serving_server.py, as a user runs them without a container."""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

import cv2
import documentation_pages as pages
import numpy as np
import pytest

sys.path.insert(0, str(pages.PROJECT / "benchmarks"))
import serving_load
import serving_server


@pytest.fixture(scope="module")
def address(served_models):
    with serving_server.running_server(served_models.folder / "single_network") as address:
        yield address


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0).integers(0, 256, (2, 12, 18, 3), dtype=np.uint8)
    paths = [folder / f"{index}.jpg" for index in range(2)]
    for path, image in zip(paths, noise, strict=True):
        path.write_bytes(cv2.imencode(".jpg", cv2.resize(image, (90, 60)))[1].tobytes())
    return paths


@pytest.mark.parametrize("signature", ["serving_default", "tolerant"])
def test_broken_images_among_good_ones_spoil_no_other_request(address, pictures, capsys, signature):
    flags = ["--clients=1,3", "--batch_sizes=1,2", "--requests=9", "--broken_every=3", f"--signature={signature}"]
    assert serving_load.main([*map(str, pictures), f"--url={address}", *flags]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["clients", "images", "images/s"]
    table = [[float(cell) for cell in row.split()] for row in rows]
    assert [row[:2] for row in table] == [[1, 1], [3, 1], [1, 2], [3, 2]]
    assert all(row[2] > 0 and 0 < row[3] <= row[4] <= row[5] and row[6:] == [3, 0] for row in table)


def test_wrong_answers_are_counted(address, pictures):
    """The model has no such signature, which is an error for good requests."""
    load = serving_load.build_load(address, [pictures[0].read_bytes()], "none", 2, 1)
    answers, _ = serving_load.measure(load, 2, 4)
    assert sorted((answer.is_broken, answer.status, answer.is_right) for answer in answers) == [
        (False, 400, False),
        (False, 400, False),
        (True, 400, True),
        (True, 400, True),
    ]


def test_the_stand_in_has_a_state_metrics_and_errors(address):
    serving_load.wait_until_available(address)
    root = address.partition("/v1/")[0]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"{address}:predict", b"no JSON")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{root}/v1/models/other")
    body = json.dumps({"instances": []}).encode()
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"{address}:predict", body)
    with urllib.request.urlopen(f"{root}{serving_server.METRICS_PATH}") as response:
        assert 'request_count{model_name="single_network",status="INVALID_ARGUMENT"} ' in response.read().decode()


def test_a_stand_in_that_cannot_start_is_no_wait_and_no_measurement_of_another_server(address, tmp_path):
    port = urllib.parse.urlsplit(address).port
    with (
        pytest.raises(ConnectionError, match=f"--port must be free, got {port}"),
        serving_load.started_server(tmp_path, port),
    ):
        pass
    with pytest.raises(ConnectionError, match="the server has ended"):
        serving_load.wait_until_available("http://localhost:1/v1/models/pose", lambda: True)


def test_percentiles():
    assert [serving_load.percentile(range(1, 101), percent) for percent in (50, 95, 99)] == [50, 95, 99]
    assert serving_load.percentile([7.0], 50) == 7.0


def test_a_folder_without_a_version_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="must hold a folder for each version, such as 1, got none"):
        serving_server.Model(tmp_path, 1)
