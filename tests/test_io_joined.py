"""Several file sets as one: which variants come from where, and all files are watched."""

from pathlib import Path

import numpy as np
import pytest
from bed_oracle import write_set

from lmmgwas.errors import FileAccessError
from lmmgwas.io.joined import JoinedSource, find_labels
from lmmgwas.io.plink import BedSource

SIZES = (7, 1, 12)


@pytest.fixture
def parts(tmp_path: Path) -> list[tuple[np.ndarray, tuple[Path, Path, Path]]]:
    """Calls (m, 13) and files of three sets."""
    found = []
    for k, m in enumerate(SIZES, 1):
        calls = np.random.default_rng(k).integers(0, 3, (m, 13))
        found.append((calls, write_set(tmp_path, calls.tolist(), name=f"chr{k}")))
    return found


def test_calls_are_those_of_the_parts(parts: list) -> None:
    source = JoinedSource([BedSource.open(*paths) for _, paths in parts])
    expected = np.concatenate([calls for calls, _ in parts])
    index = np.random.default_rng(0).integers(0, sum(SIZES), 50)
    np.testing.assert_array_equal(source.read(index), expected[index])
    assert len(source.variants) == sum(SIZES)
    assert source.variants.marker_id.to_pylist() == [f"rs{j}" for m in SIZES for j in range(m)]


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("file", range(3))
def test_a_change_of_any_file_is_noticed(parts: list, part: int, file: int) -> None:
    source = JoinedSource([BedSource.open(*paths) for _, paths in parts])
    source.check_unchanged()
    path = parts[part][1][file]
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(FileAccessError, match="changed or replaced") as caught:
        source.check_unchanged()
    assert caught.value.problems[0].code == "E106"
    assert caught.value.problems[0].where == str(path)


def test_labels_are_in_the_order_of_chromosomes(tmp_path: Path) -> None:
    for label in ("10", "2", "X", "1"):
        (tmp_path / f"chr{label}.bed").touch()
    assert find_labels(tmp_path / "chr@.bed") == ["1", "2", "10", "X"]
    with pytest.raises(FileAccessError, match="no file"):
        find_labels(tmp_path / "part@.bed")
