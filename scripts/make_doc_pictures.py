"""Draw the pictures of the documentation again: `make doc-pictures`.

They are the program's own plots of the example study, as the pages' commands make them.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "_static" / "pictures"
STUDY = ["--bfile", "study/study", "--pheno", "study/pheno.tsv", "--covar", "study/covar.tsv"]
RUNS = {
    "mixed": [],
    "plain": ["--h2", "0"],
    "conditioned": ["--condition", "rs1001347,rs1000498"],
}
KEPT = ("manhattan-mixed", "manhattan-conditioned", "qq-mixed", "qq-plain", "region-mixed")
"""Pictures that the pages show: kind of plot and run."""
PLACES = {"region": "region.5_128165989"}
"""Of kinds that a trait has several plots of, the one that is shown."""


def main() -> None:
    """Run the commands of the pages and keep their plots."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        lmmgwas(folder, "example", "study")
        for name, options in RUNS.items():
            trait = ["--pheno-name", "height", "--plots", "png", "--out", name]
            lmmgwas(folder, "assoc", *STUDY, *options, *trait)
        for picture in KEPT:
            kind, run = picture.split("-")
            target = PICTURES / f"{picture}.png"
            drawn = Path(folder) / f"{run}.height.{PLACES.get(kind, kind)}.png"
            shutil.copyfile(drawn, target)
            print(f"{target.name}: {target.stat().st_size:,} bytes")


def lmmgwas(folder: str, *arguments: str) -> None:
    """Run the program."""
    subprocess.run([sys.executable, "-m", "lmmgwas", *arguments], cwd=folder, check=True)


if __name__ == "__main__":
    main()
