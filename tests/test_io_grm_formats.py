"""Matrices of other programs: which file is meant, what is read, what is refused, what is written.

The files are written here from the formats' documentation, value by value; the programs' own are
read in test_cli_grm_formats.py.
"""

import gzip
import io
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lmmgwas.errors import FileAccessError, FormatError, LmmgwasError, MismatchError, UsageError
from lmmgwas.io import grm_matrices, grm_writers
from lmmgwas.io.grm_formats import GrmFile, GrmFormat, find_grm
from lmmgwas.io.grm_ids import ids_text, read_grm_ids
from lmmgwas.io.grm_matrices import Digits, Square, mapped_copy, packed_copy
from lmmgwas.io.grm_reading import ForeignGrm, read_foreign_grm
from lmmgwas.io.grm_text import printed_digits
from lmmgwas.io.grm_writers import (
    rel_ids,
    square_rows,
    triangle_rows,
    write_gemma,
    write_npy,
    write_rel,
    write_table,
)

N = 11
FAM = (tuple(f"F{i // 2}" for i in range(N)), tuple(f"I{i}" for i in range(N)))


def matrix(n: int = N, seed: int = 3) -> np.ndarray:
    """Something like a GRM, in float64."""
    Z = np.random.default_rng(seed).normal(size=(n, 40))
    return np.asarray(Z @ Z.T / 40.0)


K = (matrix() + matrix().T) / 2.0
TRIANGLE = np.array([K[i, j] for i in range(N) for j in range(i + 1)]).astype(np.float32)


@pytest.fixture(
    autouse=True,
    params=[3, pytest.param(512, marks=pytest.mark.slow)],
    ids=["blocks of 3", "one block"],
)
def _small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grm_matrices, "_ROWS", request.param)
    monkeypatch.setattr(grm_writers, "_ROWS", request.param)


def rel_bytes(K: np.ndarray, shape: str, letter: str) -> bytes:
    """plink2's matrix as its help describes it: `letter` is d (bin) or f (bin4)."""
    packed = b""
    for i in range(len(K)):
        last = len(K) if shape != "triangle" else i + 1
        row = [K[i, j] if j <= i or shape == "square" else 0.0 for j in range(last)]
        packed += struct.pack(f"<{last}{letter}", *row)
    return packed


def gemma_text(K: np.ndarray, form: str = "{:.10g}", end: str = "\n") -> str:
    """GEMMA's matrix as its sources have it: ten digits, tabs."""
    return "".join("\t".join(form.format(v) for v in row) + end for row in K.tolist())


def table_text(
    K: np.ndarray, delimiter: str = "\t", corner: str = "id", names: tuple[str, ...] = FAM[1]
) -> str:
    rows = zip(names, K.tolist(), strict=True)
    lines = [[corner, *names], *([name, *map(repr, row)] for name, row in rows)]
    return "".join(delimiter.join(line) + "\n" for line in lines)


def npy_bytes(K: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, K, allow_pickle=False)
    return stream.getvalue()


def read(path: Path, fam: tuple | None = FAM) -> ForeignGrm:
    found = find_grm(path)
    before = set(path.parent.iterdir())
    try:
        return read_foreign_grm(found, fam, path.parent)
    finally:
        assert set(path.parent.iterdir()) == before  # temporary files have no name


def refused(path: Path, fam: tuple | None = FAM) -> LmmgwasError:
    with pytest.raises(LmmgwasError) as caught:
        read(path, fam)
    return caught.value


def put(path: Path, content: bytes | str, ids: str = ids_text(FAM)) -> Path:
    """Write a matrix, and the list of samples where its format has one."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if path.name.endswith(".rel.bin"):
        path.with_name(path.name[:-4] + ".id").write_text(ids)
    elif path.name.endswith(".npy"):
        path.with_name(path.name + ".id").write_text(ids)
    return path


# --- Which file is meant ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "given", "format", "values"),
    [
        ("a.grm.bin", "a", "gcta", "a.grm.bin"),
        ("a.grm.bin", "a.grm.bin", "gcta", "a.grm.bin"),
        ("a.cXX.txt", "a", "gemma", "a.cXX.txt"),
        ("a.sXX.txt.gz", "a", "gemma", "a.sXX.txt.gz"),
        ("a.sXX.txt", "a.sXX.txt", "gemma", "a.sXX.txt"),
        ("a.rel.bin", "a", "plink2", "a.rel.bin"),
        ("a.rel.bin", "a.rel.bin", "plink2", "a.rel.bin"),
        ("a.npy", "a", "npy", "a.npy"),
        ("a.npy", "a.npy", "npy", "a.npy"),
        ("a.grm.tsv", "a", "table", "a.grm.tsv"),
        ("a.grm.csv.gz", "a", "table", "a.grm.csv.gz"),
        *((f"a.{s}", f"a.{s}", "table", f"a.{s}") for s in ("tsv", "csv", "txt.gz", "tab")),
        ("a.grm.bin a.rel.bin a.cXX.txt a.king.bin", "a", "gcta", "a.grm.bin"),  # it comes first
        ("a.grm.bin a.rel.bin", "a.rel.bin", "plink2", "a.rel.bin"),
        ("a.cXX.txt a.rel.bin", "a.cXX.txt", "gemma", "a.cXX.txt"),
        ("a.rel.bin a.king.bin", "a", "plink2", "a.rel.bin"),
        ("a.rel.bin a.tsv a.txt", "a", "plink2", "a.rel.bin"),  # may be tables of traits
        ("a.tsv", "a", "gcta", "a.grm.bin"),
        ("a a.rel.bin", "a", "plink2", "a.rel.bin"),
        ("", "a", "gcta", "a.grm.bin"),  # whose files are then missed
        ("", "a.rel.bin", "plink2", "a.rel.bin"),
        ("a.kin0", "a", "gcta", "a.grm.bin"),
    ],
)
def test_what_is_meant(there: str, given: str, format: str, values: str, tmp_path: Path) -> None:
    for name in there.split():
        (tmp_path / name).touch()
    found = find_grm(tmp_path / given)
    assert found.format == format
    assert found.values == tmp_path / values
    names = {"gcta": "a.grm.id", "plink2": "a.rel.id", "npy": "a.npy.id"}
    assert found.ids == (tmp_path / names[format] if format in names else None)
    assert found.prefix == (tmp_path / "a" if format == "gcta" else found.values)


@pytest.mark.parametrize(
    ("there", "given", "code", "words"),
    [
        ("a.cXX.txt a.sXX.txt", "a", "E713", ("2 matrices", "a.cXX.txt", "a.sXX.txt")),
        ("a.npy a.rel.bin a.grm.tsv", "a", "E713", ("3 matrices", "a.npy", "a.rel.bin")),
        ("a", "a", "E712", ("does not say what it is", ".rel.bin", ".cXX.txt")),
        ("a.grm.gz", "a", "E712", ("a.grm.gz", "--make-grm-bin")),
        ("a.grm.gz", "a.grm.gz", "E712", ("--make-grm-bin",)),
        ("a.rel", "a", "E712", ("--make-rel bin",)),
        ("a.npz", "a.npz", "E712", ("numpy.save",)),
        ("a.king.bin", "a", "E714", ("a.king.bin", "KING", "half of relatedness", "lmmgwas grm")),
        ("a.king.bin", "a.king.bin", "E714", ("KING",)),
        ("a.king", "a", "E714", ("KING",)),
        ("a.kin0", "a.kin0", "E714", ("KING",)),
    ],
)
def test_what_cannot_be_meant(
    there: str, given: str, code: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    for name in there.split():
        (tmp_path / name).touch()
    with pytest.raises(FormatError) as caught:
        find_grm(tmp_path / given)
    assert caught.value.problems[0].code == code
    assert all(word in str(caught.value) for word in words)


def test_a_folder_is_no_prefix() -> None:
    with pytest.raises(FileAccessError, match="E110"):
        find_grm(Path())


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    assert find_grm(tmp_path / ("a" * 300)).format == "gcta"  # whose files are then missed


@pytest.mark.parametrize(
    ("text", "fid", "iid"),
    [
        ("#FID\tIID\nF0\tI0\n0\tI1\n", ("F0", ""), ("I0", "I1")),
        ("#IID\nI0\nI1\n", ("", ""), ("I0", "I1")),
        ("#FID\tIID\tSID\nF0\tI0\t1\nF0\tI1\t1\n", ("F0", "F0"), ("I0", "I1")),
        ("#IID\tSID\nI0\tx\nI1\tx\n", ("", ""), ("I0", "I1")),
        ("FID IID\nF0 I0\nF0 I1\n", ("F0", "F0"), ("I0", "I1")),
        ("F0 I0\nF0 I1\n", ("F0", "F0"), ("I0", "I1")),
        ("I0\nI1\n", ("", ""), ("I0", "I1")),
    ],
)
def test_lists_of_samples(text: str, fid: tuple, iid: tuple, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text(text)
    assert read_grm_ids(tmp_path / "ids") == (fid, iid)


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("#FID\tIID\n", "E706", "ids"),
        ("#FID\tIID\nF0\tI0\nI1\n", "E706", "ids:3"),
        ("#IID\nI0\nF1 I1\n", "E706", "ids:3"),
        ("#FID\tIID\tSID\nF0\tI0\t1\nF0\tI0\t2\n", "E301", "ids"),
        ("F0 I0 x\nF1 I1 x\n", "E706", "ids:1"),
        ("I0\nI1", "E706", "ids:2"),
    ],
)
def test_lists_that_are_refused(text: str, code: str, where: str, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text(text)
    with pytest.raises(FormatError) as caught:
        read_grm_ids(tmp_path / "ids")
    assert caught.value.problems[0].code == code
    assert caught.value.problems[0].where.endswith(where)


# --- What is read -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["square", "square0", "triangle"])
@pytest.mark.parametrize(("letter", "words"), [("d", "float64"), ("f", "float32")])
def test_plink2(shape: str, letter: str, words: str, tmp_path: Path) -> None:
    path = put(tmp_path / "a.rel.bin", rel_bytes(K, shape, letter), rel_ids(FAM))
    found = read(path, None)
    np.testing.assert_array_equal(found.grm.whole.values, TRIANGLE)
    assert (found.grm.fid, found.grm.iid) == FAM
    assert f"{shape.removesuffix('0')}, {words}, samples of a.rel.id" in found.what
    assert found.files == [path, tmp_path / "a.rel.id"]
    assert not found.grm.parts


@pytest.mark.parametrize("form", ["{:.10g}", "{:.17g}", "{:.9e}", "{:+.12f}", "{:.20f}"])
@pytest.mark.parametrize("end", ["\n", "\t\n", "\r\n", "  \n"])
def test_gemma(form: str, end: str, tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.cXX.txt", gemma_text(K, form, end)))
    # Ten digits are more than a float32 holds.
    np.testing.assert_allclose(found.grm.whole.values, TRIANGLE, rtol=6e-8, atol=1e-12)
    assert (found.grm.fid, found.grm.iid) == FAM
    assert "GEMMA" in found.what
    assert found.files == [tmp_path / "a.cXX.txt"]
    assert bool(found.remarks.notes) == (end == "\r\n")


def test_gemma_packed(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.sXX.txt.gz", gzip.compress(gemma_text(K, "{!r}").encode())))
    np.testing.assert_array_equal(found.grm.whole.values, TRIANGLE)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", table_text(K)),
        ("a.csv", table_text(K, ",", "")),
        ("a.txt", table_text(K, " ", "IID")),
        ("a.txt", table_text(K, " ", "")),  # R's write.table: no field above the names of rows
        ("a.tsv", table_text(K).removeprefix("id\t")),
        ("a.csv", re.sub(r"(I\d+|^id)", r'"\1"', table_text(K, ","))),
        ("a.csv", table_text(K, ", ")),
        ("a.tsv", table_text(K).replace("\n", "\r\n")),
        ("a.tsv.gz", table_text(K)),
    ],
    ids=["tabs", "commas", "blanks", "R", "R tabs", "quoted", "comma blank", "CRLF", "gzip"],
)
def test_tables(name: str, text: str, tmp_path: Path) -> None:
    content = gzip.compress(text.encode()) if name.endswith("gz") else text
    found = read(put(tmp_path / name, content), None)
    np.testing.assert_array_equal(found.grm.whole.values, TRIANGLE)
    assert found.grm.iid == FAM[1]
    assert set(found.grm.fid) == {""}
    assert "a square table with names" in found.what


@pytest.mark.parametrize("kind", ["<f4", "<f8", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy(kind: str, order: str, tmp_path: Path) -> None:
    array = np.asarray(K.astype(kind), order=order)  # type: ignore[call-overload]
    found = read(put(tmp_path / "a.npy", npy_bytes(array)), None)
    np.testing.assert_array_equal(found.grm.whole.values, TRIANGLE)
    assert f"NumPy array, square, float{8 * array.itemsize}, samples of a.npy.id" in found.what


def test_a_triangle_of_floats_is_not_copied(tmp_path: Path) -> None:
    path = put(tmp_path / "a.rel.bin", rel_bytes(K, "triangle", "f"))
    values = read(path).grm.whole.values
    assert isinstance(values, np.memmap)
    assert values.filename == path


def test_values_that_are_not_finite_pass_to_the_check_of_values(tmp_path: Path) -> None:
    """Which names the samples: E702 of pipeline.grm_checks. A double may be too large, too."""
    bad = K.copy()
    bad[4, 2] = bad[2, 4] = np.nan
    bad[7, 7] = 1e300
    path = put(tmp_path / "a.rel.bin", rel_bytes(bad, "square", "d"))
    values = read(path).grm.whole.values
    assert np.flatnonzero(~np.isfinite(values)).tolist() == [4 * 5 // 2 + 2, 7 * 8 // 2 + 7]


def test_a_square_is_packed_without_a_square_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grm_matrices, "_ROWS", 32)
    n = 1_200
    path = tmp_path / "a.npy"
    big = matrix(n)
    np.save(path, (big + big.T) / 2.0, allow_pickle=False)
    expected = np.load(path)[np.tril_indices(n)].astype(np.float32)
    put(path, path.read_bytes(), "".join(f"I{i}\n" for i in range(n)))
    del big
    tracemalloc.start()
    try:
        values = read(path).grm.whole.values
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(values, expected)
    # A few blocks of 32 rows: the square has 1,200, the triangle in float32 a quarter of that.
    assert peak < 8 * n * n / 4


# --- What is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (rel_bytes(K, "square", "d")[:-1], ("967 bytes", "the 11 samples", "truncated")),
        (rel_bytes(K, "square", "d")[:-16], ("952 bytes", "truncated")),
        (rel_bytes(K[:9, :9], "square", "d"), ("648 bytes", "the size for 9 samples")),
        (rel_bytes(K[:10, :10], "triangle", "f"), ("220 bytes", "the size for 10 samples")),
        (b"", ("0 bytes", "truncated")),
    ],
)
def test_sizes_of_rel_bin(content: bytes, words: tuple[str, ...], tmp_path: Path) -> None:
    error = refused(put(tmp_path / "a.rel.bin", content))
    assert isinstance(error, FormatError)
    assert error.problems[0].code == "E707"
    assert error.problems[0].where == str(tmp_path / "a.rel.bin")
    assert all(word in str(error) for word in words)


def damaged(change: Callable[[list[list[str]]], object]) -> str:
    """The text of GEMMA's matrix, changed cell by cell."""
    cells = [line.split("\t") for line in gemma_text(K).split("\n")[:-1]]
    change(cells)
    return "".join("\t".join(row) + "\n" for row in cells)


def set_cell(row: int, column: int, text: str) -> Callable[[list[list[str]]], object]:
    return lambda cells: cells[row].__setitem__(column, text)


@pytest.mark.parametrize(
    ("text", "code", "where", "words"),
    [
        *(
            (damaged(set_cell(4, 2, bad)), "E715", ":5:3", (repr(bad), "no number"))
            for bad in ("nan", "inf", "-inf", "NA", "0x1p-3", "1_0", "1,5", "1e999", "٣", "--1")
        ),
        (damaged(lambda c: c[3].pop()), "E716", ":4:11", ("short line: 10 numbers", "11")),
        (damaged(lambda c: c[3].append("1")), "E716", ":4:12", ("long line: 12 numbers",)),
        (damaged(lambda c: c.pop()), "E716", ":11", ("10 rows of 11", "cut short")),
        (damaged(lambda c: c.append(c[0])), "E716", ":12", ("12 rows of 11", "below")),
        (damaged(lambda c: c.insert(3, [])), "E716", ":4:1", ("0 numbers",)),
        (damaged(lambda c: [r.pop() for r in c]), "E717", ":1", ("10 columns", "11 samples")),
        (damaged(lambda c: [r.append("0") for r in c]), "E717", ":1", ("12 columns",)),
        ("1\t1\t0.5\n", "E717", ":1", ("list of pairs",)),
        ("", "E716", ":1", ("0 rows",)),
        (damaged(set_cell(4, 2, "7.25")), "E718", ":5", ("row 5, column 3 has 7.25", "symmetric")),
        (damaged(set_cell(2, 4, "7.25")), "E718", ":5", ("row 3, column 5 has 7.25",)),
        (damaged(set_cell(10, 10, "1\x001")), "E206", ":11:11", ("control character 0x00",)),
    ],
)
def test_text_that_is_refused(
    text: str, code: str, where: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    path = put(tmp_path / "a.cXX.txt", text)
    error = refused(path)
    assert error.problems[0].code == code
    assert error.problems[0].where == f"{path}{where}"
    assert all(word in str(error) for word in words)
    assert isinstance(error, MismatchError if code == "E717" else FormatError)


def test_all_wrong_cells_of_a_line_are_named(tmp_path: Path) -> None:
    def spoil(cells: list[list[str]]) -> None:
        cells[4][2] = cells[4][9] = "nan"

    error = refused(put(tmp_path / "a.cXX.txt", damaged(spoil)))
    assert [p.where.rsplit("txt", 1)[1] for p in error.problems] == [":5:3", ":5:10"]


def test_gemma_without_a_fam(tmp_path: Path) -> None:
    error = refused(put(tmp_path / "a.cXX.txt", gemma_text(K)), None)
    assert isinstance(error, UsageError)
    assert error.problems[0].code == "E020"


def test_a_text_without_a_last_line_end_is_doubtful(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.cXX.txt", gemma_text(K)[:-2]))
    assert "no line end" in found.remarks.warnings[0]


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        (table_text(K).replace("\nI4\t", "\nI5\t"), "E720", ":6:1"),
        (table_text(K).replace("\tI4\t", "\t\t"), "E720", ":1:6"),
        (table_text(K).replace("I4", "I5"), "E301", ":1"),
        (table_text(K).replace("\tI10\n", "\n"), "E720", ":2:1"),  # now it has no corner
        (table_text(K).replace("\tI9\tI10\n", "\n"), "E716", ":2"),
        (gemma_text(K), "E720", ":1:1"),  # no names, but numbers
        ("id\tI0\tI1\n", "E716", ":2"),
        ("", "E716", ":2"),
        (table_text(K).replace("\nI4\t", "\nI4\tx"), "E715", ":6:2"),
        (table_text(K).replace("\nI4\t", "\nI4\t1\t"), "E716", ":6:13"),
        (table_text(K)[: table_text(K).index("\nI10")], "E716", ":12"),
    ],
)
def test_tables_that_are_refused(text: str, code: str, where: str, tmp_path: Path) -> None:
    path = put(tmp_path / "a.tsv", text)
    error = refused(path)
    assert error.problems[0].code == code
    assert error.problems[0].where == f"{path}{where}"


def header_of(shape: str) -> bytes:
    """A header that promises what the file has not."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "E719", ("no array",)),
        (b"text", "E719", ("no array",)),
        (b"PK\x03\x04 an archive", "E719", ("no array",)),
        (b"\x80\x04pickle", "E719", ("no array",)),
        (npy_bytes(K)[:-8], "E719", ("1088 bytes, expected 1096", "cut short")),
        (npy_bytes(K) + bytes(8), "E719", ("1104 bytes, expected 1096", "more than one")),
        (npy_bytes(K[0]), "E719", ("shape 11, expected", "square")),
        (npy_bytes(K[:5]), "E719", ("shape 5 x 11",)),
        (npy_bytes(K[None]), "E719", ("shape 1 x 11 x 11",)),
        (npy_bytes(K.astype(np.int64)), "E719", ("<i8", "float32 or float64")),
        (npy_bytes(K.astype(np.complex128)), "E719", ("<c16",)),
        (npy_bytes(K.astype(np.float16)), "E719", ("<f2",)),
        (header_of("(11, 11)"), "E719", ("expected 1096",)),
        (header_of("(1000000000, 1000000000)"), "E719", ("cut short",)),
        (header_of("__import__('os')"), "E719", ("header is not that",)),
        (header_of("()"), "E719", ("the shape ,",)),
        (npy_bytes(np.zeros((2, 2), dtype=[("a", "<f8")])), "E719", ("records or objects",)),
        (npy_bytes(K[:5, :5]), "E717", ("5 rows", "list of samples 11")),
        (npy_bytes(np.tril(K)), "E718", ("not symmetric",)),  # a factor is no relatedness
    ],
)
def test_arrays_that_are_refused(
    content: bytes, code: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    path = put(tmp_path / "a.npy", content)
    error = refused(path)
    assert error.problems[0].code == code
    assert error.problems[0].where.startswith(str(path))
    assert all(word in str(error) for word in words)


def test_an_array_of_objects_is_never_loaded(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npy", b"")
    np.save(path, np.array([[{}]], dtype=object), allow_pickle=True)
    assert refused(path).problems[0].code == "E719"


@pytest.mark.parametrize("suffix", ["rel.bin", "npy"])
def test_a_list_of_samples_that_is_not_there(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(rel_bytes(K, "square", "d"))
    error = refused(tmp_path / f"a.{suffix}")
    assert isinstance(error, FileAccessError)
    assert error.problems[0].where.endswith("a.rel.id" if suffix == "rel.bin" else "a.npy.id")


@pytest.mark.parametrize("suffix", ["rel.bin", "npy", "cXX.txt", "tsv"])
def test_a_matrix_that_is_not_there(suffix: str, tmp_path: Path) -> None:
    path = put(tmp_path / f"a.{suffix}", "")
    path.unlink()
    error = refused(path)
    assert error.problems[0].code == "E110"
    assert error.problems[0].where == str(path)


CUT = {
    "a.rel.bin f": rel_bytes(K, "square", "f"),
    "a.rel.bin d": rel_bytes(K, "square", "d"),
    "a.rel.bin 0": rel_bytes(K, "square0", "f"),
    "a.rel.bin t": rel_bytes(K, "triangle", "f"),
    "a.npy": npy_bytes(K[:4, :4]),
    "a.cXX.txt": gemma_text(K[:4, :4]).encode(),
    "a.sXX.txt": gemma_text(K[:4, :4], end="\t\n").encode(),
    "a.sXX.txt.gz": gzip.compress(gemma_text(K[:4, :4]).encode(), mtime=0),
    "a.tsv": table_text(K[:4, :4], names=FAM[1][:4]).encode(),
    "a.csv": table_text(K[:4, :4], ",", names=FAM[1][:4]).encode(),
    "a.rel.id": rel_ids(FAM).encode(),
    "a.npy.id": ids_text((FAM[0][:4], FAM[1][:4])).encode(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CUT)
def test_no_cut_file_is_taken_for_a_whole_one(name: str, tmp_path: Path) -> None:
    """Cut at each byte: refused, or the same, or with a warning."""
    n = N if ".rel." in name else 4
    few = (FAM[0][:n], FAM[1][:n])
    source = name.replace(".rel.id", ".rel.bin f").removesuffix(".id")
    matrix = source.split()[0]
    put(tmp_path / matrix, CUT[source], rel_ids(few))
    path = tmp_path / name.split()[0]
    whole = read(tmp_path / matrix, few).grm
    outcomes = set()
    for size in range(len(CUT[name]) - 1, -1, -1):
        path.write_bytes(CUT[name][:size])
        try:
            found = read(tmp_path / matrix, few)
        except LmmgwasError:
            outcomes.add("refused")
            continue
        same = np.array_equal(found.grm.whole.values, whole.whole.values)
        same = same and (found.grm.fid, found.grm.iid) == (whole.fid, whole.iid)
        outcomes.add("warned" if found.remarks.warnings else "same" if same else "silent")
    assert "refused" in outcomes
    assert "silent" not in outcomes


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2, 3])
def test_damaged_headers_of_arrays(version: int, tmp_path: Path) -> None:
    """Some byte of the header is another: the same array, another one of ours, or refused."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, K, version=(version, 0), allow_pickle=False)
    data = stream.getvalue()
    rng = np.random.default_rng(version)
    path = put(tmp_path / "a.npy", data)
    n_refused = 0
    for _ in range(400):
        spoiled = bytearray(data)
        for at in rng.integers(0, 90, rng.integers(1, 4)):
            spoiled[at] = rng.integers(0, 256)
        path.write_bytes(spoiled)
        try:
            assert read(path).grm.whole.values.size == TRIANGLE.size
        except LmmgwasError:
            n_refused += 1
    assert n_refused > 300


# --- How far the two halves may differ --------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "difference", "allowed"),
    [
        ("{:.10g}", 0.9e-6, True),  # of the mean diagonal, as float32 leaves it
        ("{:.10g}", 2e-6, False),
        ("{:.4f}", 1e-4, True),  # one unit of the last place
        ("{:.4f}", 2e-4, False),
        ("{:.3f}", 1e-3, True),
        ("{:.3f}", 2e-3, False),
        ("{:.3g}", 0.001, True),  # of 0.1 to 1
        ("{:.3g}", 0.002, False),
        ("{:.2f}", 0.01, True),
        ("{:.2f}", 0.02, False),
        ("{:.0f}", 1, False),  # too coarse for a tolerance
    ],
)
def test_asymmetry(form: str, difference: float, allowed: bool, tmp_path: Path) -> None:
    scaled = K / np.diagonal(K).mean()
    i, j = np.argwhere(np.tril(np.abs(scaled), -1) > 0.2)[0]  # three digits: to a thousandth
    printed = [[form.format(v) for v in row] for row in scaled]
    for a in range(N):
        for b in range(a):
            printed[b][a] = printed[a][b]
    value = float(printed[i][j])
    printed[j][i] = (
        f"{value + difference:.10g}" if form == "{:.10g}" else form.format(value + difference)
    )
    path = put(tmp_path / "a.cXX.txt", "".join("\t".join(row) + "\n" for row in printed))
    if allowed:
        found = read(path).grm.whole.values
        assert found[i * (i + 1) // 2 + j] == np.float32(value)  # the half below the diagonal
    else:
        assert refused(path).problems[0].code == "E718"


@pytest.mark.parametrize(
    ("texts", "digits"),
    [
        (["0.1", "0.0123", "-1.5"], Digits(4, 3)),
        (["1", "10", "0"], Digits(0, 2)),
        (["1.25e-05", "1.2"], Digits(7, 3)),
        (["1.5E3", "+2.25", ".5", "3."], Digits(2, 3)),
        (["x", "0.5"], Digits(1, 1)),
        ([], Digits(0, 1)),
    ],
)
def test_digits(texts: list[str], digits: Digits) -> None:
    assert printed_digits(texts) == digits


def test_units_of_the_last_place() -> None:
    assert Digits(4, 5).unit(0.0123) == pytest.approx(1e-4)  # %.4f
    assert Digits(7, 3).unit(1.25) == pytest.approx(1e-2)  # %.3g
    assert Digits(7, 3).unit(0.0) == pytest.approx(1e-7)


def test_zeros_above_are_plink2s_alone(tmp_path: Path) -> None:
    half = np.tril(K)
    packed = packed_copy(Square(half, "x", zero_above=True), tmp_path)
    np.testing.assert_array_equal(packed, TRIANGLE)
    with pytest.raises(FormatError, match="E718"):
        packed_copy(Square(half, "x"), tmp_path)
    half[0, N - 1] = 1e-3  # not nothing but zeros
    with pytest.raises(FormatError, match="E718"):
        packed_copy(Square(half, "x", zero_above=True), tmp_path)


def test_a_diagonal_matrix_is_symmetric(tmp_path: Path) -> None:
    for zero_above in (False, True):
        packed = packed_copy(Square(np.eye(N), "x", zero_above=zero_above), tmp_path)
        assert packed.sum() == N


def test_a_copy_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"\[E112\].*temporary copy of the GRM"):
        mapped_copy([TRIANGLE], tmp_path / "no")


@pytest.mark.parametrize("write", [write_gemma, write_rel, write_npy])
def test_a_matrix_that_cannot_be_written(write: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"\[E705\] writing .*/no/k failed") as caught:
        write(tmp_path / "no" / "k", TRIANGLE, np.arange(N))
    assert caught.value.exit_code == 7


def test_a_matrix_that_cannot_be_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    put(tmp_path / "a.npy", b"")
    (tmp_path / "a.npy").unlink()
    (tmp_path / "a.npy").mkdir()
    assert "this is a folder" in str(refused(tmp_path / "a.npy"))
    path = put(tmp_path / "a.rel.bin", rel_bytes(K, "square", "d"))
    monkeypatch.setattr(np, "memmap", refuse)
    assert "[E110]" in str(refused(path))


# --- What is written --------------------------------------------------------------------------


def write(format: str, path: Path, order: np.ndarray) -> None:
    if format == "table":
        write_table(path, TRIANGLE, order, tuple(FAM[1][i] for i in order))
    else:
        writers = {"gemma": write_gemma, "plink2": write_rel, "npy": write_npy}
        writers[format](path, TRIANGLE, order)


NAMES = {"gemma": "a.cXX.txt", "plink2": "a.rel.bin", "table": "a.grm.tsv", "npy": "a.npy"}


@pytest.mark.parametrize("format", NAMES)
@pytest.mark.parametrize("order", [range(N), [7, 2, 10, 0]], ids=["all", "some"])
def test_round_trip(format: str, order: range | list[int], tmp_path: Path) -> None:
    rows = np.array(order)
    ids = tuple(tuple(column[i] for i in rows) for column in FAM)
    path = put(tmp_path / NAMES[format], "", rel_ids(ids))
    write(format, path, rows)
    found = read(path, ids)
    expected = K.astype(np.float32)[np.ix_(rows, rows)][np.tril_indices(rows.size)]
    np.testing.assert_array_equal(found.grm.whole.values, expected)
    assert found.grm.iid == ids[1]
    assert found.grm.fid == (("",) * rows.size if format == "table" else ids[0])


def test_files_as_other_programs_read_them(tmp_path: Path) -> None:
    single = K.astype(np.float32)
    for format, name in NAMES.items():
        write(format, tmp_path / name, np.arange(N))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), single)
    assert (tmp_path / "a.npy").read_bytes() == npy_bytes(single)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "a.cXX.txt").astype("f4"), single)
    assert (tmp_path / "a.rel.bin").read_bytes() == rel_bytes(single, "square", "d")
    lines = (tmp_path / "a.grm.tsv").read_text().split("\n")
    assert lines[0] == "\t".join(("IID", *FAM[1]))
    assert [line.split("\t")[0] for line in lines[1:-1]] == list(FAM[1])


def test_nine_digits_tell_all_floats_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    values = rng.integers(0, 1 << 31, 3_000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([values, -values, np.float32([0.0, 1e-45, 3.4028235e38, 1 / 3])])
    values = values[np.isfinite(values)]
    back = np.array([float(f"{v:.9g}") for v in values.tolist()]).astype(np.float32)
    np.testing.assert_array_equal(back, values)


def test_rows_in_another_order() -> None:
    order = np.array([3, 0, 9, 10, 1])
    expected = K.astype(np.float32)[np.ix_(order, order)]
    np.testing.assert_array_equal(np.concatenate(list(square_rows(TRIANGLE, order))), expected)
    packed = np.concatenate(list(triangle_rows(TRIANGLE, order)))
    np.testing.assert_array_equal(packed, expected[np.tril_indices(5)])


def test_lists_of_plink2() -> None:
    assert rel_ids((("F0", ""), ("I0", "I1"))) == "#FID\tIID\nF0\tI0\n0\tI1\n"
    assert rel_ids((("", ""), ("I0", "I1"))) == "#IID\nI0\nI1\n"


def test_formats_are_told_apart_by_name_only() -> None:
    """A file's content never decides which samples its rows are."""
    assert {f.value for f in GrmFormat} == {"gcta", "gemma", "plink2", "table", "npy"}
    file = GrmFile(GrmFormat.NPY, Path("x"), Path("x"), None)
    assert file.ids is None
