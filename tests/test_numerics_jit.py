"""Kernels are kept where only the user can write: what is loaded from there is run."""

import os
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest

from lmmgwas.numerics import jit

Env = Callable[..., None]


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Env:
    """`env(HOME="...")`: nothing else says where a cache may be."""

    def set_to(**values: Path) -> None:
        for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    return set_to


def mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


@pytest.mark.parametrize("name", ["HOME", "XDG_CACHE_HOME"])
def test_the_folder_is_made_private(env: Env, tmp_path: Path, name: str) -> None:
    env(**{name: tmp_path})
    before = os.umask(0o002)  # as where each user has a group of his own
    try:
        folder = jit._private_cache()
    finally:
        os.umask(before)
    parent = tmp_path / ".cache" if name == "HOME" else tmp_path
    assert folder == parent / "lmmgwas" / "kernels"
    assert mode(folder) == mode(folder.parent) == 0o700
    assert jit._prepare_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)


def test_the_cache_of_the_user_comes_before_the_home(env: Env, tmp_path: Path) -> None:
    env(HOME=tmp_path / "home", XDG_CACHE_HOME=tmp_path / "cache")
    assert jit._private_cache() == tmp_path / "cache" / "lmmgwas" / "kernels"
    assert not (tmp_path / "home").exists()


def test_a_folder_that_the_user_names_is_used(env: Env, tmp_path: Path) -> None:
    env(HOME=tmp_path / "home", NUMBA_CACHE_DIR=tmp_path / "mine")
    assert jit._private_cache() == tmp_path / "mine"
    assert mode(tmp_path / "mine") == 0o700
    assert not (tmp_path / "home").exists()


def refused() -> bool:
    """No folder, and numba is not told of one."""
    before = os.environ.get("NUMBA_CACHE_DIR")
    return not jit._prepare_cache() and os.environ.get("NUMBA_CACHE_DIR") == before


def test_nowhere_to_keep_them(env: Env) -> None:
    env()
    assert refused()


@pytest.mark.parametrize("write", [0o720, 0o702, 0o777])
@pytest.mark.parametrize("which", ["lmmgwas/kernels", "lmmgwas"])
def test_a_folder_that_others_can_write_is_not_used(
    env: Env, tmp_path: Path, which: str, write: int
) -> None:
    (tmp_path / "lmmgwas" / "kernels").mkdir(parents=True)
    env(XDG_CACHE_HOME=tmp_path)
    assert jit._private_cache() is not None
    (tmp_path / which).chmod(write)
    assert refused()


def test_not_even_where_the_user_named_it(env: Env, tmp_path: Path) -> None:
    env(NUMBA_CACHE_DIR=tmp_path)
    tmp_path.chmod(0o777)
    assert refused()


def test_a_folder_of_another_user_is_not_used(
    env: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env(XDG_CACHE_HOME=tmp_path)
    mine = os.getuid()
    monkeypatch.setattr(jit.os, "getuid", lambda: mine + 1)
    assert refused()


@pytest.mark.parametrize("which", ["lmmgwas/kernels", "lmmgwas"])
def test_a_link_is_not_followed(env: Env, tmp_path: Path, which: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "kernels").mkdir(parents=True)
    link = tmp_path / "cache" / which
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    env(XDG_CACHE_HOME=tmp_path / "cache")
    assert refused()


@pytest.mark.parametrize("name", ["HOME", "NUMBA_CACHE_DIR"])
def test_a_file_in_its_place(env: Env, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    env(**{name: tmp_path / "file"})
    assert refused()


def test_a_folder_that_cannot_be_written(
    env: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env(XDG_CACHE_HOME=tmp_path)
    monkeypatch.setattr(jit.os, "access", lambda *_: False)  # permission does not bind root
    assert refused()


def test_kernels_keep_ieee_arithmetic() -> None:
    """No fast mathematics: NaN is seen, and a division by zero gives infinity."""

    @jit.kernel
    def quotient(a: float, b: float) -> float:
        return a / b if a == a else -1.0

    assert quotient(1.0, 0.0) == np.inf
    assert quotient(np.nan, 1.0) == -1.0


def test_where_numba_finds_no_folder_kernels_are_compiled_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = numba.njit

    def picky(**options: object) -> Callable:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return usual(**options)

    monkeypatch.setattr(numba, "njit", picky)
    monkeypatch.setattr(jit, "_CACHED", True)

    @jit.kernel
    def twice(a: float) -> float:
        return 2.0 * a

    assert twice(1.5) == 3.0


class BrokenCache:
    """A cache on a disk that has given up."""

    def __init__(self) -> None:
        self.flushed = 0

    def load_overload(self, signature: object, target: object) -> None:
        raise EOFError("Ran out of input")

    def save_overload(self, signature: object, data: object) -> None:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        self.flushed += 1
        raise OSError(30, "Read-only file system")


def test_a_cache_that_fails_costs_the_time_to_compile_and_no_more() -> None:
    cache = BrokenCache()
    jit._forgive(cache)
    assert cache.load_overload("signature", "target") is None
    assert cache.flushed == 1
    cache.save_overload("signature", "data")
