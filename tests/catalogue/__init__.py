"""The catalogue of bad and odd input: what each must get, as data.

One module for each section; `rows.py` says what a row is, `test_catalogue.py` runs them all
through the command line.
"""
