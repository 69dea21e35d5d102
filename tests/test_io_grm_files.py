"""GRM sets on disk: GCTA's layout, the manifest, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from lmmgwas.errors import FileAccessError, FormatError, MismatchError
from lmmgwas.io.grm_files import (
    FORMAT_VERSION,
    GrmPaths,
    open_grm,
    read_eigen,
    read_grm_ids,
    safe_label,
    write_eigen,
    write_triangle,
)
from lmmgwas.model.spectrum import SpectralDecomposition

N = 5
SIZE = N * (N + 1) // 2


def triangle(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SIZE).astype("<f4")


def write_set(folder: Path, *, missing: str = "mean", groups: tuple[str, ...] = ("1", "2")) -> Path:
    """A set of five samples; the values of part k are those of `triangle(k)`."""
    paths = GrmPaths(folder / "a.b")
    for k, group in enumerate((None, *groups)):
        triangle(k).tofile(paths.values(group))
        if group is None or missing == "pairwise":
            np.full(SIZE, 30 + k, "<f4").tofile(paths.counts(group))
    paths.ids.write_text("".join(f"F{i}\tI{i}\n" for i in range(N)))
    content = {
        "format_version": FORMAT_VERSION,
        "missing": missing,
        "n_variants": 30,
        "groups": [{"name": g, "n_variants": 10 + k} for k, g in enumerate(groups)],
        "samples": {"n": N},
    }
    paths.manifest.write_text(json.dumps(content))
    return paths.prefix


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("1", "1"),
        ("scaffold_1.2-b", "scaffold_1.2-b"),
        ("a/b", "a_b"),
        ("../x", ".._x"),
        ("chromosome 4", "chromosome_4"),
        ("ß\n", "__"),
        ("٣", "_"),  # a digit, but not of ASCII
    ],
)
def test_labels_become_safe_in_file_names(label: str, expected: str) -> None:
    safe = safe_label(label)
    # What had to be altered carries a checksum, so that two labels never share a file.
    assert safe == label if label == expected else safe.startswith(f"{expected}-")
    assert all(c.isascii() and (c.isalnum() or c in "._-") for c in safe)
    assert GrmPaths(Path("/d/p")).values(label).parent == Path("/d")


def test_labels_that_look_alike_have_files_of_their_own() -> None:
    assert len({safe_label(label) for label in ("HLA*01", "HLA:01", "HLA_01")}) == 3


def test_names_keep_the_dots_of_the_prefix() -> None:
    paths = GrmPaths(Path("d/v1.2"))
    found = [paths.manifest, paths.ids, paths.values(None), paths.counts(None)]
    assert [p.name for p in found] == [f"v1.2.grm.{s}" for s in ("json", "id", "bin", "N.bin")]
    assert paths.values("X").name == "v1.2.chrX.grm.bin"
    assert paths.counts("7").name == "v1.2.chr7.grm.N.bin"
    assert paths.eigen(None).name == "v1.2.eigen.npy"
    assert paths.eigen("7").name == "v1.2.chr7.eigen.npy"


def test_triangles_are_little_endian_rows(tmp_path: Path) -> None:
    K = np.arange(9.0, dtype=np.float32).reshape(3, 3)
    path = tmp_path / "k"
    write_triangle(path, (K[i, : i + 1] for i in range(3)))
    assert path.read_bytes() == np.array([0, 3, 4, 6, 7, 8], "<f4").tobytes()
    write_triangle(path, (K[i, : i + 1].astype(">f4") for i in range(3)))
    assert path.read_bytes() == np.array([0, 3, 4, 6, 7, 8], "<f4").tobytes()


def test_a_triangle_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"\[E705\] writing .* failed: .*; ") as caught:
        write_triangle(tmp_path / "no" / "k", [])
    assert caught.value.exit_code == 7


def test_a_set_is_opened_with_its_groups(tmp_path: Path) -> None:
    grm, manifest = open_grm(write_set(tmp_path))
    assert grm.iid == ("I0", "I1", "I2", "I3", "I4")
    assert grm.fid[0] == "F0"
    assert list(grm.parts) == ["1", "2"]
    assert grm.whole.n_variants == 30
    assert grm.n_variants_without("2") == 30 - 11
    np.testing.assert_array_equal(grm.whole.values, triangle(0))
    np.testing.assert_array_equal(grm.parts["2"].values, triangle(2))
    assert grm.whole.counts is None
    assert manifest is not None
    assert manifest["n_variants"] == 30


def test_pairwise_sets_have_counts_for_every_part(tmp_path: Path) -> None:
    prefix = write_set(tmp_path, missing="pairwise")
    grm, _ = open_grm(prefix)
    assert grm.whole.counts is not None
    assert grm.parts["1"].counts is not None
    assert (grm.parts["1"].counts == 31).all()
    GrmPaths(prefix).counts("1").unlink()
    with pytest.raises(FileAccessError, match=r"chr1\.grm\.N\.bin"):
        open_grm(prefix)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [(np.full(SIZE, 77, "<f4"), 77), (np.arange(SIZE, dtype="<f4"), 0), (None, 0)],
    ids=["one count", "by pair", "none"],
)
def test_a_plain_gcta_grm(tmp_path: Path, counts: np.ndarray | None, expected: int) -> None:
    paths = GrmPaths(write_set(tmp_path))
    paths.manifest.unlink()
    paths.counts(None).unlink()
    if counts is not None:
        counts.tofile(paths.counts(None))
    grm, manifest = open_grm(paths.prefix)
    assert manifest is None
    assert grm.parts == {}
    assert grm.whole.n_variants == expected


def test_ids_whose_last_line_may_be_cut_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.grm.id"
    path.write_bytes(b"F0\tI0\nF1\tI1")
    with pytest.raises(FormatError, match=r"\[E706\].*x.grm.id:2: .*'F1 I1', has no line end"):
        read_grm_ids(path)


@pytest.mark.parametrize(
    ("text", "fid"),
    [
        ("F0\tI0\nF1\tI1\n", ("F0", "F1")),
        ("F0 I0\r\nF1 I1\r\n", ("F0", "F1")),
        ("0\tI0\n0\tI1\n", ("", "")),  # 0 is no FID
    ],
)
def test_ids(tmp_path: Path, text: str, fid: tuple[str, ...]) -> None:
    path = tmp_path / "x.grm.id"
    path.write_bytes(text.encode())
    assert read_grm_ids(path) == (fid, ("I0", "I1"))


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("F0\tI0\nI1\n", "E706", ":2"),
        ("F0\tI0\tmore\n", "E706", ":1"),
        ("F0\tI0\nF1\tI1\nF0\tI0\n", "E301", "x.grm.id"),
    ],
)
def test_ids_that_are_refused(tmp_path: Path, text: str, code: str, where: str) -> None:
    path = tmp_path / "x.grm.id"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        read_grm_ids(path)
    assert caught.value.problems[0].code == code
    assert caught.value.problems[0].where.endswith(where)


@pytest.mark.parametrize("change", [-4, -1, 1, 4])
@pytest.mark.parametrize("group", [None, "2"])
def test_sizes_are_checked(tmp_path: Path, group: str | None, change: int) -> None:
    prefix = write_set(tmp_path)
    path = GrmPaths(prefix).values(group)
    data = path.read_bytes()
    path.write_bytes(data[:change] if change < 0 else data + bytes(change))
    with pytest.raises(FormatError, match=f"has {60 + change} bytes, expected 60") as caught:
        open_grm(prefix)
    assert caught.value.problems[0].where == str(path)


@pytest.mark.parametrize(
    ("n_bytes", "said"),
    [
        (4 * 25, "the whole square matrix; give the lower triangle"),
        (8 * 25, "the whole square matrix in float64"),
        (8 * 15, "a triangle in float64"),
        (4 * 21, "the size for 6 samples: is the .grm.id of another GRM?"),
        (4 * 10, "the size for 4 samples, or of a triangle without its diagonal"),
        (0, "the size for 0 samples"),
        (58, "a truncated copy"),
        (4 * 14, "a truncated copy"),
    ],
)
def test_other_layouts_are_recognised(tmp_path: Path, n_bytes: int, said: str) -> None:
    prefix = write_set(tmp_path)
    GrmPaths(prefix).values(None).write_bytes(bytes(n_bytes))
    with pytest.raises(FormatError, match=r"E707.*expected 60 = 4 n \(n\+1\)/2") as caught:
        open_grm(prefix)
    assert said in str(caught.value)


def test_all_wrong_lines_of_ids_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.grm.id"
    path.write_text("F0 I0\nI1\nF2 I2\nF3 I3 x\n\n")
    with pytest.raises(FormatError) as caught:
        read_grm_ids(path)
    assert [problem.where for problem in caught.value.problems] == [f"{path}:2", f"{path}:4"]
    path.write_text("")
    with pytest.raises(FormatError, match="lists no sample"):
        read_grm_ids(path)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
def test_parts_are_mapped_when_they_are_asked_for(tmp_path: Path) -> None:
    """A mapped file stays open, and a set may have thousands of parts."""
    prefix = write_set(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    grm, _ = open_grm(prefix)
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 1  # the whole
    part = grm.parts["1"]
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 2
    assert dict(grm.parts).keys() == {"1", "2"}
    assert len(grm.parts) == 2
    with pytest.raises(KeyError):
        grm.parts["3"]
    del part
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 1


@pytest.mark.parametrize("file", ["manifest", "ids"])
def test_manifest_and_ids_belong_together(tmp_path: Path, file: str) -> None:
    prefix = write_set(tmp_path)
    paths = GrmPaths(prefix)
    if file == "ids":
        paths.ids.write_text("F0\tI0\n")
    else:
        paths.manifest.write_text(paths.manifest.read_text().replace('"n": 5', '"n": 6'))
    with pytest.raises(MismatchError, match="not of one set"):
        open_grm(prefix)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a manifest"),
        ("[]", "not a manifest"),
        ("{}", "not a manifest"),
        ('{"format_version": 1}', "not a manifest"),
        (None, "another version"),
    ],
)
def test_manifests_that_are_refused(tmp_path: Path, text: str | None, said: str) -> None:
    prefix = write_set(tmp_path)
    path = GrmPaths(prefix).manifest
    newer = path.read_text().replace(f'"format_version": {FORMAT_VERSION}', '"format_version": 99')
    path.write_text(newer if text is None else text)
    with pytest.raises(FormatError, match=said):
        open_grm(prefix)


def test_decompositions_are_kept_to_the_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kept = SpectralDecomposition(rng.random(4), rng.normal(size=(4, 4)), 1.25)
    path = tmp_path / "e.npy"
    write_eigen(path, kept)
    found = read_eigen(path, 4, 1.25)
    assert found is not None
    np.testing.assert_array_equal(found.S, kept.S)
    np.testing.assert_array_equal(found.U, kept.U)
    assert found.grm_scale == 1.25
    write_eigen(tmp_path / "again.npy", kept)
    assert (tmp_path / "again.npy").read_bytes() == path.read_bytes()


def test_decompositions_of_other_samples_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "e.npy"
    assert read_eigen(path, 4, 1.0) is None
    write_eigen(path, SpectralDecomposition(np.ones(4), np.eye(4), 1.0))
    assert read_eigen(path, 5, 1.0) is None


@pytest.mark.parametrize("content", [b"", b"text", "truncated", "pickle"])
def test_damaged_decompositions_are_refused(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "e.npy"
    if content == "pickle":  # never to be loaded: it could run code
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    elif content == "truncated":
        write_eigen(path, SpectralDecomposition(np.ones(4), np.eye(4), 1.0))
        path.write_bytes(path.read_bytes()[:-8])
    else:
        path.write_bytes(bytes(content))
    with pytest.raises(FormatError, match="kept decomposition"):
        read_eigen(path, 4, 1.0)
