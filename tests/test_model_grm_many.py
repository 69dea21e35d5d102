"""LOCO by the sum of the others, where they are more than two."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import loco_by_rebuilding
from simulate import Axes, make_problem
from test_model_grm import SHARE, make_grm, worst

from lmmgwas.model.grm import loco_matrix


@pytest.mark.parametrize("pairwise", [False, True])
@pytest.mark.parametrize("subset", [False, True])
def test_a_group_of_most_variants_and_four_others(pairwise: bool, subset: bool) -> None:
    problem = make_problem(Axes(n=24, m=240, missing=0.1, seed=8))
    chrom = np.where(np.arange(240) < 160, "big", (np.arange(240) % 4).astype(str))
    problem = replace(problem, chrom=chrom)
    grm = make_grm(problem, "standardized", pairwise=pairwise)
    rows = np.array([5, 1, 20, 7, 11]) if subset else np.arange(24)
    found = loco_matrix(grm, "big", rows)
    whole = loco_by_rebuilding(
        problem.dosage, problem.chrom, "big", "standardized", pairwise=pairwise
    )
    assert worst(found, whole[np.ix_(rows, rows)]) <= SHARE
