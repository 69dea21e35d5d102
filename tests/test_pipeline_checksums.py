"""Checksums that were begun early are those of the files."""

import hashlib
from pathlib import Path

import pytest

from lmmgwas.errors import FileAccessError
from lmmgwas.pipeline.checksums import begun_checksums
from lmmgwas.pipeline.options import FileSet


def test_each_input_once_in_order(tmp_path: Path) -> None:
    names = ("x.bed", "x.bim", "x.fam", "pheno.tsv")
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 1000)
    paths = [tmp_path / name for name in ("pheno.tsv", "x.bim", "x.bed", "x.bim", "x.fam")]
    with begun_checksums(FileSet(*(tmp_path / name for name in names[:3]))) as checksums:
        found = checksums.describe(paths)
    assert [entry["path"] for entry in found] == [
        str(tmp_path / name) for name in ("pheno.tsv", "x.bim", "x.bed", "x.fam")
    ]
    for entry in found:
        content = Path(entry["path"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    files = FileSet(*(tmp_path / f"chr@.{suffix}" for suffix in ("bed", "bim", "fam")))
    with begun_checksums(files) as checksums, pytest.raises(FileAccessError, match="E110"):
        checksums.describe([tmp_path / "no.bed"])


def test_inputs_that_are_refused_are_not_read_to_their_ends(tmp_path: Path) -> None:
    """A .bed of a terabyte, all of it a hole: an error comes at once all the same."""
    files = FileSet(*(tmp_path / f"x.{suffix}" for suffix in ("bed", "bim", "fam")))
    with files.genotypes.open("wb") as stream:
        stream.truncate(1 << 40)

    def refuse() -> None:
        with begun_checksums(files):
            raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        refuse()
