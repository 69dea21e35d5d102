"""What a row of the catalogue is: how a sound study is spoilt, and what must come of it.

Three ends, nothing else: a refusal, variants that are flagged, or a run that ends well and says
what it met. A number may have several rows; a number that needs a test of another kind (a kill,
a full disk) names that test.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from conftest import Study, StudyFiles

Spoil = Callable[[StudyFiles, Study], Sequence[object] | None]
"""Spoils a study that is on disk; may return further options of `assoc`."""

Look = Callable[[StudyFiles, Path], None]
"""Looks at what a run wrote: the files that went in, and the prefix of what came out."""


@dataclass(frozen=True)
class Refused:
    """The run ends with this exit code and error code, and leaves nothing but its log."""

    exit_code: int
    code: str
    words: tuple[str, ...] = ()  # each stands in the errors


@dataclass(frozen=True)
class Flagged:
    """The run ends well; the excluded table of `height` has these markers for this reason."""

    reason: str
    markers: tuple[str, ...]


@dataclass(frozen=True)
class Accepted:
    """The run ends well.

    With `warning`, a code, that warning is given, and --strict makes an error of it; `words`
    stand in the log, and `look` may inspect the results.
    """

    warning: str | None = None
    words: tuple[str, ...] = ()
    look: Look | None = None
    strict: str | None = None  # the code under --strict, where another one comes first


@dataclass(frozen=True)
class Row:
    """A case of the catalogue, by its number there."""

    number: int
    name: str
    spoil: Spoil
    end: Refused | Flagged | Accepted
    command: str = "assoc"


@dataclass(frozen=True)
class Elsewhere:
    """A number that a test of another kind covers: `file.py::test_name`."""

    number: int
    name: str
    test: str
