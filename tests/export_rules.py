"""What each tool's documentation says of its table, written down without a look at our code.

For every target of `convert`: how to read the file, which column holds the allele that effects
belong to, the other allele, and the effect (or a statistic of its sign). Sources stand beside
the formats in lmmgwas/io/export_formats.py.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pysam


@dataclass(frozen=True)
class Rule:
    """Columns of one tool's table, by its documentation."""

    effect_allele: str
    other_allele: str
    effect: str
    marker: str
    separator: str = "\t"
    se: str = ""
    frequency: str = ""
    n: str = ""
    p: str = ""
    log10_p: str = ""
    chromosome: str = ""
    position: str = ""


RULES = {
    # "BETA ... for ALLELE1": REGENIE, options, output.
    "regenie": Rule(
        "ALLELE1",
        "ALLELE0",
        "BETA",
        "ID",
        separator=" ",
        se="SE",
        frequency="A1FREQ",
        n="N",
        log10_p="LOG10P",
        chromosome="CHROM",
        position="GENPOS",
    ),
    # "A1: counted allele in regression": PLINK 2, .glm.linear.
    "plink2": Rule(
        "A1",
        "OMITTED",
        "BETA",
        "ID",
        se="SE",
        frequency="A1_FREQ",
        n="OBS_CT",
        p="P",
        chromosome="#CHROM",
        position="POS",
    ),
    # "reference allele (the coded effect allele)": GCTA, MLMA.
    "gcta": Rule(
        "A1", "A2", "b", "SNP", se="se", frequency="Freq", p="p", chromosome="Chr", position="bp"
    ),
    # Effects are of allele1, whose frequency is af: GEMMA's manual, 4.6.
    "gemma": Rule(
        "allele1",
        "allele0",
        "beta",
        "rs",
        se="se",
        frequency="af",
        p="p_wald",
        chromosome="chr",
        position="ps",
    ),
    # "Association results are with regard to Allele2": SAIGE, step 2.
    "saige": Rule(
        "Allele2",
        "Allele1",
        "BETA",
        "MarkerID",
        se="SE",
        frequency="AF_Allele2",
        n="N",
        p="p.value",
        chromosome="CHR",
        position="POS",
    ),
    # "Z-score. Sign with respect to A1": LDSC's wiki.
    "ldsc": Rule("A1", "A2", "Z", "SNP", frequency="FRQ", n="N", p="P"),
    # "A1 | effect_allele ...: affected allele": FUMA's tutorial.
    "fuma": Rule(
        "effect_allele",
        "non_effect_allele",
        "BETA",
        "",
        se="SE",
        n="N",
        p="P",
        chromosome="CHR",
        position="BP",
    ),
    # af and beta are of the alternate allele: PheWeb's README.
    "pheweb": Rule(
        "alt",
        "ref",
        "beta",
        "",
        se="sebeta",
        frequency="af",
        p="pval",
        chromosome="chrom",
        position="pos",
    ),
    # "the effect allele, the other allele": GCTA, COJO.
    "cojo": Rule("A1", "A2", "b", "SNP", separator=" ", se="se", frequency="freq", n="N", p="p"),
    # "A1 is the effect allele": PRS-CS's README.
    "prscs": Rule("A1", "A2", "BETA", "SNP", se="SE"),
    # Effects are of the first allele of ALLELELABELS: METAL's documentation.
    "metal": Rule(
        "ALLELE1",
        "ALLELE2",
        "EFFECT",
        "MARKER",
        se="STDERR",
        frequency="FREQ",
        n="N",
        p="PVALUE",
        chromosome="CHROMOSOME",
        position="POSITION",
    ),
    "parquet": Rule(
        "effect_allele",
        "other_allele",
        "beta",
        "marker_id",
        se="standard_error",
        frequency="effect_allele_frequency",
        n="n",
        log10_p="neg_log_10_p_value",
        chromosome="chromosome",
        position="base_pair_location",
    ),
    # "The alternative allele is always the effect allele": the specification, 1.1.2.
    "gwas-vcf": Rule(
        "ALT",
        "REF",
        "ES",
        "ID",
        se="SE",
        frequency="AF",
        n="NS",
        log10_p="LP",
        chromosome="#CHROM",
        position="POS",
    ),
}


def read_target(path: Path, name: str) -> pd.DataFrame:
    """Return a converted file as text cells, by what its format says of separators."""
    if name == "parquet":
        return pd.read_parquet(path)
    if name == "gwas-vcf":
        return _read_vcf(path)
    return pd.read_csv(path, sep=RULES[name].separator, dtype=str, keep_default_na=False)


def _read_vcf(path: Path) -> pd.DataFrame:
    """Return the fields of the one sample of a VCF file as columns."""
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[:-1]
    header = next(line for line in lines if line.startswith("#CHROM")).split("\t")
    rows = []
    for line in lines:
        if line.startswith("#"):
            continue
        cells = dict(zip(header, line.split("\t"), strict=True))
        keys, values = cells["FORMAT"].split(":"), cells[header[-1]].split(":")
        sample = dict(zip(keys, values, strict=True))
        rows.append({**sample, **{name: cells[name] for name in header[:5]}, "INFO": cells["INFO"]})
    return pd.DataFrame(rows)


def open_vcf(path: Path) -> pysam.VariantFile:
    """Return the file as htslib reads it."""
    return pysam.VariantFile(str(path))
