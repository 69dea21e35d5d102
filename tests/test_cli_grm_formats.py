"""`--grm` and `grm --convert` with the formats of other programs, as a user meets them."""

import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result, RunCli, Study, StudyFiles, files_of, simulate_study

N = 118
FORMATS = {
    "gcta": ("c.grm.bin", "c.grm.id"),
    "gemma": ("c.cXX.txt",),
    "plink2": ("c.rel.bin", "c.rel.id"),
    "table": ("c.grm.tsv",),
    "npy": ("c.npy", "c.npy.id"),
}
WORDS = {
    "gcta": "GCTA's layout",
    "gemma": "taken for GEMMA's square text",
    "plink2": "taken for plink2's .rel.bin, square, float64",
    "table": "taken for a square table with names",
    "npy": "taken for a NumPy array, square, float32",
}

needs_plink2 = pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")
needs_gemma = pytest.mark.skipif(shutil.which("gemma") is None, reason="GEMMA is not installed")

# Long: each format through the whole program; the readers themselves are in the fast suite.
pytestmark = pytest.mark.slow


def program(*arguments: object, folder: Path) -> None:
    done = subprocess.run(
        list(map(str, arguments)), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def square(path: Path, n: int = N) -> np.ndarray:
    """The matrix (n, n) of a GCTA file."""
    K = np.zeros((n, n), dtype=np.float32)
    K[np.tril_indices(n)] = np.fromfile(path, "<f4")
    return K + np.tril(K, -1).T


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """The small study; the tests only read it."""
    return simulate_study().write(tmp_path_factory.mktemp("formats") / "in")


@pytest.fixture(scope="module")
def kept(files: StudyFiles, run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the GRM of the study, set.grm.bin, and c.* in each of the formats."""
    folder = tmp_path_factory.mktemp("kept")
    done = run_cli("grm", "--bfile", files.bfile, "--out", folder / "set", "--threads", 1)
    assert done.exit_code == 0, done.stderr
    for format in FORMATS:
        (folder / format).mkdir()
        done = run_cli(
            *("grm", "--convert", format, "--grm", folder / "set", "--fam", files.fam),
            *("--out", folder / format / "c"),
        )
        assert done.exit_code == 0, done.stderr
        assert "4 parts, which LOCO needs" in done.stderr
    return folder


@pytest.fixture
def mine(kept: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(kept, tmp_path / "mine"))


Assoc = Callable[..., Result]


@pytest.fixture
def assoc(files: StudyFiles, run_cli: RunCli, tmp_path: Path) -> Assoc:
    """`assoc(name, grm, ...)`: one trait without LOCO, to OUT/name/run."""

    def run(name: str, grm: Path, *more: object, loco: bool = False) -> Result:
        (tmp_path / name).mkdir(exist_ok=True)
        options = ("--pheno-name", "height", "--plots", "none", "--threads", 1)
        return run_cli(
            *("assoc", *files.inputs, *options, "--grm", grm, "--out", tmp_path / name / "run"),
            *(() if loco else ("--no-loco",)),
            *more,
        )

    return run


def error(done: Result, exit_code: int, code: str, *words: object) -> None:
    assert done.exit_code == exit_code, done.stderr
    said = done.stderr[done.stderr.index("Error [") :]
    assert f"[{code}]" in said
    for word in words:
        assert str(word) in said


# --- Conversion -------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_there_and_back(
    format: str, kept: Path, files: StudyFiles, run_cli: RunCli, tmp_path: Path
) -> None:
    assert {p.name for p in (kept / format).iterdir()} - {"c.log"} == {
        *FORMATS[format],
        *(["c.grm.N.bin"] if format == "gcta" else []),
    }
    fam = ("--bfile", files.bfile) if format == "gemma" else ()
    done = run_cli(
        *("grm", "--convert", "gcta", "--grm", kept / format / "c", *fam),
        *("--out", tmp_path / "back"),
    )
    assert done.exit_code == 0, done.stderr
    assert WORDS[format] in done.stderr
    assert (tmp_path / "back.grm.bin").read_bytes() == (kept / "set.grm.bin").read_bytes()
    ids = (kept / "set.grm.id").read_text()
    if format == "table":  # names samples by IID alone
        ids = "".join(f"0\t{line.split()[1]}\n" for line in ids.splitlines())
    assert (tmp_path / "back.grm.id").read_text() == ids
    if format == "gcta":
        assert (tmp_path / "back.grm.N.bin").read_bytes() == (kept / "set.grm.N.bin").read_bytes()


def test_gemma_gets_the_order_of_its_fam(
    kept: Path, files: StudyFiles, run_cli: RunCli, tmp_path: Path
) -> None:
    lines = files.fam.read_text().splitlines(keepends=True)
    order = np.random.default_rng(0).permutation(N)[:40]
    (tmp_path / "few.fam").write_text("".join(lines[i] for i in order))
    done = run_cli(
        *("grm", "--convert", "gemma", "--grm", kept / "set", "--out", tmp_path / "few"),
        *("--fam", tmp_path / "few.fam"),
    )
    assert done.exit_code == 0, done.stderr
    assert "78 samples of the GRM are not in" in done.stderr
    found = np.loadtxt(tmp_path / "few.cXX.txt").astype(np.float32)
    np.testing.assert_array_equal(found, square(kept / "set.grm.bin")[np.ix_(order, order)])


def test_gemma_without_a_fam_is_in_the_order_of_the_grm(
    kept: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    done = run_cli("grm", "--convert", "gemma", "--grm", kept / "set", "--out", tmp_path / "o")
    assert done.exit_code == 0, done.stderr
    assert "Note: GEMMA takes the rows for the samples of its .fam" in done.stderr
    assert (tmp_path / "o.cXX.txt").read_bytes() == (kept / "gemma" / "c.cXX.txt").read_bytes()


def test_gemma_wants_all_of_its_fam(
    kept: Path, files: StudyFiles, run_cli: RunCli, tmp_path: Path
) -> None:
    (tmp_path / "more.fam").write_text(files.fam.read_text() + "F99\tS999\t0\t0\t1\t-9\n")
    fam = ("--fam", tmp_path / "more.fam")
    done = run_cli(
        "grm", "--convert", "gemma", "--grm", kept / "set", *fam, "--out", tmp_path / "o"
    )
    error(done, 4, "E717", "lacks 1 of the 119 samples", "F99 S999")
    done = run_cli(
        "grm", "--convert", "npy", "--grm", kept / "gemma/c", *fam, "--out", tmp_path / "o"
    )
    error(done, 4, "E717", "118 columns, the .fam 119 samples")


def test_what_a_fam_is_read_for(kept: Path, study: Study, run_cli: RunCli, tmp_path: Path) -> None:
    study.fid = ["0"] * N
    files = study.write(tmp_path / "in")
    typed = ("grm", "--fam", files.fam, "--out", tmp_path / "o", "--overwrite", "--convert")
    done = run_cli(*typed, "gemma", "--grm", kept / "set")
    assert done.exit_code == 0, done.stderr
    assert "FID 0 of 118 samples was read as no FID" in done.stderr
    assert (tmp_path / "o.cXX.txt").read_bytes() == (kept / "gemma/c.cXX.txt").read_bytes()
    done = run_cli(*typed, "npy", "--grm", kept / "set")
    assert done.exit_code == 0, done.stderr
    assert f"Note: {files.fam} is not read: both formats name their samples" in done.stderr
    assert (tmp_path / "o.npy.id").read_text() == (kept / "set.grm.id").read_text()


@pytest.mark.parametrize(
    ("typed", "exit_code", "code", "words"),
    [
        (("--convert", "npy"), 2, "E020", ("--grm",)),
        (("--grm", "GRM"), 2, "E020", ("--convert",)),
        (("--convert", "npy", "--grm", "GRM", "--pca", 3), 2, "E020", ("--pca",)),
        (("--convert", "npy", "--grm", "GRM", "--eigen"), 2, "E020", ("--eigen",)),
        (("--convert", "npy", "--grm", "GRM", "--grm-chr", 1), 2, "E020", ("--grm-chr",)),
        (("--convert", "npy", "--grm", "GRM", "--grm-maf", 0.01), 2, "E020", ("--grm-maf",)),
        (("--convert", "npy", "--grm", "GRM", "--grm-model", "hwe"), 2, "E020", ("--grm-model",)),
        (("--convert", "gcta", "--grm", "GEMMA"), 2, "E020", ("--fam", "c.cXX.txt")),
        (("--convert", "npy", "--grm", "NONE"), 7, "E110", ("none.grm.id",)),
    ],
)
def test_conversions_that_are_refused(
    typed: tuple[object, ...],
    exit_code: int,
    code: str,
    words: tuple[str, ...],
    kept: Path,
    run_cli: RunCli,
    tmp_path: Path,
) -> None:
    places = {"GRM": kept / "set", "GEMMA": kept / "gemma/c", "NONE": kept / "none"}
    done = run_cli("grm", *(places.get(str(x), x) for x in typed), "--out", tmp_path / "o")
    error(done, exit_code, code, *words)
    assert not files_of(tmp_path / "o")


def test_a_conversion_replaces_nothing(mine: Path, run_cli: RunCli) -> None:
    typed = ("grm", "--convert", "npy", "--grm", mine / "npy/c.npy", "--overwrite")
    error(run_cli(*typed, "--out", mine / "npy/c"), 2, "E020", "would replace")
    before = files_of(mine / "set")
    typed = ("grm", "--convert", "gcta", "--grm", mine / "npy/c", "--overwrite")
    error(run_cli(*typed, "--out", mine / "set"), 8, "E113", "set.grm.json")
    assert files_of(mine / "set") == before
    typed = ("grm", "--convert", "npy", "--grm", mine / "set")
    error(run_cli(*typed, "--out", mine / "npy/c"), 8, "E113", "c.npy")


def test_a_table_must_have_names_of_its_own(mine: Path, run_cli: RunCli, tmp_path: Path) -> None:
    ids = mine / "plink2/c.rel.id"
    ids.write_text(ids.read_text().replace("F19\tS117", "F19\tS000"))
    typed = ("grm", "--grm", mine / "plink2/c", "--out", tmp_path / "o", "--convert")
    error(run_cli(*typed, "table"), 4, "E308", "c.rel.id", "not unique")
    assert run_cli(*typed, "npy").exit_code == 0


def test_nothing_is_converted_that_is_not_finite(
    mine: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    path = mine / "plink2/c.rel.bin"
    data = bytearray(path.read_bytes())
    for i, j in ((40, 7), (7, 40)):
        struct.pack_into("<d", data, 8 * (i * N + j), float("nan"))
    path.write_bytes(data)
    done = run_cli("grm", "--convert", "gemma", "--grm", path, "--out", tmp_path / "o")
    error(done, 5, "E702", "F06 S040 and F01 S007 (row 41, column 8) is nan", path)
    assert not files_of(tmp_path / "o")


# --- Association ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected(
    files: StudyFiles,
    kept: Path,
    run_cli: RunCli,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, bytes]:
    """The results with a plain GCTA GRM, .grm.bin and .grm.id alone: others know no counts."""
    folder = tmp_path_factory.mktemp("expected")
    found = {}
    for name, suffixes in {"with": ("bin", "id", "N.bin"), "without": ("bin", "id")}.items():
        (folder / name).mkdir()
        for suffix in suffixes:
            shutil.copy(kept / f"gcta/c.grm.{suffix}", folder / name)
        options = ("--pheno-name", "height", "--plots", "none", "--threads", 1, "--no-loco")
        grm = ("--grm", folder / name / "c", "--out", folder / name / "run")
        done = run_cli("assoc", *files.inputs, *options, *grm)
        assert done.exit_code == 0, done.stderr
        found[name] = files_of(folder / name / "run")
    # The counts are only told of.
    differing = [
        suffix for suffix in found["with"] if found["with"][suffix] != found["without"][suffix]
    ]
    assert differing == [".height.null.tsv"]
    with_counts = found["with"][".height.null.tsv"].decode()
    assert (
        with_counts.replace("\t236\t114\t", "\tNA\t114\t").encode()
        == found["without"][differing[0]]
    )
    return found["without"]


@pytest.mark.parametrize("format", [f for f in FORMATS if f != "gcta"])
@pytest.mark.parametrize("by", ["prefix", "file"])
def test_same_results_from_each_format(
    format: str, by: str, kept: Path, expected: dict[str, bytes], assoc: Assoc, tmp_path: Path
) -> None:
    values = kept / format / FORMATS[format][0]
    done = assoc("a", kept / format / "c" if by == "prefix" else values)
    assert done.exit_code == 0, done.stderr
    assert f"GRM: {values} ({WORDS[format]}" in done.stderr
    assert "118 samples, whole matrix only, as float32" in done.stderr
    assert files_of(tmp_path / "a/run") == expected
    record = json.loads((tmp_path / "a/run.run.json").read_text())
    named = [file["path"] for file in record["inputs"] if str(kept) in file["path"]]
    assert named == [str(kept / format / name) for name in FORMATS[format]]
    # Temporary files have no name, and the work folder is gone.
    names = [path.name for path in (tmp_path / "a").iterdir()]
    assert all(name.startswith(("run.", "run_mqc.")) for name in names)


def shapes(K: np.ndarray, shape: str, kind: str) -> bytes:
    """plink2's file, value by value."""
    rows = [K[i, : i + 1] if shape == "triangle" else K[i] for i in range(len(K))]
    if shape == "square0":
        rows = [np.where(np.arange(len(K)) <= i, row, 0.0) for i, row in enumerate(rows)]
    return b"".join(row.astype(kind).tobytes() for row in rows)


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
@pytest.mark.parametrize("shape", ["square", "square0", "triangle"])
def test_same_results_from_each_shape(
    shape: str,
    kind: str,
    mine: Path,
    expected: dict[str, bytes],
    assoc: Assoc,
    tmp_path: Path,
) -> None:
    (mine / "plink2/c.rel.bin").write_bytes(shapes(square(mine / "set.grm.bin"), shape, kind))
    done = assoc("a", mine / "plink2/c")
    assert done.exit_code == 0, done.stderr
    words = f"{shape.removesuffix('0')}, float{'32' if kind == '<f4' else '64'}"
    assert words in done.stderr
    assert files_of(tmp_path / "a/run") == expected


@pytest.mark.parametrize("format", [f for f in FORMATS if f != "gcta"])
def test_loco_needs_parts(format: str, mine: Path, assoc: Assoc) -> None:
    # Refused before it is read: what it holds does not matter.
    (mine / format / FORMATS[format][0]).write_bytes(b"")
    error(assoc("a", mine / format / "c", loco=True), 4, "E804", "no per-chromosome parts")


def test_a_prefix_means_gcta_first(mine: Path, assoc: Assoc) -> None:
    shutil.copy(mine / "npy/c.npy", mine / "set.npy")
    done = assoc("a", mine / "set", loco=True)
    assert done.exit_code == 0, done.stderr
    assert "GCTA's layout, 118 samples, with per-chromosome parts" in done.stderr
    shutil.copy(mine / "npy/c.npy", mine / "plink2/c.npy")
    error(assoc("b", mine / "plink2/c"), 3, "E713", "2 matrices", "c.rel.bin", "c.npy")


def test_another_order_of_samples(
    mine: Path, expected: dict[str, bytes], assoc: Assoc, tmp_path: Path
) -> None:
    """Rows are found by their IDs; the sum of a row is then taken in another order."""
    order = np.random.default_rng(2).permutation(N)
    K = square(mine / "set.grm.bin")[np.ix_(order, order)]
    np.save(mine / "npy/c.npy", K, allow_pickle=False)
    lines = (mine / "npy/c.npy.id").read_text().splitlines(keepends=True)
    (mine / "npy/c.npy.id").write_text("".join(lines[i] for i in order))
    done = assoc("a", mine / "npy/c")
    assert done.exit_code == 0, done.stderr
    assert files_of(tmp_path / "a/run") == expected


def test_a_matrix_of_others_is_refused(mine: Path, assoc: Assoc) -> None:
    """As with a plain GRM: held against the genotypes themselves."""
    order = np.random.default_rng(1).permutation(N)
    lines = (mine / "npy/c.npy.id").read_text().splitlines(keepends=True)
    (mine / "npy/c.npy.id").write_text("".join(lines[i] for i in order))
    error(assoc("a", mine / "npy/c"), 4, "E710", "who is related to whom", mine / "npy/c.npy")
    rows = np.loadtxt(mine / "gemma/c.cXX.txt")[np.ix_(order, order)]
    np.savetxt(mine / "gemma/c.cXX.txt", rows)
    error(assoc("a", mine / "gemma/c"), 4, "E710", mine / "gemma/c.cXX.txt")
    (mine / "plink2/c.rel.id").write_text("".join(f"X{i}\tY{i}\n" for i in range(N)))
    error(assoc("a", mine / "plink2/c"), 4, "E305", "'X0 Y0'", mine / "plink2/c.rel.id")


def test_what_is_wrong_with_values_is_said_of_the_file(mine: Path, assoc: Assoc) -> None:
    K = square(mine / "set.grm.bin")
    np.save(mine / "npy/c.npy", 0.4 * K, allow_pickle=False)
    done = assoc("a", mine / "npy/c")
    assert done.exit_code == 0, done.stderr
    assert "[W703]" in done.stderr
    K[3, 2] = K[2, 3] = np.inf
    np.save(mine / "npy/c.npy", K, allow_pickle=False)
    error(assoc("b", mine / "npy/c"), 5, "E702", "(row 4, column 3) is inf", "c.npy")
    K[3, 2] = 0.25
    np.save(mine / "npy/c.npy", K, allow_pickle=False)
    error(assoc("c", mine / "npy/c"), 3, "E718", "row 4, column 3 has 0.25", "c.npy")
    np.save(mine / "npy/c.npy", np.ones_like(K), allow_pickle=False)
    error(assoc("d", mine / "npy/c"), 5, "E703", "do not differ", "c.npy")


@pytest.mark.parametrize("format", FORMATS)
def test_king_is_refused_by_its_diagonal(
    format: str, mine: Path, files: StudyFiles, run_cli: RunCli, assoc: Assoc, tmp_path: Path
) -> None:
    K = 0.5 * square(mine / "set.grm.bin")
    np.fill_diagonal(K, 0.5)
    np.save(mine / "npy/c.npy", K, allow_pickle=False)
    np.savetxt(mine / "gemma/c.cXX.txt", K, "%.6g", "\t")
    (mine / "plink2/c.rel.bin").write_bytes(shapes(K, "triangle", "<f4"))
    (mine / "gcta/c.grm.bin").write_bytes(shapes(K, "triangle", "<f4"))
    ids = [line.split()[1] for line in (mine / "set.grm.id").read_text().splitlines()]
    rows = ["\t".join([i, *map(str, row)]) for i, row in zip(ids, K.tolist(), strict=True)]
    (mine / "table/c.grm.tsv").write_text("\n".join(["\t".join(["id", *ids]), *rows, ""]))
    words = ("KING", "0.5 for all 118 samples", FORMATS[format][0], "lmmgwas grm")
    error(assoc("a", mine / format / "c"), 3, "E714", *words)
    typed = ("grm", "--convert", "npy", "--grm", mine / format / "c", "--fam", files.fam)
    error(run_cli(*typed, "--out", tmp_path / "o"), 3, "E714", *words)


def test_check_says_what_it_took_the_file_for(
    kept: Path, files: StudyFiles, run_cli: RunCli
) -> None:
    done = run_cli("check", *files.inputs, "--no-loco", "--grm", kept / "plink2/c")
    assert done.exit_code == 0, done.stderr
    assert WORDS["plink2"] in done.stderr
    assert f"given, {kept / 'plink2/c.rel.bin'} (118 samples of the .fam)" in done.stderr


def test_samples_that_the_matrix_lacks(kept: Path, mine: Path, assoc: Assoc) -> None:
    few = np.arange(N) != 17
    K = square(kept / "set.grm.bin")[np.ix_(few, few)]
    np.save(mine / "npy/c.npy", K, allow_pickle=False)
    lines = (mine / "npy/c.npy.id").read_text().splitlines(keepends=True)
    (mine / "npy/c.npy.id").write_text("".join(lines[:17] + lines[18:]))
    done = assoc("a", mine / "npy/c")
    assert done.exit_code == 0, done.stderr
    assert "[W311]" in done.stderr


def test_what_is_doubtful_in_a_text_is_said(
    mine: Path, expected: dict[str, bytes], assoc: Assoc, tmp_path: Path
) -> None:
    path = mine / "table/c.grm.tsv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")[:-2])
    done = assoc("a", path)
    assert done.exit_code == 0, done.stderr
    assert f"Note: {path}: Windows line ends" in done.stderr
    assert f"[W401]: {path}: the last line has no line end" in done.stderr
    assert files_of(tmp_path / "a/run") == expected


# --- The programs themselves ------------------------------------------------------------------


@needs_plink2
@pytest.mark.parametrize("shape", ["square", "square0", "triangle"])
@pytest.mark.parametrize("encoding", ["bin", "bin4"])
def test_plink2s_own_files(
    shape: str, encoding: str, files: StudyFiles, run_cli: RunCli, tmp_path: Path
) -> None:
    """Both of plink2's outputs come from one matrix; .grm.bin is that in float32."""
    plink2 = ("plink2", "--bfile", files.bfile, "--autosome", "--maf", "0.01", "--threads", 1)
    program(*plink2, "--make-rel", encoding, shape, "--out", "p", folder=tmp_path)
    program(*plink2, "--make-grm-bin", "--out", "g", folder=tmp_path)
    typed = ("grm", "--convert", "gcta", "--grm", tmp_path / "p", "--out", tmp_path / "c")
    done = run_cli(*typed)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "c.grm.bin").read_bytes() == (tmp_path / "g.grm.bin").read_bytes()
    assert (tmp_path / "c.grm.id").read_text() == (tmp_path / "g.grm.id").read_text()


@needs_plink2
@pytest.mark.parametrize("form", ["id-header", "iid-only"])
def test_plink2s_forms_of_ids(form: str, study: Study, run_cli: RunCli, tmp_path: Path) -> None:
    if form == "iid-only":  # for samples without FIDs
        study.fid = ["0"] * N
    files = study.write(tmp_path / "in")
    plink2 = ("plink2", "--bfile", files.bfile, "--autosome", "--maf", "0.01", "--threads", 1)
    program(*plink2, "--make-grm-bin", form, "--out", "g", folder=tmp_path)
    program(*plink2, "--make-rel", "bin", "--out", "g", folder=tmp_path)
    first = (tmp_path / "g.grm.id").read_text().splitlines()[0]
    assert first == {"id-header": "#FID\tIID", "iid-only": "S000"}[form]
    for given in ("g", "g.rel.bin"):
        done = run_cli(
            "grm", "--convert", "npy", "--grm", tmp_path / given, "--out", tmp_path / given
        )
        assert done.exit_code == 0, done.stderr
        ids = list(zip(study.fid, study.iid, strict=True))
        lines = (tmp_path / f"{given}.npy.id").read_text().splitlines()
        assert [tuple(line.split("\t")) for line in lines] == ids


@needs_plink2
@pytest.mark.parametrize("encoding", ["bin", "bin4"])
@pytest.mark.parametrize("named", ["king", "rel"])
def test_plink2s_king_is_refused(
    encoding: str, named: str, files: StudyFiles, assoc: Assoc, tmp_path: Path
) -> None:
    program(
        *("plink2", "--bfile", files.bfile, "--make-king", encoding, "square", "--out", "k"),
        folder=tmp_path,
    )
    if named == "rel":
        (tmp_path / "k.king.bin").rename(tmp_path / "k.rel.bin")
        (tmp_path / "k.king.id").rename(tmp_path / "k.rel.id")
    error(assoc("a", tmp_path / "k"), 3, "E714", "KING", f"k.{named}.bin")


@needs_gemma
@pytest.mark.parametrize(("option", "suffix"), [(1, "cXX"), (2, "sXX")])
def test_gemmas_own_files(
    option: int, suffix: str, study: Study, run_cli: RunCli, tmp_path: Path
) -> None:
    files = study.write(tmp_path / "in")
    # GEMMA leaves out whom the .fam gives no trait.
    fam = files.fam.read_text().replace("\t-9\n", "\t1.5\n").replace("\t1.5\n", "\t2.5\n", 1)
    files.fam.write_text(fam)
    program("gemma", "-bfile", files.bfile, "-gk", option, "-o", "g", folder=tmp_path)
    path = tmp_path / "output" / f"g.{suffix}.txt"
    done = run_cli(
        *("grm", "--convert", "gcta", "--grm", tmp_path / "output/g", "--bfile", files.bfile),
        *("--out", tmp_path / "c"),
    )
    assert done.exit_code == 0, done.stderr
    found = square(tmp_path / "c.grm.bin")
    np.testing.assert_array_equal(found, np.loadtxt(path).astype(np.float32))
    options = ("--pheno-name", "height", "--plots", "none", "--no-loco", "--out", tmp_path / "r")
    done = run_cli("assoc", *files.inputs, *options, "--grm", path)
    assert done.exit_code == 0, done.stderr
    assert f"GRM: {path} (taken for GEMMA's square text" in done.stderr


@needs_gemma
def test_gemma_reads_what_is_written(
    study: Study, kept: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    """GEMMA's decomposition of our file has the eigenvalues of the matrix, centred as it does."""
    files = study.write(tmp_path / "in")
    values = "".join(
        line.replace("\t-9\n", f"\t{k % 7}.5\n")
        for k, line in enumerate(files.fam.read_text().splitlines(keepends=True))
    )
    files.fam.write_text(values)
    program(
        *("gemma", "-bfile", files.bfile, "-k", kept / "gemma/c.cXX.txt", "-eigen", "-o", "e"),
        folder=tmp_path,
    )
    K = square(kept / "set.grm.bin").astype(float)
    M = np.eye(N) - 1.0 / N
    found = np.sort(np.loadtxt(tmp_path / "output/e.eigenD.txt"))
    # GEMMA sets eigenvalues below 1e-10 to 0 and prints ten digits.
    np.testing.assert_allclose(found, np.linalg.eigvalsh(M @ K @ M), rtol=1e-6, atol=1e-6)
