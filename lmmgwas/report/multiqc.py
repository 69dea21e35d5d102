"""PREFIX_mqc.json: the run's key figures as MultiQC's custom content, found by the file's name.

All runs that MultiQC finds share one table, a row for each run and trait.

Reference: MultiQC's documentation, "Custom content".
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_SAFE = re.compile(r"[^A-Za-z0-9._:-]+")

_COLUMNS: dict[str, dict[str, Any]] = {
    "n_samples": {
        "title": "Samples",
        "description": "Samples analysed",
        "format": "{:,.0f}",
        "scale": "Blues",
    },
    "n_variants": {
        "title": "Variants",
        "description": "Variants tested",
        "format": "{:,.0f}",
        "scale": "Purples",
    },
    "n_excluded": {
        "title": "Excluded",
        "description": "Variants excluded, with their reasons in the .excluded.tsv.gz",
        "format": "{:,.0f}",
        "scale": "Greys",
        "hidden": True,
    },
    "lambda_gc": {
        "title": "lambda",
        "description": "Genomic control: median chi-square over its expectation",
        "format": "{:,.3f}",
        "scale": "RdYlGn-rev",
    },
    "h2": {
        "title": "h2",
        "description": "Share of the trait's variance that the markers explain, whole genome",
        "format": "{:,.3f}",
        "min": 0,
        "max": 1,
        "scale": "Greens",
    },
    "h2_se": {
        "title": "SE of h2",
        "description": "Standard error of h2; none where h2 is at a bound or fixed",
        "format": "{:,.3f}",
        "scale": False,
    },
    "n_leads": {
        "title": "Leads",
        "description": "Lead variants below the threshold, one for each locus",
        "format": "{:,.0f}",
        "scale": "Oranges",
    },
    "top_neg_log10_p": {
        "title": "Top -log10 p",
        "description": "The smallest p-value, as -log10",
        "format": "{:,.1f}",
        "scale": "YlOrRd",
    },
    "top_marker": {
        "title": "Top variant",
        "description": "The variant with the smallest p-value",
        "scale": False,
    },
}


@dataclass(frozen=True, slots=True)
class KeyFigures:
    """What a run found out about a trait, in a few numbers; NaN where there is none."""

    name: str  # of the row: the run and the trait
    n_samples: int
    n_variants: int
    n_excluded: int
    lambda_gc: float
    h2: float
    h2_se: float
    n_leads: int
    top_neg_log10_p: float = math.nan
    top_marker: str = ""

    def cells(self) -> dict[str, int | float | str]:
        """Return the values by column, without those that are not there."""
        values = {name: getattr(self, name) for name in _COLUMNS}
        values["top_marker"] = _safe(self.top_marker)
        return {name: value for name, value in values.items() if _is_there(value)}


def format_multiqc(figures: Sequence[KeyFigures]) -> str:
    """Return the JSON text, the same for the same figures.

    Names come from users' files and go into a page: all but letters, digits and `._:-` is `_`.
    """
    content = {
        "id": "lmmgwas",
        "section_name": "lmmgwas",
        "description": "Mixed-model association, leaving one chromosome out: a row for each run "
        "and trait.",
        "plot_type": "table",
        "pconfig": {
            "id": "lmmgwas_table",
            "title": "lmmgwas: mixed-model association",
            "namespace": "lmmgwas",
            "col1_header": "Run and trait",
        },
        "headers": _COLUMNS,
        "data": {_safe(trait.name): trait.cells() for trait in figures},
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _safe(name: str) -> str:
    return _SAFE.sub("_", name)


def _is_there(value: object) -> bool:
    return math.isfinite(value) if isinstance(value, float) else value != ""
