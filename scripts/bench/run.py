"""Measure: our times on simulated studies beside those of other programs, into RESULTS.md.

    make bench                                     everything, more than an hour
    python scripts/bench/run.py --only a,c         some cases
    python scripts/bench/run.py --scale tiny       try the script: small data, nothing kept

GEMMA, PLINK 2, BOLT-LMM and FaST-LMM (FASTLMM_PYTHON names its Python) are optional: those that
are not there are named and skipped. `cases.py` says what the cases are.
"""

import argparse
import datetime
import subprocess
import sys
import tempfile
from pathlib import Path

from cases import CASES
from process import FailedError
from table import merge
from workplace import HERE, Workplace, say

from lmmgwas.numerics.threads import available_threads

_RESULTS = HERE / "RESULTS.md"
_NUMBERS = {"family": "cpu family", "model": "model"}


def main() -> int:
    """Run the cases that were asked for; return the exit code."""
    options = _options()
    if options.scratch is not None:
        options.scratch.mkdir(parents=True, exist_ok=True)
        return _run(options, options.scratch.resolve())
    with tempfile.TemporaryDirectory(prefix="lmmgwas_bench.") as scratch:
        return _run(options, Path(scratch).resolve())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(CASES), metavar="A,B", help="cases: a to i")
    parser.add_argument("--scale", choices=["full", "tiny"], default="full")
    parser.add_argument("--runs", type=int, default=3, help="of ours; other programs run once")
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument(
        "--peer-limit", type=float, default=3600.0, metavar="SECONDS", help="for each peer's step"
    )
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="kept, and its data used again (default: none)"
    )
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help=f"default: {_RESULTS.name} beside the script"
    )
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := sorted(set(options.only) - set(CASES)):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(CASES)}")
    if options.runs < 1 or options.threads < 1:
        parser.error("--runs and --threads are at least 1")
    return options


def _run(options: argparse.Namespace, scratch: Path) -> int:
    """Run the cases; a section is written as soon as its case is done."""
    tiny = options.scale == "tiny"
    results = options.results or (scratch / "RESULTS.md" if tiny else _RESULTS)
    place = Workplace(scratch, options.threads, options.runs, options.peer_limit, tiny)
    failed = []
    for key in options.only:
        say(f"case {key}")
        try:
            section = CASES[key](place)
        except (FailedError, subprocess.CalledProcessError) as error:
            failed.append(key)
            say(f"case {key} failed: {error}")
            continue
        merge(results, section, _machine(options.threads))
    if tiny and options.results is None and results.exists():
        print(results.read_text(encoding="utf-8"))
    if failed:
        say(f"failed: {', '.join(failed)}; their sections are as they were")
    return 1 if failed else 0


def _machine(threads: int) -> str:
    """The date, the processor and the threads."""
    noun = "thread" if threads == 1 else "threads"
    return f"{datetime.date.today().isoformat()}, {_processor()}, {threads} {noun}."


def _processor() -> str:
    """The processor's name as the kernel knows it, and its family and model: names are vague."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return "unknown processor"
    pairs = (line.partition(":") for line in first.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in pairs}
    name = facts.get("model name", "unknown processor")
    numbers = [f"{k} {facts[f]}" for k, f in _NUMBERS.items() if f in facts]
    return f"{name} ({', '.join(numbers)})" if numbers else name


if __name__ == "__main__":
    sys.exit(main())
