"""The plotting library of the report's page, as the Python package plotly brings it."""

from importlib.util import find_spec
from pathlib import Path

HOW_TO_GET_IT = "pip install 'lmmgwas[report]'"


def read_plotly_js() -> str | None:
    """Return the text of plotly.js, lines ended by LF; None where plotly is not installed.

    plotly itself is not imported, which would take a second.
    """
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    return path.read_text(encoding="utf-8")
