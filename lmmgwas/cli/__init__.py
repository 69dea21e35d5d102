"""Floor 4: one file per command. Options become frozen bundles, errors become exit codes.

Nothing heavy is imported before a command runs, so that `--help` answers at once.

Within this floor imports go along one line, left to right only:
groups -> names -> config, environment, layout, watch -> command -> options -> session
-> study_options -> assoc, check, completion, convert, example, grm, plot, selftest -> merge
-> streams -> main.
"""
