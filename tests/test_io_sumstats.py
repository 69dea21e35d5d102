"""The rows of the summary statistics: numbers as text, IDs, places and the index."""

import gzip
import itertools
import math
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pysam
import pytest
from row_oracle import table_of, variants

from lmmgwas.errors import FileAccessError
from lmmgwas.io.row_text import VariantText
from lmmgwas.io.sumstats import (
    COLUMNS,
    BlockedTable,
    PackedRows,
    ResultRows,
    format_excluded,
    format_rows,
    format_table,
    format_value,
    index_suffix,
    marker_ids,
    p_text,
)
from lmmgwas.model.chromosomes import Karyotype
from lmmgwas.model.genotypes import REASONS, Reason, Variants


def exact(neg_log10_p: float) -> Decimal:
    """10^-x to 40 digits."""
    with localcontext() as context:
        context.prec = 40
        return Decimal(10) ** -Decimal(neg_log10_p)


@pytest.mark.parametrize(
    "neg_log10_p",
    [
        *(0.0, 1e-9, 0.30103, 1.0, 5.0, 12.345678, 300.5, 306.999999, 307.0, 307.0001, 307.5),
        *(308.0, 308.2, 323.7, 400.1, 411.910095, 412.0, 999.25, 5000.75, 123456.789),
    ],
)
def test_p_is_decimal_text_that_is_never_zero(neg_log10_p: float) -> None:
    """Right to the 8 digits shown; the exponent alone loses digits of the fraction."""
    text = p_text(neg_log10_p)
    found = Decimal(text)
    assert found > 0
    # Half a unit of the 8th digit, and the spacing of doubles at x times ln 10.
    bound = Decimal("5.1e-8") + Decimal(3 * math.ulp(neg_log10_p))
    assert abs(found / exact(neg_log10_p) - 1) <= bound
    mantissa = text.split("e")[0]
    assert len(mantissa.replace(".", "").lstrip("0")) <= 8


@pytest.mark.parametrize(
    ("neg_log10_p", "expected"),
    [
        (0.0, "1"),
        (1.0, "0.1"),
        (8.0, "1e-08"),
        (412.0 - math.log10(1.23), "1.23e-412"),
        (400.0, "1e-400"),
        # The mantissa rounds to 10: it must be written 1, one exponent up.
        (399.0 + 1e-12, "1e-399"),
        (1234.0 + 1e-10, "1e-1234"),
    ],
)
def test_p_as_it_is_written(neg_log10_p: float, expected: str) -> None:
    assert p_text(neg_log10_p) == expected


def test_p_does_not_jump_where_doubles_end() -> None:
    """p falls steadily through 1e-307 and 1e-308, where the way of writing changes."""
    values = np.linspace(306.5, 308.5, 2001)
    texts = [Decimal(p_text(float(v))) for v in values]
    assert all(a > b for a, b in itertools.pairwise(texts))


HUMAN = Karyotype()
ROWS = [
    ("X", 500, "rs5", "A", "G"),
    ("2", 900, "rs12", "T", "C"),
    ("2", -9, "2_Affx", "<DEL>", "C"),
    ("1", 70, ".", "AT", "A"),
    ("1", 20, "RS7", "G", "T"),
    ("MT", 3, "rs9x", "G", "T"),
    ("0", 44, ".", "C", "T"),
]


def results(table: Variants) -> ResultRows:
    m = len(table)
    return ResultRows(
        table,
        beta=np.linspace(-1.0, 1.0, m) / 3,
        se=np.full(m, 1e-5 / 3),
        af=np.full(m, 2 / 3),
        n_observed=np.arange(m) + 100,
        neg_log10_p=np.full(m, 400.25),
    )


def lines(rows: ResultRows) -> list[str]:
    text = VariantText.of(rows.variants)
    return format_rows(text, np.arange(len(text)), rows).data.decode().splitlines()


def test_rows_are_in_the_order_of_the_columns() -> None:
    found = lines(results(variants(ROWS, HUMAN)))
    rows = [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in found]
    first = rows[0]
    assert first == {
        "chromosome": "1",
        "base_pair_location": "20",
        "effect_allele": "G",  # column 5 of the .bim
        "other_allele": "T",
        "beta": "-0.33333333",
        "standard_error": "3.3333333e-06",
        "effect_allele_frequency": "0.66666667",
        "p_value": "5.6234133e-401",
        "rsid": "#NA",
        "ref_allele": "#NA",
        "n": "100",
        "neg_log_10_p_value": "400.25",
        "marker_id": "RS7",
    }
    assert [row["chromosome"] for row in rows] == ["1", "1", "2", "2", "23", "25", "0"]
    assert [row["base_pair_location"] for row in rows] == ["20", "70", "0", "900", "500", "3", "44"]
    assert [row["rsid"] for row in rows] == ["#NA", "#NA", "#NA", "rs12", "rs5", "#NA", "#NA"]
    assert rows[2]["effect_allele"] == "<DEL>"


def test_variants_without_a_name_get_their_place_and_alleles() -> None:
    found = marker_ids(variants(ROWS, HUMAN))
    assert found == ["RS7", "1:70:AT:A", "2_Affx", "rs12", "rs5", "rs9x", "0:44:C:T"]


def test_other_species_keep_their_letters() -> None:
    table = variants(
        [("X", 5, "a", "A", "G"), ("19", 7, "b", "A", "G")], Karyotype.of("mouse", None)
    )
    assert [line.split("\t")[0] for line in lines(results(table))] == ["19", "X"]


def test_excluded_rows_name_the_reason() -> None:
    text = VariantText.of(variants(ROWS, HUMAN))
    reasons = np.array([REASONS.index(Reason.LOW_MAC), REASONS.index(Reason.MONOMORPHIC)], np.int8)
    found = format_excluded(text, np.array([0, 2]), reasons)
    assert found == b"1\t20\tRS7\tLOW_MAC\n2\t0\t2_Affx\tMONOMORPHIC\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "NA"),
        (math.nan, "NA"),
        (1 / 3, "0.33333333"),
        (0.0, "0"),
        (123456789.5, "1.2345679e+08"),
        (7, "7"),
        (123456789, "123456789"),  # counts are whole
        ("all", "all"),
    ],
)
def test_cells_of_small_tables(value: object, expected: str) -> None:
    assert format_value(value) == expected


def test_small_tables_are_tab_separated() -> None:
    assert format_table(["a", "b"], [[1, None], ["x", 0.5]]) == "a\tb\n1\tNA\nx\t0.5\n"


@pytest.mark.parametrize(
    ("largest", "suffix"),
    [(0, ".tbi"), (248_956_422, ".tbi"), (536_870_911, ".tbi"), (536_870_912, ".csi")],
)
def test_positions_choose_the_index(largest: int, suffix: str) -> None:
    assert index_suffix(largest) == suffix


@pytest.mark.parametrize("largest", [1000, 536_870_911, 536_870_912, 2**31 - 1])
def test_the_last_position_is_found_through_the_index(tmp_path: Path, largest: int) -> None:
    suffix = index_suffix(largest)
    index = tmp_path / f"t.tsv.gz{suffix}"
    rows = [("1", -9, "unknown", "A", "C"), ("1", 1, "first", "A", "C")]
    rows += [("1", largest, "last", "A", "C"), ("2", 5, "other", "A", "C")]
    table = variants(rows, HUMAN)
    written = table_of(table, [3, 3, 4], tmp_path / "t.tsv.gz")  # an empty piece, too
    assert written.n_rows == 4
    written.write_index(index, csi=suffix == ".csi")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.tsv.gz", index.name]
    with pysam.TabixFile(str(written.path), index=str(index)) as indexed:
        found = [line.split("\t")[12] for line in indexed.fetch("1", largest - 1, largest)]
        assert found == ["last"]
        assert [line.split("\t")[12] for line in indexed.fetch("1", 0, 1)][-1] == "first"
        assert [line.split("\t")[12] for line in indexed.fetch("2")] == ["other"]
    lines = gzip.decompress(written.path.read_bytes()).decode().splitlines()
    assert lines[0].startswith("chromosome")
    assert len(lines) == 5


def test_a_table_without_rows_can_be_indexed(tmp_path: Path) -> None:
    table = BlockedTable(tmp_path / "t.tsv.gz", COLUMNS)
    table.close()
    table.write_index(tmp_path / "t.tsv.gz.tbi", csi=False)
    with pysam.TabixFile(str(table.path)) as indexed:
        assert indexed.contigs == []


def test_the_same_pieces_are_the_same_bytes(tmp_path: Path) -> None:
    """And other pieces, the same text."""
    table = variants([("1", k + 1, f"rs{k}" * (k % 9 + 1), "A", "G") for k in range(5000)], HUMAN)
    found, texts = [], []
    for name, size in (("a", 1000), ("b", 1000), ("c", 77)):
        ends = [*range(size, 5000, size), 5000]
        found.append(table_of(table, ends, tmp_path / name).path.read_bytes())
        texts.append(gzip.decompress(found[-1]))
    assert found[0] == found[1]
    assert texts[0] == texts[2]


def test_the_place_of_a_table_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="E111"):
        BlockedTable(tmp_path / "no" / "t.gz", COLUMNS)
    table = BlockedTable(tmp_path / "t.gz", COLUMNS)
    table.close()
    table.close()
    with pytest.raises(FileAccessError, match=r"writing .* failed: .*; "):
        table.write_index(tmp_path / "no" / "t.gz.tbi", csi=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_reported() -> None:
    table = BlockedTable(Path("/dev/full"), COLUMNS)
    with pytest.raises(FileAccessError, match="No space"):
        table.write(PackedRows((b"x" * 100_000,), 1))
    with pytest.raises(FileAccessError, match="No space"):
        table.close()
