"""What tools/gpu_speed measures: inputs, what is right, which bytes must move, and torch's way.

A case runs on the torch device that it is given. Tests give it "cpu", where the code of the CUDA
kernels runs on the host; so nothing here meets a GPU for the first time but its speed.
"""

from gpu_cases.case import Case, Device, Trial
from gpu_cases.drawing import drawing_cases
from gpu_cases.outputs import output_cases
from gpu_cases.pictures import picture_cases

__all__ = ["Case", "Device", "Trial", "cases"]


def cases(largest_batch: int = 64) -> list[Case]:
    """Return every case; batches are cut to so many pictures."""
    return [*picture_cases(largest_batch), *drawing_cases(), *output_cases(largest_batch)]
