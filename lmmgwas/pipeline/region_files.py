"""Names of regional plots: PREFIX.TRAIT.region.CHROMOSOME_POSITION.png, and what is left of them.

Which loci get one is known in the end only. So before the work every name of this shape is held
to be one of the run's: where one is taken, the run is refused, or, with --overwrite, what it does
not draw again is removed in the end. No plot of an earlier run stands beside other tables.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.writing import write_error
from lmmgwas.model.genotypes import Variants
from lmmgwas.pipeline.options import PlotOptions, RunOptions

_LONGEST_NAME = 24
_PLACE = r"[A-Za-z0-9_-]+_[0-9]+"


def region_places(loci: Sequence[tuple[str, int]]) -> list[str]:
    """Return what stands for each (chromosome, position) in a file name: unique and safe."""
    places: list[str] = []
    taken: set[str] = set()
    for chrom, pos in loci:
        name = _safe(chrom)
        place, k = f"{name}_{pos}", 1
        while place.lower() in taken:  # two contigs whose names differ in odd characters alone
            k += 1
            place = f"{name}-{k}_{pos}"
        taken.add(place.lower())
        places.append(place)
    return places


def longest_place(variants: Variants) -> str:
    """Return the longest place that a locus of these variants may get."""
    names = [_safe(chromosome.name) for chromosome in variants.chromosomes]
    longest = max(names, key=len, default="")
    return f"{longest}-1_{int(variants.pos.max(initial=0))}"


def regions_there(
    run: RunOptions, stems: Iterable[str], plots: PlotOptions | None = None
) -> list[Path]:
    """Return the regional plots that lie under the prefix, of these traits.

    Those of the wanted formats, where `plots` are given, and of all otherwise.

    A `stem` stands for a trait in names of files; "" for none, as `lmmgwas plot` writes them.
    """
    wanted = ["png", "pdf"] if plots is None else _formats(plots)
    if not wanted:
        return []
    starts = {f"{run.out.name}.{stem}." if stem else f"{run.out.name}." for stem in stems}
    shape = re.compile(rf"(.+\.)region\.{_PLACE}\.(?:{'|'.join(wanted)})")
    try:
        names = [path.name for path in run.out.parent.iterdir()]
    except OSError:
        return []  # whether it is there and can be written to is asked elsewhere
    found = [(name, shape.fullmatch(name)) for name in sorted(names)]
    return [run.out.with_name(name) for name, match in found if match and match[1] in starts]


def _formats(plots: PlotOptions) -> list[str]:
    """The formats in which regional plots are drawn."""
    drawn = plots.regions > 0
    return [s for s, wanted in (("png", plots.png), ("pdf", plots.pdf)) if drawn and wanted]


def drop_stale(paths: Iterable[Path], outputs: OutputSet) -> None:
    """Remove what an earlier run left under these names, and this one did not write.

    Of a run that is told to overwrite only; another refuses before the work. Nothing of an earlier
    run stands beside other tables, then. Raises FileAccessError (E112).
    """
    if not outputs.overwrite:
        return
    written = {final for final, _ in outputs.pending()}
    for path in paths:
        if path in written or (path.is_dir() and not path.is_symlink()):
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise write_error(path, error) from error


def _safe(chrom: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", chrom)[:_LONGEST_NAME] or "_"
