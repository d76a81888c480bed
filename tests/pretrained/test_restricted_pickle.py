"""The restricted reader: plain data as Python's own, and nothing else."""

from __future__ import annotations

import collections
import io
import pathlib
import pickle
import struct
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from tfpose.pretrained import restricted_pickle
from tfpose.pretrained.pickled_arrays import ARRAY_CONSTRUCTORS, PickledArray, PickledDtype
from tfpose.pretrained.restricted_pickle import PLAIN_CONSTRUCTORS, RefusedGlobalError, read_pickle
from tfpose.pretrained.torch_files import CONSTRUCTORS as TORCH_CONSTRUCTORS

CONSTRUCTORS = {**PLAIN_CONSTRUCTORS, **ARRAY_CONSTRUCTORS}


def read(data: bytes):
    return read_pickle(io.BytesIO(data), CONSTRUCTORS)


scalars = strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(max_size=300)
scalars |= strategies.floats(allow_nan=False) | strategies.binary(max_size=300)
keys = strategies.text() | strategies.integers() | strategies.none()
values = strategies.recursive(
    scalars,
    lambda inner: (
        strategies.lists(inner)
        | strategies.lists(inner).map(tuple)
        | strategies.dictionaries(keys, inner)
        | strategies.dictionaries(keys, inner).map(collections.OrderedDict)
        | strategies.sets(keys)
    ),
    max_leaves=40,
)


@hypothesis.given(value=values, protocol=strategies.integers(1, pickle.HIGHEST_PROTOCOL))
def test_plain_data_of_every_protocol_come_back(value, protocol):
    found = read(pickle.dumps(value, protocol))
    assert found == value


def test_data_of_protocol_0_in_ascii_come_back():
    value = {"a": [1, -2, 3.5, None, True], "b": ("x", {"y": "text"}), "long": 1 << 90}
    assert read(pickle.dumps(value, 0)) == value


def test_text_with_an_unknown_escape_comes_back_without_a_warning(recwarn):
    assert read(b"S'a\\q'\n.") == "a\\q"
    assert not recwarn.list


def test_shared_and_self_referring_lists_stay_what_they_are():
    inner = [1]
    found = read(pickle.dumps([inner, inner]))
    assert found[0] is found[1]
    inner.append(inner)
    found = read(pickle.dumps(inner))
    assert found[1] is found


@pytest.mark.parametrize("protocol", range(1, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["f4", ">f8", "f2", "i8", "u1", "?"])
def test_arrays_come_back(dtype, protocol):
    array = (np.arange(24).reshape(2, 3, 4) % 5).astype(dtype)
    for expected in (array, array.T, array[:, ::2], array[0, 0, 0], np.zeros((0, 3), dtype), np.float64(2.5)):
        found = read(pickle.dumps({"x": expected}, protocol))["x"].to_array()
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.asarray(expected).dtype


def test_an_array_that_python_2_wrote_comes_back():
    data = struct.pack("<3f", 1.5, -2.0, 200.0)
    opcodes = b"\x80\x02}U\x01xcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    opcodes += (
        b"(K\x01K\x03\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    opcodes += b"\x89U" + bytes([len(data)]) + data + b"tbs."
    np.testing.assert_array_equal(read(opcodes)["x"].to_array(), [1.5, -2.0, 200.0])


def test_arrays_of_objects_are_refused_when_they_are_asked_for():
    found = read(pickle.dumps(np.array([{}, "a"], object)))
    assert isinstance(found, PickledArray)
    with pytest.raises(ValueError, match="an array must hold numbers, got other objects"):
        found.to_array()


class Malicious:
    """Calls a function while it is unpickled."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


COMMAND = "touch {}"
# Ways to call os.system that Python's own reader takes.
MALICIOUS_OPCODES = {
    "reduce": b"cposix\nsystem\n(X%sX\x00\x00\x00\x00tR.",
    "text": b"cos\nsystem\n(S'%s'\ntR.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93X%s\x85R.",
    "inst": b"(S'%s'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nX%so.",
    "newobj": b"\x80\x02cos\nsystem\nX%s\x85\x81.",
    "in a dict": b"\x80\x02}X\x01\x00\x00\x00acos\nsystem\nX%s\x85Rs.",
    "by getattr": b"\x80\x02c__builtin__\ngetattr\ncos\nsystem\nX%s\x86R.",
}


@pytest.mark.parametrize("way", MALICIOUS_OPCODES)
def test_nothing_is_executed_and_the_global_is_named(way, tmp_path):
    trace = tmp_path / "trace"
    command = f"touch {trace}".encode()
    opcodes = MALICIOUS_OPCODES[way]
    prefix = b"" if b"S'%s'" in opcodes else struct.pack("<I", len(command))
    with pytest.raises(RefusedGlobalError, match=r"'(os|posix).system'.*nothing was executed"):
        read(opcodes.replace(b"%s", prefix + command))
    assert not trace.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [eval, exec, open, pathlib.Path.unlink, np.load, pickle.loads, getattr])
def test_functions_that_python_would_call_are_not_called(function, protocol, tmp_path):
    precious = tmp_path / "precious"
    precious.touch()
    data = pickle.dumps([Malicious(function, str(precious))], protocol)
    try:
        found = read(data)
    except RefusedGlobalError:
        pass
    else:
        # `getattr` is let through because logs hold it: as an object that does nothing.
        assert function is getattr
        assert type(found[0]).__name__ == "InertObject"
    assert precious.exists()


def test_a_pickle_cut_anywhere_is_an_error():
    data = pickle.dumps({"a": np.arange(5), "b": [1, "text", (2.5, {3, 4})]}, 2)
    read(data)
    for length in range(len(data)):
        with pytest.raises(ValueError, match="damaged pickle at byte"):
            read(data[:length])


@hypothesis.settings(max_examples=500)
@hypothesis.given(
    position=strategies.integers(0, 10_000), byte=strategies.integers(0, 255), protocol=strategies.integers(0, 5)
)
def test_a_changed_byte_is_other_data_or_an_error(position, byte, protocol):
    data = bytearray(pickle.dumps({"a": np.arange(3), "b": [1, "text", (2.5, {3, 4}), b"bytes"]}, protocol))
    data[position % len(data)] = byte
    try:
        read(bytes(data))
    except ValueError as error:
        assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("opcodes", "message"),
    [
        (b"", "it has no end|exhausted"),
        (b".", "damaged pickle"),
        (b"\x80\xff.", "protocol must be at most 5, got 255"),
        (b"(.", "a value is missing"),
        (b"]]s.", "damaged pickle"),
        (b"K\x01K\x02a.", "a value must be a list, got a int"),
        (b"K\x01}b.", "a state is given to a int"),
        (b"}]K\x01s.", "a key must be .* got a list"),
        (b"}(((K\x01tttK\x01s.", "a key must be .* got a tuple|value is missing"),
        (b"\x82\x01.", "opcode EXT1 is not used by checkpoints"),
        (b"\x80\x02K\x01Q.", "it refers to data outside the pickle"),
        (b"K\x01(tR.", "a value must be a Global, got a int"),
        # As if there were 2 ** 62 bytes of text, or as many entries in the memo.
        (b"\x8e" + struct.pack("<Q", 1 << 62) + b"x.", "damaged pickle"),
        (b"Nr\xff\xff\xff\x7f0h\x00.", "damaged pickle"),
        (b"I" + b"9" * 100_000 + b"\n.", "damaged pickle"),
    ],
)
def test_damage_is_one_clear_error(opcodes, message):
    with pytest.raises(ValueError, match=message):
        read(opcodes)


LIST = b"cbuiltins\nlist\n"
# A long text or list, and a function that copies it again and again.
COPIES = {
    "list": b"\x80\x02](" + b"N" * 20_000 + b"eq\x00" + (LIST + b"h\x00\x85R0") * 10_000 + b"N.",
    "dict": b"\x80\x02}(" + b"".join(b"J%sN" % struct.pack("<i", i) for i in range(9_000)) + b"uq\x00"
    b"cbuiltins\ndict\nq\x01" + b"0h\x01h\x00\x85R" * 10_000 + b".",
    "encode": b"\x80\x02X" + struct.pack("<I", 100_000) + b"x" * 100_000 + b"q\x00c_codecs\nencode\nq\x01"
    b"X\x06\x00\x00\x00latin1q\x02" + b"0h\x01h\x00h\x02\x86R" * 10_000 + b".",
    "size": b"\x80\x02(" + b"K\x01" * 20_000 + b"tq\x00ctorch\nSize\nq\x01" + b"0h\x01h\x00\x85R" * 10_000 + b".",
    "tuples": b"\x80\x02](" + b"N" * 30_000 + b"tq\x00" + b"0(h\x00h\x00t" * 30_000 + b".",
    "empty sets": b"\x80\x04(" + b"\x8f" * 300_000 + b"l.",
    "empty dicts": b"\x80\x02(" + b"}" * 300_000 + b"l.",
    "arrays": b"\x80\x02(cnumpy.core.numeric\n_frombuffer\nq\x00(NN)Ntq\x01" + b"h\x00h\x01R" * 60_000 + b"l.",
    "none": b"\x80\x02(" + b"N" * 300_000 + b"l.",
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_small_file_does_not_fill_the_memory(kind, monkeypatch):
    """However its objects are made, they take at most 16 times the bytes of the file."""
    monkeypatch.setattr(restricted_pickle, "_FREE_BYTES", 0)
    data = COPIES[kind]
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="its objects take more than .* bytes, far more than the file"):
            read_pickle(io.BytesIO(data), TORCH_CONSTRUCTORS)
        assert tracemalloc.get_traced_memory()[1] < 16 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(1,) * 65, (1 << 63,)])
def test_a_shape_that_no_array_has_is_refused(shape):
    array = PickledArray()
    with pytest.raises(ValueError, match="an array without a shape"):
        array.set_state((1, shape, PickledDtype("f4"), False, b""))


def test_keys_that_take_long_to_hash_are_refused():
    for key in (tuple("x" * 17), 1 << 1025):
        with pytest.raises(ValueError, match="a key must"):
            read(pickle.dumps({key: 1}))


def test_reading_stops_behind_the_first_pickle():
    stream = io.BytesIO(pickle.dumps([1]) + pickle.dumps("next") + b"rest")
    assert read_pickle(stream, {}) == [1]
    assert read_pickle(stream, {}) == "next"
    assert stream.read() == b"rest"
