"""A TensorRT that has only the names a recorded version has: no NVIDIA package is needed."""

import json
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgedl.engines import tensorrt_api, trt_log

SURFACES = Path(__file__).parent / "surfaces"
VERSIONS = ("10.3", "10.13", "11.4", "rtx_1.7")
Classes = Mapping[str, list[str]]


def read_surface(version: str) -> tuple[str, Classes]:
    table = json.loads((SURFACES / f"{version}.json").read_text())
    return table["version"], table["classes"]


class Member(int):
    """A member of an enumeration."""

    name: str


class Recorded:
    """Base of all fake classes; an attribute the version does not have cannot even be set."""

    names: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if "names" in vars(type(self)) and name not in self.names:
            msg = f"{type(self).__name__} has no {name}"
            raise AttributeError(msg)
        object.__setattr__(self, name, value)


class FakeTensorRT:
    """Makes the module; ``answers`` replaces what a method returns."""

    def __init__(self, version: str, classes: Classes, answers: Mapping[str, Any]) -> None:
        self.answers = {"OnnxParser.parse": True, **answers}
        self.calls: list[str] = []
        self.module = types.ModuleType("tensorrt")
        self.module.__version__ = version  # type: ignore[attr-defined]
        for name, members in classes.items():
            setattr(self.module, name, self._class(name, members))

    def _class(self, name: str, members: list[str]) -> Any:
        enums = ("NetworkDefinitionCreationFlag", "MemoryPoolType", "ComputeCapability")
        if name in enums:
            values = {member: Member(index) for index, member in enumerate(members)}
            return type(name, (), {"__members__": values, **values})
        body = {member: self._method(f"{name}.{member}") for member in members}
        body["names"] = tuple(members)
        body["__init__"] = lambda _self, *_args: self.calls.append(name)
        for values in self._values(name), self.answers.get(name, {}):
            body.update({k: v for k, v in values.items() if k in members})
        return type(name, (Recorded,), body)

    def _method(self, path: str) -> Callable[..., Any]:
        def method(_self: Any, *_args: Any) -> Any:
            self.calls.append(path)
            if path in self.answers:
                answer = self.answers[path]
                return answer() if callable(answer) else answer
            made = {
                "Builder.create_network": "INetworkDefinition",
                "Builder.create_builder_config": "IBuilderConfig",
                "Builder.create_optimization_profile": "IOptimizationProfile",
                "INetworkDefinition.get_input": "ITensor",
                "INetworkDefinition.get_output": "ITensor",
                "IBuilderConfig.create_timing_cache": "ITimingCache",
                "IBuilderConfig.get_timing_cache": "ITimingCache",
            }
            if path in made:
                return getattr(self.module, made[path])()
            return {
                "Builder.build_serialized_network": b"plan",
                "IBuilderConfig.set_timing_cache": True,
                "ITimingCache.serialize": b"timing",
            }.get(path, 0)

        return method

    def _values(self, name: str) -> dict[str, Any]:
        dtype = Member(0)
        dtype.name = "FLOAT"
        return {
            "INetworkDefinition": {"num_layers": 3, "num_inputs": 1, "num_outputs": 1},
            "ITensor": {
                "name": "image",
                "shape": (-1, 3, 8, 8),
                "dtype": dtype,
                "is_shape_tensor": False,
            },
            "OnnxParser": {"num_errors": 0},
        }.get(name, {})


@pytest.fixture(autouse=True)
def cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> Path:
    """Return where engines are kept during a test; the folder is not there yet."""
    base = tmp_path_factory.mktemp("xdg")
    monkeypatch.setenv("XDG_CACHE_HOME", str(base))
    return Path(base, "edgedl", "engines")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeTensorRT]:
    """Return a function that makes a fake of a version, on a machine with a GPU."""
    monkeypatch.setattr(tensorrt_api, "gpu_problem", lambda: None)
    monkeypatch.setattr(tensorrt_api, "free_gpu_mib", lambda: None)
    monkeypatch.setattr(trt_log, "_loggers", {})

    def make(version: str, **answers: Any) -> FakeTensorRT:
        number, classes = read_surface(version)
        return FakeTensorRT(number, classes, {k.replace("__", "."): v for k, v in answers.items()})

    return make
