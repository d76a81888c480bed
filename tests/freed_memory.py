"""Gives memory back to the system, so that test processes stay below 2 GiB."""

from __future__ import annotations

import ctypes
import gc
import os
import pathlib

_RESIDENT_PAGES = pathlib.Path("/proc/self/statm")
# TensorFlow keeps the memory that it has used, so networks that nothing uses must go before it takes more.
_MOST_GROWTH = 2**26
_resident = 0


def free_memory() -> None:
    """Frees networks and traced functions, which refer to themselves, and what the C library keeps of freed arrays."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only in the GNU C library
    if trim is not None:
        trim(0)


def free_after_growth() -> None:
    """Frees memory if this process has grown since the last call that did so."""
    global _resident
    if _resident_bytes() > _resident + _MOST_GROWTH:
        free_memory()
        _resident = _resident_bytes()


def _resident_bytes() -> int:
    """Returns the memory of this process, or 0 where there is no such file."""
    if not _RESIDENT_PAGES.exists():
        return 0
    return int(_RESIDENT_PAGES.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
