"""The number formats that a network can be trained in."""

from __future__ import annotations

from tfpose.inference.bfloat16_devices import find_obstacle, gpu_capability

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16", "auto")


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
    if not find_obstacle():
        return "mixed_bfloat16"
    return "mixed_float16" if gpu_capability() >= (7, 0) else "float32"
