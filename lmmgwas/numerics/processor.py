"""Which BLAS kernels this processor deserves: to be settled before numpy loads.

OpenBLAS chooses its kernels when it is loaded, by vendor, family and model. Processors that are
newer than it fall back to AVX2, half the speed of AVX-512 where that is whole (AMD Zen 5: sgemm
234 against 505 GFLOP/s on 2 cores). This module imports nothing that is slow to load.
"""

import os
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_SKYLAKEX_FLAGS = frozenset({"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"})
_BFLOAT16 = "avx512_bf16"

_AMD = "AuthenticAMD"
_FIRST_UNKNOWN_AMD = 0x1A
"""Zen 5. OpenBLAS knows Zen 4 (family 0x19) and gives it its AVX-512 kernels, and it knows
Intel's processors with AVX-512 by their flags."""

_AVX2_KERNELS = frozenset({"haswell", "zen", "sandybridge", "nehalem", "prescott", "core2"})


def prepare_blas() -> None:
    """Tell OpenBLAS, by its environment, what it would get wrong. The user's word stands.

    The core type, where `core_type` names one; and to let idle threads sleep soon: numpy's and
    scipy's wheels carry one OpenBLAS each, and each keeps its idle threads spinning (2^26 cycles
    unless told otherwise) while the other works on the same processors: on 2 cores that cost a
    third of a run. 2^18 cycles are 0.1 ms.
    """
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")
    if os.environ.get("OPENBLAS_CORETYPE"):
        return
    chosen = core_type(_read_cpuinfo())
    if chosen is not None:
        os.environ["OPENBLAS_CORETYPE"] = chosen


def core_type(cpuinfo: str) -> str | None:
    """Return the kernels to ask for where OpenBLAS would choose slower ones, otherwise None."""
    fields = _first_processor(cpuinfo)
    flags = frozenset(fields.get("flags", "").split())
    family = fields.get("cpu family", "")
    newer = fields.get("vendor_id") == _AMD and family.isdigit()
    if not newer or int(family) < _FIRST_UNKNOWN_AMD or not flags >= _SKYLAKEX_FLAGS:
        return None
    return "COOPERLAKE" if _BFLOAT16 in flags else "SKYLAKEX"


def flushed_denormals() -> str | None:
    """Return a warning where numbers below the smallest normal one are taken for 0, else None.

    Libraries that were compiled with -ffast-math switch that on for the process that loads them,
    by the processor's flags FTZ and DAZ.
    """
    if sys.float_info.min * 0.5 > 0.0:
        return None
    return (
        "this process takes tiny numbers (below 2e-308) for 0: a library that was compiled with "
        "-ffast-math has changed the processor's arithmetic, and results may lose digits; find "
        "what preloads it (LD_PRELOAD, a plug-in), and run without it"
    )


def slow_kernels(architectures: list[str]) -> str | None:
    """Return advice where a loaded OpenBLAS has AVX2 kernels or older on AVX-512, else None."""
    if os.environ.get("OPENBLAS_CORETYPE"):
        return None  # somebody chose
    flags = frozenset(_first_processor(_read_cpuinfo()).get("flags", "").split())
    slow = [name for name in architectures if name.lower() in _AVX2_KERNELS]
    if not slow or not flags >= _SKYLAKEX_FLAGS:
        return None
    return (
        f"BLAS runs its {slow[0]} kernels although this processor has AVX-512: try the "
        "environment variable OPENBLAS_CORETYPE=SKYLAKEX, which may be faster"
    )


def _first_processor(cpuinfo: str) -> dict[str, str]:
    """Name and value of each line of the first processor."""
    lines = (line.partition(":") for line in cpuinfo.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _read_cpuinfo() -> str:
    try:
        return _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
