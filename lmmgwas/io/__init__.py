"""Floor 2: files in and files out. No mathematics, no command line.

Within this floor imports go along one line, left to right only:
text -> problems -> blocks -> last_line -> id_lists -> tables -> columns -> watched -> bed
-> bed_checks -> bim_kernels -> bim_text -> fam -> plink -> psam -> pvar -> pgen_header -> pgen
-> pfile -> joined -> writing -> atomic -> lock -> workspace -> shards -> grm_ids -> grm_files
-> grm_formats -> grm_matrices -> grm_text -> grm_reading -> grm_writers
-> row_kernels -> row_text -> bgzf -> tabix -> sumstats -> table_cells -> table_layouts
-> read_sumstats -> metadata -> read_results -> export_values -> export_formats
-> export_rows -> export -> gwas_vcf -> parquet -> gene_lines -> genes;
open_files stands alone.
"""
