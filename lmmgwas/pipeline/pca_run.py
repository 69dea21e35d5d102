"""`grm --pca N`: principal components of the GRM that is being written, as a covariate file."""

import numpy as np

from lmmgwas.errors import UsageError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.grm_files import GrmPaths, map_triangle
from lmmgwas.model.grm import Grm, PackedPart, loco_matrix
from lmmgwas.model.pca import Components, principal_components
from lmmgwas.pipeline.inputs import Genotypes
from lmmgwas.pipeline.logbook import Logbook

_SHARES_SHOWN = 5


def require_components(n_components: int, n_samples: int) -> None:
    """Raise UsageError unless n samples have so many components: n - 1 at most."""
    if n_components >= n_samples:
        raise UsageError(
            "E002",
            f"--pca {n_components} is out of range: {n_samples:,} samples have at most "
            f"{max(n_samples - 1, 0):,} principal components",
        )


def keep_components(
    genotypes: Genotypes, n_components: int, paths: GrmPaths, outputs: OutputSet, log: Logbook
) -> None:
    """Write PREFIX.eigenvec and PREFIX.eigenval of the triangle that `outputs` holds.

    The components are those of the float32 values on file, so that the GRM and they belong
    together to the last bit. Raises DegenerateError (E704) where there are fewer.
    """
    kept = genotypes.kept
    fid = tuple(genotypes.samples.fid[i] for i in kept.tolist())
    iid = tuple(genotypes.samples.iid[i] for i in kept.tolist())
    values = map_triangle(outputs.temporary(paths.values(None)), kept.size)
    K = loco_matrix(Grm(fid, iid, PackedPart(values, 0), {}), None, np.arange(kept.size))
    found = principal_components(K, n_components)
    outputs.write_text(paths.eigenvec, _component_lines(fid, iid, found))
    outputs.write_text(paths.eigenval, "".join(f"{value:.8g}\n" for value in found.S.tolist()))
    shares = [
        f"PC{k} {100.0 * share:.2f} %"
        for k, share in enumerate(found.share[:_SHARES_SHOWN].tolist(), 1)
    ]
    rest = ", ..." if n_components > _SHARES_SHOWN else ""
    log.say(
        f"Principal components, share of the GRM's variance: {', '.join(shares)}{rest}; "
        f"all {n_components} {100.0 * float(found.share.sum()):.2f} %"
    )


def _component_lines(fid: tuple[str, ...], iid: tuple[str, ...], found: Components) -> str:
    names = "\t".join(f"PC{k}" for k in range(1, found.S.size + 1))
    lines = [f"#FID\tIID\t{names}\n"]
    for f, i, row in zip(fid, iid, found.U.tolist(), strict=True):
        lines.append("\t".join([f or "0", i, *(f"{value:.8g}" for value in row)]) + "\n")
    return "".join(lines)
