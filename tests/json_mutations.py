"""Damages parsed JSON in ways that its readers may not foresee, and writes it as text."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

_RAW = "\x02raw:"
# Tokens that json.dumps does not write: numbers beyond every type, and depth beyond Python's recursion.
RAW_TOKENS = ("1e999", "-1e999", "1E+400", "NaN", "Infinity", "1" + "0" * 5000, "0." + "9" * 3000, "-0", "[" * 99999)
SCALARS = (
    *(None, True, False, 0, 1, -1, 2, 7, 255, 256, 0.5, -0.5, 1e-320, 1e30, 1e308, -1e308, 12345.678),
    *(2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**40, 10**9, 10**12),
)
TEXTS = (
    *("", "0", "1.5", "nan", "null", "id", "person", "left_knee", "../../../etc/passwd", "/", ".", "a\\b", "C:\\x.jpg"),
    *(
        "\x00",
        "\x1b[2J\x1b[31m",
        "line\nbreak\r\n",
        "\ud800",
        "\udcff",
        "\u202etxt",
        "e\u0301",
        "é",
        "😀" * 20,
        "x" * 5000,
    ),
    *("<script>alert(1)</script>", "%s%n{0}{x}", "' or 1=1 --", "ﬀ", "\ufeff", "\U0001d7d9", "--flag=1"),
)
CONTAINERS: tuple[Any, ...] = ([], {}, [[]], [{}], {"": []}, [1], [None], [[[[1]]]], {"id": 1}, ["a", 1, None], [0] * 3)


def paths_of(value: Any, path: tuple = ()) -> list[tuple]:
    """The places in parsed JSON, the root first."""
    found = [path]
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        found += paths_of(entry, (*path, key))
    return found


class Mutator:
    """Makes damaged copies of one parsed JSON file; the same seed makes the same copy."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._by_depth: dict[int, list[tuple]] = {}
        for path in paths_of(content):
            self._by_depth.setdefault(len(path), []).append(path)

    def damaged(self, seed: int) -> bytes:
        """One to three damages of the structure, and in one of ten cases one of the text."""
        rng = random.Random(seed)
        content = copy.deepcopy(self._content)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            content = self._mutate(content, rng)
        data = _to_text(content, rng).encode("utf-8", "surrogatepass")
        return _damage_text(data, rng) if rng.random() < 0.1 else data

    def _mutate(self, content: Any, rng: random.Random) -> Any:
        # Every depth is as likely: most places lie in long lists of numbers.
        path = rng.choice(self._by_depth[rng.choice(list(self._by_depth))])
        parent, key = None, None
        value = content
        for step in path:
            try:
                parent, key, value = value, step, value[step]
            except (LookupError, TypeError):
                return content
        if parent is not None and not isinstance(parent, (dict, list)):
            return content
        changed = _changed(value, rng, content)
        if parent is None:
            return changed
        action = rng.random()
        if action < 0.12:
            del parent[key]
        elif action < 0.2 and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(value))
        elif action < 0.25 and isinstance(parent, dict):
            parent[rng.choice((*TEXTS[:12], str(key).upper(), f"{key} "))] = parent.pop(key)
        elif action < 0.3 and isinstance(parent, dict):
            # A second entry of the same name.
            parent[f"{_RAW}{key}"] = changed
        else:
            parent[key] = changed
        return content


def _changed(value: Any, rng: random.Random, content: Any) -> Any:
    choices = [
        lambda: rng.choice(SCALARS),
        lambda: rng.choice(TEXTS),
        lambda: copy.deepcopy(rng.choice(CONTAINERS)),
        lambda: _RAW + rng.choice(RAW_TOKENS),
        lambda: [value],
        lambda: {"value": value},
        lambda: json.dumps(value) if not isinstance(value, str) else f"{value}{rng.choice(TEXTS)}",
        lambda: copy.deepcopy(_other_value(content, rng)),
    ]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        choices += [lambda: -value, lambda: value * 10**9, lambda: value + 0.5, lambda: str(value)] * 2
    if isinstance(value, list) and value:
        choices += [
            lambda: value[: rng.randrange(len(value))],
            lambda: value * rng.choice((2, 50)),
            lambda: rng.sample(value, len(value)),
            lambda: value[0],
            lambda: dict(enumerate(map(str, value))),
        ]
    if isinstance(value, dict):
        choices += [lambda: list(value.values()), lambda: list(value)]
    return rng.choice(choices)()


def _other_value(content: Any, rng: random.Random) -> Any:
    """The value of another place of the file."""
    while isinstance(content, (dict, list)) and content and rng.random() < 0.8:
        content = rng.choice(list(content.values()) if isinstance(content, dict) else content)
    return content


def _to_text(content: Any, rng: random.Random) -> str:
    text = json.dumps(content, ensure_ascii=rng.random() < 0.5)
    for token in RAW_TOKENS:
        text = text.replace(json.dumps(_RAW + token), token)
    return text.replace("\\u0002raw:", "")


def _damage_text(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return rng.choice(
        (
            lambda: data[:place],
            lambda: data[:place] + bytes(rng.randrange(256) for _ in range(rng.randint(1, 9))) + data[place:],
            lambda: b"\xef\xbb\xbf" + data,
            lambda: data.decode("utf-8", "replace").encode("utf-16"),
            lambda: data + data,
            lambda: data.replace(b",", b",,", 1),
            lambda: b"",
        )
    )()
