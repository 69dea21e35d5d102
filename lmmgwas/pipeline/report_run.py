"""PREFIX.report.html, written when results are safe: one that fails is a warning, no lost table."""

from collections.abc import Mapping, Sequence
from typing import Any

from lmmgwas.errors import FileAccessError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.study import Study, TraitResult
from lmmgwas.report.content import Picture
from lmmgwas.report.plotly_library import HOW_TO_GET_IT, read_plotly_js
from lmmgwas.report.settings import load_matplotlib


def write_report(
    study: Study,
    results: Sequence[TraitResult],
    manifest: dict[str, Any],
    outputs: OutputSet,
    log: Logbook,
    regions: Mapping[str, Sequence[Picture]] | None = None,
) -> None:
    """Write the report of a finished study, where it is wanted and plotly is installed.

    `manifest` is the run's as far as it is known, `regions` are pictures by trait. Plots that
    are drawn and not yet named stand in the page for readers without JavaScript.

    Raises FileAccessError where the disk fails: then --resume writes it.
    """
    if not study.job.plots.report:
        return
    final = study.job.run.path(".report.html")
    try:
        with log.stage("report"):
            library = read_plotly_js()
            if library is None:
                log.say(f"No {final.name}: that needs plotly ({HOW_TO_GET_IT}), or say --no-report")
                return
            load_matplotlib(outputs.temporary(final).parent)
            from lmmgwas.pipeline.report_page import page_of
            from lmmgwas.report.render import render_page

            page = page_of(study, results, manifest, outputs, regions or {})
            outputs.write_text(final, render_page(page, library))
    except FileAccessError:
        raise
    except Exception as error:
        # Results are safe by now, and no page is worth them.
        outputs.forget(final)
        log.warn("W130", f"the report could not be written: {error!r}")
