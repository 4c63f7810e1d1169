"""From a camera's picture to a network's input in one pass of compiled code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgedl import _core
from edgedl.frame import Frame

if TYPE_CHECKING:
    from edgedl.frame import PixelFormat, Pixels
    from edgedl.spec import ImageSpec

Matrix = Literal["bt601", "bt709"]
Range = Literal["limited", "full"]
Tensor = npt.NDArray[Any]


class Preprocessor:
    """Execute an ``ImageSpec`` on pictures of one pixel format.

    Equal, bit for bit, to ``preprocess_reference``. One object may be used by several threads at
    once; the GIL is released while pixels are processed.

    Args:
        spec: What the network wants. ``dtype`` must be float32, float16 or uint8.
        source_format: What the pictures hold: ``bgr8``, ``rgb8``, ``gray8``, ``yuyv``, ``nv12`` or
            ``i420``.
        matrix: Colour matrix of YUV sources.
        range: Whether YUV sources use 16..235 (``limited``) or 0..255 (``full``) for luma.

    Raises:
        UsageError: An argument is none of these, or the spec has a dtype that needs a scale; or
            EDGEDL_FORCE_TARGET names a target that this CPU cannot run.
    """

    def __init__(
        self,
        spec: ImageSpec,
        source_format: PixelFormat = "bgr8",
        matrix: Matrix = "bt601",
        range: Range = "limited",
    ) -> None:
        self.spec = spec
        self.source_format = source_format
        _core.cpu_target()  # a wrong EDGEDL_FORCE_TARGET is told now, not at the first picture
        self._plan = _core.PreprocessPlan(spec, source_format, matrix, range)

    def __call__(self, pixels: Pixels) -> Tensor:
        """Return the network's input for one picture.

        Args:
            pixels: uint8, 0..255, sides 1..8192; (H, W, 3) for ``bgr8`` and ``rgb8``, (H, W) for
                ``gray8``, (H, W, 2) with even W for ``yuyv``. ``nv12`` and ``i420`` with even H
                and W: one packed (H·3/2, W) array, or a tuple of planes (Y, UV) or (Y, U, V),
                each with its own stride. Rows may be padded, pixels of a row may not.

        Returns:
            A new array of shape ``spec.shape`` and type ``spec.dtype``.

        Raises:
            UsageError: The picture has another shape, type or size.
        """
        out = np.empty(self.spec.shape, self.spec.dtype)
        _core.preprocess_cpu(self._plan, pixels, out)
        return out

    def into(self, pixels: Pixels, out: Tensor) -> None:
        """Write the network's input for one picture into ``out``.

        Args:
            pixels: As for ``__call__``.
            out: Contiguous, of shape ``spec.shape`` and type ``spec.dtype``; must not overlap
                ``pixels``. Left as it was if the picture is refused.

        Raises:
            UsageError: The picture or ``out`` has another shape, type or size.
        """
        _core.preprocess_cpu(self._plan, pixels, out)


class FramePreprocessor:
    """Executes an ``ImageSpec`` on frames of any pixel format.

    Args:
        spec: What the network wants.
        source_format: Of bare arrays of three axes; a ``Frame`` says its own, an array of two
            axes is ``gray8``.
    """

    def __init__(self, spec: ImageSpec, source_format: PixelFormat = "bgr8") -> None:
        self.spec = spec
        self.source_format: PixelFormat = source_format
        self._made = {source_format: Preprocessor(spec, source_format)}

    def __call__(self, picture: Frame | Pixels) -> Tensor:
        """Return the network's input for one picture; see ``Preprocessor``."""
        if isinstance(picture, Frame):
            return self._of(picture.pixel_format)(picture.pixels)
        is_gray = self.source_format in ("bgr8", "rgb8") and getattr(picture, "ndim", 3) == 2
        return self._of("gray8" if is_gray else self.source_format)(picture)

    def _of(self, pixel_format: PixelFormat) -> Preprocessor:
        if pixel_format not in self._made:
            self._made[pixel_format] = Preprocessor(self.spec, pixel_format)
        return self._made[pixel_format]
