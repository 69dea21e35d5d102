"""The simulated study keeps the rules of heredity, and its truth is what it says."""

from dataclasses import replace

import numpy as np
import pytest

from lmmgwas.model.genotypes import MISSING
from lmmgwas.model.simulate import (
    CHROMOSOMES,
    FEMALE,
    MALE,
    NO_PARENT,
    SimulatedStudy,
    SimulationSettings,
    _recombine,
    simulate_study,
)

SETTINGS = SimulationSettings()


@pytest.fixture(scope="module")
def study() -> SimulatedStudy:
    return simulate_study(SETTINGS)


def founders_of(study: SimulatedStudy, population: int) -> np.ndarray:
    people = study.people
    return (people.father == NO_PARENT) & (people.population == population)


def children(study: SimulatedStudy, sex: int | None = None) -> np.ndarray:
    people = study.people
    is_child = people.father != NO_PARENT
    return np.flatnonzero(is_child if sex is None else is_child & (people.sex == sex))


def test_same_settings_same_study_and_another_seed_another() -> None:
    small = SimulationSettings(seed=3, n_families=5, n_unrelated=10, n_variants=400)
    one, two = simulate_study(small), simulate_study(small)
    other = simulate_study(replace(small, seed=4))
    np.testing.assert_array_equal(one.calls, two.calls)
    np.testing.assert_array_equal(one.pheno_order, two.pheno_order)
    for a, b in zip(one.traits, two.traits, strict=True):
        np.testing.assert_array_equal(a.values, b.values)
        np.testing.assert_array_equal(a.observed, b.observed)
    assert one.variants.pos.tolist() != other.variants.pos.tolist()


def test_shapes_and_types(study: SimulatedStudy) -> None:
    n_all = len(study.people)
    assert study.n_genotyped == n_all - SETTINGS.n_without_genotypes
    assert study.calls.shape == (SETTINGS.n_variants, study.n_genotyped)
    assert study.dosage.shape == (SETTINGS.n_variants, n_all)
    assert study.calls.dtype == study.dosage.dtype == np.int8
    assert set(np.unique(study.calls)) == {MISSING, 0, 1, 2}
    assert len(set(study.people.iid)) == n_all


def test_variants_lie_in_order_on_every_chromosome(study: SimulatedStudy) -> None:
    variants = study.variants
    assert np.all(np.diff(variants.chrom) >= 0)
    assert set(variants.chrom) == set(range(len(CHROMOSOMES)))
    for k in range(len(CHROMOSOMES)):
        assert np.all(np.diff(variants.pos[variants.chrom == k]) > 0)
    counts = np.bincount(variants.chrom)
    # GRCh38: chromosome 1 is 248956422 / 46709983 = 5.33 times as long as chromosome 21.
    assert counts[0] / counts[20] == pytest.approx(5.33, rel=0.03)
    assert variants.pos[variants.chrom == 0].max() <= 248956422
    on_x = variants.pos[variants.n_autosomal :]
    assert on_x.min() > 2781479  # end of the first pseudo-autosomal region
    assert on_x.max() < 155701383  # start of the second


def test_ids_ascend_and_alleles_differ(study: SimulatedStudy) -> None:
    variants = study.variants
    numbers = [int(marker.removeprefix("rs")) for marker in variants.marker_id]
    assert numbers == sorted(set(numbers))
    assert set(variants.effect_allele) == set(variants.other_allele) == set("ACGT")
    pairs = zip(variants.effect_allele, variants.other_allele, strict=True)
    assert all(effect != other for effect, other in pairs)


def test_families_hold_two_founders_and_two_or_three_children(study: SimulatedStudy) -> None:
    people = study.people
    sizes = np.bincount(people.family)
    assert set(sizes) == {1, 4, 5}
    assert np.count_nonzero(sizes > 1) == SETTINGS.n_families
    kids = children(study)
    assert np.all(people.sex[people.father[kids]] == MALE)
    assert np.all(people.sex[people.mother[kids]] == FEMALE)
    assert np.all(people.family[people.father[kids]] == people.family[kids])
    # Children are 22 years younger than their fathers at least.
    assert np.all(people.age[people.father[kids]] >= people.age[kids] + 22)
    assert set(people.population) == {0, 1, 2}


def test_children_inherit_one_allele_of_each_parent(study: SimulatedStudy) -> None:
    kids = children(study)
    autosomal = study.dosage[: study.variants.n_autosomal].astype(np.int64)
    child = autosomal[:, kids]
    mother = autosomal[:, study.people.mother[kids]]
    father = autosomal[:, study.people.father[kids]]
    # A parent with d copies passes on between d // 2 and (d + 1) // 2 of them.
    assert np.all(child >= mother // 2 + father // 2)
    assert np.all(child <= (mother + 1) // 2 + (father + 1) // 2)
    for parent in (mother, father):
        assert not np.any(np.abs(child - parent) == 2)


def test_x_passes_by_its_own_rules(study: SimulatedStudy) -> None:
    people = study.people
    on_x = study.dosage[study.variants.n_autosomal :].astype(np.int64)
    assert len(on_x) > 0
    assert not np.any(on_x[:, people.sex == MALE] == 1)
    assert np.any(on_x[:, people.sex == FEMALE] == 1)
    sons, daughters = children(study, MALE), children(study, FEMALE)
    assert not np.any(np.abs(on_x[:, sons] - on_x[:, people.mother[sons]]) == 2)
    # A daughter's copies, less the one X of her father, are what her mother gave: 0 or 1.
    from_mother = on_x[:, daughters] - on_x[:, people.father[daughters]] // 2
    assert set(np.unique(from_mother)) == {0, 1}
    # Sons owe their father nothing: they do differ from him altogether at some variants.
    assert np.any(np.abs(on_x[:, sons] - on_x[:, people.father[sons]]) == 2)


def test_about_one_crossover_for_each_chromosome_and_meiosis(study: SimulatedStudy) -> None:
    rng = np.random.default_rng(1)
    chrom, pos = study.variants.chrom, study.variants.pos
    within = np.diff(chrom) == 0
    gametes = [_recombine(rng, study.variants) for _ in range(200)]
    switches = sum(np.count_nonzero((np.diff(g) != 0) & within) for g in gametes) / 200
    # Haldane: an odd number of crossovers in d Morgans has probability (1 - exp(-2 d)) / 2, and
    # one Morgan is the mean autosome, 1.3e8 bases. SE: sqrt(17 / 200) = 0.29 per gamete.
    expected = np.sum(0.5 * (1.0 - np.exp(-2.0 * np.diff(pos)[within] / 1.3e8)))
    assert switches == pytest.approx(expected, abs=1.2)
    assert 15 < expected < len(CHROMOSOMES)  # the rest is double, or beyond the last variants
    # Either haplotype of the parent is passed on equally often: SE about 0.5 / sqrt(200 * 45).
    assert np.mean(gametes) == pytest.approx(0.5, abs=0.03)


def test_neighbours_are_in_linkage_disequilibrium(study: SimulatedStudy) -> None:
    G = study.dosage[: study.variants.n_autosomal, founders_of(study, 0)].astype(float)
    common = np.minimum(G.mean(axis=1), 2.0 - G.mean(axis=1)) > 0.2
    chrom, G = study.variants.chrom[: len(G)][common], G[common]
    Z = (G - G.mean(axis=1, keepdims=True)) / G.std(axis=1, keepdims=True)

    def mean_r2(lag: int) -> float:
        together = chrom[lag:] == chrom[:-lag]
        return float(np.mean(np.mean(Z[lag:] * Z[:-lag], axis=1)[together] ** 2))

    chance = 1.0 / G.shape[1]  # mean r2 of independent variants
    assert mean_r2(1) > 0.15
    assert mean_r2(1) > mean_r2(5) > mean_r2(10) > chance
    assert mean_r2(40) < 1.3 * chance


def test_populations_differ_by_the_fst_asked_for(study: SimulatedStudy) -> None:
    between = within = 0.0
    for a, b in ((0, 1), (0, 2), (1, 2)):
        p, q = (
            study.dosage[: study.variants.n_autosomal, founders_of(study, k)].mean(axis=1) / 2.0
            for k in (a, b)
        )
        n_p, n_q = (2 * np.count_nonzero(founders_of(study, k)) for k in (a, b))
        # Hudson's estimator as a ratio of sums (Bhatia et al. 2013)
        between += np.sum((p - q) ** 2 - p * (1 - p) / (n_p - 1) - q * (1 - q) / (n_q - 1))
        within += np.sum(p * (1 - q) + q * (1 - p))
    # About 4,000 variants in 160 independent regions: a standard error of a few per cent.
    assert between / within == pytest.approx(SETTINGS.fst, rel=0.25)


def test_frequencies_are_mostly_common_and_sometimes_rare(study: SimulatedStudy) -> None:
    af = study.dosage[:, : study.n_genotyped].mean(axis=1) / 2.0
    maf = np.minimum(af, 1.0 - af)
    assert np.mean(maf > 0.05) > 0.75
    assert np.mean((maf > 0.005) & (maf < 0.05)) > 0.08
    assert 0.25 < np.mean(af > 0.5) < 0.45  # the effect allele is not always the minor one


def test_half_of_the_variants_miss_one_call_in_a_hundred(study: SimulatedStudy) -> None:
    missing = study.calls == MISSING
    m = len(study.variants)
    affected = missing.any(axis=1)
    # 2,000 variants of about 420 calls: one in exp(4.2) = 67 of them loses none by chance.
    assert 0.46 * m < np.count_nonzero(affected) <= m // 2
    assert missing.sum() / (m // 2 * study.n_genotyped) == pytest.approx(0.01, rel=0.05)
    seen = study.dosage[:, : study.n_genotyped]
    np.testing.assert_array_equal(study.calls[~missing], seen[~missing])


def test_traits_are_the_sum_of_parts_with_the_shares_asked_for(study: SimulatedStudy) -> None:
    for trait, asked in zip(study.traits, SETTINGS.traits, strict=True):
        total = trait.fixed + trait.causal_part + trait.polygenic_part + trait.environment
        np.testing.assert_allclose(trait.values, total, rtol=0, atol=0.00051)  # three decimals
        assert trait.polygenic_part.var() == pytest.approx(asked.polygenic * asked.sd**2)
        spread = (trait.values - trait.fixed).std()
        assert spread == pytest.approx(asked.sd, rel=0.2)  # parts correlate a little by chance
        for causal in trait.causal:
            part = causal.effect * study.dosage[causal.row]
            assert part.var() == pytest.approx(causal.share * asked.sd**2)


def test_true_effects_come_back_from_the_parts(study: SimulatedStudy) -> None:
    for trait in study.traits:
        rows = [causal.row for causal in trait.causal]
        truth = np.array([causal.effect for causal in trait.causal])
        X = np.column_stack([np.ones(len(study.people)), study.dosage[rows].T.astype(float)])
        exact = np.linalg.lstsq(X, trait.causal_part, rcond=None)[0][1:]
        np.testing.assert_allclose(exact, truth, rtol=1e-9)
        y = trait.values - trait.fixed - trait.polygenic_part
        estimate = np.linalg.lstsq(X, y, rcond=None)[0]
        sigma2 = np.sum((y - X @ estimate) ** 2) / (len(y) - X.shape[1])
        se = np.sqrt(sigma2 * np.diag(np.linalg.inv(X.T @ X)))[1:]
        assert np.all(np.abs(estimate[1:] - truth) < 4.0 * se)
        assert np.all(np.abs(truth) > 4.0 * se)


def test_causal_variants_are_common_and_on_chromosomes_of_their_own(study: SimulatedStudy) -> None:
    rows = [causal.row for trait in study.traits for causal in trait.causal]
    assert all(3 <= len(trait.causal) <= 5 for trait in study.traits)
    chromosomes = study.variants.chrom[rows]
    assert len(set(chromosomes)) == len(rows)
    assert max(chromosomes) < 22  # none on X
    af = study.dosage[rows].mean(axis=1) / 2.0
    assert np.all(np.minimum(af, 1.0 - af) >= 0.2)


def test_some_people_are_missing_from_each_table(study: SimulatedStudy) -> None:
    n_all, n = len(study.people), study.n_genotyped
    listed = set(study.pheno_order.tolist())
    assert len(set(range(n)) - listed) == SETTINGS.n_without_traits
    assert listed >= set(range(n, n_all))  # in the table, not in the .fam
    assert sorted(study.covar_order) == list(range(n_all))
    for order in (study.pheno_order, study.covar_order):
        assert np.any(np.diff(order) < 0)
    gaps = study.covariate_gaps
    assert len({person for person, _ in gaps}) == SETTINGS.n_covariate_gaps
    assert {column for _, column in gaps} == {0, 1, 2}
    for trait, asked in zip(study.traits, SETTINGS.traits, strict=True):
        assert np.mean(~trait.observed) == pytest.approx(asked.missing, abs=0.5 / n_all)
    height, ldl = study.traits
    assert not np.array_equal(height.observed, ldl.observed)
