"""Kills and failing system calls: what the program leaves, and how it goes on."""

import pytest

pytest.register_assert_rewrite("faults.cases", "faults.injection")
