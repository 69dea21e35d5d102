"""Floor 2: files in and files out. No mathematics, no command line.

Within this floor imports go along one line, left to right only:
text -> blocks -> tables -> bed -> bim_kernels -> plink -> joined -> atomic -> grm_files
-> row_kernels -> row_text -> bgzf -> tabix -> sumstats -> read_sumstats -> metadata.
"""
