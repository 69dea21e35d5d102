"""Traits, covariates and GRM brought to the samples of the .fam, by ID."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import DegenerateError, FormatError, MismatchError, Problem, UsageError
from lmmgwas.io.columns import (
    MissingCodes,
    NumericColumn,
    TextColumn,
    covariate_column,
    doubtful_levels,
    expand_names,
    numeric_column,
)
from lmmgwas.io.tables import Table
from lmmgwas.model.case_control import has_doubtful_zeros
from lmmgwas.model.covariates import CategoricalCovariate, NumericCovariate
from lmmgwas.model.sentinels import find_sentinels
from lmmgwas.pipeline.inputs import Genotypes, SampleIndex
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.matching import JoinedTable, examples_of, join_table, strangers
from lmmgwas.pipeline.options import TableOptions

Mask = NDArray[np.bool_]
_Column = TypeVar("_Column")


@dataclass(frozen=True, slots=True, eq=False)
class Covariate:
    """One covariate over all samples of the .fam."""

    name: str
    numeric: NDArray[np.float64] | None  # (N,)
    text: list[str | None] | None  # (N,)
    impute: bool = False  # missing values are set to the mean of the analysed samples
    place: str = ""  # of its heading in its file

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
            if self.impute:
                self._refuse_no_calls(values)
                values = np.where(np.isnan(values), np.nanmean(values), values)
            return NumericCovariate(self.name, values)
        labels = tuple(str((self.text or [])[i]) for i in rows.tolist())
        return CategoricalCovariate(self.name, labels, self.place)

    def _refuse_no_calls(self, values: NDArray[np.float64]) -> None:
        if np.isnan(values).all():
            raise DegenerateError(
                "E506",
                f"--condition: {self.name} has no call in the {values.size} analysed samples, "
                "so that it cannot be accounted for: leave it out",
            )


@dataclass(frozen=True, slots=True, eq=False)
class StudyTables:
    """Traits and covariates over all samples of the .fam."""

    traits: dict[str, NDArray[np.float64]]  # (N,) NaN where missing
    covariates: tuple[Covariate, ...]
    in_pheno: Mask  # (N,)
    in_covar: Mask  # (N,) all where there are no covariates
    strangers: tuple[tuple[str, str], ...]  # (FID, IID) in the trait table only
    places: dict[str, str]  # of the heading of each trait in its file


def read_study_tables(options: TableOptions, genotypes: Genotypes, log: Logbook) -> StudyTables:
    """Read the trait table and the covariate table and match their samples."""
    missing = _missing_codes(options)
    pheno = join_table(options.pheno, options, genotypes, log, "trait table")
    covar = pheno
    if options.covar is not None and options.covar != options.pheno:
        covar = join_table(options.covar, options, genotypes, log, "covariate table")
    same_file = options.covar is not None and covar is pheno
    covariate_names = _covariate_names(options, covar.table)
    trait_names = _trait_names(options, pheno.table, covariate_names if same_file else [])
    _refuse_overlap(trait_names, covariate_names, pheno.table)
    categorical = _categorical(options, covar.table)
    problems: list[Problem] = []
    covariates = _without_problems(
        covariate_names,
        lambda name: _covariate(covar, name, name in categorical, missing, log),
        problems,
    )
    traits = _without_problems(
        trait_names, lambda name: _trait(pheno, name, missing, log), problems
    )
    if problems:
        raise FormatError.of(problems)
    everyone = np.ones(len(genotypes.samples), dtype=np.bool_)
    return StudyTables(
        traits,
        tuple(covariates.values()),
        pheno.present,
        covar.present if covariate_names else everyone,
        strangers(pheno),
        {name: pheno.table.heading(name) for name in trait_names},
    )


def _missing_codes(options: TableOptions) -> MissingCodes:
    if options.missing_codes is None:
        return MissingCodes(enabled=options.use_missing_code)
    if not options.use_missing_code:
        raise UsageError("E002", "give --missing-code or --no-missing-code, not both")
    codes = tuple(code.strip() for code in options.missing_codes)
    if not all(codes):
        raise UsageError("E002", "--missing-code holds an empty code: remove a comma")
    return MissingCodes(codes)


def _without_problems(
    names: Sequence[str], read: Callable[[str], _Column], problems: list[Problem]
) -> dict[str, _Column]:
    """Read columns; of those that are malformed gather the problems, to be told in one go."""
    found: dict[str, _Column] = {}
    for name in names:
        try:
            found[name] = read(name)
        except FormatError as error:
            problems += error.problems
    return found


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
        raise MismatchError(
            "E413", "all columns are covariates, no trait is left", f"{table.path}:1"
        )
    return names


def _refuse_overlap(traits: list[str], covariates: list[str], table: Table) -> None:
    both = [name for name in traits if name in covariates]
    if both:
        raise MismatchError(
            "E502",
            f"{', '.join(both)} {'is' if len(both) == 1 else 'are'} both trait and covariate: it "
            "would explain all of itself; name the traits with --pheno-name or the covariates "
            "with --covar-name",
            table.heading(both[0]),
        )


def _trait(
    pheno: JoinedTable, name: str, missing: MissingCodes, log: Logbook
) -> NDArray[np.float64]:
    column = numeric_column(pheno.table, name, missing)
    _say_missing(log, "Trait", column, len(pheno.table))
    _refuse_no_values("trait", column, pheno.table)
    if missing.codes is None and missing.enabled and has_doubtful_zeros(column.values):
        _refuse_doubtful_zeros(name, column.values, pheno.table)
    values = pheno.numeric(column)
    _warn_sentinels(f"trait {name}", values, missing, log)
    return values


def _refuse_no_values(kind: str, column: NumericColumn | TextColumn, table: Table) -> None:
    if column.n_missing == len(table):
        message = f"{kind} '{column.name}' has no value at all: all {len(table)} are missing"
        raise MismatchError("E405", message, table.heading(column.name))


def _refuse_doubtful_zeros(name: str, values: NDArray[np.float64], table: Table) -> None:
    counts = [int((values == level).sum()) for level in (0.0, 1.0, 2.0)]
    row = int(np.flatnonzero(values == 0.0)[0])
    raise FormatError(
        "E416",
        f"trait '{name}' has the values 0, 1 and 2 only ({counts[0]}, {counts[1]} and {counts[2]} "
        f"times; 0 first for sample {table.sample(row)}): where 1 is a control and 2 a case, 0 "
        "means missing (so PLINK reads it); as a value it would be taken for less than a control: "
        "give --missing-code 0,-9 if it means missing, --missing-code -9 if it is a value",
        table.place(row, name),
    )


def _warn_sentinels(
    what: str, values: NDArray[np.float64], missing: MissingCodes, log: Logbook
) -> None:
    for found in find_sentinels(values):
        codes = (missing.codes or ("-9",)) if missing.enabled else ()
        given = ",".join([*codes, f"{found.value:.15g}"])
        log.warn(
            "W409",
            f"{what} holds {found.value:.15g} {found.count} times, {found.distance:.0f} median "
            "absolute deviations from its median and far from all other values: if it means "
            f"missing, every result is wrong; then give --missing-code {given}",
        )


def _covariate(
    covar: JoinedTable, name: str, categorical: bool, missing: MissingCodes, log: Logbook
) -> Covariate:
    column = covariate_column(covar.table, name, missing, categorical)
    if isinstance(column, NumericColumn):
        _say_missing(log, "Covariate", column, len(covar.table))
        _refuse_no_values("covariate", column, covar.table)
        values = covar.numeric(column)
        _warn_sentinels(f"covariate {name}", values, missing, log)
        return Covariate(name, values, None, place=covar.table.heading(name))
    levels = len({value for value in column.values if value is not None})
    _say_missing(log, f"Categorical covariate ({levels} levels)", column, len(covar.table))
    _refuse_no_values("covariate", column, covar.table)
    for doubt in doubtful_levels(column):
        log.warn("W503", f"covariate {name}: {doubt}")
    return Covariate(name, None, covar.text(column), place=covar.table.heading(name))


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
            f"{examples_of(fid, iid)}): is it of another study?",
            where,
        )
    return row_of
