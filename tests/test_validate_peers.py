"""The comparison with GEMMA's tables finds what it is there to find, on small invented ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gemma_oracle import GemmaModel
from reference import GEMMA_LIMIT, MOST_STOPPED, compare_with_gemma
from simulate import Axes, make_problem

N_ROWS = 20


def theirs() -> pd.DataFrame:
    """Rows as GEMMA writes them."""
    columns = {
        "chr": 1,
        "rs": [f"rs{j}" for j in range(N_ROWS)],
        "n_miss": [j % 3 for j in range(N_ROWS)],
        "allele1": "A",
        "allele0": "G",
        "beta": np.linspace(-1.0, 1.0, N_ROWS),
        "se": 0.5,
        "l_remle": 1.0,
        "p_wald": np.linspace(0.01, 1.0, N_ROWS),
        "p_lrt": np.linspace(0.02, 1.0, N_ROWS),
    }
    return pd.DataFrame(columns)


def ours(test: str) -> pd.DataFrame:
    """The same rows as the program writes them."""
    table = theirs()
    columns = {
        "chromosome": "1",
        "marker_id": table["rs"],
        "effect_allele": table["allele1"],
        "other_allele": table["allele0"],
        "beta": table["beta"],
        "standard_error": table["se"],
        "n": 100 - table["n_miss"],
        "neg_log_10_p_value": -np.log10(table[f"p_{test}"]),
    }
    return pd.DataFrame(columns)


def failures(folder: Path, test: str, change: Callable[[pd.DataFrame], object]) -> list[str]:
    """Change our table, compare, and return what is not met."""
    table = ours(test)
    change(table)
    theirs().to_csv(folder / "theirs.txt", sep="\t", index=False)
    table.to_csv(folder / "run.y.tsv.gz", sep="\t", index=False, na_rep="#NA")

    def model() -> GemmaModel:
        raise AssertionError("no row is to be explained")

    checks = compare_with_gemma(folder / "theirs.txt", folder / "run", "y", test, model)
    return [check.what.removeprefix(f"y {test}: ") for check in checks if not check.ok]


@pytest.mark.parametrize("test", ["wald", "lrt"])
def test_equal_tables_pass(test: str, tmp_path: Path) -> None:
    assert failures(tmp_path, test, lambda table: None) == []


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("marker_id", "other", "rows of theirs that we lack"),
        ("effect_allele", "G", "rows of theirs that we lack"),
        ("n", 50, "their n, less n_miss, is ours"),
        ("beta", -1.0 + 1.5 * GEMMA_LIMIT * 0.5, "beta, in se"),
        ("beta", np.nan, "beta, in se"),
        ("standard_error", 0.5 * (1.0 - 1.5 * GEMMA_LIMIT), "se, relative"),
        ("neg_log_10_p_value", 1.69897 + 1.5 * GEMMA_LIMIT, "p_lrt of 20 variants, -log10"),
        ("neg_log_10_p_value", np.nan, "p_lrt of 20 variants, -log10"),
    ],
)
def test_a_fault_in_one_row_is_found(
    column: str, value: object, expected: str, tmp_path: Path
) -> None:
    def change(table: pd.DataFrame) -> None:
        table[column] = [value, *table[column][1:]]

    assert expected in failures(tmp_path, "lrt", change)


def test_many_differing_rows_are_not_explained_away(tmp_path: Path) -> None:
    def change(table: pd.DataFrame) -> None:
        table.loc[:MOST_STOPPED, "neg_log_10_p_value"] += 2.0 * GEMMA_LIMIT

    assert failures(tmp_path, "wald", change) == ["rows beyond, GEMMA stopped early"]


def test_dense_model_finds_the_top_of_the_likelihood() -> None:
    problem = make_problem(Axes(n=60, m=90, c=2, h2=0.5, seed=3))
    S, U = np.linalg.eigh(problem.K)
    model = GemmaModel(S, U, problem.y, problem.X, Path(), np.arange(60))
    A = np.column_stack([problem.X, problem.dosage[3]])
    grid = np.exp(np.linspace(-6.0, 6.0, 1201))
    top = grid[np.argmax([model.reml(ratio, A) for ratio in grid])]
    best = model.best_ratio(top, A)
    assert model.reml(best, A) >= model.reml(top, A)
    for ratio in (best, 3.0 * best):
        V = ratio * problem.K + np.eye(60)
        Vi = np.linalg.inv(V)
        information = A.T @ Vi @ A
        b = np.linalg.solve(information, A.T @ Vi @ problem.y)
        left = problem.y - A @ b
        dense = -0.5 * (
            (60 - 3) * np.log(left @ Vi @ left)
            + np.linalg.slogdet(V)[1]
            + np.linalg.slogdet(information)[1]
        )
        assert model.reml(ratio, A) == pytest.approx(dense, rel=1e-10)
