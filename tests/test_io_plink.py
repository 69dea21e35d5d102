"""lmmgwas.io.plink against a bit-level decoder, and every way a file set can be wrong."""

import gzip
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from bed_oracle import MISSING, decode, encode, write_set

from lmmgwas.errors import FileAccessError, FormatError, MismatchError
from lmmgwas.io.plink import BedSource, read_bim, read_fam

DATA = Path(__file__).parents[2] / "shared/data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="reference data are absent")


def simulate(n, m, seed=0, missing=0.1):
    """Return calls[variant][sample] with allele frequencies between 0.1 and 0.5."""
    rng = np.random.default_rng(seed)
    calls = rng.binomial(2, rng.uniform(0.1, 0.5, (m, 1)), (m, n))
    return np.where(rng.random((m, n)) < missing, MISSING, calls).tolist()


def write(folder, content, name):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


BIM = "1\trs1\t0\t100\tA\tG\nX\trs#8\t0.5\t200\tAT\tC\n1\t.\t0\t300\t<DEL>\t0\n"


@pytest.mark.parametrize(
    ("content", "n_notes"),
    [
        (BIM, 0),
        (BIM.rstrip("\n"), 0),
        (BIM + "\n \t\n", 0),
        (BIM.replace("\t", "  "), 0),
        (re.sub(r"(?m)^(.*)$", r" \t\1 ", BIM.rstrip("\n")), 0),
        (BIM.replace("\n", "\r\n"), 1),
        ("\ufeff" + BIM, 1),
        (re.sub(r"(?m)^(\S+\t\S+)\t\S+", r"\1", BIM), 1),
        (BIM.replace("\t0.5\t", "\tNA\t"), 1),
        (BIM.replace("\t0.5\t", "\t-1\t"), 1),
    ],
)
def test_read_bim(tmp_path, content, n_notes):
    for raw in (content.encode(), gzip.compress(content.encode())):
        variants, remarks = read_bim(write(tmp_path, raw, "s.bim"))
        assert variants.labels == ("1", "X")
        assert variants.label_code.tolist() == [0, 1, 0]
        assert variants.label_code.dtype == np.int32
        assert variants.pos.tolist() == [100, 200, 300]
        assert variants.pos.dtype == np.int64
        assert variants.marker_id.to_pylist() == ["rs1", "rs#8", "."]
        assert variants.effect_allele.to_pylist() == ["A", "AT", "<DEL>"]
        assert variants.other_allele.to_pylist() == ["G", "C", "0"]
        assert len(variants) == 3
        assert len(remarks.notes) == n_notes
        cut = [] if content.endswith("\n") else ["no line end"]
        assert [word for word in cut if word in " ".join(remarks.warnings)] == cut
        assert len(remarks.warnings) == len(cut)


def test_bim_text_is_never_guessed(tmp_path):
    content = '01 NA 0 123456789 NA "A\n#1 "x 0 2147483647 nan null\n1é ä 0 1 - .\n'
    variants, _ = read_bim(write(tmp_path, content, "s.bim"))
    assert variants.labels == ("01", "#1", "1é")
    assert variants.pos.tolist() == [123456789, 2147483647, 1]
    assert variants.marker_id.to_pylist() == ["NA", '"x', "ä"]
    assert variants.effect_allele.to_pylist() == ["NA", "nan", "-"]
    assert variants.other_allele.to_pylist() == ['"A', "null", "."]


def test_unknown_positions_are_kept_and_counted(tmp_path):
    variants, remarks = read_bim(write(tmp_path, "1 a 0 -9 A C\n1 b 0 0 A C\n1 c 0 7 A C\n", "b"))
    assert variants.pos.tolist() == [-9, 0, 7]
    assert "2 variants" in remarks.warnings[0]


def test_an_empty_bim_has_no_variants(tmp_path):
    variants, _ = read_bim(write(tmp_path, "\n", "s.bim"))
    assert (len(variants), variants.labels, len(variants.marker_id)) == (0, (), 0)


def test_many_variants_cross_block_borders(tmp_path, monkeypatch):
    monkeypatch.setattr("lmmgwas.io.text._CSV_BLOCK", 1000)
    content = "".join(
        f"{1 + j // 500} rs{j} 0 {j + 1} {'A' * (j % 50 + 1)} G\n" for j in range(2000)
    )
    variants, _ = read_bim(write(tmp_path, content, "s.bim"))
    assert variants.marker_id.to_pylist() == [f"rs{j}" for j in range(2000)]
    assert variants.pos.tolist() == list(range(1, 2001))
    assert variants.labels == ("1", "2", "3", "4")
    assert variants.label_code.tolist() == [j // 500 for j in range(2000)]


@pytest.mark.parametrize(
    ("content", "code", "places", "words"),
    [
        ("1 a 0 1 A C\n1 b 0 2 A\n1 c 0 3\n", "E201", [2, 3], "5 columns, expected 6"),
        ("1 a 0 1 A C\n1 b 0 2 A C 9\n", "E201", [2], "7 columns"),
        ("1 a 1 A C\n1 b 2 A C\n1 c 0 3 A C\n", "E201", [1, 2], "5 columns"),
        ("1 a 0 1 A C\n\n1 b 0 2 A C\n \n1 c 0 2 A C\n", "E202", [2, 4], "blank line"),
        ("\n1 a 0 1 A C\n", "E202", [1], "blank line"),
        ("CHR SNP CM BP A1 A2\n1 a 0 1 A C\n", "E203", ["1:4"], "no header"),
        ("1 a 0 x A C\n1 b 0 1 A C\n1 c 0 . A C\n", "E203", ["1:4", "3:4"], "not an integer"),
        ("1 a 0 1 A C\n1 b 0 8000.0 A C\n", "E203", ["2:4"], "Excel"),
        ("1 a 0 1e5 A C\n", "E203", ["1:4"], "Excel"),
        ("1 a 0 +5 A C\n", "E203", ["1:4"], "sign"),
        ("1 a 0 2147483648 A C\n", "E203", ["1:4"], "too large"),
        ("1 a 0 99999999999999999999 A C\n", "E203", ["1:4"], "too large"),
        ("1 a x A C\n1 b 1 A C\n", "E203", ["1:3"], "not an integer"),
        ("#CHROM ID POS ALT REF\n1 a 1 A C\n", "E204", [1], r"this is a \.pvar"),
        ("#FID IID SEX\nA x 1\n", "E204", [1], r"\.psam"),
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\n", "E204", [1], r"\.pvar or VCF"),
        ("1 a 0 1 A C,T\n", "E205", ["1:6"], "bcftools norm -m-"),
        ("1 a 0 1 A C\n1 b 0 1 A,T C\n", "E205", ["2:5"], "'A,T'"),
        ("1 a 0 1 A C\n1 b 0 1 A " + "C" * 2**20 + "C\n", "E207", ["2:6"], "1048577 bytes"),
        ("1\ta\t0\t\tA\tC\n", "E201", ["1:4"], "column is empty"),
        ("1\t\t0\t1\tA\tC\n1\tb\t0\t1\tA\t\n", "E201", ["1:2", "2:6"], "column is empty"),
        ("".join(f"rs{k} 0 {k} A C\n" for k in range(20)), "E201", [], "chromosomes missing"),
    ],
)
def test_refused_bim(tmp_path, content, code, places, words):
    path = write(tmp_path, content, "s.bim")
    with pytest.raises(FormatError, match=words) as caught:
        read_bim(path)
    assert {problem.code for problem in caught.value.problems} == {code}
    expected = [f"{path}:{place}" for place in places] or [str(path)]
    assert [p.where for p in caught.value.problems] == expected


def test_all_that_is_wrong_with_a_bim_is_said_at_once(tmp_path):
    lines = [f"1 a{k} 0 {k} A C\n" for k in range(40)]
    lines[3] = "1 a3 0 x A,G C\n"
    lines[30] = "1 a30 0 30 A " + "C" * 2**20 + "C\n"
    lines[7] = "1 a7 0 1e3 A C,T\n"
    path = write(tmp_path, "".join(lines), "s.bim")
    with pytest.raises(FormatError) as caught:
        read_bim(path)
    places = [p.where.removeprefix(f"{path}:") for p in caught.value.problems]
    assert places == ["4:4", "4:5", "8:4", "8:6", "31:6"]


def test_twenty_problems_are_worded_and_all_are_counted(tmp_path):
    path = write(tmp_path, "".join(f"1 a{k} 0 x{k} A C\n" for k in range(5000)), "s.bim")
    with pytest.raises(FormatError, match="and 4980 more problems") as caught:
        read_bim(path)
    assert [p.where for p in caught.value.problems[:20]] == [f"{path}:{k}:4" for k in range(1, 21)]
    assert len({id(problem) for problem in caught.value.problems}) == 20


@pytest.mark.parametrize(
    ("line", "label", "n_notes"),
    [("\tb\t0\t2\tA\tC\n", "0", 1), ("1\tb\t\t2\tA\tC\n", "1", 1), ("\tb\t\t2\tA\tC\n", "0", 2)],
)
def test_what_may_be_empty_between_tabs(tmp_path, line, label, n_notes):
    """As a run of tabs the fields behind it would move up: alleles would be positions."""
    path = write(tmp_path, "1\ta\t0\t1\tA\tC\n" + line, "s.bim")
    variants, remarks = read_bim(path)
    assert variants.labels[variants.label_code[1]] == label
    assert variants.marker_id.to_pylist() == ["a", "b"]
    assert variants.pos.tolist() == [1, 2]
    assert variants.effect_allele.to_pylist() == ["A", "A"]
    assert len(remarks.notes) == n_notes


def test_the_longest_allele_allowed_is_read(tmp_path):
    line = f"1 a 0 1 {'A' * 2**20} {'C' * 2**20}\n"
    variants, _ = read_bim(write(tmp_path, line * 40, "s.bim"))
    assert len(variants) == 40
    assert len(variants.other_allele[39].as_py()) == 2**20


@pytest.mark.parametrize(
    ("content", "fid", "sex", "notes"),
    [
        ("A 001 0 0 1 -9\nB NA 0 0 2 1\n", ("A", "B"), [1, 2], []),
        ("A\t001\t0\t0\t1\t-9\r\nB\tNA\t0\t0\t2\t1\r\n\r\n", ("A", "B"), [1, 2], ["CRLF"]),
        ("0 001 0 0 0 -9\nB NA 0 0 9 1\n", ("", "B"), [0, 0], ["no FID", "sex codes"]),
        ("#F8 001 0 0 F 1\nB NA 0 0 2 1\n", ("#F8", "B"), [0, 2], ["sex codes"]),
        ("A 001 0 0 1\nB NA 0 0 2\n", ("A", "B"), [1, 2], ["5 columns"]),
        ("A 001 0 0\nB NA 0 0\n", ("A", "B"), [0, 0], ["4 columns"]),
        ("A 001 0 0 1 1 2\nB NA 0 0 2 1 2\n", ("A", "B"), [1, 2], ["after the sixth"]),
        ("\t001\t\t\t1\t\nB\tNA\t0\t0\t2\t1\n", ("", "B"), [1, 2], ["no FID"]),
    ],
)
def test_read_fam(tmp_path, content, fid, sex, notes):
    samples, remarks = read_fam(write(tmp_path, content, "s.fam"))
    assert samples.fid == fid
    assert samples.iid == ("001", "NA")
    assert samples.sex.tolist() == sex
    assert samples.sex.dtype == np.int8
    assert len(remarks.notes) == len(notes)
    assert all(word in note for word, note in zip(notes, remarks.notes, strict=True))


def test_fam_ids_keep_unicode_blanks_and_are_keyed_as_pairs(tmp_path):
    samples, _ = read_fam(write(tmp_path, "A_B C 0 0\nA B_C 0 0\nA C\u00a0 0 0\n", "s.fam"))
    assert samples.iid == ("C", "B_C", "C\u00a0")


@pytest.mark.parametrize(
    ("content", "code", "places", "words"),
    [
        ("A x 0 0 1 1\nB x 0 0 1 1\nA x 0 0 1 1\n", "E301", [3], "lines 1 and 3"),
        ("0 x 0 0 1 1\n0 x 0 0 1 1\n", "E301", [2], "0 x is on lines 1 and 2"),
        ("A 0 0 0 1 1\n", "E302", ["1:2"], "IID 0"),
        ("A\t\t0\t0\t1\t1\n", "E302", ["1:2"], "IID 0"),
        ("A x 0 0 1 1\nB y z 0 0 1 1\nC z 0 0 1 1\n", "E303", [2], "does an ID hold a blank"),
        ("A x y 0 0 1 1\nB y 0 0 1 1\nC z 0 0 1 1\n", "E303", [1], "7 columns, expected 6"),
        ("A x 0 0 1 1 5\nB y 0 0 1 1 5 6\nC z 0 0 1 1 5\n", "E303", [2], "expected 7 as most"),
        ("#CHROM POS ID REF ALT\n1 2 a A C\n", "E204", [1], r"\.pvar"),
        ("A x 0\n", "E303", [1], "3 columns"),
        ("A x 0 0 1 1\n\nB y 0 0 1\n", "E303", [2, 3], "0 columns, expected 6"),
        ("#FID IID SEX\nA x 1\n", "E204", [1], r"\.psam"),
        ("#IID SEX\nx 1\n", "E204", [1], r"\.psam"),
        ("FID IID PAT MAT SEX\nA x 0 0 1\n", "E204", [1], "header"),
    ],
)
def test_refused_fam(tmp_path, content, code, places, words):
    path = write(tmp_path, content, "s.fam")
    with pytest.raises(FormatError, match=words) as caught:
        read_fam(path)
    assert {problem.code for problem in caught.value.problems} == {code}
    assert [p.where for p in caught.value.problems] == [f"{path}:{place}" for place in places]


@pytest.mark.parametrize("n", [1, 3, 4, 5, 6, 7, 8, 33])
def test_calls_agree_with_the_bit_level_decoder(tmp_path, n):
    calls = simulate(n, 60, seed=n)
    assert decode(encode(calls), n, 60) == calls
    source = BedSource.open(*write_set(tmp_path, calls))
    block = source.read(np.arange(60))
    assert block.dtype == np.int8
    assert block.flags.c_contiguous
    assert block.tolist() == calls
    chosen = np.array([59, 0, 7, 7, 31])
    assert source.read(chosen).tolist() == [calls[j] for j in chosen]
    assert source.read(np.array([5])).tolist() == [calls[5]]
    assert source.read(np.array([], dtype=np.int64)).shape == (0, n)
    assert (len(source.samples), len(source.variants)) == (n, 60)
    assert [path.suffix for path in source.paths()] == [".bed", ".bim", ".fam"]
    assert source.warnings == ()


def test_the_first_allele_is_counted(tmp_path):
    # 00 is homozygous for column 5 of the .bim, the effect allele: 2 copies.
    paths = write_set(tmp_path, [[2, 1, 0, MISSING]])
    assert paths[0].read_bytes()[3] == 0b01_11_10_00
    assert BedSource.open(*paths).read(np.array([0])).tolist() == [[2, 1, 0, MISSING]]


def test_names_that_bed_reader_would_misread(tmp_path):
    folder = tmp_path / "a b'é"
    folder.mkdir()
    paths = write_set(folder, simulate(5, 9), name="file:x#1")
    paths[1].write_text(
        "".join(f"#1 rs{j} 0 123456789.bad A G\n" for j in range(9)).replace(".bad", "")
    )
    source = BedSource.open(*paths)
    assert source.read(np.arange(9)).shape == (9, 5)
    assert set(source.variants.pos.tolist()) == {123456789}


@pytest.mark.parametrize("index", [[-1], [0, 12]])
def test_an_index_out_of_range_is_our_bug(tmp_path, index):
    source = BedSource.open(*write_set(tmp_path, simulate(5, 12)))
    with pytest.raises(IndexError):
        source.read(np.array(index))


VCF = b"##fileformat=VCFv4.2\n"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (
            lambda b: b[:-1],
            "E101",
            r"1502 bytes, expected 1503 = 3 \+ 100 .*57.*short by 1;.*trunc",
        ),
        (lambda b: b[: len(b) // 2], "E101", "truncated"),
        (lambda b: b + b[3:18], "E101", r"15 too many; the size fits 101 .*1 lines short"),
        (lambda b: b[:-30], "E101", "fits 98 variants, study.bim has 100 .2 lines too long"),
        (lambda b: b + b[3:103], "E101", "fits 61 to 64 samples, study.fam has 57"),
        (lambda b: b"", "E101", "0 bytes"),
        (lambda b: b[:2], "E101", "2 bytes"),
        (lambda b: b[:3], "E101", "3 bytes, expected 1503"),
        (lambda b: b"\x00\x01\x02" + b[3:], "E102", "00 01 02, expected 6c 1b 01"),
        (gzip.compress, "E102", "1f 8b 08.*gzip.*gunzip"),
        (lambda b: gzip.compress(VCF), "E102", "gzip, and unpacked this is VCF.*--vcf"),
        (lambda b: VCF, "E102", "VCF.*--vcf"),
        (lambda b: b"\x28\xb5\x2f\xfd" + b, "E102", "zstd"),
        (lambda b: b"\x6c\x1b\x10" + b[3:], "E102", "PGEN.*--pfile"),
        (lambda b: bytes(16) + b"bgen" + b, "E102", "BGEN.*--bgen"),
        (lambda b: b"chr1\t100\t200\n", "E102", "genome intervals"),
        (lambda b: b"\x6c\x1b\x00" + b[3:], "E103", "size.*is that of a variant-major file"),
        (lambda b: b"\x6c\x1b\x00" + bytes(57 * 25), "E103", "convert it with plink2 --make-bed"),
        (lambda b: b[:3] + bytes(57 * 25), "E101", "are .bim and .fam exchanged"),
    ],
)
def test_refused_bed(tmp_path, change, code, words):
    paths = write_set(tmp_path, simulate(57, 100))
    paths[0].write_bytes(change(paths[0].read_bytes()))
    with pytest.raises(FormatError, match=words) as caught:
        BedSource.open(*paths)
    assert (caught.value.problems[0].code, caught.value.exit_code) == (code, 3)
    assert caught.value.problems[0].where == str(paths[0])


def test_bed_must_be_a_regular_file(tmp_path):
    paths = write_set(tmp_path, simulate(5, 5))
    pipe = tmp_path / "pipe.bed"
    os.mkfifo(pipe)
    for bed in (tmp_path, pipe, Path("/dev/zero")):
        with pytest.raises(FormatError, match="regular file") as caught:
            BedSource.open(bed, *paths[1:])
        assert caught.value.problems[0].code == "E105"


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_missing_file_is_named(tmp_path, which):
    paths = list(write_set(tmp_path, simulate(5, 5)))
    missing = paths[which].with_name("stuby" + paths[which].suffix)
    found = paths[which].name
    paths[which] = missing
    with pytest.raises(FileAccessError, match=f"no such file.*{found}") as caught:
        BedSource.open(*paths)
    assert caught.value.problems[0].where == str(missing)


@pytest.mark.parametrize(("which", "what"), [(1, "variants"), (2, "samples")])
def test_empty_sets(tmp_path, which, what):
    paths = write_set(tmp_path, simulate(5, 5))
    paths[which].write_text("")
    with pytest.raises(MismatchError, match=f"holds no {what}") as caught:
        BedSource.open(*paths)
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("E107", 4)


@pytest.mark.parametrize("n", [38, 39, 40])
@pytest.mark.parametrize("line", [0, 20, -1])
def test_a_fam_that_lacks_a_line_is_refused(tmp_path, n, line):
    paths = write_set(tmp_path, simulate(n, 100))
    lines = paths[2].read_text().splitlines(keepends=True)
    del lines[line]
    paths[2].write_text("".join(lines))
    with pytest.raises(FormatError, match=r"\.fam lack a line.*--make-bed") as caught:
        BedSource.open(*paths)
    assert caught.value.problems[0].code == "E104"


@pytest.mark.parametrize(("n", "surplus"), [(37, 1), (37, 2), (37, 3), (38, 1), (38, 2), (39, 1)])
@pytest.mark.parametrize("first", [True, False])
def test_a_fam_with_surplus_lines_is_refused(tmp_path, n, surplus, first):
    paths = write_set(tmp_path, simulate(n, 100))
    extra = "".join(f"G{k} J{k} 0 0 1 1\n" for k in range(surplus))
    lines = paths[2].read_text()
    paths[2].write_text(extra + lines if first else lines + extra)
    with pytest.raises(FormatError, match=f"{surplus} lines too many") as caught:
        BedSource.open(*paths)
    assert caught.value.problems[0].code == "E104"


def test_a_genuine_sample_that_is_homozygous_everywhere_gets_a_warning(tmp_path):
    few = simulate(6, 10)
    frequent = (2 - (np.random.default_rng(1).random((60, 40)) < 0.002)).tolist()
    inbred = simulate(40, 100, missing=0)
    for row in inbred:
        row[3] = 2  # another such line: then the last may be one too
    for calls in (few, frequent, inbred, [[2] * 3] * 60):
        for row in calls:
            row[-1] = 2
        source = BedSource.open(*write_set(tmp_path, calls))
        assert "homozygous A1" in source.warnings[0]
        assert "lines too many" in source.warnings[0]


def test_set_padding_bits_are_refused(tmp_path):
    paths = write_set(tmp_path, simulate(5, 4))
    raw = bytearray(paths[0].read_bytes())
    raw[6] |= 0b1100
    paths[0].write_bytes(raw)
    with pytest.raises(FormatError, match="set in 1 of 4 variants") as caught:
        BedSource.open(*paths)
    assert caught.value.problems[0].code == "E104"


@pytest.mark.parametrize("cut", [1, 10**6])
def test_a_file_cut_during_the_run_is_a_read_failure(tmp_path, cut):
    paths = write_set(tmp_path, simulate(40, 100))
    source = BedSource.open(*paths)
    raw = paths[0].read_bytes()
    source.check_unchanged()
    paths[0].write_bytes(raw[:-cut] if cut < len(raw) else b"")
    with pytest.raises(FileAccessError, match=r"variants 100 to 100 \(from byte 993\)") as caught:
        source.read(np.array([99]))
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("E110", 7)
    with pytest.raises(FileAccessError) as caught:
        source.check_unchanged()
    assert caught.value.problems[0].code == "E106"
    paths[0].unlink()
    if cut == 1:  # what was opened stays open: the rest is still read as it was
        assert source.read(np.array([0])).tolist() == decode(raw, 40, 1)
    else:
        with pytest.raises(FileAccessError, match="variants 1 to 1"):
            source.read(np.array([0]))
    with pytest.raises(FileAccessError, match="no such file"):
        source.check_unchanged()


@pytest.mark.parametrize("which", [1, 2])
def test_changed_text_files_are_noticed(tmp_path, which):
    """They are not read again, but what is hashed at the end would be another file."""
    paths = write_set(tmp_path, simulate(40, 100))
    source = BedSource.open(*paths)
    source.check_unchanged()
    raw = paths[which].read_bytes()
    paths[which].write_bytes(raw + b"\n")
    with pytest.raises(FileAccessError, match="changed or replaced") as caught:
        source.check_unchanged()
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("E106", 7)
    assert caught.value.problems[0].where == str(paths[which])
    paths[which].unlink()
    with pytest.raises(FileAccessError, match="no such file"):
        source.check_unchanged()


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    paths = write_set(tmp_path, simulate(40, 100))

    def slow(path):
        found = read_bim(path)
        paths[2].write_text(paths[2].read_text().replace("I7", "J7"))
        return found

    monkeypatch.setattr("lmmgwas.io.plink.read_bim", slow)
    with pytest.raises(FileAccessError, match="changed or replaced") as caught:
        BedSource.open(*paths)
    assert caught.value.problems[0].where == str(paths[2])


def test_text_files_may_come_through_a_pipe(tmp_path):
    """`--bim <(zcat study.bim.gz)`: read once, and there is nothing to compare afterwards."""
    paths = list(write_set(tmp_path, simulate(40, 100)))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(paths[1].read_bytes(),))
    writer.start()
    source = BedSource.open(paths[0], pipe, paths[2])
    writer.join()
    assert len(source.variants) == 100
    source.check_unchanged()


def test_files_that_may_not_be_read_are_named(tmp_path, monkeypatch):
    """All of them at once. Root may read everything, so the answer of the system is replaced."""
    paths = write_set(tmp_path, simulate(5, 9))
    barred = {paths[0], paths[2]}
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in barred)
    with pytest.raises(FileAccessError, match="permission denied") as caught:
        BedSource.open(*paths)
    assert [p.where for p in caught.value.problems] == [str(paths[0]), str(paths[2])]
    assert {p.code for p in caught.value.problems} == {"E110"}


def test_remarks_of_all_files_are_collected(tmp_path):
    paths = write_set(tmp_path, simulate(3, 5))
    paths[1].write_text("".join(f"1 rs{j} 0 0 A G\r\n" for j in range(5)), newline="")
    paths[2].write_text("0 a 0 0\n0 b 0 0\n0 c 0 0\n")
    source = BedSource.open(*paths)
    assert len(source.notes) == 3
    assert len(source.warnings) == 1


@needs_data
@pytest.mark.parametrize(
    ("prefix", "n", "m", "n_unknown"),
    [
        ("mouse_hs1940/mouse_hs1940", 1940, 12226, 1926),
        ("toydata5chrom/toydata.5chrom", 500, 10000, 0),
    ],
)
def test_reference_data(prefix, n, m, n_unknown):
    paths = [DATA / f"{prefix}.{suffix}" for suffix in ("bed", "bim", "fam")]
    source = BedSource.open(*paths)
    assert (len(source.samples), len(source.variants)) == (n, m)
    assert len(source.warnings) == bool(n_unknown)
    assert int((source.variants.pos <= 0).sum()) == n_unknown
    rows = np.array([0, 1, m // 2, m - 1])
    raw = paths[0].read_bytes()
    width = -(-n // 4)
    expected = [
        decode(bytes(3) + raw[3 + j * width : 3 + (j + 1) * width], n, 1)[0] for j in rows.tolist()
    ]
    assert source.read(rows).tolist() == expected
