"""Who is analysed for which trait, and why everyone else is not.

The order of analysis is that of the .fam. Every sample that is not analysed has a reason,
and the counts are printed: samples in the .fam = analysed + dropped by reason.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmgwas.errors import NumericalError
from lmmgwas.pipeline.inputs import Genotypes
from lmmgwas.pipeline.join import StudyTables

Mask = NDArray[np.bool_]

DROPPED = "dropped: "
"""What the count of a reason begins with."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleFlow:
    """Who is analysed for which trait, and why not."""

    table: pd.DataFrame  # PREFIX.samples.tsv
    analysed: dict[str, Mask]  # (N,) by trait

    def dropped(self) -> dict[str, int]:
        """How many samples of the .fam are not analysed, by reason."""
        ours = self.table[(self.table["in_genotypes"] == 1) & (self.table["analysed"] == 0)]
        counts = ours["reason"].value_counts()
        return {str(reason): int(count) for reason, count in sorted(counts.items())}


def sample_flow(
    genotypes: Genotypes, tables: StudyTables, in_grm: Mask, *, needs_grm: bool
) -> SampleFlow:
    """Return who is analysed for which trait, and the reason of everyone else.

    in_grm (N,) says which samples of the .fam the GRM has.
    """
    n = len(genotypes.samples)
    kept = np.zeros(n, dtype=np.bool_)
    kept[genotypes.kept] = True
    covariates_known = np.ones(n, dtype=np.bool_)
    for covariate in tables.covariates:
        covariates_known &= covariate.known
    complete = kept & tables.in_pheno & tables.in_covar & covariates_known & in_grm
    analysed = {name: complete & ~np.isnan(values) for name, values in tables.traits.items()}
    any_trait = np.logical_or.reduce(list(analysed.values()))
    high = genotypes.high_missing
    conditions = [
        any_trait,
        high,
        ~kept,
        ~tables.in_pheno,
        ~tables.in_covar,
        ~covariates_known,
        ~in_grm,
    ]
    names = [
        "",
        "HIGH_MISSING",
        "REMOVED",
        "NOT_IN_PHENO",
        "NOT_IN_COVAR",
        "MISSING_COVARIATE",
        "NOT_IN_GRM",
    ]
    reason = np.select(conditions, names, default="MISSING_TRAIT").astype(object)
    _name_partly_missing(reason, any_trait, analysed)
    samples = genotypes.samples
    frame = pd.DataFrame(
        {
            "FID": [f or "0" for f in samples.fid],
            "IID": list(samples.iid),
            "in_genotypes": 1,
            "in_pheno": tables.in_pheno.astype(int),
            "in_covar": tables.in_covar.astype(int),
            "in_grm": in_grm.astype(int) if needs_grm else "NA",
            "analysed": any_trait.astype(int),
            "reason": reason,
        }
    )
    return SampleFlow(_with_strangers(frame, tables, needs_grm=needs_grm), analysed)


def _name_partly_missing(
    reason: NDArray[np.object_], any_trait: Mask, analysed: dict[str, Mask]
) -> None:
    """Of a sample that some traits lack, say which."""
    if len(analysed) < 2:
        return
    for i in np.flatnonzero(any_trait).tolist():
        lacking = [name for name, mask in analysed.items() if not mask[i]]
        if lacking:
            reason[i] = f"MISSING_TRAIT:{','.join(lacking)}"


def _with_strangers(frame: pd.DataFrame, tables: StudyTables, *, needs_grm: bool) -> pd.DataFrame:
    """Add the samples that only the trait table knows."""
    if not tables.strangers:
        return frame
    strangers = pd.DataFrame(
        {
            "FID": [f or "0" for f, _ in tables.strangers],
            "IID": [i for _, i in tables.strangers],
            "in_genotypes": 0,
            "in_pheno": 1,
            "in_covar": "NA",
            "in_grm": "NA",
            "analysed": 0,
            "reason": "NOT_IN_GENOTYPES",
        }
    )
    return pd.concat([frame.astype(object), strangers.astype(object)], ignore_index=True)


def flow_counts(flow: SampleFlow, tables: StudyTables, *, needs_grm: bool) -> list[tuple[str, int]]:
    """Return what is counted of the samples, line by line, with the conservation law checked.

    Raises NumericalError (E399).
    """
    frame = flow.table
    ours = frame[frame["in_genotypes"] == 1]
    dropped = flow.dropped()
    rows = [
        ("in the genotypes", len(ours)),
        ("in the trait table", int((ours["in_pheno"] == 1).sum())),
    ]
    if tables.covariates:
        rows.append(("in the covariate table", int((ours["in_covar"] == 1).sum())))
    if needs_grm:
        rows.append(("in the GRM", int((ours["in_grm"] == 1).sum())))
    n_analysed = int((ours["analysed"] == 1).sum())
    rows.append(("analysed", n_analysed))
    rows += [(f"  trait {name}", int(mask.sum())) for name, mask in flow.analysed.items()]
    rows += [(f"{DROPPED}{reason}", count) for reason, count in dropped.items()]
    if n_analysed + sum(dropped.values()) != len(ours):
        raise NumericalError(
            "E399",
            "samples analysed and dropped do not add up to the .fam: this cannot be; please "
            "report it with the log",
        )
    if len(frame) > len(ours):
        rows.append(("only in the trait table", len(frame) - len(ours)))
    return rows


def describe_flow(flow: SampleFlow, tables: StudyTables, *, needs_grm: bool) -> list[str]:
    """Return the table of samples as text."""
    rows = flow_counts(flow, tables, needs_grm=needs_grm)
    width = max(len(name) for name, _ in rows)
    return ["Samples", *(f"  {name:<{width}} {count:>9,}" for name, count in rows)]
