"""Conservation laws: what holds passes, what does not is found."""

import gzip
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import StudyFiles, simulate_study
from scan_jobs import open_study

from lmmgwas.errors import FileAccessError, MismatchError, NumericalError
from lmmgwas.io.bgzf import END, compress_blocks
from lmmgwas.io.row_count import count_rows
from lmmgwas.pipeline.conservation import check_grm_set, check_rows_on_disk, check_samples
from lmmgwas.pipeline.flow import SampleFlow

ANALYSED = {"a": np.array([1, 1, 0, 1, 0], dtype=bool), "b": np.array([1, 0, 0, 1, 0], dtype=bool)}


def flow() -> SampleFlow:
    anyone = ANALYSED["a"] | ANALYSED["b"]
    table = pd.DataFrame(
        {
            "in_genotypes": [1, 1, 1, 1, 1, 0],
            "analysed": [*anyone.astype(int), 0],
            "reason": ["", "MISSING_TRAIT:b", "REMOVED", "", "NOT_IN_PHENO", "NOT_IN_GENOTYPES"],
        }
    )
    return SampleFlow(table, dict(ANALYSED))


def plan(*names: str, rows: list[int]):
    return SimpleNamespace(names=names, samples=SimpleNamespace(rows=np.array(rows)))


def plans() -> list:
    return [plan("a", rows=[0, 1, 3]), plan("b", rows=[0, 3])]


def test_samples_add_up() -> None:
    check_samples(flow(), plans(), 5)


@pytest.mark.parametrize(
    "fault", ["lost row", "lost sample", "other sample", "lost trait", "mark", "no reason"]
)
def test_samples_that_do_not_add_up(fault: str) -> None:
    broken, planned, n = flow(), plans(), 5
    if fault == "lost row":
        n = 6
    elif fault == "lost sample":
        planned[0] = plan("a", rows=[0, 1])
    elif fault == "other sample":
        planned[1] = plan("b", rows=[0, 2])
    elif fault == "lost trait":
        planned.pop()
    elif fault == "mark":
        broken.table.loc[1, "analysed"] = 0
    else:
        broken.table.loc[2, "reason"] = ""
    with pytest.raises(NumericalError, match="E902"):
        check_samples(broken, planned, n)


@pytest.mark.parametrize("pairwise", [False, True])
def test_grm_set(tmp_path: Path, small_study: StudyFiles, pairwise: bool) -> None:
    grm = open_study(small_study, tmp_path / "grm", pairwise=pairwise).relatedness.grm
    check_grm_set(grm, 2)
    check_grm_set(replace(grm, parts={}))
    fewer = replace(grm.parts["2"], n_variants=grm.parts["2"].n_variants - 1)
    with pytest.raises(MismatchError, match=r"E806.*variants together") as caught:
        check_grm_set(replace(grm, parts={**grm.parts, "2": fewer}))
    assert caught.value.exit_code == 4
    damaged = grm.parts["3"].values.copy()
    damaged[5000] += 0.5
    wrong = replace(grm.parts["3"], values=damaged)
    with pytest.raises(MismatchError, match=r"E806.*do not add up"):
        check_grm_set(replace(grm, parts={**grm.parts, "3": wrong}))


def test_parts_of_another_set_are_found(tmp_path: Path) -> None:
    """Same samples, same counts, other genotypes: only the values can tell."""
    sets = []
    for seed in (1, 2):
        files = simulate_study(seed=seed).write(tmp_path / f"in{seed}")
        sets.append(open_study(files, tmp_path / f"grm{seed}").relatedness.grm)
    mixed = {
        **sets[0].parts,
        "4": replace(sets[1].parts["4"], n_variants=sets[0].parts["4"].n_variants),
    }
    with pytest.raises(MismatchError, match="E806"):
        check_grm_set(replace(sets[0], parts=mixed))


TEXT = b"a\tb\n" + b"1\t2\n" * 70_000


def write(path: Path, kind: str) -> Path:
    if kind == "plain":
        path.write_bytes(TEXT)
    elif kind == "gzip":
        path.write_bytes(gzip.compress(TEXT))
    else:
        path.write_bytes(b"".join([*compress_blocks(TEXT), END]))
    return path


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzf"])
def test_rows_on_disk(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / ("t.tsv" if kind == "plain" else "t.tsv.gz"), kind)
    assert count_rows(path) == 70_000
    check_rows_on_disk(path, 70_000)
    with pytest.raises(NumericalError, match=r"E902.*holds 70,000 rows, 69,999 were written"):
        check_rows_on_disk(path, 69_999)


def test_a_temporary_name_is_no_hindrance(tmp_path: Path) -> None:
    assert count_rows(write(tmp_path / ".t.tsv.gz.1234.tmp", "bgzf")) == 70_000


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"a\tb\n")
    assert count_rows(tmp_path / "t") == 0
    (tmp_path / "t").write_bytes(b"")
    assert count_rows(tmp_path / "t") == 0


@pytest.mark.parametrize("fault", ["truncated", "flipped", "half a line", "absent"])
def test_a_table_that_cannot_be_read_back(tmp_path: Path, fault: str) -> None:
    path = write(tmp_path / "t.tsv.gz", "bgzf")
    data = bytearray(path.read_bytes())
    if fault == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif fault == "flipped":
        data[40] ^= 1  # within the first block
        path.write_bytes(data)
    elif fault == "half a line":
        path.write_bytes(b"".join([*compress_blocks(TEXT[:-1]), END]))
    else:
        path.unlink()
    with pytest.raises(FileAccessError, match="E112"):
        check_rows_on_disk(path, 70_000)
