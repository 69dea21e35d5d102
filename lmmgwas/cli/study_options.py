"""What a study is asked for: the options of `assoc`, which `check` takes, too, and their bundle."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from lmmgwas.cli.options import (
    bundled,
    genotype_bundle,
    genotype_options,
    grm_bundle,
    grm_options,
    optional_path,
    part_option,
    plot_bundle,
    region_options,
    report_option,
    run_bundle,
)

if TYPE_CHECKING:
    from lmmgwas.pipeline.options import (
        AssocJob,
        FileSet,
        ModelOptions,
        RunOptions,
        TableOptions,
        TestOptions,
    )

_table_options = (
    click.option("--pheno", metavar="FILE", required=True, help="Table of traits."),
    click.option("--pheno-name", metavar="A,B", help="Traits. [default: all columns]"),
    click.option(
        "--covar", metavar="FILE", help="Table of covariates; the intercept is always there."
    ),
    click.option("--covar-name", metavar="A,PC1-PC10", help="Covariates. [default: all columns]"),
    click.option("--cat-covar-name", metavar="A,B", help="Covariates that are categories."),
    click.option("--missing-code", metavar="X,Y", help="Numbers that mean missing. [default: -9]"),
    click.option("--no-missing-code", is_flag=True, help="No number means missing."),
    click.option(
        "--no-header",
        is_flag=True,
        help="Tables hold FID IID value..., named V1 V2... (covariates C1 C2...).",
    ),
)

_test_options = (
    click.option("--extract", metavar="FILE", help="Test only these variant IDs."),
    click.option("--exclude", metavar="FILE", help="Do not test these variant IDs."),
    click.option("--chr", "chromosomes", metavar="LIST", help="Test these chromosomes: 1-4,22,X."),
    click.option(
        "--maf",
        metavar="FREQUENCY",
        type=float,
        default=0.0,
        show_default=True,
        help="Smallest minor-allele frequency that is tested, 0 to 0.5.",
    ),
    click.option(
        "--mac",
        metavar="COUNT",
        type=float,
        default=5.0,
        show_default=True,
        help="Smallest minor-allele count that is tested, in copies.",
    ),
    click.option(
        "--geno",
        metavar="FRACTION",
        type=float,
        default=0.1,
        show_default=True,
        help="Largest fraction of missing calls of a variant that is tested, 0 to 1.",
    ),
    click.option(
        "--hwe",
        metavar="P",
        type=float,
        default=0.0,
        show_default=True,
        help="Smallest exact Hardy-Weinberg p that is tested; on founders.",
    ),
    click.option("--nonfounders", is_flag=True, help="Count nonfounders for --hwe, too."),
    click.option(
        "--include-nonautosomal", is_flag=True, help="Test Y, MT and unplaced variants, too."
    ),
)

_grm_choice = (
    click.option(
        "--grm",
        metavar="PREFIX",
        help="A GRM: prefix, or a file of GCTA, GEMMA, plink2, NumPy, or a table. [default: built "
        "from the genotypes]",
    ),
    click.option("--grm-bfile", metavar="PREFIX", help="Build the GRM from this genotype set."),
    click.option("--grm-pfile", metavar="PREFIX", help="The same, of PLINK 2."),
)

_model_options = (
    click.option(
        "--no-loco", is_flag=True, help="Do not leave the tested chromosome out of the GRM."
    ),
    click.option(
        "--h2",
        metavar="H2",
        type=float,
        help="Fix the heritability, 0 to 1; 0 is ordinary regression. [default: by REML]",
    ),
    click.option(
        "--test",
        type=click.Choice(["wald", "lrt", "score"]),
        default="wald",
        show_default=True,
        help="Statistic of the p-value: Wald's t, likelihood ratio, or score.",
    ),
    click.option(
        "--variance",
        type=click.Choice(["null", "per-variant"]),
        default="null",
        show_default=True,
        help="Variance components: of the null model, or fitted again for every variant.",
    ),
    click.option(
        "--scan",
        type=click.Choice(["exact", "calibrated"]),
        default="exact",
        show_default=True,
        help="Calibrated: chi-square within 2 %, much faster; exact where p is small.",
    ),
    click.option(
        "--exact-below",
        metavar="P",
        type=float,
        default=1e-3,
        show_default=True,
        help="p below this are exact in a calibrated scan, too.",
    ),
    click.option(
        "--seed",
        metavar="N",
        type=int,
        default=1,
        show_default=True,
        help="Of the random variants that a scan is calibrated on.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["single", "double"]),
        default="single",
        show_default=True,
        help="Of the rotated genotypes; statistics are double always.",
    ),
    click.option(
        "--whitener",
        type=click.Choice(["spectral", "cholesky"]),
        help="How the data are whitened. [default: the cheaper one]",
    ),
    click.option("--condition", metavar="ID,ID", help="Make these variants covariates."),
    click.option("--rint", is_flag=True, help="Rank-based inverse normal transform of the trait."),
    click.option(
        "--threshold",
        metavar="P",
        type=float,
        help="Significant p. [default: 5e-8 for human data, otherwise 0.05 / variants in the file]",
    ),
)

_report_options = (
    click.option(
        "--plots",
        type=click.Choice(["all", "png", "none"]),
        default="all",
        show_default=True,
        help="PNG and PDF, PNG only, or none.",
    ),
    report_option,
    *region_options,
    click.option("--parquet", is_flag=True, help="Write each table as Parquet, too."),
    click.option("--genome-build", metavar="NAME", help="For the metadata: GRCh38."),
    click.option("--ancestry", metavar="TEXT", help="For the metadata."),
    click.option("--trait-description", metavar="TEXT", help="For the metadata."),
)

study_options = bundled(
    genotype_options,
    *_table_options,
    *_test_options,
    *_grm_choice,
    grm_options,
    *_model_options,
    *_report_options,
)


divide_options = bundled(
    click.option(
        "--scheduler",
        metavar="ADDRESS|FILE",
        help="Use this Dask cluster: tcp://host:port, or the scheduler's file.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1),
        metavar="N",
        help="Start a Dask cluster of N processes on this machine; --threads is then for each. "
        "[default: none]",
    ),
    part_option,
    click.option("--nulls", metavar="DIR", help="Take the null models from this folder."),
    click.option(
        "--save-nulls", metavar="DIR", help="Fit null models, keep them in this folder, and end."
    ),
    click.option(
        "--nulls-of",
        type=click.Choice(["all", "genome"]),
        default="all",
        show_default=True,
        help="Which ones --save-nulls fits: all, or the whole genome's, where the others begin.",
    ),
)


def study_job(given: dict[str, Any]) -> "AssocJob":
    """Make the job of the arguments of `assoc`, or of `check`."""
    from lmmgwas.pipeline.options import AssocJob, Description

    return AssocJob(
        genotypes=genotype_bundle(given),
        tables=_tables(given),
        grm=grm_bundle(given),
        test=_tests(given),
        model=_model(given),
        run=_run(given),
        plots=plot_bundle(given),
        description=Description(
            given["genome_build"], given["ancestry"], given["trait_description"]
        ),
        nulls=optional_path(given.get("nulls")),
        save_nulls=optional_path(given.get("save_nulls")),
        nulls_of_genome=given.get("nulls_of") == "genome",
        parquet=given["parquet"],
    )


def _run(given: dict[str, Any]) -> "RunOptions":
    """What fits null models has a log and a lock of its own, as a part has."""
    if given.get("save_nulls") is None:
        return run_bundle(given)
    bundle = run_bundle(given, "nulls-")
    if bundle.share is not None:
        return bundle
    return replace(bundle, out=bundle.path(".nulls"))


def _tables(given: dict[str, Any]) -> "TableOptions":
    from pathlib import Path

    from lmmgwas.pipeline.options import TableOptions

    codes = given["missing_code"]
    return TableOptions(
        pheno=Path(given["pheno"]),
        pheno_names=given["pheno_name"],
        covar=optional_path(given["covar"]),
        covar_names=given["covar_name"],
        categorical_names=given["cat_covar_name"],
        missing_codes=None if codes is None else tuple(codes.split(",")),
        use_missing_code=not given["no_missing_code"],
        header=not given["no_header"],
    )


def _tests(given: dict[str, Any]) -> "TestOptions":
    from lmmgwas.model.genotypes import VariantFilters
    from lmmgwas.pipeline.options import TestOptions, VariantChoice

    choice = VariantChoice(
        optional_path(given["extract"]), optional_path(given["exclude"]), given["chromosomes"]
    )
    filters = VariantFilters(given["maf"], given["mac"], given["geno"], given["hwe"])
    return TestOptions(choice, filters, given["include_nonautosomal"], given["nonfounders"])


def _grm_files(given: dict[str, Any]) -> "FileSet | None":
    """Other genotypes to build the GRM from. Raises UsageError (E004)."""
    from lmmgwas.errors import UsageError
    from lmmgwas.pipeline.options import FileSet

    bfile, pfile = given["grm_bfile"], given["grm_pfile"]
    if bfile is not None and pfile is not None:
        raise UsageError("E004", "give --grm-bfile or --grm-pfile, not both")
    if pfile is not None:
        return FileSet.of_pfile(pfile)
    return None if bfile is None else FileSet.of(bfile, None, None, None)


def _model(given: dict[str, Any]) -> "ModelOptions":
    from lmmgwas.model.scan import ScanKind
    from lmmgwas.model.variant_tests import TestKind, VarianceKind
    from lmmgwas.model.whitening import Precision, WhitenerKind
    from lmmgwas.pipeline.options import ModelOptions

    whitener = given["whitener"]
    return ModelOptions(
        grm=optional_path(given["grm"]),
        grm_files=_grm_files(given),
        loco=not given["no_loco"],
        h2=given["h2"],
        precision=Precision(given["precision"]),
        whitener=None if whitener is None else WhitenerKind(whitener),
        rint=given["rint"],
        threshold=given["threshold"],
        test=TestKind(given["test"]),
        variance=VarianceKind(given["variance"]),
        condition=tuple(given["condition"].split(",")) if given["condition"] else (),
        scan=ScanKind(given["scan"]),
        exact_below=given["exact_below"],
        seed=given["seed"],
    )
