"""Floor 3: what a command does, step by step; the only place that sees files and mathematics.

Within this floor imports go along one line, left to right only:
options -> logbook -> memory_check -> disk_check -> variant_checks -> inputs -> id_causes ->
grm_room -> matching -> join -> flow -> sample_checks -> grm_checks -> given_grm ->
grm_convert -> condition -> pca_run -> grm_sums -> grm_cells -> grm_run -> trait_rows ->
group_shards -> parts -> journal -> grm_parts -> kept_grm -> relatedness -> plan ->
conservation -> trait_output -> region_files -> gene_input -> pictures -> tile_reader ->
reread -> self_check_run -> scan_tiles -> scan_calibrated -> scan_keeper -> scan_plan ->
kept_fits -> scan_run -> study -> study_size -> row_checks -> preflight -> record -> checksums ->
analyses -> region_rows -> regions -> methods_text -> report_tables -> report_plots ->
report_page -> report_run -> results -> tasks -> cluster -> cluster_run -> table_results ->
plot_regions -> table_page ->
assoc_run, check_run, plot_run, convert_run, example -> merge_run -> selftest_study ->
selftest_run.
"""
