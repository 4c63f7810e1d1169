"""What people write instead of a ``Preprocessor``: chains of OpenCV and NumPy, slow and fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from edgedl.runtime.preprocess_reference import placement

if TYPE_CHECKING:
    from edgedl.frame import PixelFormat, U8Image
    from edgedl.spec import ImageSpec

Tensor = npt.NDArray[Any]

TO_BGR = {
    "nv12": cv2.COLOR_YUV2BGR_NV12,
    "i420": cv2.COLOR_YUV2BGR_I420,
    "yuyv": cv2.COLOR_YUV2BGR_YUY2,
}
FLAGS = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST}


class OpenCvChains:
    """Four ways to the same float32 NCHW RGB tensor; the last three reuse all their memory.

    Args:
        spec: What the network wants, not cut from the picture.
        source_format: What the pictures hold.
        source_hw: Their height and width in pixels.
    """

    def __init__(
        self, spec: ImageSpec, source_format: PixelFormat, source_hw: tuple[int, ...]
    ) -> None:
        self._spec = spec
        self._code = TO_BGR.get(source_format)
        self._flag = FLAGS[spec.resize]
        at = placement(spec, source_hw[0], source_hw[1])
        self._rows, self._columns = at.rows, at.columns
        self._size_wh = (at.columns.stop - at.columns.start, at.rows.stop - at.rows.start)
        self._bgr = np.empty((*source_hw, 3), np.uint8)
        self._resized = np.empty((*self._size_wh[::-1], 3), np.uint8)
        self._canvas = np.full((*spec.size_hw, 3), spec.fill, np.uint8)
        self._planes = [np.empty(self._size_wh[::-1], np.uint8) for _ in range(3)]
        self._out = np.empty(spec.shape, np.float32)
        self._mean, self._std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
        self._scale, self._bias = 1 / (255 * self._std), -self._mean / self._std
        values = np.arange(256, dtype=np.float32)
        self._tables = [values * s + b for s, b in zip(self._scale, self._bias, strict=True)]
        self._blob = cv2.dnn.Image2BlobParams()
        self._blob.scalefactor = (*self._scale.tolist(), 1.0)
        self._blob.mean = (*(255.0 * mean for mean in spec.mean), 0.0)
        self._blob.size = spec.size_hw[::-1]
        self._blob.swapRB = True

    def naive(self, pixels: U8Image) -> Tensor:
        """Convert, resize, pad, divide, normalise, transpose: a new array at each step."""
        picture: Tensor = pixels if self._code is None else cv2.cvtColor(pixels, self._code)
        picture = cv2.resize(picture, self._size_wh, interpolation=self._flag)
        if self._spec.fit == "letterbox":
            height, width = self._spec.size_hw
            below, right = height - self._rows.stop, width - self._columns.stop
            sides = (self._rows.start, below, self._columns.start, right)
            fill = (self._spec.fill,) * 3
            picture = cv2.copyMakeBorder(picture, *sides, cv2.BORDER_CONSTANT, value=fill)
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.float32) / 255
        normalized = (rgb - self._mean) / self._std
        return np.ascontiguousarray(normalized.transpose(2, 0, 1)[np.newaxis])

    def blob(self, pixels: U8Image) -> Tensor:
        """Resize, then ``cv2.dnn.blobFromImageWithParams``."""
        inside = self._canvas[self._rows, self._columns]
        cv2.resize(self._decoded(pixels), self._size_wh, dst=inside, interpolation=self._flag)
        return cv2.dnn.blobFromImageWithParams(self._canvas, self._blob)

    def split(self, pixels: U8Image) -> Tensor:
        """Resize, ``cv2.split``, multiply and add into the planes of the tensor."""
        cv2.split(self._resize(pixels), self._planes)
        for channel, plane in enumerate(self._inside()):
            scale = self._scale[channel]
            np.multiply(self._planes[2 - channel], scale, out=plane, dtype=np.float32)
            plane += self._bias[channel]
        return self._out

    def table(self, pixels: U8Image) -> Tensor:
        """Resize, then take each channel out and look its values up."""
        resized = self._resize(pixels)
        for channel, plane in enumerate(self._inside()):
            cv2.extractChannel(resized, 2 - channel, self._planes[channel])
            cv2.LUT(self._planes[channel], self._tables[channel], dst=plane)
        return self._out

    def _decoded(self, pixels: U8Image) -> U8Image:
        if self._code is None:
            return pixels
        cv2.cvtColor(pixels, self._code, dst=self._bgr)
        return self._bgr

    def _resize(self, pixels: U8Image) -> U8Image:
        picture = self._decoded(pixels)
        cv2.resize(picture, self._size_wh, dst=self._resized, interpolation=self._flag)
        return self._resized

    def _inside(self) -> list[Tensor]:
        """Write the padding; return where the picture lies in each plane."""
        if self._spec.fit == "letterbox":
            for plane, table in zip(self._out[0], self._tables, strict=True):
                value = table[self._spec.fill]
                plane[: self._rows.start] = plane[self._rows.stop :] = value
                plane[self._rows, : self._columns.start] = value
                plane[self._rows, self._columns.stop :] = value
        return [plane[self._rows, self._columns] for plane in self._out[0]]
