"""Binary traits under the linear model: how they are coded, and what beta means for them.

A 0/1 trait is analysed as a number: beta is a difference in the proportion of cases. With k
the fraction of cases, beta / (k (1 - k)) approximates the log odds ratio, well for small
effects and common cases (Pirinen, Donnelly and Spencer, 2013).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEW_CASES = 200
FEW_CASES_FRACTION = 0.1

_CODINGS = ((0.0, 1.0), (1.0, 2.0))


@dataclass(frozen=True, slots=True)
class CaseControl:
    """A trait of two values, 0/1 or 1/2, the larger one meaning a case."""

    control: float
    case: float
    n_controls: int
    n_cases: int

    @property
    def case_fraction(self) -> float:
        """k."""
        return self.n_cases / (self.n_cases + self.n_controls)

    @property
    def unbalanced(self) -> bool:
        """Whether cases (or controls) are so few that a linear model is not to be trusted."""
        fewer = min(self.n_cases, self.n_controls)
        share = min(self.case_fraction, 1.0 - self.case_fraction)
        return fewer < FEW_CASES or share < FEW_CASES_FRACTION


def recognise_case_control(values: NDArray[np.float64]) -> CaseControl | None:
    """Return the coding of a trait's values (n,), None where it is not 0/1 or 1/2."""
    levels = np.unique(values)
    if levels.size != 2 or (float(levels[0]), float(levels[1])) not in _CODINGS:
        return None
    n_cases = int((values == levels[1]).sum())
    return CaseControl(float(levels[0]), float(levels[1]), values.size - n_cases, n_cases)


def has_doubtful_zeros(values: NDArray[np.float64]) -> bool:
    """Tell whether a trait's values (n, NaN where missing) are 0, 1 and 2.

    Where 1 is a control and 2 a case, 0 means missing (PLINK); as a value it would be taken for
    less than a control.
    """
    levels = np.unique(values[~np.isnan(values)])
    return bool(np.array_equal(levels, [0.0, 1.0, 2.0]))


def approximate_log_odds_ratio(
    beta: NDArray[np.float64], case_fraction: float
) -> NDArray[np.float64]:
    """Return beta / (k (1 - k)), to be read beside beta, not in place of a logistic model."""
    return np.asarray(beta / (case_fraction * (1.0 - case_fraction)))
