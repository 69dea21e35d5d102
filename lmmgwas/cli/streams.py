"""Standard streams that are there, whoever started the program.

A program that is started with closed streams gets their numbers for the files that it opens:
what a library then prints to descriptor 2 would go into a table of results.
"""

import os
import sys


def guard_streams() -> None:
    """Open what is closed of descriptors 0, 1 and 2 on the null device; call this first."""
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
