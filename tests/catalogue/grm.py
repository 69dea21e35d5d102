"""Section G, a GRM that the user gives: rows 113 to 122.

Such GRMs come as GCTA's files; other formats are the subject of test_cli_grm_formats.py.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from conftest import Study, StudyFiles, _run_cli, read_tsv

from catalogue.looks import Near, near, table
from catalogue.rows import Accepted, Elsewhere, Look, Refused, Row, Spoil
from catalogue.spoil import options

N = 118
PLAIN = ("grm.bin", "grm.N.bin", "grm.id")

Matrix = np.ndarray
Change = Callable[[Matrix], Matrix]

SAME = Near(p=2e-5, effect=1e-4)
"""A matrix of our own, in another form: twice what single precision promises, and rounding of
float32 files in the effects."""


def prefix_of(files: StudyFiles) -> Path:
    return files.folder / "given"


def of_set(files: StudyFiles, suffix: str) -> Path:
    return files.folder / f"given.{suffix}"


def made(files: StudyFiles, *more: object) -> None:
    """Make a set of the study's genotypes."""
    done = _run_cli("grm", "--bfile", files.bfile, "--out", prefix_of(files), "--threads", 1, *more)
    assert done.exit_code == 0, done.stderr


def made_plain(files: StudyFiles, *more: object) -> None:
    """Make what GCTA would have written: the whole matrix, and nothing besides."""
    made(files, *more)
    for path in files.folder.glob("given.*"):
        if path.name.removeprefix("given.") not in PLAIN:
            path.unlink()


def read_matrix(files: StudyFiles) -> Matrix:
    K = np.zeros((N, N))
    K[np.tril_indices(N)] = np.fromfile(of_set(files, "grm.bin"), "<f4")
    return K + np.tril(K, -1).T


def write_matrix(files: StudyFiles, K: Matrix) -> None:
    K[np.tril_indices(len(K))].astype("<f4").tofile(of_set(files, "grm.bin"))


def given(change: Change, *more: object) -> Spoil:
    """Give a plain GRM, changed; without LOCO, which needs parts."""

    def spoil(files: StudyFiles, study: Study) -> Sequence[object]:
        made_plain(files)
        write_matrix(files, change(read_matrix(files)))
        return ("--grm", prefix_of(files), "--no-loco", *more)

    return spoil


def given_files(change: Callable[[StudyFiles], object], *more: object) -> Spoil:
    """Give a plain GRM after a change of its files; without LOCO."""

    def spoil(files: StudyFiles, study: Study) -> Sequence[object]:
        made_plain(files)
        change(files)
        return ("--grm", prefix_of(files), "--no-loco", *more)

    return spoil


def given_set(change: Callable[[StudyFiles], object], *more: object) -> Spoil:
    """Give a set with its parts after a change of its files."""

    def spoil(files: StudyFiles, study: Study) -> Sequence[object]:
        made(files)
        change(files)
        return ("--grm", prefix_of(files), *more)

    return spoil


def id_lines(edit: Callable[[list[str]], list[str]]) -> Callable[[StudyFiles], object]:
    """Change the lines of the .grm.id."""

    def change(files: StudyFiles) -> None:
        path = of_set(files, "grm.id")
        lines = edit(path.read_text().splitlines())
        path.write_text("".join(f"{line}\n" for line in lines))

    return change


def set_value(suffix: str, row: int, column: int, value: float) -> Callable[[StudyFiles], object]:
    """Change one value of a triangle."""

    def change(files: StudyFiles) -> None:
        path = of_set(files, suffix)
        values = np.fromfile(path, "<f4")
        values[row * (row + 1) // 2 + column] = value
        values.tofile(path)

    return change


def cut(suffix: str, n_bytes: int) -> Callable[[StudyFiles], object]:
    def change(files: StudyFiles) -> None:
        path = of_set(files, suffix)
        path.write_bytes(path.read_bytes()[:-n_bytes])

    return change


def noisy(K: Matrix) -> Matrix:
    """Symmetric errors, as where each pair has variants of its own: eigenvalues go below 0."""
    errors = np.random.default_rng(4).normal(0.0, 0.08, K.shape)
    return K + (errors + errors.T) / np.sqrt(2.0)


def few_variants(K: Matrix) -> Matrix:
    """Rank 20 in float32: the other eigenvalues are rounding, of either sign."""
    S, U = np.linalg.eigh(K)
    S[:-20] = 0.0
    low = ((U * S) @ U.T).astype(np.float32).astype(float)
    assert np.linalg.eigvalsh(low)[0] < 0.0
    return low


def one_dimension(K: Matrix) -> Matrix:
    """Rank 1: the leading eigenvector alone."""
    S, U = np.linalg.eigh(K)
    return S[-1] * np.outer(U[:, -1], U[:, -1])


def square_matrix(dtype: str) -> Callable[[StudyFiles], object]:
    """The whole matrix in place of its lower triangle; not even symmetric."""

    def change(files: StudyFiles) -> None:
        K = read_matrix(files)
        K[3, 2] += 0.1
        K.astype(dtype).tofile(of_set(files, "grm.bin"))

    return change


def moved(seed: int) -> Callable[[StudyFiles], object]:
    """All of the GRM in another order, matrix and IDs alike."""

    def change(files: StudyFiles) -> None:
        order = np.random.default_rng(seed).permutation(N)
        write_matrix(files, read_matrix(files)[np.ix_(order, order)])
        id_lines(lambda lines: [lines[k] for k in order])(files)

    return change


def without_samples(n: int) -> Spoil:
    """A GRM that lacks the first n samples."""

    def spoil(files: StudyFiles, study: Study) -> Sequence[object]:
        keep = files.folder / "keep.txt"
        pairs = zip(study.fid[n:], study.iid[n:], strict=True)
        keep.write_text("".join(f"{f}\t{i}\n" for f, i in pairs))
        made(files, "--keep", keep)
        return ("--grm", prefix_of(files))

    return spoil


def of_every_other_variant(files: StudyFiles, study: Study) -> Sequence[object]:
    """A GRM of half of the variants: other variants, the same samples."""
    chosen = files.folder / "chosen.txt"
    chosen.write_text("".join(f"{name}\n" for name in study.marker[1::2] if name != "."))
    made(files, "--grm-extract", chosen)
    return ("--grm", prefix_of(files))


def of_more_variants(files: StudyFiles, study: Study) -> Sequence[object]:
    """The genotypes that are tested are fewer than those of the GRM."""
    made(files)
    for name in ("chrom", "pos", "marker", "effect", "other"):
        values = getattr(study, name)
        setattr(study, name, [v for k, v in enumerate(values) if k % 2 or k < 60])
    study.calls = study.calls[[k % 2 == 1 or k < 60 for k in range(len(study.calls))]]
    study.write(files.folder)
    return ("--grm", prefix_of(files))


def shuffled_ids(files: StudyFiles) -> None:
    """The lines of the .grm.id in another order, the matrix as it was."""
    order = np.random.default_rng(3).permutation(N)
    id_lines(lambda lines: [lines[k] for k in order])(files)


def next_ids(files: StudyFiles) -> None:
    """Each sample has the values of its neighbour, who is mostly of the same family."""
    id_lines(lambda lines: lines[1:] + lines[:1])(files)


def unwarned_of(*codes: str) -> Look:
    def look(files: StudyFiles, prefix: Path) -> None:
        log = prefix.with_name("run.log").read_text(encoding="utf-8")
        assert not [code for code in codes if f"[{code}]" in log]

    return look


def dropped(n: int) -> Look:
    """The first n samples have their reason, and nobody else has that one."""

    def look(files: StudyFiles, prefix: Path) -> None:
        samples = read_tsv(prefix.with_name("run.samples.tsv"))
        assert samples.index[samples["reason"] == "NOT_IN_GRM"].tolist() == list(range(n))
        assert (samples.loc[: n - 1, "analysed"] == "0").all()

    return look


def finite(files: StudyFiles, prefix: Path) -> None:
    numbers = table(prefix)[["beta", "standard_error", "neg_log_10_p_value"]]
    assert len(numbers) > 200
    assert np.isfinite(numbers.to_numpy()).all()


OLS = near(options("--h2", 0), Near(p=1e-5, effect=1e-5))

FIXED = "--h2"

ROWS: tuple[Row | Elsewhere, ...] = (
    Row(113, "rounding of float32", given(few_variants, "--whitener", "spectral"),
        Accepted(look=unwarned_of("W706"))),
    Row(113, "negative eigenvalues, spectral", given(noisy, "--whitener", "spectral"),
        Accepted("W706", ("not positive semi-definite", "eigenvalue is -"), finite)),
    Row(113, "negative eigenvalues, Cholesky", given(noisy, "--whitener", "cholesky"),
        Accepted("W706", ("not positive semi-definite",),
                 near(given(noisy, "--whitener", "spectral"), SAME))),
    Row(113, "negative eigenvalues at a high h2", given(noisy, FIXED, 0.9),
        Refused(5, "E701", ("h2 = 0.9", "not positive definite"))),
    Row(113, "negative eigenvalues at a high h2, spectral",
        given(noisy, FIXED, 0.9, "--whitener", "spectral"), Refused(5, "E701", ("h2 = 0.9",))),
    Row(113, "negative eigenvalues, refitted variances",
        given(noisy, "--variance", "per-variant"), Refused(5, "E701", ("--variance null",))),
    Elsewhere(113, "the best h2 under an indefinite matrix",
              "test_model_null_model.py::test_under_an_indefinite_kernel_h2_ends_where_v_does"),
    *(Row(114, f"{value} in the whole", given_set(set_value("grm.bin", 40, 7, value)),
          Refused(5, "E702", (f"F06 S040 and F01 S007 (row 41, column 8) is {value}",)))
      for value in (np.nan, np.inf, -np.inf)),
    Row(114, "NaN in a part", given_set(set_value("chr2.grm.bin", 117, 117, np.nan)),
        Refused(5, "E702", ("given.chr2.grm.bin", "F19 S117 and F19 S117 (row 118, column 118)"))),
    Row(114, "inf in a plain GRM", given_files(set_value("grm.bin", 0, 0, np.inf)),
        Refused(5, "E702", ("row 1, column 1",))),
    # A triangle cannot be asymmetric; what could be is refused by its size.
    Row(115, "a square matrix", given_files(square_matrix("<f4")),
        Refused(3, "E707", ("whole square matrix", "lower triangle"))),
    Row(115, "a square matrix of doubles", given_files(square_matrix("<f8")),
        Refused(3, "E707", ("square matrix in float64",))),
    Row(116, "a short line of IDs", given_files(id_lines(lambda k: [*k[:4], "S004", *k[5:]])),
        Refused(3, "E706", ("given.grm.id:5", "FID and IID"))),
    Row(116, "a long line of IDs", given_files(id_lines(lambda k: [*k[:4], k[4] + "\tx", *k[5:]])),
        Refused(3, "E706", ("given.grm.id:5",))),
    Row(116, "a line of IDs too few", given_files(id_lines(lambda k: k[:-1])),
        Refused(3, "E707", ("117 samples of the .grm.id", "the size for 118 samples"))),
    Row(116, "a line of IDs too many", given_files(id_lines(lambda k: [*k, "F99\tS999"])),
        Refused(3, "E707", ("119 samples of the .grm.id", "the size for 118 samples, or of a"))),
    Row(116, "no IDs", given_files(lambda files: of_set(files, "grm.id").write_text("")),
        Refused(3, "E706", ("given.grm.id", "no sample"))),
    Row(116, "text in place of a triangle",
        given_files(lambda files: of_set(files, "grm.bin").write_text("1.0 0.2\n0.2 1.0\n")),
        Refused(3, "E707", ("given.grm.bin", "16 bytes"))),
    Row(117, "another order", given_files(moved(5)),
        Accepted(look=near(options("--no-loco"), SAME))),
    Row(117, "samples that the GRM lacks", without_samples(8),
        Accepted("W311", ("8 of 117 samples", "F00 S000"), dropped(8))),
    Row(117, "a GRM of fewer than half of the samples", without_samples(70),
        Refused(4, "E711", ("70 of 117 samples", "F00 S000"))),
    Row(117, "IDs of others", given_files(id_lines(lambda k: [x.replace("S", "T") for x in k])),
        Refused(4, "E305", ("none of the 118 samples", "'F00 T000'"))),
    Row(117, "a sample twice", given_files(id_lines(lambda k: [*k[:5], k[4], *k[6:]])),
        Refused(3, "E301", ("given.grm.id", "twice"))),
    Row(118, "of other samples with the same IDs", given_files(shuffled_ids),
        Refused(4, "E710", ("who is related to whom", "another order"))),
    Row(118, "of other samples, with parts", given_set(shuffled_ids),
        Refused(4, "E710", ("who is related to whom",))),
    Row(118, "IDs moved by a line", given_files(next_ids),
        Accepted("W707", ("agrees little with these genotypes",))),
    Row(118, "IDs of a set moved by a line", given_set(next_ids),
        Accepted("W704", ("is not as `lmmgwas grm` wrote it",))),
    Row(118, "of other variants", of_every_other_variant,
        Accepted(look=unwarned_of("W707", "W704"))),
    Row(118, "of more variants", of_more_variants,
        Accepted(None, ("the GRM rests on other variants",), unwarned_of("W707"))),
    Row(118, "a part of another set", given_set(
        lambda files: of_set(files, "chr2.grm.bin").write_bytes(
            of_set(files, "chr3.grm.bin").read_bytes())),
        Refused(4, "E806", ("do not add up",))),
    Row(119, "half of it", given(lambda K: 0.5 * K),
        Accepted("W703", ("mean diagonal is 0.49",), near(options("--no-loco"), SAME))),
    Row(119, "a sum over variants", given(lambda K: 200.0 * K),
        Accepted("W703", ("kinship",), near(options("--no-loco"), SAME))),
    Row(119, "not centred", given(lambda K: K + 0.5),
        Accepted("W703", ("mean diagonal is 1.49",), near(options("--no-loco"), SAME))),
    Row(119, "usual", given(lambda K: K), Accepted(
        None, ("GRM values: mean diagonal 0.9",), unwarned_of("W703", "W705", "W706", "W707"))),
    Row(120, "a constant", given(np.ones_like), Refused(5, "E703", ("do not differ",))),
    Row(120, "a multiple of the identity", given(lambda K: 1.2 * np.eye(N)),
        Accepted("W705", ("multiple of the identity", "ordinary least squares"), OLS)),
    Row(120, "nothing but zeros", given(np.zeros_like), Refused(5, "E703", ("do not differ",))),
    Row(120, "one dimension", given(one_dimension), Accepted(look=finite)),
    Row(121, "a triangle short by a value", given_files(cut("grm.bin", 4)),
        Refused(3, "E707", ("28080 bytes, expected 28084 = 4 n (n+1)/2",))),
    Row(121, "a triangle short by a byte", given_files(cut("grm.bin", 1)),
        Refused(3, "E707", ("28083 bytes",))),
    Row(121, "counts short by a value", given_files(cut("grm.N.bin", 4)),
        Refused(3, "E707", ("given.grm.N.bin",))),
    Row(121, "no counts", given_files(lambda files: of_set(files, "grm.N.bin").unlink()),
        Accepted(None, ("whole matrix only, float32",), near(options("--no-loco"), SAME))),
    Row(121, "no triangle", given_files(lambda files: of_set(files, "grm.bin").unlink()),
        Refused(7, "E110", ("given.grm.bin",))),
    Row(122, "a plain GRM under LOCO", lambda files, study: (
        made_plain(files), ("--grm", prefix_of(files)))[1],
        Refused(4, "E804", ("no per-chromosome parts", "--no-loco"))),
    Row(122, "a set with parts under LOCO", given_set(lambda files: None),
        Accepted(None, ("with per-chromosome parts",), near(options(), Near(0.0, 0.0)))),
    Row(122, "a set that lacks a tested chromosome", lambda files, study: (
        made(files, "--grm-chr", "1-3"), ("--grm", prefix_of(files)))[1],
        Refused(4, "E803", ("chromosome 4",))),
)  # fmt: skip
