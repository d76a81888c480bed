"""Weights files that are damaged or made to harm."""

from __future__ import annotations

import pathlib

import h5py
import keras
import numpy as np
import pytest

from tfpose.weights_files import load_weights_file, save_weights_file


def build_model() -> keras.Model:
    inputs = keras.Input((3,), name="x")
    return keras.Model(inputs, keras.layers.Dense(2, name="scale")(inputs))


@pytest.fixture
def weights(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "a.weights.h5"
    build_model().save_weights(path)
    return path


def test_attributes_are_listed_once_and_not_for_each_layer(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = outputs = keras.Input((3,))
    for _ in range(9):
        outputs = keras.layers.Dense(3)(outputs)
    model, path = keras.Model(inputs, outputs), tmp_path / "a.weights.h5"
    kernel = model.layers[-1].get_weights()[0]
    listed: list[object] = []
    original = keras.layers.Layer.__new__
    monkeypatch.setattr(
        keras.layers.Layer, "__new__", lambda *args, **kwargs: listed.append(args) or original(*args, **kwargs)
    )
    save_weights_file(model, path)
    model.layers[-1].set_weights([np.zeros((3, 3)), np.zeros(3)])
    load_weights_file(model, path)
    assert len(listed) <= 2  # One for models, one for layers.
    np.testing.assert_array_equal(model.layers[-1].get_weights()[0], kernel)


@keras.saving.register_keras_serializable(package="tests")
class NamedConvolution(keras.layers.Conv2D):
    """A class that an earlier version did not have."""


def build_chain(names: list[str], kinds: dict[str, type[keras.layers.Layer]], nested: bool = False) -> keras.Model:
    inputs = outputs = keras.Input((4, 4, 3))
    for name in names:
        outputs = kinds.get(name, keras.layers.Conv2D)(3, 1, name=name)(outputs)
    model = keras.Model(inputs, keras.layers.BatchNormalization(name="norm")(outputs))
    return keras.Sequential([model, keras.layers.Dense(2, name="last")]) if nested else model


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        pytest.param(["a", "b", "c"], {"b": NamedConvolution}, id="other class"),
        pytest.param(["a", "c", "b"], {}, id="other order"),
        pytest.param(["a", "b", "c"], {}, id="same"),
    ],
)
def test_layers_are_found_by_their_names(
    tmp_path: pathlib.Path, names: list[str], kinds: dict[str, type[keras.layers.Layer]], nested: bool
) -> None:
    written, read = build_chain(["a", "b", "c"], {}, nested), build_chain(names, kinds, nested)
    save_weights_file(written, tmp_path / "a.weights.h5")
    load_weights_file(read, tmp_path / "a.weights.h5")
    expected = {tuple(variable.path.split("/")[-2:]): np.asarray(variable) for variable in written.variables}
    got = {tuple(variable.path.split("/")[-2:]): np.asarray(variable) for variable in read.variables}
    assert set(got) == set(expected)
    for path, values in expected.items():
        np.testing.assert_array_equal(got[path], values, err_msg=str(path))


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c", "d"]])
def test_more_or_fewer_layers_do_not_fit(tmp_path: pathlib.Path, names: list[str]) -> None:
    save_weights_file(build_chain(["a", "b", "c"], {}), tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="a.weights.h5: weights do not fit"):
        load_weights_file(build_chain(names, {}), tmp_path / "a.weights.h5")


KERNEL = "layers/dense/vars/0"


def replace_kernel(path: pathlib.Path, **dataset: object) -> None:
    with h5py.File(path, "a") as file:
        del file[KERNEL]
        file.create_dataset(KERNEL, **dataset)


def test_a_dataset_that_declares_more_than_the_file_holds_is_refused(weights: pathlib.Path) -> None:
    replace_kernel(weights, shape=(1 << 30,), dtype="f4", chunks=(1 << 10,))
    with pytest.raises(ValueError, match="must hold at most 67,108,864 bytes of numbers, got 4,294,967,"):
        load_weights_file(build_model(), weights)


def test_weights_that_are_not_finite_are_named(weights: pathlib.Path) -> None:
    replace_kernel(weights, data=np.full((3, 2), np.nan, np.float32))
    with pytest.raises(ValueError, match="scale/kernel must hold finite numbers, got infinity or not-a-number"):
        load_weights_file(build_model(), weights)


def test_numbers_in_another_file_are_not_read(weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with h5py.File(weights, "a") as file:
        del file[KERNEL]
        file[KERNEL] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")
    with pytest.raises(ValueError, match="vars/0 must lie in this file, got another file"):
        load_weights_file(build_model(), weights)


def test_a_file_cut_short_is_one_line(weights: pathlib.Path) -> None:
    contents = weights.read_bytes()
    for share in (0.1, 0.5, 0.9):
        weights.write_bytes(contents[: int(share * len(contents))])
        with pytest.raises(ValueError, match="a.weights.h5: ") as caught:
            load_weights_file(build_model(), weights)
        assert "\n" not in str(caught.value)
