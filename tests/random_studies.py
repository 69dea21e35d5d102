"""Random small studies and random options, for hypothesis: drawn here, never judged here."""

from dataclasses import dataclass

import numpy as np
from conftest import FEMALE, MALE, MISSING, Study, Table
from hypothesis import strategies as st
from simulate import families

OTHERS = ("Y", "MT", "0")
"""Labels of variants that are not tested."""


@dataclass(frozen=True)
class Options:
    """Options of `assoc` (and of `grm`, where they concern the GRM)."""

    loco: bool
    h2: float | None
    precision: str
    whitener: str | None
    test: str
    variance: str
    maf: float
    mac: float
    geno: float
    grm_model: str
    grm_maf: float
    grm_geno: float
    block_size: int
    rint: bool
    sample_list: str | None  # "--keep" or "--remove"
    grm_given: bool  # or built in the run

    def of_grm(self) -> list[object]:
        """What the GRM depends on."""
        return [
            *("--grm-model", self.grm_model, "--grm-maf", self.grm_maf),
            *("--grm-geno", self.grm_geno, "--block-size", self.block_size),
        ]

    def of_model(self) -> list[object]:
        """The rest."""
        given: list[object] = ["--precision", self.precision, "--test", self.test]
        given += ["--variance", self.variance, "--maf", self.maf, "--mac", self.mac]
        given += ["--geno", self.geno]
        if not self.loco:
            given.append("--no-loco")
        if self.h2 is not None:
            given += ["--h2", self.h2]
        if self.whitener is not None:
            given += ["--whitener", self.whitener]
        if self.rint:
            given.append("--rint")
        return given


@dataclass(frozen=True)
class Draw:
    """A study and its options. The numbers in it come from the seed."""

    seed: int
    n: int
    autosomes: tuple[int, ...]  # variants on each
    n_x: int
    n_others: int
    missing: float
    rare: bool  # some variants with few carriers, some with none
    clones: int
    n_traits: int
    h2: float
    offset: float  # of the traits
    unit: float
    numeric: int  # covariates
    levels: int  # of a categorical covariate, 0: there is none
    dependent: bool  # a covariate that the others span
    gaps: bool  # missing values, and samples that a table lacks
    shuffled: bool  # the variants
    options: Options


@st.composite
def _options(draw: st.DrawFn) -> Options:
    test = draw(st.sampled_from(["wald", "wald", "lrt", "score"]))
    variance = draw(st.sampled_from(["null", "null", "null", "per-variant"]))
    fixed = st.none() if variance == "per-variant" else st.sampled_from([None, None, 0.0, 0.4, 0.9])
    plain = test == "wald" and variance == "null"
    kinds = [None, "cholesky", "spectral"] if plain else [None, "spectral"]
    return Options(
        loco=draw(st.booleans()),
        h2=draw(fixed),
        precision=draw(st.sampled_from(["single", "double"])),
        whitener=draw(st.sampled_from(kinds)),
        test=test,
        variance=variance,
        maf=draw(st.sampled_from([0.0, 0.0, 0.05, 0.2])),
        mac=draw(st.sampled_from([5.0, 5.0, 1.0, 0.0, 7.5])),
        geno=draw(st.sampled_from([0.1, 0.1, 0.02, 1.0])),
        grm_model=draw(st.sampled_from(["standardized", "hwe", "centered"])),
        grm_maf=draw(st.sampled_from([0.01, 0.01, 0.0, 0.1])),
        grm_geno=draw(st.sampled_from([0.1, 0.1, 1.0])),
        block_size=draw(st.sampled_from([1, 7, 4096])),
        rint=draw(st.sampled_from([False, False, False, True])),
        sample_list=draw(st.sampled_from([None, None, "--keep", "--remove"])),
        grm_given=draw(st.booleans()),
    )


draws = st.builds(
    Draw,
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(12, 60),
    autosomes=st.lists(st.integers(7, 16), min_size=2, max_size=5).map(tuple),
    n_x=st.sampled_from([0, 0, 1, 6]),
    n_others=st.sampled_from([0, 0, 2]),
    missing=st.sampled_from([0.0, 0.03, 0.1]),
    rare=st.booleans(),
    clones=st.sampled_from([0, 0, 0, 3]),
    n_traits=st.integers(1, 3),
    h2=st.sampled_from([0.0, 0.5, 0.95]),
    offset=st.sampled_from([0.0, 170.0, -1e6]),
    unit=st.sampled_from([1.0, 25.0, 1e-3]),
    numeric=st.integers(0, 3),
    levels=st.sampled_from([0, 0, 2, 3]),
    dependent=st.sampled_from([False, False, False, True]),
    gaps=st.booleans(),
    shuffled=st.sampled_from([False, False, True]),
    options=_options(),
)
"""Studies that mostly can be analysed; some must be refused."""


@dataclass(frozen=True)
class Drawn:
    """A study, and who `--keep` and `--remove` leave."""

    study: Study
    listed: np.ndarray  # (N,) whom the list names
    kept: np.ndarray  # (N,) whom it leaves


def build(plan: Draw) -> Drawn:
    """Make the study of a draw."""
    rng = np.random.default_rng(plan.seed)
    chrom = [str(k + 1) for k, size in enumerate(plan.autosomes) for _ in range(size)]
    chrom += ["X"] * plan.n_x + [OTHERS[k % 3] for k in range(plan.n_others)]
    sex = rng.choice([MALE, FEMALE, 0], plan.n, p=[0.45, 0.45, 0.1])
    calls = _calls(plan, rng, chrom, sex)
    m = len(chrom)
    pos = [1000 * (k + 1) for k in range(m)]
    effect = [("A", "C", "TG")[k % 3] for k in range(m)]
    other = ["G" if k % 17 != 5 else effect[k] for k in range(m)]
    order = rng.permutation(m) if plan.shuffled else np.arange(m)
    ids = [(f"F{k // 5}", f"I{k}") for k in range(plan.n)]
    covar, effects = _covariates(plan, rng, ids)
    pheno = _traits(plan, rng, ids, calls, effects)
    listed = rng.random(plan.n) < (0.9 if plan.options.sample_list == "--keep" else 0.08)
    if plan.options.sample_list is None:
        kept = np.ones(plan.n, dtype=bool)
    else:
        kept = listed if plan.options.sample_list == "--keep" else ~listed
    study = Study(
        chrom=[chrom[k] for k in order],
        pos=[pos[k] for k in order],
        marker=[f"rs{k}" for k in order],
        effect=[effect[k] for k in order],
        other=[other[k] for k in order],
        calls=calls[order],
        fid=[f for f, _ in ids],
        iid=[i for _, i in ids],
        sex=sex.tolist(),
        pheno=pheno,
        covar=covar,
    )
    return Drawn(study, listed, kept)


def _calls(plan: Draw, rng: np.random.Generator, chrom: list[str], sex: np.ndarray) -> np.ndarray:
    """Copies (m, n), MISSING where there is no call; a few impossible calls of males on X."""
    m = len(chrom)
    calls = families(rng, plan.n, m).astype(np.int64)
    if plan.clones:
        calls[:, -plan.clones :] = calls[:, : plan.clones]
    if plan.rare:
        few = rng.random(m) < 0.25
        calls[few] = rng.random((few.sum(), plan.n)) < rng.uniform(0.0, 0.2, few.sum())[:, None]
        same = rng.random(m) < 0.05
        calls[same] = rng.integers(0, 3, same.sum())[:, None]
    calls[(rng.random(m) < 0.3)[:, None] & (rng.random(calls.shape) < 2 * plan.missing)] = MISSING
    if plan.missing and rng.random() < 0.2:
        calls[rng.integers(m)] = MISSING
    on_x = np.array(chrom) == "X"
    haploid = np.ix_(on_x, sex == MALE)
    wanted = rng.random(calls[haploid].shape) < 0.95
    calls[haploid] = np.where((calls[haploid] == 1) & wanted, 2, calls[haploid])
    return calls


def _covariates(
    plan: Draw, rng: np.random.Generator, ids: list[tuple[str, str]]
) -> tuple[Table, np.ndarray]:
    """The table, and what the covariates add to a trait (n,)."""
    table = Table(["FID", "IID"], [list(pair) for pair in ids])
    effects = np.zeros(plan.n)
    columns = []
    for k in range(plan.numeric):
        column = np.round(rng.normal(size=plan.n) * (1.0, 1000.0, 0.01)[k] + (0, 2000, 5)[k], 4)
        columns.append(column)
        effects += 0.3 * (column - column.mean()) / max(column.std(), 1e-9)
        table.add(f"c{k}", [repr(float(v)) for v in column])
    if plan.levels:
        codes = rng.integers(0, plan.levels, plan.n)
        effects += 0.5 * codes
        table.add("site", [("north", "south", "west")[k] for k in codes])
    if plan.dependent and columns:
        table.add("again", [repr(float(v)) for v in np.round(3.0 * columns[0] + 1.0, 4)])
    if plan.gaps and len(table.names) > 2:
        for k in np.flatnonzero(rng.random(plan.n) < 0.04):
            table.set(table.names[rng.integers(2, len(table.names))], int(k), "NA")
        table.rows = [row for row in table.rows if rng.random() > 0.03]
    return table, effects


def _traits(
    plan: Draw,
    rng: np.random.Generator,
    ids: list[tuple[str, str]],
    calls: np.ndarray,
    effects: np.ndarray,
) -> Table:
    table = Table(["FID", "IID"], [list(pair) for pair in ids])
    filled = np.where(calls == MISSING, 1, calls)
    for k in range(plan.n_traits):
        genetic = rng.normal(size=len(filled)) @ (filled - filled.mean(axis=1, keepdims=True))
        genetic /= max(genetic.std(), 1e-9)
        y = np.sqrt(plan.h2) * genetic + np.sqrt(1.0 - plan.h2) * rng.normal(size=plan.n)
        y = plan.offset + plan.unit * (y + effects)
        table.add(f"t{k}", [repr(float(v)) for v in np.round(y, 6)])
        if plan.gaps:
            for i in np.flatnonzero(rng.random(plan.n) < 0.06):
                table.set(f"t{k}", int(i), "NA")
    if plan.gaps:
        table.rows = [table.rows[i] for i in rng.permutation(plan.n) if rng.random() > 0.03]
    return table
