"""Whole-process times: the mouse study (LOCO, two traits, tables and plots), and --help.

    make bench

The mice lie outside the repository, in ../shared/data; without them only --help is timed. One
run before the timed ones compiles and caches the kernels. FaST-LMM 0.6.13 takes 67 s for the
mouse study on 2 cores, without plots.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOUSE = Path(__file__).resolve().parents[3] / "shared" / "data" / "mouse_hs1940"
MOUSE_LIMIT = 12.0  # seconds on 2 cores
HELP_LIMIT = 0.2
N_RUNS = 3
N_HELP_RUNS = 9  # it is short: more runs for a steady median


def seconds(arguments: list[str], n_runs: int) -> list[float]:
    """Time n_runs whole processes after one that is not counted."""
    command = [sys.executable, "-m", "lmmgwas", *arguments]
    times = []
    for _ in range(n_runs + 1):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"lmmgwas ended with exit code {done.returncode}:\n{done.stderr[-500:]}")
        times.append(time.perf_counter() - start)
    return times[1:]


def report(what: str, times: list[float], limit: float) -> None:
    """Print the median beside its limit, and the range."""
    median = statistics.median(times)
    verdict = "yes" if median < limit else "NO"
    spread = f"{min(times):.2f} to {max(times):.2f}, {len(times)} runs"
    print(f"{what:<46} {median:6.2f} s ({spread}); under {limit:g} s: {verdict}")


def main() -> None:
    """Time what can be timed here."""
    print(f"{os.cpu_count()} logical processors; medians of whole processes")
    report("lmmgwas --help", seconds(["--help"], N_HELP_RUNS), HELP_LIMIT)
    if not MOUSE.is_dir():
        print("mouse study: skipped, no ../shared/data/mouse_hs1940")
        return
    with tempfile.TemporaryDirectory(prefix="lmmgwas_bench.") as scratch:
        study = ["--bfile", str(MOUSE / "mouse_hs1940"), "--pheno", str(MOUSE / "pheno.tsv")]
        options = ["--species", "mouse", "--out", f"{scratch}/mouse", "--overwrite"]
        times = seconds(["assoc", *study, *options], N_RUNS)
    report("lmmgwas assoc, mouse study, CD8 and MCH, plots", times, MOUSE_LIMIT)


if __name__ == "__main__":
    main()
