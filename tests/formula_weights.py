"""Weights by a formula from the names of the tensors, so that no file of weights need be kept."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

import numpy as np

Arrays = dict[str, np.ndarray]
Gains = Iterable[tuple[str, float]]


def _uniform(name: str, count: int, salt: int) -> np.ndarray:
    """splitmix64 (Steele et al. 2014) seeded by a tensor's name: doubles in [0, 1)."""
    key = (zlib.crc32(name.encode("ascii")) << 32) + salt
    z = np.uint64(key) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) / 2.0**53


# Of ResNets: they keep activations of order 1 through 152 layers.
GAINS = (
    (r"conv3\.weight$", 0.125),
    (r"final_layer\.weight$", 0.125),
    (r"downsample\.0\.weight$", 0.5),
)


def _kernel_bound(name: str, shape: tuple[int, ...], gains: Gains) -> float:
    fan_in = np.prod(shape) / shape[0]
    if "deconv" in name:
        fan_in = np.prod(shape) / shape[1] / 4
    gain = next((gain for pattern, gain in gains if re.search(pattern, name)), 1.0)
    return gain * np.sqrt(6.0 / fan_in)


def make_array(name: str, shape: tuple[int, ...], salt: int = 0, gains: Gains = GAINS) -> np.ndarray:
    """Weights of one tensor by the formula, from its name."""
    if name.endswith("num_batches_tracked"):
        return np.asarray(1000, np.int64)
    u = _uniform(name, int(np.prod(shape)), salt)
    if name.endswith("running_mean"):
        values = 0.2 * (2 * u - 1)
    elif name.endswith("running_var"):
        values = 0.25 + 1.5 * u
    elif name.endswith("bias"):
        values = 0.1 * (2 * u - 1)
    elif len(shape) == 1:
        values = 0.9 + 0.2 * u
    elif len(shape) == 3:
        values = 0.5 * (2 * u - 1)
    else:
        values = _kernel_bound(name, shape, gains) * (2 * u - 1)
    return values.astype(np.float32).reshape(shape)


def paddle_name(name: str) -> str:
    """The name in Paddle's files of a tensor whose weights the formula makes by PyTorch's name."""
    return re.sub("running_var$", "_variance", re.sub("running_mean$", "_mean", name))
