"""PREFIX.report.html, written when results are safe: one that fails is a warning, no lost table."""

from collections.abc import Callable
from pathlib import Path

from lmmgwas.errors import FileAccessError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.report.content import Page
from lmmgwas.report.plotly_library import HOW_TO_GET_IT, read_plotly_js
from lmmgwas.report.settings import load_matplotlib


def write_report(
    final: Path, make_page: Callable[[], Page], outputs: OutputSet, log: Logbook
) -> None:
    """Write the page where plotly is installed; say so where it is not.

    Raises FileAccessError where the disk fails: then --resume writes it.
    """
    try:
        with log.stage("report"):
            library = read_plotly_js()
            if library is None:
                log.say(f"No {final.name}: that needs plotly ({HOW_TO_GET_IT}), or say --no-report")
                return
            load_matplotlib(outputs.temporary(final).parent)
            from lmmgwas.report.render import render_page

            outputs.write_text(final, render_page(make_page(), library))
    except FileAccessError:
        raise
    except Exception as error:
        # Results are safe by now, and no page is worth them.
        outputs.forget(final)
        log.warn("W130", f"the report could not be written: {error!r}")
