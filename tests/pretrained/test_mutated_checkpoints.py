"""Checkpoint files with random damage: each is read or refused in one line, nothing is executed, memory is bounded.

TFPOSE_MUTATIONS sets the number of damaged files of each kind; more of them also damage the real files of ../shared.
"""

from __future__ import annotations

import os
import pathlib
import pickle
import random
import sys
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from checkpoint_writers import write_safetensors

from tfpose.importing.families import find_family
from tfpose.messages import describe_error
from tfpose.pretrained.checkpoint_files import read_arrays
from tfpose.pretrained.named_tensors import read_checkpoint

NUM_MUTATIONS = int(os.environ.get("TFPOSE_MUTATIONS", "60"))
SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared"
# Of the pickle reader: sixteen times the file, or 64 MB.
MOST_BYTES, MOST_GROWTH = 80 * 2**20, 20
EXECUTING = ("exec", "compile", "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")
LARGE = (b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"99999999999999999999", b"-1", b"[[[[[[[[", b"\x00" * 8)
EVIL = (b"\x8c\x05posix\x8c\x06system\x93", b"cposix\nsystem\n", b"cbuiltins\neval\n", b"\x82\x01", b"R", b"b")

watched: list[str] = []
is_watching = [False]


@pytest.fixture(scope="module", autouse=True)
def watch_calls() -> None:
    """Notes what would execute code; such a hook stays for the process."""

    def note(event: str, arguments: tuple) -> None:
        if is_watching[0] and event in EXECUTING:
            watched.append(event)

    sys.addaudithook(note)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damages a file in one to four places."""
    for _ in range(rng.randint(1, 4)):
        # The first bytes matter most.
        at = rng.randrange(len(data) if rng.random() < 0.4 else min(len(data), 4000)) if data else 0
        span = rng.choice((1, 2, 8, 50))
        kind = rng.randrange(7)
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data = data[:at] + rng.randbytes(span) + data[at + span :]
        elif kind == 2:
            data = data[:at] + rng.choice((*LARGE, *EVIL)) + data[at:]
        elif kind == 3:
            data = data[:at] + data[at + span :]
        elif kind == 4:
            data = data[:at] + data[at : at + span] * rng.choice((2, 100)) + data[at + span :]
        elif kind == 5:
            digit = next((i for i in range(at, min(len(data), at + 500)) if data[i : i + 1].isdigit()), at)
            data = data[:digit] + rng.choice((b"9" * 30, b"-", b"0", b"1e9", b"7")) + data[digit + 1 :]
        else:
            data = data[:at] + rng.choice((*LARGE, *EVIL)) + data[at + span :]
    return data


def sources(folder: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    arrays = {f"backbone.layer{i}.weight": rng.normal(size=(4, 3, 1, 1)).astype(np.float32) for i in range(8)}
    for protocol in (2, 4):
        content = {**arrays, "StructuredToParameterName@@": {name: f"conv2d_{name}.w_0" for name in arrays}}
        yield ".pdparams", pickle.dumps(content, protocol)
    yield ".safetensors", write_safetensors(folder / "whole.safetensors", arrays).read_bytes()
    if NUM_MUTATIONS > 100 and SHARED.is_dir():
        for path in (
            SHARED / "data/weights/tinypose_128x96.pdparams",
            SHARED / "golden/tinypose/picodet_mini.pdparams",
        ):
            yield ".pdparams", path.read_bytes()
            whole = read_arrays(path, read_checkpoint(path).tensors)
            yield ".safetensors", write_safetensors(folder / "whole.safetensors", whole).read_bytes()


def outcome(path: pathlib.Path) -> str:
    """What becomes of a file: 'read', or the message; fails for all that a user must not see."""
    tracemalloc.start()
    is_watching[0] = True
    try:
        checkpoint = read_checkpoint(path)
        read_arrays(path, checkpoint.tensors)
        find_family(checkpoint)
        message = "read"
    except (ValueError, OSError) as error:
        message = describe_error(error)
        assert message.startswith(str(path)), message
        assert "\n" not in message and len(message) < 1000, message
    finally:
        is_watching[0] = False
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < max(MOST_BYTES, MOST_GROWTH * path.stat().st_size), (path, peak)
    return message


@pytest.mark.parametrize("suffix", [".pdparams", ".safetensors"])
def test_damage_is_one_line_or_other_numbers(suffix, tmp_path):
    rng = random.Random(16)
    whole = [data for kind, data in sources(tmp_path) if kind == suffix]
    path = tmp_path / f"damaged{suffix}"
    messages = []
    for index in range(NUM_MUTATIONS):
        path.write_bytes(mutate(whole[index % len(whole)], rng))
        messages.append(outcome(path))
    assert watched == []
    # These names are of no network, so that even an unharmed file ends with a message.
    refused = [message for message in messages if message != "read"]
    assert len(set(refused)) > NUM_MUTATIONS // 4
    print(f"{suffix}: {len(messages)} files, {len(refused)} refused in {len(set(refused))} different lines")
