"""Forty names that a file may hold and that must stay names, and a page made of them."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd

from lmmgwas.report.content import Bar, Cell, Fact, Page, Picture, Table, TraitPart
from lmmgwas.report.interactive import (
    MOST_POINTS,
    Genome,
    GroupFit,
    NamedLead,
    PointDetails,
    choose,
    h2_data,
    manhattan_data,
    qq_data,
)

MARK = "injected"
"""What a name that got through would leave behind: an element of this id, or a call."""

NAMES = (
    f"<script>{MARK}()</script>",
    f"</script><script>{MARK}()</script>",
    f"</script ><img src=x onerror={MARK}()>",
    f"<img src=x onerror={MARK}()>",
    f"<svg onload={MARK}()>",
    f"<svg><script>{MARK}()</script></svg>",
    f'"><b id={MARK}>',
    f"'><b id={MARK}>",
    f"<b id={MARK}>bold</b>",
    f"<a id={MARK} href='javascript:{MARK}()'>x</a>",
    f'<a href="https://example.org/{MARK}">x</a>',
    f"<iframe srcdoc='<script>parent.{MARK}()</script>'></iframe>",
    f"<style>body{{display:none}}</style><b id={MARK}>",
    "<!--",
    "-->",
    "<!--<script>",
    "]]>",
    f"<noscript><b id={MARK}></noscript>",
    f"</noscript><b id={MARK}>",
    f"</textarea><b id={MARK}>",
    f"</title><b id={MARK}>",
    f"</style><b id={MARK}>",
    f"<base href='https://example.org/'><b id={MARK}>",
    "<meta http-equiv=refresh content='0;url=https://example.org/'>",
    f"<form action='https://example.org/'><button id={MARK}>",
    f"&lt;script&gt;{MARK}()&lt;/script&gt;",
    f"&#60;b id={MARK}&#62;",
    f"javascript:{MARK}()",
    "${alert(1)}",
    "$title",
    "$$",
    "%{x}<extra></extra>",
    "@PLOTLY@",
    "@POLICY@",
    "\\u003cscript\\u003e",
    "__proto__",
    "\u202egnp.exe",
    "a\u2028b\u2029c",
    "=HYPERLINK('https://example.org/')",
    "x" * 3000,
)

_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63606060f80f0001040100b2f4b4e30000000049454e44ae426082"
)


def shown(text: str) -> str:
    """What a reader sees of a name: control and direction characters as escapes."""
    return re.sub(
        r"[^\x20-\x7e]",
        lambda c: c[0] if c[0].isprintable() else c[0].encode("unicode_escape").decode(),
        text,
    )


PER_CHROM = len(NAMES) + 1
"""Variants on each chromosome: the first of the k-th has the k-th name, as has the chromosome."""


def hostile_page() -> Page:
    """A page of two traits in which every text is hostile, every name in every place once."""
    return Page(
        title=NAMES[0],
        summary=NAMES[1],
        traits=tuple(_part(name, k) for k, name in enumerate(NAMES[:2])),
        overview=_names_table(),
        samples=tuple(Bar(name, k, name, k % 2 == 0) for k, name in enumerate(NAMES)),
        methods=" ".join(NAMES),
        warnings=NAMES,
        notes=NAMES,
        manifest="\n".join(NAMES),
        software=NAMES[3],
    )


def _names_table() -> Table:
    rows = tuple(
        (Cell(name, target=(k, 1000)), Cell(str(k), order=float(k))) for k, name in enumerate(NAMES)
    )
    return Table(("Name", "Place"), rows, NAMES[5])


def _part(name: str, seed: int) -> TraitPart:
    rng = np.random.default_rng(seed)
    k = len(NAMES)
    chrom = np.repeat(np.arange(k), PER_CHROM)
    pos = np.tile(np.arange(1, PER_CHROM + 1) * 100_000, k)
    neg_log10_p = -np.log10(rng.uniform(size=chrom.size))
    neg_log10_p[::PER_CHROM] = 9.0 + np.arange(k) / 10
    genome = Genome(NAMES, chrom, pos, neg_log10_p)
    chosen = choose(genome, MOST_POINTS)
    names = [NAMES[i % k] for i in range(chosen.rows.size)]
    details = PointDetails(
        names,
        [(name, name) for name in names],
        rng.normal(size=chosen.rows.size),
        np.abs(rng.normal(size=chosen.rows.size)),
        rng.uniform(0.001, 0.5, size=chosen.rows.size),
    )
    leads = [NamedLead(c, 100_000, 9.0 + c / 10, NAMES[c]) for c in range(k)]
    qq, _ = qq_data(neg_log10_p, rng.uniform(0.001, 0.5, chrom.size), 900)
    fits = [GroupFit(n, 0.3 + 0.001 * c, 0.05, n) for c, n in enumerate(NAMES)]
    plots = {
        "manhattan": manhattan_data(genome, chosen, details, leads, (5e-8, 1e-5)),
        "qq": qq,
        "h2": h2_data(fits, GroupFit("all", 0.32, 0.05, "converged")),
    }
    picture = Picture(name, _PNG)
    return TraitPart(
        name=name,
        facts=tuple(Fact(n, n, n) for n in NAMES[:6]),
        leads=_names_table(),
        classes=_names_table(),
        fits=_names_table(),
        excluded=tuple(Bar(n, 3, n) for n in NAMES),
        plots=plots,
        captions=(NAMES[3], NAMES[4]),
        static=(picture, picture),
        regions=tuple(Picture(n, _PNG) for n in NAMES),
    )


def read_table(path: Path) -> pd.DataFrame:
    """A table of ours, all cells as text, quotation marks as they are."""
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE)


def rename_study(folder: Path) -> None:
    """Give the first variants of a .bim on disk hostile names and alleles (no blanks in them)."""
    path = folder / "study.bim"
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    usable = [re.sub(r"\s", "_", name) for name in NAMES if len(name) < 1000]
    for k, name in enumerate(usable * 4):
        lines[k + 20][1] = f"{name}{k // len(usable) or ''}"
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
