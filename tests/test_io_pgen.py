"""PGEN files against the calls they were written from, and every way a file set can be wrong."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import MISSING, Study, simulate_study
from pgen_files import pvar_text, with_flags, write_dosages, write_pfile, write_pgen

from lmmgwas.errors import FileAccessError, FormatError, LmmgwasError, MismatchError, UsageError
from lmmgwas.io import pgen as pgen_module
from lmmgwas.io.pfile import PgenSource
from lmmgwas.io.pgen_header import read_pgen_header
from lmmgwas.io.plain_pgen import read_pgen_dosage
from lmmgwas.io.watched import WatchedFile


def random_calls(n: int, m: int, seed: int = 0, missing: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    frequency = rng.choice([0.001, 0.01, 0.2, 0.5, 0.99], (m, 1))
    calls = rng.binomial(2, frequency, (m, n))
    return np.where(rng.random((m, n)) < missing, MISSING, calls)


def write_set(folder: Path, calls: np.ndarray, **how: object) -> tuple[Path, Path, Path]:
    m, n = calls.shape
    paths = folder / "s.pgen", folder / "s.pvar", folder / "s.psam"
    write_pgen(paths[0], calls, **how)
    lines = "".join(f"1\t{100 + j}\trs{j}\tG\tA\n" for j in range(m))
    paths[1].write_text("#CHROM\tPOS\tID\tREF\tALT\n" + lines)
    paths[2].write_text("#IID\tSEX\n" + "".join(f"I{i}\t{1 + i % 2}\n" for i in range(n)))
    return paths


def opened(paths: tuple[Path, Path, Path]) -> PgenSource:
    return PgenSource.open(*paths)


@pytest.mark.parametrize("phased", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 64, 65, 300])
def test_calls(tmp_path: Path, n: int, phased: bool) -> None:
    calls = random_calls(n, 60, missing=0.1 if n > 5 else 0.0)
    source = opened(write_set(tmp_path, calls, phased=phased))
    every = np.arange(60)
    read = source.read(every)
    assert read.dtype == np.int8
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, calls)
    rng = np.random.default_rng(1)
    for index in (every[::-1], rng.integers(0, 60, 40), every[7:8], every[:0]):
        np.testing.assert_array_equal(source.read(index), calls[index])
    with pytest.raises(IndexError):
        source.read(np.array([60]))


def test_linked_variants_are_stored_as_differences(tmp_path: Path) -> None:
    """PGEN keeps a variant as its differences from one before; each is read on its own, too."""
    rng = np.random.default_rng(3)
    first = rng.binomial(2, 0.4, 400)
    calls = np.array([np.where(rng.random(400) < 0.02, 2 - first, first) for _ in range(30)])
    paths = write_set(tmp_path, calls)
    assert paths[0].stat().st_size < 30 * 100
    for row in rng.permutation(30):
        np.testing.assert_array_equal(opened(paths).read(np.array([row]))[0], calls[row])


def test_more_than_one_block_of_the_index(tmp_path: Path) -> None:
    m = (1 << 16) + 5
    calls = np.zeros((m, 3), dtype=np.int8)
    calls[:, 0] = np.arange(m) % 3
    calls[-1] = [2, 1, MISSING]
    flags = np.arange(m) % 7 == 0
    paths = write_set(tmp_path, calls, nonref=False)
    rows = np.array([0, 1, 2, 65534, 65535, 65536, 65540])
    assert opened(paths).variants.other_is_reference.all()
    paths[0].write_bytes(with_flags(paths[0].read_bytes(), flags))
    source = opened(paths)
    np.testing.assert_array_equal(source.read(rows), calls[rows])
    np.testing.assert_array_equal(source.variants.other_is_reference, ~flags)


@pytest.mark.parametrize(
    ("nonref", "info", "expected"),
    [
        (True, None, None),
        (False, None, [True, True, True]),
        (np.array([True, False, True]), None, [False, True, False]),
        (None, None, None),
        (None, ["PR", ".", "AC=1;PR"], [False, True, False]),
    ],
    ids=["provisional", "reference", "each", "not told", "in the .pvar"],
)
def test_what_is_known_of_the_reference(
    tmp_path: Path, nonref: object, info: list[str] | None, expected: list[bool] | None
) -> None:
    flags = nonref if isinstance(nonref, np.ndarray) else None
    paths = write_set(tmp_path, random_calls(5, 3), nonref=nonref if flags is None else False)
    if flags is not None:
        paths[0].write_bytes(with_flags(paths[0].read_bytes(), flags))
    if info is not None:
        header, *lines = paths[1].read_text().splitlines()
        rows = [f"{line}\t{cell}" for line, cell in zip(lines, info, strict=True)]
        paths[1].write_text("\n".join([header + "\tINFO", *rows, ""]))
    known = opened(paths).variants.other_is_reference
    assert (known is None and expected is None) or known.tolist() == expected


def test_threads_read_at_a_time(tmp_path: Path) -> None:
    calls = random_calls(211, 500, seed=5)
    source = opened(write_set(tmp_path, calls))
    rng = np.random.default_rng(2)
    wanted = [rng.integers(0, 500, 64) for _ in range(200)]
    with ThreadPoolExecutor(2 * pgen_module.MOST_READERS) as pool:
        for index, read in zip(wanted, pool.map(source.read, wanted), strict=True):
            np.testing.assert_array_equal(read, calls[index])


def test_the_plain_reader_agrees(tmp_path: Path) -> None:
    calls = random_calls(50, 20)
    paths = write_set(tmp_path, calls)
    expected = np.where(calls == MISSING, np.nan, calls)
    for row in range(20):
        np.testing.assert_array_equal(read_pgen_dosage(paths, 50, row), expected[row])
        again = read_pgen_dosage([*paths, *paths], 50, row + 20)
        np.testing.assert_array_equal(again, expected[row])
    with pytest.raises(IndexError):
        read_pgen_dosage(paths, 50, 20)
    with pytest.raises(FileAccessError, match="E110"):
        read_pgen_dosage([paths[1]], 50, 0)


def test_a_file_that_was_cut_is_refused_at_every_byte(tmp_path: Path) -> None:
    paths = write_set(tmp_path, random_calls(40, 30))
    whole = paths[0].read_bytes()
    for size in range(len(whole)):
        paths[0].write_bytes(whole[:size])
        with pytest.raises(FormatError) as error:
            opened(paths)
        assert error.value.problems[0].code == ("E140" if size < 3 else "E141")
    for more in (b"\0", whole):
        paths[0].write_bytes(whole + more)
        with pytest.raises(FormatError, match=r"E141.*too many"):
            opened(paths)


def test_a_damaged_header_never_gives_other_counts(tmp_path: Path) -> None:
    """Each bit before the types of the records turned over: refused, or flags of REF changed."""
    calls = random_calls(40, 30)
    paths = write_set(tmp_path, calls)
    whole = paths[0].read_bytes()
    refused_with: set[str] = set()
    n_read = 0
    for bit in range(8 * 20):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        paths[0].write_bytes(damaged)
        try:
            read = opened(paths).read(np.arange(30))
        except LmmgwasError as error:
            refused_with.add(error.problems[0].code)
            continue
        n_read += 1
        assert bit in (94, 95), f"bit {bit} was not noticed"  # how flags of REF are stored
        np.testing.assert_array_equal(read, calls)
    assert n_read
    assert refused_with == {"E140", "E141", "E142", "E147"}


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", "E140", "it begins nowhere"),
        (b"##fileformat=VCFv4.2\n", "E140", "this is VCF"),
        (b"\x1f\x8b\x08\x00", "E140", "gzip"),
        (b"\x6c\x1b\x01" + bytes(40), "E142", "PLINK 1 .bed"),
        (b"\x6c\x1b\x00" + bytes(40), "E142", "PLINK 1 .bed"),
        (b"\x6c\x1b\x20" + bytes(40), "E142", ".pgen.pgi"),
        (b"\x6c\x1b\x77" + bytes(40), "E142", "unknown"),
        (b"\x6c\x1b\x10" + bytes(40), "E141", "0 variants and 0 samples"),
    ],
)
def test_what_is_no_pgen(tmp_path: Path, content: bytes, code: str, said: str) -> None:
    paths = write_set(tmp_path, random_calls(5, 3))
    paths[0].write_bytes(content)
    with pytest.raises(FormatError, match=rf"(?s)\[{code}\] {paths[0]}: .*{said}"):
        opened(paths)


def test_a_pipe_is_no_pgen(tmp_path: Path) -> None:
    paths = write_set(tmp_path, random_calls(5, 3))
    paths[0].unlink()
    os.mkfifo(paths[0])
    with pytest.raises(FormatError, match="E105"):
        opened(paths)


def test_fixed_width_calls(tmp_path: Path) -> None:
    """Storage mode 2, written here bit by bit: two bits a call, 3 is missing."""
    calls = random_calls(7, 5)
    paths = write_set(tmp_path, calls)
    codes = np.where(calls == MISSING, 3, calls)
    codes = np.pad(codes, ((0, 0), (0, 1))).reshape(5, 2, 4) << np.array([0, 2, 4, 6])
    body = codes.sum(axis=2).astype(np.uint8).tobytes()
    counts = np.array([5, 7], dtype="<u4").tobytes()
    for control, flags, known in ((0x40, b"", True), (0xC0, b"\x1f", False)):
        paths[0].write_bytes(b"\x6c\x1b\x02" + counts + bytes([control]) + flags + body)
        source = opened(paths)
        np.testing.assert_array_equal(source.read(np.arange(5)), calls)
        assert (source.variants.other_is_reference is not None) == known
    paths[0].write_bytes(paths[0].read_bytes()[:-1])
    with pytest.raises(FormatError, match=r"E141.*24 bytes, expected|E141.*bytes, expected"):
        opened(paths)


@pytest.mark.parametrize(("which", "what"), [(1, "variants"), (2, "samples")])
@pytest.mark.parametrize("change", [-1, 1])
def test_text_files_of_another_set(tmp_path: Path, which: int, what: str, change: int) -> None:
    paths = write_set(tmp_path, random_calls(6, 4))
    lines = paths[which].read_text().splitlines()
    lines = lines[:-1] if change < 0 else [*lines, lines[-1].replace("rs3", "rs9") + "9"]
    paths[which].write_text("\n".join([*lines, ""]).replace("I5\t29", "I9\t1"))
    with pytest.raises(MismatchError, match=rf"E147.*{what}, and s.pgen has"):
        opened(paths)


@pytest.mark.parametrize("which", [1, 2])
def test_text_files_that_name_nothing(tmp_path: Path, which: int) -> None:
    paths = write_set(tmp_path, random_calls(6, 4))
    paths[which].write_text(paths[which].read_text().splitlines()[0] + "\n")
    with pytest.raises(MismatchError, match="E107"):
        opened(paths)


def test_files_that_are_not_there_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError) as error:
        opened((tmp_path / "s.pgen", tmp_path / "s.pvar", tmp_path / "s.psam"))
    assert [problem.where for problem in error.value.problems] == [
        str(tmp_path / f"s.{suffix}") for suffix in ("pgen", "pvar", "psam")
    ]


def test_several_alternative_alleles_are_refused(tmp_path: Path) -> None:
    import pgenlib

    paths = write_set(tmp_path, random_calls(6, 4))
    writer = pgenlib.PgenWriter(bytes(paths[0]), 6, variant_ct=4, allele_ct_limit=3)
    for j in range(4):
        alleles = np.array([0, 1, 1, 2 if j == 2 else 1, 0, 0, 1, 1, 0, 0, 0, 1], dtype=np.int32)
        writer.append_alleles(alleles, allele_ct=3 if j == 2 else 2)
    writer.close()
    with pytest.raises(FormatError, match=r"E144.*'rs2'; first on its line 4.*multiallelics=-"):
        opened(paths)
    paths[1].write_text(paths[1].read_text().replace("rs2\tG\tA", "rs2\tG\tA,T"))
    with pytest.raises(FormatError, match=r"E205.*s.pvar:4:5.*'rs2' has several alleles in ALT"):
        opened(paths)


def replaced(path: Path) -> None:
    copy = path.with_suffix(".new")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_changed_file_is_noticed(tmp_path: Path, which: int) -> None:
    source = opened(write_set(tmp_path, random_calls(6, 4)))
    source.check_unchanged()
    replaced(source.paths()[which])
    with pytest.raises(FileAccessError, match="E106"):
        source.check_unchanged()


def test_another_file_is_never_read(tmp_path: Path) -> None:
    """A reader that is opened when another file has taken the name."""
    source = opened(write_set(tmp_path, random_calls(6, 4)))
    source._pgen._idle.clear()
    source._pgen._n_open = 0
    replaced(source.paths()[0])
    with pytest.raises(FileAccessError, match="E106"):
        source.read(np.arange(4))


def test_a_read_that_fails_is_said_with_its_variants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __init__(self, number: int) -> None:
            self._number = number

        def read_list(self, *_: object) -> None:
            raise RuntimeError(f"read_list() error {self._number}")

    source = opened(write_set(tmp_path, random_calls(6, 4)))
    for number, code in ((4, "E110"), (6, "E145")):
        source._pgen._idle[:] = [Broken(number)]
        with pytest.raises(LmmgwasError, match=rf"\[{code}\].*variants 2 to 4"):
            source.read(np.arange(1, 4))
    assert source.read(np.arange(4)).shape == (4, 6)  # a broken reader is not lent again


def test_without_pgenlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_set(tmp_path, random_calls(6, 4))
    monkeypatch.setitem(sys.modules, "pgenlib", None)
    with pytest.raises(UsageError, match=r"E148.*pip install 'lmmgwas\[pgen\]'"):
        opened(paths)


def test_the_header_alone(tmp_path: Path) -> None:
    calls = random_calls(40, 30)
    write_pgen(tmp_path / "a.pgen", calls)
    header = read_pgen_header(WatchedFile(tmp_path / "a.pgen"))
    assert (header.n_variants, header.n_samples, header.has_dosages) == (30, 40, False)
    dosage = np.random.default_rng(0).uniform(0, 2, (30, 40))
    write_dosages(tmp_path / "b.pgen", dosage)
    assert read_pgen_header(WatchedFile(tmp_path / "b.pgen")).has_dosages


def test_a_study(tmp_path: Path) -> None:
    study: Study = simulate_study()
    prefix = write_pfile(study, tmp_path)
    source = opened(tuple(prefix.with_suffix(f".{s}") for s in ("pgen", "pvar", "psam")))
    np.testing.assert_array_equal(source.read(np.arange(len(study.chrom))), study.calls)
    assert source.samples.fid == tuple(study.fid)
    assert source.samples.iid == tuple(study.iid)
    assert source.samples.sex.tolist() == study.sex
    assert source.variants.effect_allele.to_pylist() == study.effect
    assert source.variants.other_allele.to_pylist() == study.other
    assert source.variants.marker_id.to_pylist() == study.marker
    assert pvar_text(study).count("\n") == len(study.chrom) + 2
