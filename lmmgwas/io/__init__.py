"""Floor 2: files in and files out. No mathematics, no command line.

Within this floor imports go along one line, left to right only:
text -> blocks -> tables -> bed -> plink -> joined -> atomic -> grm_files -> sumstats
-> read_sumstats -> metadata.
"""
