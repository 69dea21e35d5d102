"""Which BLAS kernels are asked for, from the text that the kernel gives of a processor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmmgwas.numerics import processor
from lmmgwas.numerics.processor import core_type, prepare_blas, slow_kernels

AVX2 = "fpu sse2 avx avx2 fma"
AVX512 = f"{AVX2} avx512f avx512dq avx512cd avx512bw avx512vl"
BFLOAT16 = f"{AVX512} avx512_bf16"


def cpuinfo(vendor: str, family: str, flags: str) -> str:
    """Two processors as /proc/cpuinfo writes them."""
    one = f"vendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: 2\nflags\t\t: {flags}\n"
    return f"processor\t: 0\n{one}\nprocessor\t: 1\n{one}\n"


@pytest.mark.parametrize(
    ("vendor", "family", "flags", "expected"),
    [
        ("AuthenticAMD", "26", BFLOAT16, "COOPERLAKE"),  # Zen 5
        ("AuthenticAMD", "27", AVX512, "SKYLAKEX"),
        ("AuthenticAMD", "26", AVX2, None),  # switched off by a hypervisor
        ("AuthenticAMD", "26", AVX512.replace("avx512vl", ""), None),
        ("AuthenticAMD", "25", BFLOAT16, None),  # Zen 4: OpenBLAS knows it
        ("GenuineIntel", "6", BFLOAT16, None),  # recognised by its flags
        ("AuthenticAMD", "x", BFLOAT16, None),
    ],
)
def test_core_type(vendor: str, family: str, flags: str, expected: str | None) -> None:
    assert core_type(cpuinfo(vendor, family, flags)) == expected


@pytest.mark.parametrize("text", ["", "\n\n", "Processor\t: ARMv8\nFeatures\t: asimd\n"])
def test_other_machines_are_left_alone(text: str) -> None:
    assert core_type(text) is None


@pytest.fixture
def zen5(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of a machine with Zen 5, nothing chosen."""
    file = tmp_path / "cpuinfo"
    file.write_text(cpuinfo("AuthenticAMD", "26", BFLOAT16))
    monkeypatch.setattr(processor, "_CPUINFO", file)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_THREAD_TIMEOUT"):
        monkeypatch.setenv(name, "")  # so that it is restored afterwards
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("zen5")
def test_environment_is_prepared() -> None:
    prepare_blas()
    assert os.environ["OPENBLAS_CORETYPE"] == "COOPERLAKE"
    assert os.environ["OPENBLAS_THREAD_TIMEOUT"] == "18"


@pytest.mark.usefixtures("zen5")
def test_the_user_s_word_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_THREAD_TIMEOUT", "26")
    prepare_blas()
    assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"
    assert os.environ["OPENBLAS_THREAD_TIMEOUT"] == "26"
    assert slow_kernels(["Haswell"]) is None


@pytest.mark.usefixtures("zen5")
def test_slow_kernels_are_named_where_there_are_better_ones() -> None:
    assert "Haswell" in str(slow_kernels(["SkylakeX", "Haswell"]))
    assert slow_kernels(["SkylakeX", "Cooperlake"]) is None


def test_avx2_kernels_on_avx2_are_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(cpuinfo("GenuineIntel", "6", AVX2))
    monkeypatch.setattr(processor, "_CPUINFO", file)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    assert slow_kernels(["Haswell"]) is None
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "absent")
    assert slow_kernels(["Haswell"]) is None


def test_it_comes_before_numpy() -> None:
    """Nothing that the program imports first may load numpy: then it would be too late."""
    code = "import sys; import lmmgwas.cli.main; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_numbers_that_are_taken_for_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with FTZ and DAZ halves its smallest normal number to 0."""

    class Flushing(float):
        def __mul__(self, other: float) -> float:
            return 0.0

    class Info:
        min = Flushing(sys.float_info.min)

    assert processor.flushed_denormals() is None
    monkeypatch.setattr(processor.sys, "float_info", Info)
    warning = processor.flushed_denormals()
    assert warning is not None
    assert "-ffast-math" in warning
