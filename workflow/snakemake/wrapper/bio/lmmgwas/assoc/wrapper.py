"""Snakemake wrapper for `lmmgwas assoc`."""

# ruff: noqa: F821, as `snakemake` is there when Snakemake runs this file

__author__ = "The lmmgwas developers"
__copyright__ = "Copyright 2026, The lmmgwas developers"
__license__ = "BSD-3-Clause"

import shlex

from snakemake.shell import shell

RUN = ".run.json"

if not snakemake.output.run.endswith(RUN):
    raise ValueError(f"output run is PREFIX{RUN}, not {snakemake.output.run}")
prefix = snakemake.output.run.removesuffix(RUN)

starts = (f"{prefix}.", f"{prefix}_mqc.")
others = [name for name in snakemake.output if not name.startswith(starts)]
if others:
    raise ValueError(f"all outputs start with {prefix}. as output run does: {', '.join(others)}")

arguments = [
    *("--bed", snakemake.input.bed),
    *("--bim", snakemake.input.bim),
    *("--fam", snakemake.input.fam),
    *("--pheno", snakemake.input.pheno),
]
covar = snakemake.input.get("covar")
if covar:
    arguments += ["--covar", covar]

grm = snakemake.input.get("grm")
if grm:
    ids = [name for name in ([grm] if isinstance(grm, str) else grm) if name.endswith(".grm.id")]
    if len(ids) != 1:
        raise ValueError("input grm has one file that ends in .grm.id")
    arguments += ["--grm", ids[0].removesuffix(".grm.id")]

given = shlex.join(str(argument) for argument in arguments)
extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=True, stderr=True)

shell(
    "lmmgwas assoc {given} --threads {snakemake.threads} {extra} --overwrite --out {prefix:q} {log}"
)
