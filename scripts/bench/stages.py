"""Where the time of a run of ours went, read out of its PREFIX.log.

The log says `name ...` where a stage begins and `name: 3.21 s` where it ends. Null models are
fitted within the scan, several at a time, each beside the tests of another chromosome: their
seconds are divided by how many were seen under way at once. What the tests themselves took is
said at the end of a scan: `tests and rows: 1.45 s on 2 threads, 69,002 variants per second`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_BEGIN = re.compile(r"(?P<name>[^:]+) \.\.\.")
_END = re.compile(r"(?P<name>[^:]+): (?P<seconds>[\d.]+) s")
_SCAN = re.compile(r"scan: (?P<variants>[\d,]+) variants in (?P<seconds>[\d.]+) s\b.*")
_TESTS = re.compile(
    r"tests and rows: (?P<seconds>[\d.]+) s on \d+ threads, [\d,]+ variants per second"
)
_FAMILIES = (
    (re.compile(r"(.*), without .*"), r"\1, leaving chromosomes out"),
    (re.compile(r"(plots) of .*"), r"\1"),
    (re.compile(r"(calibration), .*"), r"\1 of each chromosome"),
)


@dataclass(slots=True)
class _Stage:
    seconds: float = 0.0
    open: int = 0
    at_once: int = 1

    @property
    def elapsed(self) -> float:
        return self.seconds / self.at_once


@dataclass(slots=True)
class Profile:
    """Seconds by stage, in the order of the log; like stages of all chromosomes are one."""

    stages: dict[str, _Stage] = field(default_factory=dict)
    n_scanned: int = 0  # variants, of all analyses
    scan: float = 0.0  # seconds of the scans, with what was fitted within them
    tests: float = 0.0  # seconds of the threads of the scans alone, by their number

    def rows(self, whole: float) -> list[tuple[str, float]]:
        """All stages and what remains of the whole process."""
        rows = [(_label(name, stage), stage.elapsed) for name, stage in self.stages.items()]
        if self.n_scanned:
            rows.append(("scan, without the null models", self.tests))
        rest = whole - sum(seconds for _, seconds in rows)
        return [*rows, ("the rest: start, reading, tables", max(rest, 0.0))]


def read_profile(log: Path) -> Profile:
    """Read a log."""
    return profile_of(log.read_text(encoding="utf-8").splitlines())


def profile_of(lines: Iterable[str]) -> Profile:
    """Read the lines of a log."""
    profile = Profile()
    for line in lines:
        if found := _SCAN.fullmatch(line):
            profile.n_scanned += int(found["variants"].replace(",", ""))
            profile.scan += float(found["seconds"])
        elif found := _TESTS.fullmatch(line):
            profile.tests += float(found["seconds"])
        elif found := _BEGIN.fullmatch(line):
            stage = profile.stages.setdefault(_family(found["name"]), _Stage())
            stage.open += 1
            stage.at_once = max(stage.at_once, stage.open)
        elif (found := _END.fullmatch(line)) and _family(found["name"]) in profile.stages:
            stage = profile.stages[_family(found["name"])]
            stage.open -= 1
            stage.seconds += float(found["seconds"])
    return profile


def _family(name: str) -> str:
    """One name for the stages of all chromosomes, or of all traits."""
    for pattern, family in _FAMILIES:
        if pattern.fullmatch(name):
            return pattern.sub(family, name)
    return name


def _label(name: str, stage: _Stage) -> str:
    return f"{name}, {stage.at_once} at a time" if stage.at_once > 1 else name
