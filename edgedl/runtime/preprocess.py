"""From a camera's picture to a network's input in one pass of compiled code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from edgedl import _core
from edgedl.errors import UsageError
from edgedl.frame import UPRIGHT, Frame, Mounting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgedl.frame import PixelFormat
    from edgedl.runtime.host_array import HostArray
    from edgedl.spec import ImageSpec

Matrix = Literal["bt601", "bt709"]
Range = Literal["limited", "full"]
Tensor = npt.NDArray[Any]
Picture: TypeAlias = "HostArray | tuple[HostArray, ...]"
Out = TypeVar("Out", bound="HostArray")
Region = tuple[int, int, int, int]
"""(x, y, width, height) in pixels of the source, before it is rotated or flipped; all even where
pixels share their colour (x and width for yuyv; all four for nv12 and i420)."""


class Preprocessor:
    """Execute an ``ImageSpec`` on pictures of one pixel format.

    A region is cut out of the source, which is then rotated, flipped, fitted, resized, padded and
    normalised. Equal, bit for bit, to ``preprocess_reference``. One object may be used by several
    threads at once; the GIL is released while pixels are processed.

    Pictures and tensors are NumPy's arrays, or whatever else lends memory of the host through
    DLPack, such as tensors of torch; nothing is copied. ``CudaPreprocessor`` is for a GPU.

    Args:
        spec: What the network wants.
        source_format: What the pictures hold: ``bgr8``, ``rgb8``, ``gray8``, ``yuyv``, ``nv12`` or
            ``i420``.
        matrix: Colour matrix of YUV sources.
        range: Whether YUV sources use 16..235 (``limited``) or 0..255 (``full``) for luma.
        mounting: How the camera hangs: the source is rotated clockwise, then flipped.
        threads: Among so many threads the rows of the tensor are divided, 1..1024. Does not change
            the result.

    Raises:
        UsageError: An argument is none of these, or EDGEDL_FORCE_TARGET names a target that this
            CPU cannot run.
    """

    def __init__(
        self,
        spec: ImageSpec,
        source_format: PixelFormat = "bgr8",
        matrix: Matrix = "bt601",
        range: Range = "limited",
        mounting: Mounting = UPRIGHT,
        threads: int = 1,
    ) -> None:
        if not isinstance(threads, int) or not 1 <= threads <= 1024:
            msg = f"[preprocess] threads must be a whole number in 1..1024; got {threads!r}"
            raise UsageError("E110", msg)
        self.spec = spec
        self.source_format = source_format
        self.mounting = mounting
        self.threads = threads
        _core.cpu_target()  # a wrong EDGEDL_FORCE_TARGET is told now, not at the first picture
        self._plan = _core.PreprocessPlan(
            spec, source_format, matrix, range, mounting.rotate, mounting.flip
        )

    def __call__(self, pixels: Picture, roi: Region | None = None) -> Tensor:
        """Return the network's input for one picture.

        Args:
            pixels: uint8, 0..255, sides 1..8192; (H, W, 3) for ``bgr8`` and ``rgb8``, (H, W) for
                ``gray8``, (H, W, 2) with even W for ``yuyv``. ``nv12`` and ``i420`` with even H
                and W: one packed (H·3/2, W) array, or a tuple of planes (Y, UV) or (Y, U, V),
                each with its own stride. Rows may be padded, pixels of a row may not.
            roi: The part of the picture to use; None: all of it.

        Returns:
            A new array of shape ``spec.shape`` and type ``spec.dtype``.

        Raises:
            UsageError: The picture or the region has another shape, type or size.
        """
        out = np.empty(self.spec.shape, self.spec.dtype)
        self.into(pixels, out, roi)
        return out

    def into(self, pixels: Picture, out: HostArray, roi: Region | None = None) -> None:
        """Write the network's input for one picture into ``out``.

        Args:
            pixels: As for ``__call__``.
            out: Contiguous, of shape ``spec.shape`` and type ``spec.dtype``; must not overlap
                ``pixels``. Left as it was if the picture is refused.
            roi: As for ``__call__``.

        Raises:
            UsageError: The picture, the region or ``out`` has another shape, type or size.
        """
        regions = None if roi is None else [roi]
        _core.preprocess_cpu(self._plan, pixels, out, regions, self.threads)

    @overload
    def batch(
        self,
        pixels: Sequence[Picture],
        rois: Sequence[Region] | None = None,
        into: None = None,
    ) -> Tensor: ...

    @overload
    def batch(self, pixels: Sequence[Picture], rois: Sequence[Region] | None, into: Out) -> Out: ...

    @overload
    def batch(
        self, pixels: Sequence[Picture], rois: Sequence[Region] | None = None, *, into: Out
    ) -> Out: ...

    def batch(
        self,
        pixels: Sequence[Picture],
        rois: Sequence[Region] | None = None,
        into: HostArray | None = None,
    ) -> HostArray:
        """Return the network's inputs for N pictures, or N regions, in one tensor.

        Args:
            pixels: N >= 1 pictures as for ``__call__``, of any sizes. For several regions of one
                picture, name it several times.
            rois: One region for each picture; None: all of each.
            into: Where to write: contiguous, of type ``spec.dtype``, N images long, overlapping
                none of the pictures; None: a new array.

        Returns:
            ``into``, or the new array.

        Raises:
            UsageError: A picture, a region or ``into`` has another shape, type or size, or there
                are not as many regions as pictures.
        """
        pictures = list(pixels)
        if not pictures:
            msg = "[preprocess] a batch must have at least one picture; got none"
            raise UsageError("E110", msg)
        if into is None:
            into = np.empty((len(pictures), *self.spec.shape[1:]), self.spec.dtype)
        regions = None if rois is None else list(rois)
        _core.preprocess_cpu(self._plan, pictures, into, regions, self.threads)
        return into


class FramePreprocessor:
    """Executes an ``ImageSpec`` on frames of any pixel format.

    Args:
        spec: What the network wants.
        source_format: Of bare arrays of three axes; a ``Frame`` says its own, an array of two
            axes is ``gray8``.
        mounting: As for ``Preprocessor``.
    """

    def __init__(
        self,
        spec: ImageSpec,
        source_format: PixelFormat = "bgr8",
        mounting: Mounting = UPRIGHT,
    ) -> None:
        self.spec = spec
        self.source_format: PixelFormat = source_format
        self.mounting = mounting
        self._made = {source_format: Preprocessor(spec, source_format, mounting=mounting)}

    def __call__(self, picture: Frame | Picture) -> Tensor:
        """Return the network's input for one picture; see ``Preprocessor``."""
        if isinstance(picture, Frame):
            return self._of(picture.pixel_format)(picture.pixels)
        is_gray = self.source_format in ("bgr8", "rgb8") and getattr(picture, "ndim", 3) == 2
        return self._of("gray8" if is_gray else self.source_format)(picture)

    def _of(self, pixel_format: PixelFormat) -> Preprocessor:
        if pixel_format not in self._made:
            self._made[pixel_format] = Preprocessor(self.spec, pixel_format, mounting=self.mounting)
        return self._made[pixel_format]
