"""Public checkpoints by name: from a server of our own to work folders in a cache."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
import re
import threading
import time

import numpy as np
import pytest
from checkpoint_writers import small_arrays, write_legacy
from file_server import CONTENT, Server
from program_runs import assert_one_line, run
from small_system import small_system

from tfpose import predict as predict_program
from tfpose.flags.command_line import define_all_flags, parse_arguments
from tfpose.flags.program_flags import ProgramFlags
from tfpose.importing.named_weights import find_workdir, find_workdirs
from tfpose.inference.keypoint_system import read_keypoint_system
from tfpose.picture_files import write_picture
from tfpose.pretrained.cache import CACHE_VARIABLE, cache_directory, fetch_checkpoints, find_cached_file
from tfpose.pretrained.public_checkpoints import MMPOSE, PUBLIC_CHECKPOINTS, PublicCheckpoint
from tfpose.training import keypoint_rcnn, picodet, two_stage

FILE_NAME = "pose_resnet_18_64x32.pth.tar"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, which every command uses."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A file of a small network."""
    path = tmp_path_factory.mktemp("published") / FILE_NAME
    write_legacy(path, small_arrays())
    return path.read_bytes()


@pytest.fixture
def server(checkpoint, monkeypatch):
    """Serves the file, which is a public checkpoint by the name 'served'."""
    server = Server(checkpoint, FILE_NAME)
    digits = hashlib.sha256(checkpoint).hexdigest()[:8]
    public = PublicCheckpoint(server.url, "1.0 keypoint AP", MMPOSE, "COCO", digits=digits)
    monkeypatch.setitem(PUBLIC_CHECKPOINTS, "served", public)
    yield server
    server.close()


def change(monkeypatch, **values):
    monkeypatch.setitem(PUBLIC_CHECKPOINTS, "served", dataclasses.replace(PUBLIC_CHECKPOINTS["served"], **values))


def predict(tmp_path, *flags):
    """The command of a user who names a public checkpoint."""
    write_picture(tmp_path / "photo.png", np.zeros((48, 64, 3), np.uint8))
    return run("-m", "tfpose.predict", tmp_path / "photo.png", f"--output={tmp_path / 'out'}", *flags)


def test_a_name_becomes_a_work_folder_and_is_used_again_without_the_network(server, cache, capsys):
    workdir = pathlib.Path(find_workdir("served"))
    assert read_keypoint_system(workdir).crop.crop_size == (64, 32)
    downloaded, line = capsys.readouterr().err.splitlines()
    assert downloaded == f"note: downloaded {server.url} to {cache / 'served' / FILE_NAME}"
    assert re.match(r"note: using keypoint network served \(\d+\.\d MB, from ", line)
    assert line.endswith("license: Apache-2.0 of MMPose; the training data has its own terms: COCO")
    server.close()
    before = os.stat(workdir / "best.weights.h5").st_mtime_ns
    assert find_workdir("served") == str(workdir)
    assert len(server.requests) == 1
    assert os.stat(workdir / "best.weights.h5").st_mtime_ns == before
    assert f"from {cache / 'served' / FILE_NAME})" in capsys.readouterr().err
    assert {path.name for path in workdir.parent.iterdir()} == {".lock", FILE_NAME, workdir.name}


def test_another_file_is_converted_anew(server, cache, monkeypatch, tmp_path):
    first = find_workdir("served")
    change(monkeypatch, digits="")
    write_legacy(cache / "served" / FILE_NAME, small_arrays(seed=1))
    second = find_workdir("served")
    assert second != first
    # Another version of tfpose may be reading it.
    assert pathlib.Path(first).exists()
    eight_days_ago = time.time() - 8 * 24 * 3600
    os.utime(first, (eight_days_ago, eight_days_ago))
    write_legacy(cache / "served" / FILE_NAME, small_arrays(seed=2))
    find_workdir("served")
    assert not pathlib.Path(first).exists()
    assert pathlib.Path(second).exists()


@pytest.mark.parametrize("lost", ["keypoint_system.json", "best.weights.h5", "sizes.json"])
def test_a_copy_that_is_not_whole_is_converted_again(lost, server, cache, capsys):
    """As after a program that removes old files, or a copy of a cache that was interrupted."""
    workdir = pathlib.Path(find_workdir("served"))
    files = {path.name: path.stat().st_size for path in workdir.iterdir()}
    (workdir / lost).unlink()
    assert find_workdir("served") == str(workdir)
    assert {path.name: path.stat().st_size for path in workdir.iterdir()} == files
    assert "served is converted again" in capsys.readouterr().err
    (workdir / "best.weights.h5").write_bytes(b"half")
    find_workdir("served")
    assert {path.name: path.stat().st_size for path in workdir.iterdir()} == files


def test_two_processes_at_once_convert_once(server, cache, capsys):
    """The lock is that of the system, which tells threads with files of their own apart like processes."""
    server.cuts = [100_000]
    found = []
    threads = [threading.Thread(target=lambda: found.append(find_workdir("served"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 3
    assert len(server.requests) == 2
    assert pathlib.Path(found[0], "best.weights.h5").is_file()


@pytest.mark.parametrize("place", [FILE_NAME, f"served/{FILE_NAME}", "served.pth.tar", "other.pth.tar"])
def test_a_file_laid_by_hand_counts_as_downloaded(place, server, cache, monkeypatch):
    change(monkeypatch, other_name="other.pth.tar")
    (cache / place).parent.mkdir(parents=True)
    (cache / place).write_bytes(server.content)
    public = PUBLIC_CHECKPOINTS["served"]
    assert fetch_checkpoints([("served", public)], cache) == [cache / place]
    assert server.requests == []


def test_files_of_one_name_need_folders_of_their_own(cache):
    cache.mkdir()
    public = PUBLIC_CHECKPOINTS["detectron_r50_s1x"]
    (cache / public.file_name).write_bytes(b"x")
    assert find_cached_file("detectron_r50_s1x", public, cache) is None


# What stops a command, each in one line.


def test_no_network_says_which_file_to_put_where(server, cache, tmp_path, monkeypatch):
    server.close()
    monkeypatch.setattr(predict_program, "start_tensorflow", lambda: pytest.fail("the download is tried before"))
    result = predict(tmp_path, "--detector=whole_image", "--model=served")
    advice = f"with a browser, save {server.url} in the folder {cache}, then run the same command again"
    assert_one_line(result, f"cannot download {FILE_NAME}: no connection", advice)
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_network_names_all_files_of_the_first_command(cache, tmp_path, monkeypatch):
    for name in ("picodet_s_320", "tinypose_256x192"):
        public = PUBLIC_CHECKPOINTS[name]
        monkeypatch.setitem(
            PUBLIC_CHECKPOINTS, name, dataclasses.replace(public, url=f"http://127.0.0.1:9/{public.file_name}")
        )
    files = ("tinypose_256x192.pdparams", "picodet_s_320_lcnet_pedestrian.pdparams")
    urls = " and ".join(f"http://127.0.0.1:9/{name}" for name in files)
    assert_one_line(predict(tmp_path), f"with a browser, save {urls} in the folder {cache}, then run the same command")


def test_a_refusal_of_the_server_is_one_line(server, cache, tmp_path):
    server.status = 404
    assert_one_line(
        predict(tmp_path, "--detector=whole_image", "--model=served"),
        "the server answered 404",
        f"save {server.url} in the folder {cache}",
    )


def test_a_cut_download_is_one_line_and_continues(server, cache, tmp_path):
    server.cuts = [50_000] + [0] * 10
    result = predict(tmp_path, "--detector=whole_image", "--model=served")
    assert_one_line(result, "the connection was cut after 50,000 of", "the same command continues from")
    assert find_cached_file("served", PUBLIC_CHECKPOINTS["served"], cache) is None
    server.cuts, server.requests = [], []
    fetch_checkpoints([("served", PUBLIC_CHECKPOINTS["served"])], cache)
    assert server.requests == ["bytes=50000-"]


def test_wrong_digits_are_one_line(server, cache, tmp_path):
    server.content = CONTENT
    result = predict(tmp_path, "--detector=whole_image", "--model=served")
    assert_one_line(result, "SHA-256 must begin with", "the downloaded file was deleted")
    assert [path.name for path in (cache / "served").iterdir()] == [".lock"]


def test_wrong_digits_of_a_file_laid_by_hand_are_one_line_and_the_file_stays(server, cache, tmp_path):
    cache.mkdir()
    (cache / FILE_NAME).write_bytes(CONTENT)
    result = predict(tmp_path, "--detector=whole_image", "--model=served")
    assert_one_line(
        result, f"{cache / FILE_NAME}: SHA-256 must begin with", f"remove the file and download {server.url}"
    )
    assert (cache / FILE_NAME).is_file()


def test_a_damaged_file_leaves_no_work_folder(server, cache, monkeypatch, tmp_path):
    change(monkeypatch, digits="")
    server.content = server.content[:10_000]
    assert_one_line(predict(tmp_path, "--detector=whole_image", "--model=served"), str(cache / "served" / FILE_NAME))
    assert {path.name for path in (cache / "served").iterdir()} == {".lock", FILE_NAME}


def test_a_cache_that_cannot_be_written_is_one_line(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    result = predict(tmp_path, "--detector=whole_image", "--model=served", f"--cache={tmp_path / 'file' / 'cache'}")
    assert_one_line(result, "the cache must be a folder that can be written", "--cache or TFPOSE_CACHE")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model=picodet_s_320"], "--model must name a keypoint network, got picodet_s_320, which is a person det"),
        (["--model=x", "--detector=tinypose_256x192"], "--model must be a SavedModel, the work folder of a run or the"),
        (["--model=tinypose_256x129"], "no folder; did you mean the public checkpoint tinypose_256x192"),
        (["--detector=picodet_s_230"], "got 'picodet_s_230'; did you mean the public checkpoint picodet_s_320"),
        (["--detector=mmpose_r50_256x192"], "--detector must name a person detector, got mmpose_r50_256x192"),
    ],
)
def test_wrong_names_are_one_line(flags, words, server, cache, tmp_path):
    model = [] if flags[0].startswith("--model") else ["--model=served"]
    assert_one_line(predict(tmp_path, *model, *flags), words)


def test_a_file_that_only_a_browser_can_download_is_named(cache):
    public = PUBLIC_CHECKPOINTS["microsoft_r50_384x288"]
    with pytest.raises(OSError, match=r"save pose_resnet_50_384x288.pth.tar from https://drive.* in the folder "):
        fetch_checkpoints([("microsoft_r50_384x288", public)], cache)


def test_a_folder_of_the_name_of_a_checkpoint_is_the_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tinypose_256x192").mkdir()
    assert find_workdirs(["tinypose_256x192", "runs/x"]) == ["tinypose_256x192", "runs/x"]


def test_the_flag_comes_before_the_variable_and_the_variable_before_the_home(monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, "/variable")
    assert cache_directory("/flag") == pathlib.Path("/flag")
    assert cache_directory() == pathlib.Path("/variable")
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_directory() == pathlib.Path("/home/me/.cache/tfpose")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ("tinypose_256x192", "picodet_s_320", False, "online")),
        (["--flip_test", "--detector=d"], ("tinypose_256x192", "d", True, "online")),
        (["--boxes=b.json"], ("tinypose_256x192", None, False, "online")),
        (["--model=mmpose_r50_256x192"], ("mmpose_r50_256x192", "picodet_s_320", None, "online")),
        (["--model=runs/x"], ("runs/x", None, None, "payer2017")),
        (["--tracker.settings=offline"], ("tinypose_256x192", "picodet_s_320", False, "offline")),
    ],
)
def test_public_networks_bring_a_detector_and_a_tracker(words, expected):
    values = ProgramFlags(["clip.mp4", *words])
    define_all_flags(predict_program.PROGRAM, values)
    parse_arguments(predict_program.PROGRAM, values)
    predict_program.choose_models(values)
    found = (values.model, values.detector, values.flip_test, values["tracker.settings"].value)
    assert found == expected


def test_weights_of_another_kind_of_network_are_refused_before_the_download(cache):
    system = small_system()
    with pytest.raises(
        ValueError, match=r"--config.initialize.source_workdir must name a keypoint network, got picodet_s"
    ):
        two_stage.build_initializer(system, list, source_workdir="picodet_s_320")
    for build in (functools.partial(picodet.build_initializer, list), keypoint_rcnn.build_initializer):
        with pytest.raises(ValueError, match=r"source_workdir must name a person detector, got tinypose_256x192"):
            build(source_workdir="tinypose_256x192")
    with pytest.raises(FileNotFoundError, match=r"did you mean the public checkpoint tinypose_256x192"):
        two_stage.build_initializer(system, list, source_workdir="Tinypose_256x192")(system.build_network())
