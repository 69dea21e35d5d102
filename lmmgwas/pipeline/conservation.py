"""Conservation laws of a run: what goes in comes out, or is counted with its reason.

Where they hold                                                           code
variants selected = rows written + excluded by reason  (assoc_run)        E902
samples in the .fam = analysed + dropped by reason  (flow)                E399
samples of a trait's analysis = samples marked analysed for it            E902
variants of the GRM = sum over its groups                                 E806
S of the whole GRM = sum over its groups                                  E806
rows in a file = rows counted while it was written                        E902
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lmmgwas.errors import MismatchError, NumericalError
from lmmgwas.io.row_count import count_rows
from lmmgwas.model.grm import Grm
from lmmgwas.model.grm_check import BOUND, parts_error
from lmmgwas.pipeline.flow import SampleFlow
from lmmgwas.pipeline.plan import PlannedAnalysis


def check_samples(flow: SampleFlow, plans: Sequence[PlannedAnalysis], n_samples: int) -> None:
    """Raise NumericalError (E902) unless tables and analyses speak of the same samples.

    `n_samples` are in the .fam.
    """
    ours = flow.table[flow.table["in_genotypes"] == 1]
    if len(ours) != n_samples:
        raise _broken(f"the table of samples has {len(ours):,} of the {n_samples:,} in the .fam")
    anyone = np.zeros(n_samples, dtype=np.bool_)
    planned = {name: plan for plan in plans for name in plan.names}
    if sorted(planned) != sorted(flow.analysed):
        raise _broken(f"{len(planned)} of {len(flow.analysed)} traits are analysed")
    for name, mask in flow.analysed.items():
        anyone |= mask
        rows = planned[name].samples.rows
        if not np.array_equal(np.flatnonzero(mask), np.sort(rows)):
            raise _broken(
                f"trait {name}: {rows.size:,} samples are analysed, {int(mask.sum()):,} are "
                "marked as analysed, or they are others"
            )
    marked = ours["analysed"].to_numpy() == 1
    without_reason = int(((ours["reason"] == "").to_numpy() & ~marked).sum())
    if not np.array_equal(marked, anyone) or without_reason:
        raise _broken(
            f"{int(anyone.sum()):,} samples are analysed, {int(marked.sum()):,} are marked as "
            f"analysed, and {without_reason:,} of the others have no reason"
        )


def check_grm_set(grm: Grm, threads: int = 1) -> None:
    """Raise MismatchError (E806) unless the parts of a GRM set make up its whole.

    Counts exactly; values by their products with a random vector, one pass over each file.
    """
    if not grm.parts:
        return
    total = sum(part.n_variants for part in grm.parts.values())
    if total != grm.whole.n_variants:
        raise MismatchError(
            "E806",
            f"the groups of the GRM have {total:,} variants together, the whole has "
            f"{grm.whole.n_variants:,}: leaving a chromosome out would subtract another matrix; "
            "build the GRM again",
        )
    error = parts_error(grm, threads)
    if not error <= BOUND:
        raise MismatchError(
            "E806",
            f"the groups of the GRM do not add up to its whole (relative difference {error:.2g}, "
            f"at most {BOUND:g} is rounding): a file is damaged, or is of another set; leaving a "
            "chromosome out would subtract another matrix. Build the GRM again",
        )


def check_rows_on_disk(path: Path, n_rows: int) -> None:
    """Raise NumericalError (E902) unless a table holds as many rows as were counted.

    The file is read back to its end. Raises FileAccessError (E112) where that fails.
    """
    found = count_rows(path)
    if found != n_rows:
        raise _broken(f"{path} holds {found:,} rows, {n_rows:,} were written")


def _broken(what: str) -> NumericalError:
    return NumericalError("E902", f"{what}: this cannot be; please report it with the log")
