"""Floor 3: what a person looks at - plots and the run manifest.

Within this floor imports go along one line, left to right only:
style -> thinning -> manhattan, qq -> manifest; settings stands alone.
"""
