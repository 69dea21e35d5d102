"""Floor 3: what a person looks at - plots, the report, key figures and the run manifest.

Within this floor imports go along one line, left to right only:
style -> thinning -> manhattan, qq -> region -> region_plot -> interactive -> content -> render
-> manifest; settings, multiqc and plotly_library stand alone. The folder `page` holds the
report's templates, style and script.
"""
