"""Whole studies, drawn at random, through the command line: every cell against plain numpy.

Each study is of 12 to 60 samples on 2 to 5 chromosomes with missing calls, rare variants, X
with sexes, covariates, gaps in the tables, and options of all kinds. `study_oracle.py` says from
the raw calls what must come: the GRM on disk, who is analysed, which variants are excluded and
why, the null models, and beta, se, frequency, n and -log10 p of every row.

Where the likelihood has several hills or none, what counts is the log-likelihood that was
reached: it may not lie below the best of a fine grid with golden sections by more than 1e-6.
Rows are held against the oracle at the h2 that the run reports.

`make test` runs 100 studies, always the same; `make test-all` 2,000 more, others each time.
"""

import itertools
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Result, RunCli, StudyFiles, read_tsv
from hypothesis import HealthCheck, Phase, example, given, settings
from oracles import H2_UPPER, dense_reml_loglik, finite_difference
from random_studies import Draw, Drawn, Options, build, draws
from scipy import stats
from study_oracle import (
    Effects,
    Facts,
    GrmOnDisk,
    GrmTruth,
    Mixed,
    Sample,
    analysed,
    grm_truth,
    p_of_chi2,
    read_triangle,
    refusals,
    variant_facts,
)

N_FAST, N_SLOW = 100, 2000
CLOSE = {"double": 1e-7, "single": 1e-5}
"""Of -log10 p and of effects in standard errors. Double: 8 digits in the table, the last of
them halved. Single: the promise of design.md, section 6, relative where p is small."""

HILL = 1e-6
"""By how much the log-likelihood may stay below the best one."""

DIGITS = 1e-7
"""Relative, of a cell with 8 significant digits; the last one may round the other way."""


@dataclass(repr=False)
class Tally:
    """What was compared, and the worst share of what is allowed."""

    studies: int = 0
    refused: int = 0
    rows: int = 0
    excluded: int = 0
    models: int = 0
    worst: dict[str, float] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)

    def note(self, name: str, share: float) -> None:
        """Keep the largest."""
        self.worst[name] = max(self.worst.get(name, 0.0), share)

    def line(self) -> str:
        """The figures."""
        worst = ", ".join(f"{name} {share:.2f}" for name, share in sorted(self.worst.items()))
        statuses = ", ".join(
            f"{count:,} {status}" for status, count in sorted(self.statuses.items())
        )
        return (
            f"studies: {self.studies:,} ({self.refused:,} rightly refused), {self.rows:,} rows, "
            f"{self.excluded:,} exclusions, {self.models:,} null models ({statuses}); worst share "
            f"of what is allowed: {worst}"
        )


# --- A run ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A drawn study on disk."""

    plan: Draw
    drawn: Drawn
    files: StudyFiles
    run_cli: RunCli

    @property
    def out(self) -> Path:
        """The prefix of the results."""
        return self.files.folder / "run"

    def chosen(self) -> list[object]:
        """The genotypes and who of them."""
        option = self.plan.options.sample_list
        given: list[object] = ["--bfile", self.files.bfile, "--threads", 1]
        if option is not None:
            path = self.files.folder / "listed"
            study = self.drawn.study
            named = itertools.compress(zip(study.fid, study.iid, strict=True), self.drawn.listed)
            path.write_text("".join(f"{f}\t{i}\n" for f, i in named))
            given += [option, path]
        return given

    def grm(self) -> Result:
        """Run `grm`."""
        options = self.plan.options.of_grm()
        return self.run_cli("grm", *self.chosen(), *options, "--out", self.files.folder / "set")

    def assoc(self) -> Result:
        """Run `assoc`, with the GRM given or built again."""
        given = [*self.chosen(), "--pheno", self.files.pheno, "--plots", "none"]
        if len(self.drawn.study.covar.names) > 2:
            given += ["--covar", self.files.covar]
        options = self.plan.options
        if options.grm_given:
            given += ["--grm", self.files.folder / "set"]
        else:
            given += options.of_grm()
        if options.grm_given:
            given += ["--block-size", options.block_size]
        return self.run_cli("assoc", *given, *options.of_model(), "--out", self.out)

    def table(self, suffix: str) -> pd.DataFrame:
        """A table of the run."""
        return read_tsv(self.out.with_name(self.out.name + suffix))


@pytest.fixture(scope="module")
def tally(figures: Callable[[str], None]) -> Iterator[Tally]:
    counted = Tally()
    yield counted
    figures(counted.line())


def study_settings(count: int, *, always_the_same: bool) -> settings:
    """A study costs a few tenths of a second, which is no fault."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=always_the_same,
        database=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.generate],  # the numbers come from a seed: no shrinking
        suppress_health_check=list(HealthCheck),
    )


TWO_HILLS = Draw(
    seed=280227,
    n=26,
    autosomes=(7, 14, 14, 9, 16),
    n_x=1,
    n_others=0,
    missing=0.1,
    rare=False,
    clones=3,
    n_traits=3,
    h2=0.0,
    offset=170.0,
    unit=25.0,
    numeric=0,
    levels=0,
    dependent=False,
    gaps=True,
    shuffled=False,
    options=Options(
        loco=True,
        h2=None,
        precision="double",
        whitener="cholesky",
        test="wald",
        variance="null",
        maf=0.2,
        mac=0.0,
        geno=0.02,
        grm_model="centered",
        grm_maf=0.01,
        grm_geno=0.1,
        block_size=1,
        rint=False,
        sample_list="--remove",
        grm_given=True,
    ),
)
"""The whole genome's h2 is 0; without chromosome 2 a hill at 0.53 is higher than that end."""


NARROW_HILL = Draw(
    seed=4294967295,
    n=15,
    autosomes=(7, 7),
    n_x=0,
    n_others=0,
    missing=0.0,
    rare=False,
    clones=0,
    n_traits=3,
    h2=0.5,
    offset=-1000000.0,
    unit=1.0,
    numeric=0,
    levels=2,
    dependent=False,
    gaps=False,
    shuffled=False,
    options=Options(
        loco=False,
        h2=None,
        precision="single",
        whitener="cholesky",
        test="wald",
        variance="null",
        maf=0.05,
        mac=5.0,
        geno=0.02,
        grm_model="hwe",
        grm_maf=0.01,
        grm_geno=0.1,
        block_size=1,
        rint=False,
        sample_list=None,
        grm_given=False,
    ),
)
"""15 samples whose highest hill lies between two points of a grid of ten."""


@study_settings(N_FAST, always_the_same=True)
@given(draws)
@example(plan=TWO_HILLS)
@example(plan=NARROW_HILL)
def test_studies(run_cli: RunCli, tally: Tally, plan: Draw) -> None:
    check(plan, run_cli, tally)


@pytest.mark.slow
@study_settings(N_SLOW, always_the_same=False)
@given(draws)
def test_many_studies(run_cli: RunCli, tally: Tally, plan: Draw) -> None:
    check(plan, run_cli, tally)


def check(plan: Draw, run_cli: RunCli, tally: Tally) -> None:
    """Run one study and compare everything."""
    folder = Path(tempfile.mkdtemp(prefix="lmmgwas-study-"))
    try:
        drawn = build(plan)
        case = Case(plan, drawn, drawn.study.write(folder), run_cli)
        _check(case, tally)
    finally:
        shutil.rmtree(folder)


def _check(case: Case, tally: Tally) -> None:
    plan, drawn = case.plan, case.drawn
    tally.studies += 1
    truth = grm_truth(drawn, plan.options)
    traits = drawn.study.pheno.names[2:]
    samples = [analysed(drawn, plan, name) for name in traits]
    codes = refusals(drawn, plan, samples, truth)
    made = case.grm()
    if truth.n_variants == 0:
        assert made.exit_code == 5, made.stderr
        tally.refused += 1
        return
    assert made.exit_code == 0, made.stderr
    on_disk = check_grm(case, truth, tally)
    result = case.assoc()
    if codes:
        assert result.exit_code in (4, 5), (codes, result.stderr)
        assert any(f"[{code}]" in result.stderr for code in codes), (codes, result.stderr)
        tally.refused += 1
        return
    assert result.exit_code == 0, result.stderr
    manifest = json.loads(case.out.with_name("run.run.json").read_text())
    for name, sample in zip(traits, samples, strict=True):
        used = next(t for t in manifest["traits"] if t["name"] == name)["whitener"]["used"]
        TraitCheck(case, name, sample, truth, on_disk, "cholesky" not in used, tally).run()


def check_grm(case: Case, truth: GrmTruth, tally: Tally) -> GrmOnDisk:
    """Hold the matrices on disk against the sums: 1e-6 of the mean diagonal is promised.

    Of an entry that is larger it is 1e-6 of that: float32 has no more digits.
    """
    n = int(case.drawn.kept.sum())
    prefix = case.files.folder / "set"
    manifest = json.loads(Path(f"{prefix}.grm.json").read_text())
    assert {g["name"]: g["n_variants"] for g in manifest["groups"]} == truth.counts
    counts = read_triangle(Path(f"{prefix}.grm.N.bin"), n)
    assert (counts == truth.n_variants).all()
    on_disk = GrmOnDisk.read(prefix, truth, n)
    pairs = [(on_disk.whole, truth.mean(None))]
    pairs += [(on_disk.parts[g], truth.mean(g)) for g in truth.counts]
    for found, expected in pairs:
        allowed = 1e-6 * np.maximum(np.abs(expected), np.diag(expected).mean() + 1e-30)
        share = float((np.abs(found - expected) / allowed).max())
        tally.note("GRM", share)
        assert share <= 1.0
    return on_disk


# --- The tables of a trait --------------------------------------------------------------------


@dataclass
class TraitCheck:
    """All tables of one trait against the oracle."""

    case: Case
    name: str
    sample: Sample
    truth: GrmTruth
    on_disk: GrmOnDisk
    clip: bool
    tally: Tally

    def run(self) -> None:
        study = self.case.drawn.study
        facts = variant_facts(study, self.sample, self.case.plan.options)
        self.check_excluded(facts)
        table = self.case.table(f".{self.name}.tsv.gz")
        null = self.case.table(f".{self.name}.null.tsv").set_index("group")
        place = {marker: j for j, marker in enumerate(study.marker)}
        rows = np.array([place[marker] for marker in table["marker_id"]], dtype=int)
        self.check_identity(table, rows, facts)
        groups = np.array(["X" if c == "X" else c for c in study.chrom])
        tested = dict.fromkeys(c for c in study.chrom if c not in ("Y", "MT", "0"))
        assert set(null.index) == {*tested, "all"}
        everything = []
        for group in null.index:
            model = self.model(group)
            self.check_null(model, null.loc[group], group)
            if group == "all":
                continue
            here = groups[rows] == group
            assert int(null.loc[group, "n_variants_tested"]) == here.sum()
            found = self.check_rows(model, null.loc[group], table[here], facts.G[rows[here]])
            self.check_lambda(null.loc[group], found)
            everything.append(found)
        self.check_lambda(null.loc["all"], np.concatenate(everything))
        assert int(null.loc["all", "n_variants_tested"]) == len(table)

    def model(self, group: str) -> Mixed:
        """The model under the GRM that a group is tested against."""
        options = self.case.plan.options
        if options.h2 == 0.0:
            return Mixed(self.sample, None, clip=False)
        left_out = group if options.loco and group not in ("X", "all") else None
        K = self.on_disk.without(left_out)
        among_kept = np.cumsum(self.case.drawn.kept) - 1
        rows = among_kept[self.sample.rows]
        return Mixed(self.sample, K[np.ix_(rows, rows)], self.clip)

    def check_excluded(self, facts: Facts) -> None:
        table = self.case.table(f".{self.name}.excluded.tsv.gz")
        found = dict(zip(table["marker_id"], table["reason"], strict=True))
        markers = self.case.drawn.study.marker
        expected = {m: r for m, r in zip(markers, facts.reason, strict=True) if r}
        assert found == expected
        self.tally.excluded += len(expected)

    def check_identity(self, table: pd.DataFrame, rows: np.ndarray, facts: Facts) -> None:
        """Which rows there are, in which order, and what is counted."""
        study = self.case.drawn.study
        labels = [{"X": "23"}.get(study.chrom[j], study.chrom[j]) for j in rows]
        assert table["chromosome"].tolist() == labels
        assert set(rows) == {j for j, reason in enumerate(facts.reason) if not reason}
        keys = [(int(c), study.pos[j]) for c, j in zip(labels, rows, strict=True)]
        assert keys == sorted(keys)
        assert table["effect_allele"].tolist() == [study.effect[j] for j in rows]
        assert table["other_allele"].tolist() == [study.other[j] for j in rows]
        assert table["n"].tolist() == [str(facts.n[j]) for j in rows]
        af = table["effect_allele_frequency"].astype(float)
        np.testing.assert_allclose(af, facts.af[rows], rtol=DIGITS)
        self.tally.rows += len(rows)

    def check_null(self, model: Mixed, row: pd.Series, group: str) -> None:
        """h2 by the log-likelihood that it reaches, and what follows from it."""
        self.tally.models += 1
        self.tally.statuses[row["status"]] += 1
        options, n = self.case.plan.options, self.sample.y.size
        h2, loglik = float(row["h2"]), float(row["loglik"])
        assert int(row["n"]) == n
        if options.h2 == 0.0:
            assert row["n_variants_grm"] == row["grm_scale"] == "NA"
        else:
            left_out = group if options.loco and group not in ("X", "all") else None
            n_grm = self.truth.n_variants - self.truth.counts.get(left_out or "", 0)
            assert int(row["n_variants_grm"]) == n_grm
            assert float(row["grm_scale"]) == pytest.approx(model.scale, rel=1e-6)
        here = _near(h2)
        values = model.loglik(here, reml=True)
        rounding = DIGITS * abs(loglik) + 1e-8 + np.abs(values - values[1]).max()
        self.close("loglik", loglik - values[1], rounding)
        if options.h2 is None:
            best = model.hills(reml=True)[0][1]
            self.close("hill", max(best - loglik, 0.0), HILL + rounding)
            self.check_status(row["status"], h2)
        else:
            assert row["status"] == "fixed"
            assert h2 == pytest.approx(options.h2, rel=DIGITS)
        if group == "all" and model.K is not None and not self.clip:
            dense = dense_reml_loglik(h2, model.U * model.S @ model.U.T, self.sample.y, _raw(model))
            self.close("dense", dense - values[1], 1e-6 + rounding)
        self.check_variances(model, row, h2, rounding)

    def check_status(self, status: str, h2: float) -> None:
        ends = {0.0: ("lower_bound", "flat", "converged"), H2_UPPER: ("upper_bound", "converged")}
        assert status in ends.get(h2, ("converged",)), (status, h2)

    def check_variances(self, model: Mixed, row: pd.Series, h2: float, rounding: float) -> None:
        """The variances, the standard error of h2 and the p of h2 = 0."""
        loglik = model.loglik(np.array([h2]), reml=True)[0]
        found = float(row["sigma_g2"]) + float(row["sigma_e2"])
        # Near h2 = 1 the last digit of h2 as written moves the variance by more than its own does.
        sigma2 = [_sigma2(model, float(at)) for at in _near(h2)]
        spread = float(np.ptp(sigma2))
        assert found == pytest.approx(sigma2[1], rel=1e-6 + 4.0 * rounding, abs=spread)
        assert float(row["sigma_g2"]) == pytest.approx(h2 * found, rel=1e-6, abs=1e-9 * found)
        if row["status"] == "converged" and 0.05 < h2 < 0.95:
            bend = finite_difference(
                lambda at: model.loglik(np.array([at]), reml=True)[0], h2, 5e-3, order=2
            )
            if bend < -1.0:
                assert float(row["h2_se"]) == pytest.approx((-bend) ** -0.5, rel=1e-4)
        elif row["status"] != "converged":
            assert row["h2_se"] == "NA"
        if row.name != "all" or row["status"] == "fixed":
            assert row["p_h2"] == "NA"
            return
        statistic = 2.0 * (loglik - model.loglik(np.zeros(1), reml=True)[0])
        p = 1.0 if statistic <= 1e-9 else 0.5 * stats.chi2.sf(statistic, 1)
        slack = 2.0 * rounding
        low, high = (0.5 * stats.chi2.sf(max(statistic + s, 0.0), 1) for s in (slack, -slack))
        found_p = float(row["p_h2"])
        assert low * (1 - DIGITS) <= found_p <= max(high, p) * (1 + DIGITS)

    def check_lambda(self, row: pd.Series, neg_log10_p: np.ndarray) -> None:
        if neg_log10_p.size == 0:
            assert row["lambda_gc"] == "NA"
            return
        z = stats.norm.isf(10.0**-neg_log10_p / 2.0)
        expected = np.median(z * z) / stats.chi2.isf(0.5, 1)
        # Each p has 8 digits; where it is near 1, z moves by more than p does.
        close = 20.0 * CLOSE["double"]
        assert float(row["lambda_gc"]) == pytest.approx(expected, rel=close, abs=close)

    # --- Rows ---------------------------------------------------------------------------------

    def check_rows(
        self, model: Mixed, row: pd.Series, table: pd.DataFrame, G: np.ndarray
    ) -> np.ndarray:
        """Compare the rows of a group; return their -log10 p, of which lambda is made."""
        if not len(table):
            return np.empty(0)
        columns = ("beta", "standard_error", "neg_log_10_p_value")
        found = Effects(*(table[name].astype(float).to_numpy() for name in columns))
        p_text = table["p_value"].astype(float).to_numpy()
        np.testing.assert_allclose(-np.log10(p_text), found.neg_log10_p, rtol=2e-7, atol=1e-7)
        if self.case.plan.options.variance == "per-variant":
            return self.check_refitted(model, found, G)
        h2 = float(row["h2"])
        expected, spread = _with_spread(lambda at: model.wald(at, G), _near(h2))
        self.compare("beta", found.beta, expected.beta, expected, spread.beta)
        self.compare("se", found.se, expected.se, expected, spread.se)
        if self.case.plan.options.test == "wald":
            return self.compare_p(found, expected.neg_log10_p, spread.neg_log10_p)
        return self.check_by_ml(model, found, G)

    def check_by_ml(self, model: Mixed, found: Effects, G: np.ndarray) -> np.ndarray:
        """p at the null model's ML h2: at the best hill, or at one that is as high."""
        options = self.case.plan.options
        if options.h2 is not None:
            tops = [options.h2]
        else:
            hills = model.hills(reml=False)
            tops = [h2 for h2, value in hills if value >= hills[0][1] - HILL]
        for top in tops:
            at = np.clip(top + np.array([-1e-7, 0.0, 1e-7]), 0.0, H2_UPPER)
            values = [model.p_null(options.test, float(h2), G) for h2 in at]
            spread = np.abs(np.array(values) - values[1]).max(axis=0)
            if top is tops[-1] or self.p_share(found, values[1], spread) <= 1.0:
                return self.compare_p(found, values[1], spread)
        raise AssertionError("no hill")

    def check_refitted(self, model: Mixed, found: Effects, G: np.ndarray) -> np.ndarray:
        """beta and se at each variant's own REML h2, p by the test that was asked for."""
        h2, _, expected = model.refit(G, reml=True)
        x = (G - G.mean(axis=1, keepdims=True)) @ model.U
        sides = [model.wald_each(np.clip(h2 + s, 0.0, H2_UPPER), x) for s in (-1e-7, 1e-7)]
        spreads = [side.change(expected) for side in sides]
        spread = Effects(
            *(np.maximum(*(getattr(s, k) for s in spreads)) for k in ("beta", "se", "neg_log10_p"))
        )
        self.compare("beta", found.beta, expected.beta, expected, spread.beta)
        self.compare("se", found.se, expected.se, expected, spread.se)
        test = self.case.plan.options.test
        if test == "wald":
            return self.compare_p(found, expected.neg_log10_p, spread.neg_log10_p)
        if test == "score":
            return self.check_by_ml(model, found, G)
        with_x = model.refit(G, reml=False)[1]
        chi2 = np.maximum(2.0 * (with_x - model.hills(reml=False)[0][1]), 0.0)
        slack = 4.0 * HILL  # of two log-likelihoods, each known to that
        ends = [p_of_chi2(np.maximum(chi2 + s, 0.0)) for s in (-slack, slack)]
        spread_p = np.maximum(*(np.abs(end - p_of_chi2(chi2)) for end in ends))
        return self.compare_p(found, p_of_chi2(chi2), spread_p)

    def compare(
        self,
        name: str,
        found: np.ndarray,
        expected: np.ndarray,
        effects: Effects,
        spread: np.ndarray,
    ) -> None:
        close = CLOSE[self.case.plan.options.precision]
        scale = effects.se + (np.abs(effects.beta) if name == "beta" else 0.0)
        self.close(name, found - expected, close * scale + spread)

    def compare_p(self, found: Effects, expected: np.ndarray, spread: np.ndarray) -> np.ndarray:
        share = self.p_share(found, expected, spread)
        self.tally.note("p", share)
        assert share <= 1.0
        return found.neg_log10_p

    def p_share(self, found: Effects, expected: np.ndarray, spread: np.ndarray) -> float:
        """The worst difference in -log10 p as a share of what is allowed."""
        close = CLOSE[self.case.plan.options.precision]
        return float(
            (np.abs(found.neg_log10_p - expected) / (close * (1 + expected) + spread)).max()
        )

    def close(self, name: str, difference: np.ndarray | float, allowed: np.ndarray | float) -> None:
        """Assert that each difference is allowed, and note the worst share."""
        share = float(np.max(np.abs(difference) / allowed))
        self.tally.note(name, share)
        assert share <= 1.0, (name, self.name)


def _sigma2(model: Mixed, h2: float) -> float:
    """The variance, by loglik = -1/2 [dof (log(2 pi sigma2) + 1) + log|V| + log|X'V^-1 X|]."""
    loglik = model.loglik(np.array([h2]), reml=True)[0]
    D = h2 * model.S + 1.0 - h2
    log_x = np.linalg.slogdet(model.X.T @ (model.X / D[:, None]))[1]
    dof = model.X.shape[0] - model.X.shape[1]
    log_v = np.log(D).sum()
    return float(np.exp((-2.0 * loglik - log_v - log_x) / dof - 1.0) / (2.0 * np.pi))


def _near(h2: float) -> np.ndarray:
    """The h2 that is written, between those that would be written so, too."""
    half = 0.5 * 10.0 ** (np.floor(np.log10(h2)) - 7) if h2 > 0.0 else 0.0
    end = h2 in (0.0, H2_UPPER)
    return np.clip(h2 + np.array([-half, 0.0, half]) * (not end), 0.0, H2_UPPER)


def _with_spread(effects: Callable[[float], Effects], at: np.ndarray) -> tuple[Effects, Effects]:
    """The effects at the middle one, and how far those at the others are from it."""
    low, here, high = (effects(float(h2)) for h2 in at)
    changes = [side.change(here) for side in (low, high)]
    names = ("beta", "se", "neg_log10_p")
    return here, Effects(*(np.maximum(*(getattr(c, k) for c in changes)) for k in names))


def _raw(model: Mixed) -> np.ndarray:
    """X with the intercept."""
    return model.sample.X
