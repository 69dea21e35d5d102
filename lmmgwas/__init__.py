"""Exact linear mixed model association for genome-wide data, leaving one chromosome out."""

__version__ = "0.1.0"
