"""What the graphs of each task see on real samples, and how they answer one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from edgedl.runtime.session import Session, relative_error
from edgedl.vocab import BOS, EOS, SPECIAL

if TYPE_CHECKING:
    from edgedl.runtime.captioner import Captioner
    from edgedl.runtime.classifier import Classifier
    from edgedl.runtime.clip_classifier import ClipClassifier
    from edgedl.runtime.model import Model
    from edgedl.runtime.regressor import Regressor
    from edgedl.runtime.tensor_model import TensorModel
    from edgedl.runtime.text_classifier import TextClassifier
    from edgedl.runtime.text_generator import TextGenerator

Array = npt.NDArray[Any]
Feeds = dict[str, Array]

LOT = 16  # samples of a feed
_STEP_SAMPLES = 64  # samples the states of a step are taken from
_FORESEEN = 16  # tokens whose margins count


def feeds_of(model: Model, tensors: Any) -> dict[str, list[Feeds]]:
    """Return what each graph sees while ``tensors`` (n, …) go through the model.

    Args:
        model: Over fp32 sessions.
        tensors: As an evaluation prepares them.

    Returns:
        Role to inputs of its graph, some samples at a time; of tensor models one at a time.
    """
    if model.spec.task == "tensor":
        return {"model": [dict(feeds) for feeds in tensors]}
    lots = [tensors[i : i + LOT] for i in range(0, len(tensors), LOT)]
    task = model.spec.task
    if task == "captioning":
        return {
            "encoder": [{"image": lot} for lot in lots],
            "step": _caption_steps(cast("Captioner", model), tensors[:_STEP_SAMPLES]),
        }
    if task == "text-generation":
        return {"step": _text_steps(cast("TextGenerator", model), tensors[:_STEP_SAMPLES])}
    if task == "clip-classification":
        clips = cast("ClipClassifier", model)
        features = [
            clips.features(lot.reshape(-1, *lot.shape[2:])).reshape(*lot.shape[:2], -1)
            for lot in lots
        ]
        frames = [{"image": frame} for lot in lots for frame in np.swapaxes(lot, 0, 1)]
        return {"encoder": frames, "model": [{"features": one} for one in features]}
    name = {"classification": "image", "text-classification": "tokens", "regression": "window"}
    return {"model": [{name[task]: lot} for lot in lots]}


def differences(
    found: Mapping[str, Session],
    expected: Mapping[str, Session],
    feeds: Mapping[str, list[Feeds]],
) -> dict[str, float]:
    """Return the largest relative error of each output over the first feeds of each graph.

    The error is the largest difference divided by the largest expected magnitude; of predicted
    values, whose columns have units of their own, column by column, as ``edgedl verify`` has it.
    """
    errors: dict[str, float] = {}
    for role, given in feeds.items():
        for one in given[:2]:
            got, wanted = found[role].run(one), expected[role].run(one)
            for name, value in wanted.items():
                pairs = [(got[name], value)]
                if name == "values" and value.ndim == 2:
                    pairs = list(zip(got[name].T, value.T, strict=True))
                errors[name] = max(errors.get(name, 0.0), *(relative_error(*p) for p in pairs))
    return errors


def answer_one(model: Model, tensor: Any) -> None:
    """Answer one sample (1, …) as a device does; of a text write one character."""
    task = model.spec.task
    if task == "tensor":
        cast("TensorModel", model).session.run(tensor[0])
        return
    if task == "captioning":
        captioner = cast("Captioner", model)
        captioner.decode(captioner.encode(tensor))
    elif task == "classification":
        cast("Classifier", model).logits(tensor)
    elif task == "clip-classification":
        cast("ClipClassifier", model).clip_logits(tensor)
    elif task == "text-classification":
        cast("TextClassifier", model).logits(tensor)
    elif task == "regression":
        cast("Regressor", model).values(tensor)
    else:
        generator = cast("TextGenerator", model)
        generator.step(tensor[:, 0], generator.start(1))


def margin(model: Model, tensor: Any) -> float:
    """Return by how much the closest decision of an answer was made, in logits.

    Another processor's rounding tips a tie; a golden sample must not hang on one. Predicted
    numbers and arrays have none: infinite.
    """
    if model.spec.task == "captioning":
        return _caption_margin(cast("Captioner", model), tensor)
    if model.spec.task == "text-generation":
        return _text_margin(cast("TextGenerator", model), tensor)
    if model.spec.task in ("regression", "tensor"):
        return float("inf")
    second, first = np.sort(model.expect(tensor).arrays["logits"])[-2:]
    return float(first - second)


def _caption_steps(model: Captioner, tensors: Array) -> list[Feeds]:
    """Return the step's inputs while it captions; pictures whose caption has ended leave."""
    feeds: list[Feeds] = []
    for i in range(0, len(tensors), LOT):
        seen = model.encode(tensors[i : i + LOT])
        features, h, c = seen["features"], seen["h"], seen["c"]
        token = np.full(len(features), BOS, np.int64)
        for _ in range(model.search.max_tokens):
            feeds.append({"token": token, "h_in": h, "c_in": c, "features": features})
            out = model.step.run(feeds[-1])
            token = out["logits"].argmax(axis=1)
            going = token != EOS
            if not going.any():
                break
            token, features = token[going], features[going]
            h, c = out["h_out"][going], out["c_out"][going]
    return feeds


def _text_steps(model: TextGenerator, tensors: Array) -> list[Feeds]:
    """Return the step's inputs while it reads the texts (n, T) in parallel."""
    state, feeds = model.start(len(tensors)), []
    for tokens in tensors.T:
        feeds.append({"token": np.ascontiguousarray(tokens), **state})
        _, state = model.step(feeds[-1]["token"], state)
    return feeds


def _caption_margin(model: Captioner, tensor: Array) -> float:
    seen = model.encode(tensor)
    feeds = {"token": np.full(1, BOS, np.int64), "h_in": seen["h"], "c_in": seen["c"]}
    closest = float("inf")
    for _ in range(model.search.max_tokens):
        out = model.step.run({**feeds, "features": seen["features"]})
        second, first = np.sort(out["logits"][0])[-2:]
        closest = min(closest, float(first - second))
        token = out["logits"].argmax(axis=1)
        if token[0] == EOS:
            break
        feeds = {"token": token, "h_in": out["h_out"], "c_in": out["c_out"]}
    return closest


def _text_margin(model: TextGenerator, tensor: Array) -> float:
    state, closest = model.start(1), float("inf")
    for tokens in tensor.T:
        logits, state = model.step(np.ascontiguousarray(tokens), state)
    for _ in range(_FORESEEN):
        known = logits[0, len(SPECIAL) :]
        second, first = np.sort(known)[-2:]
        closest = min(closest, float(first - second))
        token = np.array([int(known.argmax()) + len(SPECIAL)])
        logits, state = model.step(token, state)
    return closest
