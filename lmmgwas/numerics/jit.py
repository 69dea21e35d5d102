"""The one door to numba: where compiled kernels are kept, and how they are compiled.

Compiled code is loaded by later runs, so its folder must be private to the user. Where no
such folder can be had, kernels are compiled in memory, once per process.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def _private_cache() -> Path | None:
    """Return a folder that only this user can write to, None where there is none."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME")
    if not base:
        return None
    parent = Path(base) if os.environ.get("XDG_CACHE_HOME") else Path(base) / ".cache"
    folder = parent / "lmmgwas" / "kernels"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid()
    if not private or state.st_mode & 0o022 or not os.access(folder, os.W_OK):
        return None
    return folder


def _prepare_cache() -> bool:
    """Point numba at the private folder before it loads; say whether there is one."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return True
    folder = _private_cache()
    if folder is None:
        return False
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return True


_CACHED = _prepare_cache()


def kernel(function: _Kernel) -> _Kernel:
    """Compile `function` on its first call, without the GIL, keeping IEEE arithmetic."""
    import numba

    compile_ = numba.njit(cache=_CACHED, nogil=True, error_model="numpy")
    return cast(_Kernel, compile_(function))
