"""Floor 4: one file per command. Options become frozen bundles, errors become exit codes.

Nothing heavy is imported before a command runs, so that `--help` answers at once.

Within this floor imports go along one line, left to right only:
watch -> options -> session -> study_options -> assoc, check, grm, example, plot, selftest
-> merge -> streams -> main.
"""
