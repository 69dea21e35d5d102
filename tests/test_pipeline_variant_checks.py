"""What is said of odd variants: counts against plain Python, and nothing where nothing is odd."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lmmgwas.model.chromosomes import Karyotype
from lmmgwas.model.genotypes import RawVariants, arrange_variants
from lmmgwas.pipeline import variant_checks
from lmmgwas.pipeline.options import FileSet, GenotypeOptions
from lmmgwas.pipeline.variant_checks import report_variants, say_nonautosomal, warn_few_left

FILES = FileSet(Path("s.bed"), Path("s.bim"), Path("s.fam"))


class Said:
    """A logbook that keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: dict[str, str] = {}
        self.notes: list[str] = []

    def warn(self, code: str, text: str) -> None:
        assert code not in self.warnings
        self.warnings[code] = text

    def say(self, text: str) -> None:
        self.notes.append(text)

    detail = say


def variants(
    chrom: list[str], pos: list[int], ids: Any = None, alleles: list[str] | None = None
) -> RawVariants:
    """Variants in file order; alleles as `A/G`."""
    labels = tuple(dict.fromkeys(chrom))
    pairs = [text.split("/") for text in alleles or ["A/G"] * len(chrom)]
    return RawVariants(
        labels,
        np.array([labels.index(label) for label in chrom], dtype=np.int32),
        np.array(pos, dtype=np.int64),
        pa.array([f"v{k}" for k in range(len(chrom))]) if ids is None else ids,
        pa.array([a for a, _ in pairs]),
        pa.array([b for _, b in pairs]),
    )


def report(raw: RawVariants) -> Said:
    said = Said()
    arranged, labels = arrange_variants(raw, Karyotype(), 1)
    report_variants(labels, arranged, GenotypeOptions(FILES), said)  # type: ignore[arg-type]
    return said


def test_nothing_is_said_of_what_is_usual() -> None:
    """PLINK's order: unplaced first, then 1 to 22, X, Y, XY, MT; a dot is no ID."""
    chrom = ["0", "0", "1", "1", "2", "10", "X", "X", "Y", "XY", "XY", "MT"]
    pos = [9, 3, 5, 7, 1, 2, 5, 6, 1, 2, 3, 9]
    ids = pa.array([".", *(f"v{k}" for k in range(10)), "."])
    assert report(variants(chrom, pos, ids)).warnings == {}


@pytest.mark.parametrize(
    ("chrom", "pos", "code", "words"),
    [
        ("1 1 1 1", [5, 9, 8, 7], "W206", "2 positions are smaller than the one before"),
        ("1 1 1 1", [5, 9, -9, 8], "W206", "1 positions are smaller"),
        ("1 1 2 2", [5, 0, 8, -9], None, ""),
        ("2 2 1 1", [1, 2, 3, 4], "W206", "chromosomes are out of order"),
        ("1 10 2 X", [1, 2, 3, 4], "W206", "chromosomes are out of order"),
        ("X 1 2 0", [1, 2, 3, 4], None, ""),
        ("b 1 a 2", [1, 2, 3, 4], None, ""),
        ("1 2 1 3", [1, 2, 3, 4], "W207", "in more than one block of lines: 1;"),
        ("1 2 chr1 2", [1, 2, 3, 4], "W207", "in more than one block of lines: 1, 2;"),
    ],
)
def test_order(chrom: str, pos: list[int], code: str | None, words: str) -> None:
    found = {k: v for k, v in report(variants(chrom.split(), pos)).warnings.items() if k != "W202"}
    assert list(found) == ([] if code is None else [code])
    assert words in found.get(str(code), "")


@pytest.mark.parametrize("collide", [False, True])
@pytest.mark.parametrize("chunks", [1, 3])
def test_shared_ids(monkeypatch: pytest.MonkeyPatch, collide: bool, chunks: int) -> None:
    """Counted as a Counter does, whatever the hashes are worth."""
    if collide:
        healthy = variant_checks._hashes
        monkeypatch.setattr(variant_checks, "_hashes", lambda strings: healthy(strings) % 5 + 1)
    rng = np.random.default_rng(1)
    names = [f"rs{k}" for k in rng.integers(0, 300, 400)] + [".", "", "\u00e9"]
    counts = Counter(name for name in names if name != ".")
    shared = {name: n for name, n in counts.items() if n > 1}
    parts = [pa.array(part.tolist()) for part in np.array_split(np.array(names), chunks)]
    ids = parts[0] if chunks == 1 else pa.chunked_array(parts)
    text = report(variants(["1"] * 403, list(range(1, 404)), ids)).warnings["W204"]
    assert f"{sum(shared.values())} variants share {len(shared)} IDs" in text


def test_sliced_ids() -> None:
    ids = pa.array(["x", "x", "a", "b", "b"]).slice(1, 4)
    text = report(variants(["1"] * 4, [1, 2, 3, 4], ids)).warnings["W204"]
    assert "2 variants share 1 IDs (b)" in text


@pytest.mark.parametrize(
    ("chrom", "pos", "alleles", "n"),
    [
        ("1 1 1", [5, 5, 6], "A/G A/G A/G", 2),
        ("1 1 1", [5, 5, 5], "A/G G/A A/G", 3),
        ("1 1 1", [5, 5, 5], "A/G A/T A/C", 0),
        ("1 1 1", [0, 0, -9], "A/G A/G A/G", 0),
        ("1 chr1 2", [5, 5, 5], "A/G A/G A/G", 2),
        ("1 2 3", [5, 5, 5], "A/G A/G A/G", 0),
        ("X XY 1", [5, 5, 5], "A/G A/G A/G", 2),
    ],
)
def test_shared_places(chrom: str, pos: list[int], alleles: str, n: int) -> None:
    text = report(variants(chrom.split(), pos, alleles=alleles.split())).warnings.get("W205", "")
    assert bool(text) == bool(n)
    assert n == 0 or f"{n} variants share their position" in text


def test_nonautosomal_variants_are_counted() -> None:
    raw = variants(["1", "Y", "Y", "MT", "0", "X"], [1, 2, 3, 4, 5, 6])
    arranged, _ = arrange_variants(raw, Karyotype(), 1)
    said = Said()
    say_nonautosomal(arranged, said)  # type: ignore[arg-type]
    assert said.notes == [
        "Note: 2 on Y, 1 on MT, 1 unplaced: these variants are tested against the whole GRM"
    ]
    say_nonautosomal(arranged.take(slice(0, 1)), said)  # type: ignore[arg-type]
    assert len(said.notes) == 1


@pytest.mark.parametrize(
    ("left", "n_samples", "words"),
    [
        ((700, 500), 2500, None),
        ((700, 499), 100, "leaving chromosome b out leaves 499 of 1,000"),
        ((700, 600), 3001, "1 of 2 groups leave fewer than 601"),
        ((100, 50), 100, "leaving chromosome b out leaves 50 of 1,000 variants in the GRM, 2 of 2"),
    ],
)
def test_few_variants_left(left: tuple[int, int], n_samples: int, words: str | None) -> None:
    without = dict(zip("ab", left, strict=True))
    grm: Any = SimpleNamespace(
        n_variants_without=without.__getitem__, whole=SimpleNamespace(n_variants=1000)
    )
    said = Said()
    warn_few_left(grm, ("a", "b"), n_samples, said)  # type: ignore[arg-type]
    assert list(said.warnings) == ([] if words is None else ["W802"])
    assert (words or "") in said.warnings.get("W802", "")
