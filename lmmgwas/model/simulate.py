"""A simulated study whose truth is known: families from three populations, two traits.

Founder haplotypes are mosaics of a small pool of ancestral haplotypes per population, whose
allele frequencies drifted apart as in Balding and Nichols (1995). Children get recombined
haplotypes of their parents; on X sons have their mother's only, daughters their father's whole.
A trait is

    y = fixed effects + population + causal variants + polygenic part + family + noise,

where every part after the population has an exact share of the variance sd^2 (`TraitSettings`).
Arrays of haplotypes and calls are variant-major int8; positions are GRCh38 base pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lmmgwas.model.genotypes import MISSING, Calls, Indices

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MALE, FEMALE = 1, 2
SITES = ("north", "south", "west")
NO_PARENT = -1
CHROMOSOMES = (*map(str, range(1, 23)), "X")
_N_POPULATIONS, _N_AUTOSOMES = 3, 22
# Where variants may lie: all of an autosome (GRCh38 lengths), X between its two
# pseudo-autosomal regions, where males have one copy.
_LENGTHS: tuple[int, ...] = (
    *(248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636),
    *(138394717, 133797422, 135086622, 133275309, 114364328, 107043718, 101991189, 90338345),
    *(83257441, 80373285, 58617616, 64444167, 46709983, 50818468),
)
_FIRST = np.array([1] * _N_AUTOSOMES + [2781480], dtype=np.int64)
_LAST = np.array([*_LENGTHS, 155701382], dtype=np.int64)
_BASES_PER_CROSSOVER = 130_000_000  # the mean autosome: one crossover each on average
_COMMON_MAF = 0.2  # causal variants are at least this frequent, so that they can be found


@dataclass(frozen=True, slots=True)
class TraitSettings:
    """How one trait comes about. Effects are in its unit, shares are of sd^2, the rest is noise."""

    name: str
    mean: float  # women of 50 at the first site in the first population
    sd: float  # once age, sex, site and population are accounted for
    polygenic: float  # share of all autosomal variants together
    family: float  # share of the environment that a family has in common
    causal: tuple[float, ...]  # share of each causal variant, one to a chromosome
    age: float  # per year
    male: float
    site: tuple[float, float, float]
    population: tuple[float, float, float]
    missing: float  # fraction of people without a value


HEIGHT = TraitSettings(
    name="height",
    mean=164.0,
    sd=6.5,
    polygenic=0.5,
    family=0.02,
    causal=(0.08, 0.075, 0.07, 0.05),
    age=-0.08,
    male=12.5,
    site=(0.0, 1.5, -1.0),
    population=(0.0, 3.0, -2.5),
    missing=0.03,
)
LDL = TraitSettings(
    name="ldl",
    mean=3.2,
    sd=0.85,
    polygenic=0.3,
    family=0.03,
    causal=(0.08, 0.08, 0.075, 0.05),
    age=0.012,
    male=0.15,
    site=(0.0, -0.2, 0.25),
    population=(0.0, -0.3, 0.35),
    missing=0.08,
)


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """The size and the kind of a study. The defaults are those of `lmmgwas example`."""

    seed: int = 16
    n_families: int = 80  # two founders and two or three children each
    n_unrelated: int = 60
    n_variants: int = 4_000
    fst: float = 0.05
    pool_size: int = 60  # ancestral haplotypes per population
    rare_share: float = 0.15  # of the variants: minor alleles at 0.5 to 5 % before drift
    missing_call_rate: float = 0.01  # on a random half of the variants, none on the others
    variants_per_region: int = 25
    region_length: int = 400_000
    ld_length: int = 200_000  # base pairs over which ancestral haplotypes resemble themselves
    switch_length: int = 300_000  # mean length of a piece of the mosaic
    n_without_genotypes: int = 2  # people of the tables who are not in the .fam
    n_without_traits: int = 4  # people of the .fam who are not in the trait table
    n_covariate_gaps: int = 3  # people who lack one covariate
    traits: tuple[TraitSettings, ...] = (HEIGHT, LDL)


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedVariants:
    """The m variants, by chromosome and position."""

    chrom: NDArray[np.int64]  # (m,) index into CHROMOSOMES
    pos: Indices  # (m,) base pairs
    marker_id: tuple[str, ...]
    effect_allele: tuple[str, ...]  # the counted one; not always the minor one
    other_allele: tuple[str, ...]

    def __len__(self) -> int:
        return self.pos.size

    @property
    def n_autosomal(self) -> int:
        """How many of the variants come before those on X."""
        return int(np.searchsorted(self.chrom, _N_AUTOSOMES))


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedPeople:
    """The N people: families, parents first; unrelated; last, unrelated without genotypes."""

    fid: tuple[str, ...]
    iid: tuple[str, ...]
    father: Indices  # (N,) index of a person, NO_PARENT for founders
    mother: Indices  # (N,)
    sex: NDArray[np.int8]  # (N,) MALE or FEMALE
    family: Indices  # (N,)
    population: Indices  # (N,) 0, 1 or 2
    age: Array  # (N,) years
    site: Indices  # (N,) index into SITES

    def __len__(self) -> int:
        return len(self.iid)


@dataclass(frozen=True, slots=True, eq=False)
class CausalVariant:
    """One variant with an effect of its own."""

    row: int  # of the variants
    effect: float  # per copy of the effect allele, in the trait's unit
    share: float  # of sd^2


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedTrait:
    """One trait of all N people and the parts that it is the sum of, each (N,)."""

    name: str
    values: Array  # rounded to three decimals
    observed: Mask
    fixed: Array  # mean, age, sex, site and population
    causal_part: Array
    polygenic_part: Array
    environment: Array  # family and noise
    causal: tuple[CausalVariant, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedStudy:
    """A whole study: the truth and what is to be seen of it."""

    variants: SimulatedVariants
    people: SimulatedPeople
    n_genotyped: int
    dosage: Calls  # (m, N) the true copies of the effect allele, males on X 0 or 2
    calls: Calls  # (m, n) what was observed of the first n people, MISSING included
    traits: tuple[SimulatedTrait, ...]
    pheno_order: Indices  # the people of the trait table, in its order
    covar_order: Indices  # (N,) the people of the covariate table, in its order
    covariate_gaps: tuple[tuple[int, int], ...]  # (person, 0 age, 1 sex or 2 site) not recorded


def simulate_study(settings: SimulationSettings) -> SimulatedStudy:
    """Return the study of these settings: the same settings, the same study."""
    # A stream for each step, so that a change in one step leaves the others as they were.
    streams = np.random.default_rng(settings.seed).spawn(6)
    people = _people(streams[0], settings)
    variants = _variants(streams[1], settings)
    origin = np.repeat(people.population[people.father == NO_PARENT], 2)
    mosaics = _mosaics(streams[2], settings, variants, origin)
    dosage = _dosage(streams[2], variants, people, mosaics)
    n = len(people) - settings.n_without_genotypes
    chromosomes = streams[3].permutation(_N_AUTOSOMES).tolist()  # never two causal ones on one
    traits = []
    for trait in settings.traits:
        rows = [np.flatnonzero(variants.chrom == chromosomes.pop()) for _ in trait.causal]
        traits.append(_trait(streams[3], trait, people, dosage[: variants.n_autosomal], rows))
    order = streams[4]
    absent = order.choice(n, settings.n_without_traits, replace=False)
    listed = np.setdiff1d(np.arange(len(people)), absent)
    incomplete = order.choice(listed[listed < n], settings.n_covariate_gaps, replace=False)
    return SimulatedStudy(
        variants=variants,
        people=people,
        n_genotyped=n,
        dosage=dosage,
        calls=_lose_calls(streams[5], dosage[:, :n], settings.missing_call_rate),
        traits=tuple(traits),
        pheno_order=order.permutation(listed),
        covar_order=order.permutation(len(people)),
        covariate_gaps=tuple((int(person), k % 3) for k, person in enumerate(incomplete)),
    )


def _people(rng: Generator, settings: SimulationSettings) -> SimulatedPeople:
    """Return families of two founders and two or three children, then unrelated people."""
    n_children = rng.integers(2, 4, settings.n_families)
    n_alone = settings.n_unrelated + settings.n_without_genotypes
    sizes = np.concatenate([n_children + 2, np.ones(n_alone, dtype=np.int64)])
    family = np.repeat(np.arange(sizes.size), sizes)
    n = family.size
    first = (np.cumsum(sizes) - sizes)[family]  # the first person of each one's family
    place = np.arange(n) - first
    is_child, in_family = place >= 2, sizes[family] > 1
    sex = rng.integers(MALE, FEMALE + 1, n).astype(np.int8)
    sex[in_family & (place == 0)], sex[in_family & (place == 1)] = MALE, FEMALE
    age = rng.integers(52, 76, n).astype(np.float64)
    age[is_child] = age[first[is_child]] - rng.integers(22, 34, int(is_child.sum()))
    population = rng.choice(_N_POPULATIONS, sizes.size, p=(0.4, 0.35, 0.25))
    # Each site recruits mostly, not only, from one population; a family goes to one site.
    moved = rng.random(sizes.size) < 0.5
    site = np.where(moved, rng.integers(0, len(SITES), sizes.size), population)
    return SimulatedPeople(
        fid=tuple(f"F{k + 1:04d}" for k in family),
        iid=tuple(f"S{k + 1:05d}" for k in range(n)),
        father=np.where(is_child, first, NO_PARENT),
        mother=np.where(is_child, first + 1, NO_PARENT),
        sex=sex,
        family=family,
        population=population[family],
        age=age,
        site=site[family],
    )


def _variants(rng: Generator, settings: SimulationSettings) -> SimulatedVariants:
    """Return variants in proportion to the chromosomes' lengths, with ascending positions."""
    quota = settings.n_variants * (_LAST - _FIRST) / (_LAST - _FIRST).sum()
    counts = np.floor(quota).astype(np.int64)
    counts[np.argsort(counts - quota, kind="stable")[: settings.n_variants - counts.sum()]] += 1
    pos = [_positions(rng, settings, k, count) for k, count in enumerate(counts.tolist())]
    effect = rng.integers(0, 4, settings.n_variants)
    other = (effect + rng.integers(1, 4, settings.n_variants)) % 4
    return SimulatedVariants(
        chrom=np.repeat(np.arange(counts.size), counts),
        pos=np.concatenate(pos),
        marker_id=tuple(f"rs{1_000_001 + j}" for j in range(settings.n_variants)),
        effect_allele=tuple("ACGT"[k] for k in effect),
        other_allele=tuple("ACGT"[k] for k in other),
    )


def _positions(rng: Generator, settings: SimulationSettings, chrom: int, count: int) -> Indices:
    """Return ascending positions on one chromosome, in dense regions far from one another.

    A few thousand variants spread evenly would have no neighbours in linkage disequilibrium;
    in regions they have, and a causal variant shows as one locus.
    """
    n_regions = max(1, round(count / settings.variants_per_region))
    borders = np.linspace(_FIRST[chrom], _LAST[chrom] + 1, n_regions + 1).astype(np.int64)
    pieces = []
    for k, size in enumerate(len(part) for part in np.array_split(np.arange(count), n_regions)):
        start = rng.integers(borders[k], borders[k + 1] - settings.region_length + 1)
        pieces.append(start + np.sort(rng.choice(settings.region_length, size, replace=False)))
    return np.concatenate(pieces)


def _dosage(
    rng: Generator, variants: SimulatedVariants, people: SimulatedPeople, mosaics: Calls
) -> Calls:
    """Return the true copies of the effect allele (m, N) from founder haplotypes (m, h)."""
    founders = people.father == NO_PARENT
    # (m, N, 2): each one's maternal and paternal haplotype; on X a man's is there twice.
    haplotypes = np.zeros((len(variants), len(people), 2), dtype=np.int8)
    haplotypes[:, founders] = mosaics.reshape(len(variants), -1, 2)
    for person, is_founder in enumerate(founders):
        if not is_founder:
            for side, parent in enumerate((people.mother[person], people.father[person])):
                first, second = haplotypes[:, parent, 0], haplotypes[:, parent, 1]
                haplotypes[:, person, side] = np.where(_recombine(rng, variants), second, first)
        if people.sex[person] == MALE:
            on_x = haplotypes[variants.n_autosomal :, person]
            on_x[:, 1] = on_x[:, 0]
    copies = haplotypes[:, :, 0] + haplotypes[:, :, 1]
    counts_major = rng.random(len(variants)) < 0.3  # the effect allele is not the rarer one
    copies[counts_major] = 2 - copies[counts_major]
    return copies


def _mosaics(
    rng: Generator, settings: SimulationSettings, variants: SimulatedVariants, origin: Indices
) -> Calls:
    """Return founder haplotypes (m, h), each a mosaic of the pool of its population (h,)."""
    gaps = np.diff(variants.pos, prepend=0).astype(np.float64)
    gaps[np.diff(variants.chrom, prepend=-1) != 0] = np.inf
    pool = _ancestral_pool(rng, settings, np.exp(-gaps / settings.ld_length))
    source = np.zeros(origin.size, dtype=np.int64)
    alleles = np.empty((gaps.size, origin.size), dtype=np.int8)
    for j, chance in enumerate(1.0 - np.exp(-gaps / settings.switch_length)):
        anew = rng.random(origin.size) < chance
        source[anew] = rng.integers(0, settings.pool_size, int(anew.sum()))
        alleles[j] = pool[j, origin, source]
    return alleles


def _ancestral_pool(rng: Generator, settings: SimulationSettings, alike: Array) -> Calls:
    """Return the alleles (m, populations, pool_size) of the ancestral haplotypes.

    Each haplotype has a Gaussian score, correlated by `alike` (m,) with that at the variant
    before; those with the lowest (or highest) scores carry the allele, as many as its frequency
    asks for. So frequencies drift as Balding and Nichols have it, with F = fst, and no further.
    """
    m, drift = alike.size, (1.0 - settings.fst) / settings.fst
    rare = rng.random(m) < settings.rare_share
    maf = np.where(rare, rng.uniform(0.005, 0.05, m), rng.uniform(0.05, 0.5, m))
    shape = (m, _N_POPULATIONS, settings.pool_size)
    frequency = rng.beta(maf[:, None] * drift, (1 - maf)[:, None] * drift, shape[:2])
    carriers = np.floor(frequency * settings.pool_size + rng.random(shape[:2]))
    score = rng.standard_normal(shape)
    for j in range(1, m):
        score[j] = alike[j] * score[j - 1] + np.sqrt(1.0 - alike[j] ** 2) * score[j]
    score *= rng.choice((-1.0, 1.0), m)[:, None, None]
    rank = np.argsort(np.argsort(score, axis=2), axis=2)
    return np.asarray(rank < carriers[:, :, None], dtype=np.int8)


def _recombine(rng: Generator, variants: SimulatedVariants) -> Mask:
    """Return which of a parent's two haplotypes (m,) a gamete has, by Haldane's model."""
    offset = np.concatenate([[0], np.cumsum(_LAST)])
    breaks = np.sort(rng.uniform(0, offset[-1], rng.poisson(offset[-1] / _BASES_PER_CROSSOVER)))
    crossed = np.searchsorted(breaks, offset[variants.chrom] + variants.pos)
    phase = rng.integers(0, 2, len(CHROMOSOMES))  # chromosomes are passed on independently
    return np.asarray((crossed + phase[variants.chrom]) % 2 == 1)


def _lose_calls(rng: Generator, dosage: Calls, rate: float) -> Calls:
    """Return the calls with a fraction `rate` missing on a random half of the variants."""
    calls = dosage.copy()
    for j in rng.permutation(len(calls))[: len(calls) // 2]:
        calls[j, rng.random(calls.shape[1]) < rate] = MISSING
    return calls


def _causal(
    rng: Generator, trait: TraitSettings, dosage: Calls, rows: list[Indices]
) -> tuple[CausalVariant, ...]:
    """Return a common variant out of each set of rows, with an effect of the trait's shares."""
    causal = []
    for choice, share in zip(rows, trait.causal, strict=True):
        maf = 0.5 - np.abs(dosage[choice].mean(axis=1) / 2.0 - 0.5)
        row = int(rng.choice(choice[maf >= min(_COMMON_MAF, maf.max())]))
        size = trait.sd * float(np.sqrt(share / dosage[row].var()))
        causal.append(CausalVariant(row, size * float(rng.choice((-1.0, 1.0))), share))
    return tuple(causal)


def _trait(
    rng: Generator, trait: TraitSettings, people: SimulatedPeople, G: Calls, rows: list[Indices]
) -> SimulatedTrait:
    """Return one trait of all N people from autosomal dosage G (m, N), one causal of each rows."""
    n, variance = len(people), trait.sd**2
    fixed = trait.mean + trait.age * (people.age - 50.0) + trait.male * (people.sex == MALE)
    fixed += np.array(trait.site)[people.site] + np.array(trait.population)[people.population]
    causal, major = _causal(rng, trait, G, rows), np.zeros(n)
    for variant in causal:
        major += variant.effect * (G[variant.row] - G[variant.row].mean())
    sd = G.std(axis=1)
    per_copy = rng.standard_normal(sd.size) / np.where(sd > 0.0, sd, np.inf)
    polygenic = _scaled(per_copy @ G.astype(np.float64), trait.polygenic * variance)
    home = rng.standard_normal(int(people.family.max()) + 1)[people.family]
    noise_share = 1.0 - trait.polygenic - trait.family - sum(trait.causal)
    other = _scaled(home, trait.family * variance)
    other += _scaled(rng.standard_normal(n), noise_share * variance)
    observed = np.ones(n, dtype=np.bool_)
    observed[rng.choice(n, round(trait.missing * n), replace=False)] = False
    values = np.round(fixed + major + polygenic + other, 3)
    return SimulatedTrait(trait.name, values, observed, fixed, major, polygenic, other, causal)


def _scaled(values: Array, variance: float) -> Array:
    """Return the values with mean 0 and this variance."""
    centred = values - values.mean()
    return np.asarray(centred * np.sqrt(variance / np.mean(centred**2)))
