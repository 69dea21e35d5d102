"""Sections of RESULTS.md: what a case measured, as Markdown, merged into the file.

A section is a heading `## x. title`, x the letter of its case, up to the next heading of that
rank. Merging replaces the sections of the cases that ran and leaves every other line alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from process import Measured

_GIB = 2.0**30
_SECTION = re.compile(r"^## ", re.MULTILINE)
_CASE = re.compile(r"## ([a-z])\. ")
_PREAMBLE = """# Benchmarks

Written by `make bench`, which replaces the lettered sections and keeps the others. Times are of
whole processes, from files to finished tables: ours the median of several runs (smallest to
largest), other programs once. Peak memory is the kernel's high-water mark of the resident set
(VmHWM), in brackets without mapped files (the largest RssAnon, sampled every 50 ms). The data
are simulated by `scripts/bench/data.py`, seed 1. GFLOP/s are those of 2 n² m operations (n² m for
a GRM; n people, m variants), however many a program really needs. The goals are for two processor
cores.
"""
_REACHED = {True: "yes", False: "no", None: "-"}


@dataclass(frozen=True, slots=True)
class Timing:
    """A line of the table of times."""

    what: str
    runs: Sequence[Measured]
    seconds: float  # the median
    operations: float | None = None  # that the rate is given for


@dataclass(frozen=True, slots=True)
class Figure:
    """A goal and what was measured; `reached` is None where there is no verdict."""

    what: str
    goal: str
    measured: str
    reached: bool | None


@dataclass(slots=True)
class Section:
    """One case."""

    key: str
    title: str
    about: str
    timings: list[Timing] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    stages: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)


def at_most(what: str, limit: float, value: float, unit: str = "") -> Figure:
    """A figure that is reached when it is small."""
    return Figure(what, f"at most {limit:g}{unit}", f"{_short(value)}{unit}", value <= limit)


def at_least(
    what: str, limit: float, value: float, unit: str = "", *, more: bool = False
) -> Figure:
    """A figure that is reached when it is large; `more`: the true value is larger than this."""
    reached = True if value >= limit else None if more else False
    shown = f"{'over ' if more else ''}{_short(value)}{unit}"
    return Figure(what, f"at least {limit:,g}{unit}", shown, reached)


def noted(what: str, value: str) -> Figure:
    """A figure without a goal."""
    return Figure(what, "-", value, None)


def merge(path: Path, section: Section, place: str) -> None:
    """Put a section into the file, in the place of its predecessor or in the order of letters."""
    text = path.read_text(encoding="utf-8") if path.exists() else _PREAMBLE
    path.write_text(merged(text, section.key, _render(section, place)), encoding="utf-8")


def merged(text: str, key: str, section: str) -> str:
    """Return the text with the section of this letter replaced or added."""
    starts = [found.start() for found in _SECTION.finditer(text)]
    bounds = [0, *starts, len(text)]
    parts = [text[a:b] for a, b in pairwise(bounds)]
    keys = [found[1] if (found := _CASE.match(part)) else None for part in parts]
    if key in keys:
        parts[keys.index(key)] = section
    else:
        earlier = [k for k, other in enumerate(keys) if other is not None and other < key]
        parts.insert(earlier[-1] + 1 if earlier else 1, section)
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"


def _render(section: Section, place: str) -> str:
    """Write a section; `place` is the date and the machine."""
    about = [f"## {section.key}. {section.title}", section.about, place]
    about.append("; ".join(section.versions) + ".")
    tables = [_times(section.timings), _goals(section.figures)]
    tables += [_profile(what, stages) for what, stages in section.stages.items()]
    notes = "\n".join(f"- {note}" for note in section.notes)
    return "\n\n".join(part for part in [*about, *tables, notes] if part) + "\n"


def _times(timings: Sequence[Timing]) -> str:
    """The table of times; ratios are to its first line."""
    if not timings:
        return ""
    header = ("what", "seconds", "ratio", "peak memory, GiB", "GFLOP/s")
    base = timings[0].seconds
    rows = [
        (
            timing.what,
            _seconds(timing),
            f"{_over(timing.runs)}{timing.seconds / base:.3g}",
            _memory(timing.runs),
            _rate(timing),
        )
        for timing in timings
    ]
    return _markdown(header, rows, numbers=4)


def _seconds(timing: Timing) -> str:
    times = [run.seconds for run in timing.runs]
    shown = f"{_over(timing.runs)}{_short(timing.seconds)}"
    spread = f" ({_short(min(times))} to {_short(max(times))})" if len(times) > 1 else ""
    return shown + spread


def _memory(runs: Sequence[Measured]) -> str:
    if not any(run.peak for run in runs):
        return "-"
    peak, anonymous = max(run.peak for run in runs), max(run.anonymous for run in runs)
    return f"{peak / _GIB:.2f} ({anonymous / _GIB:.2f})"


def _rate(timing: Timing) -> str:
    if timing.operations is None or _over(timing.runs):
        return "-"
    return _short(timing.operations / timing.seconds / 1e9)


def _over(runs: Sequence[Measured]) -> str:
    return "over " if any(run.over for run in runs) else ""


def _goals(figures: Sequence[Figure]) -> str:
    rows = [(f.what, f.goal, f.measured, _REACHED[f.reached]) for f in figures]
    return _markdown(("figure", "goal", "measured", "reached"), rows) if rows else ""


def _profile(what: str, stages: Sequence[tuple[str, float]]) -> str:
    whole = sum(seconds for _, seconds in stages) or 1.0
    rows = [(name, f"{s:.1f}", f"{100.0 * s / whole:.0f} %") for name, s in stages]
    return _markdown((f"stage of {what}, from its log", "seconds", "share"), rows, numbers=2)


def _short(value: float) -> str:
    """Three digits, or all of a large number."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """A table; its last columns, `numbers` of them, are set to the right."""
    left = len(header) - numbers
    rule = ["---" if k < left else "---:" for k in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
