"""Every input cut at every byte: refused, or said, never a changed value without a word.

A cut file is one of four things to its reader:

    refused  an error
    same     what is lost carries nothing (the last line end, a column that is not read)
    fewer    whole lines are lost: the rows that are left are the first ones, unchanged
    warned   anything else, with a warning that the file does not end with a line end

`fewer` is what a cut after a whole line leaves of a table, and nothing within the table tells
it from a table of fewer samples: the run counts who has no trait (a test below shows it). The
.bed, .bim, .fam and GRM files hold each other to their numbers, so that only tables and lists
can end so. Compressed files carry their length.
"""

import gzip
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from bed_oracle import encode
from conftest import RunCli, StudyFiles, read_tsv
from tiny_study import tiny_study

from lmmgwas.errors import LmmgwasError
from lmmgwas.io.columns import MissingCodes, covariate_column, numeric_column
from lmmgwas.io.grm_files import open_grm
from lmmgwas.io.id_lists import read_id_list, read_name_list
from lmmgwas.io.plink import BedSource
from lmmgwas.io.tables import read_table

Rows = list[tuple[object, ...]]
Reader = Callable[[], tuple[Rows, list[str]]]
"""Returns what a file says, row by row, and the warnings."""

LEAST_OFFSETS = 3800
SAMPLED = 60
NO_LINE_END = "line end"
"""What a warning of a file without a last line end must speak of."""


@dataclass(frozen=True)
class Input:
    """One file, how it is read, and what may come of it when it is cut."""

    name: str
    path: Path
    read: Reader
    allowed: frozenset[str]
    options: tuple[object, ...] = ()  # of a run that reads it


def bgzf(blocks: list[bytes]) -> bytes:
    """Return a BGZF file (SAM specification, section 4.1) of these blocks and its end marker."""
    out = b""
    for block in [*blocks, b""]:
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(block) + packer.flush()
        extra = b"BC" + struct.pack("<HH", 2, len(body) + 25)
        head = b"\x1f\x8b\x08\x04" + bytes(4) + b"\x00\xff" + struct.pack("<H", 6) + extra
        out += head + body + struct.pack("<II", zlib.crc32(block), len(block))
    return out


def genotypes_of(files: StudyFiles) -> Reader:
    def read() -> tuple[Rows, list[str]]:
        source = BedSource.open(files.bed, files.bim, files.fam)
        samples, variants = source.samples, source.variants
        columns = (variants.marker_id, variants.effect_allele, variants.other_allele)
        names = zip(*(column.to_pylist() for column in columns), strict=True)
        chrom = [variants.labels[k] for k in variants.label_code]
        people = zip(samples.fid, samples.iid, samples.sex.tolist(), strict=True)
        calls = source.read(np.arange(len(variants)))
        rows: Rows = [
            *zip(chrom, names, variants.pos.tolist(), map(bytes, calls), strict=True),
            *people,
        ]
        return rows, list(source.warnings)

    return read


def table_of(path: Path) -> Reader:
    def read() -> tuple[Rows, list[str]]:
        table = read_table(path)
        missing = MissingCodes()
        for name in table.columns:
            if name in ("height", "weight"):
                numeric_column(table, name, missing)
            else:
                covariate_column(table, name, missing, categorical=False)
        fid = table.fid or [""] * len(table)
        rows: Rows = list(zip(fid, table.iid, *table.columns.values(), strict=True))
        return rows, list(table.remarks.warnings)

    return read


def samples_of(path: Path) -> Reader:
    def read() -> tuple[Rows, list[str]]:
        found = read_id_list(path)
        return list(found.ids), list(found.warnings)

    return read


def names_of(path: Path) -> Reader:
    def read() -> tuple[Rows, list[str]]:
        found = read_name_list(path)
        return [(name,) for name in found.names], list(found.warnings)

    return read


def grm_of(prefix: Path, run_cli: RunCli, options: tuple[object, ...]) -> Reader:
    def read() -> tuple[Rows, list[str]]:
        grm, _ = open_grm(prefix)
        parts = [grm.whole, *grm.parts.values()]
        rows: Rows = [("sample", f, i) for f, i in zip(grm.fid, grm.iid, strict=True)]
        rows += [("part", part.n_variants, part.values.tobytes()) for part in parts]
        if Path(f"{prefix}.grm.id").read_bytes().endswith(b"\n"):
            return rows, []
        # The reader of a GRM returns no warnings; the run gives them.
        out = prefix.with_name("cut")
        usual = ("--out", out, "--overwrite", "--plots", "none", "--threads", 1)
        result = run_cli("assoc", *options, *usual)
        if result.exit_code:
            raise LmmgwasError("E000", result.stderr)
        return rows, [line for line in result.stderr.splitlines() if line.startswith("Warning")]

    return read


@pytest.fixture(scope="module")
def inputs(run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory) -> list[Input]:
    """All files of a study, whole."""
    study = tiny_study()
    files = study.write(tmp_path_factory.mktemp("truncation"))
    folder = files.folder
    packed, blocked = folder / "pheno.tsv.gz", folder / "pheno.bgz"
    packed.write_bytes(gzip.compress(files.pheno.read_bytes(), mtime=0))
    lines = files.pheno.read_bytes().splitlines(keepends=True)
    blocked.write_bytes(bgzf([b"".join(lines[:9]), b"".join(lines[9:])]))
    keep, extract = folder / "keep", folder / "extract"
    keep.write_text("".join(f"{f} {i}\n" for f, i in zip(study.fid, study.iid, strict=True)))
    extract.write_text("".join(f"{name}\n" for name in study.marker[::3]))
    made = run_cli("grm", "--bfile", files.bfile, "--out", folder / "set", "--threads", 1)
    assert made.exit_code == 0, made.stderr
    plain = folder / "plain"
    for suffix in ("bin", "N.bin", "id"):
        Path(f"{plain}.grm.{suffix}").write_bytes(Path(f"{folder}/set.grm.{suffix}").read_bytes())
    genotypes, bfile = genotypes_of(files), ("--bfile", files.bfile)
    pheno, covar = ("--pheno", files.pheno), ("--covar", files.covar)
    of_set = (*bfile, *pheno, "--grm", folder / "set")
    of_plain = (*bfile, *pheno, "--grm", plain, "--no-loco")
    always, said = frozenset({"refused"}), frozenset({"refused", "same", "warned"})
    ends = frozenset({"refused", "same"})
    lossy = said | {"fewer"}
    whole = grm_of(folder / "set", run_cli, of_set)
    bare = grm_of(plain, run_cli, of_plain)
    return [
        Input(".bed", files.bed, genotypes, always, (*bfile, *pheno)),
        Input(".bim", files.bim, genotypes, said, (*bfile, *pheno)),
        Input(".fam", files.fam, genotypes, said, (*bfile, *pheno)),
        Input("traits", files.pheno, table_of(files.pheno), lossy, (*bfile, *pheno)),
        Input("covariates", files.covar, table_of(files.covar), lossy, (*bfile, *pheno, *covar)),
        Input("traits.gz", packed, table_of(packed), always, (*bfile, "--pheno", packed)),
        Input("traits, BGZF", blocked, table_of(blocked), always, (*bfile, "--pheno", blocked)),
        Input("keep", keep, samples_of(keep), lossy, (*bfile, *pheno, "--keep", keep)),
        Input("extract", extract, names_of(extract), lossy, (*bfile, *pheno, "--extract", extract)),
        Input(".grm.id", folder / "set.grm.id", whole, said, of_set),
        Input(".grm.bin", folder / "set.grm.bin", whole, always, of_set),
        Input(".chr1.grm.bin", folder / "set.chr1.grm.bin", whole, always, of_set),
        Input(".grm.json", folder / "set.grm.json", whole, ends, of_set),
        Input("plain .grm.id", folder / "plain.grm.id", bare, said, of_plain),
        Input("plain .grm.N.bin", folder / "plain.grm.N.bin", bare, always, of_plain),
    ]


def cut(path: Path) -> Iterator[int]:
    """Cut the file at each byte, the longest first; leave it as it was."""
    data = path.read_bytes()
    try:
        for size in range(len(data) - 1, -1, -1):
            path.write_bytes(data[:size])
            yield size
    finally:
        path.write_bytes(data)


def disposition(whole: Rows, item: Input) -> str:
    """What a cut file is to its reader; "silent" is what must not be."""
    try:
        rows, warnings = item.read()
    except LmmgwasError:
        return "refused"
    if rows == whole:
        return "same"
    if any(NO_LINE_END in warning for warning in warnings):
        return "warned"
    whole_lines = item.path.read_bytes().endswith(b"\n")
    return "fewer" if whole_lines and rows == whole[: len(rows)] else "silent"


def test_every_file_cut_at_every_byte(inputs: list[Input], figures: Callable[[str], None]) -> None:
    found: Counter[str] = Counter()
    wrong = []
    for item in inputs:
        whole, warnings = item.read()
        assert not warnings
        for size in cut(item.path):
            ending = disposition(whole, item)
            found[ending] += 1
            if ending not in item.allowed:
                wrong.append(f"{item.name} cut to {size} bytes: {ending}")
    n_offsets = sum(found.values())
    counts = ", ".join(f"{found[kind]:,} {kind}" for kind in sorted(found))
    figures(f"truncation: {n_offsets:,} offsets of {len(inputs)} files: {counts}")
    assert not wrong, "\n".join(wrong)
    assert n_offsets >= LEAST_OFFSETS
    # The others are warned of: tables and lists lose whole lines, or the last line its end.
    assert found["refused"] > 0.9 * n_offsets


def test_a_sample_of_cuts_through_the_command_line(
    inputs: list[Input], run_cli: RunCli, tmp_path: Path, figures: Callable[[str], None]
) -> None:
    """Refused with a code and nothing written, or all values as without the cut, or warned."""
    places = [(item, size) for item in inputs for size in range(item.path.stat().st_size)]
    chosen = np.random.default_rng(1).choice(len(places), SAMPLED, replace=False).tolist()
    # Of each file its end, too, where a value may lose a part.
    chosen += [k for k, (item, size) in enumerate(places) if item.path.stat().st_size - size == 3]
    found: Counter[str] = Counter()
    wrong = []
    for number, k in enumerate(chosen):
        item, size = places[k]
        folder = tmp_path / str(number)
        folder.mkdir()
        ending, said = _run_cut(item, size, folder, run_cli)
        found[ending] += 1
        if ending == "wrong" or ending not in {*item.allowed, "accepted"}:
            wrong.append(f"{item.name} cut to {size} bytes: {ending}: {said}")
    counts = ", ".join(f"{found[kind]} {kind}" for kind in sorted(found))
    figures(f"truncation through the command line: {len(chosen)} offsets: {counts}")
    assert not wrong, "\n".join(wrong)
    assert len(chosen) >= SAMPLED


def _run_cut(item: Input, size: int, folder: Path, run_cli: RunCli) -> tuple[str, str]:
    """Run the study with one file cut; return how that ended and what was said."""
    data = item.path.read_bytes()
    item.path.write_bytes(data[:size])
    try:
        usual = ("--out", folder / "run", "--plots", "none", "--threads", 1)
        result = run_cli("assoc", *item.options, *usual)
    finally:
        item.path.write_bytes(data)
    if result.exit_code:
        known = result.exit_code in (3, 4, 5) and "Error [E" in result.stderr
        clean = {path.name for path in folder.iterdir()} <= {"run.log"}
        return "refused" if known and clean else "wrong", result.stderr
    if NO_LINE_END in result.stderr:
        return "warned", result.stderr
    # .fam: its last column is not read. A table without its last lines is a smaller table.
    harmless = item.name == ".fam" or (data[:size].endswith(b"\n") and "fewer" in item.allowed)
    return "accepted" if harmless else "wrong", result.stderr


# --- What cannot be known ---------------------------------------------------------------------


def test_a_cut_after_a_whole_line_of_a_table_is_counted(run_cli: RunCli, tmp_path: Path) -> None:
    files = tiny_study().write(tmp_path)
    lines = files.pheno.read_bytes().splitlines(keepends=True)
    files.pheno.write_bytes(b"".join(lines[:-1]))
    out = tmp_path / "run"
    done = run_cli("assoc", *files.inputs, "--out", out, "--plots", "none", "--threads", 1)
    assert done.exit_code == 0, done.stderr
    samples = read_tsv(tmp_path / "run.samples.tsv").set_index("IID")
    assert samples["reason"].to_dict() == {
        **dict.fromkeys(samples.index, ""),
        "S15": "NOT_IN_PHENO",
    }
    assert "dropped: NOT_IN_PHENO" in done.stderr


def test_a_fam_that_lost_samples_that_look_like_padding(tmp_path: Path) -> None:
    """Two copies of A1 at every variant are zeros, as padding is: the .bed fits both .fam files.

    Nothing in the three files tells which is right. A sample of a real study is not so, hence
    the shorter one is taken, and the longer one refused.
    """
    study = tiny_study()
    study.calls[:, -1] = 2
    files = study.write(tmp_path)
    assert files.bed.read_bytes() == encode(study.calls[:, :-1].tolist())
    with pytest.raises(LmmgwasError, match="E104"):
        genotypes_of(files)()
    files.fam.write_text("".join(files.fam.read_text().splitlines(keepends=True)[:-1]))
    rows, warnings = genotypes_of(files)()
    assert len(rows) == 60 + 15
    assert warnings == []
