"""What a fitted group hands to the scan."""

import pytest
from oracles import centred_kernel
from simulate import Axes, make_problem

from lmmgwas.model.fitting import Analysis, fit_group
from lmmgwas.model.samples import standardise_trait
from lmmgwas.model.whitening import Precision, WhitenerKind


@pytest.mark.parametrize("kind", [WhitenerKind.SPECTRAL, WhitenerKind.CHOLESKY])
@pytest.mark.parametrize(
    ("h2", "expected"),
    [(0.5, Precision.SINGLE), (0.97, Precision.SINGLE), (0.99, Precision.DOUBLE)],
)
def test_tiles_are_double_where_h2_is_near_one(
    kind: WhitenerKind, h2: float, expected: Precision
) -> None:
    problem = make_problem(Axes(n=40, m=60, c=1, h2=0.5, seed=2))
    K, scale = centred_kernel(problem.K)
    trait = standardise_trait("y", problem.y)
    analysis = Analysis((trait,), problem.basis, kind, Precision.SINGLE, h2)
    (shared,) = fit_group(analysis, K, scale, starts=[None]).rotations
    assert shared.precision is expected
