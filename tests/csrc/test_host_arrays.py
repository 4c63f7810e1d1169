"""Arrays of the host that are not NumPy's: every function takes them, and refuses what it must."""

from __future__ import annotations

import ctypes
import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from dlpack_exporter import Exporter

from edgedl import ImageSpec, _core
from edgedl.errors import UsageError
from edgedl.frame import Frame
from edgedl.runtime.detection import SsdPriors, boxes_to_source, decode_ssd, decode_yolo, nms
from edgedl.runtime.draw import draw_boxes, draw_heat_map, draw_text
from edgedl.runtime.postprocess import denormalize, softmax_top_k
from edgedl.runtime.preprocess import FramePreprocessor, Preprocessor
from edgedl.stream.motion import MotionGate

RNG = np.random.default_rng(5)
SPEC = ImageSpec(size_hw=(4, 6))
CPU, PINNED, GPU, METAL = (1, 0), (3, 0), (2, 0), (8, 0)
F32, I32, I64, U8 = np.float32, np.int32, np.int64, np.uint8

Lend = Callable[[np.ndarray], Any]


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, U8)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(F32)


class Tensor(Exporter):
    """As torch's tensors are: DLPack beside a shape."""

    def __init__(self, array: np.ndarray, **options: Any) -> None:
        super().__init__(array, **{"version": 1, "device": CPU, **options})
        self.shape = array.shape


def torch_tensor(array: np.ndarray) -> Any:
    return pytest.importorskip("torch").from_numpy(array)


@pytest.fixture(params=["dlpack 0", "dlpack 1", "pinned", "torch"])
def lend(request: pytest.FixtureRequest) -> Lend:
    """What makes an array of another package, in the same memory."""
    lenders: dict[str, Lend] = {
        "dlpack 0": lambda array: Tensor(array, version=0),
        "dlpack 1": Tensor,
        "pinned": lambda array: Tensor(array, device=PINNED),
        "torch": torch_tensor,
    }
    return lenders[request.param]


# ---- what is taken ------------------------------------------------------------------------------


def test_preprocess(lend: Lend) -> None:
    padded = pixels(9, 8, 3)[:, :5]
    pre, wanted, out = Preprocessor(SPEC), Preprocessor(SPEC)(padded), np.empty(SPEC.shape, F32)
    assert np.array_equal(pre(lend(padded)), wanted)
    assert np.array_equal(FramePreprocessor(SPEC)(lend(padded)), wanted)
    pre.into(lend(padded), lend(out))
    assert np.array_equal(out, wanted)
    two = np.empty((2, *SPEC.shape[1:]), F32)
    lent = lend(two)
    assert pre.batch([lend(padded), padded], into=lent) is lent
    assert np.array_equal(two, np.concatenate([wanted, wanted]))


def test_preprocess_planes(lend: Lend) -> None:
    luma, chroma = pixels(8, 12), pixels(4, 6, 2)
    pre = Preprocessor(SPEC, "nv12")
    assert np.array_equal(pre((lend(luma), lend(chroma))), pre((luma, chroma)))


def test_what_follows_a_classifier_or_a_generator(lend: Lend) -> None:
    logits, images = normal(3, 40), normal(2, 3, 4, 5)
    for found, wanted in zip(softmax_top_k(lend(logits), 4), softmax_top_k(logits, 4), strict=True):
        assert np.array_equal(found, wanted)
    assert np.array_equal(denormalize(lend(images)), denormalize(images))
    out = np.zeros((2, 4, 5, 3), U8)
    _core.denormalize(lend(images), lend(out), [127.5] * 3, [127.5] * 3, False)
    assert np.array_equal(out, denormalize(images))


def test_what_follows_a_detector(lend: Lend) -> None:
    corners = np.sort(RNG.uniform(0, 50, (40, 2, 2)), axis=1).reshape(40, 4).astype(F32)
    scores, groups = RNG.random(40).astype(F32), RNG.integers(0, 3, 40).astype(I32)
    found = nms(lend(corners), lend(scores), lend(groups))
    assert np.array_equal(found, nms(corners, scores, groups))
    output = RNG.random((1, 7, 30)).astype(F32)
    assert str(decode_yolo(lend(output), SPEC, [(8, 8)])) == str(
        decode_yolo(output, SPEC, [(8, 8)])
    )
    moves, likely, priors = normal(1, 9, 4), RNG.random((1, 9, 3)).astype(F32), normal(9, 4)
    lent = decode_ssd(
        lend(moves), lend(likely), SsdPriors(boxes_cxcywh=lend(priors)), SPEC, [(8, 8)]
    )
    own = decode_ssd(moves, likely, SsdPriors(boxes_cxcywh=priors), SPEC, [(8, 8)])
    assert str(lent) == str(own)
    found = boxes_to_source(lend(corners), SPEC, (8, 8))
    assert np.array_equal(found, boxes_to_source(corners, SPEC, (8, 8)))
    best = _core.best_class(lend(output[0]), False, 4, -1, 0.25)
    for one, other in zip(best, _core.best_class(output[0], False, 4, -1, 0.25), strict=True):
        assert np.array_equal(one, other)


def test_a_step_of_beam_search(lend: Lend) -> None:
    given = [
        normal(3, 9),
        RNG.integers(0, 9, (3, 2)),
        RNG.integers(0, 3, (2, 2)),
        -RNG.random((2, 2)),
        -RNG.random((2, 2)),
    ]
    outs = [[np.zeros((2, 2), t) for t in (I64, I64, float, float)] for _ in range(2)]
    _core.beam_step(*given, *outs[0], end=2)
    _core.beam_step(*map(lend, given), *map(lend, outs[1]), end=2)
    for one, other in zip(*outs, strict=True):
        assert np.array_equal(one, other)


def test_a_step_of_a_captioner_keeps_what_it_was_lent(lend: Lend) -> None:
    def float_product(inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray, None]:
        return normal(-(-outputs // 16), inputs, 16), normal(outputs), None

    words, score = normal(7, 2), normal(4)
    products = {
        "query": float_product(2 + 3, 4),
        "gates": float_product(2 + 5 + 3, 12),
        "logits": float_product(3, 7),
    }
    feeds = [np.array([6, 0]), normal(2, 3), normal(2, 3), normal(2, 3, 5 + 4)]
    outs = [[np.zeros((2, n), F32) for n in (7, 3, 3)] for _ in range(2)]
    _core.LstmStep(3, 5, words, score, **products).run(*feeds, *outs[0])
    lent = {name: (lend(w), lend(b), scale) for name, (w, b, scale) in products.items()}
    step = _core.LstmStep(3, 5, lend(words), lend(score), **lent)
    gone = weakref.ref(lent["gates"][0])
    del lent
    assert gone() is not None
    step.run(*map(lend, feeds), *map(lend, outs[1]))
    for one, other in zip(*outs, strict=True):
        assert np.array_equal(one, other)
    del step
    gc.collect()
    assert gone() is None


def test_dlpack_is_enough() -> None:
    """The protocol has no shape: only what is lent tells it."""

    def lend(array: np.ndarray) -> Exporter:
        return Exporter(array, version=1, device=CPU)

    logits, images, picture = normal(3, 40), normal(1, 3, 4, 5), np.zeros((20, 40, 3), U8)
    assert np.array_equal(softmax_top_k(lend(logits), 2)[1], softmax_top_k(logits, 2)[1])
    assert np.array_equal(denormalize(lend(images)), denormalize(images))
    draw_heat_map(lend(picture), np.ones((2, 2), F32))
    assert picture.any(axis=2).all()
    with pytest.raises(UsageError, match=r"^\[softmax_top_k\] logits must be .*; got \(40,\)$"):
        softmax_top_k(lend(logits[0]), 2)
    with pytest.raises(UsageError, match=r"^\[draw_heat_map\] picture must be .*; got list$"):
        draw_heat_map([picture], np.ones((2, 2), F32))


def test_motion(lend: Lend) -> None:
    gates = MotionGate(), MotionGate()
    for _ in range(2):
        picture = pixels(48, 64, 3)
        found, wanted = gates[0](Frame(lend(picture))), gates[1](Frame(picture))
        assert str(found) == str(wanted)


def test_drawing(lend: Lend) -> None:
    before, heat = pixels(20, 40, 3)[:, :30], RNG.random((3, 4)).astype(F32)
    own, lent = before.copy(), before.copy()
    for picture, values in ((own, heat), (lend(lent), lend(heat))):
        draw_heat_map(picture, values)
        draw_boxes(picture, [(2, 3, 12, 15)], (0, 200, 255))
        draw_text(picture, "cat", (1, 1), height_px=12)
    assert np.array_equal(own, lent)
    assert not np.array_equal(own, before)


def test_every_loan_ends_once() -> None:
    picture, out = Tensor(pixels(8, 5, 3)), Tensor(np.empty(SPEC.shape, F32))
    Preprocessor(SPEC).into(picture, out)
    assert (picture.deleted, out.deleted) == (1, 1)
    assert picture.streams == [None]
    wrong = Tensor(np.empty(SPEC.shape, float))
    with pytest.raises(UsageError, match=r"got \(1, 3, 4, 6\) float64"):
        Preprocessor(SPEC).into(picture, wrong)
    assert (picture.deleted, wrong.deleted) == (2, 1)


def test_a_loan_lasts_as_long_as_its_use() -> None:
    class Reused(Tensor):
        """Memory that gets another content as soon as it is given back."""

        def _delete(self, address: int) -> None:
            super()._delete(address)
            self.array[...] = 0

    picture, logits = pixels(8, 5, 3), normal(2, 40)
    wanted, likely = Preprocessor(SPEC)(picture), softmax_top_k(logits, 3)
    for version in (0, 1):
        found = Preprocessor(SPEC)(Reused(picture.copy(), version=version))
        assert np.array_equal(found, wanted)
        best = softmax_top_k(Reused(logits.copy(), version=version), 3)
        assert np.array_equal(best[1], likely[1])


def test_an_exporter_may_change_the_list_it_is_in() -> None:
    class Meddler(Tensor):
        def __dlpack__(self, stream: int | None, **options: Any) -> Any:
            batch.clear()
            return super().__dlpack__(stream, **options)

    batch: list[Any] = [Meddler(pixels(8, 5, 3)) for _ in range(3)]
    out = np.full((3, *SPEC.shape[1:]), np.nan, F32)
    wanted = Preprocessor(SPEC).batch([one.array for one in batch])
    _core.preprocess_cpu(_core.PreprocessPlan(SPEC, "bgr8", "bt601", "limited"), batch, out)
    assert np.array_equal(out, wanted)


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((8, 5, 3), F32), r"uint8; got \(8, 5, 3\) float32$"),
        (np.zeros((8, 5, 3), bool), r"uint8; got \(8, 5, 3\) bool$"),
        (np.zeros((8, 5), U8), r"uint8; got \(8, 5\) uint8$"),
        (np.zeros((0, 5, 3), U8), r"sides must be in 1\.\.8192 pixels; got \(0, 5, 3\) uint8$"),
        (np.zeros((8, 5, 6), U8)[..., ::2], r"side by side .*got strides \(30, 6, 2\); numpy\.asc"),
        (np.zeros((5, 8, 3), U8).transpose(1, 0, 2), r"got strides \(3, 24, 1\)"),
        (np.zeros((1,) * 9, U8), r"uint8; got 9 axes$|got \(1, 1, 1, 1, 1, 1, 1, 1, 1\) uint8$"),
    ],
)
def test_the_same_as_of_numpy(array: np.ndarray, text: str, lend: Lend) -> None:
    for picture in (array, lend(array)):
        with pytest.raises(UsageError, match=r"^\[preprocess\] .*" + text):
            Preprocessor(SPEC)(picture)


def test_outputs(lend: Lend) -> None:
    picture, pre = pixels(8, 5, 3), Preprocessor(SPEC)
    bytes_ = np.zeros(4 * 72 + 1, U8)
    for out, text in (
        (np.zeros(SPEC.shape), r"got \(1, 3, 4, 6\) float64"),
        (np.zeros((1, 3, 4, 12), F32)[..., ::2], r"got strides \(576, 192, 48, 8\)"),
        (bytes_[1:].view(F32).reshape(SPEC.shape), r"got strides"),
    ):
        with pytest.raises(UsageError, match=r"^\[preprocess\] out must be a writable.*" + text):
            pre.into(picture, lend(out))
    shared = np.zeros(288, U8)
    out = lend(shared.view(F32).reshape(SPEC.shape))
    with pytest.raises(UsageError, match=r"out must not overlap the input"):
        pre.into(lend(shared[:120].reshape(8, 5, 3)), out)
    read_only, is_copied = 1, 2
    for flags in (read_only, is_copied):
        with pytest.raises(UsageError, match=r"got a read-only array"):
            pre.into(picture, Tensor(np.zeros(SPEC.shape, F32), flags=flags))
        pre.into(Tensor(picture, flags=flags), np.empty(SPEC.shape, F32))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": 0}, r"got an array at address 0$"),
        ({"ndim": -1}, r"got -1 axes$"),
        ({"ndim": 9}, r"got 9 axes$"),
        ({"lanes": 2}, r"got \(8, 5, 3\) unknown8$"),
        ({"code": 4, "bits": 16}, r"got \(8, 5, 3\) bfloat16$"),
        ({"code": 5, "bits": 64}, r"got \(8, 5, 3\) unknown64$"),
        ({"code": 1, "bits": 4}, r"got \(8, 5, 3\) unknown8$"),
        ({"bits": 0}, r"got \(8, 5, 3\) unknown8$"),
        ({"device_type": 2}, r"got Tensor on a GPU; copy it to the host, or use edgedl\.runtime\."),
        ({"shape": (ctypes.c_int64 * 3)(8, -5, 3)}, r"got \(8, -5, 3\) uint8$"),
    ],
)
def test_what_an_exporter_may_say(changes: dict[str, Any], text: str) -> None:
    picture = Tensor(pixels(8, 5, 3))
    picture.changes = changes
    with pytest.raises(
        UsageError, match=r"^\[preprocess\] image must be \(H, W, 3\) uint8; " + text
    ):
        Preprocessor(SPEC)(picture)
    assert picture.deleted == 1


def test_row_major_need_not_be_said() -> None:
    picture = Tensor(pixels(8, 5, 3))
    picture.changes = {"strides": None}
    assert np.array_equal(Preprocessor(SPEC)(picture), Preprocessor(SPEC)(picture.array))


def test_a_part_of_a_larger_block() -> None:
    block = pixels(15 + 8 * 5 * 3)
    picture = Tensor(block[15:].reshape(8, 5, 3))
    picture.changes = {"data": block.ctypes.data, "byte_offset": 15}
    assert np.array_equal(Preprocessor(SPEC)(picture), Preprocessor(SPEC)(picture.array))


def test_arrays_elsewhere_are_told_where_to_go() -> None:
    boxes = np.zeros((3, 4), I32)

    def refused(call: Callable[..., Any], text: str, *given: Any) -> None:
        with pytest.raises(UsageError, match=text):
            call(*given)

    host = r"got Tensor on a GPU; copy it to the host"
    after = r", or use edgedl\.runtime\.postprocess_cuda\."
    logits, images = Tensor(normal(2, 5), device=GPU), Tensor(normal(1, 3, 4, 5), device=GPU)
    refused(softmax_top_k, host + after + r"softmax_top_k_cuda$", logits, 2)
    refused(denormalize, host + after + r"denormalize_cuda$", images)
    refused(nms, host + after + r"CudaNms$", Tensor(normal(3, 4), device=GPU), normal(3))
    best = Tensor(normal(7, 30), device=GPU)
    refused(_core.best_class, host + after + r"CudaBestClass$", best, False, 4, -1, 0.25)
    refused(decode_yolo, r"got Tensor on another device; copy it to", images, SPEC, [(1, 1)])
    on_gpu = Tensor(pixels(8, 5, 3), device=GPU)
    draw = r", or use edgedl\.runtime\.draw_cuda\.draw_boxes_cuda$"
    refused(draw_boxes, r"\[overlay_boxes\] .*" + host + draw, on_gpu, boxes, (0, 0, 0))
    motion = r", or use edgedl\.stream\.motion_cuda\.CudaFrameDifference$"
    refused(MotionGate(), host + motion, Frame(on_gpu))
    metal = Tensor(pixels(8, 5, 3), device=METAL)
    refused(Preprocessor(SPEC), r"got Tensor on another device; copy it to the host$", metal)


def test_tensors_that_want_gradients_are_refused() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.zeros((2, 5), requires_grad=True)
    text = r"got Tensor that cannot be read: BufferError: Can't export tensors that require grad"
    with pytest.raises(UsageError, match=r"^\[softmax_top_k\] logits must be .*" + text):
        softmax_top_k(tensor, 2)
    with pytest.raises(UsageError, match=r"^\[decode_yolo\] an output must be .*" + text):
        decode_yolo(tensor, SPEC, [(1, 1)])
    bfloat = torch.zeros((2, 5), dtype=torch.bfloat16)
    with pytest.raises(UsageError, match=r"got \(2, 5\) bfloat16$"):
        softmax_top_k(bfloat, 2)


def test_an_interrupt_is_no_array_that_cannot_be_read() -> None:
    class Slow(Tensor):
        def __dlpack_device__(self) -> tuple[int, int]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Preprocessor(SPEC)(Slow(pixels(8, 5, 3)))
