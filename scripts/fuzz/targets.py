"""What is fuzzed: readers with small sound files to begin from, and what must hold if they accept.

A reader accepts a file or raises LmmgwasError. `Broken` is raised here where it accepted what
cannot be right.
"""

import gzip
import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmmgwas.errors import LmmgwasError
from lmmgwas.io import plink
from lmmgwas.io.bim_kernels import parse_plain
from lmmgwas.io.columns import MissingCodes, covariate_column, expand_names, numeric_column
from lmmgwas.io.export import export_table
from lmmgwas.io.export_formats import PLINK2, REGENIE
from lmmgwas.io.grm_files import open_grm, read_grm_ids
from lmmgwas.io.id_lists import read_id_list, read_name_list
from lmmgwas.io.read_sumstats import read_rows, read_sidecar, read_sumstats
from lmmgwas.io.sumstats import COLUMNS
from lmmgwas.io.tables import read_table
from lmmgwas.io.text import read_text
from lmmgwas.model.chromosomes import Karyotype, classify


class Broken(Exception):  # noqa: N818
    """A reader accepted a file and said what cannot be right of it."""


def require(condition: bool, what: str) -> None:
    """Raise Broken unless the condition holds."""
    if not condition:
        raise Broken(what)


@dataclass(frozen=True)
class Target:
    """A reader, the name of the file that it reads, and files that it accepts."""

    name: str
    file: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path], object]
    beside: tuple[tuple[str, bytes], ...] = ()  # files that stay as they are
    packed: bool = False  # half of the mutations are made before packing


# --- Readers ----------------------------------------------------------------------------------


def read_bim(path: Path) -> None:
    """The fast way and the long way must agree."""
    found: list[str] = []
    refused: LmmgwasError | None = None
    for way in (parse_plain, None):
        usual = plink.parse_plain
        if way is None:
            plink.parse_plain = lambda *given: None
        try:
            variants, remarks = plink.read_bim(path)
        except LmmgwasError as error:
            found.append(str(error))
            refused = error
            continue
        finally:
            plink.parse_plain = usual
        columns = (variants.marker_id, variants.effect_allele, variants.other_allele)
        texts = [column.to_pylist() for column in columns]
        labels = [variants.labels[k] for k in variants.label_code]
        found.append(repr((labels, variants.pos.tolist(), texts, remarks)))
        require(all(len(column) == len(variants) for column in texts), "columns differ in length")
        n_lines = sum(1 for line in read_text(path).body.split(b"\n") if line.strip(b" \t"))
        require(len(variants) == n_lines, f"{len(variants)} variants of {n_lines} lines")
        require(all("" not in column for column in texts), "an empty field")
    require(found[0] == found[1], f"two ways: {found[0][:300]} | {found[1][:300]}")
    if refused is not None:
        raise refused


def read_fam(path: Path) -> None:
    """As many samples as lines, all different."""
    samples, _ = plink.read_fam(path)
    lines = [line for line in read_text(path).body.split(b"\n") if line.strip(b" \t")]
    require(len(samples) == len(lines), f"{len(samples)} samples of {len(lines)} lines")
    pairs = set(zip(samples.fid, samples.iid, strict=True))
    require(len(pairs) == len(samples), "a sample twice")
    require("" not in samples.iid and "0" not in samples.iid, "a sample without ID")


def read_columns(path: Path, *, header: bool = True) -> None:
    """Every column as numbers, as a covariate and as categories."""
    table = read_table(path, header)
    require(len(set(zip(table.fid or table.iid, table.iid, strict=True))) == len(table), "twice")
    for name in table.columns:
        require(len(table.columns[name]) == len(table), "a column of another length")
        for parse, codes in _PARSERS:
            try:
                column = parse(table, name, codes)
            except LmmgwasError:
                continue
            values = column.values
            require(len(values) == len(table), "values of another length")
            if isinstance(values, np.ndarray):
                require(not np.isinf(values).any(), "an infinite value")
                require(int(np.isnan(values).sum()) == column.n_missing, "missing values")
        expand_names(name, list(table.columns))


def _as_covariate(table, name: str, codes: MissingCodes):  # type: ignore[no-untyped-def]
    return covariate_column(table, name, codes, categorical=False)


def _as_categories(table, name: str, codes: MissingCodes):  # type: ignore[no-untyped-def]
    return covariate_column(table, name, codes, categorical=True)


_PARSERS = (
    (numeric_column, MissingCodes()),
    (_as_covariate, MissingCodes(("-9", "x"))),
    (_as_categories, MissingCodes(None, enabled=False)),
)


def read_packed(path: Path) -> None:
    """What is accepted is what Python's own gzip unpacks."""
    body = read_text(path).body
    plain = gzip.decompress(path.read_bytes()) if path.read_bytes()[:2] == b"\x1f\x8b" else None
    if plain is not None:
        expected = plain.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
        require(body == expected, "unpacked to something else")
    read_columns(path)


def read_bed(path: Path) -> None:
    """An accepted .bed has the size that the .bim and .fam ask for; all of it can be read."""
    source = plink.BedSource.open(path, path.with_suffix(".bim"), path.with_suffix(".fam"))
    n, m = len(source.samples), len(source.variants)
    require(path.stat().st_size == 3 + m * ((n + 3) // 4), "another size")
    calls = source.read(np.arange(m))
    require(calls.shape == (m, n), "another shape")
    require(bool(np.isin(calls, (0, 1, 2, -127)).all()), "impossible calls")


def read_grm(path: Path) -> None:
    """IDs are unique, triangles have the size of as many samples."""
    prefix = path.with_name(path.name.split(".grm.")[0])
    grm, _ = open_grm(prefix)
    n = len(grm.iid)
    require(grm.whole.values.shape == (n * (n + 1) // 2,), "another size")
    require(len(set(zip(grm.fid, grm.iid, strict=True))) == n, "a sample twice")


def read_grm_id(path: Path) -> None:
    """IDs are unique and not empty."""
    fid, iid = read_grm_ids(path)
    require(len(set(zip(fid, iid, strict=True))) == len(iid), "a sample twice")
    require("" not in iid, "a sample without ID")


def read_summary(path: Path) -> None:
    """Every row has a finite -log10 p that is not negative."""
    table = read_sumstats(path)
    p = table.neg_log10_p
    require(bool((np.isfinite(p) & (p >= 0.0)).all()), "an impossible p")
    require(bool((table.pos >= 0).all()), "a negative position")
    for label in table.labels:
        try:
            classify(label, Karyotype())
        except LmmgwasError:
            continue
    rows = read_rows(table, np.arange(min(len(table), 3)))
    require(all(len(row) == len(table.header) for row in rows), "a row of another length")


def convert(path: Path) -> None:
    """Each row becomes one line of as many cells as the header has, whatever a cell holds."""
    for target in (REGENIE, PLINK2):
        out = path.with_name(f"{path.name}.out")
        facts = export_table(path, target, out, Karyotype(), packed=False)
        lines = out.read_text(encoding="utf-8").split("\n")
        require(len(lines) == facts.n_rows + 2, "a row more or less")
        n_cells = {line.count(target.separator) + 1 for line in lines[:-1]}
        require(n_cells == {len(target.columns)}, "a row of another length")


def read_labels(path: Path) -> None:
    """Any text is a chromosome, or refused."""
    for label in read_text(path).lines():
        for karyotype in (Karyotype(), Karyotype(38, stated=True)):
            try:
                name, role = classify(label, karyotype)
            except LmmgwasError:
                continue
            require(classify(name, karyotype) == (name, role), f"{label!r} is not stable")


# --- Files to begin from ----------------------------------------------------------------------

_BIM = (
    b"1\trs1\t0\t1000\tA\tG\n1\t.\t0.5\t2000\tC\tT\nX\trs#3\t-1\t0\tAT\tA\nchr22\trs4\tNA\t-9\t<DEL>\tG\n",
    b"1 rs1 0 1000 A G\n 2  rs2 0 2000 A G \n",
    b"1\trs1\t1000\tA\tG\r\n2\trs2\t2000\tA\tG\r\n",
)
_FAM = (
    b"F1\tI1\t0\t0\t1\t-9\nF1\tI2\t0\tI1\t2\t1.5\n0\tI3\t0\t0\t0\t-9\nF2\tI1\t0\t0\t2\t-9\n",
    b"F1 I1 0 0 1\nF2 I2 0 0 2\n",
    b"F1 I1 0 0 1 1 2 3\r\nF2 I2 0 0 F 1 2 3\r\n",
)
_TABLE = (
    b"FID\tIID\theight\tsite\nF1\tI1\t170.5\tnorth\nF1\tI2\tNA\tsouth\nF2\tI3\t-9\t\n",
    b"#FID IID x y\nF1 I1 1 2\nF2 I2 . -9.0\n",
    b"IID,a,b\nI1,1e5,+.5\nI2,nan,-9\n",
    b"#IID\tv\n\xc3\xa4\t1\r\nI2\t2\r\n",
)
_PLAIN = (b"F1 I1 1 2\nF2 I2 NA 3\n", b"F1\tI1\t1\tx\nF2\tI2\t0\ty\n", b"a,b,1\nc,d,2\n")
_IDS = (b"F1\tI1\nF2\tI2\n", b"FID IID\nF1 I1\n0 I2\n", b"#IID\nI1\nI2\n", b"I1\nI2\n")
_SUMMARY = (
    b"chromosome\tbase_pair_location\tp_value\tn\tneg_log_10_p_value\tmarker_id\n"
    b"1\t1000\t0.05\t100\t1.30103\trs1\n2\t2000\t1e-400\t99\t400\trs2\n23\t0\tNA\t98\tNA\trs3\n",
    b"chromosome\tbase_pair_location\tp_value\tn\n1\t1000\t1.\t100\n1\t1001\t1.5e-320\t100\n",
    b"chromosome\tbase_pair_location\tp_value\tn\nX\t7\t+.5\t1\n1\t8\t1E-9\t#NA\n",
)
_PEERS = (
    b"chr\trs\tps\tallele1\tbeta\tp_wald\n1\trs1\t9\tA\t-7e-02\t2.5e-03\n-9\tb\t-9\tA\tnan\tnan\n",
    b"CHROM GENPOS ID N TEST LOG10P\n1 9 rs1 500 ADD 2.60206\n23 5 rs2 500 ADD NA\n2 6 a 5 DOM 9\n",
    b",SNP,Chr,GenDist,ChrPos,PValue\n0,rs1,1.0,0.0,3197400.0,0.0025\n1,rs2,2.0,0.0,5.0,\n",
    b"CHR\tPOS\tSNPID\tp.value\nchr1\t9\trs1\t1.5e-412\nchrX\t5\trs2\tNA\n",
)
_RESULTS = (
    "\t".join(COLUMNS).encode() + b"\n"
    b"1\t1000\tA\tG\t0.5\t0.1\t0.25\t5.7e-07\trs1\t#NA\t1000\t6.2441251\trs1\n"
    b"23\t0\tD\tI\tNA\tNA\tNA\tNA\t#NA\tEA\tNA\tNA\tsnp;5\n"
    b"24\t7\tG\tTA\t-1e-05\t0\t1\t1e-412\trs6\tOA\t500\t412\trs6\n",
)
_SIDECAR = (
    b'genome_assembly: "x"\ntrait_description:\n  - "height"\nsamples:\n  - sample_size: 100\n',
)
_LABELS = (b"1\nchr1\n01\nX\nchrX\n23\nMT\nPAR1\n.\nUn\nscaffold_1\nchr\n99\n",)
_GRM_IDS = b"F1\tI1\nF2\tI2\n"
_MANIFEST = json.dumps(
    {
        "format_version": 1,
        "missing": "mean",
        "n_variants": 30,
        "groups": [{"name": "1", "n_variants": 10}, {"name": "2", "n_variants": 20}],
        "samples": {"n": 2, "sha256": hashlib.sha256(_GRM_IDS).hexdigest()},
    }
).encode()
_TRIANGLE = struct.pack("<3f", 1.0, 0.1, 0.9)


def _bgzf(data: bytes) -> bytes:
    out = b""
    for block in (data[: len(data) // 2], data[len(data) // 2 :], b""):
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(block) + packer.flush()
        extra = b"BC" + struct.pack("<HH", 2, len(body) + 25)
        head = b"\x1f\x8b\x08\x04" + bytes(4) + b"\x00\xff" + struct.pack("<H", 6) + extra
        out += head + body + struct.pack("<II", zlib.crc32(block), len(block))
    return out


_PACKED = (gzip.compress(_TABLE[0], mtime=0), _bgzf(_TABLE[0]), _TABLE[0])
_BED = (b"\x6c\x1b\x01" + bytes([0b11100110, 3, 0b10110110, 2, 0b01101110, 3]),)
_BED_BIM = b"1\trs1\t0\t1\tA\tG\n1\trs2\t0\t2\tA\tG\n2\trs3\t0\t3\tA\tG\n"
_BED_FAM = b"".join(b"F%d I%d 0 0 1 -9\n" % (k, k) for k in range(5))

_GRM_FILES = (
    ("s.grm.json", _MANIFEST),
    ("s.grm.id", _GRM_IDS),
    *((name, _TRIANGLE) for name in ("s.grm.bin", "s.grm.N.bin")),
    *((name, _TRIANGLE) for name in ("s.chr1.grm.bin", "s.chr2.grm.bin")),
)

TARGETS = (
    Target("bim", "s.bim", _BIM, read_bim),
    Target("fam", "s.fam", _FAM, read_fam),
    Target("table", "s.tsv", _TABLE, read_columns),
    Target("table without header", "s.txt", _PLAIN, lambda p: read_columns(p, header=False)),
    Target("packed table", "s.tsv.gz", _PACKED, read_packed, packed=True),
    Target("samples", "s.keep", _IDS, read_id_list),
    Target("names", "s.list", (b"rs1\nrs2 x\n\nrs3\n",), read_name_list),
    Target("bed", "s.bed", _BED, read_bed, (("s.bim", _BED_BIM), ("s.fam", _BED_FAM))),
    Target("GRM ids", "s.grm.id", _IDS[:1], read_grm_id),
    Target("GRM manifest", "s.grm.json", (_MANIFEST,), read_grm, _GRM_FILES[1:]),
    Target("summary statistics", "s.tsv", _SUMMARY, read_summary),
    Target(
        "packed summary statistics",
        "s.tsv.gz",
        (gzip.compress(_SUMMARY[0], mtime=0), _bgzf(_SUMMARY[1])),
        read_summary,
        packed=True,
    ),
    Target("peers' tables", "s.txt", _PEERS, read_summary),
    Target("table to convert", "s.tsv", _RESULTS, convert),
    Target("sidecar", "s.yaml", _SIDECAR, read_sidecar),
    Target("chromosome labels", "s.labels", _LABELS, read_labels),
)
