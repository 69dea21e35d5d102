"""Floor 3: what a command does, step by step; the only place that sees files and mathematics.

Within this floor imports go along one line, left to right only:
options -> logbook -> inputs -> join -> flow -> condition -> pca_run -> grm_run -> relatedness
-> plan -> trait_output -> pictures -> tile_reader -> scan_tiles -> scan_calibrated
-> scan_run -> study -> preflight -> record -> assoc_run, plot_run; example stands alone.
"""
