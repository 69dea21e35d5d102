"""Floor 0: arrays in, arrays out. No samples, no alleles, no files.

Within this floor imports go along one line, left to right only:
processor -> threads -> limits -> speed -> parallel -> jit -> hashing -> kernels
-> dosage_kernels -> triangle -> panels -> blas -> linalg -> symmetric -> likelihood
-> expansion -> optimise -> ascend -> refit -> hwe -> tails -> extremes.
"""
