"""The cases: what is run, on which data, and the figures that are wanted of it.

The wanted figures are for two processor cores. They are printed beside what was measured, and
never asserted.
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import peers
import scale
from agreement import compare
from peers import PeerRun, run_peer
from process import Measured
from table import Figure, Section, Timing, at_least, at_most, noted
from workplace import ROOT, Ours, Study, Workplace, our_versions

_GIB = 2.0**30
_FEW_CHROMOSOMES = 3  # each costs a null model of n^3: further ones would cost the same again
_N_STARTS = 9  # of --help: it is short, more runs for a steady median
MOUSE = ROOT.parent / "shared" / "data" / "mouse_hs1940"
DEMO = ROOT / "test_data"


def exact_loco(place: Workplace) -> Section:
    """a. Against sgemm, GEMMA, FaST-LMM and BOLT-LMM."""
    study = _sized(place, 5000, 100_000)
    section = _section("a", "Exact LOCO", study)
    place.warm_up()
    command = ["assoc", "--bfile", str(study.prefix), *study.tables, "--plots", "none"]
    ours = place.ours(command, "a", yardstick=study.n)
    floor = study.operations / ours.sgemm_rate
    section.timings.append(_timing("lmmgwas assoc, LOCO", ours, study.operations))
    section.timings.append(_sgemm_line(ours, study))
    ratio = ours.seconds / floor
    section.figures.append(at_most("lmmgwas / sgemm of 2 n² m, required", 3.0, ratio))
    section.figures.append(at_most("lmmgwas / sgemm of 2 n² m, wanted", 2.0, ratio))
    section.stages["lmmgwas assoc"] = ours.stages()
    without_loco = run_peer("GEMMA", peers.gemma, study, place)
    with_loco = run_peer("FaST-LMM", peers.fastlmm, study, place)
    _add_peer(section, without_loco)
    _add_peer(section, with_loco)
    _add_peer(section, run_peer("BOLT-LMM", peers.bolt, study, place))
    section.figures += _times_faster("GEMMA without LOCO / lmmgwas", 15.0, without_loco, ours)
    section.figures += _times_faster("FaST-LMM with LOCO / lmmgwas", 30.0, with_loco, ours)
    return section


def grm(place: Workplace) -> Section:
    """b. Against PLINK 2."""
    study = _sized(place, 5000, 100_000)
    section = _section("b", "GRM, with a part for each chromosome", study)
    place.warm_up()
    ours = place.ours(["grm", "--bfile", str(study.prefix)], "b", yardstick=study.n)
    # A triangle of n (n + 1) / 2 products of m: half of what sgemm's 2 n^2 m stands for.
    operations = study.operations / 2.0
    section.timings.append(_timing("lmmgwas grm", ours, operations))
    section.timings.append(_sgemm_line(ours, study, operations, "n² m"))
    section.stages["lmmgwas grm"] = ours.stages()
    theirs = run_peer("PLINK 2", peers.plink2_grm, study, place)
    _add_peer(section, theirs)
    section.figures += _times_faster("PLINK 2 --make-grm-bin / lmmgwas grm", 4.0, theirs, ours)
    return section


def calibrated(place: Workplace) -> Section:
    """c. Against PLINK 2's linear regression, and against the exact scan's results."""
    study = _sized(place, 5000, 100_000)
    section = _section("c", "Calibrated LOCO, the GRM given", study)
    if not _has_option(place, "--scan"):
        section.notes.append("Skipped: this lmmgwas has no --scan.")
        return section
    place.warm_up()
    place.warm_up("--scan", "calibrated")
    place.ours(["grm", "--bfile", str(study.prefix)], "c_grm", runs=1)
    command = ["assoc", "--bfile", str(study.prefix), *study.tables, "--plots", "none"]
    command += ["--grm", str(place.scratch / "c_grm")]
    ours = place.ours([*command, "--scan", "calibrated"], "c")
    exact = place.ours([*command, "--scan", "exact"], "c_exact", runs=1)
    section.timings.append(_timing("lmmgwas assoc --scan calibrated", ours))
    section.timings.append(_timing("lmmgwas assoc --scan exact", exact))
    section.stages["--scan calibrated"] = ours.stages()
    section.stages["--scan exact"] = exact.stages()
    theirs = run_peer("PLINK 2", peers.plink2_glm, study, place)
    _add_peer(section, theirs)
    section.figures += _scan_figures(ours, theirs)
    tables = (place.scratch / f"{name}.{peers.TRAIT}.tsv.gz" for name in ("c_exact", "c"))
    compare(*tables, section)
    return section


def many_variants(place: Workplace) -> Section:
    """d. Few people, millions of variants, the GRM of some of them."""
    study = _sized(place, 500, 5_000_000)
    n_grm = study.m // 50
    section = _section("d", f"Exact LOCO, the GRM of {n_grm:,} variants", study)
    chosen = place.scratch / "d_grm_variants.txt"
    chosen.write_text("".join(f"v{j}\n" for j in range(0, study.m, study.m // n_grm)))
    place.warm_up()
    command = ["assoc", "--bfile", str(study.prefix), *study.tables, "--plots", "none"]
    ours = place.ours([*command, "--grm-extract", str(chosen)], "d")
    section.timings.append(_timing("lmmgwas assoc, LOCO", ours))
    section.stages["lmmgwas assoc"] = ours.stages()
    rate = study.m / ours.seconds
    section.figures.append(at_least("variants per second, whole run", 150_000.0, rate))
    return section


def many_traits(place: Workplace) -> Section:
    """e. A hundred traits of the same people, and one."""
    traits = 20 if place.tiny else 100
    study = _sized(place, 2000, 20_000, traits)
    section = _section("e", f"Exact LOCO, {traits} traits, none missing", study)
    place.warm_up()
    command = ["assoc", "--bfile", str(study.prefix), *study.tables, "--plots", "none"]
    all_traits = place.ours(command, "e", yardstick=study.n)
    one = place.ours([*command, "--pheno-name", peers.TRAIT], "e_one")
    floor = study.operations / all_traits.sgemm_rate
    each = (all_traits.seconds - one.seconds) / (traits - 1)
    section.timings.append(_timing(f"lmmgwas assoc, {traits} traits", all_traits))
    section.timings.append(_timing("lmmgwas assoc, 1 trait", one))
    section.timings.append(_sgemm_line(all_traits, study))
    section.stages[f"{traits} traits"] = all_traits.stages()
    section.stages["1 trait"] = one.stages()
    section.figures.append(at_most(f"{traits} traits", 60.0, all_traits.seconds, " s"))
    section.figures.append(noted("each trait beyond the first", f"{each:.3g} s"))
    what = "the same / sgemm of 2 n² m (all variants rotated once, for this trait alone)"
    section.figures.append(noted(what, f"{each / floor:.3g}"))
    return section


def many_people(place: Workplace) -> Section:
    """f. As many people as the memory of a small machine holds. One run: it is long."""
    study = _sized(place, 20_000, 20_000, chromosomes=_FEW_CHROMOSOMES)
    section = _section("f", f"Exact LOCO, {_FEW_CHROMOSOMES} chromosomes", study)
    place.warm_up()
    command = ["assoc", "--bfile", str(study.prefix), *study.tables, "--plots", "none"]
    ours = place.ours(command, "f", runs=1, yardstick=study.n)
    section.timings.append(_timing("lmmgwas assoc, LOCO", ours, study.operations))
    section.timings.append(_sgemm_line(ours, study))
    section.stages["lmmgwas assoc"] = ours.stages()
    peak = max(run.peak for run in ours.runs) / _GIB
    section.figures.append(at_most("peak memory", 20.0, peak, " GiB"))
    return section


def start_up(place: Workplace) -> Section:
    """g. Short runs: --help, the demo with and without compiled kernels, the mice."""
    about = (
        "Whole processes, plots drawn. The limits are of a time before regional plots and report."
    )
    section = Section("g", "Start-up and small studies", about)
    section.versions.append(our_versions())
    place.once(["--help"])
    helps = [place.once(["--help"]) for _ in range(_N_STARTS)]
    _limited(section, "lmmgwas --help", helps, 0.2)
    demo = ["assoc", "--bfile", str(DEMO / "study"), "--pheno", str(DEMO / "pheno.tsv")]
    demo += ["--covar", str(DEMO / "covar.tsv"), "--genome-build", "GRCh38"]
    demo += ["--out", str(place.scratch / "g_demo"), "--overwrite", *_threads(place)]
    _with_and_without(section, "assoc of test_data, kernels in the cache", demo, 6.0, place)
    cold = [_with_cold_cache(demo, place) for _ in range(place.runs)]
    _limited(section, "assoc of test_data, cache empty", cold, 20.0)
    if not MOUSE.is_dir():
        section.notes.append("The mouse study was skipped: its data are not here.")
        return section
    mice = ["assoc", "--bfile", str(MOUSE / "mouse_hs1940"), "--pheno", str(MOUSE / "pheno.tsv")]
    mice += ["--species", "mouse", "--overwrite", "--out", str(place.scratch / "g_mouse")]
    mice += _threads(place)
    what = "assoc of the mice (1,940; 12,226 variants), CD8 and MCH"
    _with_and_without(section, what, mice, 12.0, place)
    return section


def _with_and_without(
    section: Section, what: str, command: list[str], limit: float, place: Workplace
) -> None:
    """Time a run as it comes, and without regional plots and report, which has the limit."""
    place.once(command)
    whole, bare = [], []
    for _ in range(place.runs):
        whole.append(place.once(command))
        bare.append(place.once([*command, "--regions", "0", "--no-report"]))
    median = statistics.median(run.seconds for run in whole)
    section.timings.append(Timing(what, whole, median))
    _limited(section, f"{what}; no regional plots, no report", bare, limit)


CASES: dict[str, Callable[[Workplace], Section]] = {
    "a": exact_loco,
    "b": grm,
    "c": calibrated,
    "d": many_variants,
    "e": many_traits,
    "f": many_people,
    "g": start_up,
    "h": scale.most_people,
    "i": scale.workers,
}


def _sized(place: Workplace, n: int, m: int, traits: int = 1, chromosomes: int = 22) -> Study:
    """The study of a case, or a tiny one that tries the script out."""
    return (
        place.study(300, 3000, traits, chromosomes)
        if place.tiny
        else place.study(n, m, traits, chromosomes)
    )


def _section(key: str, title: str, study: Study) -> Section:
    title = f"{title}: {study.n:,} people, {study.m:,} variants"
    about = "Intercept and two covariates." if key != "b" else ""
    return Section(key, title, about, versions=[our_versions()])


def _threads(place: Workplace) -> list[str]:
    return ["--threads", str(place.threads)]


def _has_option(place: Workplace, option: str) -> bool:
    place.once(["assoc", "--help"])
    return f"{option} " in (place.scratch / "ours.out").read_text(encoding="utf-8")


def _timing(what: str, ours: Ours, operations: float | None = None) -> Timing:
    return Timing(what, ours.runs, ours.seconds, operations)


def _sgemm_line(
    ours: Ours, study: Study, operations: float | None = None, formula: str = "2 n² m"
) -> Timing:
    """What sgemm would need for these operations at the rate measured beside the runs."""
    operations = operations or study.operations
    runs = [Measured(operations / rate) for rate in ours.sgemm]
    return Timing(f"sgemm, {formula} operations", runs, operations / ours.sgemm_rate, operations)


def _add_peer(section: Section, run: PeerRun) -> None:
    """Add a line for each step of a peer, and one for their sum."""
    section.timings += [Timing(s.what, [s.measured], s.measured.seconds) for s in run.steps]
    if run.whole is not None and len(run.steps) > 1:
        what = f"{run.name}, both"
        section.timings.append(Timing(what, [run.whole], run.whole.seconds))
    if run.version and run.version not in section.versions:
        section.versions.append(run.version)
    if run.note:
        section.notes.append(run.note)


def _times_faster(what: str, limit: float, theirs: PeerRun, ours: Ours) -> list[Figure]:
    if theirs.whole is None:
        return []
    more = theirs.whole.over
    return [at_least(what, limit, theirs.whole.seconds / ours.seconds, more=more)]


def _scan_figures(ours: Ours, theirs: PeerRun) -> list[Figure]:
    """The scan of ours, null models apart, beside all of PLINK 2's run."""
    profile = ours.profile
    alone = max(profile.tests, 1e-9)
    rate = f"{profile.n_scanned / alone:,.0f} variants per second"
    figures = [noted("scan, without the null models", f"{alone:.1f} s, {rate}")]
    if theirs.whole is not None:
        what = "scan, without the null models / PLINK 2 --glm"
        figures.append(at_most(what, 2.0, alone / theirs.whole.seconds))
        with_null = f"{profile.scan / theirs.whole.seconds:.3g}"
        figures.append(noted("scan, null models included / PLINK 2 --glm", with_null))
    return figures


def _with_cold_cache(command: list[str], place: Workplace) -> Measured:
    with tempfile.TemporaryDirectory(dir=place.scratch, prefix="cache.") as folder:
        return place.once(command, Path(folder))


def _limited(section: Section, what: str, runs: list[Measured], limit: float) -> None:
    """Add a line of times, and its limit."""
    median = statistics.median(run.seconds for run in runs)
    section.timings.append(Timing(what, runs, median))
    section.figures.append(at_most(what, limit, median, " s"))
