"""Why IDs do not meet: each cause is found where it is one, and none where there is none."""

from collections.abc import Callable

import numpy as np
import pytest

from lmmgwas.model.genotypes import Samples
from lmmgwas.pipeline.id_causes import likely_cause

N = 40
PAIRS = [(f"Fam{k // 4}", f"Sa{k:03d}") for k in range(N)]


def samples(pairs: list[tuple[str, str]] = PAIRS) -> Samples:
    fid, iid = zip(*pairs, strict=True)
    return Samples(fid, iid, np.zeros(len(iid), np.int8), np.ones(len(iid), np.bool_))


Change = Callable[[str, str], tuple[str, str]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f, i: (f"{f}x", i), "the IIDs agree, the FIDs do not"),
        (lambda f, i: (f, i.upper()), "upper and lower case differ"),
        (lambda f, i: (f, i + "\u00a0"), "blanks or letters that cannot be seen differ"),
        (lambda f, i: (f, i + "\u200b"), "blanks or letters that cannot be seen differ"),
        (lambda f, i: (f, "00" + i), "leading zeros differ"),
        (lambda f, i: (f, f"{f}_{i}"), "the table joins FID and IID by '_'"),
        (lambda f, i: (i, f), "FID and IID may be swapped"),
        (lambda f, i: (f, "UKB-" + i), "the table has 'UKB-' before the IIDs"),
        (lambda f, i: (f, i + ".1"), "the table has '.1' behind the IIDs"),
        (lambda f, i: (f, i[2:]), "the genotypes have 'Sa' before the IIDs, the table not"),
        (lambda f, i: (f, f"patient {i[::-1]}"), "are both of the same study?"),
    ],
)
def test_cause_with_fid(change: Change, said: str) -> None:
    fid, iid = zip(*(change(f, i) for f, i in PAIRS), strict=True)
    assert said in likely_cause(samples(), fid, iid)


def test_cause_without_fid() -> None:
    assert "swapped" in likely_cause(samples(), None, [f for f, _ in PAIRS])
    assert "case" in likely_cause(samples(), None, [i.lower() for _, i in PAIRS])
    assert "joins FID and IID" in likely_cause(samples(), None, [f"{f}_{i}" for f, i in PAIRS])


def test_genotypes_that_join_fid_and_iid() -> None:
    """As PLINK 2 makes them of a VCF."""
    ours = samples([("", f"{f}_{i}") for f, i in PAIRS])
    fid, iid = zip(*PAIRS, strict=True)
    assert "the genotypes join FID and IID by '_'" in likely_cause(ours, fid, iid)


def test_those_that_match_are_not_asked() -> None:
    """A few differ by case; that the others agree is no cause."""
    fid, iid = zip(*((f, i if k > 4 else i.lower()) for k, (f, i) in enumerate(PAIRS)), strict=True)
    assert "case" in likely_cause(samples(), fid, iid)
