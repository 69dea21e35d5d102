"""Floor 1: the types and pure functions of the statistics. No files, no command line.

Within this floor imports go along one line, left to right only:
chromosomes -> genotypes -> blocks -> ld -> sample_quality -> row_quality -> grm_sanity
-> samples -> case_control -> sentinels -> covariates -> grm_sum -> grm
-> single_kernel -> kernel_products -> grm_check -> spectrum -> pca -> whitening
-> whitener_cost -> variant_tests -> background -> calibrated_test -> calibration
-> null_model -> fitting -> packing -> scan -> memory -> run_size -> duration -> self_check
-> leads -> simulate.
dense_oracle stands alone.
"""
