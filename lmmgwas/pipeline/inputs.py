"""Opening the genotypes: samples kept, variants in output order, and which of them are meant."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmgwas.errors import MismatchError, UsageError
from lmmgwas.io.id_lists import read_id_list, read_name_list
from lmmgwas.io.joined import PLACEHOLDER, JoinedSource, find_labels
from lmmgwas.io.open_files import require_open_files
from lmmgwas.io.pfile import PgenSource
from lmmgwas.io.pgen import MOST_READERS
from lmmgwas.io.plink import BedSource
from lmmgwas.model.blocks import count_missing
from lmmgwas.model.chromosomes import classify, folded
from lmmgwas.model.genotypes import GenotypeSource, Samples, Variants, arrange_variants
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import FileSet, GenotypeOptions, VariantChoice
from lmmgwas.pipeline.variant_checks import report_variants

_BLOCK = 4096
_SHOWN_CHROMOSOMES = 40


@dataclass(frozen=True, slots=True, eq=False)
class Genotypes:
    """An opened file set and the samples that `--keep` and `--remove` leave."""

    source: GenotypeSource
    variants: Variants  # all, in output order
    kept: NDArray[np.int64]  # rows of the .fam, ascending
    high_missing: NDArray[np.bool_]  # (N,) dropped by --mind
    index: "SampleIndex"

    @property
    def samples(self) -> Samples:
        """All samples of the .fam."""
        return self.source.samples


class SampleIndex:
    """Rows of the genotype file by (FID, IID), or by IID alone where a side has no FID."""

    def __init__(self, samples: Samples) -> None:
        self._by_pair = {
            pair: row for row, pair in enumerate(zip(samples.fid, samples.iid, strict=True))
        }
        self._has_fid = any(samples.fid)
        self._by_iid: dict[str, list[int]] = {}
        for row, iid in enumerate(samples.iid):
            self._by_iid.setdefault(iid, []).append(row)

    def rows(
        self, fid: Sequence[str | None] | None, iid: Sequence[str], where: str
    ) -> NDArray[np.int64]:
        """Return the row (n,) of each ID, -1 where it is not in the genotypes.

        Raises MismatchError when IIDs alone must decide and one of them is not unique.
        """
        if fid is None or not any(fid) or not self._has_fid:
            return self._rows_by_iid(iid, where)
        pairs = zip(fid, iid, strict=True)
        return np.array([self._by_pair.get((f or "", i), -1) for f, i in pairs], dtype=np.int64)

    def _rows_by_iid(self, iid: Sequence[str], where: str) -> NDArray[np.int64]:
        seen: set[str] = set()
        for name in iid:
            matches = len(self._by_iid.get(name, ()))
            if matches > 1 or (matches and name in seen):
                raise MismatchError(
                    "E308",
                    f"sample {name} is not unique by IID alone, and FIDs are missing on one side: "
                    "the values could go to the wrong person; give FID and IID in both files",
                    where,
                )
            seen.add(name)
        return np.array([self._by_iid.get(name, [-1])[0] for name in iid], dtype=np.int64)


def open_genotypes(options: GenotypeOptions, log: Logbook) -> Genotypes:
    """Open the file set, say what it holds, and apply `--keep` and `--remove`."""
    source = _open_files(options.files, log)
    variants, labels = arrange_variants(
        source.variants, options.karyotype, options.min_loco_variants
    )
    report_variants(labels, variants, options, log)
    index = SampleIndex(source.samples)
    kept = _kept_samples(options, len(source.samples), index, log)
    high = _high_missing(source, kept, options.mind, log)
    return Genotypes(source, variants, kept[~high[kept]], high, index)


def _open_files(files: FileSet, log: Logbook) -> BedSource | PgenSource | JoinedSource:
    source = _open_source(files)
    log.say(
        f"Genotypes: {len(source.samples):,} samples, {len(source.variants):,} variants "
        f"({files.genotypes})"
    )
    if source.has_dosages:
        log.say(
            "Note: the genotypes are imputed dosages: they are what is tested and what makes the "
            "GRM; Hardy-Weinberg tests, where asked for, count hard calls"
        )
    for note in source.notes:
        log.say(f"Note: {note}")
    for warning in source.warnings:
        log.warn("W201", warning)
    return source


def _open_source(files: FileSet) -> BedSource | PgenSource | JoinedSource:
    """One file set, or one for each chromosome where the name holds an @."""
    if PLACEHOLDER not in files.genotypes.name:
        return _open_set(files)
    labels = find_labels(files.genotypes)
    # Each .bed stays open, and each .pgen once more for each of its readers.
    require_open_files(len(labels) * (1 + MOST_READERS if files.is_pgen else 1))
    return JoinedSource([_open_set(files.at(label, PLACEHOLDER)) for label in labels])


def _open_set(files: FileSet) -> BedSource | PgenSource:
    return PgenSource.open(*files.paths) if files.is_pgen else BedSource.open(*files.paths)


def _kept_samples(
    options: GenotypeOptions, n: int, index: SampleIndex, log: Logbook
) -> NDArray[np.int64]:
    """Rows that `--keep` and `--remove` leave."""
    kept = np.ones(n, dtype=np.bool_)
    if options.keep is not None:
        kept = _listed(options.keep, n, index, log)
    if options.remove is not None:
        kept &= ~_listed(options.remove, n, index, log)
    if not kept.any():
        raise MismatchError("E309", f"--keep and --remove leave none of the {n} samples")
    if not kept.all():
        log.say(f"Samples: --keep and --remove leave {int(kept.sum()):,} of {n:,}")
    return np.flatnonzero(kept).astype(np.int64)


def _high_missing(
    source: GenotypeSource, kept: NDArray[np.int64], mind: float | None, log: Logbook
) -> NDArray[np.bool_]:
    """Which samples (N,) have more than `mind` of their calls missing, over all variants."""
    n, m = len(source.samples), len(source.variants)
    if mind is None:
        return np.zeros(n, dtype=np.bool_)
    missing = np.zeros(n, dtype=np.int64)
    for start in range(0, m, _BLOCK):
        stop = min(start + _BLOCK, m)
        count_missing(source.read(np.arange(start, stop, dtype=np.int64)), missing)
    high = missing > mind * m + 1e-9
    n_high = int(high[kept].sum())
    log.say(f"Samples: --mind {mind:g} drops {n_high:,} of {kept.size:,}")
    if n_high == kept.size:
        raise MismatchError(
            "E311", f"all samples have more than {mind:g} of their calls missing: raise --mind"
        )
    return high


def _listed(path: Path, n: int, index: SampleIndex, log: Logbook) -> NDArray[np.bool_]:
    """Which samples a keep or remove file names."""
    listed = read_id_list(path)
    for warning in listed.warnings:
        log.warn("W401", warning)
    ids = listed.ids
    iid_only = any(fid is None for fid, _ in ids)
    fids = None if iid_only else [fid for fid, _ in ids]
    rows = index.rows(fids, [iid for _, iid in ids], str(path))
    named = np.zeros(n, dtype=np.bool_)
    named[rows[rows >= 0]] = True
    absent = int((rows < 0).sum())
    if absent:
        log.say(f"Note: {absent} of {len(ids)} samples of {path} are not in the genotypes")
    return named


def choose_variants(
    variants: Variants, choice: VariantChoice, options: GenotypeOptions, log: Logbook
) -> Variants:
    """Return the variants that `--extract`, `--exclude` and `--chr` (or the GRM's) leave."""
    chosen = np.ones(len(variants), dtype=np.bool_)
    if choice.extract is not None:
        chosen &= _named(variants, choice.extract, log, refuse_ambiguous=True)
    if choice.exclude is not None:
        chosen &= ~_named(variants, choice.exclude, log, refuse_ambiguous=False)
    if choice.chromosomes is not None:
        chosen &= _on_chromosomes(variants, choice.chromosomes, options)
    if not chosen.any():
        raise MismatchError(
            "E211", f"none of the {len(variants):,} variants is left by the choice of variants"
        )
    return variants if chosen.all() else variants.take(chosen)


def _named(
    variants: Variants, path: Path, log: Logbook, *, refuse_ambiguous: bool
) -> NDArray[np.bool_]:
    """Which variants a list names. An ID that two variants share cannot choose between them."""
    listed_names = read_name_list(path)
    for warning in listed_names.warnings:
        log.warn("W401", warning)
    names = list(dict.fromkeys(listed_names.names))
    ids = variants.raw.marker_id.take(variants.source_index)
    listed = pc.is_in(ids, value_set=pa.array(names, type=pa.string()))
    mask = np.asarray(listed.to_numpy(zero_copy_only=False), dtype=np.bool_)
    found = pc.value_counts(ids.filter(listed))
    counts = {row["values"].as_py(): row["counts"].as_py() for row in found}
    ambiguous = [name for name, count in counts.items() if count > 1]
    if ambiguous and refuse_ambiguous:
        raise MismatchError(
            "E212",
            f"{len(ambiguous)} IDs name more than one variant ({', '.join(ambiguous[:3])}): "
            "which one is meant? give the variants unique IDs",
            str(path),
        )
    absent = len(names) - len(counts)
    if absent:
        log.say(f"Note: {absent:,} of {len(names):,} IDs of {path} are not in the genotypes")
    return mask


def _on_chromosomes(variants: Variants, spec: str, options: GenotypeOptions) -> NDArray[np.bool_]:
    """Which variants lie on chromosomes such as `1-4,22,X`."""
    by_name: dict[str, list[int]] = {}
    for label_code, label in enumerate(variants.raw.labels):
        by_name.setdefault(_chromosome_name(label, options), []).append(label_code)
    wanted: set[int] = set()
    for token in (part.strip() for part in spec.split(",")):
        for name in _chromosome_range(token, options):
            if name in by_name:
                wanted.update(by_name[name])
            elif "-" not in token:
                known = dict.fromkeys(
                    classify(x, options.karyotype)[0] for x in variants.raw.labels
                )
                there = ", ".join(list(known)[:_SHOWN_CHROMOSOMES])
                raise MismatchError(
                    "E213", f"--chr: no variant lies on chromosome {token!r}; there are {there}"
                )
    codes = variants.raw.label_code[variants.source_index]
    return np.isin(codes, np.array(sorted(wanted), dtype=np.int32))


def _chromosome_range(token: str, options: GenotypeOptions) -> list[str]:
    """The normalised names that one token of `--chr` stands for."""
    low, dash, high = token.partition("-")
    if dash and low.isdigit() and high.isdigit():
        if int(low) > int(high):
            raise UsageError("E214", f"--chr: the range {token} runs backwards")
        return [_chromosome_name(str(k), options) for k in range(int(low), int(high) + 1)]
    if not token:
        raise UsageError("E214", "--chr holds an empty name: remove a comma")
    return [_chromosome_name(token, options)]


def _chromosome_name(label: str, options: GenotypeOptions) -> str:
    """What all labels of one chromosome share."""
    return folded(classify(label, options.karyotype)[0])
