"""The devices that multiply bfloat16 numbers. Others convert each number, which takes longer than float32."""

from __future__ import annotations

import pathlib

import tensorflow as tf

_CPU_INFO = pathlib.Path("/proc/cpuinfo")
_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
_LEAST_CAPABILITY = (8, 0)


def find_obstacle() -> str:
    """Returns why TensorFlow's device does not multiply bfloat16 numbers, in words; empty where it does."""
    if not tf.config.list_physical_devices("GPU"):
        return "" if _CPU_FLAGS & _read_cpu_flags() else "the CPU has no bfloat16 instructions (AVX512-BF16 or AMX)"
    capability = gpu_capability()
    if capability >= _LEAST_CAPABILITY:
        return ""
    least, found = (".".join(str(number) for number in version) for version in (_LEAST_CAPABILITY, capability))
    return f"the GPU must have compute capability {least} for bfloat16, got {found}"


def gpu_capability() -> tuple[int, int]:
    """Returns the compute capability of the first GPU, such as (8, 0); (0, 0) if there is none or it is not known."""
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return details.get("compute_capability", (0, 0))


def _read_cpu_flags() -> set[str]:
    """Returns the feature flags of the processor, or no flags where the system does not list them."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}
