"""Why the IDs of a table do not meet those of the genotypes: what commonly goes wrong.

What explains most of the table's first IDs is named; where nothing explains any, a question.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from lmmgwas.model.genotypes import Samples

Id = tuple[str, str]
"""FID ("" where there is none) and IID."""

_TRIED = 1000
_NO_CAUSE = "are both of the same study?"


def likely_cause(samples: Samples, fid: Sequence[str | None] | None, iid: Sequence[str]) -> str:
    """Return what would make IDs of the table those of the samples.

    fid, iid : (n,) of the table; fid None where it has no such column.
    """
    pairs = set(zip(samples.fid, samples.iid, strict=True))
    ours = set(samples.iid)
    table = [(f or "", i) for f, i in zip(fid or [""] * len(iid), iid, strict=True)]
    has_fid = any(f for f, _ in table)
    strange = [(f, i) for f, i in table if ((f, i) not in pairs if has_fid else i not in ours)]
    strange = strange[:_TRIED]
    joined = {f"{f}_{i}" for f, i in pairs}
    firsts = {f for f, _ in pairs}
    tried: tuple[tuple[str, Callable[[Id], bool]], ...] = (
        ("the IIDs agree, the FIDs do not: is the FID column right?", lambda x: x[1] in ours),
        ("upper and lower case differ", _alike(ours, str.casefold)),
        ("blanks or letters that cannot be seen differ", _alike(ours, _visible)),
        ("leading zeros differ", _alike(ours, lambda text: text.lstrip("0"))),
        ("the table joins FID and IID by '_'", lambda x: x[1] in joined),
        ("the genotypes join FID and IID by '_'", lambda x: f"{x[0]}_{x[1]}" in ours),
        (
            "FID and IID may be swapped",
            lambda x: (x[1], x[0]) in pairs if has_fid else x[1] in firsts,
        ),
    )
    scores = [(sum(map(test, strange)), cause) for cause, test in tried]
    scores += _affixes([i for _, i in strange], samples.iid, "the table has", "the genotypes not")
    scores += _affixes(samples.iid[:_TRIED], iid, "the genotypes have", "the table not")
    best = max(score for score, _ in scores)
    return next(cause for score, cause in scores if score == best) if best else _NO_CAUSE


def _alike(ours: Iterable[str], form: Callable[[str], str]) -> Callable[[Id], bool]:
    """Whether an IID has the same form as one of ours."""
    forms = {form(iid) for iid in ours}
    return lambda found: form(found[1]) in forms


def _visible(text: str) -> str:
    """The text without blanks of any kind and what is not shown."""
    return "".join(c for c in text if c.isprintable() and not c.isspace())


def _affixes(
    longer: Sequence[str], shorter: Sequence[str], who: str, whom: str
) -> list[tuple[int, str]]:
    """What stands before or behind most IIDs of one side that the other side does not have."""
    known = set(shorter)
    before: Counter[str] = Counter()
    behind: Counter[str] = Counter()
    for text in longer:
        before.update(text[:k] for k in range(1, len(text)) if text[k:] in known)
        behind.update(text[k:] for k in range(1, len(text)) if text[:k] in known)
    return [
        (count, f"{who} {affix!r} {place} the IIDs, {whom}")
        for found, place in ((before, "before"), (behind, "behind"))
        for affix, count in found.most_common(1)
    ]
