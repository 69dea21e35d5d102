"""Write the simulated study of test_data/ again: the same bytes on every run.

Usage: python scripts/make_test_data.py [DIRECTORY]
"""

import sys
from dataclasses import replace
from pathlib import Path

from lmmgwas.model.simulate import SimulationSettings
from lmmgwas.pipeline.example import write_example

# Larger than the default, and of a seed with which two causal variants of each trait are
# found at p < 5e-8 with room to spare, and the others missed with room to spare.
SETTINGS = replace(SimulationSettings(), seed=13, n_families=90, n_unrelated=95, n_variants=7_000)
DEFAULT_DIRECTORY = Path(__file__).resolve().parent.parent / "test_data"


def main() -> None:
    """Write the files and list their sizes."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_DIRECTORY
    for path in write_example(directory, SETTINGS, overwrite=True):
        print(f"{path.stat().st_size:>9} {path}")


if __name__ == "__main__":
    main()
