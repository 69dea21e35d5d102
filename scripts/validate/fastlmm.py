"""FaST-LMM's published leave-one-chromosome-out tables: the mice, and its own toy data."""

from functools import partial

from reference import fastlmm_mouse, fastlmm_toy

CHECKS = [
    *(
        (f"FaST-LMM, mouse {trait}, {precision}", partial(fastlmm_mouse, trait, precision))
        for trait in ("CD8", "MCH")
        for precision in ("single", "double")
    ),
    *(
        (f"FaST-LMM, toydata5chrom, {precision}", partial(fastlmm_toy, precision))
        for precision in ("single", "double")
    ),
]
