"""Shards: whole and of this study, or not taken."""

import math
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from lmmgwas.errors import FileAccessError
from lmmgwas.io.shards import DamagedShardError, Shard, ShardWriter

KEY = "a" * 64
PIECES = [([1, -5], [b"one", b""]), ([2, 2**62], [b"", b"\0" * 1000]), ([3, 0], [b"x", b"y"])]
CLOSING = {"h2": 0.1 + 0.2, "se": math.nan, "name": "Größe", "none": None, "list": [1e-300, -0.0]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "0.shard"
    with closing(ShardWriter(path, KEY)) as writer:
        for numbers, parts in PIECES:
            writer.add(numbers, parts)
        writer.commit(CLOSING)
    return path


def test_what_was_written_is_read(path: Path) -> None:
    shard = Shard.open(path, KEY)
    assert shard.index[:, :2].tolist() == [numbers for numbers, _ in PIECES]
    assert shard.parts(np.arange(3), 2) == [parts for _, parts in PIECES]
    assert shard.parts(np.array([2, 0]), 2) == [PIECES[2][1], PIECES[0][1]]
    assert math.isnan(shard.closing.pop("se"))
    assert shard.closing == {k: v for k, v in CLOSING.items() if k != "se"}
    assert math.copysign(1.0, shard.closing["list"][1]) == -1.0


def test_a_shard_without_pieces(tmp_path: Path) -> None:
    with closing(ShardWriter(tmp_path / "s", KEY)) as writer:
        writer.commit({"k": 1})
    shard = Shard.open(tmp_path / "s", KEY)
    assert shard.index.size == 0
    assert shard.closing == {"k": 1}


def test_there_is_no_name_before_the_commit(tmp_path: Path) -> None:
    with closing(ShardWriter(tmp_path / "s", KEY)) as writer:
        writer.add([1], [b"data"])
        assert not (tmp_path / "s").exists()
    assert list(tmp_path.iterdir()) == []


def test_every_truncation_is_seen(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for size in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(DamagedShardError):
            Shard.open(tmp_path / "cut", KEY)


def test_every_changed_byte_is_seen(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        (tmp_path / "changed").write_bytes(changed)
        with pytest.raises(DamagedShardError, match="checksum"):
            Shard.open(tmp_path / "changed", KEY)


def test_bytes_that_follow_are_seen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DamagedShardError):
        Shard.open(path, KEY)
    with pytest.raises(DamagedShardError, match="no shard"):
        Shard.open(path, KEY, verify=False)


def test_another_study(path: Path) -> None:
    with pytest.raises(DamagedShardError, match="another study"):
        Shard.open(path, "b" * 64)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(
        FileAccessError, match=r"\[E112\] writing .*s failed: No such file"
    ) as caught:
        ShardWriter(tmp_path / "no" / "s", KEY)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("method", ["write", "flush", "close"])
def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    class Full:
        def __init__(self, stream: object) -> None:
            self._stream = stream

        def __getattr__(self, name: str) -> object:
            return self._fail if name == method else getattr(self._stream, name)

        def _fail(self, *args: object) -> None:
            raise OSError(28, "No space left on device")

    writer = ShardWriter(tmp_path / "s", KEY)
    real = writer._stream
    monkeypatch.setattr(writer, "_stream", Full(real))
    with pytest.raises(FileAccessError, match="No space left"):
        writer.commit({})
    writer.close()
    real.close()
    assert list(tmp_path.iterdir()) == []
