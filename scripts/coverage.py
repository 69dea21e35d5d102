"""Branch coverage of the package with its kernels counted: `make coverage`.

Compiled kernels run outside Python's sight, so the tests run twice: the fast suite as it is, and
the tests of the kernels with NUMBA_DISABLE_JIT=1, where kernels are plain Python. Processes that
tests start are not counted. Prints a table, and what is not reached where a package is below its
target; fails there. In `numerics` and `model` every line and branch is reached, or it stands in
tests/uncovered.toml with the reason; what stands there although it is reached fails, too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LISTED = ROOT / "tests" / "uncovered.toml"
TARGETS = {"numerics": 100.0, "model": 100.0, "io": 95.0, "cli": 95.0}
"""Percent of lines and branches, what is listed with its reason left out."""
EVERYTHING = ("-m", "not slow")
KERNELS = {
    "tests/test_numerics_kernels.py": (),
    "tests/test_numerics_hwe.py": (),
    "tests/test_numerics_refit.py": ("log_likelihood", "row_of_zeros", "perfect_fit"),
    "tests/test_numerics_dosage_kernels.py": (),
    "tests/test_numerics_hashing.py": (),
    "tests/test_numerics_panels.py": (),
    "tests/test_numerics_triangle.py": (),
    "tests/test_numerics_tails.py": ("switch", "special_values", "below_the_smallest"),
    "tests/test_model_grm_check.py": ("products", "triangle", "dense_one", "another_order"),
    "tests/test_model_calibration.py": ("families_are_all_there_is",),
    "tests/test_io_row_text.py": ("every_power", "rows_are", "selection", "refused"),
    "tests/test_io_bim_kernels.py": (),
}
"""Tests that use kernels, by words of their names: without compiler the others take minutes, and
reach nothing more."""


@dataclass
class Part:
    """What is counted of a package."""

    total: int = 0
    reached: int = 0
    listed: int = 0
    missing: list[str] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """Share that is reached of what is not listed."""
        return 100.0 * self.reached / max(self.total - self.listed, 1)


def measure() -> int:
    """Run the tests under coverage; return the exit code of the first that fails."""
    _coverage("erase")
    failed = _run(*EVERYTHING)
    for file, words in KERNELS.items():
        # numpy warns where whole numbers wrap, as compiled ones do without a word.
        quiet = ("-W", "ignore::RuntimeWarning")
        chosen = ("-k", " or ".join(words)) if words else ()
        failed = failed or _run(file, *EVERYTHING, *chosen, *quiet, NUMBA_DISABLE_JIT="1")
    _coverage("combine", "--quiet")
    return failed


def _run(*arguments: str, **changes: str) -> int:
    """Run pytest under coverage; return its exit code."""
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    command = [sys.executable, "-m", "coverage", "run", *pytest]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **changes}, check=False).returncode


def _coverage(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=True)


def figures() -> dict:
    """Return what coverage knows of each file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        _coverage("json", "--quiet", "-o", str(path))
        found: dict = json.loads(path.read_text(encoding="utf-8"))["files"]
    return found


def misses(path: str, found: dict) -> Iterator[tuple[str, str]]:
    """Yield place and source line of every line and branch that is not reached."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    for number in found["missing_lines"]:
        yield f"{path}:{number}", lines[number - 1].strip()
    for start, end in found["missing_branches"]:
        goal = f"line {end}" if end > 0 else "the end"
        yield f"{path}:{start} to {goal}", lines[start - 1].strip()


def count(files: dict) -> tuple[dict[str, Part], set[tuple[str, str]]]:
    """Return the parts by name, and the entries of the list that nothing needed."""
    entries = tomllib.loads(LISTED.read_text(encoding="utf-8")).get("uncovered", [])
    listed = {(entry["file"], line) for entry in entries for line in entry["lines"]}
    unused = set(listed)
    parts: dict[str, Part] = {}
    for path, found in sorted(files.items()):
        inner = Path(path).relative_to("lmmgwas")
        part = parts.setdefault(inner.parts[0] if len(inner.parts) > 1 else "(top)", Part())
        summary = found["summary"]
        part.total += summary["num_statements"] + summary["num_branches"]
        part.reached += summary["covered_lines"] + summary["covered_branches"]
        for place, text in misses(path, found):
            if (str(inner), text) in listed:
                part.listed += 1
                unused.discard((str(inner), text))
            else:
                part.missing.append(f"{place}: {text}")
    return parts, unused


def report(files: dict) -> bool:
    """Print the table; return whether the targets are met."""
    parts, unused = count(files)
    print(f"\n{'package':<10}{'lines+branches':>15}{'listed':>8}{'reached':>10}{'target':>9}")
    below = []
    for name, part in sorted(parts.items()):
        target = TARGETS.get(name)
        print(
            f"{name:<10}{part.total:>15,}{part.listed:>8}{part.percent:>9.2f}%"
            + (f"{target:>8.0f}%" if target is not None else f"{'':>9}")
        )
        if target is not None and part.percent < target:
            below.append(name)
    for name in below:
        print(f"\nNot reached in {name}, and not listed in {LISTED.relative_to(ROOT)}:")
        print("\n".join(f"  {line}" for line in parts[name].missing))
    for file, line in sorted(unused):
        print(f"\nListed without need: {file}: {line}")
    return not below and not unused


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", action="store_true", help="of the last run, without a new one")
    parser.add_argument("--missing", action="store_true", help="name all that is not reached")
    given = parser.parse_args()
    failed = 0 if given.report else measure()
    if failed:
        return failed
    files = figures()
    met = report(files)
    if given.missing:
        for part in count(files)[0].values():
            print("\n".join(part.missing))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
