"""The text files of a PLINK 2 file set: every form they may have, and what is refused, where."""

import gzip
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lmmgwas.errors import FormatError
from lmmgwas.io.psam import read_psam
from lmmgwas.io.pvar import find_pvar, read_pvar


def write(folder: Path, content: str | bytes, name: str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zstd(content: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return out.getvalue().to_pybytes()


def refused(code: str, where: str, *said: str) -> object:
    pattern = rf"(?s)\[{code}\] \S*{re.escape(where)}: .*" + ".*".join(map(re.escape, said))
    return pytest.raises(FormatError, match=pattern)


PSAM = (
    "#FID\tIID\tPAT\tMAT\tSEX\tBMI\nA\tI1\t0\t0\t1\t20.1\nA\tI2\tI1\t0\tF\tNA\n0\tI3\t0\t0\tNA\t2\n"
)


@pytest.mark.parametrize(
    ("content", "fid", "sex", "founder"),
    [
        (PSAM, ("A", "A", ""), [1, 2, 0], [True, False, True]),
        (PSAM.replace("\t", "  "), ("A", "A", ""), [1, 2, 0], [True, False, True]),
        (PSAM.replace("\n", "\r\n"), ("A", "A", ""), [1, 2, 0], [True, False, True]),
        ("##about\n#anything else\n" + PSAM, ("A", "A", ""), [1, 2, 0], [True, False, True]),
        (re.sub(r"(?m)^\S+\t", "", PSAM).replace("IID", "#IID", 1), ("",) * 3, [1, 2, 0], None),
        ("#IID\nI1\nI2\nI3\n", ("",) * 3, [0, 0, 0], [True] * 3),
        ("#IID SEX\nI1 m\nI2 f\nI3 M", ("",) * 3, [1, 2, 1], [True] * 3),
        ("#IID SID SEX\nI1 a 2\nI2 b U\nI3 c 0", ("",) * 3, [2, 0, 0], [True] * 3),
        ("A I1 0 0 1 -9\nA I2 I1 0 2 -9\n0 I3 0 0 0 1\n", ("A", "A", ""), [1, 2, 0], None),
    ],
    ids=["full", "blanks", "crlf", "comments", "no FID", "IID", "letters", "SID", "a .fam"],
)
def test_psam(
    tmp_path: Path, content: str, fid: tuple[str], sex: list[int], founder: list[bool] | None
) -> None:
    for packed in (content.encode(), gzip.compress(content.encode())):
        samples, _ = read_psam(write(tmp_path, packed, "s.psam"))
        assert samples.iid == ("I1", "I2", "I3")
        assert samples.fid == fid
        assert samples.sex.tolist() == sex
        assert samples.sex.dtype == np.int8
        assert samples.founder.tolist() == (founder or [True, False, True])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("#IID SEX\nI1 male\nI2 9\nI3 NA\n", ("of 2 samples mean unknown", "'male', '9'")),
        ("#IID\nI1\n", ("no column SEX",)),
        ("#FID IID SEX\n0 I1 1\nA I2 1\n", ("FID 0 of 1 samples",)),
        ("#IID SID SEX\nI1 x 1\n", ("column SID was ignored",)),
    ],
)
def test_what_is_said_of_a_psam(tmp_path: Path, content: str, words: tuple[str, ...]) -> None:
    _, remarks = read_psam(write(tmp_path, content, "s.psam"))
    assert len(remarks.notes) == 1
    for word in words:
        assert word in remarks.notes[0]


@pytest.mark.parametrize(
    ("content", "code", "where", "said"),
    [
        ("#IID SEX\nI1 1\nI2\n", "E321", "s.psam:3", "1 columns, expected 2"),
        ("#IID SEX\nI1 1\nI 2 2\n", "E321", "s.psam:3", "does an ID hold a blank?"),
        ("#IID SEX\nI1 1\n\nI2 2\n", "E321", "s.psam:3", "a blank line"),
        ("##x\n#IID SEX\nI1 1\nI2 1\nI1 2\n", "E301", "s.psam:5", "I1 is on lines 3 and 5"),
        ("#FID IID\nA 0\n", "E302", "s.psam:2:2", "IID 0"),
        ("#IID SEX\n0 1\n", "E302", "s.psam:2:1", "IID 0"),
        ("#SEX IID\n1 I1\n", "E320", "s.psam:1", "#FID IID or #IID"),
        ("#IID SEX\n#about\nI1 1\n", "E320", "s.psam:1", "another line that begins with #"),
        ("#FID SEX IID\nA 1 I1\n", "E320", "s.psam:1", "IID must be the column after"),
        ("#IID SEX SEX\nI1 1 1\n", "E320", "s.psam:1", "'SEX'"),
        ("#IID PAT SEX\nI1 0 1\n", "E320", "s.psam:1", "PAT and MAT"),
    ],
)
def test_a_psam_that_is_refused(
    tmp_path: Path, content: str, code: str, where: str, said: str
) -> None:
    with refused(code, where, said):
        read_psam(write(tmp_path, content, "s.psam"))


HEADER = '##fileformat=VCFv4.2\n##INFO=<ID=PR,Number=0,Type=Flag,Description="a b">\n'
PVAR = (
    HEADER + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tCM\n"
    "1\t100\trs1\tG\tA\t.\tPASS\tPR\t0\nX\t200\trs#8\tC\tAT\t9\t.\tAC=3;PR;X=1\t0.1\n"
    "1\t0\t.\tN\t<DEL>\t.\t.\tPRX=1\t0\n"
)
BARE = "#CHROM\tPOS\tID\tREF\tALT\n1\t100\trs1\tG\tA\nX\t200\trs#8\tC\tAT\n1\t0\t.\tN\t<DEL>\n"
SHUFFLED = "#CHROM ID ALT REF POS\n1 rs1 A G 100\nX rs#8 AT C 200\n1 . <DEL> N 0\n"
SITES = (
    HEADER + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tI1\n"
    "1\t100\trs1\tG\tA\t.\tPASS\tPR\tGT\t0/1\nX\t200\trs#8\tC\tAT\t9\t.\tAC=3;PR\tGT\t1/1\n"
    "1\t0\t.\tN\t<DEL>\t.\t.\tPRX=1\tGT\t./.\n"
)
BIM = "1\trs1\t0\t100\tA\tG\nX\trs#8\t0\t200\tAT\tC\n1\t.\t0\t0\t<DEL>\tN\n"


@pytest.mark.parametrize(
    ("content", "first_line", "provisional"),
    [
        (PVAR, 4, [True, True, False]),
        (PVAR.replace("\n", "\r\n"), 4, [True, True, False]),
        (PVAR.rstrip("\n"), 4, [True, True, False]),
        (PVAR + "\n\n", 4, [True, True, False]),
        (BARE, 2, None),
        (SHUFFLED, 2, None),
        (BARE.replace("\t", "   "), 2, None),
        (SITES, 4, [True, True, False]),
        (BIM, 1, None),
    ],
    ids=["full", "crlf", "no end", "blank end", "bare", "order", "blanks", "VCF", "a .bim"],
)
def test_pvar(
    tmp_path: Path, content: str, first_line: int, provisional: list[bool] | None
) -> None:
    raw = content.encode()
    for packed in (raw, gzip.compress(raw), zstd(raw), zstd(raw[:90]) + zstd(raw[90:])):
        found = read_pvar(write(tmp_path, packed, "s.pvar"), wants_provisional=True)
        variants = found.variants
        assert variants.labels == ("1", "X")
        assert variants.label_code.tolist() == [0, 1, 0]
        assert variants.label_code.dtype == np.int32
        assert variants.pos.tolist() == [100, 200, 0]
        assert variants.marker_id.to_pylist() == ["rs1", "rs#8", "."]
        assert variants.effect_allele.to_pylist() == ["A", "AT", "<DEL>"]
        assert variants.other_allele.to_pylist() == ["G", "C", "N"]
        assert variants.first_line == first_line
        if provisional is None:
            assert found.provisional is None
        else:
            assert found.provisional is not None
            assert found.provisional.tolist() == provisional
        unknown = [text for text in found.remarks.warnings if "1 variants have position 0" in text]
        assert len(unknown) == 1
        cut = [text for text in found.remarks.warnings if "no line end" in text]
        assert len(cut) == int(not content.endswith("\n"))


def test_the_flag_is_read_on_demand_only(tmp_path: Path) -> None:
    assert read_pvar(write(tmp_path, PVAR, "s.pvar")).provisional is None


LINES = "#CHROM\tPOS\tID\tREF\tALT\n1\t100\trs1\tG\tA\n1\t200\trs2\tG\tA\n"


@pytest.mark.parametrize(
    ("content", "code", "where", "said"),
    [
        (LINES + "1\t300\trs3\tG\n", "E221", "s.pvar:4", "4 columns, expected 5"),
        (LINES + "1\t300\trs3\tG\tA\tC\n1\t1\tr\tG\tA\n", "E221", "s.pvar:4", "6 columns"),
        (LINES.replace("A\n1", "A\n\n1"), "E221", "s.pvar:3", "a blank line"),
        (LINES.replace("200", "2e5"), "E203", "s.pvar:3:2", "exported from Excel or R"),
        (LINES.replace("100", "."), "E203", "s.pvar:2:2", "column 2 holds base pairs"),
        (LINES.replace("200", "3000000000"), "E203", "s.pvar:3:2", "too large"),
        ("##a\n" + LINES.replace("rs2\tG\tA", "rs2\tG\tA,T"), "E205", "s.pvar:4:5", "'rs2'"),
        (LINES.replace("rs1\tG", "rs1\tG,C"), "E205", "s.pvar:2:4", "in REF ('G,C')"),
        (LINES.replace("ALT", "A1"), "E220", "s.pvar:1", "'A1'; not there: ALT"),
        (LINES.replace("ALT", "REF"), "E220", "s.pvar:1", "'REF'; not there: ALT"),
        (LINES.replace("#CHROM", "#CHR"), "E220", "s.pvar:1", "must name the columns"),
        ("#CHROM\tPOS\n" + LINES, "E220", "s.pvar:1", "another line that begins with #"),
        ("##only\n", "E220", "s.pvar:1", "must name the columns"),
        (LINES + "1\t300\trs\x07\tG\tA\n", "E206", "s.pvar:4:9", "control character"),
    ],
)
def test_a_pvar_that_is_refused(
    tmp_path: Path, content: str, code: str, where: str, said: str
) -> None:
    with refused(code, where, said):
        read_pvar(write(tmp_path, content, "s.pvar"))


def test_all_lines_with_something_wrong_are_named(tmp_path: Path) -> None:
    rows = "".join(f"1\t{'x' if k % 2 else k}\trs{k}\tG\tA\n" for k in range(10))
    with pytest.raises(FormatError) as error:
        read_pvar(write(tmp_path, "#CHROM\tPOS\tID\tREF\tALT\n" + rows, "s.pvar"))
    places = [problem.where.rpartition("/")[2] for problem in error.value.problems]
    assert places == [f"s.pvar:{line}:2" for line in (3, 5, 7, 9, 11)]


def test_zstd_that_is_cut_is_refused(tmp_path: Path) -> None:
    lines = "".join(f"1\t{k}\trs{k * 7919}\tG\tA\n" for k in range(2000))
    packed = zstd((LINES + lines).encode())
    whole = read_pvar(write(tmp_path, packed, "s.pvar.zst"))
    assert len(whole.variants) == 2002
    for size in (5, 20, len(packed) // 2, len(packed) - 1):
        with refused("E222", "s.pvar.zst", "zstd"):
            read_pvar(write(tmp_path, packed[:size], "s.pvar.zst"))
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    with pytest.raises(FormatError):
        read_pvar(write(tmp_path, bytes(damaged), "s.pvar.zst"))


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    with refused("E222", "s.pvar.zst", "unpack to more than"):
        read_pvar(write(tmp_path, zstd(bytes(200 << 20)), "s.pvar.zst"))


def test_the_packed_pvar_stands_in(tmp_path: Path) -> None:
    plain = tmp_path / "s.pvar"
    assert find_pvar(plain) == plain
    packed = write(tmp_path, zstd(PVAR.encode()), "s.pvar.zst")
    assert find_pvar(plain) == packed
    plain.write_text(PVAR)
    assert find_pvar(plain) == plain
