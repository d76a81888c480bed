from __future__ import annotations

import errno
import io
import logging
import os
import pathlib
import resource
import zipfile

import keras
import numpy as np
import pytest

from tfpose import checkpoints
from tfpose.checkpoints import Metadata


def build_model(filters: int = 2) -> keras.Model:
    inputs = keras.Input((4, 4, 3), name="image")
    features = keras.layers.Conv2D(filters, 3, name="features")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(1, 1, name="heatmaps")(features))


def values_of(model: keras.Model, shift: float = 0.0) -> dict[str, np.ndarray]:
    return {f"model/{v.path}": v.numpy() + np.float32(shift) for v in model.variables}


def test_what_is_written_is_read(tmp_path: pathlib.Path) -> None:
    values = {"model/a": np.float32([[1 / 3, 1e38]]), "optimizer/iteration": np.int64(2**40)}
    metadata = Metadata(7, {"metric": "ap", "value": 0.1}, {"loss": [1 / 3, 2.0]})
    path = checkpoints.write_checkpoint(tmp_path, values, metadata)
    found, found_metadata = checkpoints.read_checkpoint(path)
    assert found_metadata == metadata
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_only_the_newest_and_the_best_stay(tmp_path: pathlib.Path) -> None:
    for step in range(1, 7):
        best = {"metric": "ap", "value": float(step)} if step in (1, 2) else None
        checkpoints.write_checkpoint(tmp_path, {"model/a": np.zeros(1)}, Metadata(step, best))
        checkpoints.prune_checkpoints(tmp_path, 2, step)
    assert [checkpoints.parse_step(p) for p in checkpoints.list_checkpoints(tmp_path)] == [2, 5, 6]
    best = checkpoints.find_best_checkpoint(tmp_path)
    assert best is not None and best[1].step == 2


def test_a_damaged_checkpoint_of_a_later_step_pushes_out_no_other(tmp_path: pathlib.Path) -> None:
    """A run that continues from the checkpoint before a damaged one writes smaller steps at first."""
    checkpoints.write_checkpoint(tmp_path, {"model/a": np.zeros(1)}, Metadata(9)).write_bytes(b"torn")
    for step in (6, 7):
        path = checkpoints.write_checkpoint(tmp_path, {"model/a": np.zeros(1)}, Metadata(step))
        checkpoints.prune_checkpoints(tmp_path, 1, step)
        assert path.exists()
    assert [checkpoints.parse_step(path) for path in checkpoints.list_checkpoints(tmp_path)] == [7, 9]


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97])
def test_torn_checkpoint_is_an_error_that_names_it(tmp_path: pathlib.Path, keep: float) -> None:
    path = checkpoints.write_checkpoint(tmp_path, {"model/a": np.arange(1000.0)}, Metadata(3))
    contents = path.read_bytes()
    path.write_bytes(contents[: int(len(contents) * keep)])
    with pytest.raises(ValueError, match="step_00000003.npz: the checkpoint is damaged"):
        checkpoints.read_checkpoint(path)


def test_flipped_bit_is_noticed(tmp_path: pathlib.Path) -> None:
    path = checkpoints.write_checkpoint(tmp_path, {"model/a": np.arange(1000.0)}, Metadata(3))
    contents = bytearray(path.read_bytes())
    contents[4000] ^= 1
    path.write_bytes(contents)
    with pytest.raises(ValueError, match="step_00000003.npz: the checkpoint is damaged"):
        checkpoints.read_checkpoint(path)


def test_resume_skips_a_torn_checkpoint_with_a_warning(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        path = checkpoints.write_checkpoint(tmp_path, {"model/a": np.full(9, step)}, Metadata(step))
    path.write_bytes(path.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        latest = checkpoints.read_latest_checkpoint(tmp_path)
    assert latest is not None and latest[2].step == 1
    assert "step_00000002.npz: the checkpoint is damaged" in caplog.text
    latest[0].write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 2 checkpoints can be read"):
        checkpoints.read_latest_checkpoint(tmp_path)


GOOD_METADATA = b'{"step": 2, "best": null, "pending": {}}'


def header_of(shape: tuple[int, ...]) -> bytes:
    """An array that declares a shape and has no numbers."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def array_of(value: object, dtype: str) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(value, dtype))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("metadata", "entry", "packing"),
    [
        pytest.param(b"[" * 100_000, array_of([1], "f4"), zipfile.ZIP_STORED, id="deeply nested metadata"),
        pytest.param(b"[]", array_of([1], "f4"), zipfile.ZIP_STORED, id="metadata of another kind"),
        pytest.param(
            b'{"step": 2, "best": null, "pending": []}', array_of([1], "f4"), zipfile.ZIP_STORED, id="pending is a list"
        ),
        pytest.param(
            b'{"step": 9, "best": null, "pending": {}}', array_of([1], "f4"), zipfile.ZIP_STORED, id="another step"
        ),
        pytest.param(GOOD_METADATA, array_of(np.zeros(10_000_000), "f4"), zipfile.ZIP_DEFLATED, id="packed"),
        pytest.param(GOOD_METADATA, header_of((1 << 50,)), zipfile.ZIP_STORED, id="too many numbers"),
        pytest.param(GOOD_METADATA, header_of((1 << 62, 1 << 62)), zipfile.ZIP_STORED, id="overflowing shape"),
        pytest.param(GOOD_METADATA, array_of([1, np.nan], "f4"), zipfile.ZIP_STORED, id="not-a-number"),
        pytest.param(GOOD_METADATA, array_of(["text"], "U4"), zipfile.ZIP_STORED, id="text"),
        pytest.param(GOOD_METADATA, b"no array", zipfile.ZIP_STORED, id="no array"),
    ],
)
def test_resume_skips_a_checkpoint_that_is_wrong_inside(
    tmp_path: pathlib.Path, metadata: bytes, entry: bytes, packing: int, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.write_checkpoint(tmp_path, {"model/a": np.full(9, 1.0)}, Metadata(1))
    with zipfile.ZipFile(tmp_path / "checkpoints" / "step_00000002.npz", "w", packing) as archive:
        archive.writestr("metadata.npy", array_of(np.frombuffer(metadata, np.uint8), "u1"))
        archive.writestr("model/a.npy", entry)
    latest = checkpoints.read_latest_checkpoint(tmp_path)
    assert latest is not None and latest[2].step == 1
    assert "step_00000002.npz: the checkpoint is damaged" in caplog.text


def test_damaged_best_checkpoint_is_replaced_by_its_exported_weights(tmp_path: pathlib.Path) -> None:
    model = build_model()
    path = checkpoints.write_checkpoint(tmp_path, values_of(model, np.nan), Metadata(1, {"metric": "ap", "value": 1.0}))
    with pytest.raises(ValueError, match=r"step_00000001.npz: the checkpoint is damaged \(model/.* must hold finite"):
        checkpoints.load_for_inference(model, tmp_path)
    checkpoints.write_weights(model, tmp_path / checkpoints.BEST_WEIGHTS_NAME)
    assert checkpoints.load_for_inference(model, tmp_path).name == checkpoints.BEST_WEIGHTS_NAME
    assert path.exists()


def test_fresh_run_has_no_checkpoint(tmp_path: pathlib.Path) -> None:
    assert checkpoints.read_latest_checkpoint(tmp_path / "new") is None
    assert checkpoints.find_best_checkpoint(tmp_path / "new") is None


@pytest.fixture
def small_disk():
    """Files end at 2 kB: a real failure in the middle of writing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_failed_write_leaves_the_earlier_checkpoint(tmp_path: pathlib.Path, small_disk: None) -> None:
    first = checkpoints.write_checkpoint(tmp_path, {"model/a": np.zeros(4)}, Metadata(1))
    with pytest.raises(OSError, match=r"cannot write the checkpoint \(File too large\).*intact.*step_00000002"):
        checkpoints.write_checkpoint(tmp_path, {"model/a": np.zeros(10_000)}, Metadata(2))
    assert list(first.parent.iterdir()) == [first]
    assert checkpoints.read_checkpoint(first)[1].step == 1


def test_failed_write_of_weights_leaves_the_earlier_file(tmp_path: pathlib.Path, small_disk: None) -> None:
    path = tmp_path / "model.weights.h5"
    path.write_bytes(b"earlier")
    with pytest.raises(OSError, match="cannot write the weights"):
        checkpoints.write_weights(build_model(filters=100), path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"earlier"


def test_full_disk_is_said(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        checkpoints.write_checkpoint(tmp_path, {}, Metadata(1))
    assert caught.value.errno == errno.ENOSPC
    assert checkpoints.list_checkpoints(tmp_path) == []


def test_other_architecture_is_named_with_both_shapes(tmp_path: pathlib.Path) -> None:
    checkpoints.write_checkpoint(tmp_path, values_of(build_model(2)), Metadata(1))
    model = build_model(5)
    before = model.get_weights()
    with pytest.raises(ValueError) as caught:
        checkpoints.load_for_inference(model, tmp_path, "last")
    message = str(caught.value)
    assert "features/kernel must be (3, 3, 3, 5), got (3, 3, 3, 2)" in message
    assert "step_00000001.npz" in message and "\n" not in message
    for value, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_missing_and_additional_variables_are_named(tmp_path: pathlib.Path) -> None:
    model = build_model()
    values = values_of(model)
    del values["model/heatmaps/bias"]
    checkpoints.write_checkpoint(tmp_path, values, Metadata(1))
    with pytest.raises(ValueError, match=r"heatmaps/bias must be \(1,\), got no such variable"):
        checkpoints.load_for_inference(model, tmp_path, "last")
    values = values_of(model) | {"model/extra": np.zeros(3)}
    checkpoints.write_checkpoint(tmp_path, values, Metadata(1))
    with pytest.raises(ValueError, match=r"extra must be absent, got \(3,\)"):
        checkpoints.load_for_inference(model, tmp_path, "last")


def test_inference_prefers_averages_and_tells_best_from_last(tmp_path: pathlib.Path) -> None:
    model = build_model()
    original = model.get_weights()
    averages = {name.replace("model/", "ema/"): value + 1 for name, value in values_of(model).items()}
    best = {"metric": "ap", "value": 0.5}
    checkpoints.write_checkpoint(tmp_path, values_of(model) | averages, Metadata(1, best))
    checkpoints.write_checkpoint(tmp_path, values_of(model, 7.0), Metadata(2))
    assert checkpoints.load_for_inference(model, tmp_path, "best").name == "step_00000001.npz"
    np.testing.assert_array_equal(model.get_weights()[0], original[0] + 1)
    assert checkpoints.load_for_inference(model, tmp_path, "last").name == "step_00000002.npz"
    np.testing.assert_array_equal(model.get_weights()[0], original[0] + np.float32(7))


def test_inference_falls_back_to_exported_weights(tmp_path: pathlib.Path) -> None:
    source, model = build_model(), build_model()
    checkpoints.write_weights(source, tmp_path / checkpoints.FINAL_WEIGHTS_NAME)
    checkpoints.load_for_inference(model, tmp_path, "last")
    np.testing.assert_array_equal(model.get_weights()[0], source.get_weights()[0])
    with pytest.raises(FileNotFoundError, match="no best checkpoint and no best.weights.h5; .* --weights=last takes"):
        checkpoints.load_for_inference(model, tmp_path, "best")
    with pytest.raises(ValueError, match="which must be 'best' or 'last', got 'newest'"):
        checkpoints.load_for_inference(model, tmp_path, "newest")


def test_foreign_weights_file_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / checkpoints.FINAL_WEIGHTS_NAME).write_bytes(b"not weights")
    with pytest.raises(ValueError, match="model.weights.h5: must be a Keras weights file"):
        checkpoints.load_for_inference(build_model(), tmp_path, "last")
