"""Writes files as `torch.save` does, in both of its formats, without PyTorch: opcode by opcode."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.models.pose_resnet import build_pose_resnet
from tfpose.pretrained.pose_resnet import RESNET_NAMES

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
STORAGE_KINDS = {
    "f4": "Float",
    "f8": "Double",
    "f2": "Half",
    "i8": "Long",
    "i4": "Int",
    "i2": "Short",
    "i1": "Char",
    "u1": "Byte",
    "b1": "Bool",
    "bfloat16": "BFloat16",
}


@dataclasses.dataclass
class TorchTensor:
    """A tensor over a storage; `storage` may be shared by several, and hold more than the tensor shows."""

    storage: np.ndarray
    shape: Sequence[int]
    strides: Sequence[int]
    offset: int = 0
    kind: str = ""
    num_elements: int | None = None

    @classmethod
    def of(cls, array: np.ndarray) -> TorchTensor:
        """A tensor with a storage of its own."""
        array = np.asarray(array)
        strides = [step // array.itemsize for step in np.ascontiguousarray(array).strides]
        return cls(array.reshape(-1), array.shape, strides[: array.ndim])


@dataclasses.dataclass(frozen=True)
class Raw:
    """Opcodes that are written as they are."""

    opcodes: bytes


class Reduce:
    """A call of a global with arguments."""

    def __init__(self, name: str, *arguments: Any) -> None:
        self.name, self.arguments = name, arguments


class OpcodeWriter:
    """Turns objects into a pickle of protocol 2; arrays become tensors with storages by number."""

    def __init__(self, key_of_first: int = 0) -> None:
        self.storages: list[np.ndarray] = []
        self._first = key_of_first

    def pickle(self, value: Any) -> bytes:
        return b"\x80\x02" + b"".join(self._write(value)) + b"."

    def _write(self, value: Any) -> Iterator[bytes]:
        if isinstance(value, Raw):
            yield value.opcodes
        elif value is None or isinstance(value, bool):
            yield {None: b"N", True: b"\x88", False: b"\x89"}[value]
        elif isinstance(value, int):
            digits = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            yield b"\x8a" + bytes([len(digits)]) + digits
        elif isinstance(value, float):
            yield b"G" + struct.pack(">d", value)
        elif isinstance(value, str):
            text = value.encode()
            yield b"X" + struct.pack("<I", len(text)) + text
        elif isinstance(value, (tuple, list)):
            yield b"(" + b"".join(part for item in value for part in self._write(item))
            yield b"t" if isinstance(value, tuple) else b"l"
        elif isinstance(value, dict):
            yield b"ccollections\nOrderedDict\n)R("
            for key, item in value.items():
                yield from self._write(key)
                yield from self._write(item)
            yield b"u"
        elif isinstance(value, Reduce):
            yield self.global_name(value.name)
            yield from self._write(tuple(value.arguments))
            yield b"R"
        else:
            yield from self._write_tensor(value if isinstance(value, TorchTensor) else TorchTensor.of(value))

    @staticmethod
    def global_name(name: str) -> bytes:
        module, attribute = name.rsplit(".", 1)
        return f"c{module}\n{attribute}\n".encode()

    def _write_tensor(self, tensor: TorchTensor) -> Iterator[bytes]:
        known = [index for index, storage in enumerate(self.storages) if storage is tensor.storage]
        if not known:
            self.storages.append(tensor.storage)
        index = known[0] if known else len(self.storages) - 1
        kind = tensor.kind or STORAGE_KINDS[tensor.storage.dtype.newbyteorder("=").str[1:]]
        num_elements = len(tensor.storage) if tensor.num_elements is None else tensor.num_elements
        yield self.global_name("torch._utils._rebuild_tensor_v2") + b"("
        kind_opcodes = Raw(self.global_name(f"torch.{kind}Storage"))
        yield from self._write(("storage", kind_opcodes, str(self._first + index), "cpu", num_elements))
        yield b"Q"
        for part in (tensor.offset, tuple(tensor.shape), tuple(tensor.strides), False, {}):
            yield from self._write(part)
        yield b"tR"


def write_zip(
    path: pathlib.Path, content: Any, compression: int = zipfile.ZIP_STORED, big_endian: bool = False
) -> None:
    """As `torch.save` since 1.6; storages are written with the byte order of their arrays."""
    writer = OpcodeWriter()
    data = writer.pickle(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/byteorder", "big" if big_endian else "little")
        for index, storage in enumerate(writer.storages):
            archive.writestr(f"archive/data/{index}", storage.tobytes())
        archive.writestr("archive/version", "3\n")


def write_legacy(path: pathlib.Path, content: Any) -> None:
    """As `torch.save` before 1.6, the format of Microsoft's files; storages in reverse order of their keys."""
    # Addresses in memory serve as keys there.
    writer = OpcodeWriter(key_of_first=94_000_000_000_000)
    data = writer.pickle(content)
    sizes = {"short": 2, "int": 4, "long": 4}
    header = [MAGIC_NUMBER, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}]
    keys = [str(94_000_000_000_000 + index) for index in range(len(writer.storages))][::-1]
    with open(path, "wb") as file:
        for part in header:
            file.write(OpcodeWriter().pickle(part))
        file.write(data + OpcodeWriter().pickle(keys))
        for storage in writer.storages[::-1]:
            file.write(struct.pack("<q", storage.size) + storage.tobytes())


WRITERS: dict[str, Callable[[pathlib.Path, Any], None]] = {"zip": write_zip, "legacy": write_legacy}


def small_arrays(num_joints=17, depth=18, seed=0, deconv_filters=8):
    """Random weights under PyTorch's names."""
    network = build_pose_resnet(num_joints, depth, (32, 32), base_width=4, deconv_filters=deconv_filters)
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, (_, variable) in RESNET_NAMES.of_weights(network).items():
        value = rng.uniform(0.5, 1.5, variable.shape).astype(np.float32) * (0.1 if len(variable.shape) == 4 else 1)
        arrays[name] = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
    return arrays


def write_safetensors(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> pathlib.Path:
    """Writes a safetensors file of arrays of booleans, whole numbers and floating-point numbers."""
    kinds = {"b": "BOOL", "u": "U", "i": "I", "f": "F"}
    header, data = {}, b""
    for name, array in arrays.items():
        kind = kinds[array.dtype.kind] + ("" if array.dtype.kind == "b" else str(8 * array.dtype.itemsize))
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path
