"""FaST-LMM with one chromosome left out, run by the Python in whose environment it lives.

    python peer_fastlmm.py --version
    python peer_fastlmm.py BED_PREFIX PHENO COVAR OUT

PHENO and COVAR have no header: FID IID value...
"""

import sys
from importlib.metadata import version

from fastlmm.association import single_snp
from pysnptools.snpreader import Bed


def main(arguments: list[str]) -> None:
    """Test every variant, or say the version."""
    if arguments == ["--version"]:
        print(version("fastlmm"))
        return
    bed, pheno, covar, out = arguments
    single_snp(
        Bed(bed, count_A1=True),
        pheno,
        covar=covar,
        leave_out_one_chrom=True,
        count_A1=True,
        output_file_name=out,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
