"""Rows of a finished group computed again: right ones pass in every mode, wrong ones do not."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import StudyFiles, simulate_study
from scan_jobs import Opened, fit, make_job, open_study, scan

from lmmgwas.errors import NumericalError
from lmmgwas.io.plain_bed import read_dosage
from lmmgwas.model.genotypes import MISSING
from lmmgwas.model.self_check import p_of_t
from lmmgwas.model.variant_tests import TestKind, VarianceKind
from lmmgwas.model.whitening import Precision, WhitenerKind
from lmmgwas.pipeline import self_check_run
from lmmgwas.pipeline.self_check_run import MOST_TRAITS, GroupCheck, GroupWatch, check_group
from lmmgwas.pipeline.tile_reader import CalibratedScan


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    folder = tmp_path_factory.mktemp("study")
    return open_study(simulate_study().write(folder / "in"), folder / "grm")


@pytest.fixture
def every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows are computed again, not four."""
    monkeypatch.setattr(self_check_run, "_choose", lambda records: records)


def left_out_of(group: str) -> str | None:
    return None if group == "X" else group


def check(job, group: str, records=None, fitted=None, calibrations=()) -> GroupCheck:
    left_out = left_out_of(group) if job.relatedness is not None else None
    fitted = fit(job, left_out) if fitted is None else fitted
    records = scan(job, fitted, group) if records is None else records
    names = [f"t{k}" for k in range(len(job.analysis.traits))]
    return check_group(job, left_out, fitted, names, records, calibrations)


@pytest.mark.parametrize("group", ["1", "4", "X"])
@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("kind", list(WhitenerKind))
@pytest.mark.usefixtures("every_row")
def test_sound_rows_pass(
    opened: Opened, kind: WhitenerKind, precision: Precision, group: str
) -> None:
    found = check(make_job(opened, kind=kind, precision=precision), group)
    assert found.n_rows > 30
    assert 0.0 < found.largest < 0.3  # a third of what is allowed


@pytest.mark.parametrize("h2", [0.0, 0.2, 0.97, 0.985, 0.999, 0.9999])
@pytest.mark.parametrize("kind", [WhitenerKind.CHOLESKY, WhitenerKind.SPECTRAL])
@pytest.mark.usefixtures("every_row")
def test_sound_rows_pass_at_any_h2(opened: Opened, kind: WhitenerKind, h2: float) -> None:
    assert check(make_job(opened, kind=kind, h2=h2), "2").largest < 0.3


def test_next_to_one_nothing_is_compared(opened: Opened) -> None:
    assert check(make_job(opened, h2=0.999999), "2") == GroupCheck(0, 0.0)


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("variance", list(VarianceKind))
@pytest.mark.parametrize("test", list(TestKind))
def test_every_test_passes(
    opened: Opened, test: TestKind, variance: VarianceKind, precision: Precision
) -> None:
    job = make_job(
        opened, kind=WhitenerKind.SPECTRAL, test=test, variance=variance, precision=precision
    )
    for group in ("1", "X"):
        found = check(job, group)
        assert (found.n_rows, found.largest < 0.3) == (4, True)


@pytest.mark.parametrize("test", [TestKind.LRT, TestKind.SCORE])
def test_ordinary_regression_has_all_tests(opened: Opened, test: TestKind) -> None:
    assert check(make_job(opened, kind=WhitenerKind.IDENTITY, test=test), "1").largest < 0.3


@pytest.mark.parametrize("kind", [WhitenerKind.CHOLESKY, WhitenerKind.SPECTRAL])
def test_pairwise_grm(tmp_path: Path, small_study: StudyFiles, kind: WhitenerKind) -> None:
    job = make_job(open_study(small_study, tmp_path / "grm", pairwise=True), kind=kind, h2=0.2)
    assert check(job, "1").largest < 0.3


def test_variants_are_the_first_middle_last_and_best(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(opened)
    fitted = fit(job, "1")
    records = scan(job, fitted, "1")
    seen = []
    right = self_check_run.Reread
    monkeypatch.setattr(
        self_check_run, "Reread", lambda job, rows: seen.append(rows.tolist()) or right(job, rows)
    )
    check(job, "1", records, fitted)
    rows = records[0]["row"]
    best = rows[np.argmax(records[0]["neg_log10_p"])]
    assert seen == [sorted({rows[0], rows[rows.size // 2], rows[-1], best})]


# Faults.


@pytest.mark.parametrize("name", ["beta", "se", "neg_log10_p"])
@pytest.mark.parametrize("place", [0, -1, "best"])
def test_a_wrong_row_is_found_and_named(opened: Opened, name: str, place: int | str) -> None:
    job = make_job(opened)
    fitted = fit(job, "1")
    records = scan(job, fitted, "1")
    at = int(np.argmax(records[0]["neg_log10_p"])) if place == "best" else place
    records[0][name][at] *= 1.001
    row = records[0]["row"][at]
    marker = job.variants.raw.marker_id[int(job.variants.source_index[row])].as_py()
    with pytest.raises(NumericalError, match="E904") as caught:
        check(job, "1", records, fitted)
    assert f"trait t0, variant {marker} (chromosome 1)" in str(caught.value)


@pytest.mark.parametrize("kind", [WhitenerKind.CHOLESKY, WhitenerKind.SPECTRAL])
@pytest.mark.parametrize("group", ["1", "X"])
def test_a_wrong_k_is_found(opened: Opened, kind: WhitenerKind, group: str) -> None:
    """Some elements of K changed in memory, after it was read; it stays a covariance."""

    def spoil(K: np.ndarray) -> None:
        K[9:12, 9:12] += 0.2

    job = make_job(opened, kind=kind)
    fitted = fit(job, left_out_of(group), spoil)
    with pytest.raises(NumericalError, match="E904"):
        check(job, group, fitted=fitted)


@pytest.mark.parametrize("kind", [WhitenerKind.CHOLESKY, WhitenerKind.SPECTRAL])
def test_another_groups_k_is_found(opened: Opened, kind: WhitenerKind) -> None:
    job = make_job(opened, kind=kind)
    fitted = fit(job, "2")
    with pytest.raises(NumericalError, match="E904"):
        check(job, "1", scan(job, fitted, "1"), fitted)


@pytest.mark.parametrize("kind", [WhitenerKind.CHOLESKY, WhitenerKind.SPECTRAL])
def test_a_wrong_factor_is_found(opened: Opened, kind: WhitenerKind) -> None:
    """The null model is right, the matrix that rotates the tiles is not."""
    job = make_job(opened, kind=kind)
    fitted = fit(job, "1")
    rotation = fitted.rotations[0].rotation
    matrix = rotation.L if kind is WhitenerKind.CHOLESKY else rotation.U
    matrix[60, 40] += 0.05
    with pytest.raises(NumericalError, match="E904"):
        check(job, "1", fitted=fitted)


def test_a_wrong_tile_is_found(opened: Opened) -> None:
    """Calls that the scan read wrongly: other counts, and another beta."""
    job = make_job(opened)
    fitted = fit(job, "1")

    class Damaged:
        """A source one of whose bytes is wrong."""

        def __getattr__(self, name: str):
            return getattr(job.source, name)

        def read(self, index: np.ndarray) -> np.ndarray:
            calls = job.source.read(index).copy()
            calls[:, 30] = (calls[:, 30] + 1) % 3
            return calls

    records = scan(replace(job, source=Damaged()), fitted, "1")
    with pytest.raises(NumericalError, match=r"E904.*counted|E904.*scan found"):
        check(job, "1", records, fitted)


@pytest.mark.parametrize(("name", "value"), [("n_observed", 1), ("af", 1e-9)])
def test_wrong_counts_are_found(opened: Opened, name: str, value: float) -> None:
    job = make_job(opened)
    fitted = fit(job, None)
    records = scan(job, fitted, "X")
    records[0][name][0] += value
    with pytest.raises(NumericalError, match=r"E904.*counted .* calls"):
        check(job, "X", records, fitted)


@pytest.mark.parametrize(("name", "what"), [("sigma2", "variance"), ("grm_scale", "scale")])
def test_a_wrong_null_model_is_found(opened: Opened, name: str, what: str) -> None:
    job = make_job(opened)
    fitted = fit(job, "1")
    records = scan(job, fitted, "1")
    trait = fitted.traits[0]
    wrong = replace(trait.null, **{name: 1.01 * getattr(trait.null, name)})
    spoilt = replace(fitted, traits=(replace(trait, null=wrong),))
    with pytest.raises(NumericalError, match=f"E904.*{what}"):
        check(job, "1", records, spoilt)


@pytest.mark.parametrize("test", list(TestKind))
def test_a_wrong_refit_is_found(opened: Opened, test: TestKind) -> None:
    job = make_job(opened, kind=WhitenerKind.SPECTRAL, test=test, variance=VarianceKind.PER_VARIANT)
    fitted = fit(job, "1")
    for name in ("beta", "se", "neg_log10_p"):
        records = scan(job, fitted, "1")
        records[0][name][-1] *= 1.01
        with pytest.raises(NumericalError, match="E904"):
            check(job, "1", records, fitted)


# Calibrated scans.


def calibrated_rows(job, fitted, share: float) -> list[np.ndarray]:
    """Rows as a calibrated scan has them: x'Px off by a share where p is not small."""
    records = scan(job, fitted, "1")
    t = records[0]["beta"] / records[0]["se"]
    large = np.abs(t) < 3.5
    records[0]["beta"][large] /= 1.0 + share
    records[0]["se"][large] /= np.sqrt(1.0 + share)
    t = records[0]["beta"] / records[0]["se"]
    records[0]["neg_log10_p"] = p_of_t(t, job.samples.n_samples - 3)
    return records


@pytest.mark.usefixtures("every_row")
@pytest.mark.parametrize(("share", "passes"), [(0.03, True), (0.3, False)])
def test_calibrated_rows(opened: Opened, share: float, passes: bool) -> None:
    job = replace(make_job(opened), calibrated=CalibratedScan(1e-3, 1))
    fitted = fit(job, "1")
    records = calibrated_rows(job, fitted, share)
    assert (records[0]["neg_log10_p"] < 3.0).any()
    calibration = SimpleNamespace(kept=True, margin=0.06)
    if passes:
        assert check(job, "1", records, fitted, (calibration,)).largest < 1.0
    else:
        with pytest.raises(NumericalError, match="E904"):
            check(job, "1", records, fitted, (calibration,))


@pytest.mark.usefixtures("every_row")
def test_exact_rows_of_a_calibrated_scan_are_held_to_rounding(opened: Opened) -> None:
    job = replace(make_job(opened, h2=0.3), calibrated=CalibratedScan(0.05, 1))
    fitted = fit(job, "1")
    calibration = SimpleNamespace(kept=True, margin=0.06)
    records = scan(job, fitted, "1")
    assert check(job, "1", records, fitted, (calibration,)).largest < 1.0
    small = int(np.argmax(records[0]["neg_log10_p"]))
    assert records[0]["neg_log10_p"][small] > 1.31
    records[0]["beta"][small] *= 1.002
    with pytest.raises(NumericalError, match="E904"):
        check(job, "1", records, fitted, (calibration,))


@pytest.mark.usefixtures("every_row")
def test_where_one_promise_is_not_kept_all_rows_are_exact(opened: Opened) -> None:
    job = replace(make_job(opened, n_traits=2), calibrated=CalibratedScan(1e-3, 1))
    fitted = fit(job, "1")
    records = scan(job, fitted, "1")
    notes = (SimpleNamespace(kept=True, margin=0.06), SimpleNamespace(kept=False, margin=0.06))
    assert check(job, "1", records, fitted, notes).largest < 0.3
    records[0]["beta"][2] *= 1.001
    with pytest.raises(NumericalError, match="E904"):
        check(job, "1", records, fitted, notes)


# Several traits, and what a watch keeps.


def test_of_many_traits_some_are_checked(opened: Opened) -> None:
    """Which ones changes from group to group, so that all are seen in a study of 22."""
    job = make_job(opened, kind=WhitenerKind.SPECTRAL, n_traits=5)
    checked = []
    for group in ("1", "2", "3", "4"):
        fitted = fit(job, group)
        for k in range(5):
            records = scan(job, fitted, group)
            records[k]["beta"] *= 1.01
            try:
                check(job, group, records, fitted)
            except NumericalError as error:
                checked.append(str(error).split("trait ")[1][:2])
    assert len(checked) == 4 * MOST_TRAITS
    assert len(set(checked)) > MOST_TRAITS


def test_a_trait_without_rows_is_passed_over(opened: Opened) -> None:
    job = make_job(opened, kind=WhitenerKind.SPECTRAL, n_traits=2)
    fitted = fit(job, "1")
    records = scan(job, fitted, "1")
    assert check(job, "1", [records[0][:0], records[1]], fitted).n_rows == 4
    assert check(job, "1", [some[:0] for some in records], fitted) == GroupCheck(0, 0.0)


def test_watch_keeps_what_is_chosen(opened: Opened) -> None:
    job = make_job(opened)
    fitted = fit(job, "1")
    records = scan(job, fitted, "1")[0]
    watch = GroupWatch(1)
    for some in np.array_split(records, 7):
        watch.see([some])
    watch.see([records[:0]])
    (kept,) = watch.records()
    assert kept.size <= 28
    assert set(kept["row"]) >= {
        records["row"][0],
        records["row"][-1],
        records["row"][np.argmax(records["neg_log10_p"])],
    }
    assert (np.diff(kept["row"]) > 0).all()
    assert check(job, "1", watch.records(), fitted).n_rows == 4
    assert GroupWatch(2).records()[1].size == 0


# Reading anew.


def test_dosage_is_read_plainly(small_study: StudyFiles) -> None:
    study = simulate_study()
    paths = [small_study.bed, small_study.bim, small_study.fam]
    for row in (0, 1, 7, len(study.chrom) - 1):
        expected = np.where(study.calls[row] == MISSING, np.nan, study.calls[row])
        np.testing.assert_array_equal(read_dosage(paths, 118, row), expected)
        again = read_dosage([*paths, *paths], 118, row + len(study.chrom))
        np.testing.assert_array_equal(again, expected)
    with pytest.raises(IndexError):
        read_dosage(paths, 118, len(study.chrom))


def test_other_formats_are_left_to_their_source(small_study: StudyFiles) -> None:
    assert read_dosage([small_study.bim], 118, 0) is None
