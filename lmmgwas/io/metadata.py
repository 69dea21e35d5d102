"""The GWAS-SSF metadata sidecar, and whether a table is valid GWAS-SSF 1.0 at all."""

import datetime
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmmgwas.model.genotypes import Variants

NOT_REPORTED = "NR"
_NUCLEOTIDES = r"^[ACGTacgt]+$"


@dataclass(frozen=True, slots=True)
class StudyDescription:
    """What only the user knows about a study; goes into the sidecar."""

    genome_build: str | None = None
    ancestry: str | None = None
    trait_description: str | None = None


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What the sidecar says of one table."""

    trait: str
    n_samples: int
    covariates: tuple[str, ...]
    maf_limit: float
    software: str
    valid: bool


def format_sidecar(table: Path, name: str, facts: TableFacts, study: StudyDescription) -> str:
    """Return the YAML text for a finished table that will be called `name`."""
    covariates = "".join(f"\n  - {_scalar(c)}" for c in facts.covariates)
    lines = [
        "# Study meta-data",
        f"date_metadata_last_modified: {_date()}",
        "# Trait information",
        f"trait_description:\n  - {_scalar(study.trait_description or facts.trait)}",
        "# Genotyping information",
        f"genome_assembly: {_scalar(study.genome_build or NOT_REPORTED)}",
        "coordinate_system: 1-based",
        "# Sample information",
        "samples:",
        f"  - sample_size: {facts.n_samples}",
        f"    sample_ancestry:\n      - {_scalar(study.ancestry or NOT_REPORTED)}",
        "# Summary statistic information",
        f"data_file_name: {_scalar(name)}",
        f"file_type: {'GWAS-SSF v1.0' if facts.valid else 'non-GWAS-SSF'}",
        f"data_file_md5sum: {_md5(table)}",
        f"analysis_software: {_scalar(facts.software)}",
        f"adjusted_covariates:{covariates}" if covariates else "adjusted_covariates: []",
        f"minor_allele_freq_lower_limit: {facts.maf_limit:g}",
        "# Harmonization status",
        "is_harmonised: false",
        "is_sorted: true",
    ]
    return "\n".join(lines) + "\n"


def reasons_not_ssf(variants: Variants, *, is_human: bool) -> list[str]:
    """Return why a table of these variants is not valid GWAS-SSF 1.0; empty when it is."""
    if not is_human:
        return ["the species is not human"]
    reasons = []
    names = {variants.chromosomes[k].name for k in np.unique(variants.chrom).tolist()}
    absent = [str(k) for k in range(1, 23) if str(k) not in names]
    if absent:
        reasons.append(f"chromosome {', '.join(absent)} missing")
    foreign = sorted(n for n in names if not re.fullmatch(r"[1-9]|1[0-9]|2[0-5]", n))
    if foreign:
        reasons.append(f"chromosome {', '.join(foreign[:5])} not among 1 to 25")
    for column in (variants.raw.effect_allele, variants.raw.other_allele):
        n_other = _n_not_nucleotides(column.take(variants.source_index))
        if n_other:
            reasons.append(f"{n_other} variants with alleles other than A, C, G, T")
            break
    return reasons


def _n_not_nucleotides(alleles: Any) -> int:
    """How many alleles are no words of nucleotides; single letters are seen at once."""
    longer = alleles.filter(pc.invert(pc.is_in(alleles, value_set=pa.array(list("ACGT")))))
    return len(longer) - int(pc.sum(pc.match_substring_regex(longer, _NUCLEOTIDES)).as_py() or 0)


def _scalar(text: str) -> str:
    """A YAML scalar: JSON strings are YAML."""
    return json.dumps(text, ensure_ascii=False)


def _date() -> str:
    """Today, or the day of SOURCE_DATE_EPOCH: the sidecar's schema demands a date."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    now = datetime.datetime.now(datetime.UTC)
    if epoch.isascii() and epoch.isdigit():
        now = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC)
    return now.date().isoformat()


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
