"""The cases beyond a small machine: many people, and several workers."""

import statistics

from process import Measured
from table import Section, Timing, at_most, noted
from workplace import Ours, Workplace, our_versions

_GIB = 2.0**30
_MIB = 2.0**20


def most_people(place: Workplace) -> Section:
    """h. Thirty thousand people, few variants, two chromosomes. One run: it is long."""
    n, m = (300, 3000) if place.tiny else (30_000, 4_000)
    study = place.study(n, m, 1, 2)
    title = f"Exact LOCO, 2 chromosomes: {n:,} people, {m:,} variants"
    section = Section("h", title, "Intercept and two covariates.", versions=[our_versions()])
    place.warm_up()
    command = ["assoc", "--bfile", str(study.prefix), *study.tables, "--plots", "none"]
    ours = place.ours(command, "h", runs=1)
    section.timings.append(Timing("lmmgwas assoc, LOCO", ours.runs, ours.seconds))
    section.stages["lmmgwas assoc"] = ours.stages()
    peak = max(run.anonymous for run in ours.runs)
    estimate = _estimate(place)
    section.figures.append(at_most("peak of anonymous memory", 22.0, peak / _GIB, " GiB"))
    if estimate and peak:
        section.figures.append(at_most("estimate / peak, at least 1", 1.3, estimate / peak))
    return section


def _estimate(place: Workplace) -> float:
    """The memory that the run said it would take, bytes."""
    for line in (place.scratch / "h.log").read_text(encoding="utf-8").splitlines():
        if line.startswith("Memory: up to about "):
            value, unit = line.removeprefix("Memory: up to about ").split()[:2]
            return float(value.replace(",", "")) * (_GIB if unit == "GiB" else _MIB)
    return 0.0


def workers(place: Workplace) -> Section:
    """i. One process, and one and two workers of a cluster, one thread each."""
    n, m = (300, 3000) if place.tiny else (4000, 50_000)
    study = place.study(n, m)
    title = f"A cluster on one machine: {n:,} people, {m:,} variants"
    about = "Exact LOCO, the GRM built; one thread in each process, the workers share two cores."
    section = Section("i", title, about, versions=[our_versions()])
    place.warm_up()
    command = ["assoc", "--bfile", str(study.prefix), *study.tables, "--plots", "none"]
    one = Workplace(place.scratch, 1, place.runs, place.peer_limit, place.tiny)
    alone = one.ours(command, "i_alone")
    clusters = {k: one.ours([*command, "--workers", str(k)], f"i_{k}") for k in (1, 2)}
    section.timings.append(_line("one process", alone))
    for k, ours in clusters.items():
        section.timings.append(_line(f"--workers {k}, {_noun(k)} started with it", ours))
    first, second = (clusters[k].seconds for k in (1, 2))
    serial = max(0.0, (2.0 * second - first) / first)
    section.figures.append(noted("1 worker / 2 workers", f"{first / second:.3g}"))
    section.figures.append(
        noted("share that does not divide (Amdahl), start of the cluster in it", f"{serial:.0%}")
    )
    section.figures.append(noted("1 worker / one process", f"{first / alone.seconds:.3g}"))
    return section


def _line(what: str, ours: Ours) -> Timing:
    runs: list[Measured] = ours.runs
    return Timing(what, runs, statistics.median(run.seconds for run in runs))


def _noun(count: int) -> str:
    return "a worker" if count == 1 else f"{count} workers"
