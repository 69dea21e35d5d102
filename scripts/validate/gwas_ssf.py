"""GWAS-SSF's own validator and metadata model, on our table and sidecar of test_data.

`gwas-ssf` is found on PATH or where the environment variable GWAS_SSF points to
(`pip install gwas-sumstats-tools` in an environment of its own).
"""

import os
import shutil
import subprocess
from pathlib import Path

from reference import TEST_DATA, Check, UnavailableError, run_lmmgwas

TRAITS = ("height", "ldl")
_MIN_ROWS = "1000"  # the validator wants 100,000 rows unless told; test_data has 7,000
_LOAD = """
import hashlib, sys, yaml
from pathlib import Path
from gwas_sumstats_tools.schema.metadata import SumStatsMetadata
sidecar = Path(sys.argv[1])
given = yaml.safe_load(sidecar.read_text())
model = SumStatsMetadata(**given)
unknown = sorted(set(given) - set(model.__fields__))
table = sidecar.with_name(model.data_file_name).read_bytes()
assert not unknown, f"unknown fields: {unknown}"
assert hashlib.md5(table).hexdigest() == model.data_file_md5sum, "md5sum of another table"
print("valid")
"""


def validator(folder: Path) -> list[Check]:
    """Run the study, then the validator and the model of the metadata on each trait."""
    program = _program()
    prefix = folder / "study"
    tables = ["--pheno", TEST_DATA / "pheno.tsv", "--covar", TEST_DATA / "covar.tsv"]
    options = ["--genome-build", "GRCh38", "--plots", "none", "--out", prefix]
    run_lmmgwas("assoc", "--bfile", TEST_DATA / "study", *tables, *options)
    checks = []
    for trait in TRAITS:
        table = folder / f"study.{trait}.tsv.gz"
        options = ["--infer-from-metadata", "--min-rows", _MIN_ROWS]
        code, printed = _run([program, "validate", *options, table])
        valid = code == 0 and "Validation status: True" in printed
        checks.append(_check(f"{trait}: table, gwas-ssf validate", valid, printed))
        sidecar = folder / f"study.{trait}.tsv.gz-meta.yaml"
        code, printed = _run([_interpreter(program), "-c", _LOAD, sidecar])
        checks.append(_check(f"{trait}: sidecar, SumStatsMetadata and md5", code == 0, printed))
    return checks


def _program() -> Path:
    """Find gwas-ssf and see that it starts."""
    found = os.environ.get("GWAS_SSF") or shutil.which("gwas-ssf")
    if not found or not Path(found).exists():
        raise UnavailableError("gwas-ssf is not on PATH and GWAS_SSF does not point to it")
    code, printed = _run([Path(found), "validate", "--help"])
    if code != 0:
        raise UnavailableError(f"{found} does not start: {_last_line(printed)}")
    return Path(found)


def _interpreter(program: Path) -> Path:
    """The Python of the environment in which gwas-ssf is installed."""
    first = program.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0]
    named = Path(first.removeprefix("#!").strip())
    return named if first.startswith("#!") and named.exists() else program.parent / "python"


def _run(arguments: list[str | Path]) -> tuple[int, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, arguments)), capture_output=True, text=True, env=environment, check=False
    )
    return done.returncode, done.stdout + done.stderr


def _last_line(text: str) -> str:
    return (text.strip().split("\n") or [""])[-1]


def _check(what: str, valid: bool, printed: str) -> Check:
    return Check(what, "valid", "valid" if valid else _last_line(printed), valid)


CHECKS = [("GWAS-SSF 1.0, test_data", validator)]
