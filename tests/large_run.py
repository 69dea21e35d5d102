"""`lmmgwas` as it is with many samples, however few: python tests/large_run.py N ARGUMENTS.

More than N samples are many: K is in float32, and groups are fitted one at a time.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    from lmmgwas.cli.main import main
    from lmmgwas.model import memory, single_kernel
    from lmmgwas.pipeline import scan_plan

    single_kernel.LARGE_SAMPLES = int(sys.argv.pop(1))
    memory.MAX_LANE_SAMPLES = scan_plan._MAX_LANE_SAMPLES = single_kernel.LARGE_SAMPLES
    main()
