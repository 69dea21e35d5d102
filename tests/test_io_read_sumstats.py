"""Tests of reading our tables again: what is read, and what is refused and where."""

import gzip
import json
import math
import os

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmmgwas.errors import FileAccessError, FormatError, LmmgwasError
from lmmgwas.io import blocks
from lmmgwas.io.read_sumstats import as_written, read_rows, read_sidecar, read_sumstats

HEADER = "chromosome\tbase_pair_location\tn\tp_value\tneg_log_10_p_value\tmarker_id"
ROWS = [
    ["2", "300", "99", "0.01", "2.25", "rs1"],
    ["X", "0", "100", "NA", "#NA", "rs2"],
    ["10", "5", "#NA", "1.5e-412", "411.82391", "rs3"],
    ["2", "2147483647", "7", "1", "0", "rs4"],
]
NEG_LOG10_P = 5  # field


def text(rows=ROWS, header=HEADER, end="\n"):
    return end.join([header, *("\t".join(row) for row in rows)]) + end


def without(name):
    """The table without one column."""
    names = HEADER.split("\t")
    k = names.index(name)
    rows = [row[:k] + row[k + 1 :] for row in ROWS]
    return text(rows, "\t".join(names[:k] + names[k + 1 :]))


def with_cell(row, name, cell):
    """The table with one cell changed."""
    rows = [list(cells) for cells in ROWS]
    rows[row][HEADER.split("\t").index(name)] = cell
    return text(rows)


def with_p(cell):
    """A table whose p is in p_value only, one cell changed."""
    rows = [[*row[:3], row[3], row[5]] for row in ROWS]
    rows[2][3] = cell
    return text(rows, HEADER.replace("\tneg_log_10_p_value", ""))


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_reads_what_a_plot_needs(tmp_path):
    table = read_sumstats(write(tmp_path / "t.tsv", text()))
    assert table.labels == ("2", "X", "10")
    assert [table.labels[k] for k in table.chrom] == ["2", "10", "2"]
    assert table.pos.tolist() == [300, 5, 2147483647]
    assert table.neg_log10_p.tolist() == [2.25, 411.82391, 0.0]
    assert table.line.tolist() == [2, 4, 5]
    assert (table.n_samples, table.n_skipped) == (100, 1)
    assert read_rows(table, np.array([2, 0])) == [ROWS[3], ROWS[0]]
    assert read_rows(table, np.array([], np.int64)) == []


def test_takes_p_values_where_there_is_no_logarithm(tmp_path):
    path = write(tmp_path / "t.tsv", without("neg_log_10_p_value"))
    values = read_sumstats(path).neg_log10_p
    np.testing.assert_allclose(values, [2.0, 412 - math.log10(1.5), 0.0], rtol=1e-15)
    assert not np.signbit(values).any()


@pytest.mark.parametrize("p", ["5e-324", "1e-309", "0.00012E-320", "1e-2000", "4.2e-299"])
def test_small_p_keeps_its_digits(tmp_path, p):
    value = read_sumstats(write(tmp_path / "t.tsv", with_p(p))).neg_log10_p[1]
    mantissa, exponent = p.lower().split("e")
    assert value == pytest.approx(-int(exponent) - math.log10(float(mantissa)), rel=1e-14)


@pytest.mark.parametrize("block", [7, 40, 1 << 23])
@pytest.mark.parametrize("kind", ["plain", "gzip", "members", "bgzf", "crlf", "bom", "open end"])
def test_form_and_block_size_change_nothing(tmp_path, monkeypatch, kind, block):
    monkeypatch.setattr(blocks, "_BLOCK", block)
    expected = text().encode()
    path = tmp_path / "t.tsv.gz"
    if kind == "bgzf":
        with pysam.BGZFile(str(path), "w") as stream:
            stream.write(expected)
    else:
        write(
            path,
            {
                "plain": expected + b"\n \n",
                "gzip": gzip.compress(expected),
                "members": gzip.compress(expected[:70]) + gzip.compress(expected[70:]),
                "crlf": expected.replace(b"\n", b"\r\n"),
                "bom": b"\xef\xbb\xbf" + expected,
                "open end": expected[:-1],
            }[kind],
        )
    table = read_sumstats(path)
    assert table.labels == ("2", "X", "10")
    assert table.pos.tolist() == [300, 5, 2147483647]
    assert table.line.tolist() == [2, 4, 5]
    assert read_rows(table, np.arange(3)) == [ROWS[0], ROWS[2], ROWS[3]]
    assert len(table.remarks.notes) == (kind in ("crlf", "bom"))


HOSTILE = {
    "no chromosome": (without("chromosome"), "E420", ":1:5", "'chromosome'"),
    "no position": (without("base_pair_location"), "E420", ":1:5", "'base_pair_location'"),
    "no n": (without("n"), "E420", ":1:5", "'n'"),
    "no p": (
        text([r[:3] for r in ROWS], "\t".join(HEADER.split("\t")[:3])),
        "E420",
        ":1:3",
        "'neg_log_10_p_value' or 'p_value'",
    ),
    "commas": (text().replace("\t", ","), "E420", ":1:1", "tabs separate"),
    "a misspelt column": (text().replace("chromosome", "Chromosome"), "E420", ":1:6", "Chromosome"),
    "a column twice": (text().replace("marker_id", "n"), "E421", ":1:6", "'n' twice"),
    "an excluded table": (
        "chromosome\tbase_pair_location\tmarker_id\treason\n",
        "E420",
        ":1:4",
        "PREFIX.TRAIT.tsv.gz",
    ),
    "a field too few": (text().replace("\trs3", ""), "E422", ":4:5", "5 fields, where 6"),
    "a field too many": (text().replace("rs3", "rs3\t1"), "E422", ":4:6", "7 fields, where 6"),
    "a blank line": (text().replace("\n2\t2147", "\n\n2\t2147"), "E422", ":5:1", "blank line"),
    "text in -log10 p": (
        with_cell(3, "neg_log_10_p_value", "high"),
        "E423",
        ":5:5",
        "'high' is not a number",
    ),
    "empty -log10 p": (with_cell(3, "neg_log_10_p_value", ""), "E423", ":5:5", "''"),
    "nan": (with_cell(3, "neg_log_10_p_value", "nan"), "E423", ":5:5", "'nan'"),
    "infinite": (with_cell(3, "neg_log_10_p_value", "1e999"), "E423", ":5:5", "'1e999'"),
    "inf": (with_cell(3, "neg_log_10_p_value", "inf"), "E423", ":5:5", "'inf'"),
    "hexadecimal": (with_cell(3, "neg_log_10_p_value", "0x1p3"), "E423", ":5:5", "'0x1p3'"),
    "a padded number": (with_cell(3, "neg_log_10_p_value", " 1"), "E423", ":5:5", "' 1'"),
    "a decimal comma": (with_cell(3, "neg_log_10_p_value", "1,5"), "E423", ":5:5", "'1,5'"),
    "negative -log10 p": (with_cell(3, "neg_log_10_p_value", "-1"), "E423", ":5:5", "0 or more"),
    "text in p": (with_p("<0.001"), "E423", ":4:4", "'<0.001' is not a number"),
    "an absurd exponent": (with_p("1e-9999999999"), "E423", ":4:4", "not a number"),
    "p above 1": (with_p("1.0001"), "E423", ":4:4", "outside 0 to 1"),
    "p below 0": (with_p("-0.1"), "E423", ":4:4", "outside 0 to 1"),
    "p = 0": (with_p("0"), "E424", ":4:4", "-log10 p is needed"),
    "p = 0 in full": (with_p("0.000e-5"), "E424", ":4:4", "-log10 p is needed"),
    "no chromosome here": (with_cell(0, "chromosome", ""), "E425", ":2:1", "write 0"),
    "NA as chromosome": (with_cell(0, "chromosome", "NA"), "E425", ":2:1", "write 0"),
    "a broken position": (with_cell(0, "base_pair_location", "3.5"), "E426", ":2:2", "'3.5'"),
    "an exponent": (with_cell(0, "base_pair_location", "1e+06"), "E426", ":2:2", "in full"),
    "a hexadecimal position": (with_cell(0, "base_pair_location", "0x1F"), "E426", ":2:2", "0x1F"),
    "a negative position": (with_cell(0, "base_pair_location", "-5"), "E426", ":2:2", "'-5'"),
    "a huge position": (with_cell(0, "base_pair_location", "2147483648"), "E426", ":2:2", "214"),
    "an immense one": (with_cell(0, "base_pair_location", "9" * 40), "E426", ":2:2", "999"),
    "NA as position": (with_cell(0, "base_pair_location", "NA"), "E426", ":2:2", "'NA'"),
    "text in n": (with_cell(0, "n", "many"), "E427", ":2:3", "'many'"),
    "a broken n": (with_cell(0, "n", "99.5"), "E427", ":2:3", "'99.5'"),
    "no n at all": (text([[*r[:2], "NA", *r[3:]] for r in ROWS]), "E427", ":2:3", "holds no"),
    "an empty file": ("", "E428", ":1:1", "no row"),
    "blank lines": ("\n\n\n", "E428", ":1:1", "no row"),
    "only a header": (HEADER + "\n", "E428", ":2:1", "no row"),
    "p all missing": (text([ROWS[1]]), "E428", ":2:1", "all without a p-value"),
    "a control character": (text().replace("rs3", "rs\x003"), "E206", ":4:6", "0x00"),
    "Latin-1": (text().replace("rs3", "r\xe9").encode("latin-1"), "E206", ":4:6", "0xe9"),
    "old Mac line ends": (text(end="\r"), "E206", ":1:6", "carriage return"),
    "a workbook": (b"PK\x03\x04" + bytes(range(256)), "E206", ":1:1", "binary"),
}


@pytest.mark.parametrize("block", [25, 1 << 23])
@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_with_the_place(tmp_path, monkeypatch, name, block):
    monkeypatch.setattr(blocks, "_BLOCK", block)
    content, code, place, said = HOSTILE[name]
    path = write(tmp_path / "t.tsv", content)
    with pytest.raises(FormatError) as caught:
        read_sumstats(path)
    problem = caught.value.problems[0]
    assert problem.code == code, problem
    if not (block == 25 and code == "E206" and "carriage" in said):  # a column counts from there
        assert problem.where == f"{path}{place}"
    assert said in problem.message


def test_many_problems_at_once_in_the_order_of_the_file(tmp_path):
    rows = [["1", "x", "5", "0.1", "bad", "m"] for _ in range(30)]
    with pytest.raises(FormatError) as caught:
        read_sumstats(write(tmp_path / "t.tsv", text(rows)))
    places = [problem.where.rsplit(":", 2)[1:] for problem in caught.value.problems]
    assert places == [[str(k), field] for k in range(2, 32) for field in ("2", "5")]
    assert "and 40 more" in str(caught.value)


def damaged(kind):
    packed = gzip.compress(text(ROWS * 2000).encode())
    return {
        "cut": packed[: len(packed) // 2],
        "flipped": packed[:100] + bytes([packed[100] ^ 0x55]) + packed[101:],
        "garbage after": packed + b"garbage",
        "empty": b"",
    }[kind]


@pytest.mark.parametrize("kind", ["cut", "flipped", "garbage after", "empty"])
def test_damaged_gzip(tmp_path, kind):
    with pytest.raises(LmmgwasError) as caught:
        read_sumstats(write(tmp_path / "t.tsv.gz", damaged(kind)))
    assert caught.value.problems[0].code in ("E601", "E206", "E422")
    assert kind == "flipped" or caught.value.problems[0].code == "E601"


def test_a_table_cut_between_bgzf_blocks_is_not_taken_for_whole(tmp_path):
    path = tmp_path / "t.tsv.gz"
    with pysam.BGZFile(str(path), "w") as stream:
        stream.write(text().encode())
    path.write_bytes(path.read_bytes()[:-28])
    with pytest.raises(FormatError, match="end-of-file mark") as caught:
        read_sumstats(path)
    assert caught.value.problems[0].code == "E601"


def test_a_line_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(blocks, "_BLOCK", 300)
    with pytest.raises(FormatError, match="longer than 1000") as caught:
        read_sumstats(write(tmp_path / "t.tsv", text() + "x" * 5000))
    assert caught.value.problems[0].where.endswith(":6:1")


def test_no_file_a_folder_and_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path / "pipe", os.O_RDWR)  # opening to read would wait for a writer
    for name in ("absent.tsv", ".", "pipe"):
        with pytest.raises(FileAccessError) as caught:
            read_sumstats(tmp_path / name)
        assert caught.value.problems[0].code == "E110"
    os.close(descriptor)


def test_a_file_that_changes_in_between(tmp_path):
    path = write(tmp_path / "t.tsv", text())
    table = read_sumstats(path)
    write(path, text() + "\t".join(ROWS[0]) + "\n")
    with pytest.raises(FileAccessError, match="changed"):
        read_rows(table, np.array([0]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.floats(0.0, 1e12, allow_subnormal=True),
            st.floats(0.0, 400.0),
            st.integers(0, 10**9).map(lambda k: (k + 0.5) / 1e7),  # ties
            st.tuples(st.integers(-20, 10), st.sampled_from([-1, 0, 1])).map(
                lambda a: np.nextafter(10.0 ** a[0], 10.0 ** (a[0] + a[1]))  # about powers of ten
            ),
        ),
        min_size=1,
    )
)
def test_as_written_is_what_the_text_says(values):
    expected = [float(f"{value:.8g}") for value in values]
    assert as_written(np.array(values, dtype=np.float64)).tolist() == expected


def test_as_written_of_many():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.exponential(0.43, 100_000), 10.0 ** rng.uniform(-16, 8, 100_000)])
    assert as_written(values).tolist() == [float(f"{value:.8g}") for value in values]
    assert as_written(np.empty(0)).size == 0


def test_sidecar(tmp_path):
    trait = 'HDL "c" \\ é'
    body = f"trait_description:\n  - {json.dumps(trait)}\nsamples:\n  - sample_size: 12\n"
    facts = read_sidecar(write(tmp_path / "m.yaml", body))
    assert facts is not None
    assert (facts.trait, facts.n_samples) == (trait, 12)
    for odd in ("", "trait_description:\n  - x\n", b"\xff", body.replace('"\n', "\n")):
        assert read_sidecar(write(tmp_path / "m.yaml", odd)) is None
    assert read_sidecar(tmp_path / "absent.yaml") is None
