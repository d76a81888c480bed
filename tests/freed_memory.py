"""Gives memory back to the system, so that test processes stay below 2 GiB."""

from __future__ import annotations

import ctypes
import gc


def free_memory() -> None:
    """Frees networks and traced functions, which refer to themselves, and what the C library keeps of freed arrays."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only in the GNU C library
    if trim is not None:
        trim(0)
