"""What nvcc made of the CUDA kernels, read out of the binary: no GPU is needed.

EDGEDL_CUDA_BINARY names a built module or library; without it the installed module is read, and
where that has no CUDA kernels they are built here.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgedl import _core

ROOT = Path(__file__).parents[2]
ARCHITECTURES = (75, 80, 86, 87, 89, 90, 110, 120)
MOST_REGISTERS = 64  # with 256 threads a block, so that a multiprocessor holds 1024 threads
SMALLEST_NVCC_BUILD = ("cmake", "ninja", "nvcc")


def output(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def cuobjdump() -> str:
    """The toolkit's, or that of the package nvidia-cuda-cuobjdump."""
    if found := shutil.which("cuobjdump"):
        return found
    package = importlib.util.find_spec("nvidia")
    for folder in package.submodule_search_locations or () if package else ():
        for found in sorted(Path(folder).glob("*/bin/cuobjdump")):
            return str(found)
    pytest.skip("no cuobjdump: pip install nvidia-cuda-cuobjdump")


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if given := os.environ.get("EDGEDL_CUDA_BINARY"):
        return Path(given)
    if _core.built_with_cuda():
        return Path(_core.__file__)
    if missing := [tool for tool in SMALLEST_NVCC_BUILD if not shutil.which(tool)]:
        pytest.skip(f"CUDA kernels cannot be built here: no {', '.join(missing)}")
    cuobjdump()
    folder = tmp_path_factory.mktemp("cuda")
    output("cmake", "-S", ROOT, "-B", folder, "-GNinja", "-DEDGEDL_CUDA=ON")
    output("cmake", "--build", folder, "--target", "edgedl_cuda", "--parallel", "2")
    return folder / "libedgedl_cuda.so"


@pytest.fixture(scope="module")
def kernels(binary: Path) -> list[tuple[int, str, dict[str, int]]]:
    """Architecture, name and resources of every kernel."""
    found, architecture, name = [], 0, ""
    for line in output(cuobjdump(), "-res-usage", binary).splitlines():
        if match := re.search(r"^\s*arch = sm_(\d+)", line):
            architecture = int(match[1])
        elif match := re.search(r"Function (\S+):", line):
            name = match[1]
        elif "REG:" in line:
            usage = {
                key: int(value) for key, value in re.findall(r"([A-Z]+(?:\[0\])?):(\d+)", line)
            }
            found.append((architecture, name, usage))
    return found


def known_architectures() -> Sequence[int]:
    if not shutil.which("nvcc"):
        return ARCHITECTURES
    listed = output("nvcc", "--list-gpu-arch")
    return [a for a in ARCHITECTURES if re.search(rf"compute_{a}\b", listed)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_architecture_has_every_kernel(
    binary: Path, kernels: list[tuple[int, str, dict[str, int]]]
) -> None:
    wanted = known_architectures()
    names = {name for _, name, _ in kernels}
    assert len(names) > 10
    assert {(a, n) for a, n, _ in kernels} == {(a, n) for a in wanted for n in names}
    assert f"sm_{max(wanted)}.ptx" in output(cuobjdump(), "-lptx", binary)


@pytest.mark.slow
def test_no_kernel_spills_or_has_a_stack(kernels: list[tuple[int, str, dict[str, int]]]) -> None:
    """Spilled registers lie in the stack frame, so an empty one has none of them."""
    assert kernels
    for architecture, name, usage in kernels:
        where = f"{name} for sm_{architecture}: {usage}"
        assert (usage["STACK"], usage["LOCAL"]) == (0, 0), where
        assert usage["REG"] <= MOST_REGISTERS, where


@pytest.mark.slow
def test_the_cuda_runtime_is_linked_in(binary: Path) -> None:
    """A module must import where there is neither a driver nor a toolkit."""
    if not shutil.which("readelf"):
        pytest.skip("no readelf")
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", binary))
    assert needed
    assert not [name for name in needed if re.match(r"lib(cuda|cudart|nv)", name)]
