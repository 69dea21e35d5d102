"""A study of a few kilobytes, for suites that spoil it a thousand times."""

import numpy as np
from conftest import Study, Table
from simulate import families


def tiny_study(n: int = 16, per_chromosome: int = 30) -> Study:
    """Return n samples in families and two chromosomes, sorted, without missing calls.

    Each sample differs from the others, and carries other calls than two copies of the effect
    allele, so that its absence shows in the last bytes of the .bed. The last line of each text
    file ends in a field of several characters, so that a part of it can be lost.
    """
    rng = np.random.default_rng(7)
    m = 2 * per_chromosome
    calls = families(rng, n, m).astype(np.int64)
    height = 170 + 2 * calls[5] + 3 * rng.normal(size=n)
    weight = 70 + 9 * rng.normal(size=n)
    ids = [(f"F{k // 6}", f"S{k:02d}") for k in range(n)]
    pheno = Table(["FID", "IID"], [list(pair) for pair in ids])
    pheno.add("height", [f"{v:.3f}" for v in height])
    pheno.add("weight", [f"{v:.2f}" for v in weight])
    covar = Table(["FID", "IID"], [list(pair) for pair in ids])
    covar.add("site", [("north", "south")[k] for k in rng.integers(0, 2, n)])
    covar.add("PC1", [f"{v:.4f}" for v in rng.normal(size=n)])
    covar.add("age", rng.integers(20, 80, n))
    return Study(
        chrom=[str(1 + k // per_chromosome) for k in range(m)],
        pos=[10_000 + 700 * (k % per_chromosome) for k in range(m)],
        marker=[f"rs{100 + k}" for k in range(m)],
        effect=["A"] * m,
        other=[*["G"] * (m - 1), "GTTC"],
        calls=calls,
        fid=[f for f, _ in ids],
        iid=[i for _, i in ids],
        sex=[1 + k % 2 for k in range(n)],
        pheno=pheno,
        covar=covar,
    )
