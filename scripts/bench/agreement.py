"""How far the calibrated scan lies from the exact one, on the same variants."""

from pathlib import Path

import numpy as np
import pandas as pd
from table import Figure, Section, noted

_REPORTED = 1e-3  # p below this are what people read
_P_LIMIT = 1e-4  # of -log10 p
_CHI2_LIMIT = 0.02
_QUANTILE = 0.99
_COLUMNS = ["marker_id", "beta", "standard_error", "neg_log_10_p_value"]


def compare(exact: Path, calibrated: Path, section: Section) -> None:
    """Add the figures of two tables to the section."""
    both = _read(exact).join(_read(calibrated), rsuffix="_c", how="outer")
    lost = int(both.isna().any(axis=1).sum())
    section.figures.append(noted("variants in one table only", f"{lost:,} of {len(both):,}"))
    both = both.dropna()
    logs = both[["neg_log_10_p_value", "neg_log_10_p_value_c"]].to_numpy()
    if np.array_equal(logs[:, 0], logs[:, 1]):
        section.notes.append("Both tables are the same: the calibrated scan was not used.")
    # Small in either table: a p that only the calibrated scan calls small is reported, too.
    small = (logs > -np.log10(_REPORTED)).any(axis=1)
    section.figures += [
        _of_reported(np.abs(logs[small, 0] - logs[small, 1])),
        _of_others(_chi2(both, "")[~small], _chi2(both, "_c")[~small]),
    ]


def _read(table: Path) -> pd.DataFrame:
    return pd.read_csv(table, sep="\t", usecols=_COLUMNS).set_index("marker_id")


def _chi2(both: pd.DataFrame, suffix: str) -> np.ndarray:
    return ((both[f"beta{suffix}"] / both[f"standard_error{suffix}"]) ** 2).to_numpy()


def _of_reported(errors: np.ndarray) -> Figure:
    what = f"largest difference of -log10 p, {errors.size:,} variants of p < {_REPORTED:g}"
    largest = float(errors.max(initial=0.0))
    return Figure(what, f"at most {_P_LIMIT:g}", f"{largest:.2g}", largest <= _P_LIMIT)


def _of_others(exact: np.ndarray, calibrated: np.ndarray) -> Figure:
    what = f"difference of chi-square, {exact.size:,} other variants, {100 * _QUANTILE:g} %"
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.abs(calibrated / exact - 1.0)
    errors = errors[np.isfinite(errors)]
    at = float(np.quantile(errors, _QUANTILE)) if errors.size else 0.0
    worst = float(errors.max(initial=0.0))
    goal = f"at most {100 * _CHI2_LIMIT:g} %"
    return Figure(what, goal, f"{100 * at:.2g} % (largest {100 * worst:.2g} %)", at <= _CHI2_LIMIT)
