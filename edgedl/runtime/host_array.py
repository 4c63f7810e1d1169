"""Arrays on the host, whatever package made them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgedl.errors import UsageError

_ON_HOST = (1, 3)
"""DLPack's kDLCPU and kDLCUDAHost."""


class HostArray(Protocol):
    """An array with DLPack, such as NumPy's, and tensors of torch that lie on the CPU.

    Compiled code reads and writes its memory where it lies.
    """

    def __dlpack__(self) -> Any:
        """Lend the memory."""

    def __dlpack_device__(self) -> tuple[Any, Any]:
        """Return where it lies."""


def shape_of(value: Any, rule: str) -> tuple[int, ...]:
    """Return the shape of an array; a ``HostArray`` need not tell it itself.

    Args:
        value: Anything; what is no array after all is told by compiled code.
        rule: As for ``as_numpy``.

    Raises:
        UsageError: E110 it tells no shape and is no ``HostArray``.
    """
    shape = getattr(value, "shape", None)
    return shape if isinstance(shape, tuple) else as_numpy(value, rule).shape


def as_numpy(value: Any, rule: str) -> npt.NDArray[Any]:
    """Return an array that shares the memory of ``value``.

    Args:
        value: A ``HostArray``.
        rule: ``[operation] name must be ...``, what an error says.

    Raises:
        UsageError: E110 it is none, it lies on a GPU, or whose it is does not lend it.
    """
    if isinstance(value, np.ndarray):
        return value
    got = type(value).__name__
    if not hasattr(value, "__dlpack__"):
        raise UsageError("E110", f"{rule}; got {got}")
    try:
        is_on_host = value.__dlpack_device__()[0] in _ON_HOST
        array = np.from_dlpack(value) if is_on_host else None
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as err:
        problem = f"{got} that cannot be read: {type(err).__name__}: {err}"
        raise UsageError("E110", f"{rule}; got {problem}") from err
    if array is None:
        raise UsageError("E110", f"{rule}; got {got} on another device; copy it to the host")
    return array
