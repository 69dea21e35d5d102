"""Simulated studies for timing: families from three populations, seeded, any size, any m.

    python scripts/bench/data.py PREFIX --n 5000 --m 100000 --traits 1 --seed 1

Variants are independent given their populations' frequencies (Balding and Nichols, 1995); in
families of two parents and three children each child's chromosomes are recombined from its
parents'. That is all a clock needs; `lmmgwas example` has linkage disequilibrium, missing calls
and rare variants, too. Written: PREFIX.bed, .bim, .fam, .pheno.tsv and .covar.tsv.
"""

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

FAMILY_SHARE = 0.6  # of the people; the others are unrelated
CHILDREN = 3
FAMILY_SIZE = 2 + CHILDREN
FST = 0.02
CAUSAL_SHARE = 0.02  # of the variants
H2 = 0.4
SPACING = 500  # base pairs between variants
_BLOCK_CALLS = 40_000_000  # people x variants simulated at a time
_BED_CODE = np.array([3, 2, 0], dtype=np.uint8)  # of 0, 1, 2 copies of the first allele


@dataclass(frozen=True, slots=True, eq=False)
class Pedigree:
    """Parents first: people 0..n_founders-1 have no parents here, the others two each."""

    n: int
    father: NDArray[np.int64]  # (n_children,) index of a founder
    mother: NDArray[np.int64]
    population: NDArray[np.int64]  # (n_founders,) 0, 1 or 2

    @property
    def n_founders(self) -> int:
        return self.population.size


def pedigree(n: int, rng: Generator) -> Pedigree:
    """Return n people: families for a share of them, the rest unrelated."""
    n_families = int(n * FAMILY_SHARE) // FAMILY_SIZE
    n_founders = n - CHILDREN * n_families
    parents = np.repeat(np.arange(n_families), CHILDREN) * 2
    population = rng.integers(0, 3, n_founders)
    population[1 : 2 * n_families : 2] = population[0 : 2 * n_families : 2]
    return Pedigree(n, parents, parents + 1, population)


def _gametes(
    one: NDArray[np.bool_], two: NDArray[np.bool_], parents: NDArray[np.int64], rng: Generator
) -> NDArray[np.bool_]:
    """What each child gets of a parent's two haplotypes (b, founders): one crossover a block."""
    b = one.shape[0]
    crossing = rng.integers(0, b + 1, parents.size)
    first = rng.random(parents.size) < 0.5
    take_one = (np.arange(b)[:, None] < crossing[None, :]) ^ first[None, :]
    return np.where(take_one, one[:, parents], two[:, parents])


def _draw(people: Pedigree, b: int, rng: Generator) -> NDArray[np.uint8]:
    """Copies (b, n) of the first allele at b neighbouring variants."""
    ancestral = rng.uniform(0.05, 0.95, b)
    shape = (1.0 - FST) / FST
    by_population = rng.beta(ancestral * shape, (1.0 - ancestral) * shape, size=(3, b)).T
    frequency = np.clip(by_population, 0.01, 0.99).astype(np.float32)[:, people.population]
    one = rng.random(frequency.shape, dtype=np.float32) < frequency
    two = rng.random(frequency.shape, dtype=np.float32) < frequency
    copies = np.empty((b, people.n), dtype=np.uint8)
    np.add(one, two, out=copies[:, : people.n_founders], dtype=np.uint8)
    from_father = _gametes(one, two, people.father, rng)
    from_mother = _gametes(one, two, people.mother, rng)
    np.add(from_father, from_mother, out=copies[:, people.n_founders :], dtype=np.uint8)
    return copies


def _packed(copies: NDArray[np.uint8]) -> bytes:
    """The rows of a .bed: two bits a call, four calls a byte, the first in the lowest bits."""
    b, n = copies.shape
    codes = np.zeros((b, (n + 3) // 4 * 4), dtype=np.uint8)
    codes[:, :n] = _BED_CODE[copies]
    quads = codes.reshape(b, -1, 4)
    return (quads[..., 0] | quads[..., 1] << 2 | quads[..., 2] << 4 | quads[..., 3] << 6).tobytes()


def _write_genotypes(
    prefix: Path, people: Pedigree, m: int, n_chromosomes: int, rng: Generator
) -> NDArray[np.float64]:
    """Write .bed and .bim, and return the people's polygenic values (n,), standardised."""
    genetic = np.zeros(people.n)
    block = max(1, _BLOCK_CALLS // people.n)
    ends = np.linspace(0, m, n_chromosomes + 1).astype(int)
    with (
        prefix.with_suffix(".bed").open("wb") as bed,
        prefix.with_suffix(".bim").open("w") as bim,
    ):
        bed.write(b"\x6c\x1b\x01")
        for chromosome, (start, stop) in enumerate(pairwise(ends), 1):
            for first in range(start, stop, block):
                last = min(first + block, stop)
                copies = _draw(people, last - first, rng)
                bed.write(_packed(copies))
                causal = np.flatnonzero(rng.random(last - first) < CAUSAL_SHARE)
                genetic += rng.standard_normal(causal.size) @ copies[causal]
                bim.writelines(
                    f"{chromosome}\tv{j}\t0\t{(j - start + 1) * SPACING}\tA\tG\n"
                    for j in range(first, last)
                )
    return (genetic - genetic.mean()) / genetic.std()


def simulate(
    prefix: Path, n: int, m: int, n_traits: int, seed: int, n_chromosomes: int = 22
) -> None:
    """Write one study; the traits share their polygenic part and differ in their noise."""
    rng = np.random.default_rng(seed)
    people = pedigree(n, rng)
    genetic = _write_genotypes(prefix, people, m, n_chromosomes, rng)
    ids = [f"f{i}\ti{i}" for i in range(n)]
    sex = rng.integers(1, 3, n)
    age = np.round(rng.uniform(20.0, 80.0, n), 1)
    prefix.with_suffix(".fam").write_text(
        "".join(f"{name}\t0\t0\t{s}\t-9\n" for name, s in zip(ids, sex, strict=True))
    )
    values = np.sqrt(H2) * genetic[:, None] + np.sqrt(1.0 - H2) * rng.standard_normal((n, n_traits))
    values += (0.02 * age + 0.3 * sex)[:, None]
    names = "\t".join(f"trait{k + 1}" for k in range(n_traits))
    rows = ("\t".join(f"{value:.6f}" for value in row) for row in values)
    body = "".join(f"{name}\t{row}\n" for name, row in zip(ids, rows, strict=True))
    prefix.with_suffix(".pheno.tsv").write_text(f"FID\tIID\t{names}\n{body}")
    covariates = zip(ids, age, sex - 1, strict=True)
    body = "".join(f"{name}\t{a}\t{s}\n" for name, a, s in covariates)
    prefix.with_suffix(".covar.tsv").write_text(f"FID\tIID\tage\tmale\n{body}")


def main() -> None:
    """Write a study from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefix", type=Path)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--m", type=int, required=True)
    parser.add_argument("--traits", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chromosomes", type=int, default=22)
    options = parser.parse_args()
    simulate(
        options.prefix, options.n, options.m, options.traits, options.seed, options.chromosomes
    )


if __name__ == "__main__":
    main()
