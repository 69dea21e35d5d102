"""The example on disk: what other tools read there is what was simulated."""

import runpy
from pathlib import Path

import bed_reader
import numpy as np
import pandas as pd
import pytest

from lmmgwas.errors import FileAccessError, OutputExistsError
from lmmgwas.model.genotypes import MISSING
from lmmgwas.model.simulate import CHROMOSOMES, NO_PARENT, SimulationSettings, simulate_study
from lmmgwas.pipeline.example import FILE_NAMES, bed_bytes, write_example

REPOSITORY = Path(__file__).resolve().parent.parent
SETTINGS = SimulationSettings(seed=5, n_families=10, n_unrelated=17, n_variants=600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("example") / "new" / "study"
    write_example(target, SETTINGS)
    return target


@pytest.fixture(scope="module")
def study():
    return simulate_study(SETTINGS)


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def test_writes_the_files_and_no_others(folder: Path, tmp_path: Path) -> None:
    paths = write_example(str(tmp_path), SETTINGS)
    assert [path.name for path in paths] == list(FILE_NAMES)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILE_NAMES)
    for path in paths:  # the same settings, the same bytes
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_bed_reader_sees_the_calls(folder: Path, study) -> None:
    with bed_reader.open_bed(folder / "study.bed", num_threads=1) as bed:
        calls = bed.read(dtype="int8").T
        assert bed.chromosome.tolist() == [CHROMOSOMES[k] for k in study.variants.chrom]
        assert bed.bp_position.tolist() == study.variants.pos.tolist()
        assert tuple(bed.sid) == study.variants.marker_id
        assert tuple(bed.allele_1) == study.variants.effect_allele
        assert tuple(bed.allele_2) == study.variants.other_allele
        assert bed.sex.tolist() == study.people.sex[: study.n_genotyped].tolist()
        assert tuple(bed.iid) == study.people.iid[: study.n_genotyped]
    np.testing.assert_array_equal(calls, study.calls)  # MISSING is bed-reader's own code


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8])
def test_bed_bytes_are_those_of_bed_reader(n: int, tmp_path: Path) -> None:
    calls = np.random.default_rng(n).choice(np.array([0, 1, 2, MISSING], np.int8), (7, n))
    bed_reader.to_bed(tmp_path / "x.bed", calls.T, num_threads=1)
    assert bed_bytes(calls) == (tmp_path / "x.bed").read_bytes()


def test_fam_names_the_parents(folder: Path, study) -> None:
    rows = [line.split("\t") for line in (folder / "study.fam").read_text().splitlines()]
    people = study.people
    assert len(rows) == study.n_genotyped
    for i, (fid, iid, father, mother, _, trait) in enumerate(rows):
        assert (fid, iid, trait) == (people.fid[i], people.iid[i], "-9")
        parents = people.father[i], people.mother[i]
        expected = ["0" if k == NO_PARENT else people.iid[k] for k in parents]
        assert [father, mother] == expected


def test_trait_table_is_what_was_observed(folder: Path, study) -> None:
    table = read_table(folder / "pheno.tsv")
    assert list(table.columns) == ["FID", "IID", "height", "ldl"]
    assert table["IID"].tolist() == [study.people.iid[i] for i in study.pheno_order]
    for trait in study.traits:
        column = table[trait.name].replace("NA", "nan").astype(float).to_numpy()
        expected = np.where(trait.observed, trait.values, np.nan)[study.pheno_order]
        np.testing.assert_allclose(column, expected, rtol=0, atol=1e-9)


def test_covariate_table_has_text_and_gaps(folder: Path, study) -> None:
    table = read_table(folder / "covar.tsv")
    assert list(table.columns) == ["FID", "IID", "age", "sex", "site"]
    assert len(table) == len(study.people)
    for name in ("age", "sex", "site"):
        assert (table[name] == "NA").sum() == 1
    assert set(table["sex"]) == {"F", "M", "NA"}
    assert set(table["site"]) == {"north", "south", "west", "NA"}
    in_fam = set(study.people.iid[: study.n_genotyped])
    assert len(set(table["IID"]) - in_fam) == SETTINGS.n_without_genotypes


def test_truth_points_at_the_causal_variants(folder: Path, study) -> None:
    table = read_table(folder / "truth.tsv")
    assert len(table) == sum(len(trait.causal) for trait in study.traits)
    variants = study.variants
    row_of = {marker: j for j, marker in enumerate(variants.marker_id)}
    effects = {(t.name, c.row): c for t in study.traits for c in t.causal}
    for row in table.itertuples():
        j = row_of[row.marker_id]
        assert row.chromosome == CHROMOSOMES[variants.chrom[j]]
        assert int(row.position) == variants.pos[j]
        assert row.effect_allele == variants.effect_allele[j]
        assert float(row.beta) == pytest.approx(effects[row.trait, j].effect, rel=1e-5)
        assert float(row.variance_share) == pytest.approx(effects[row.trait, j].share)


def test_text_is_plain_lines(folder: Path) -> None:
    for name in FILE_NAMES[1:]:
        data = (folder / name).read_bytes()
        assert data.endswith(b"\n")
        assert b"\r" not in data
        data.decode("utf-8")


def test_refuses_to_replace_unless_told(tmp_path: Path) -> None:
    (tmp_path / "covar.tsv").write_text("mine\n")
    with pytest.raises(OutputExistsError, match=r"covar\.tsv exists already") as caught:
        write_example(tmp_path, SETTINGS)
    assert caught.value.exit_code == 8
    assert caught.value.problems[0].code == "E113"
    assert [path.name for path in tmp_path.iterdir()] == ["covar.tsv"]
    assert (tmp_path / "covar.tsv").read_text() == "mine\n"
    write_example(tmp_path, SETTINGS, overwrite=True)
    assert (tmp_path / "covar.tsv").read_text().startswith("FID\t")


def test_says_when_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileAccessError, match="cannot create"):
        write_example(tmp_path / "file", SETTINGS)


def test_leaves_nothing_behind_on_failure(tmp_path: Path) -> None:
    (tmp_path / "study.bed").mkdir()  # cannot be replaced by a file
    with pytest.raises(OutputExistsError, match="is a folder"):
        write_example(tmp_path, SETTINGS, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["study.bed"]


def test_test_data_is_what_the_script_writes(tmp_path: Path) -> None:
    settings = runpy.run_path(str(REPOSITORY / "scripts" / "make_test_data.py"))["SETTINGS"]
    total = 0
    for path in write_example(tmp_path, settings):
        assert path.read_bytes() == (REPOSITORY / "test_data" / path.name).read_bytes(), path.name
        total += path.stat().st_size
    assert total < 3_000_000
