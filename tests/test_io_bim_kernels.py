"""The fast way through a .bim against the long way, which the other tests know."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmmgwas.errors import FormatError
from lmmgwas.io import plink
from lmmgwas.io.bim_kernels import parse_plain
from lmmgwas.io.text import Remarks, TextFile

many = settings(max_examples=400, deadline=None, derandomize=True)

usual = st.tuples(
    st.sampled_from(["1", "2", "X", "chr10", "chr1", "\u00e9"]),
    st.sampled_from([".", "rs1", "rs#8", "\u00e4", "NA", '"x']),
    st.sampled_from(["0", "0.5", ".5", "-1", "NA", "+3"]),
    st.sampled_from(["1", "0", "-9", "-0", "007", "2147483647", "123456789"]),
    st.sampled_from(["A", "<DEL>", "ACGT", "0", "-"]),
    st.sampled_from(["G", "T" * 30, "*", ".", '"']),
)
odd_field = st.sampled_from(
    ["", " ", "x", "A,C", "1e5", "+5", "-", "2147483648", "99999999999", "#CHROM", "a b", "1\t2"]
)
ends = st.sampled_from(["\n", "", "\n\n", "\n \t\n"])


def both_ways(content: str) -> list[object]:
    """What the two ways make of a text: columns and remarks, or problems."""
    file = TextFile("s.bim", content.encode(), Remarks())
    found: list[object] = []
    for plain in (plink.parse_plain, lambda *_: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lmmgwas.io.plink.parse_plain", plain)
            patch.setattr("lmmgwas.io.plink.read_text", lambda _: file)
            try:
                v, remarks = plink.read_bim("s.bim")
            except FormatError as error:
                found.append([(p.code, p.message, p.where) for p in error.problems])
                continue
        strings = [c.to_pylist() for c in (v.marker_id, v.effect_allele, v.other_allele)]
        found.append([v.labels, v.label_code.tolist(), v.pos.tolist(), strings, remarks])
        assert (v.pos.dtype, v.label_code.dtype) == (np.int64, np.int32)
        for column in (v.marker_id, v.effect_allele, v.other_allele):
            column.validate(full=True)
    return found


@many
@given(lines=st.lists(usual, max_size=12), end=ends)
def test_usual_lines(lines: list[tuple[str, ...]], end: str) -> None:
    content = "\n".join("\t".join(line) for line in lines) + end
    fast, long = both_ways(content)
    assert fast == long
    if lines and end.strip("\n") == "" and end:
        assert parse_plain(content.encode(), 2**31 - 1, 1 << 20) is not None


@many
@given(
    lines=st.lists(usual, min_size=1, max_size=5),
    field=odd_field,
    place=st.tuples(st.integers(0, 4), st.integers(0, 6)),
    end=ends,
)
def test_lines_with_something_odd(
    lines: list[tuple[str, ...]], field: str, place: tuple[int, int], end: str
) -> None:
    """Whatever is wrong, the long way is taken and says so."""
    cells = [list(line) for line in lines]
    line = cells[place[0] % len(cells)]
    line[place[1] : place[1] + 1] = [field]  # beyond the last: one column more
    fast, long = both_ways("\n".join("\t".join(line) for line in cells) + end)
    assert fast == long


def test_limits() -> None:
    def plain(line: str, longest: int = 5) -> bool:
        return parse_plain(line.encode(), 1000, longest) is not None

    assert plain("1\ta\t0\t1000\tAAAAA\tC\n")
    assert not plain("1\ta\t0\t1001\tA\tC\n")
    assert not plain("1\ta\t0\t1\tAAAAAA\tC\n")
    assert not plain("1\ta\t0\t1\tA\tCCCCCC\n")
    assert not plain("1\ta\t1\tA\tC\n")  # 5 columns
    assert not plain("1\ta\t0\t1\tA\tC")  # no line end
    assert not plain("")


def test_a_large_file_without_cm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The long way in small blocks of text."""
    monkeypatch.setattr("lmmgwas.io.text._CSV_BLOCK", 1000)
    path = tmp_path / "s.bim"
    path.write_text("".join(f"{1 + j // 500}\trs{j}\t{j}\tA\tG\n" for j in range(2000)))
    found, _ = plink.read_bim(path)
    assert found.marker_id.to_pylist() == [f"rs{j}" for j in range(2000)]
    assert found.pos.tolist() == list(range(2000))
