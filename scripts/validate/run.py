"""Compare with other programs on the same data, and with their published results.

    make validate                              everything that this machine can do
    python scripts/validate/run.py plink2      one peer: plink2 gemma fastlmm gwas_ssf

Prints one line for each figure; leaves with 1 when one is not met. A program or data that are
not there are skipped, and named.
"""

import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from reference import Check, UnavailableError

PEERS = ("plink2", "gemma", "fastlmm", "gwas_ssf")
HEADER = ("what", "figure required", "measured", "ok")
_VERDICT = {True: "yes", False: "NO", None: "note"}


def main(names: list[str]) -> int:
    """Run the checks of these peers; return the exit code."""
    unknown = sorted(set(names) - set(PEERS))
    if unknown:
        print(f"unknown: {', '.join(unknown)}; choose from {', '.join(PEERS)}", file=sys.stderr)
        return 2
    tables: list[tuple[str, list[Check]]] = []
    skipped: list[str] = []
    with tempfile.TemporaryDirectory(prefix="lmmgwas_validate.") as scratch:
        for name in names or PEERS:
            for number, (title, check) in enumerate(import_module(name).CHECKS):
                folder = Path(scratch) / f"{name}{number}"
                folder.mkdir()
                print(f"... {title}", file=sys.stderr, flush=True)
                try:
                    tables.append((title, _run(check, folder)))
                except UnavailableError as reason:
                    skipped.append(f"{title}: {reason}")
    _print_tables(tables)
    for line in skipped:
        print(f"skipped   {line}")
    checks = [check for _, table in tables for check in table]
    failed = sum(check.ok is False for check in checks)
    judged = sum(check.ok is not None for check in checks)
    print(f"{judged - failed} of {judged} figures met, {len(skipped)} comparisons skipped")
    return 1 if failed else 0


def _run(check: Callable[[Path], list[Check]], folder: Path) -> list[Check]:
    """Run one comparison; a program that fails is a figure that is not met."""
    try:
        return check(folder)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return [Check("the comparison runs", "exit code 0", str(error).split("\n")[-1][:60], False)]


def _print_tables(tables: list[tuple[str, list[Check]]]) -> None:
    """Print all checks in one table, in columns of one width."""
    rows = [
        (check.what, check.required, check.measured, _VERDICT[check.ok])
        for _, table in tables
        for check in table
    ]
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    lines = iter(rows)
    print(_line(HEADER, widths))
    for title, table in tables:
        print(f"\n{title}")
        for _ in table:
            print(_line(next(lines), widths))
    print()


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    return " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
