"""lmmgwas.io.text: what is read, what is refused, and where the message points."""

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from lmmgwas.errors import FileAccessError, FormatError
from lmmgwas.io import text
from lmmgwas.io.text import access_error, is_number, nearest, parse_numbers, read_text, shown


@pytest.mark.parametrize(
    ("raw", "body", "n_notes"),
    [
        (b"", b"", 0),
        (b"a b\n", b"a b\n", 0),
        (b"a b", b"a b", 0),
        (b"a\r\nb\r\n", b"a\nb\n", 1),
        (b"a\r\nb\n", b"a\nb\n", 1),
        (b"\xef\xbb\xbfa\n", b"a\n", 1),
        (b"\xef\xbb\xbfa\r\n", b"a\n", 2),
        ("é\u00a0\u2028x\n".encode(), "é\u00a0\u2028x\n".encode(), 0),
    ],
)
def test_read_plain_and_gzip(tmp_path, raw, body, n_notes):
    half = len(raw) // 2
    packed = {
        "plain": raw,
        "one": gzip.compress(raw, mtime=0),
        "members": gzip.compress(raw[:half], mtime=0)
        + gzip.compress(raw[half:])
        + gzip.compress(b""),
    }
    for name, content in packed.items():
        (tmp_path / name).write_bytes(content)
        file = read_text(tmp_path / name)
        assert file.body == body
        assert len(file.remarks.notes) == n_notes
        assert not file.remarks.warnings


def test_large_gzip_of_many_members(tmp_path):
    raw = b"".join(b"line %d\n" % k for k in range(50_000))
    members = (gzip.compress(raw[k : k + 10_000], mtime=0) for k in range(0, len(raw), 10_000))
    (tmp_path / "a.gz").write_bytes(b"".join(members))
    assert read_text(tmp_path / "a.gz").body == raw


@pytest.mark.parametrize(
    ("raw", "code", "place", "words"),
    [
        (b"\xff\xfea\x00", "E206", ":1", "UTF-16"),
        (b"\xfe\xff\x00a", "E206", ":1", "UTF-16"),
        (b"a\nbc\xe9d\n", "E206", ":2:3", "UTF-8"),
        (b"a\x00b\n", "E206", ":1:2", "0x00"),
        (b"a\nb\x1b[2J\n", "E206", ":2:2", "0x1b"),
        (b"a\n\x7f\n", "E206", ":2:1", "0x7f"),
        (b"a\nb\x0cc\n", "E206", ":2:2", "0x0c"),
        ("a\u009b2J\n".encode(), "E206", ":1:2", "0x9b"),
        (b"a\rb\rc\r", "E206", ":1:2", "carriage return"),
        (b"a\r\nb\rc\r\n", "E206", ":2:2", "carriage return"),
        (b"\x28\xb5\x2f\xfdxx", "E206", "", "zstd"),
        (b"PK\x03\x04xx", "E206", "", "Excel"),
    ],
)
def test_refused_bytes(tmp_path, raw, code, place, words):
    path = tmp_path / "f"
    for content in (raw, gzip.compress(raw, mtime=0)):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=words) as caught:
            read_text(path)
        problem = caught.value.problems[0]
        assert (problem.code, problem.where) == (code, f"{path}{place}")


def test_each_line_that_is_no_text_is_named(tmp_path):
    lines = [b"a b\n"] * 60
    for k in (4, 9, 30):
        lines[k] = b"caf\xe9 \xe9\n"
    lines[9] = b"x\x07 \xe9\n"
    path = tmp_path / "f"
    path.write_bytes(b"".join(lines))
    with pytest.raises(FormatError) as caught:
        read_text(path)
    places = [p.where.removeprefix(f"{path}:") for p in caught.value.problems]
    assert places == ["5:4", "10:2", "31:4"]
    assert "0x07" in caught.value.problems[1].message
    path.write_bytes(b"\xe9\n" * 60)
    with pytest.raises(FormatError, match="more such lines follow") as caught:
        read_text(path)
    assert len(caught.value.problems) == 20
    assert caught.value.problems[18].where == f"{path}:19:1"


_PACKED = gzip.compress(b"FID IID y\n" * 1000, mtime=0)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "0 bytes"),
        (_PACKED[:-1], "truncated"),
        (_PACKED[:12], "truncated"),
        (_PACKED[:-8] + b"\0\0\0\0" + _PACKED[-4:], "damaged"),
        (_PACKED + b"x", f"1 bytes of garbage.*byte {len(_PACKED)}"),
        (_PACKED + b"\0" * 20, "20 bytes of garbage"),
        (_PACKED + _PACKED[:20], "truncated"),
        (b"\x1f\x8b\xff" + _PACKED[3:], "damaged"),
    ],
)
def test_refused_gzip(tmp_path, raw, words):
    (tmp_path / "f.gz").write_bytes(raw)
    with pytest.raises(FormatError, match=words) as caught:
        read_text(tmp_path / "f.gz")
    assert caught.value.problems[0].code == "E601"
    assert caught.value.exit_code == 3


def test_gzip_bomb_stops_early(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "MAX_UNPACKED_FREE", 1 << 20)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"0\n" * (1 << 24)))
    with pytest.raises(FormatError, match="unpack to more than") as caught:
        read_text(path)
    assert caught.value.problems[0].code == "E601"
    # The same size below the free limit, or packed as text packs, is no bomb.
    path.write_bytes(gzip.compress(b"0\n" * (1 << 18)))
    assert len(read_text(path).body) == 1 << 19


def test_long_line_is_refused_where_it_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "MAX_LINE_BYTES", 10)
    path = tmp_path / "f"
    path.write_bytes(b"0123456789\n" * 5)
    assert len(read_text(path).lines()) == 5
    path.write_bytes(b"abc\n" + b"x" * 11 + b"\nabc\n")
    with pytest.raises(FormatError) as caught:
        read_text(path)
    assert caught.value.problems[0].code == "E207"
    assert caught.value.problems[0].where == f"{path}:2:1"


def test_lines_keep_unicode_separators_and_drop_trailing_blank_lines(tmp_path):
    (tmp_path / "f").write_bytes("a\u2028bc\n\n d\t\n \t\n\n".encode())
    assert read_text(tmp_path / "f").lines() == ["a\u2028bc", "", " d\t"]


def test_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "pheno.tsv").write_text("x")
    (tmp_path / "unrelated").write_text("x")
    with pytest.raises(FileAccessError, match=r"no such file.*pheno\.tsv") as caught:
        read_text(tmp_path / "Pheno.txt")
    assert "unrelated" not in str(caught.value)
    assert caught.value.exit_code == 7
    assert caught.value.problems[0].code == "E110"
    with pytest.raises(FileAccessError, match="cannot be listed"):
        read_text(tmp_path / "nowhere" / "f")
    with pytest.raises(FileAccessError, match="similar name"):
        read_text(tmp_path / "zzzzzzz")


def test_folder_device_and_permission(tmp_path):
    with pytest.raises(FileAccessError, match="folder"):
        read_text(tmp_path)
    with pytest.raises(FileAccessError, match="device"):
        read_text("/dev/zero")
    # Tests may run as root, to whom every file is open.
    assert "permission" in str(access_error("f", PermissionError(13, "no")))
    assert "Stale" in str(access_error("f", OSError(116, "Stale file handle")))


def test_pipe_is_read(tmp_path):
    read_end, write_end = os.pipe()
    os.write(write_end, b"a b\n")
    os.close(write_end)
    assert read_text(f"/dev/fd/{read_end}").body == b"a b\n"
    os.close(read_end)


NUMBERS = ["0", "1", "-1", "+1", "1.", ".5", "-.5e-3", "1e5", "1E+05", "007", "1e-400", "0.1"]
NOT_NUMBERS = [
    "", " ", "1 ", " 1", "abc", "1.5abc", "0x10", "1_000", "１２", "٣", "1,5", "1e", "e5", ".",
    "--1", "1-2", "inf", "-inf", "nan", "NaN", "NA", "Infinity", "1.2.3", "1\u00a0", "True", "1\n",
]  # fmt: skip


@pytest.mark.parametrize("written", NUMBERS)
def test_numbers(written):
    values, good = parse_numbers([written])
    assert is_number(written)
    assert good.all()
    assert values[0] == float(written)


@pytest.mark.parametrize("written", NOT_NUMBERS)
def test_not_numbers(written):
    assert not is_number(written)
    values, good = parse_numbers([written])
    assert not good[0]
    assert math.isnan(values[0])


def test_parse_numbers_together():
    values, good = parse_numbers(NUMBERS + NOT_NUMBERS + ["1e400", "-1e400"])
    expected = [True] * len(NUMBERS) + [False] * len(NOT_NUMBERS) + [True, True]
    assert good.tolist() == expected
    np.testing.assert_array_equal(values[good], [*map(float, NUMBERS), np.inf, -np.inf])
    assert parse_numbers([])[0].shape == (0,)


def test_parse_numbers_is_exact():
    rng = np.random.default_rng(1)
    truth = rng.standard_normal(1000) * 10.0 ** rng.integers(-300, 300, 1000)
    values, good = parse_numbers([repr(float(x)) for x in truth])
    assert good.all()
    np.testing.assert_array_equal(values, truth)


def test_shown_and_nearest():
    assert shown("abc") == "'abc'"
    assert len(shown("x" * 10_000)) < 80
    assert nearest("pc1", ["PC1", "AGE"]) == ["PC1"]
    assert nearest("BMJ", ["BMI", "AGE"]) == ["BMI"]
    assert nearest("zzz", ["BMI"]) == []


def test_reference_gzip_without_python_gzip(tmp_path):
    # A member made by hand, with an optional file name field, as gzip(1) writes it.
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(b"a\n") + packer.flush()
    tail = zlib.crc32(b"a\n").to_bytes(4, "little") + (2).to_bytes(4, "little")
    head = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name\0"
    (tmp_path / "f").write_bytes(head + data + tail)
    assert read_text(tmp_path / "f").body == b"a\n"


def test_bgzf_without_its_end_block_is_refused(tmp_path: Path) -> None:
    """Each block is a whole gzip member, so that only the missing end shows the cut."""
    from lmmgwas.io.bgzf import END, compress_blocks

    blocks = [*compress_blocks(b"IID height\n" * 10_000), END]
    path = tmp_path / "t.gz"
    path.write_bytes(b"".join(blocks))
    assert len(read_text(path).lines()) == 10_000
    for kept in range(1, len(blocks)):
        path.write_bytes(b"".join(blocks[:kept]))
        with pytest.raises(FormatError, match=r"\[E601\].*lacks its end block"):
            read_text(path)
