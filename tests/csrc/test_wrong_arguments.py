"""Whatever is given to a function of the compiled module: it takes it, or names it in one error.

All calls are the same in every run. What is not found here: a call without an argument that must be
there, or with one of a name nobody knows, is Python's TypeError.
"""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgedl import ImageSpec, _core
from edgedl.errors import UsageError

F32, F64, I32, I64, U8 = np.float32, np.float64, np.int32, np.int64, np.uint8
Arguments = dict[str, Any]

SPEC = ImageSpec(size_hw=(2, 4))
TEXT = re.compile(r"\[[A-Za-z_0-9]+\] .+; got .+", re.DOTALL)


def product(inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray, None]:
    return np.zeros((-(-outputs // 16), inputs, 16), F32), np.zeros(outputs, F32), None


def step() -> Arguments:
    return {
        "positions": 3,
        "seen": 2,
        "words": np.ones((7, 2), F32),
        "score": np.ones(4, F32),
        "query": product(2 + 3, 4),
        "gates": product(2 + 2 + 3, 12),
        "logits": (np.ones((1, 1, 16, 4), np.int8), np.zeros(7, F32), 0.5),
    }


def rows() -> Arguments:
    given = {"token": np.zeros(1, I64), "h": np.ones((1, 3), F32), "c": np.ones((1, 3), F32)}
    outs = {"logits": np.zeros((1, 7), F32), "h_out": np.zeros((1, 3), F32)}
    features = np.ones((1, 3, 6), F32)
    return given | {"features": features} | outs | {"c_out": np.zeros((1, 3), F32)}


def said() -> Arguments:
    given = {name: value for name, value in rows().items() if name in ("h", "c", "features")}
    outs = {"token": np.zeros((2, 1), I64), "probability": np.zeros((2, 1), F32)}
    return given | outs | {"begin": 1, "end": 2}


def plan() -> Arguments:
    names = {"source_format": "bgr8", "matrix": "bt601", "range": "limited"}
    return {"spec": SPEC, **names, "rotate": 0, "flip": "none"}


def pictures(pixels: object) -> Arguments:
    return {
        "plan": _core.PreprocessPlan(**plan()),
        "pixels": pixels,
        "out": np.zeros((1, 3, 2, 4), F32),
    }


def picture() -> np.ndarray:
    return np.zeros((4, 8, 3), U8)


def beams() -> Arguments:
    places, numbers = np.zeros((1, 2), I64), np.zeros((1, 2), F64)
    given = {"logits": np.ones((1, 9), F32), "history": np.zeros((1, 2), I64), "row": places}
    before = {"log_prob": numbers, "score": numbers.copy()}
    after = {"parent": places.copy(), "token": places.copy()}
    after |= {"new_log_prob": numbers.copy(), "new_score": numbers.copy()}
    rules = {"end": 0, "no_repeat": 2, "may_end": True, "penalty": 1.0}
    return given | before | after | rules


def boxes() -> Arguments:
    corners = np.array([[0, 0, 2, 2], [1, 1, 3, 3]], F32)
    return {"boxes": corners, "scores": np.ones(2, F32), "groups": np.zeros(2, I32)}


LIMITS: Arguments = {"iou_threshold": 0.5, "score_threshold": 0.1}
ORDER: Arguments = {"emulated_order": -1}
STREAM: Arguments = {"stream": 0}


def images() -> Arguments:
    out, values = np.zeros((1, 2, 4, 3), U8), [1.0, 1.0, 1.0]
    given = {"images": np.zeros((1, 3, 2, 4), F32), "out": out}
    return given | {"scale": values, "bias": values, "reversed": False}


def anchors() -> Arguments:
    where = {"anchors_are_rows": False, "first_class": 4, "objectness": -1, "threshold": 0.5}
    return {"predictions": np.ones((7, 5), F32), **where}


def best() -> Arguments:
    outs = {"probabilities": np.zeros((2, 3), F32), "indices": np.zeros((2, 3), I64)}
    return {"logits": np.ones((2, 9), F32), **outs}


def motion() -> Arguments:
    rules = {"box": 2, "weights": (16384, 8192, 8192), "threshold": 9, "dilate": 1}
    return {"pixels": picture(), "previous": np.zeros((2, 4), U8), **rules}


def drawn_boxes() -> Arguments:
    corners, colors = np.array([[0, 0, 3, 3]], I32), np.ones((1, 3), U8)
    given = {"picture": picture(), "boxes": corners, "colors": colors}
    return given | {"thickness": 1, "alpha": 9}


def drawn_mask() -> Arguments:
    given = {"picture": picture(), "mask": np.ones((2, 3), U8), "at_xy": (1, 1)}
    return given | {"color": (1, 2, 3), "alpha": 9}


def drawn_heat() -> Arguments:
    given = {"picture": picture(), "heat": np.ones((2, 3), F32), "xywh": (0, 0, 8, 4)}
    return given | {"colors": np.ones((256, 3), U8), "alpha": 9}


REGIONS: Arguments = {"regions": [(0, 0, 2, 2)]}
SPACE: Arguments = {"workspace": np.zeros(1 << 16, U8)}
CALLS: dict[str, Callable[[], Arguments]] = {
    "LstmStep": step,
    "LstmStep.run": rows,
    "LstmStep.greedy": said,
    "PreprocessPlan": plan,
    "preprocess_cpu": lambda: pictures([picture()]) | REGIONS | {"threads": 1},
    "preprocess_touch": lambda: pictures(picture()),
    "preprocess_emulated": lambda: pictures([picture()]) | REGIONS | {"order": 0},
    "preprocess_cuda": lambda: pictures([picture()]) | REGIONS | STREAM,
    "built_with_cuda": dict,
    "cpu_targets": dict,
    "cpu_target": dict,
    "set_cpu_target": lambda: {"name": _core.cpu_target()},
    "denormalize": lambda: images() | ORDER,
    "denormalize_cuda": lambda: images() | STREAM,
    "nms": lambda: boxes() | LIMITS | {"max_candidates": 0} | ORDER,
    "nms_cuda": lambda: (
        boxes() | {"kept": np.zeros(9, I32), "count": np.zeros(1, I32)} | SPACE | LIMITS | STREAM
    ),
    "nms_workspace_bytes": lambda: {"boxes": 9, "max_candidates": 9},
    "best_class": lambda: anchors() | ORDER,
    "best_class_cuda": lambda: (
        anchors() | {"scores": np.zeros(5, F32), "classes": np.zeros(5, I32)} | STREAM
    ),
    "softmax_top_k": lambda: best() | ORDER,
    "softmax_top_k_cuda": lambda: best() | SPACE | STREAM,
    "softmax_top_k_workspace_bytes": lambda: {"rows": 2, "width": 9, "count": 3},
    "beam_step": lambda: beams() | ORDER,
    "beam_step_cuda": lambda: beams() | SPACE | STREAM,
    "beam_step_workspace_bytes": lambda: {"rows": 2, "beams": 3},
    "frame_difference": lambda: motion() | ORDER,
    "frame_difference_cuda": lambda: (
        motion()
        | {"blurred": np.zeros((2, 4), U8), "changed": np.zeros((2, 4), U8)}
        | SPACE
        | STREAM
    ),
    "overlay_boxes": lambda: drawn_boxes() | ORDER,
    "overlay_mask": lambda: drawn_mask() | ORDER,
    "overlay_heat": lambda: drawn_heat() | ORDER,
    "overlay_boxes_cuda": lambda: drawn_boxes() | STREAM,
    "overlay_mask_cuda": lambda: drawn_mask() | STREAM,
    "overlay_heat_cuda": lambda: drawn_heat() | STREAM,
}


def anything() -> list[object]:
    """Return values of all kinds: no argument is right with all of them."""
    big = np.broadcast_to(F32(0), (1 << 40, 1 << 20))
    return [
        *(None, True, object(), int, len, {}, {1}, range(3), iter(()), 1j, SPEC, ...),
        *(0, 1, 7, -1, -2, 1 << 31, -1 << 31, 1 << 63, 1 << 70, -1 << 70, 10**5000),
        *(0.0, -0.5, 1.5, 1e300, -1e300, float("nan"), float("inf"), F32(1.5), F64("nan")),
        *("", "x", "9", "\ud800", "a\0b", "x" * 1000, b"", b"x", bytearray(3), memoryview(b"xy")),
        *((), [], [[]], (None,), (1, 2), [1, 2, 3], (0.5,) * 4, ["x"] * 3, (1 << 70,) * 4),
        *(np.array(1), np.array(1.5), np.array("x"), np.array(None), np.array([None] * 3)),
        *(np.zeros(0), np.zeros((0, 0), F32), np.zeros((0, 1 << 40), F32), np.zeros((1,) * 32)),
        *(np.zeros((2, 0, 3), U8), np.zeros(3, ">f4"), np.zeros(3, "f4,i4"), np.zeros(3, "M8[s]")),
        *(big, np.broadcast_to(U8(0), (1 << 40, 1 << 20, 3)), np.ma.masked_array([1.0], [True])),
    ]


def changed(array: np.ndarray) -> list[object]:
    """Return what is nearly the array."""
    dtypes = [U8, np.int8, np.int16, I32, I64, np.float16, F32, F64, bool, complex, object, "U3"]
    read_only = array.copy()
    read_only.flags.writeable = False
    unaligned = np.zeros(array.nbytes + 1, U8)[1:].view(array.dtype).reshape(array.shape)
    spread = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::2]
    return [
        *(array.astype(dtype) for dtype in dtypes),
        *(array.astype(array.dtype.newbyteorder()), array.tolist(), read_only, unaligned, spread),
        *(array[None], array[..., None], array[0], array[:0], array[..., :0], array[..., :-1]),
        *(array[::-1], array[..., ::-1], array.T, np.concatenate([array, array])),
        *(np.full_like(array, value) for value in (0, 1, 100)),
        *((array,), [array], [array, array], (array, array, array)),
    ]


def wrong(value: object) -> list[object]:
    """Return values to give instead of a right one."""
    if isinstance(value, np.ndarray):
        return [*changed(value), *anything()]
    if isinstance(value, list | tuple):
        parts = list(value)
        other = [
            type(value)([*parts[:i], bad, *parts[i + 1 :]])
            for i, part in enumerate(parts)
            for bad in (changed(part) if isinstance(part, np.ndarray) else []) + anything()
        ]
        return [*other, parts, tuple(parts), parts[1:], [*parts, parts[0]], *anything()]
    return anything()


def function_of(name: str) -> Callable[..., object]:
    owner, _, method = name.rpartition(".")
    function: Callable[..., object]
    function = getattr(_core.LstmStep(**step()) if owner else _core, method)
    return function


def complaint(name: str, arguments: Arguments) -> UsageError | None:
    """Call it, and return what it says is wrong; any other error goes on to the test."""
    try:
        function_of(name)(**arguments)
    except UsageError as err:
        return err
    return None


def call(name: str, arguments: Arguments) -> None:
    """Call it; it must work, or say in one error what is wrong."""
    err = complaint(name, arguments)
    assert err is None or err.code == "E110"
    assert err is None or TEXT.fullmatch(str(err)), str(err)


@pytest.fixture(autouse=True)
def _target_as_before() -> Any:
    before = _core.cpu_target()
    yield
    _core.set_cpu_target(before)


def test_all_functions_are_here() -> None:
    public = {name for name in dir(_core) if not name.startswith("_")}
    classes = {name for name in public if inspect.isclass(getattr(_core, name))}
    methods = {
        f"{name}.{method}"
        for name in classes
        for method in vars(getattr(_core, name))
        if not method.startswith("_")
    }
    assert public | methods == set(CALLS)


@pytest.mark.parametrize("name", [name for name in CALLS if not name.endswith("_cuda")])
def test_what_is_right_is_taken(name: str) -> None:
    function_of(name)(**CALLS[name]())


@pytest.mark.parametrize("name", CALLS)
def test_one_wrong_argument(name: str) -> None:
    for argument, value in CALLS[name]().items():
        for bad in wrong(value):
            call(name, CALLS[name]() | {argument: bad})


@pytest.mark.parametrize("name", [name for name, right in CALLS.items() if right()])
def test_several_wrong_arguments(name: str) -> None:
    draw = random.Random(name)
    choices = {argument: wrong(value) for argument, value in CALLS[name]().items()}
    for _ in range(200):
        several = draw.sample(sorted(choices), draw.randint(1, len(choices)))
        call(
            name, CALLS[name]() | {argument: draw.choice(choices[argument]) for argument in several}
        )


@pytest.mark.parametrize(
    ("name", "argument", "value", "text"),
    [
        ("nms", "iou_threshold", "x", "[nms] iou_threshold must be a number; got 'x'"),
        (
            "nms",
            "max_candidates",
            1.5,
            "[nms] max_candidates must be a whole number that fits int32",
        ),
        ("nms", "max_candidates", F32(1.5), "a whole number that fits int32; got float32"),
        ("nms", "max_candidates", 1 << 40, "that fits int32; got 1099511627776"),
        ("nms_cuda", "stream", -1, "stream must be a whole number that fits uint64; got -1"),
        ("best_class", "threshold", float("nan"), "threshold must be a number; got nan"),
        ("beam_step", "may_end", None, "[beam_step] may_end must be True or False; got None"),
        ("beam_step", "penalty", np.ones(3), "penalty must be a number; got (3,) float64"),
        ("denormalize", "scale", np.array(1), "a list of values, each a number; got () int64"),
        (
            "overlay_mask",
            "color",
            (1, 2, 300),
            "3 values, each a whole number that fits uint8; got",
        ),
        ("overlay_mask", "color", [0] * 9, "that fits uint8; got list"),
        ("set_cpu_target", "name", None, "[set_cpu_target] name must be a string; got None"),
        ("preprocess_cpu", "plan", None, "plan must be a PreprocessPlan; got None"),
        ("preprocess_cpu", "regions", 7, "[preprocess] regions must be a list; got 7"),
        ("PreprocessPlan", "spec", "x", "[preprocess] spec must be an ImageSpec; got 'x'"),
        ("LstmStep", "query", [1, 2], "scale None where weights are float32; got [1, 2]"),
        ("LstmStep", "logits", (*step()["logits"][:2], "x"), "[lstm_step] scale must be a number"),
        ("LstmStep", "logits", (*step()["logits"][:2], 1e300), "scale must be finite; got inf"),
    ],
)
def test_what_the_error_says(name: str, argument: str, value: object, text: str) -> None:
    err = complaint(name, CALLS[name]() | {argument: value})
    assert err is not None
    assert text in str(err)
