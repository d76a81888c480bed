"""Where SavedModels are written, and what they replace."""

import pytest
import tensorflow as tf

from tfpose import export
from tfpose.exporting.saved_model import check_target, write_saved_model


def write(output):
    module = tf.Module()
    function = tf.function(lambda x: {"y": x}, [tf.TensorSpec([], tf.float32)])
    write_saved_model(module, lambda: {"f": function.get_concrete_function()}, output, {}, (), {"tfpose.json": {}})


def test_a_saved_model_is_replaced(tmp_path):
    for _ in range(2):
        write(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "assets.extra" / "tfpose.json").is_file()


def test_a_link_leads_to_the_new_model(tmp_path):
    write(tmp_path / "1")
    (tmp_path / "1" / "fingerprint.pb").write_bytes(b"old")
    for name, target in (("current", "1"), ("next", "2")):
        (tmp_path / name).symlink_to(target)
        write(tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / target / "fingerprint.pb").read_bytes() != b"old"


@pytest.mark.parametrize("name", ["notes.txt", "assets.extra/tf_serving_warmup_requests", "results/clip.json"])
def test_files_beside_a_saved_model_are_not_lost(name, tmp_path):
    model = tmp_path / "model"
    write(model)
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).touch()
    (model / ".DS_Store").touch()
    with pytest.raises(FileExistsError, match=rf"model: .* which would be lost, got {name.split('/clip')[0]}; move"):
        write(model)
    (model / name).unlink()
    if name.startswith("results"):
        (model / "results").rmdir()
    check_target(model)


def test_an_export_checks_its_folder_before_the_work(tmp_path, capsys, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "keypoint_system.json").touch()
    (tmp_path / "precious").mkdir()
    monkeypatch.setattr("tfpose.systems.two_stage.export", lambda *_: pytest.fail("exported"))
    assert export.main([f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'precious'}"]) == 1
    assert "precious: must be a new folder or a SavedModel; choose another folder" in capsys.readouterr().err
