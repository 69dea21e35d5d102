"""Looks at what a run wrote: the same bytes as another run, or near to it, or what was said."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from conftest import Study, StudyFiles, _run_cli, files_of, read_tsv, simulate_study

from catalogue.rows import Look, Spoil


def nothing(files: StudyFiles, study: Study) -> None:
    """Leave the study as it is."""


def run_again(folder: Path, spoil: Spoil) -> Path:
    """Write the sound study, spoil it in another way, run it, and return the prefix."""
    study = simulate_study()
    files = study.write(folder / "in")
    more = spoil(files, study) or ()
    (folder / "out").mkdir()
    prefix = folder / "out" / "run"
    usual = ("--out", prefix, "--threads", 1, "--plots", "none")
    result = _run_cli("assoc", *files.inputs, *usual, *more)
    assert result.exit_code == 0, result.stderr
    return prefix


def same_as(other: Spoil = nothing, *traits: str, without: str = "") -> Look:
    """Expect the bytes of a run of the study spoilt in another way, by default not at all.

    Only the files of some traits, where they are named; not the file that ends in `without`.
    """

    def look(files: StudyFiles, prefix: Path) -> None:
        again = run_again(files.folder.parent / "other", other)
        for trait in traits or ("",):
            ours, theirs = files_of(prefix, trait=trait), files_of(again, trait=trait)
            for found in (ours, theirs):
                found.pop(without, None)
            assert ours
            assert ours == theirs

    return look


def table(prefix: Path, trait: str = "height") -> pd.DataFrame:
    """The summary statistics of a trait, numbers as numbers, by marker."""
    found = read_tsv(prefix.with_name(f"{prefix.name}.{trait}.tsv.gz")).set_index("marker_id")
    for name in ("beta", "standard_error", "effect_allele_frequency", "n", "neg_log_10_p_value"):
        found[name] = found[name].astype(float)
    return found


@dataclass(frozen=True)
class Near:
    """How much a run may differ from another, and how the trait's unit differs."""

    p: float  # in -log10 p
    effect: float  # in beta and its standard error, as shares of the standard error
    unit: float = 1.0  # a beta of ours is this many of the other's


def near(other: Spoil, within: Near, trait: str = "height") -> Look:
    """Expect the numbers of a run of the study spoilt in another way."""

    def look(files: StudyFiles, prefix: Path) -> None:
        ours = table(prefix, trait)
        theirs = table(run_again(files.folder.parent / "other", other), trait)
        assert list(ours.index) == list(theirs.index)
        far = np.abs(ours["neg_log_10_p_value"] - theirs["neg_log_10_p_value"])
        assert far.max() <= within.p
        se = theirs["standard_error"]
        assert (np.abs(ours["beta"] / within.unit - theirs["beta"]) / se).max() <= within.effect
        assert (np.abs(ours["standard_error"] / within.unit - se) / se).max() <= within.effect

    return look


def reasons(expected: dict[str, str]) -> Look:
    """Expect these samples, by IID, not to be analysed, for these reasons."""

    def look(files: StudyFiles, prefix: Path) -> None:
        samples = read_tsv(prefix.with_name("run.samples.tsv")).set_index("IID")
        assert {iid: samples.loc[iid, "reason"] for iid in expected} == expected

    return look


def all_of(*looks: Look) -> Look:
    """Look in several ways."""

    def look(files: StudyFiles, prefix: Path) -> None:
        for one in looks:
            one(files, prefix)

    return look


def in_table(check: Callable[[pd.DataFrame], object], trait: str = "height") -> Look:
    """Expect something of the summary statistics."""
    return lambda files, prefix: check(table(prefix, trait))


def unwarned(files: StudyFiles, prefix: Path) -> None:
    """Expect a run that found nothing to warn of."""
    log = prefix.with_name("run.log").read_text(encoding="utf-8")
    warned = [line for line in log.splitlines() if line.startswith("Warning [")]
    # LOCO on the small study: a GRM of 236 variants.
    assert not [line for line in warned if not line.startswith("Warning [W802]")]
