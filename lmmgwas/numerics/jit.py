"""The one door to numba: where compiled kernels are kept, and how they are compiled.

Compiled code is loaded by later runs, so its folder must be private to the user. Where no
such folder can be had, kernels are compiled in memory, once per process. A folder that is full,
or whose files are damaged, costs the time to compile and nothing else.
"""

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def _is_private(folder: Path) -> bool:
    """Whether a folder is this user's, and nobody else can write to it."""
    state = folder.lstat()
    own = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid()
    return own and not state.st_mode & 0o022


def _private_cache() -> Path | None:
    """Return a folder that only this user can write to, None where there is none.

    The one that NUMBA_CACHE_DIR names, or one in the user's cache. Of the latter the folder above
    must be private, too: who can write there can put another in its place.
    """
    given, cache = os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    home = os.environ.get("HOME")
    if given:
        folder = Path(given)
    elif cache or home:
        folder = (Path(cache) if cache else Path(home or "") / ".cache") / "lmmgwas" / "kernels"
    else:
        return None
    try:
        if not given:  # `mode` is that of the last folder only
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = _is_private(folder) and (bool(given) or _is_private(folder.parent))
    except OSError:
        return None
    return folder if private and os.access(folder, os.W_OK) else None


def _prepare_cache() -> bool:
    """Point numba at the private folder before it loads; say whether there is one."""
    folder = _private_cache()
    if folder is None:
        return False
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return True


_CACHED = _prepare_cache()


def kernel(function: _Kernel) -> _Kernel:
    """Compile `function` on its first call, without the GIL, keeping IEEE arithmetic."""
    import numba

    try:
        compiled: Any = numba.njit(cache=_CACHED, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba found no folder that it can write to after all
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    if _CACHED and compiled is not function:  # NUMBA_DISABLE_JIT leaves it as it is
        _forgive(compiled._cache)
    return cast(_Kernel, compiled)


def _forgive(cache: Any) -> None:
    """Let a kept kernel that cannot be read be compiled again, one that cannot be kept be used."""
    load, save = cache.load_overload, cache.save_overload

    def load_or_none(signature: Any, target: Any) -> Any:
        try:
            return load(signature, target)
        except Exception:  # a damaged file may fail in any way, and is only a copy
            with contextlib.suppress(Exception):
                cache.flush()
            return None

    def save_or_not(signature: Any, data: Any) -> None:
        with contextlib.suppress(Exception):  # a full disk, a quota, a folder that went away
            save(signature, data)

    cache.load_overload, cache.save_overload = load_or_none, save_or_not
