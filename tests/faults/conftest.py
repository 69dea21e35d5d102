"""The server that the suites of faults share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.cases import Ground
from faults.cases import ground as opened


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these suites out unless they are asked for: `pytest -m faults`."""
    asked = "faults" in str(config.getoption("markexpr"))
    return None if asked or collection_path.suffix != ".py" else True


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A server, a study, and the cases."""
    with opened(tmp_path_factory.mktemp("faults"), plots="png") as found:
        yield found
