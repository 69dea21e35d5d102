"""Published results of FaST-LMM and GEMMA, reproduced by the command as a user runs it.

The data lie outside the repository (`../shared/data`); where they do not, these are skipped.
"""

from pathlib import Path

import pytest
from reference import (
    MOUSE,
    TOY,
    Check,
    fastlmm_mouse,
    fastlmm_toy,
    gemma_null_models,
)

needs_mouse = pytest.mark.skipif(not MOUSE.is_dir(), reason="no mouse_hs1940 in ../shared/data")
needs_toy = pytest.mark.skipif(not TOY.is_dir(), reason="no toydata5chrom in ../shared/data")


def assert_all(checks: list[Check]) -> None:
    """Print the figures, then fail for all that are not met."""
    for check in checks:
        print(f"{check.what}: {check.measured} (required {check.required})")
    assert checks
    assert [check for check in checks if not check.ok] == []


@needs_mouse
@pytest.mark.parametrize("trait", ["CD8", "MCH"])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_mice_agree_with_fastlmm(trait: str, precision: str, tmp_path: Path) -> None:
    assert_all(fastlmm_mouse(trait, precision, tmp_path))


@needs_toy
@pytest.mark.parametrize("precision", ["single", "double"])
def test_toydata_agree_with_fastlmm(precision: str, tmp_path: Path) -> None:
    assert_all(fastlmm_toy(precision, tmp_path))


@needs_mouse
def test_null_models_agree_with_gemma(tmp_path: Path) -> None:
    assert_all(gemma_null_models(tmp_path))
