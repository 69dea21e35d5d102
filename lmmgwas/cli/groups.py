"""Under which heading of the help an option stands, and in which order.

A new option is one word here: its long name without dashes, where it is to appear. Options that
are not here end up under "Other", and a test refuses that.
"""

from collections.abc import Iterable

import click

OTHER = "Other"

_GROUPS = {
    "Input": "bfile pfile bed bim fam pheno pheno-name covar covar-name cat-covar-name "
    "missing-code no-missing-code no-header",
    "Samples and variants": "keep remove mind extract exclude chr maf mac geno hwe nonfounders "
    "include-nonautosomal species autosomes min-loco-variants",
    "Relatedness matrix (GRM)": "grm grm-bfile grm-pfile convert grm-model grm-missing grm-maf "
    "grm-geno grm-chr grm-extract grm-exclude pca eigen",
    "Model and test": "no-loco h2 variance test scan exact-below seed precision whitener "
    "condition rint",
    "Output": "out what to overwrite genome-build ancestry trait-description parquet",
    "Plots and report": "plots report threshold suggestive title regions region-window genes",
    "Many machines": "part scheduler workers nulls save-nulls nulls-of",
    "Compute": "threads memory block-size tmpdir resume break-lock",
    "General": "config strict quiet verbose log debug help",
}

_PLACES = {
    name: (title, place)
    for title, names in _GROUPS.items()
    for place, name in enumerate(names.split())
}


def long_name(parameter: click.Parameter) -> str:
    """Return `pheno-name` of `--pheno-name`; empty where there is no long spelling."""
    spelled = [opt for opt in parameter.opts if opt.startswith("--")]
    return spelled[0].removeprefix("--") if spelled else ""


def grouped(parameters: Iterable[click.Parameter]) -> list[tuple[str, list[click.Option]]]:
    """Return the options by heading: (title, options), both in the order of the help."""
    options = [p for p in parameters if isinstance(p, click.Option) and not p.hidden]
    found: dict[str, list[click.Option]] = {title: [] for title in (*_GROUPS, OTHER)}
    for option in options:
        found[_PLACES.get(long_name(option), (OTHER, 0))[0]].append(option)
    for members in found.values():
        members.sort(key=lambda option: _PLACES.get(long_name(option), (OTHER, 0))[1])
    return [(title, members) for title, members in found.items() if members]
