"""Safetensors files: what comes back, and what is refused."""

from __future__ import annotations

import json
import re
import struct

import numpy as np
import pytest
from checkpoint_writers import small_arrays, write_safetensors, write_zip

from tfpose.importing.families import find_family
from tfpose.pretrained.checkpoint_files import read_arrays
from tfpose.pretrained.named_tensors import read_checkpoint

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def read(path):
    checkpoint = read_checkpoint(path)
    return read_arrays(path, checkpoint.tensors)


def write(path, header, data=bytes(8)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"])
def test_numbers_of_every_type_come_back(dtype, tmp_path):
    arrays = {"a": np.arange(6).reshape(2, 3).astype(dtype), "b": np.ones((), dtype), "none": np.zeros((0, 3), dtype)}
    found = read(write_safetensors(tmp_path / "x.safetensors", arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape
        assert found[name].dtype == (np.float32 if array.dtype.kind == "f" else array.dtype)


def test_bfloat16_becomes_float32(tmp_path):
    data = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    path = write(tmp_path / "x.safetensors", {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, data)
    np.testing.assert_array_equal(read(path)["a"], np.array([1.5, -2.0], np.float32))


def test_metadata_and_spaces_behind_the_header_are_ignored(tmp_path):
    text = json.dumps({"__metadata__": {"format": "pt"}, "a": F32}).encode() + b"   "
    assert list(read(write(tmp_path / "any.name", text))) == ["a"]


def test_a_network_is_recognized_as_in_the_files_of_pytorch(tmp_path):
    arrays = small_arrays()
    paths = write_safetensors(tmp_path / "a.safetensors", arrays), tmp_path / "a.pth"
    write_zip(paths[1], arrays)
    stored, zipped = (read_checkpoint(path) for path in paths)
    assert find_family(stored) is find_family(zipped)
    assert stored.container == "safetensors file"
    found = [read_arrays(checkpoint.path, checkpoint.tensors) for checkpoint in (stored, zipped)]
    assert found[0].keys() == found[1].keys()
    for name in found[0]:
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_the_package_of_the_format_writes_what_is_read(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    arrays = {"a": np.arange(3, dtype=np.float32), "b": np.ones((2, 2), np.float16)}
    package.save_file(arrays, tmp_path / "x.safetensors")
    np.testing.assert_array_equal(read(tmp_path / "x.safetensors")["a"], arrays["a"])


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b"{", b"", "length of the header must be from 2 to"),
        (b"{}", b"x", "tensors must fill the 1 bytes behind the header, got 0"),
        (b'{"a"', b"", "header must be JSON, got .* at byte"),
        (b'{"\xff":1}', b"", "header must be JSON in UTF-8"),
        (b'{"a":' + b"[" * 100_000, b"", "header must be flat JSON|header must be JSON"),
        (b'{"a":1,"a":2}', b"", "header must name each tensor and field once"),
        ({"a": [1]}, bytes(8), "a: must be an object with data_offsets, dtype, shape"),
        ({"a": {**F32, "code": 1}}, bytes(8), "a: must be an object with data_offsets, dtype, shape"),
        ({"a": {**F32, "dtype": "F4"}}, bytes(8), "a: dtype must be one of BOOL, .* got 'F4'"),
        ({"a": {**F32, "dtype": ["F32"]}}, bytes(8), "a: dtype must be one of"),
        ({"a": {**F32, "shape": [-2]}}, bytes(8), "a: shape must be a list of sizes"),
        ({"a": {**F32, "shape": [True, 2]}}, bytes(8), "a: shape must be a list of sizes"),
        ({"a": {**F32, "shape": 2}}, bytes(8), "a: shape must be a list of sizes"),
        ({"a": {**F32, "shape": [1] * 65}}, bytes(8), "a: shape must be a list of sizes"),
        ({"a": {**F32, "shape": [1 << 62, 1 << 62]}}, bytes(8), r"a: data_offsets must span the \d+ bytes of F32"),
        ({"a": {**F32, "data_offsets": [0]}}, bytes(8), "a: data_offsets must be two positions"),
        ({"a": {**F32, "data_offsets": [8, 0]}}, bytes(8), "a: data_offsets must span the 8 bytes .* got 8 to 0"),
        ({"a": F32}, bytes(4), "tensors must fill the 4 bytes behind the header, got 8"),
        ({"a": {**F32, "data_offsets": [4, 12]}}, bytes(12), "a: data_offsets must begin at 0, .* got 4"),
        ({"a": F32, "b": F32}, bytes(8), "b: data_offsets must begin at 8, .* got 0"),
        (b"{}", b"", "content must be named tensors, got none"),
    ],
)
def test_damage_is_one_line(header, data, message, tmp_path):
    path = write(tmp_path / "x.safetensors", header, data)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}") as caught:
        read(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_header_longer_than_the_file_or_than_8_mb_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 62) + b'{"a":1}')
    with pytest.raises(ValueError, match="length of the header must be from 2 to 7 bytes, got 4611686018427387904"):
        read(path)
    write(path, b"{}" + b" " * (8 * 2**20))
    with pytest.raises(ValueError, match="length of the header must be from 2 to 8388608 bytes, got 8388610"):
        read(path)
