"""A fitted group as values and arrays: nothing is lost, and nothing else comes back."""

import json
from dataclasses import fields, is_dataclass
from enum import Enum

import numpy as np
import pytest
from oracles import centred_kernel
from simulate import Axes, make_problem

from lmmgwas.model.fitting import Analysis, FittedGroup, fit_group, fit_without_relatedness
from lmmgwas.model.packing import pack, unpack
from lmmgwas.model.samples import standardise_trait
from lmmgwas.model.variant_tests import TestKind, VarianceKind
from lmmgwas.model.whitening import Precision, WhitenerKind

KINDS = {
    "cholesky": (WhitenerKind.CHOLESKY, TestKind.WALD, VarianceKind.NULL),
    "spectral": (WhitenerKind.SPECTRAL, TestKind.WALD, VarianceKind.NULL),
    "likelihood ratio": (WhitenerKind.SPECTRAL, TestKind.LRT, VarianceKind.NULL),
    "score": (WhitenerKind.SPECTRAL, TestKind.SCORE, VarianceKind.NULL),
    "refitted": (WhitenerKind.SPECTRAL, TestKind.WALD, VarianceKind.PER_VARIANT),
    "ordinary": (WhitenerKind.IDENTITY, TestKind.WALD, VarianceKind.NULL),
}


def fitted(kind: str) -> FittedGroup:
    problem = make_problem(Axes(n=40, m=60, c=2, h2=0.5, seed=2))
    K, scale = centred_kernel(problem.K)
    traits = tuple(standardise_trait(f"y{k}", problem.y + k * problem.dosage[k]) for k in range(2))
    whitener, test, variance = KINDS[kind]
    analysis = Analysis(
        traits, problem.basis, whitener, Precision.SINGLE, None, test, variance, threads=1
    )
    if whitener is WhitenerKind.IDENTITY:
        return fit_without_relatedness(analysis)
    return fit_group(analysis, np.ascontiguousarray(K), scale, starts=[None, None])


def same(a: object, b: object) -> None:
    """The same types, values and bits, all the way down."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert isinstance(b, np.ndarray)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()
    elif isinstance(a, tuple):
        assert isinstance(b, tuple)
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            same(left, right)
    elif is_dataclass(a) and not isinstance(a, Enum):
        for field in fields(a):
            same(getattr(a, field.name), getattr(b, field.name))
    else:
        assert a == b or (a != a and b != b)


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(kind: str) -> None:
    group = fitted(kind)
    content, arrays = pack(group)
    assert len({id(array) for array in arrays}) == len(arrays)  # each once
    same(unpack(json.loads(json.dumps(content)), [array.copy() for array in arrays]), group)


def test_what_pack_does_not_make_is_refused() -> None:
    content, arrays = pack(fitted("ordinary"))
    with pytest.raises(ValueError, match="not a fitted group"):
        unpack(content["fields"]["traits"][0], arrays)
    with pytest.raises(ValueError, match="of no known type"):
        unpack({"type": "Popen", "fields": {}}, arrays)
    with pytest.raises(TypeError, match="set is not packed"):
        pack({1, 2})  # type: ignore[arg-type]
