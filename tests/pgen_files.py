"""PLINK 2 file sets for tests, written by pgenlib: calls or dosages, and the two text files."""

from pathlib import Path

import numpy as np
import pgenlib
from conftest import MISSING, Study, StudyFiles


def write_pgen(
    path: Path, calls: np.ndarray, *, nonref: bool | None = True, phased: bool = False
) -> None:
    """Write hard calls (m, n) of ALT; with `phased` every heterozygous call has a phase."""
    m, n = calls.shape
    writer = pgenlib.PgenWriter(
        bytes(path), n, variant_ct=m, nonref_flags=nonref, hardcall_phase_present=phased
    )
    for row in calls:
        if phased:
            alleles = np.array([_ALLELES[call] for call in row.tolist()], dtype=np.int32)
            writer.append_alleles(alleles.ravel(), all_phased=True)
        else:
            codes = np.where(row == MISSING, -9, row)
            writer.append_biallelic(np.ascontiguousarray(codes, dtype=np.int8))
    writer.close()


_ALLELES = {0: (0, 0), 1: (1, 0), 2: (1, 1), MISSING: (-9, -9)}


def with_flags(content: bytes, flags: np.ndarray) -> bytes:
    """Tell of each REF whether it is provisional, in the index after each block's lengths.

    pgenlib's own writer dies of an array of flags (0.95.1).
    """
    m = int.from_bytes(content[3:7], "little")
    control = content[11]
    n_blocks = -(-m // 65536)
    width = (4 if not control & 4 else 8), (control & 3) + 1
    at = 12 + 8 * n_blocks
    pieces = []
    for start in range(0, m, 65536):
        size = min(65536, m - start)
        end = at + (size * width[0] + 7) // 8 + size * width[1]
        pieces += [content[at:end], np.packbits(flags[start : start + size], bitorder="little")]
        at = end
    index = b"".join(map(bytes, pieces))
    moved = len(index) - (at - 12 - 8 * n_blocks)
    starts = np.frombuffer(content, dtype="<u8", count=n_blocks, offset=12) + moved
    head = content[:11] + bytes([control | 0xC0])
    return head + starts.astype("<u8").tobytes() + index + content[at:]


def write_dosages(path: Path, dosage: np.ndarray, *, nonref: bool = False) -> None:
    """Write dosages (m, n) of ALT, NaN where missing."""
    m, n = dosage.shape
    writer = pgenlib.PgenWriter(
        bytes(path), n, variant_ct=m, nonref_flags=nonref, dosage_present=True
    )
    for row in np.ascontiguousarray(np.where(np.isnan(dosage), -9.0, dosage)):
        writer.append_dosages(row)
    writer.close()


def pvar_text(study: Study) -> str:
    """The .pvar of a study: ALT is the effect allele."""
    columns = (study.chrom, study.pos, study.marker, study.other, study.effect)
    lines = ["\t".join(map(str, cells)) for cells in zip(*columns, strict=True)]
    return "\n".join(["##source=test", "#CHROM\tPOS\tID\tREF\tALT", *lines, ""])


def psam_text(study: Study) -> str:
    """The .psam of a study."""
    rows = zip(study.fid, study.iid, study.sex, strict=True)
    return "#FID\tIID\tSEX\n" + "".join(f"{f}\t{i}\t{s or 'NA'}\n" for f, i, s in rows)


def write_pfile(
    study: Study,
    folder: Path,
    name: str = "study",
    *,
    dosage: np.ndarray | None = None,
    nonref: bool = True,
) -> Path:
    """Write a study's genotypes as a PLINK 2 file set; return the prefix."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / name
    if dosage is None:
        write_pgen(prefix.with_suffix(".pgen"), study.calls, nonref=nonref)
    else:
        write_dosages(prefix.with_suffix(".pgen"), dosage, nonref=nonref)
    prefix.with_suffix(".pvar").write_text(pvar_text(study))
    prefix.with_suffix(".psam").write_text(psam_text(study))
    return prefix


def results_of(prefix: Path) -> dict[str, bytes]:
    """What lies in the folder of a prefix, but for logs, manifests and folders of parts."""
    return {
        path.name: path.read_bytes()
        for path in sorted(prefix.parent.iterdir())
        if path.is_file() and not path.name.endswith((".log", ".run.json"))
    }


def pfile_inputs(files: StudyFiles, prefix: Path) -> list[str]:
    """The options that name a study whose genotypes are a PLINK 2 file set."""
    named = {"--pfile": prefix, "--pheno": files.pheno, "--covar": files.covar}
    return [str(part) for pair in named.items() for part in pair]
