"""What ``tools/device_half`` needs, before it installs anything."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tool_scripts import TOOLS


def test_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    command = [str(TOOLS / "device_half"), str(tmp_path / "no.edge")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 4
    assert done.stderr == (
        f"device_half: {tmp_path / 'no.edge'} is not there; make it with: edgedl export\n"
    )
