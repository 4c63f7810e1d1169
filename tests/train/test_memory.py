"""Freed memory comes back without the system's help."""

import ctypes
import subprocess
import sys

import pytest

SIZE = 96 << 20
CODE = f"""
import ctypes, resource
from edgedl.train.memory import keep_freed_memory

libc, size = ctypes.CDLL(None), ctypes.c_size_t({SIZE})
libc.malloc.restype = ctypes.c_void_p

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = ctypes.c_void_p(libc.malloc(size))
    libc.memset(block, 1, size)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

handed_back = [faults(), faults()]
keep_freed_memory()
faults()
print(handed_back[1], faults())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no glibc")
def test_a_freed_block_is_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    handed_back, kept = map(int, done.stdout.split())
    pages = SIZE // 65536  # of the largest size
    assert handed_back >= pages
    assert kept < pages / 10
