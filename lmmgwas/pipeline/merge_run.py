"""`lmmgwas merge`: the parts of a study, or of a GRM, into one; nothing is computed again.

The study is planned once more from its inputs, as the parts have them on record; then its
tables are put together as an undivided run puts them together.
"""

from collections.abc import Sequence

from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.workspace import Workspace
from lmmgwas.pipeline.analyses import PreparedAnalysis, require_finished
from lmmgwas.pipeline.assoc_run import analyse, folder_for
from lmmgwas.pipeline.grm_parts import merge_grm
from lmmgwas.pipeline.journal import Journal, refuse_unfinished
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import AssocJob, GrmJob
from lmmgwas.pipeline.parts import Part, repeat
from lmmgwas.pipeline.preflight import plan_study
from lmmgwas.pipeline.record import inputs_of
from lmmgwas.pipeline.results import finish
from lmmgwas.report.manifest import describe_inputs


def run_merge(
    job: AssocJob | GrmJob,
    parts: Sequence[Part],
    log: Logbook,
    outputs: OutputSet,
    workspace: Workspace,
) -> None:
    """Put parts together; `job` is theirs, with another place for the output."""
    refuse_unfinished(workspace, job.run)
    if isinstance(job, GrmJob):
        merge_grm(job, parts, log, outputs, workspace)
        return
    study = plan_study(job, log, outputs, needs_room=False)
    inputs = describe_inputs(inputs_of(study))
    journal = Journal.of_parts(workspace, job.run, inputs, parts)
    repeat(parts[0].said, log)
    log.say(f"Merging {len(parts)} parts")
    with folder_for(journal.scratch(job.run, "spool")) as spool:
        results = analyse(study, None, journal, spool, log, outputs, _require_finished)
        finish(study, results, journal, log, outputs, workspace)


def _require_finished(number: int, prepared: PreparedAnalysis) -> None:
    require_finished(prepared.scan)
