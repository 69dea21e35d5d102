"""Traits, covariates and GRM brought to the samples of the .fam, by ID."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import MismatchError, UsageError
from lmmgwas.io.tables import (
    MissingCodes,
    NumericColumn,
    Table,
    TextColumn,
    covariate_column,
    expand_names,
    numeric_column,
    read_table,
)
from lmmgwas.model.covariates import CategoricalCovariate, NumericCovariate
from lmmgwas.pipeline.inputs import Genotypes, SampleIndex
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import TableOptions

Mask = NDArray[np.bool_]

_LOW_OVERLAP = 0.5
_PARTIAL_OVERLAP = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class JoinedTable:
    """A table whose columns are brought to the order of the .fam (N samples)."""

    table: Table
    row_of: NDArray[np.int64]  # (N,) row of the table, -1 where it has none
    n_strangers: int  # rows of the table that are not in the genotypes

    @property
    def present(self) -> Mask:
        """Which samples (N,) the table lists."""
        return self.row_of >= 0

    def numeric(self, column: NumericColumn) -> NDArray[np.float64]:
        """Return a column (N,), NaN where missing or not listed."""
        return np.where(self.present, column.values[self.row_of], np.nan)

    def text(self, column: TextColumn) -> list[str | None]:
        """Return a column (N,), None where missing or not listed."""
        return [column.values[row] if row >= 0 else None for row in self.row_of.tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class Covariate:
    """One covariate over all samples of the .fam."""

    name: str
    numeric: NDArray[np.float64] | None  # (N,)
    text: list[str | None] | None  # (N,)
    impute: bool = False  # missing values are set to the mean of the analysed samples

    @property
    def known(self) -> Mask:
        """Which samples (N,) have a value, or get one."""
        if self.impute and self.numeric is not None:
            return np.ones(self.numeric.size, dtype=np.bool_)
        if self.numeric is not None:
            return ~np.isnan(self.numeric)
        return np.array([value is not None for value in self.text or ()], dtype=np.bool_)

    def over(self, rows: NDArray[np.int64]) -> NumericCovariate | CategoricalCovariate:
        """Return the column over the analysed samples."""
        if self.numeric is not None:
            values = self.numeric[rows]
            if self.impute and not np.isnan(values).all():
                values = np.where(np.isnan(values), np.nanmean(values), values)
            return NumericCovariate(self.name, values)
        labels = tuple(str((self.text or [])[i]) for i in rows.tolist())
        return CategoricalCovariate(self.name, labels)


@dataclass(frozen=True, slots=True, eq=False)
class StudyTables:
    """Traits and covariates over all samples of the .fam."""

    traits: dict[str, NDArray[np.float64]]  # (N,) NaN where missing
    covariates: tuple[Covariate, ...]
    in_pheno: Mask  # (N,)
    in_covar: Mask  # (N,) all where there are no covariates
    strangers: tuple[tuple[str, str], ...]  # (FID, IID) in the trait table only


def read_study_tables(options: TableOptions, genotypes: Genotypes, log: Logbook) -> StudyTables:
    """Read the trait table and the covariate table and match their samples."""
    missing = MissingCodes(options.missing_codes, options.use_missing_code)
    pheno = _join(options.pheno, options, genotypes, log, "trait table")
    covar = pheno
    if options.covar is not None and options.covar != options.pheno:
        covar = _join(options.covar, options, genotypes, log, "covariate table")
    same_file = options.covar is not None and covar is pheno
    covariate_names = _covariate_names(options, covar.table)
    trait_names = _trait_names(options, pheno.table, covariate_names if same_file else [])
    _refuse_overlap(trait_names, covariate_names, str(options.pheno))
    covariates = tuple(
        _covariate(covar, name, name in _categorical(options, covar.table), missing, log)
        for name in covariate_names
    )
    traits = {name: _trait(pheno, name, missing, log) for name in trait_names}
    everyone = np.ones(len(genotypes.samples), dtype=np.bool_)
    return StudyTables(
        traits,
        covariates,
        pheno.present,
        covar.present if covariate_names else everyone,
        _strangers(pheno),
    )


def _join(
    path: Path, options: TableOptions, genotypes: Genotypes, log: Logbook, what: str
) -> JoinedTable:
    """Read a table and find the .fam row of each of its rows."""
    table = read_table(path, options.header)
    if not options.header and path == options.covar != options.pheno:
        # Columns without names are V1, V2, ...; those of two files must not be called the same.
        table = replace(
            table, columns={f"C{k}": c for k, c in enumerate(table.columns.values(), 1)}
        )
    for note in table.remarks.notes:
        log.say(f"Note: {note}")
    for warning in table.remarks.warnings:
        log.warn("W401", warning)
    rows = genotypes.index.rows(table.fid, table.iid, table.path)
    _check_overlap(rows, table, genotypes, log, what)
    row_of = np.full(len(genotypes.samples), -1, dtype=np.int64)
    listed = np.flatnonzero(rows >= 0)
    row_of[rows[listed]] = listed
    return JoinedTable(table, row_of, int((rows < 0).sum()))


def _check_overlap(
    rows: NDArray[np.int64], table: Table, genotypes: Genotypes, log: Logbook, what: str
) -> None:
    """Refuse a table that shares no sample with the genotypes; warn where it shares few."""
    n_matched, n_rows, n_samples = int((rows >= 0).sum()), len(table), len(genotypes.samples)
    share = n_matched / min(n_rows, n_samples)
    if share >= _PARTIAL_OVERLAP:
        return
    ours = _examples(genotypes.samples.fid, genotypes.samples.iid)
    theirs = _examples(table.fid, table.iid)
    text = (
        f"{n_matched} of {n_rows} samples of the {what} {table.path} are among the {n_samples} of "
        f"the genotypes; genotypes have {ours}; the table has {theirs}"
    )
    if n_matched == 0:
        raise MismatchError("E304", f"{text}; {_likely_cause(table, genotypes)}")
    log.warn("W304" if share < _LOW_OVERLAP else "W305", text)


def _examples(fid: Sequence[str] | None, iid: Sequence[str]) -> str:
    first = zip((fid or [""] * len(iid))[:3], iid[:3], strict=True)
    shown = [f"{f or '0'} {i}" if fid is not None else i for f, i in first]
    return ", ".join(repr(text) for text in shown)


def _likely_cause(table: Table, genotypes: Genotypes) -> str:
    """Try what commonly goes wrong with IDs, and name the first that would match."""
    samples = genotypes.samples
    ours, theirs = set(samples.iid), list(table.iid)
    joined = {f"{f}_{i}" for f, i in zip(samples.fid, samples.iid, strict=True)}
    lowered, bare = {i.lower() for i in ours}, {i.lstrip("0") for i in ours}
    tried: tuple[tuple[str, Callable[[str], bool]], ...] = (
        ("the IIDs agree, the FIDs do not: is the FID column right?", lambda i: i in ours),
        ("upper and lower case differ", lambda i: i.lower() in lowered),
        ("leading zeros differ", lambda i: i.lstrip("0") in bare),
        ("the table joins FID and IID by '_'", lambda i: i in joined),
        ("FID and IID may be swapped", lambda i: i in set(samples.fid)),
    )
    for cause, test in tried:
        if any(test(iid) for iid in theirs[:1000]):
            return cause
    return "are both of the same study?"


def _strangers(joined: JoinedTable) -> tuple[tuple[str, str], ...]:
    """IDs of the rows that are not in the genotypes."""
    known = set(joined.row_of.tolist())
    table = joined.table
    return tuple(
        (table.fid[k] if table.fid is not None else "", table.iid[k])
        for k in range(len(table))
        if k not in known
    )


def _covariate_names(options: TableOptions, table: Table) -> list[str]:
    """Named covariates; all columns of a covariate file of its own when none is named."""
    if options.covar is None:
        if options.covar_names or options.categorical_names:
            raise UsageError(
                "E412", "--covar-name and --cat-covar-name need --covar: the file they are in"
            )
        return []
    available = list(table.columns)
    if options.covar == options.pheno and not options.covar_names and not options.categorical_names:
        raise UsageError(
            "E415",
            f"--covar names the trait table {options.covar} itself: say with --covar-name which of "
            "its columns are covariates (the others are traits), or leave --covar out",
        )
    named: list[str] = []
    for spec in (options.covar_names, options.categorical_names):
        if spec:
            named += expand_names(spec, available, table.path)
    if not options.covar_names and options.covar != options.pheno:
        return available
    return list(dict.fromkeys(named))


def _categorical(options: TableOptions, table: Table) -> set[str]:
    if not options.categorical_names:
        return set()
    return set(expand_names(options.categorical_names, list(table.columns), table.path))


def _trait_names(options: TableOptions, table: Table, covariates: list[str]) -> list[str]:
    """Named traits; otherwise all columns that are not covariates."""
    if options.pheno_names:
        return expand_names(options.pheno_names, list(table.columns), table.path)
    names = [name for name in table.columns if name not in covariates]
    if not names:
        raise MismatchError("E413", "all columns are covariates, no trait is left", table.path)
    return names


def _refuse_overlap(traits: list[str], covariates: list[str], path: str) -> None:
    both = [name for name in traits if name in covariates]
    if both:
        raise MismatchError(
            "E502",
            f"{', '.join(both)} {'is' if len(both) == 1 else 'are'} both trait and covariate: it "
            "would explain all of itself; name the traits with --pheno-name or the covariates "
            "with --covar-name",
            path,
        )


def _trait(
    pheno: JoinedTable, name: str, missing: MissingCodes, log: Logbook
) -> NDArray[np.float64]:
    column = numeric_column(pheno.table, name, missing)
    _say_missing(log, "Trait", column, len(pheno.table))
    values = pheno.numeric(column)
    if column.n_missing == len(pheno.table):
        raise MismatchError("E405", f"trait '{name}' has no value at all", pheno.table.path)
    return values


def _covariate(
    covar: JoinedTable, name: str, categorical: bool, missing: MissingCodes, log: Logbook
) -> Covariate:
    column = covariate_column(covar.table, name, missing, categorical)
    if isinstance(column, NumericColumn):
        _say_missing(log, "Covariate", column, len(covar.table))
        return Covariate(name, covar.numeric(column), None)
    levels = len({value for value in column.values if value is not None})
    _say_missing(log, f"Categorical covariate ({levels} levels)", column, len(covar.table))
    return Covariate(name, None, covar.text(column))


def _say_missing(log: Logbook, kind: str, column: NumericColumn | TextColumn, n: int) -> None:
    coded = f", {column.n_coded} of them by code" if column.n_coded else ""
    n_known = n - column.n_missing
    log.say(f"{kind} {column.name}: {n_known:,} values, {column.n_missing:,} missing{coded}")


def match_grm(
    index: SampleIndex, n_samples: int, fid: Sequence[str], iid: Sequence[str], where: str
) -> NDArray[np.int64]:
    """Return the GRM row (N,) of each sample of the .fam, -1 where the GRM lacks it."""
    rows = index.rows(fid, iid, where)
    row_of = np.full(n_samples, -1, dtype=np.int64)
    listed = np.flatnonzero(rows >= 0)
    row_of[rows[listed]] = listed
    if not listed.size:
        raise MismatchError(
            "E305",
            f"none of the {len(iid)} samples of the GRM is in the genotypes (the GRM has "
            f"{_examples(fid, iid)}): is it of another study?",
            where,
        )
    return row_of
