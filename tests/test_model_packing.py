"""A fitted group as values and arrays: nothing is lost, and nothing else comes back."""

from scan_jobs import *  # noqa: F403
