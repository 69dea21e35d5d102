"""The tables of other tools that ours is converted to: which column holds what, and whose effect.

This is the one place where each format's effect-allele rule is written; `lmmgwas convert
--help` and the documentation take it from here. Nothing heavy is imported: help reads this.

Our `effect_allele` is never swapped with `other_allele`. Only a format whose rule says that the
effect belongs to the alternative allele of a reference genome turns a row round, and only where
`ref_allele` says that our effect allele is the reference.
"""

from lmmgwas.io.export_values import Chromosomes, Column, Packing, TargetFormat, Value


def _columns(**named: Value | str) -> tuple[Column, ...]:
    return tuple(Column(name, value) for name, value in named.items())


REGENIE = TargetFormat(
    name="regenie",
    title="REGENIE, step 2 (.regenie)",
    columns=_columns(
        CHROM=Value.CHROMOSOME,
        GENPOS=Value.POSITION,
        ID=Value.MARKER,
        ALLELE0=Value.OTHER_ALLELE,
        ALLELE1=Value.EFFECT_ALLELE,
        A1FREQ=Value.FREQUENCY,
        N=Value.N,
        TEST="ADD",
        BETA=Value.BETA,
        SE=Value.SE,
        CHISQ=Value.CHI_SQUARE,
        LOG10P=Value.NEG_LOG10_P,
        EXTRA="NA",
    ),
    effect_rule="BETA and A1FREQ are of ALLELE1; ALLELE0 is the other allele.",
    source="https://rgcgithub.github.io/regenie/options/#output",
    chromosomes=Chromosomes.NUMBERS,
    separator=" ",
)
"""REGENIE's documentation, "Options", output of step 2: "CHROM GENPOS ID ALLELE0 ALLELE1 A1FREQ
N TEST BETA SE CHISQ LOG10P EXTRA"; results are with respect to ALLELE1 (issue 50 of
rgcgithub/regenie); X is 23. CHISQ is (BETA/SE)^2; LOG10P is ours, from t."""

PLINK2 = TargetFormat(
    name="plink2",
    title="PLINK 2, --glm (.glm.linear)",
    columns=(
        Column("#CHROM", Value.CHROMOSOME),
        Column("POS", Value.POSITION),
        Column("ID", Value.MARKER),
        Column("REF", Value.REF),
        Column("ALT", Value.ALT),
        Column("PROVISIONAL_REF?", Value.PROVISIONAL_REF),
        Column("A1", Value.EFFECT_ALLELE),
        Column("OMITTED", Value.OTHER_ALLELE),
        Column("A1_FREQ", Value.FREQUENCY),
        Column("TEST", "ADD"),
        Column("OBS_CT", Value.N),
        Column("BETA", Value.BETA),
        Column("SE", Value.SE),
        Column("T_STAT", Value.Z),
        Column("P", Value.P),
        Column("ERRCODE", "."),
    ),
    effect_rule="BETA and A1_FREQ are of A1, whichever of REF and ALT that is.",
    source="https://www.cog-genomics.org/plink/2.0/formats#glm_linear",
    chromosomes=Chromosomes.LETTERS,
)
"""PLINK 2's file formats, .glm.linear: A1 is the counted allele, REF that of the data set; where
it is not known to be the genome's, PROVISIONAL_REF? is Y, as it is here for BED files."""

GCTA = TargetFormat(
    name="gcta",
    title="GCTA, --mlma and --mlma-loco (.mlma)",
    columns=_columns(
        Chr=Value.CHROMOSOME,
        SNP=Value.MARKER,
        bp=Value.POSITION,
        A1=Value.EFFECT_ALLELE,
        A2=Value.OTHER_ALLELE,
        Freq=Value.FREQUENCY,
        b=Value.BETA,
        se=Value.SE,
        p=Value.P_DOUBLE,
    ),
    effect_rule="b and Freq are of A1, the coded allele; A2 is the other one.",
    source="https://yanglab.westlake.edu.cn/software/gcta/#MLMA",
    chromosomes=Chromosomes.NUMBERS,
)
"""GCTA's documentation, "MLMA": columns chromosome, SNP, position, reference (coded effect)
allele, the other allele, its frequency, effect, standard error and p. It has no column for n:
`cojo` has one."""

GEMMA = TargetFormat(
    name="gemma",
    title="GEMMA, -lmm 1 (.assoc.txt)",
    columns=_columns(
        chr=Value.CHROMOSOME,
        rs=Value.MARKER,
        ps=Value.POSITION,
        n_miss="NA",
        allele1=Value.EFFECT_ALLELE,
        allele0=Value.OTHER_ALLELE,
        af=Value.FREQUENCY,
        beta=Value.BETA,
        se=Value.SE,
        logl_H1="NA",
        l_remle="NA",
        p_wald=Value.P_DOUBLE,
    ),
    effect_rule="beta and af are of allele1; allele0 is the other allele.",
    source="https://github.com/genetics-statistics/GEMMA/blob/master/doc/manual.pdf",
    chromosomes=Chromosomes.NUMBERS,
)
"""GEMMA's manual, "Association tests with univariate linear mixed models". What our table does
not know (n_miss, logl_H1, l_remle) is NA; p_wald holds our p, whichever test it is of."""

SAIGE = TargetFormat(
    name="saige",
    title="SAIGE, step 2",
    columns=(
        Column("CHR", Value.CHROMOSOME),
        Column("POS", Value.POSITION),
        Column("MarkerID", Value.MARKER),
        Column("Allele1", Value.OTHER_ALLELE),
        Column("Allele2", Value.EFFECT_ALLELE),
        Column("AC_Allele2", "NA"),
        Column("AF_Allele2", Value.FREQUENCY),
        Column("MissingRate", "NA"),
        Column("BETA", Value.BETA),
        Column("SE", Value.SE),
        Column("Tstat", "NA"),
        Column("var", "NA"),
        Column("p.value", Value.P_DOUBLE),
        Column("N", Value.N),
    ),
    effect_rule="BETA and AF_Allele2 are of Allele2; Allele1 is the other allele.",
    source="https://saigegit.github.io/SAIGE-doc/docs/single_step2.html",
    chromosomes=Chromosomes.LETTERS,
)
"""SAIGE's documentation, "Step 2", output file: "Association results are with regard to Allele2".
Tstat and var are of SAIGE's score test and are NA, as are counts that our table does not have."""

LDSC = TargetFormat(
    name="ldsc",
    title="LD Score regression (munge_sumstats.py, or ldsc.py itself)",
    columns=_columns(
        SNP=Value.MARKER,
        A1=Value.EFFECT_ALLELE,
        A2=Value.OTHER_ALLELE,
        N=Value.N,
        Z=Value.Z,
        P=Value.P_DOUBLE,
        FRQ=Value.FREQUENCY,
    ),
    effect_rule="Z and FRQ are of A1: above 0, A1 increases the trait.",
    source="https://github.com/bulik/ldsc/wiki/Summary-Statistics-File-Format",
    needs=(Value.MARKER, Value.N, Value.Z, Value.P),
)
"""LDSC's wiki, "Summary Statistics File Format": SNP, N, Z, A1, A2, Z with respect to A1; with P
and FRQ besides, munge_sumstats.py recognises every column, and drops p-values of 0. Z is the one
signed statistic: with a second one (BETA) munge_sumstats.py stops."""

FUMA = TargetFormat(
    name="fuma",
    title="FUMA, SNP2GENE",
    columns=_columns(
        CHR=Value.CHROMOSOME,
        BP=Value.POSITION,
        effect_allele=Value.EFFECT_ALLELE,
        non_effect_allele=Value.OTHER_ALLELE,
        P=Value.P_DOUBLE,
        BETA=Value.BETA,
        SE=Value.SE,
        N=Value.N,
    ),
    effect_rule="BETA is of effect_allele.",
    source="https://fuma.ctglab.nl/tutorial#prepare-input-files",
    chromosomes=Chromosomes.NUMBERS,
    needs=(Value.CHROMOSOME, Value.POSITION, Value.P),
)
"""FUMA's tutorial, "Prepare Input Files": these headers are recognised; positions must be those of
hg19, and X may be 23. There is no column of rsIDs: an ID in it that is none is an error there,
and FUMA finds them by position."""

PHEWEB = TargetFormat(
    name="pheweb",
    title="PheWeb, association file",
    columns=_columns(
        chrom=Value.CHROMOSOME,
        pos=Value.POSITION,
        ref=Value.REF,
        alt=Value.ALT,
        pval=Value.P_DOUBLE,
        beta=Value.ALT_BETA,
        sebeta=Value.SE,
        af=Value.ALT_FREQUENCY,
    ),
    effect_rule="beta and af are of alt; ref must be the reference genome's allele.",
    source="https://github.com/statgen/pheweb#3-prepare-your-association-files",
    chromosomes=Chromosomes.LETTERS,
    needs=(Value.CHROMOSOME, Value.POSITION, Value.FREQUENCY),
)
"""PheWeb's README, "Prepare your association files", and its table of fields (parse_utils.py):
sorted by chromosome (1 to 22, X, Y, MT) and position, as ours are; NA is read as missing in pval,
beta and sebeta, not in af."""

COJO = TargetFormat(
    name="cojo",
    title="GCTA-COJO, SMR, GCTB (.ma)",
    columns=_columns(
        SNP=Value.MARKER,
        A1=Value.EFFECT_ALLELE,
        A2=Value.OTHER_ALLELE,
        freq=Value.FREQUENCY,
        b=Value.BETA,
        se=Value.SE,
        p=Value.P,
        N=Value.N,
    ),
    effect_rule="b and freq are of A1; A2 is the other allele.",
    source="https://yanglab.westlake.edu.cn/software/gcta/#COJO",
    separator=" ",
    needs=(Value.FREQUENCY, Value.BETA, Value.SE, Value.P, Value.N),
    packing=Packing.NEVER,
)
"""GCTA's documentation, "COJO": "SNP A1 A2 freq b se p N", A1 the effect allele. COJO computes p
again from b and se (read_metafile in joint_meta.cpp)."""

PRSCS = TargetFormat(
    name="prscs",
    title="PRS-CS and PRS-CSx",
    columns=_columns(
        SNP=Value.MARKER,
        A1=Value.EFFECT_ALLELE,
        A2=Value.OTHER_ALLELE,
        BETA=Value.BETA,
        SE=Value.SE,
    ),
    effect_rule="BETA is of A1, the effect allele.",
    source="https://github.com/getian107/PRScs#using-prs-cs",
    needs=(Value.MARKER, Value.BETA, Value.SE),
    packing=Packing.NEVER,
)
"""PRS-CS's README, "SUM_STATS_FILE": with SE in place of P no p-value is truncated, and that is
what it recommends. SNP must be an rs number; n is given as --n_gwas."""

METAL = TargetFormat(
    name="metal",
    title="METAL",
    columns=_columns(
        MARKER=Value.MARKER,
        ALLELE1=Value.EFFECT_ALLELE,
        ALLELE2=Value.OTHER_ALLELE,
        FREQ=Value.FREQUENCY,
        EFFECT=Value.BETA,
        STDERR=Value.SE,
        PVALUE=Value.P,
        N=Value.N,
        CHROMOSOME=Value.CHROMOSOME,
        POSITION=Value.POSITION,
    ),
    effect_rule="EFFECT and FREQ are of ALLELE1, the first allele that METAL is told.",
    source="https://genome.sph.umich.edu/wiki/METAL_Documentation",
    needs=(Value.BETA, Value.SE, Value.P),
)
"""METAL's documentation, "ALLELELABELS": the first label is the allele that effects refer to. The
columns have the names that METAL looks for unless told otherwise, and it reads p-values as long
doubles, so that they may stand in full."""

PARQUET = TargetFormat(
    name="parquet",
    title="Parquet, typed columns",
    columns=(),
    effect_rule="beta and effect_allele_frequency are of effect_allele, as in our table.",
    source="https://parquet.apache.org/docs/file-format/",
    missing="null",
    packing=Packing.NEVER,
)
"""Apache Parquet: the columns of our table under their names; see `lmmgwas.io.parquet`."""


def _sample(name: str, value: Value) -> Column:
    return Column(name, value, before=":")


GWAS_VCF = TargetFormat(
    name="gwas-vcf",
    title="GWAS-VCF 1.2, with index",
    columns=(
        Column("#CHROM", Value.CHROMOSOME),
        Column("POS", Value.POSITION),
        Column("ID", Value.MARKER),
        Column("REF", Value.REF),
        Column("ALT", Value.ALT),
        Column("QUAL", "."),
        Column("FILTER", "PASS"),
        Column("INFO", Value.RSID_INFO),
        Column("FORMAT", "NS:ES:SE:LP:AF:SS:ID"),
        Column("NS", Value.N),
        _sample("ES", Value.ALT_BETA),
        _sample("SE", Value.SE),
        _sample("LP", Value.NEG_LOG10_P),
        _sample("AF", Value.ALT_FREQUENCY),
        _sample("SS", Value.N),
        _sample("ID", Value.SAFE_MARKER),
    ),
    effect_rule="ES and AF are of ALT; REF must be the reference genome's allele.",
    source="https://github.com/MRCIEU/gwas-vcf-specification",
    chromosomes=Chromosomes.LETTERS,
    missing=".",
    needs=(Value.CHROMOSOME, Value.POSITION, Value.BETA, Value.P),
    needs_bases=True,
    packing=Packing.ALWAYS,
)
"""The GWAS-VCF specification 1.2 (Lyon and others, Genome Biology 2021): REF is the non-effect
allele and must be the genome's, ALT the effect allele; ES, SE and LP are required. NS is 1.2's
sample size; SS and ID are 1.0's, which the tools in use read. In ID, characters that would end
the field become _."""

FORMATS: dict[str, TargetFormat] = {
    target.name: target
    for target in (
        REGENIE,
        PLINK2,
        GCTA,
        GEMMA,
        SAIGE,
        LDSC,
        FUMA,
        PHEWEB,
        COJO,
        PRSCS,
        METAL,
        PARQUET,
        GWAS_VCF,
    )
}
