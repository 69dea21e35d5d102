"""Section F, genotype content: rows 102 to 112."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from conftest import MISSING, Study, StudyFiles, read_tsv

from catalogue.rows import Accepted, Elsewhere, Flagged, Look, Refused, Row, Spoil
from catalogue.spoil import study_with

VARIANT = 20  # an ordinary one: chromosome 1, rs1020


def calls(change: Callable[[np.ndarray], object]) -> Spoil:
    """Change the calls (m, n) of the study in place."""
    return study_with(lambda study: change(study.calls))


def one_variant(values: Callable[[int], np.ndarray], *given: object) -> Spoil:
    """Give VARIANT these calls, and the run these options."""

    def spoil(files: StudyFiles, study: Study) -> tuple[object, ...]:
        study.calls[VARIANT] = values(study.calls.shape[1])
        study.write(files.folder)
        return given

    return spoil


def carriers(n: int, *samples: int, missing: slice = slice(0, 0)) -> np.ndarray:
    """Calls of which these samples are heterozygous and all others have no copy."""
    found = np.zeros(n, dtype=int)
    found[list(samples)] = 1
    found[missing] = MISSING
    return found


def only(n: int, call: int) -> np.ndarray:
    """One sample called, the others missing."""
    found = np.full(n, MISSING)
    found[60] = call
    return found


def flipped(study: Study) -> None:
    """Half of the alleles of rs1020 are of one kind; on chromosome 2 all variants are swapped."""
    study.calls[VARIANT] = np.arange(118) % 3
    study.calls[VARIANT, -1] = 1
    rows = study.on("2")
    swapped = study.calls[rows]
    study.calls[rows] = np.where(swapped == MISSING, MISSING, 2 - swapped)
    for row in rows:
        study.effect[row], study.other[row] = study.other[row], study.effect[row]


def alleles_are_those_of_the_bim(files: StudyFiles, prefix: Path) -> None:
    """Column 5 is the effect allele, whatever is rarer, and frequencies are its own."""
    table = read_tsv(prefix.with_name("run.height.tsv.gz")).set_index("marker_id")
    lines = [line.split("\t") for line in files.bim.read_text().splitlines()]
    bim = {cells[1]: cells for cells in lines}
    shared = [marker for marker in table.index if marker in bim and marker != "."]
    assert len(shared) > 200
    for marker in shared:
        assert table.loc[marker, "effect_allele"] == bim[marker][4]
        assert table.loc[marker, "other_allele"] == bim[marker][5]
    frequency = table["effect_allele_frequency"].astype(float)
    assert frequency.min() < 0.5 < frequency.max()
    assert abs(frequency[f"rs{1000 + VARIANT}"] - 0.5) < 0.02


def n_is_the_number_of_calls(marker: str) -> Look:
    """The first nine samples have no call of this variant, all others have one."""

    def look(files: StudyFiles, prefix: Path) -> None:
        table = read_tsv(prefix.with_name("run.height.tsv.gz")).set_index("marker_id")
        samples = read_tsv(prefix.with_name("run.samples.tsv"))
        analysed = samples[(samples["analysed"] == "1") & ~samples["reason"].str.contains("height")]
        assert int(table.loc[marker, "n"]) == (analysed.index >= 9).sum()

    return look


def copies_have_the_same_row(files: StudyFiles, prefix: Path) -> None:
    table = read_tsv(prefix.with_name("run.height.tsv.gz")).set_index("marker_id")
    numbers = table[["beta", "standard_error", "neg_log_10_p_value"]].astype(float)
    # 1e-5 in -log10 p is the promise of single precision.
    np.testing.assert_allclose(numbers.loc["rs1021"], numbers.loc["rs1020"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(numbers.loc["rs1040"], numbers.loc["rs1020"], rtol=0, atol=1e-5)


def copy_variants(study: Study) -> None:
    study.calls[[21, 40]] = study.calls[20]
    for row in (21, 40):
        study.effect[row], study.other[row] = study.effect[20], study.other[20]


def twins(change: np.ndarray) -> None:
    """Three copies of one sample, and one of another without its missing calls."""
    change[:, [30, 61]] = change[:, [7]]
    change[:, 90] = np.where(change[:, 12] == MISSING, 0, change[:, 12])


def identical(change: np.ndarray) -> None:
    change[:] = change[:, [0]]


def few_calls(change: np.ndarray) -> None:
    """Two samples lack a third of their calls; each variant lacks few."""
    change[::3, 15] = MISSING
    change[1::3, 77] = MISSING


def lacking_often(change: np.ndarray) -> None:
    """Nine samples have no call at one variant of eight."""
    change[5::8, :9] = MISSING  # rs1021 among them


def contaminated(change: np.ndarray) -> None:
    """A sample with the alleles of two, and one without a heterozygous call."""
    change[:, 15] = np.where(change[:, 15] == MISSING, MISSING, 1)
    change[:, 77] = np.where(change[:, 77] == 1, 2, change[:, 77])


def first_samples(n: int) -> Spoil:
    return study_with(lambda study: study.take_samples(np.arange(n)))


NAME = f"rs{1000 + VARIANT}"

ROWS: tuple[Row | Elsewhere, ...] = (
    Row(102, "monomorphic", one_variant(lambda n: np.full(n, 2)), Flagged("MONOMORPHIC", (NAME,))),
    Row(
        102,
        "all heterozygous",
        one_variant(lambda n: np.full(n, 1)),
        Flagged("MONOMORPHIC", (NAME,)),
    ),
    Row(
        103,
        "all missing",
        one_variant(lambda n: np.full(n, MISSING)),
        Flagged("ALL_MISSING", (NAME,)),
    ),
    Row(
        104,
        "one called genotype",
        one_variant(lambda n: only(n, 1), "--geno", 1),
        Flagged("MONOMORPHIC", (NAME,)),
    ),
    Row(
        104,
        "one called genotype under --geno",
        one_variant(lambda n: only(n, 1)),
        Flagged("HIGH_MISSING", (NAME,)),
    ),
    Row(
        104,
        "few copies",
        one_variant(lambda n: carriers(n, 10, 20, 30, 40)),
        Flagged("LOW_MAC", (NAME,)),
    ),
    Row(
        104,
        "fewer copies than --mac",
        one_variant(lambda n: carriers(n, *range(10, 40)), "--mac", 31),
        Flagged("LOW_MAC", (NAME,)),
    ),
    Row(
        105,
        "singleton",
        one_variant(lambda n: carriers(n, 40), "--mac", 1),
        Accepted("W219", ("fewer than 20 copies", "--mac")),
    ),
    Row(106, "half of the alleles, and swapped ones", study_with(flipped),
        Accepted(look=alleles_are_those_of_the_bim)),
    Elsewhere(106, "swapped alleles flip beta", "test_cli.py::test_swapped_alleles_flip_beta_only"),
    Row(
        107,
        "missing calls of a variant",
        one_variant(lambda n: carriers(n, *range(20, 60), missing=slice(0, 9))),
        Accepted(None, ("more than 5% of their calls missing",), n_is_the_number_of_calls(NAME)),
    ),
    Row(
        107,
        "missing calls of many variants",
        calls(lacking_often),
        Accepted(
            "W220", ("more than 5% of their calls missing",), n_is_the_number_of_calls("rs1021")
        ),
    ),
    Row(
        107,
        "many missing calls",
        one_variant(lambda n: carriers(n, *range(40, 80), missing=slice(0, 15))),
        Flagged("HIGH_MISSING", (NAME,)),
    ),
    Row(
        108,
        "duplicates",
        calls(twins),
        Accepted("W310", ("4 pairs of samples", "F01 S007 and F05 S030", "F02 S012 and F15 S090")),
    ),
    Row(
        108,
        "duplicates, in the GRM alone",
        calls(twins),
        Accepted("W310", ("4 pairs of samples", "F01 S007 and F05 S030", "F02 S012 and F15 S090")),
        command="grm",
    ),
    Row(109, "all samples identical", calls(identical), Refused(5, "E216", ("polymorphic",))),
    Row(
        110,
        "samples with many missing calls",
        calls(few_calls),
        Accepted("W308", ("2 of 118 samples", "F02 S015 (3", "F12 S077 (3", "--mind 0.2")),
    ),
    Row(
        110,
        "outlying heterozygosity",
        calls(contaminated),
        Accepted("W309", ("2 of 118 samples", "F02 S015 (1.000)", "F12 S077 (0.000)", "--remove")),
    ),
    Row(111, "nine samples", first_samples(9), Refused(5, "E307", ("at least 10",))),
    Row(111, "forty samples", first_samples(40), Accepted("W307", ("power will be low",))),
    Row(112, "copies of a variant", study_with(copy_variants),
        Accepted(look=copies_have_the_same_row)),
    Elsewhere(112, "copies of a variant, by precision",
              "test_model_scan.py::test_duplicated_variant_gives_the_same_row"),
)  # fmt: skip
