"""Section H, numerics, resources and operations: rows 123 to 144, but for those of the journal."""

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from conftest import MISSING, Study, StudyFiles, read_tsv
from scipy import stats

from catalogue.looks import Near, all_of, near, nothing, same_as, table
from catalogue.rows import Accepted, Elsewhere, Look, Refused, Row, Spoil
from catalogue.spoil import options, study_with

WHITENERS = ("spectral", "cholesky")

# --- The ends of h2 ----------------------------------------------------------------------------


def kernel(study: Study) -> np.ndarray:
    """The GRM of the autosomal variants, centred."""
    calls = study.calls[np.isin(study.chrom, ["1", "2", "3", "4"])].astype(float)
    calls = calls[(calls == MISSING).mean(axis=1) < 0.1]
    calls[calls == MISSING] = np.nan
    mean, sd = np.nanmean(calls, 1, keepdims=True), np.nanstd(calls, 1, keepdims=True)
    Z = np.nan_to_num(((calls - mean) / np.maximum(sd, 1e-9))[sd[:, 0] > 0.1])
    K = Z.T @ Z / len(Z)
    M = np.eye(len(K)) - 1.0 / len(K)
    return np.asarray(M @ K @ M)


def trait(values: Callable[[np.ndarray], np.ndarray], *more: object) -> Spoil:
    """Make `height` of the eigenvectors of the GRM, largest eigenvalue last; no covariates."""

    def spoil(files: StudyFiles, study: Study) -> Sequence[object]:
        U = np.linalg.eigh(kernel(study))[1]
        y = values(U)
        for row, value in enumerate(y.tolist()):
            study.pheno.set("height", row, f"{value:.10f}")
        study.write(files.folder)
        return ("--pheno-name", "height", "--covar-name", "PC1", *more)

    return spoil


def unlike_relatives(U: np.ndarray) -> np.ndarray:
    """Relatives differ more than others do: the variance lies where the GRM has next to none."""
    return U[:, 1:60] @ np.random.default_rng(2).standard_normal(59)


def all_genetic(U: np.ndarray) -> np.ndarray:
    """Relatives are as alike as they can be."""
    return U[:, -12:] @ (np.random.default_rng(3).standard_normal(12) + 3.0)


def ended_at(h2: float, status: str) -> Look:
    """The whole-genome fit is at an end, without a standard error; all numbers are finite."""

    def look(files: StudyFiles, prefix: Path) -> None:
        null = read_tsv(prefix.with_name("run.height.null.tsv")).set_index("group")
        whole = null.loc["all"]
        assert (float(whole["h2"]), whole["status"]) == (h2, status)
        assert whole["h2_se"] == "NA"
        components = null[["h2", "sigma_g2", "sigma_e2", "loglik"]].astype(float)
        assert np.isfinite(components.to_numpy()).all()
        found = table(prefix)[["beta", "standard_error", "neg_log_10_p_value"]]
        assert len(found) > 200
        assert np.isfinite(found.to_numpy()).all()

    return look


# --- Names of files ---------------------------------------------------------------------------


def out_as(name: str) -> Spoil:
    """Write to another prefix, below the folder of the inputs."""
    return lambda files, study: ("--out", files.folder / name)


def taken(suffix: str) -> Spoil:
    """A final name is that of a file, a folder or a link that leads nowhere."""

    def spoil(files: StudyFiles, study: Study) -> Sequence[object]:
        (files.folder / f"run{suffix}").write_text("mine\n")
        return ("--out", files.folder / "run")

    return spoil


def taken_by_a_link(files: StudyFiles, study: Study) -> Sequence[object]:
    (files.folder / "run.height.null.tsv").symlink_to(files.folder / "nowhere")
    return ("--out", files.folder / "run")


def below_a_file(files: StudyFiles, study: Study) -> Sequence[object]:
    return ("--out", files.pheno / "run")


def named(*names: str) -> Spoil:
    """Call the traits otherwise."""

    def change(study: Study) -> None:
        study.pheno.names[2:] = names

    return study_with(change)


def nothing_outside(*names: str) -> Look:
    """All files lie in the output folder; the manifest says which trait is which."""

    def look(files: StudyFiles, prefix: Path) -> None:
        manifest = json.loads(prefix.with_name("run.run.json").read_text(encoding="utf-8"))
        assert [entry["name"] for entry in manifest["traits"]] == list(names)
        made = {path.resolve() for path in prefix.parent.parent.rglob("*.tsv.gz")}
        assert len(made) == 2 * len(names)
        assert {path.parent for path in made} == {prefix.parent.resolve()}
        for path in prefix.parent.iterdir():
            assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name)
        stems = [entry["files"] for entry in manifest["traits"]]
        assert len(set(stems)) == len(names)
        for stem in stems:
            assert prefix.with_name(f"run.{stem}.tsv.gz").exists()

    return look


# --- Pictures and numbers ---------------------------------------------------------------------


def odd_texts(files: StudyFiles, study: Study) -> Sequence[object]:
    """A trait that mathematical text would choke on; a lead with a name of 5 kB."""
    study.pheno.names[2] = r"$\frac{1$ ^_{ %s {} \n"
    study.marker[30] = "rs" + "5$_{" * 1250
    study.write(files.folder)
    return ("--pheno-name", study.pheno.names[2], "--plots", "png", "--threshold", 0.01,
            "--chr", 1)  # fmt: skip


def pictures_are_there(files: StudyFiles, prefix: Path) -> None:
    pictures = sorted(prefix.parent.glob("*.png"))
    assert len([path for path in pictures if ".region." not in path.name]) == 2
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert "[W701]" not in prefix.with_name("run.log").read_text(encoding="utf-8")


def nearly_a_variant(files: StudyFiles, study: Study) -> Sequence[object]:
    """A trait that a variant explains to 11 digits of its variance: p far below 1e-308."""
    noise = np.random.default_rng(5).standard_normal(118)
    study.calls[20] = np.arange(118) % 3
    y = study.calls[20] + 3e-6 * noise
    for row, value in enumerate(y.tolist()):
        study.pheno.set("height", row, f"{value:.12f}")
    study.write(files.folder)
    return ("--pheno-name", "height", "--covar-name", "PC1", "--h2", 0, "--precision", "double")


def tiny_p_is_exact(files: StudyFiles, prefix: Path) -> None:
    """Decimal text from the logarithm, which agrees with the tail of t by its asymptotic form."""
    rows = read_tsv(prefix.with_name("run.height.tsv.gz")).set_index("marker_id")
    row = rows.loc["rs1020"]
    logarithm = float(row["neg_log_10_p_value"])
    assert logarithm > 400.0
    mantissa, exponent = re.fullmatch(r"(\d\.\d+)e-(\d+)", row["p_value"]).groups()
    assert float(row["p_value"]) == 0.0  # no double can hold it
    assert abs(int(exponent) - np.log10(float(mantissa)) - logarithm) < 1e-4
    t = float(row["beta"]) / float(row["standard_error"])
    dof = 118 - 3
    # P(|T| > t) = 2 C dof^((dof-1)/2) t^-dof (1 + O(dof^2/t^2)), C the density's constant.
    constant = stats.t.logpdf(0.0, dof) / np.log(10.0)
    tail = np.log10(2.0) + constant + 0.5 * (dof - 1) * np.log10(dof) - dof * np.log10(abs(t))
    # beta and its error have 8 digits each: 115 times 1e-8 of the logarithm's slope.
    assert abs(logarithm + tail) < 1e-5
    everywhere = table(prefix)["neg_log_10_p_value"]
    assert np.isfinite(everywhere).all()


def threads_are_logged(files: StudyFiles, prefix: Path) -> None:
    manifest = json.loads(prefix.with_name("run.run.json").read_text(encoding="utf-8"))
    assert manifest["threads"] == 1
    assert {library["threads"] for library in manifest["blas"]} == {1}


ROWS: tuple[Row | Elsewhere, ...] = (
    *(Row(123, f"h2 at 0, {kind}", trait(unlike_relatives, "--whitener", kind),
          Accepted(None, ("lower_bound",), ended_at(0.0, "lower_bound")))
      for kind in WHITENERS),
    *(Row(123, f"h2 at 0 without LOCO, {kind}",
          trait(unlike_relatives, "--no-loco", "--whitener", kind),
          Accepted(None, ("lower_bound",), all_of(
              ended_at(0.0, "lower_bound"),
              near(trait(unlike_relatives, "--h2", 0), Near(p=1e-5, effect=1e-5)))))
      for kind in WHITENERS),
    *(Row(123, f"h2 at 1, {kind}", trait(all_genetic, "--whitener", kind),
          Accepted(None, ("upper_bound",), ended_at(0.999999, "upper_bound")))
      for kind in WHITENERS),
    Row(124, "too little memory", options("--memory", "20M"),
        Refused(137, "E137", ("needs about", "20 MiB by --memory", "samples would fit"))),
    Elsewhere(124, "200,000 samples",
              "test_cli_check.py::test_a_study_far_too_large_is_refused_at_once"),
    Elsewhere(125, "LAPACK with 32-bit integers",
              "test_numerics_linalg.py::test_driver_whose_workspace_fits_32_bit_integers"),
    Elsewhere(125, "residuals are checked",
              "test_numerics_linalg.py::test_wrong_decomposition_is_noticed"),
    Elsewhere(126, "no room, found before the work",
              "test_cli_check.py::test_too_little_room_on_the_disk"),
    Elsewhere(126, "what is said",
              "test_io_writing.py::test_a_refusal_says_why_where_and_what_to_do"),
    Elsewhere(126, "a disk that fills up", "faults/test_injection.py::test_a_disk_that_fills_up"),
    Elsewhere(126, "EFBIG", "faults/test_injection.py::test_a_limit_on_files"),
    Elsewhere(126, "each call that fails", "faults/test_injection.py::test_each_call_fails_once"),
    Row(127, "no output folder", out_as("absent/run"),
        Refused(7, "E111", ("absent", "does not exist"))),
    Row(127, "output below a file", below_a_file, Refused(7, "E111", ("pheno.tsv",))),
    *(Row(127, f"{suffix} exists", taken(suffix),
          Refused(8, "E113", (f"run{suffix}", "--overwrite")))
      for suffix in (".height.tsv.gz", ".weight.leads.tsv", ".samples.tsv", ".run.json")),
    Row(127, "a link that leads nowhere", taken_by_a_link,
        Refused(8, "E113", ("run.height.null.tsv",))),
    Elsewhere(127, "a folder that is not ours",
              "test_operations.py::test_a_folder_that_is_read_only_is_refused"),
    Elsewhere(127, "what exists is kept", "test_cli_errors.py::test_output_that_exists_is_kept"),
    Elsewhere(127, "overwriting", "test_cli_errors.py::test_overwrite_replaces_at_the_end_only"),
    Elsewhere(131, "odd names of folders", "test_operations.py::test_odd_names_of_folders"),
    Elsewhere(128, "resumed", "test_cli_resume.py::test_resumed_is_byte_identical"),
    Elsewhere(128, "signals", "test_cli_watch.py::test_the_process_ends_within_two_seconds"),
    Elsewhere(128, "SIGTERM", "test_cli_errors.py::test_sigterm_leaves_no_temporary_files"),
    Elsewhere(128, "SIGKILL at every commit point",
              "faults/test_kills.py::test_killed_at_every_commit_point"),
    Elsewhere(128, "SIGKILL at random moments",
              "faults/test_kills.py::test_killed_at_random_moments"),
    Elsewhere(128, "some of both", "test_faults_sample.py::test_kills"),
    Elsewhere(129, "one prefix twice", "test_cli_resume.py::test_a_run_at_work_is_not_disturbed"),
    Elsewhere(129, "of many one", "test_io_lock.py::test_of_many_one_gets_it"),
    Elsewhere(129, "runs at once", "faults/test_kills.py::test_two_runs_at_once"),
    Elsewhere(129, "a lock from elsewhere",
              "faults/test_kills.py::test_a_lock_from_elsewhere_is_kept_until_it_is_broken"),
    Elsewhere(130, "stale handles", "test_io_writing.py::test_what_passes_is_tried_three_times"),
    Elsewhere(130, "a rename whose answer is lost",
              "test_io_writing.py::test_a_rename_whose_answer_was_lost"),
    Elsewhere(130, "another file takes the name",
              "test_io_writing.py::test_another_file_that_takes_the_name"),
    Elsewhere(130, "ESTALE, by the system",
              "faults/test_injection.py::test_a_handle_that_is_found_again"),
    Elsewhere(145, "other versions", "test_cli_resume.py::test_other_versions_are_refused"),
    Elsewhere(145, "whatever differs", "faults/test_kills.py::test_what_differs_is_not_resumed"),
    Row(131, "a prefix that is too long", out_as("r" * 230),
        Refused(2, "E010", ("longer than", "--out"))),
    Row(131, "a prefix that is not UTF-8", out_as(os.fsdecode(b"caf\xe9")),
        Refused(2, "E010", ("UTF-8", "--out"))),
    Row(131, "an input's name that is too long", options("--pheno", "x" * 300),
        Refused(7, "E110", ("name too long",))),
    Row(132, "a path as a name", named("/../../evil", "weight"),
        Accepted(look=nothing_outside("/../../evil", "weight"))),
    Row(132, "names of signs", named("..", "a:b*c?"),
        Accepted(look=nothing_outside("..", "a:b*c?"))),
    Row(132, "names that differ by signs", named("a/b", "a\\b"),
        Accepted(look=nothing_outside("a/b", "a\\b"))),
    Row(132, "a name that is too long", named("h" * 300, "weight"), Refused(2, "E010", ("trait",))),
    Elsewhere(132, "names that would collide",
              "test_cli.py::test_traits_whose_file_names_would_collide"),
    Row(133, "threads are logged", nothing, Accepted(None, ("1 threads",), threads_are_logged)),
    Elsewhere(133, "the batch system's allotment",
              "test_numerics_threads.py::test_batch_system_s_allotment"),
    Elsewhere(133, "the affinity mask", "test_numerics_threads.py::test_affinity_mask"),
    Elsewhere(133, "the smallest limit", "test_numerics_threads.py::test_smallest_limit_wins"),
    Elsewhere(133, "every copy of BLAS",
              "test_numerics_threads.py::test_every_copy_of_blas_is_limited_and_set_free_again"),
    Elsewhere(134, "no process is forked", "test_operations.py::test_no_process_is_started"),
    Elsewhere(135, "no home", "test_environment.py::test_unwritable_home_changes_nothing"),
    Elsewhere(135, "no home for plots", "test_environment.py::test_plots_need_no_home"),
    Elsewhere(135, "no home and no /tmp",
              "test_operations.py::test_plots_need_neither_home_nor_tmp"),
    Elsewhere(135, "damaged kernels",
              "test_operations.py::test_damaged_kernels_are_compiled_again"),
    Elsewhere(135, "a full home", "test_operations.py::test_kernels_that_cannot_be_kept_are_used"),
    Elsewhere(135, "a plot that fails",
              "test_cli_errors.py::test_a_plot_that_fails_never_costs_a_table"),
    Row(136, "texts that are no mathematics", odd_texts, Accepted(look=pictures_are_there)),
    Elsewhere(136, "texts in figures",
              "test_report_plots.py::test_text_from_files_is_shown_as_it_is"),
    Elsewhere(136, "long texts", "test_report_plots.py::test_clean_text"),
    Elsewhere(137, "locales", "test_environment.py::test_locale_changes_nothing"),
    Elsewhere(138, "flushed denormals", "test_operations.py::test_flushed_denormals_are_warned_of"),
    Elsewhere(139, "float32 for tiles alone", "test_model_scan.py::test_single_precision"),
    Elsewhere(139, "p far below the smallest double",
              "test_model_scan.py::test_strong_signals_far_below_the_smallest_double"),
    Row(140, "p below 1e-308", nearly_a_variant, Accepted(look=tiny_p_is_exact)),
    Elsewhere(140, "decimal text",
              "test_io_sumstats.py::test_p_is_decimal_text_that_is_never_zero"),
    Elsewhere(140, "tails", "test_numerics_tails.py::test_t_tail_below_the_smallest_double"),
    Row(141, "the same run again", nothing, Accepted(look=same_as())),
    Row(141, "another block size", options("--block-size", 7), Accepted(look=same_as())),
    Elsewhere(141, "two threads", "test_cli.py::test_two_threads"),
    Elsewhere(141, "tiles of a fixed grid",
              "test_cli.py::test_block_size_changes_nothing_where_tiles_are_full"),
    Elsewhere(142, "python -O", "test_environment.py::test_optimised_python_changes_nothing"),
    Elsewhere(142, "python -O refuses",
              "test_environment.py::test_optimised_python_refuses_as_much"),
    Elsewhere(142, "no assertion", "test_architecture.py::test_nothing_that_the_law_forbids"),
    Elsewhere(143, "closed streams", "test_operations.py::test_closed_streams_change_nothing"),
    Elsewhere(143, "a full terminal", "test_operations.py::test_streams_that_are_full"),
    Elsewhere(143, "a reader that went away",
              "test_cli_errors.py::test_a_vanished_reader_of_the_terminal_does_not_fail_the_run"),
    Elsewhere(144, "few open files", "test_operations.py::test_few_open_files_are_enough"),
    Elsewhere(144, "no /tmp", "test_environment.py::test_no_usable_tmp_changes_nothing"),
    Elsewhere(144, "--tmpdir", "test_cli.py::test_temporary_files_can_lie_elsewhere"),
    Elsewhere(144, "no --tmpdir", "test_cli_errors.py::test_temporary_folder_must_exist"),
    Elsewhere(144, "clocks that jump",
              "test_operations.py::test_durations_are_not_of_the_wall_clock"),
)  # fmt: skip
