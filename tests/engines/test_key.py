"""Which engines are interchangeable."""

import dataclasses
import json
import types
from typing import Any

import pytest

from edgedl.engines.driver import Machine
from edgedl.engines.key import EngineKey, key_of, plain
from edgedl.engines.tensorrt_api import NetworkOptions, TensorRT
from edgedl.errors import ConfigError

ORIN = Machine(gpu="Orin", compute_capability="8.7", cuda="12.6", driver="540.3.0", l4t="36.4.3")
TRT = TensorRT(types.SimpleNamespace(), "tensorrt", "10.3.0")
RTX = TensorRT(types.SimpleNamespace(), "tensorrt_rtx", "1.7.1.116")
OPTIONS = NetworkOptions(profiles=({"x": ((1, 2), (1, 2), (3, 2))},))
KEY = key_of(TRT, "ab" * 32, "fp16", ORIN, OPTIONS)
CHANGES: dict[str, Any] = {
    "graph_sha256": "cd" * 32,
    "precision": "fp32",
    "package": "tensorrt_rtx",
    "tensorrt": "10.4.0",
    "gpu": "Thor",
    "compute_capability": "11.0",
    "l4t": "36.5.0",
    "cuda": "12.8",
    "driver": "560.1",
    "options": plain(NetworkOptions()),
    "builder": 2,
}


def test_every_field_changes_the_digest() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(EngineKey)}
    others = {dataclasses.replace(KEY, **{name: value}).digest for name, value in CHANGES.items()}
    assert len(others - {KEY.digest}) == len(CHANGES)


def test_every_field_but_the_graph_is_named_when_it_differs() -> None:
    for name, value in CHANGES.items():
        found = dataclasses.replace(KEY, **{name: value})
        assert len(KEY.differences(found)) == (name != "graph_sha256"), name
    assert KEY.differences(KEY) == []


def test_both_values_are_said() -> None:
    found = dataclasses.replace(KEY, tensorrt="10.4.0", l4t=None)
    assert KEY.differences(found) == [
        "version 10.4.0, wanted 10.3.0",
        "L4T unknown, wanted 36.4.3",
    ]
    other = dataclasses.replace(KEY, package="tensorrt_rtx")
    assert KEY.differences(other) == ["TensorRT-RTX, wanted TensorRT"]


def test_any_options_will_do_where_none_are_asked_for() -> None:
    assert key_of(TRT, "ab" * 32, "fp16", ORIN).differences(KEY) == []


def test_rtx_engines_are_bound_to_no_machine() -> None:
    one, other = (key_of(RTX, "ab" * 32, "fp16", m, OPTIONS) for m in (ORIN, Machine()))
    assert one == other
    assert (one.gpu, one.driver) == (None, None)


def test_a_key_survives_json() -> None:
    table = json.loads(json.dumps(dataclasses.asdict(KEY)))
    assert EngineKey.parse(table) == KEY
    assert EngineKey.parse(table).digest == KEY.digest


@pytest.mark.parametrize("table", [None, [], {}, {"graph_sha256": 1}, {"nothing": "known"}])
def test_what_is_no_key(table: object) -> None:
    with pytest.raises(ConfigError, match="key of an engine"):
        EngineKey.parse(table)
