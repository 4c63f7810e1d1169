"""Arrays on a GPU as they come in, with stand-ins that live on the host: down to the launch, which
fails where there is no driver."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from dlpack_exporter import Exporter

from edgedl import ImageSpec
from edgedl.engines.driver import gpu_problem
from edgedl.errors import UsageError
from edgedl.frame import Mounting
from edgedl.runtime.device_array import DeviceArrayView, stream_number
from edgedl.runtime.draw_cuda import draw_boxes_cuda, draw_heat_map_cuda, draw_mask_cuda
from edgedl.runtime.postprocess_cuda import (
    CudaBeamStep,
    CudaNms,
    beam_step_workspace_bytes,
    denormalize_cuda,
    nms_workspace_bytes,
    softmax_top_k_cuda,
    softmax_top_k_workspace_bytes,
)
from edgedl.runtime.preprocess import Preprocessor
from edgedl.runtime.preprocess_cuda import CudaPreprocessor
from edgedl.stream.motion_cuda import CudaFrameDifference

SPEC = ImageSpec(size_hw=(4, 6))
LAUNCHED = (
    r"_cuda\] (this edgedl was built without CUDA|the launch must succeed; got cudaError\w+:)"
)


def gpu_like(array: np.ndarray, **changes: Any) -> Any:
    """An object that says that this array lies on a GPU."""

    class Fake:
        def __init__(self) -> None:
            self.array = array
            self.__cuda_array_interface__ = {
                "version": 2,
                "shape": array.shape,
                "typestr": array.dtype.str,
                "data": (array.ctypes.data, False),
                "strides": array.strides,
                **changes,
            }

    return Fake()


def launches(call: Callable[[], None]) -> None:
    """Every check must pass; then there is no GPU to launch on."""
    if gpu_problem() is None:
        pytest.skip("this machine has a GPU: tests/gpu launches for real")
    with pytest.raises(UsageError, match=LAUNCHED):
        call()


def out_like(images: int = 1, **changes: Any) -> Any:
    return gpu_like(np.zeros((images, *SPEC.shape[1:]), np.float32), **changes)


# ---- __cuda_array_interface__ -------------------------------------------------------------------


@pytest.mark.parametrize("stride", [15, 32])
def test_a_picture_and_a_batch_reach_the_launch(stride: int) -> None:
    pre = CudaPreprocessor(SPEC, "bgr8")
    rows = np.zeros((8, stride), np.uint8)
    picture = gpu_like(rows[:, :15].reshape(8, 5, 3) if stride == 15 else rows[:, :15])
    if stride == 32:
        picture = gpu_like(rows, shape=(8, 5, 3), strides=(32, 3, 1))
    launches(lambda: pre.into(picture, out_like()))
    launches(lambda: pre.into([picture, picture], out_like(2)))
    launches(lambda: pre.into(picture, out_like(strides=None)))


def test_regions_of_turned_pictures_reach_the_launch() -> None:
    pre = CudaPreprocessor(SPEC, mounting=Mounting(rotate=90, flip="vertical"))
    picture = gpu_like(np.zeros((8, 5, 3), np.uint8))
    launches(lambda: pre.into(picture, out_like(), [(1, 2, 4, 6)]))
    launches(lambda: pre.into([picture] * 2, out_like(2), ((0, 0, 5, 8), (4, 7, 1, 1))))
    with pytest.raises(UsageError, match=r"a region .* must lie in the picture of width 5"):
        pre.into(picture, out_like(), [(1, 2, 5, 6)])
    with pytest.raises(UsageError, match=r"one region for each picture; got 1 regions for 2"):
        pre.into([picture] * 2, out_like(2), [(0, 0, 1, 1)])
    with pytest.raises(UsageError, match=r"rotate must be one of 0, 90, 180, 270; got 45"):
        CudaPreprocessor(SPEC, mounting=Mounting(rotate=45))


def test_planes_reach_the_launch() -> None:
    y, uv = np.zeros((8, 12), np.uint8), np.zeros((4, 12), np.uint8)
    nv12 = CudaPreprocessor(SPEC, "nv12")
    launches(lambda: nv12.into((gpu_like(y), gpu_like(uv)), out_like()))
    launches(lambda: nv12.into(gpu_like(np.zeros((12, 12), np.uint8)), out_like()))
    u = gpu_like(np.zeros((4, 6), np.uint8))
    launches(lambda: CudaPreprocessor(SPEC, "i420").into((gpu_like(y), u, u), out_like()))


def test_bare_memory_reaches_the_launch() -> None:
    memory = ctypes.create_string_buffer(8 * 5 * 3)
    view = DeviceArrayView(ctypes.addressof(memory), (8, 5, 3), owner=memory)
    launches(lambda: CudaPreprocessor(SPEC).into(view, out_like()))
    sealed = DeviceArrayView(ctypes.addressof(memory), (1, 3, 4, 6), "float32", read_only=True)
    with pytest.raises(UsageError, match=r"got a read-only array"):
        CudaPreprocessor(SPEC).into(view, sealed)


def test_what_follows_a_network_reaches_the_launch() -> None:
    def zeros(dtype: Any, *shape: int) -> Any:
        return gpu_like(np.zeros(shape, dtype))

    f32, i32, i64, u8 = np.float32, np.int32, np.int64, np.uint8
    launches(lambda: denormalize_cuda(zeros(f32, 2, 3, 4, 5), zeros(u8, 2, 4, 5, 3)))
    space = zeros(u8, 8 + nms_workspace_bytes(9, 4))
    boxes = (zeros(f32, 9, 4), zeros(f32, 9), zeros(i32, 9))
    nms = CudaNms(0.5, 0.1)
    if gpu_problem() is not None:
        with pytest.raises(UsageError, match=LAUNCHED + r"|workspace must be aligned"):
            nms.into(boxes, zeros(i32, 4), zeros(i32, 1), space)
    with pytest.raises(UsageError, match=r"\[nms_cuda\] workspace must have at least \d+ bytes"):
        nms.into(boxes, zeros(i32, 4), zeros(i32, 1), zeros(u8, 8))
    with pytest.raises(UsageError, match=r"max_candidates must be in 1\.\.8192; got 9000"):
        nms.into(boxes, zeros(i32, 9000), zeros(i32, 1), space)
    space = zeros(u8, 8 + softmax_top_k_workspace_bytes(2, 50, 5))
    top = (zeros(f32, 2, 5), zeros(i64, 2, 5))
    launches(lambda: softmax_top_k_cuda(zeros(f32, 2, 50), *top, space))
    with pytest.raises(UsageError, match=r"\[softmax_top_k_cuda\] K must be in 1\.\.4; got 5"):
        softmax_top_k_cuda(zeros(f32, 2, 4), *top, space)


def test_a_step_of_beam_search_reaches_the_launch() -> None:
    def given(**changes: Any) -> tuple[Any, ...]:
        arrays = {
            "logits": np.zeros((3, 9), np.float32),
            "history": np.zeros((3, 2), np.int64),
            "row": np.zeros((2, 4), np.int64),
            "log_prob": np.zeros((2, 4)),
            "score": np.zeros((2, 4)),
        }
        return tuple(gpu_like(array) for array in (arrays | changes).values())

    after = tuple(gpu_like(np.zeros((2, 4), t)) for t in (np.int64, np.int64, float, float))
    needed = beam_step_workspace_bytes(3, 4)
    space = gpu_like(np.zeros(-(-needed // 8)).view(np.uint8))
    launches(lambda: CudaBeamStep(2).into(given(), after, space))

    def refused(text: str, before: Any, *rest: Any, **options: Any) -> None:
        with pytest.raises(UsageError, match=r"\[beam_step_cuda\] " + text):
            CudaBeamStep(**{"end": 2, **options}).into(before, *(rest or (after, space)))

    refused(r"history must .*; got \(2, 2\) int64", given(history=np.zeros((2, 2), np.int64)))
    refused(r"score must .*; got \(2, 3\) float64", given(score=np.zeros((2, 3))))
    refused(r"row must have 1 to 64 beams", given(row=np.zeros((1, 65), np.int64)))
    refused(r"end must be in 0\.\.8; got 9", given(), end=9)
    refused(r"penalty must be > 0; got 0", given(), penalty=0.0)
    refused(r"workspace must have at least \d+", given(), after, gpu_like(np.zeros(8, np.uint8)))
    refused(r"out must not overlap", given(), (*after[:3], after[2]), space)
    on_host = (np.zeros((3, 9), np.float32), *given()[1:])
    refused(r"logits must .*, on a GPU; got .* on the host", on_host)
    with pytest.raises(UsageError, match=r"\[beam_step_cuda\] beams must be in 1\.\.64; got 65"):
        beam_step_workspace_bytes(3, 65)


def test_frame_difference_reaches_the_launch() -> None:
    rows = np.zeros((20, 96), np.uint8)
    colored = gpu_like(rows, shape=(20, 30, 3), strides=(96, 3, 1))
    small, space = np.zeros((4, 6), np.uint8), gpu_like(np.zeros(6).view(np.uint8))
    previous, blurred, changed = (gpu_like(small.copy()) for _ in range(3))
    compare = CudaFrameDifference(5, (3735, 19235, 9798), threshold=9)
    launches(lambda: compare.into(colored, previous, blurred, changed, space))
    launches(lambda: compare.into(colored, None, blurred, changed, space))

    def refused(text: str, *arrays: Any, **options: Any) -> None:
        one = CudaFrameDifference(**{"box": 5, "threshold": 9, **options})
        with pytest.raises(UsageError, match=r"\[frame_difference_cuda\] " + text):
            one.into(*arrays)

    luma = gpu_like(rows[:, :30])
    refused(r"box must be in 1..256 .*; got 21", luma, None, blurred, changed, space, box=21)
    refused(r"threshold must be", luma, None, blurred, changed, space, threshold=256)
    refused(r"out must .*; got \(20, 96\)", luma, None, gpu_like(rows), changed, space)
    refused(r"previous must .*; got \(20, 96\)", luma, gpu_like(rows), blurred, changed, space)
    refused(r"out must not overlap", luma, previous, previous, changed, space)
    short = gpu_like(np.zeros(5).view(np.uint8))
    refused(r"workspace must have at least 48 bytes", luma, None, blurred, changed, short)
    refused(r"pixels must .* on the host", rows, None, blurred, changed, space)


def test_drawing_reaches_the_launch() -> None:
    rows = np.zeros((20, 96), np.uint8)
    picture = gpu_like(rows, shape=(20, 30, 3), strides=(96, 3, 1))
    boxes, colors = gpu_like(np.zeros((5, 4), np.int32)), gpu_like(np.zeros((5, 3), np.uint8))
    mask, heat = gpu_like(np.zeros((4, 9), np.uint8)), gpu_like(np.zeros((2, 3), np.float32))
    table = gpu_like(np.zeros((256, 3), np.uint8))
    launches(lambda: draw_boxes_cuda(picture, boxes, colors))
    launches(lambda: draw_mask_cuda(picture, mask, (-3, 4), (1, 2, 3)))
    launches(lambda: draw_heat_map_cuda(picture, heat, table, (0, 0, 30, 20)))
    with pytest.raises(UsageError, match=r"\[overlay_boxes_cuda\] colors .*; got \(256, 3\)"):
        draw_boxes_cuda(picture, boxes, table)
    with pytest.raises(UsageError, match=r"\[overlay_boxes_cuda\] picture .* on the host"):
        draw_boxes_cuda(rows, boxes, colors)
    with pytest.raises(UsageError, match=r"\[overlay_mask_cuda\] alpha must be in 0\.\.255"):
        draw_mask_cuda(picture, mask, (0, 0), (1, 2, 3), alpha=256)
    with pytest.raises(UsageError, match=r"\[overlay_heat_cuda\] the place must be 1 x 1 to"):
        draw_heat_map_cuda(picture, heat, table, (0, 0, 0, 20))
    with pytest.raises(UsageError, match=r"\[overlay_mask_cuda\] out must not overlap"):
        draw_mask_cuda(picture, gpu_like(rows[:1]), (0, 0), (1, 2, 3))


def test_results_share_no_memory() -> None:
    memory = np.zeros(1 << 16, np.uint8)

    def at(byte: int, dtype: Any, *shape: int) -> Any:
        used = memory[byte : byte + np.dtype(dtype).itemsize * int(np.prod(shape))]
        return gpu_like(used.view(dtype).reshape(shape))

    f32, i32, i64, u8 = np.float32, np.int32, np.int64, np.uint8
    boxes = (at(0, f32, 9, 4), at(256, f32, 9), at(512, i32, 9))
    outs = [at(1024, i32, 4), at(1280, i32, 1), at(2048, u8, 8000)]
    wrong = [(at(byte, i32, 4), *outs[1:]) for byte in (128, 288, 540, 1272, 2060)]
    wrong += [(*outs[:2], at(byte, u8, 8000)) for byte in (0, 512, 1024, 1280)]
    wrong += [(outs[0], at(1036, i32, 1), outs[2])]
    for kept, count, space in wrong:
        with pytest.raises(UsageError, match=r"\[nms_cuda\] out must not overlap the input"):
            CudaNms(0.5, 0.1).into(boxes, kept, count, space)
    logits, top = at(0, f32, 2, 50), (at(1024, f32, 2, 5), at(2048, i64, 2, 5))
    for byte in (0, 1024, 2048):
        with pytest.raises(UsageError, match=r"\[softmax_top_k_cuda\] out must not overlap"):
            softmax_top_k_cuda(logits, *top, at(byte, u8, 64))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"typestr": "<f4"}, r"image must be \(H, W, 3\) uint8; got \(8, 5, 3\) float32"),
        ({"typestr": ">u2"}, r"got \(8, 5, 3\) unknown"),
        ({"typestr": "not a type"}, r"that cannot be read"),
        ({"shape": (8, 5)}, r"that cannot be read|got \(8, 5\) uint8"),
        ({"shape": (8, -5, 3)}, r"got \(8, -5, 3\) uint8"),
        ({"shape": (1,) * 9, "strides": None}, r"got 9 axes"),
        ({"strides": (15, 6, 1)}, r"side by side .*got strides \(15, 6, 1\)"),
        ({"strides": (1,)}, r"that cannot be read"),
        ({"data": (0, False)}, r"got an array at address 0"),
        ({"data": None}, r"that cannot be read"),
        ({"shape": None}, r"that cannot be read"),
        ({"mask": object()}, r"got an array with a mask"),
    ],
)
def test_wrong_interfaces_are_named(changes: dict[str, Any], text: str) -> None:
    picture = gpu_like(np.zeros((8, 5, 3), np.uint8), **changes)
    with pytest.raises(UsageError, match=r"\[preprocess_cuda\] .*" + text):
        CudaPreprocessor(SPEC).into(picture, out_like())


def test_wrong_outputs_are_named() -> None:
    pre, picture = CudaPreprocessor(SPEC), gpu_like(np.zeros((8, 5, 3), np.uint8))
    rule = r"\[preprocess_cuda\] out must be a writable, aligned, contiguous \(1, 3, 4, 6\) float32"
    for out, got in (
        (out_like(2), r"got \(2, 3, 4, 6\) float32"),
        (out_like(typestr="<f2"), r"got \(1, 3, 4, 6\) float16"),
        (out_like(strides=(288, 4, 12, 48)), r"got strides \(288, 4, 12, 48\)"),
        (out_like(data=(1 << 20 | 2, False)), r"got strides"),
        (np.zeros(SPEC.shape, np.float32), r"on a GPU; got \(1, 3, 4, 6\) float32 on the host"),
        (3, r"on a GPU; got int"),
    ):
        with pytest.raises(UsageError, match=rule + ".*" + got):
            pre.into(picture, out)
    shared = np.zeros(400, np.uint8)
    overlapping = gpu_like(shared[:120], shape=(8, 5, 3), strides=None)
    out = gpu_like(shared[100:388], shape=SPEC.shape, typestr="<f4", strides=None)
    with pytest.raises(UsageError, match=r"must not overlap|got strides"):
        pre.into(overlapping, out)
    with pytest.raises(UsageError, match=r"got an empty list"):
        pre.into([], out_like())


def test_a_stream_to_wait_for_is_waited_for() -> None:
    """Waiting takes a driver; that nothing is to be waited for does not."""
    if gpu_problem() is None:
        pytest.skip("this machine has a GPU")
    pictures = [gpu_like(np.zeros((8, 5, 3), np.uint8), stream=s, version=3) for s in (None, 7, 2)]
    launches(lambda: CudaPreprocessor(SPEC).into(pictures[0], out_like()))
    launches(lambda: CudaPreprocessor(SPEC, stream=7).into(pictures[1], out_like()))
    with pytest.raises(UsageError, match=r"built without CUDA|the stream must wait .*cudaError"):
        CudaPreprocessor(SPEC, stream=7).into(pictures[2], out_like())


# ---- DLPack -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1])
def test_dlpack_reaches_the_launch_and_every_deleter_runs_once(version: int) -> None:
    picture = Exporter(np.zeros((8, 5, 3), np.uint8), version=version)
    out = Exporter(np.zeros(SPEC.shape, np.float32), version=version)
    launches(lambda: CudaPreprocessor(SPEC).into(picture, out))
    assert (picture.deleted, out.deleted) == (1, 1)
    assert (picture.streams, out.streams) == ([1], [1])
    launches(lambda: CudaPreprocessor(SPEC, stream=9).into([picture, picture], out_like(2)))
    assert (picture.deleted, picture.streams) == (3, [1, 9, 9])


@pytest.mark.parametrize("version", [0, 1])
def test_deleters_run_also_when_an_array_is_refused(version: int) -> None:
    picture = Exporter(np.zeros((8, 5, 3), np.float32), version=version)
    with pytest.raises(UsageError, match=r"\(H, W, 3\) uint8; got \(8, 5, 3\) float32"):
        CudaPreprocessor(SPEC).into(picture, out_like())
    assert picture.deleted == 1
    lanes = Exporter(np.zeros((8, 5, 3), np.uint8), version=version)
    lanes.lanes = 4
    with pytest.raises(UsageError, match=r"got \(8, 5, 3\) unknown8"):
        CudaPreprocessor(SPEC).into(lanes, out_like())
    assert lanes.deleted == 1


def test_what_dlpack_1_adds() -> None:
    newer = Exporter(np.zeros((8, 5, 3), np.uint8), version=1)
    newer.major = 2
    with pytest.raises(UsageError, match=r"got DLPack version 2\.0, of which 0 and 1 are known"):
        CudaPreprocessor(SPEC).into(newer, out_like())
    assert newer.deleted == 1
    sealed = Exporter(np.zeros(SPEC.shape, np.float32), version=1, flags=1)
    with pytest.raises(UsageError, match=r"got a read-only array"):
        CudaPreprocessor(SPEC).into(gpu_like(np.zeros((8, 5, 3), np.uint8)), sealed)


def test_arrays_of_two_gpus_are_refused() -> None:
    picture = Exporter(np.zeros((8, 5, 3), np.uint8), version=1, device=(2, 1))
    out = Exporter(np.zeros(SPEC.shape, np.float32), version=1, device=(2, 0))
    with pytest.raises(UsageError, match=r"current GPU|on a GPU; got an address on the host"):
        CudaPreprocessor(SPEC).into(picture, out)
    assert picture.deleted == 1


def test_an_exporter_that_fails_is_quoted() -> None:
    class Broken:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

        def __dlpack__(self, **_: Any) -> Any:
            msg = "requires gradients"
            raise BufferError(msg)

    with pytest.raises(UsageError, match=r"got Broken.*cannot be read: BufferError: requires grad"):
        CudaPreprocessor(SPEC).into(Broken(), out_like())


# ---- the wrong function -------------------------------------------------------------------------


def test_arrays_on_the_host_are_sent_to_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    text = r"\[preprocess_cuda\] image must be \(H, W, 3\) uint8, on a GPU; got .* on the host"
    for picture in (np.zeros((8, 5, 3), np.uint8), torch.zeros((8, 5, 3), dtype=torch.uint8)):
        with pytest.raises(UsageError, match=text):
            CudaPreprocessor(SPEC).into(picture, out_like())
    with pytest.raises(UsageError, match=r"on a GPU; got list$"):
        CudaPreprocessor(SPEC, "gray8").into([[1, 2]], out_like())


def test_arrays_on_a_gpu_are_sent_to_cuda() -> None:
    on_gpu = gpu_like(np.zeros((8, 5, 3), np.uint8))
    text = (
        r"\[preprocess\] image must be \(H, W, 3\) uint8; got Fake on a GPU; copy it to the host,"
    )
    twin = r" or use edgedl\.runtime\.preprocess_cuda\.CudaPreprocessor$"
    with pytest.raises(UsageError, match=text + twin):
        Preprocessor(SPEC)(on_gpu)


@pytest.mark.parametrize(("stream", "number"), [(0, 0), (7, 7)])
def test_streams_by_number(stream: int, number: int) -> None:
    assert stream_number(stream) == number


def test_streams_of_packages() -> None:
    class Torch:
        cuda_stream = 11

    class Cupy:
        ptr = 12

    class CudaCore:
        def __cuda_stream__(self) -> tuple[int, int]:
            return (0, 13)

    assert [stream_number(one()) for one in (Torch, Cupy, CudaCore)] == [11, 12, 13]
    for wrong in (-1, "0", None, True, 1.5):
        with pytest.raises(UsageError, match=r"\[stream\] must be a CUDA stream or its number"):
            stream_number(wrong)
