"""Builds the C++ tests with the sanitizers and runs them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Compiles faster than -O2; without any, the vector code is slow.
LITTLE_OPTIMIZED = ("-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
def test_kernels_under_the_sanitizers(tmp_path: Path) -> None:
    commands = [
        [*("cmake", "--preset", "dev", "-B", str(tmp_path)), *LITTLE_OPTIMIZED],
        ["cmake", "--build", str(tmp_path), "--parallel", "2"],
        ["ctest", "--test-dir", str(tmp_path), "--output-on-failure", "--no-tests=error"],
    ]
    for command in commands:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
