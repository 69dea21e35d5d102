"""What is odd about the variants of a file set, and is said before the work: labels, order, copies.

None of it is refused: groups go by label, output is sorted, and a row's key is its line.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmgwas.model.chromosomes import MERGED_CONTIGS, LabelRow, Role
from lmmgwas.model.genotypes import RawVariants, Variants
from lmmgwas.model.grm import Grm
from lmmgwas.numerics.hashing import hash_strings
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import GenotypeOptions

_SEX_CODES = {"23", "24", "25", "26"}
_NO_ID = "."
_SHOWN = 3
_SHOWN_CHROMOSOMES = 10
_FEW_LEFT = 500
_SAMPLES_PER_VARIANT = 5


def report_variants(
    labels: tuple[LabelRow, ...], variants: Variants, options: GenotypeOptions, log: Logbook
) -> None:
    """Say what is odd about the variants; `labels` are those of the file, in order."""
    _report_labels(labels, variants, options, log)
    where = options.files.variants
    _report_order(variants, labels, where, log)
    _report_shared_ids(variants.raw.marker_id, where, log)
    _report_shared_places(variants, where, log)


def say_nonautosomal(selected: Variants, log: Logbook) -> None:
    """Say which chromosomes `--include-nonautosomal` adds to the selected ones, and their GRM."""
    names = {Role.Y: "on Y", Role.MT: "on MT", Role.UNPLACED: "unplaced"}
    counts = [(int(selected.with_role(role).sum()), name) for role, name in names.items()]
    added = [f"{count:,} {name}" for count, name in counts if count]
    if added:
        log.say(f"Note: {', '.join(added)}: these variants are tested against the whole GRM")


def warn_few_left(grm: Grm, groups: tuple[str, ...], n_samples: int, log: Logbook) -> None:
    """Warn where LOCO leaves few variants for the relatedness of n samples."""
    bound = max(_FEW_LEFT, -(-n_samples // _SAMPLES_PER_VARIANT))
    left = {group: grm.n_variants_without(group) for group in groups}
    few = [group for group in groups if left[group] < bound]
    if few:
        worst = min(few, key=lambda group: left[group])
        log.warn(
            "W802",
            f"leaving chromosome {worst} out leaves {left[worst]:,} of {grm.whole.n_variants:,} "
            f"variants in the GRM, {len(few)} of {len(groups)} groups leave fewer than {bound:,}: "
            "relatedness is poorly known from so few; give a GRM of more variants (--grm-bfile), "
            "or use --no-loco",
        )


def _report_labels(
    labels: tuple[LabelRow, ...], variants: Variants, options: GenotypeOptions, log: Logbook
) -> None:
    """Say which label was taken for which chromosome, where that is not plain to see."""
    group_of = {c.name: c.group for c in variants.chromosomes}
    groups = [_group(row, group_of) for row in labels]
    if any(row.label != group for row, group in zip(labels, groups, strict=True)) or any(
        row.role is not Role.AUTOSOME for row in labels
    ):
        log.detail("Chromosome labels: label, group, role, variants")
        for row, group in zip(labels, groups, strict=True):
            log.detail(f"  {row.label}\t{group}\t{row.role}\t{row.n_variants}")
    spellings: dict[str, set[str]] = {}
    for row in labels:
        spellings.setdefault(row.name, set()).add(row.label)
    mixed = sorted(", ".join(sorted(s)) for s in spellings.values() if len(s) > 1)
    if mixed:
        log.warn("W202", f"labels that name one chromosome were joined: {'; '.join(mixed)}")
    coded = [row for row in labels if row.label in _SEX_CODES]
    if coded and not options.karyotype.stated:
        table = ", ".join(f"{row.label} = {row.name}" for row in coded)
        log.warn(
            "W203",
            f"chromosome labels {table} were read by the human code (22 autosomes): "
            "give --species or --autosomes if the data are of another species",
        )
    merged = [c.name for c in variants.chromosomes if c.group.startswith(MERGED_CONTIGS)]
    if merged:
        log.say(
            f"Note: {len(merged)} contigs with fewer than {options.min_loco_variants} variants "
            "form one LOCO group"
        )


def _group(row: LabelRow, group_of: dict[str, str]) -> str:
    """The LOCO group of a label; human X, Y and MT have numbers for names in the output."""
    return Role.X.value if row.role is Role.XY else group_of.get(row.name, row.name)


def _report_order(
    variants: Variants, labels: tuple[LabelRow, ...], where: Path, log: Logbook
) -> None:
    """Warn of positions and chromosomes out of order, and of chromosomes in several blocks."""
    index = variants.source_index
    if (index[1:] > index[:-1]).all():
        return  # the file has the order of the output
    chrom = _chromosome_codes(variants.raw, labels)
    starts = np.flatnonzero(np.diff(chrom, prepend=-1))
    blocks = np.bincount(chrom[starts], minlength=len(labels))
    split = [labels[k].name for k in np.flatnonzero(blocks > 1).tolist()]
    if split:
        log.warn(
            "W207",
            f"{where}: chromosomes in more than one block of lines: "
            f"{', '.join(split[:_SHOWN_CHROMOSOMES])}; all variants of a label are one group",
        )
    said = []
    placed = np.array([row.role is not Role.UNPLACED for row in labels], dtype=np.bool_)
    backwards = _backwards(chrom, variants.raw.pos, placed[chrom])
    if backwards.size:
        said.append(
            f"{backwards.size:,} positions are smaller than the one before them on their "
            f"chromosome (first on line {backwards[0] + variants.raw.first_line})"
        )
    order = [labels[k].name for k in dict.fromkeys(chrom[starts].tolist())]
    numbers = [int(name) for name in order if name.isdigit() and name != "0"]
    if numbers != sorted(numbers):
        said.append("chromosomes are out of order")
    if said:
        log.warn("W206", f"{where}: {' and '.join(said)}; variants are written sorted")


def _chromosome_codes(raw: RawVariants, labels: tuple[LabelRow, ...]) -> NDArray[np.int64]:
    """The first label (m,) that has the name of each variant's chromosome."""
    first: dict[str, int] = {}
    for k, row in enumerate(labels):
        first.setdefault(row.name, k)
    return np.array([first[row.name] for row in labels], dtype=np.int64)[raw.label_code]


def _backwards(
    chrom: NDArray[np.int64], pos: NDArray[np.int64], placed: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Lines (from 0) whose position is below that of the known one before, on one chromosome."""
    known = np.flatnonzero((pos > 0) & placed)
    chrom, pos = chrom[known], pos[known]
    found = np.flatnonzero((chrom[1:] == chrom[:-1]) & (pos[1:] < pos[:-1]))
    return known[1:][found]


def _report_shared_ids(ids: Any, where: Path, log: Logbook) -> None:
    """Warn of variants that share an ID; a dot is none."""
    rows = _rows_with_equal_hashes(ids)
    if not rows.size:
        return
    n_variants, shared = _shared(ids.take(pa.array(rows)))
    if shared:
        log.warn(
            "W204",
            f"{where}: {n_variants:,} variants share {len(shared):,} IDs "
            f"({_examples(shared)}): all rows are kept; --extract and "
            "--condition refuse such an ID",
        )


def _rows_with_equal_hashes(ids: Any) -> NDArray[np.int64]:
    """Rows whose ID may occur twice."""
    is_named = np.asarray(pc.not_equal(ids, _NO_ID), dtype=np.bool_)
    named = np.flatnonzero(is_named)
    chunks = ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids]
    hashes = np.concatenate([_hashes(chunk) for chunk in chunks])[named]
    ordered = np.sort(hashes)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not twice.size:
        return np.empty(0, dtype=np.int64)
    place = np.minimum(np.searchsorted(twice, hashes), twice.size - 1)
    found: NDArray[np.int64] = named[twice[place] == hashes]
    return found


def _hashes(strings: Any) -> NDArray[np.uint64]:
    """Hashes (m,) of a pyarrow string array."""
    _, at, data = strings.buffers()
    offsets = np.frombuffer(at, dtype=np.int32)[strings.offset :][: len(strings) + 1]
    content = np.frombuffer(data or b"", dtype=np.uint8)
    hashes = np.empty(len(strings), dtype=np.uint64)
    hash_strings(offsets, content, hashes)
    return hashes


def _report_shared_places(variants: Variants, where: Path, log: Logbook) -> None:
    """Warn of variants at one known position with the same alleles, in either order."""
    chrom, pos = variants.chrom, variants.pos
    same = (chrom[1:] == chrom[:-1]) & (pos[1:] == pos[:-1]) & (pos[1:] > 0)
    if not same.any():
        return
    beside = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    rows = np.flatnonzero(beside)
    index = variants.source_index[rows]
    effect = variants.raw.effect_allele.take(pa.array(index))
    other = variants.raw.other_allele.take(pa.array(index))
    swap = pc.greater(effect, other)
    names = pa.array([chromosome.name for chromosome in variants.chromosomes])
    keys = pc.binary_join_element_wise(
        names.take(pa.array(chrom[rows])),
        pa.array(pos[rows]).cast(pa.string()),
        pc.if_else(swap, other, effect),
        pc.if_else(swap, effect, other),
        ":",
    )
    n_variants, shared = _shared(keys)
    if shared:
        log.warn(
            "W205",
            f"{where}: {n_variants:,} variants share their position and alleles with another "
            f"({_examples(shared)}): all are kept and tested",
        )


def _shared(texts: Any) -> tuple[int, Any]:
    """Return how many of these texts occur more than once, and which (a pyarrow array)."""
    counted = pc.value_counts(texts)
    often = pc.greater(counted.field("counts"), 1)
    n = pc.sum(counted.field("counts").filter(often)).as_py() or 0
    return int(n), counted.field("values").filter(often)


def _examples(texts: Any) -> str:
    """The first of them, and a sign that there are more."""
    first = ", ".join(texts.slice(0, _SHOWN).to_pylist())
    return f"{first}, ..." if len(texts) > _SHOWN else first
