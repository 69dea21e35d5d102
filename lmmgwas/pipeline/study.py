"""A study once it is planned, and one of its traits once it is finished."""

from dataclasses import dataclass

from lmmgwas.model.genotypes import Variants
from lmmgwas.model.whitener_cost import WhitenerCost
from lmmgwas.pipeline.flow import SampleFlow
from lmmgwas.pipeline.gene_input import GeneInput
from lmmgwas.pipeline.inputs import Genotypes
from lmmgwas.pipeline.join import StudyTables
from lmmgwas.pipeline.options import AssocJob
from lmmgwas.pipeline.plan import PlannedAnalysis
from lmmgwas.pipeline.relatedness import PlannedGrm
from lmmgwas.pipeline.scan_run import ScanOutcome
from lmmgwas.pipeline.trait_output import GroupRow, Leads, TraitOutput


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What all steps after the planning need."""

    job: AssocJob
    genotypes: Genotypes
    variants: Variants  # selected for testing, in output order
    tables: StudyTables
    flow: SampleFlow
    plans: list[PlannedAnalysis]
    grm: PlannedGrm | None
    threshold: float
    genes: GeneInput | None = None  # for the regional plots

    @property
    def is_human(self) -> bool:
        """Whether human conventions hold: 5e-8, chromosomes 23 to 25."""
        return self.job.genotypes.karyotype.is_human


@dataclass(frozen=True, slots=True, eq=False)
class TraitResult:
    """One finished trait, for the summary and the manifest."""

    output: TraitOutput
    plan: PlannedAnalysis
    whole: GroupRow
    leads: Leads
    cost: WhitenerCost
    outcome: ScanOutcome
    not_ssf: list[str]  # why the table is not valid GWAS-SSF; empty when it is
