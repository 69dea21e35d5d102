"""Floor 1: the types and pure functions of the statistics. No files, no command line.

Within this floor imports go along one line, left to right only:
chromosomes -> genotypes -> samples -> case_control -> covariates -> grm -> spectrum -> pca
-> whitening -> variant_tests -> background -> calibrated_test -> calibration -> null_model
-> fitting -> scan -> leads -> simulate.
"""
