"""The GWAS-SSF sidecar, and when a table is none."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lmmgwas.io.metadata import StudyDescription, TableFacts, format_sidecar, reasons_not_ssf
from lmmgwas.model.chromosomes import Karyotype
from lmmgwas.model.genotypes import RawVariants, Variants, arrange_variants

FACTS = TableFacts(
    trait="height",
    n_samples=479,
    covariates=("age", "site=north"),
    maf_limit=0.01,
    software="lmmgwas 1.2.3",
    valid=True,
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / ".run.height.tsv.gz.0123.tmp"
    path.write_bytes(b"anything")
    return path


def sidecar(table: Path, facts: TableFacts = FACTS, **about: str) -> str:
    return format_sidecar(table, "run.height.tsv.gz", facts, StudyDescription(**about))


def value(text: str, key: str) -> str:
    found = re.search(rf"(?m)^\s*(?:- )?{key}:(.*(?:\n\s+- .*)*)", text)
    assert found, key
    return found[1].strip()


def test_facts_are_there(table: Path) -> None:
    text = sidecar(table)
    digest = hashlib.md5(b"anything", usedforsecurity=False).hexdigest()
    assert value(text, "data_file_name") == '"run.height.tsv.gz"'  # not the temporary name
    assert value(text, "data_file_md5sum") == digest
    assert value(text, "sample_size") == "479"
    assert value(text, "file_type") == "GWAS-SSF v1.0"
    assert value(text, "analysis_software") == '"lmmgwas 1.2.3"'
    assert value(text, "adjusted_covariates").split() == ["-", '"age"', "-", '"site=north"']
    assert value(text, "minor_allele_freq_lower_limit") == "0.01"
    assert value(text, "coordinate_system") == "1-based"
    assert value(text, "is_harmonised") == "false"
    assert value(text, "is_sorted") == "true"


def test_what_the_user_did_not_say_is_not_reported(table: Path) -> None:
    text = sidecar(table)
    assert value(text, "genome_assembly") == '"NR"'
    assert value(text, "sample_ancestry") == '- "NR"'
    assert value(text, "trait_description") == '- "height"'


def test_what_the_user_said(table: Path) -> None:
    text = sidecar(
        table, genome_build="GRCh38", ancestry="Sami", trait_description='Height: "standing"\n#1'
    )
    assert value(text, "genome_assembly") == '"GRCh38"'
    assert value(text, "sample_ancestry") == '- "Sami"'
    # A JSON string is a YAML string, whatever it holds.
    assert json.loads(value(text, "trait_description")[2:]) == 'Height: "standing"\n#1'


def test_without_covariates_and_not_valid(table: Path) -> None:
    facts = TableFacts("y", 10, (), 0.0, "lmmgwas", valid=False)
    text = sidecar(table, facts)
    assert value(text, "adjusted_covariates") == "[]"
    assert value(text, "file_type") == "non-GWAS-SSF"
    assert value(text, "minor_allele_freq_lower_limit") == "0"


@pytest.mark.parametrize(
    ("epoch", "day"),
    [("0", "1970-01-01"), ("1700000000", "2023-11-14"), ("86399", "1970-01-01")],
)
def test_the_date_can_be_fixed(
    table: Path, monkeypatch: pytest.MonkeyPatch, epoch: str, day: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    assert value(sidecar(table), "date_metadata_last_modified") == day


@pytest.mark.parametrize("epoch", ["", "yesterday", "-5", "1.5"])
def test_otherwise_it_is_a_date(table: Path, monkeypatch: pytest.MonkeyPatch, epoch: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    day = value(sidecar(table), "date_metadata_last_modified")
    assert re.fullmatch(r"20[2-9][0-9]-[01][0-9]-[0-3][0-9]", day)


def variants(
    labels: list[str], *, effect: str = "A", other: str = "g", karyotype: Karyotype | None = None
) -> Variants:
    m = len(labels)
    raw = RawVariants(
        labels=tuple(labels),
        label_code=np.arange(m, dtype=np.int32),
        pos=np.arange(1, m + 1),
        marker_id=pa.array([f"rs{k}" for k in range(m)]),
        effect_allele=pa.array([effect] * m),
        other_allele=pa.array(["T"] * (m - 1) + [other]),
    )
    return arrange_variants(raw, karyotype or Karyotype(), 1)[0]


AUTOSOMES = [str(k) for k in range(1, 23)]


@pytest.mark.parametrize("more", [[], ["X"], ["X", "Y", "MT"], ["chr23"]])
def test_valid_tables(more: list[str]) -> None:
    assert reasons_not_ssf(variants(AUTOSOMES + more), is_human=True) == []


@pytest.mark.parametrize(
    ("table", "is_human", "words"),
    [
        (variants(AUTOSOMES), False, ["not human"]),
        (variants(AUTOSOMES[:20]), True, ["chromosome 21, 22 missing"]),
        (variants([*AUTOSOMES, "HLA_1"]), True, ["chromosome HLA_1 not among 1 to 25"]),
        (variants([*AUTOSOMES, "0"]), True, ["chromosome 0 not among 1 to 25"]),
        (variants(AUTOSOMES, effect="I"), True, ["22 variants with alleles other than"]),
        (variants(AUTOSOMES, other="<DEL>"), True, ["1 variants with alleles other than"]),
        (variants(AUTOSOMES[1:], other="0"), True, ["chromosome 1 missing", "1 variants"]),
    ],
    ids=["species", "chromosomes", "contig", "unplaced", "letters", "symbolic", "two reasons"],
)
def test_tables_that_are_not_valid(table: Variants, is_human: bool, words: list[str]) -> None:
    reasons = reasons_not_ssf(table, is_human=is_human)
    assert len(reasons) == len(words)
    for reason, word in zip(reasons, words, strict=True):
        assert word in reason


def test_a_table_without_rows_is_not_valid() -> None:
    reasons = reasons_not_ssf(variants(AUTOSOMES).take([]), is_human=True)
    assert len(reasons) == 1
    assert "missing" in reasons[0]
