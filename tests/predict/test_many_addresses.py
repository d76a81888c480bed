"""`tfpose predict-many` with addresses: a file system of Beam that stands for gs://, whose buckets are folders."""

import json
import pathlib

import pytest
from program_runs import run
from small_single_network import random_pose_unet, small_single_network
from video_cases import write_picture, write_video

from tfpose.checkpoints import BEST_WEIGHTS_NAME, write_weights
from tfpose.inference.single_network_system import write_single_network_system
from tfpose.prediction import many_files
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.many_inputs import find_inputs

localfilesystem = pytest.importorskip(
    "apache_beam.io.localfilesystem", reason="needs apache-beam (pip install 'tfpose[beam]')"
)
from apache_beam.io.filesystem import FileMetadata  # noqa: E402

ROOT = pathlib.Path("/nowhere")


def place_of(address):
    # A method of the parent may ask another one of this class.
    return str(ROOT / address.removeprefix("bucket://")) if "://" in address else address


class Buckets(localfilesystem.LocalFileSystem):
    """Files below `ROOT`."""

    @classmethod
    def scheme(cls):
        return "bucket"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def mkdirs(self, path):
        super().mkdirs(place_of(path))

    def _list(self, dir_or_prefix):
        for found in super()._list(place_of(dir_or_prefix.rstrip("/"))):
            path = "bucket://" + pathlib.Path(found.path).relative_to(ROOT).as_posix()
            yield FileMetadata(path, found.size_in_bytes, found.last_updated_in_seconds)

    def _path_open(self, path, *arguments, **options):
        return super()._path_open(place_of(path), *arguments, **options)

    def exists(self, path):
        return super().exists(place_of(path))

    def metadata(self, path):
        found = super().metadata(place_of(path)) if self.exists(path) else None
        return found and FileMetadata(path, found.size_in_bytes, found.last_updated_in_seconds)

    def rename(self, source_file_names, destination_file_names):
        super().rename([place_of(name) for name in source_file_names], [place_of(n) for n in destination_file_names])


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path / "root")
    (tmp_path / "root" / "bucket").mkdir(parents=True)
    return tmp_path / "root" / "bucket"


def test_files_behind_addresses_are_listed_copied_and_written(bucket):
    (bucket / "a").mkdir()
    write_video(bucket / "a" / "clip.avi", 3)
    for index in range(2):
        write_picture(bucket / "photos" / f"{index}.jpg")
    found = find_inputs(["bucket://bucket/a/*.avi", "bucket://bucket/photos/*.jpg"])
    assert [(item.name, item.kind) for item in found] == [("clip", "video"), ("photos", "pictures")]
    frames = []
    for item in found:
        assert item.state() and many_files.exists(item.addresses[0])
        with item.open(FrameSpan()) as source:
            frames.append([frame.name for frame in source.frames()])
    assert frames == [[f"clip/{index:06d}.jpg" for index in range(3)], ["0.jpg", "1.jpg"]]
    many_files.write_whole_text("bucket://bucket/new/x.txt", "text")
    assert many_files.read_bytes("bucket://bucket/new/x.txt") == b"text"
    assert [path.name for path in (bucket / "new").iterdir()] == ["x.txt"]
    with pytest.raises(OSError, match="bucket/none"):
        many_files.read_bytes("bucket://bucket/none")


@pytest.mark.slow
def test_inputs_model_and_results_may_be_behind_addresses(bucket, tmp_path):
    system = small_single_network(max_people=2)
    (bucket / "run").mkdir()
    write_single_network_system(bucket / "run", system)
    write_weights(random_pose_unet(system), bucket / "run" / BEST_WEIGHTS_NAME)
    write_video(bucket / "clip.avi", 3)
    command = ["bucket://bucket/*.avi", "--model=bucket://bucket/run", "--output=bucket://bucket/out"]
    options = ["--", "--direct_running_mode=in_memory", "--direct_num_workers=1"]
    result = run("-m", "tfpose.predict_beam", *command, *options)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "1 input: 1 done" in result.stdout
    single = run("-m", "tfpose.predict", bucket / "clip.avi", f"--model={bucket / 'run'}", f"--output={tmp_path / 'o'}")
    assert single.returncode == 0, single.stderr[-3000:]
    name = pathlib.Path("predictions", "clip.json")
    assert (bucket / "out" / name).read_bytes() == (tmp_path / "o" / name).read_bytes()
    files = sorted(path.relative_to(bucket / "out").as_posix() for path in (bucket / "out").rglob("*.*"))
    assert files == ["done/clip.json", "predict_many.json", "predictions/clip.json", "report.csv"]
    assert json.loads((bucket / "out" / "done" / "clip.json").read_text())["files"] == ["predictions/clip.json"]
