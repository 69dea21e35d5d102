"""Output appears whole or not at all."""

import os
from pathlib import Path

import pytest

from lmmgwas.errors import FileAccessError, OutputExistsError, UsageError
from lmmgwas.io.atomic import OutputSet


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_have_no_final_name_until_commit(tmp_path: Path) -> None:
    first, second = tmp_path / "a.tsv", tmp_path / "b.tsv"
    with OutputSet(overwrite=False) as outputs:
        outputs.write_text(first, "one\n")
        outputs.temporary(second).write_text("two\n")
        assert not first.exists()
        assert not second.exists()
        assert all(name.startswith(".") and name.endswith(".tmp") for name in names(tmp_path))
        outputs.commit()
    assert names(tmp_path) == ["a.tsv", "b.tsv"]
    assert first.read_text() == "one\n"
    assert second.read_text() == "two\n"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_stays_when_the_work_fails(tmp_path: Path, failure: type[BaseException]) -> None:
    old = tmp_path / "old.tsv"
    old.write_text("before\n")

    def work() -> None:
        with OutputSet(overwrite=True) as outputs:
            outputs.write_text(old, "after\n")
            outputs.write_text(tmp_path / "new.tsv", "after\n")
            raise failure

    with pytest.raises(failure):
        work()
    assert names(tmp_path) == ["old.tsv"]
    assert old.read_text() == "before\n"


def test_nothing_stays_without_commit(tmp_path: Path) -> None:
    with OutputSet(overwrite=False) as outputs:
        outputs.write_text(tmp_path / "a", "x")
    assert names(tmp_path) == []


def test_a_failed_write_names_no_file(tmp_path: Path) -> None:
    """One temporary file that cannot be renamed: none of the set gets its name before it."""

    def work() -> None:
        with OutputSet(overwrite=False) as outputs:
            outputs.write_text(tmp_path / "a", "x")
            outputs.temporary(tmp_path / "b")  # begun, never written
            outputs.commit()

    with pytest.raises(FileAccessError, match=r"\[E112\] writing .*b.*failed.*is gone"):
        work()
    assert names(tmp_path) == []


def test_a_commit_can_follow_another(tmp_path: Path) -> None:
    with OutputSet(overwrite=False) as outputs:
        outputs.write_text(tmp_path / "a", "x")
        outputs.commit()
        outputs.write_text(tmp_path / "b", "y")
    assert names(tmp_path) == ["a"]  # what was committed stays, what was not goes


def test_text_is_utf8_with_the_line_ends_as_given(tmp_path: Path) -> None:
    with OutputSet(overwrite=False) as outputs:
        outputs.write_text(tmp_path / "a", "Größe\n")
        outputs.commit()
    assert (tmp_path / "a").read_bytes() == "Größe\n".encode()


def test_pending_and_forgotten_files(tmp_path: Path) -> None:
    with OutputSet(overwrite=False) as outputs:
        outputs.write_text(tmp_path / "a", "x")
        outputs.write_text(tmp_path / "b", "x")
        outputs.temporary(tmp_path / "c")
        assert [final.name for final, _ in outputs.pending()] == ["a", "b"]
        outputs.forget(tmp_path / "b")
        outputs.forget(tmp_path / "c")
        outputs.forget(tmp_path / "never begun")
        outputs.commit()
    assert names(tmp_path) == ["a"]


def test_two_runs_do_not_share_temporary_names(tmp_path: Path) -> None:
    sets = [OutputSet(overwrite=False) for _ in range(2)]
    assert len({outputs.temporary(tmp_path / "a") for outputs in sets}) == 2
    assert sets[0].temporary(tmp_path / "a") == sets[0].temporary(tmp_path / "a")


class TestRequireFree:
    def test_leaves_no_trace(self, tmp_path: Path) -> None:
        OutputSet(overwrite=False).require_free([tmp_path / "a", tmp_path / "b"])
        assert names(tmp_path) == []

    @pytest.mark.parametrize("kind", ["file", "dangling link"])
    def test_refuses_what_is_there(self, tmp_path: Path, kind: str) -> None:
        taken = tmp_path / "b"
        taken.write_text("") if kind == "file" else taken.symlink_to(tmp_path / "nowhere")
        with pytest.raises(OutputExistsError, match=r"b exists.*--overwrite") as caught:
            OutputSet(overwrite=False).require_free([tmp_path / "a", taken])
        assert caught.value.exit_code == 8
        OutputSet(overwrite=True).require_free([taken])

    def test_names_three_and_counts_the_rest(self, tmp_path: Path) -> None:
        finals = [tmp_path / name for name in "abcde"]
        for path in finals:
            path.touch()
        with pytest.raises(OutputExistsError, match="and 2 more exist"):
            OutputSet(overwrite=False).require_free(finals)

    def test_refuses_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileAccessError, match="does not exist: create it") as caught:
            OutputSet(overwrite=True).require_free([tmp_path / "no" / "a"])
        assert caught.value.exit_code == 7

    def test_refuses_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "no").touch()
        with pytest.raises(FileAccessError, match="cannot write into"):
            OutputSet(overwrite=True).require_free([tmp_path / "no" / "a"])

    @pytest.mark.skipif(os.geteuid() == 0, reason="permission does not bind root")
    def test_refuses_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o555)
        with pytest.raises(FileAccessError, match="cannot write into"):
            OutputSet(overwrite=True).require_free([folder / "a"])

    def test_refuses_names_that_leave_no_room_for_the_temporary_one(self, tmp_path: Path) -> None:
        longest = os.pathconf(tmp_path, "PC_NAME_MAX")
        with pytest.raises(UsageError, match="shorter"):
            OutputSet(overwrite=False).require_free([tmp_path / ("x" * longest)])
        fits = tmp_path / ("ä" * ((longest - 16) // 2))  # two bytes each
        with OutputSet(overwrite=False) as outputs:
            outputs.require_free([fits])
            outputs.write_text(fits, "")
            outputs.commit()


def test_a_name_that_is_taken_during_the_work_is_kept(tmp_path: Path) -> None:
    final = tmp_path / "a"

    def work() -> None:
        with OutputSet(overwrite=False) as outputs:
            outputs.require_free([final])
            outputs.write_text(tmp_path / "first", "ours")
            outputs.write_text(final, "ours")
            final.write_text("theirs")
            outputs.commit()

    with pytest.raises(OutputExistsError, match="appeared"):
        work()
    assert names(tmp_path) == ["a"]
    assert final.read_text() == "theirs"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("precious")
    link.symlink_to(target)
    with OutputSet(overwrite=True) as outputs:
        outputs.write_text(link, "result")
        outputs.commit()
    assert target.read_text() == "precious"
    assert not link.is_symlink()
    assert link.read_text() == "result"
