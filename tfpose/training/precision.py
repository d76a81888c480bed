"""Which numbers a network is trained in."""

from __future__ import annotations

import pathlib

import tensorflow as tf

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16", "auto")
_CPU_INFO = pathlib.Path("/proc/cpuinfo")
# Instructions that multiply bfloat16 numbers; without them oneDNN converts each, which is slower than float32.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}


def choose_precision(name: str) -> str:
    """The precision policy that `name` stands for.

    Args:
        name: a policy, or "auto": mixed_bfloat16 where the device multiplies such numbers (GPUs from compute
            capability 8.0, CPUs with AVX512-BF16 or AMX), mixed_float16 on GPUs from 7.0, else float32.

    Raises:
        ValueError: `name` is unknown.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {name!r}")
    if name != "auto":
        return name
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16" if capability >= (7, 0) else "float32"
    return "mixed_bfloat16" if _CPU_FLAGS & _read_cpu_flags() else "float32"


def _read_cpu_flags() -> set[str]:
    """What the processor says of itself; nothing where the system does not tell."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}
