"""Labels of chromosomes: one name per chromosome, its role and its LOCO group."""

import numpy as np
import pytest

from lmmgwas.errors import MismatchError, UsageError
from lmmgwas.model.chromosomes import (
    MERGED_CONTIGS,
    Chromosome,
    Karyotype,
    Role,
    arrange,
    classify,
    label_table,
    merged_name,
)

HUMAN = Karyotype()
MOUSE = Karyotype.of("mouse", None)


@pytest.mark.parametrize(
    ("label", "name", "role"),
    [
        ("1", "1", Role.AUTOSOME),
        ("01", "1", Role.AUTOSOME),
        ("chr1", "1", Role.AUTOSOME),
        ("CHR01", "1", Role.AUTOSOME),
        ("Chr22", "22", Role.AUTOSOME),
        ("23", "X", Role.X),
        ("X", "X", Role.X),
        ("chrx", "X", Role.X),
        ("24", "Y", Role.Y),
        ("chrY", "Y", Role.Y),
        ("25", "XY", Role.XY),
        ("XY", "XY", Role.XY),
        ("PAR1", "XY", Role.XY),
        ("par2", "XY", Role.XY),
        ("26", "MT", Role.MT),
        ("MT", "MT", Role.MT),
        ("chrM", "MT", Role.MT),
        ("0", "0", Role.UNPLACED),
        ("00", "0", Role.UNPLACED),
        ("chr0", "0", Role.UNPLACED),
        (".", "0", Role.UNPLACED),
        ("", "0", Role.UNPLACED),
        ("Un", "0", Role.UNPLACED),
        ("chrUn", "0", Role.UNPLACED),
        ("chrUn_KI270742v1", "chrUn_KI270742v1", Role.AUTOSOME),
        ("scaffold_12", "scaffold_12", Role.AUTOSOME),
        ("chr", "chr", Role.AUTOSOME),
        ("2L", "2L", Role.AUTOSOME),
        ("1²", "1²", Role.AUTOSOME),
    ],
)
def test_human_labels(label: str, name: str, role: Role) -> None:
    assert classify(label, HUMAN) == (name, role)


@pytest.mark.parametrize(
    ("label", "name", "role"),
    [
        ("19", "19", Role.AUTOSOME),
        ("20", "X", Role.X),
        ("21", "Y", Role.Y),
        ("22", "XY", Role.XY),
        ("23", "MT", Role.MT),
        ("chrX", "X", Role.X),
    ],
)
def test_mouse_labels(label: str, name: str, role: Role) -> None:
    assert classify(label, MOUSE) == (name, role)


@pytest.mark.parametrize(("karyotype", "label"), [(HUMAN, "27"), (HUMAN, "chr99"), (MOUSE, "24")])
def test_number_beyond_the_sex_chromosomes(karyotype: Karyotype, label: str) -> None:
    with pytest.raises(MismatchError, match=r"E210.*--autosomes"):
        classify(label, karyotype)


def test_karyotype_of_options() -> None:
    assert Karyotype.of(None, None) == Karyotype(22, stated=False)
    assert Karyotype.of("cow", None) == Karyotype(29, stated=True)
    assert Karyotype.of(None, 5) == Karyotype(5, stated=True)
    assert Karyotype.of("human", None).is_human
    assert not MOUSE.is_human
    with pytest.raises(UsageError, match="E001"):
        Karyotype.of("dog", 38)


def arranged(
    counts: dict[str, int], karyotype: Karyotype = HUMAN, least: int = 10
) -> tuple[tuple[Chromosome, ...], dict[str, int]]:
    table = label_table(tuple(counts), np.array(list(counts.values())), karyotype)
    return arrange(table, karyotype, least)


def test_label_table_keeps_the_file_s_order() -> None:
    table = label_table(("chrX", "02"), np.array([5, 3]), HUMAN)
    assert [(r.label, r.name, r.role, r.n_variants) for r in table] == [
        ("chrX", "X", Role.X, 5),
        ("02", "2", Role.AUTOSOME, 3),
    ]


def test_output_order_of_a_human_study() -> None:
    counts = dict.fromkeys(["MT", "10", "X", "2", "0", "Y", "1", "XY"], 20)
    chromosomes, index_of = arranged(counts)
    assert [c.name for c in chromosomes] == ["1", "2", "10", "23", "24", "25", "0"]
    x = chromosomes[index_of["X"]]
    assert index_of["XY"] == index_of["X"]
    assert (x.role, x.group) == (Role.X, "X")
    assert chromosomes[index_of["MT"]].name == "25"


def test_names_of_another_species() -> None:
    chromosomes, _ = arranged(dict.fromkeys(["22", "1", "20", "21", "23"], 20), MOUSE)
    assert [c.name for c in chromosomes] == ["1", "X", "Y", "MT"]


def test_two_labels_of_one_chromosome_are_one_group() -> None:
    chromosomes, index_of = arranged({"chr1": 6, "01": 5, "2": 30})
    assert [c.name for c in chromosomes] == ["1", "2"]
    assert index_of["chr1"] == index_of["01"] == 0


def test_small_contigs_are_merged_and_stand_together_last() -> None:
    counts = {"tiny_b": 3, "2": 30, "big": 15, "tiny_a": 9, "MT": 4, "edge": 10}
    chromosomes, _ = arranged(counts)
    assert [c.name for c in chromosomes] == ["2", "big", "edge", "tiny_a", "tiny_b", "25"]
    groups = [c.group for c in chromosomes]
    merged = merged_name({"tiny_a", "tiny_b"})
    assert groups == ["2", "big", "edge", merged, merged, "MT"]
    assert merged.startswith(MERGED_CONTIGS)
    assert merged != merged_name({"tiny_a", "other"})


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param({"1": 30, "tiny": 3}, id="one-small-contig"),
        pytest.param({"a": 3, "b": 4, "c": 5}, id="nothing-else"),
        pytest.param({"1": 3, "2": 4}, id="numbered"),
    ],
)
def test_contigs_that_are_not_merged(counts: dict[str, int]) -> None:
    chromosomes, _ = arranged(counts)
    assert [c.group for c in chromosomes] == list(counts)
