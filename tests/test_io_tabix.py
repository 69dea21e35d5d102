"""The index: what htslib makes of the same table, and what it finds through ours."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pysam
import pytest
from row_oracle import table_of, variants

from lmmgwas.io.bgzf import BLOCK_BYTES, END, compress_blocks, virtual_offsets
from lmmgwas.io.sumstats import BlockedTable, index_suffix
from lmmgwas.io.tabix import TabixIndex, Windows
from lmmgwas.model.chromosomes import Karyotype

SPREADS = {"dense": 3_000, "human": 250_000_000, "long": 2**31 - 1}
"""The largest position: windows full of rows, many windows, more than .tbi can hold."""


def positions(spread: str, seed: int, m: int = 8_000) -> list[tuple[str, int]]:
    """Chromosome and position of m rows, some unknown, some in the same place."""
    rng = np.random.default_rng(seed)
    chrom = rng.choice(["1", "2", "10", "X", "scaffold_7"], m, p=[0.5, 0.3, 0.1, 0.09, 0.01])
    pos = rng.integers(1, SPREADS[spread], m, endpoint=True)
    pos[rng.random(m) < 0.01] = 0
    pos[:3] = SPREADS[spread], 16_384, 16_385
    return list(zip(chrom.tolist(), pos.tolist(), strict=True))


def make(folder: Path, spread: str, seed: int, m: int = 8_000) -> tuple[BlockedTable, str]:
    """A table in pieces of uneven size, its index beside it; and how that is called."""
    rows = [(c, p, f"rs{k}", "A", "G") for k, (c, p) in enumerate(positions(spread, seed, m))]
    table = variants(rows, Karyotype())
    cuts = np.unique(np.random.default_rng(seed).integers(0, len(rows), 9)).tolist()
    written = table_of(table, [*cuts, len(rows)], folder / "t.tsv.gz")
    suffix = index_suffix(int(table.pos.max()))
    written.write_index(folder / f"t.tsv.gz{suffix}", csi=suffix == ".csi")
    return written, suffix


@pytest.mark.parametrize("spread", list(SPREADS))
def test_regions_hold_what_a_search_of_all_rows_finds(tmp_path: Path, spread: str) -> None:
    written, suffix = make(tmp_path, spread, 1)
    lines = gzip.decompress(written.path.read_bytes()).decode().splitlines()[1:]
    names = np.array([line.split("\t")[0] for line in lines])
    # htslib takes an unknown position for the first one.
    pos = np.maximum([int(line.split("\t")[1]) for line in lines], 1)
    rng = np.random.default_rng(2)
    with pysam.TabixFile(str(written.path), index=f"{written.path}{suffix}") as table:
        assert set(table.contigs) == set(names.tolist())
        for name in table.contigs:
            assert list(table.fetch(name)) == [lines[k] for k in np.flatnonzero(names == name)]
            for _ in range(60):
                width = int(10 ** rng.uniform(0, np.log10(SPREADS[spread])))
                start = int(rng.integers(0, SPREADS[spread]))
                stop = min(start + width, 2**31 - 1)
                if stop <= start:
                    continue
                inside = (names == name) & (pos > start) & (pos <= stop)
                expected = [lines[k] for k in np.flatnonzero(inside)]
                assert list(table.fetch(name, start, stop)) == expected


def parse(path: Path) -> tuple[object, ...]:
    """All that a .tbi or .csi says; the bins of a chromosome in no order.

    The number of levels above the bins in use, which versions of htslib choose otherwise, is
    taken out: bins are numbered by window, the summary is -1.
    """
    data = gzip.decompress(path.read_bytes())
    place = 4

    def take(layout: str) -> tuple[int, ...]:
        nonlocal place
        values = struct.unpack_from("<" + layout, data, place)
        place += struct.calcsize("<" + layout)
        return values

    csi = data.startswith(b"CSI")
    if csi:
        shift, levels, _ = take("iii")
        table = take("7i")
        names = data[place : place + table[-1]]
        place += table[-1]
        (n_references,) = take("i")
    else:
        (n_references,) = take("i")
        shift, levels, table = 14, 5, take("7i")
        names = data[place : place + table[-1]]
        place += table[-1]
    references = []
    for _ in range(n_references):
        bins = {}
        for _ in range(take("i")[0]):
            number, *first = take("IQ") if csi else take("I")
            chunks = [take("QQ") for _ in range(take("i")[0])]
            window = number - (8**levels - 1) // 7
            bins[-1 if window == 8**levels + 1 else window] = (first, chunks)
        linear = () if csi else take(f"{take('i')[0]}Q")
        references.append((bins, linear))
    rest = data[place:]
    return data[:4], shift, table, names, references, rest


@pytest.mark.parametrize("spread", list(SPREADS))
def test_the_index_is_that_of_htslib(tmp_path: Path, spread: str) -> None:
    """Bin by bin, offset by offset."""
    written, suffix = make(tmp_path, spread, 3)
    theirs = tmp_path / f"theirs{suffix}"
    level = pysam.set_verbosity(0)
    pysam.tabix_index(
        str(written.path),
        **{"seq_col": 0, "start_col": 1, "end_col": 1, "line_skip": 1},
        index=str(theirs),
        csi=suffix == ".csi",
    )
    pysam.set_verbosity(level)
    assert parse(tmp_path / f"t.tsv.gz{suffix}") == parse(theirs)


def test_rows_out_of_order_are_refused() -> None:
    def index(chrom: list[int], pos: list[int]) -> TabixIndex:
        made = TabixIndex()
        starts = np.arange(len(pos)) * 10
        windows = Windows.of(np.array(chrom, dtype=np.int32), np.array(pos), starts)
        made.add(windows, windows.start.astype(np.uint64))
        return made

    names = ["1", "2"]
    assert index([0, 0, 1], [5, 50_000, 5]).packed(names, 40, csi=False)
    for chrom, pos in (([0, 0], [50_000, 5]), ([0, 1, 0], [5, 5, 50_000])):
        with pytest.raises(ValueError, match="in order"):
            index(chrom, pos).packed(names, 40, csi=False)


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 7])
def test_blocks_are_bgzf_and_are_found(tmp_path: Path, size: int) -> None:
    """Noise, too, which cannot be packed."""
    for data in (b"abc\n" * (size // 4) + b"x" * (size % 4), np.random.default_rng(0).bytes(size)):
        blocks = compress_blocks(data)
        assert len(blocks) == -(-size // BLOCK_BYTES)
        path = tmp_path / "t.gz"
        head = compress_blocks(b"head")
        path.write_bytes(b"".join([*head, *blocks, END]))
        assert gzip.decompress(path.read_bytes()) == b"head" + data
        at = np.unique(np.linspace(0, max(size - 1, 0), 7).astype(np.int64))[: size + 1]
        offsets = virtual_offsets(blocks, len(head[0]), at)
        with pysam.BGZFile(str(path)) as stream:
            for place, offset in zip(at.tolist(), offsets.tolist(), strict=True):
                stream.seek(offset)
                assert stream.read(5) == data[place : place + 5]
