"""How many files this process may have open."""

import contextlib
import resource

from lmmgwas.errors import FileAccessError

_LEAST = 48
"""A run needs about 30: 3 streams, .bed, two mapped parts of a GRM, the tables that are being
written, libraries. The rest is left to what its environment opens."""


def require_open_files(more: int = 0) -> None:
    """Raise the limit of open files as far as the system lets us.

    `more` are wanted besides the usual ones, such as one for each of several .bed files.

    Raises FileAccessError (E120) where the limit stays below what is needed.
    """
    needed = _LEAST + more
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _is_enough(soft, needed):
        return
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not _is_enough(soft, needed):
        raise FileAccessError(
            "E120",
            f"this run may need {needed} open files, and the limit is {soft}: raise it "
            f"(ulimit -n {needed}), or analyse fewer traits or files at a time",
        )


def _is_enough(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
