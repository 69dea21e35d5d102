"""A fitted group as plain values and arrays, so that another process can scan with it.

The arrays stay as they are, to the last bit, and may be mapped from a file when they come back.
"""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.calibrated_test import NullVectors
from lmmgwas.model.fitting import FittedGroup, FittedTrait, SharedRotation
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.variant_tests import (
    LikelihoodRatioTest,
    RefitTest,
    ScoreTest,
    TestKind,
    WaldTest,
)
from lmmgwas.model.whitening import (
    CholeskyRotation,
    IdentityRotation,
    Precision,
    SpectralRotation,
    WhitenedTrait,
    WhitenerKind,
)
from lmmgwas.numerics.optimise import Status
from lmmgwas.numerics.refit import RotatedData

_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *(FittedGroup, FittedTrait, SharedRotation, NullModel, NullVectors, WhitenedTrait),
        *(WaldTest, LikelihoodRatioTest, ScoreTest, RefitTest, RotatedData),
        *(CholeskyRotation, IdentityRotation, SpectralRotation),
        *(TestKind, Precision, WhitenerKind, Status),
    )
}


def pack(fitted: FittedGroup) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Return what JSON can hold, and the arrays that it counts on, each once."""
    arrays: list[NDArray[Any]] = []
    return cast(dict[str, Any], _packed(fitted, arrays)), arrays


def unpack(content: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> FittedGroup:
    """Return what was packed. Raises ValueError for content that `pack` does not make."""
    found = _unpacked(content, arrays)
    if not isinstance(found, FittedGroup):
        raise ValueError("not a fitted group")
    return found


def _packed(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        for k, known in enumerate(arrays):
            if known is value:
                return {"array": k}
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, StrEnum):
        return {"enum": type(value).__name__, "value": str(value)}
    if isinstance(value, tuple):
        return [_packed(item, arrays) for item in value]
    if is_dataclass(value):
        content = {f.name: _packed(getattr(value, f.name), arrays) for f in fields(value)}
        return {"type": type(value).__name__, "fields": content}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} is not packed")


def _unpacked(content: Any, arrays: Sequence[NDArray[Any]]) -> Any:
    if isinstance(content, list):
        return tuple(_unpacked(item, arrays) for item in content)
    if not isinstance(content, dict):
        return content
    if "array" in content:
        return arrays[content["array"]]
    kind = _TYPES.get(str(content.get("enum", content.get("type"))))
    if kind is None:
        raise ValueError(f"{content} is of no known type")
    if "enum" in content:
        return kind(content["value"])
    return kind(**{name: _unpacked(v, arrays) for name, v in content["fields"].items()})
