"""From pictures on a GPU to a network's input on that GPU, in one launch.

Compiled by nvcc; its code is tested on the host. Not yet run on a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgedl import _core
from edgedl.frame import Mounting
from edgedl.runtime.device_array import stream_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgedl.frame import PixelFormat
    from edgedl.runtime.preprocess import Matrix, Range, Region
    from edgedl.spec import ImageSpec

_UPRIGHT = Mounting()


class CudaPreprocessor:
    """Execute an ``ImageSpec`` on pictures of one pixel format that lie on a GPU.

    Equal, bit for bit, to ``Preprocessor``. Calls queue work and return; they are refused before
    anything is queued. One object may be used by several threads at once.

    Args:
        spec: What the network wants, as for ``Preprocessor``.
        source_format: What the pictures hold: ``bgr8``, ``rgb8``, ``gray8``, ``yuyv``, ``nv12`` or
            ``i420``.
        matrix: Colour matrix of YUV sources.
        range: Whether YUV sources use 16..235 (``limited``) or 0..255 (``full``) for luma.
        stream: In whose order the work is done: a stream of torch, cupy or cuda.core, or a
            ``cudaStream_t`` as a number; 0 is the default stream.
        mounting: How the camera hangs, as for ``Preprocessor``.

    Raises:
        UsageError: E110 an argument is none of these.
    """

    def __init__(
        self,
        spec: ImageSpec,
        source_format: PixelFormat = "bgr8",
        matrix: Matrix = "bt601",
        range: Range = "limited",
        stream: Any = 0,
        mounting: Mounting = _UPRIGHT,
    ) -> None:
        self.spec = spec
        self.source_format = source_format
        self.stream = stream_number(stream)
        self.mounting = mounting
        self._plan = _core.PreprocessPlan(
            spec, source_format, matrix, range, mounting.rotate, mounting.flip
        )

    def into(self, pixels: Any, out: Any, rois: Sequence[Region] | None = None) -> None:
        """Begin to write the network's input for one picture, or for a batch, into ``out``.

        Args:
            pixels: Arrays on the current GPU of the shapes that ``Preprocessor`` takes: whatever
                has DLPack or ``__cuda_array_interface__``, e.g. torch, cupy, ``DeviceArrayView``.
                A list of pictures is a batch; their sizes may differ.
            out: Such an array, contiguous, of type ``spec.dtype`` and of shape ``spec.shape``, with
                the number of pictures in place of 1; must not overlap ``pixels``. All arrays must
                live until the stream has done the work.
            rois: One region for each picture; None: all of each.

        Raises:
            UsageError: E110 an array or a region has another shape, type or size, or lies
                elsewhere; or CUDA refuses the launch.
        """
        regions = None if rois is None else list(rois)
        _core.preprocess_cuda(self._plan, pixels, out, self.stream, regions)
