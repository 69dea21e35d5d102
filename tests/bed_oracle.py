"""A bit-level encoder and decoder of PLINK 1 .bed files: slow, plain, and independent.

The format: three bytes 6c 1b 01, then for each variant ceil(n/4) bytes; sample i sits in
byte i // 4 at bits 2 (i % 4) and 2 (i % 4) + 1. The pair of bits 00 is homozygous for the
first allele of the .bim, 01 missing, 10 heterozygous, 11 homozygous for the second allele.
"""

from pathlib import Path

MISSING = -127
COPIES_OF_CODE = {0b00: 2, 0b01: MISSING, 0b10: 1, 0b11: 0}
CODE_OF_COPIES = {copies: code for code, copies in COPIES_OF_CODE.items()}


def encode(calls: list[list[int]]) -> bytes:
    """Return the .bed of calls[variant][sample], copies of the first allele."""
    out = bytearray(b"\x6c\x1b\x01")
    for row in calls:
        for start in range(0, len(row), 4):
            byte = 0
            for k, copies in enumerate(row[start : start + 4]):
                byte |= CODE_OF_COPIES[copies] << (2 * k)
            out.append(byte)
    return bytes(out)


def decode(bed: bytes, n: int, m: int) -> list[list[int]]:
    """Return calls[variant][sample], copies of the first allele."""
    width = -(-n // 4)
    return [
        [
            COPIES_OF_CODE[bed[3 + j * width + i // 4] >> (2 * (i % 4)) & 0b11]
            for i in range(n)
        ]
        for j in range(m)
    ]  # fmt: skip


def write_set(folder: Path, calls: list[list[int]], name: str = "study") -> tuple[Path, Path, Path]:
    """Write a .bed, .bim and .fam for these calls and return their paths."""
    n = len(calls[0])
    paths = folder / f"{name}.bed", folder / f"{name}.bim", folder / f"{name}.fam"
    paths[0].write_bytes(encode(calls))
    paths[1].write_text("".join(f"1\trs{j}\t0\t{100 + j}\tA\tG\n" for j in range(len(calls))))
    paths[2].write_text("".join(f"F{i}\tI{i}\t0\t0\t{1 + i % 2}\t-9\n" for i in range(n)))
    return paths
