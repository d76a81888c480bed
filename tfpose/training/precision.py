"""The number formats that a network can be trained in."""

from __future__ import annotations

import pathlib

import tensorflow as tf

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16", "auto")
_CPU_INFO = pathlib.Path("/proc/cpuinfo")
# Instructions that multiply bfloat16 numbers. Without them oneDNN converts each number, slower than float32.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}


def choose_precision(name: str) -> str:
    """Returns the precision policy that `name` stands for.

    Args:
        name: Name of a policy, or "auto". "auto" is mixed_bfloat16 where the device multiplies bfloat16 numbers (GPUs
            of compute capability 8.0 or higher, CPUs with AVX512-BF16 or AMX), mixed_float16 on GPUs of compute
            capability 7.0 or higher, and float32 elsewhere.

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
    """Returns the feature flags of the processor, or no flags where the system does not list them."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}
