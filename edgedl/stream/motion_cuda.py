"""What moved between two pictures on a GPU: the same bytes as ``MotionGate`` finds on the CPU.

Arrays are whatever has DLPack or ``__cuda_array_interface__``; results and workspace are the
caller's. All must live until the stream has done the work. Compiled by nvcc; its code is tested on
the host. Not yet run on a GPU.
"""

from __future__ import annotations

from typing import Any

from edgedl import _core
from edgedl.runtime.device_array import stream_number


class CudaFrameDifference:
    """Where pictures differ, at reduced size; see ``csrc/kernels/frame_difference.h``.

    Args:
        box: Pixels, to each side, that become one: h = H // box, w = W // box; in 1..256.
        weights: Of the channels in luma; those of the channels that are there add up to 32768.
        threshold: A pixel changed if it differs by more; 0..255.
        dilate: So many rows and columns around it count as changed, too; 0..64.
        stream: In whose order the work is done; 0 is the default stream.
    """

    def __init__(
        self,
        box: int,
        weights: tuple[int, int, int] = (1 << 15, 0, 0),
        *,
        threshold: int,
        dilate: int = 1,
        stream: Any = 0,
    ) -> None:
        self.box = box
        self.weights = weights
        self.threshold = threshold
        self.dilate = dilate
        self.stream = stream_number(stream)

    def into(
        self, pixels: Any, previous: Any | None, blurred: Any, changed: Any, workspace: Any
    ) -> None:
        """Begin to compare a picture with an earlier one.

        Args:
            pixels: uint8, (H, W) or (H, W, C) with C in 1..3; rows may be padded.
            previous: uint8, contiguous, (h, w): ``blurred`` of the earlier picture, or None.
            blurred: uint8, contiguous, (h, w): becomes the reduced picture.
            changed: uint8, contiguous, (h, w): becomes 1 where it changed, else 0.
            workspace: uint8, of 2 h w bytes or more, aligned to 8.

        Raises:
            UsageError: E110 an array has another type or shape, or lies elsewhere, or a number is
                out of its range.
        """
        _core.frame_difference_cuda(
            pixels,
            previous,
            blurred,
            changed,
            workspace,
            self.box,
            self.weights,
            self.threshold,
            self.dilate,
            self.stream,
        )
