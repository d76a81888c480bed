"""Files of torch.save in both formats, and files that only look like them."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from checkpoint_writers import WRITERS, OpcodeWriter, Raw, Reduce, TorchTensor, write_legacy, write_zip

from tfpose.pretrained.checkpoint_files import read_arrays, read_checkpoint_file


def read_tensors(path, key="state_dict"):
    content = read_checkpoint_file(path).content
    return read_arrays(path, content[key] if key else content)


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


def test_tensors_of_every_number_come_back(write, tmp_path):
    path = tmp_path / "weights.pth"
    base = np.arange(24).reshape(2, 3, 4)
    arrays = {dtype: (base % 3).astype(dtype) for dtype in ("f4", "f8", "f2", "i8", "i4", "i2", "i1", "u1", "?")}
    arrays |= {"scalar": np.int64(7), "empty": np.zeros((0, 3), np.float32)}
    write(path, {"epoch": 140, "state_dict": arrays, "perf": 0.72})
    found = read_tensors(path)
    assert list(found) == list(arrays)
    for name, expected in arrays.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
        assert found[name].shape == expected.shape
        assert found[name].dtype == (np.float32 if expected.dtype.kind == "f" else expected.dtype)
    content = read_checkpoint_file(path).content
    assert (content["epoch"], content["perf"]) == (140, 0.72)


def test_bfloat16_comes_back_as_float32(write, tmp_path):
    expected = np.array([1.0, -2.5, 0.15625, 2.0**100], np.float32)
    upper = (expected.view(np.uint32) >> 16).astype(np.uint16)
    write(tmp_path / "x.pth", {"a": TorchTensor(upper, (4,), (1,), kind="BFloat16")})
    found = read_tensors(tmp_path / "x.pth", "")["a"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_views_of_one_storage_come_back(write, tmp_path):
    base = np.arange(60, dtype=np.float32)
    cube = base.reshape(3, 4, 5)
    views = {
        "whole": (TorchTensor(base, (3, 4, 5), (20, 5, 1)), cube),
        "turned": (TorchTensor(base, (5, 3, 4), (1, 20, 5)), cube.transpose(2, 0, 1)),
        "part": (TorchTensor(base, (2, 2, 3), (20, 5, 1), offset=26), cube[1:, 1:3, 1:4]),
        "every second": (TorchTensor(base, (30,), (2,)), base[::2]),
    }
    write(tmp_path / "x.pth", {name: tensor for name, (tensor, _) in views.items()})
    found = read_tensors(tmp_path / "x.pth", "")
    for name, (_, expected) in views.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


def test_numbers_of_a_big_endian_machine_come_back(tmp_path):
    write_zip(tmp_path / "x.pth", {"a": np.arange(5, dtype=">f4")}, big_endian=True)
    np.testing.assert_array_equal(read_tensors(tmp_path / "x.pth", "")["a"], np.arange(5))


def test_parameters_optimizers_and_typed_rebuilding_are_understood(write, tmp_path):
    weight = np.arange(6, dtype=np.float32)
    parameter = Reduce("torch._utils._rebuild_parameter", weight, True, {})
    state = {"state": {0: {"step": 3, "exp_avg": weight}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999)}]}
    storage = TorchTensor(weight.view(np.uint8), (24,), (1,))
    opcodes = OpcodeWriter.global_name("torch.float32")
    content = {"p": parameter, "optimizer": state, "size": Reduce("torch.Size", (2, 3)), "dtype": Raw(opcodes)}
    write(tmp_path / "x.pth", {**content, "bytes": storage})
    file = read_checkpoint_file(tmp_path / "x.pth")
    np.testing.assert_array_equal(file.content["p"].to_array(), weight)
    assert file.content["optimizer"]["param_groups"] == [{"lr": 1e-3, "betas": (0.9, 0.999)}]
    assert file.content["size"] == (2, 3)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (TorchTensor(np.zeros(4, np.float32), (5,), (1,)), r"a: shape \(5,\) reaches beyond its storage of 4 elements"),
        (TorchTensor(np.zeros(4, np.float32), (2,), (1,), offset=3), "reaches beyond its storage"),
        (TorchTensor(np.zeros(4, np.float32), (2, 2), (3, 2)), "reaches beyond its storage"),
        # One element shown a million times.
        (TorchTensor(np.zeros(1, np.float32), (1000, 1000), (0, 0)), "more than fit into a file|reaches beyond"),
        (TorchTensor(np.zeros(4, np.float32), (4,), (1,), num_elements=5), "must have 20 bytes, got 16|cut short"),
        (TorchTensor(np.zeros(4, np.float32), (-4,), (1,)), "a tensor without sizes and strides"),
        (TorchTensor(np.zeros(4, np.float32), (4,), (1,), offset=-1), "a tensor without sizes and strides"),
        (TorchTensor(np.zeros(4, np.float32), (4,), (1,), kind="Quantized"), "torch.QuantizedStorage"),
        (TorchTensor(np.array([1, np.nan], np.float32), (2,), (1,)), "wrong.pth: a must hold finite numbers"),
    ],
)
def test_tensors_that_cannot_be_are_errors_with_the_path(write, tensor, message, tmp_path):
    path = tmp_path / "wrong.pth"
    write(path, {"a": tensor})
    with pytest.raises(ValueError, match=message) as caught:
        read_tensors(path, "")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_thousand_tensors_over_the_same_bytes_do_not_fill_the_memory(write, tmp_path):
    storage = np.zeros(1_000_000, np.float32)
    write(tmp_path / "x.pth", {f"t{i}": TorchTensor(storage, (1_000_000,), (1,)) for i in range(1000)})
    with pytest.raises(ValueError, match="claim to hold 1,000,000,000 numbers, more than fit into a file of"):
        read_tensors(tmp_path / "x.pth", "")


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_a_file_cut_anywhere_is_an_error(kind, tmp_path):
    path = tmp_path / "whole.pth"
    WRITERS[kind](path, {"a": np.arange(40, dtype=np.float32), "b": np.arange(3)})
    data = path.read_bytes()
    cut = tmp_path / "cut.pth"
    for length in range(0, len(data), 7 if kind == "zip" else 3):
        cut.write_bytes(data[:length])
        with pytest.raises(ValueError) as caught:
            read_tensors(cut, "")
        assert str(cut) in str(caught.value)
        assert "\n" not in str(caught.value)


# A changed byte may make an escape sequence in a header that Python warns of.
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:invalid escape sequence:SyntaxWarning")
def test_changed_bytes_are_errors_or_other_numbers_but_never_a_crash(write, tmp_path):
    path = tmp_path / "x.pth"
    write(path, {"a": np.arange(4, dtype=np.float32)})
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(400):
        changed = bytearray(data)
        changed[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(changed)
        try:
            content = read_checkpoint_file(path).content
            if isinstance(content, dict) and hasattr(content.get("a"), "to_array"):
                read_arrays(path, {"a": content["a"]})
        except ValueError as error:
            assert "\n" not in str(error)


def malicious_file(path, container, command):
    """A checkpoint that runs a command when Python's own machinery reads it."""
    call = Reduce("posix.system", command)
    if container in WRITERS:
        WRITERS[container](path, {"state_dict": {"conv1.weight": np.zeros(3, np.float32)}, "extra": call})
        return

    class Call:
        def __reduce__(self):
            import os

            return os.system, (command,)

    content = {"detectron2": {"model": {}, "__author__": Call()}, "detectron": {"blobs": {"conv1_w": Call()}}}
    path.write_bytes(pickle.dumps(content[container], 2))


@pytest.mark.parametrize("container", ["zip", "legacy", "detectron2", "detectron"])
def test_a_malicious_file_executes_nothing_and_is_reported(container, tmp_path):
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    malicious_file(path, container, f"touch {trace}")
    with pytest.raises(ValueError, match=r"evil.pth: it asks for 'posix.system'.*nothing was executed"):
        read_checkpoint_file(path)
    assert not trace.exists()


@pytest.mark.parametrize("part", ["header", "keys"])
def test_a_malicious_header_of_the_old_format_executes_nothing(part, tmp_path):
    path, trace = tmp_path / "evil.pth.tar", tmp_path / "trace"
    write_legacy(path, {"a": np.zeros(3, np.float32)})
    call = OpcodeWriter().pickle(Reduce("posix.system", f"touch {trace}"))
    data = path.read_bytes()
    place = {"header": b"\x80\x02ccollections\n", "keys": b"\x80\x02(X\x0e"}[part]
    at = data.index(place)
    path.write_bytes(data[:at] + call + data[at:])
    with pytest.raises(ValueError, match=r"it asks for 'posix.system'"):
        read_checkpoint_file(path)
    assert not trace.exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.pth"
    write_zip(path, {"a": np.zeros(50_000_000, np.float32)}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ValueError, match=r"damaged: byteorder claims to be 6 bytes packed to 8"):
        read_checkpoint_file(path)


def test_sizes_larger_than_the_file_are_not_believed(tmp_path):
    path = tmp_path / "x.pth"
    write_zip(path, {"a": np.zeros(1000, np.float32)})
    data = bytearray(path.read_bytes())
    # The central directory says that the storage has 2 GiB, packed and unpacked.
    at = data.index(b"archive/data/0", data.index(b"PK\x01\x02")) - 46
    struct.pack_into("<II", data, at + 20, 1 << 31, 1 << 31)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="a: damaged: data/0 claims to be 2147483648 bytes"):
        read_tensors(path, "")
    write_legacy(path, {"a": np.zeros(1000, np.float32)})
    data = bytearray(path.read_bytes())
    struct.pack_into("<q", data, len(data) - 4008, 1 << 40)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="cut short: storage 94000000000000 ends at byte"):
        read_checkpoint_file(path)


def foreign_files():
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    arrays, module = io.BytesIO(), io.BytesIO()
    np.savez(arrays, a=np.zeros(3))
    with zipfile.ZipFile(module, "w") as script:
        script.writestr("net/data.pkl", b"\x80\x02}.")
        script.writestr("net/constants.pkl", b"\x80\x02).")
    return {
        "an empty file": b"",
        "a web page": b"<!DOCTYPE html><html>too many downloads</html>",
        "an HDF5 file; it may hold Keras weights already": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "a tar archive": archive.getvalue(),
        "a gzip archive": gzip.compress(b"x"),
        "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
        "a file that begins with b'\\\\x08\\\\x01": b"\x08\x01onnx or other",
        "a zip archive of torch.save must hold one data.pkl, got 0": arrays.getvalue(),
        "a TorchScript program": module.getvalue(),
    }


@pytest.mark.parametrize("what", foreign_files())
def test_foreign_files_are_called_what_they_are(what, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(foreign_files()[what])
    with pytest.raises(ValueError, match=what) as caught:
        read_checkpoint_file(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_or_a_folder_is_an_error(tmp_path):
    for path in (tmp_path / "nothing.pth", tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file; give a checkpoint"):
            read_checkpoint_file(path)
