"""Engines that were built on this machine, and the check each passes before it is loaded.

An engine is code, so what is not proved to be ours is not loaded: its sidecar carries a keyed
digest (HMAC) of what it says, and it says the digest of the engine. The key lies beside the
engines, readable by nobody else.

An entry is two files, ``KEY-SHA.engine``, a plain engine that trtexec loads, and ``KEY-SHA.json``,
its sidecar. The sidecar is written last, each file at once, and a new entry never has the name of
one with another content: readers and concurrent writers see whole entries only.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.bundle.files import LEFTOVER_AGE_S, write_file
from edgedl.data.download import cache_folder
from edgedl.engines import driver, tensorrt_api
from edgedl.engines.key import EngineKey
from edgedl.engines.tensorrt_api import TensorRT, package_name
from edgedl.errors import BundleError, ConfigError, EdgedlError, IntegrityError, MachineError

if TYPE_CHECKING:
    from edgedl.engines.driver import Machine

MAX_SIDECAR_BYTES = 1 << 20
_SECRET = "key"
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """An engine that passed its check.

    Attributes:
        path: The ``.engine`` file.
        sidecar: What it was built from and for.
        plan: Its bytes: what was checked is what is to be loaded.
    """

    path: Path
    sidecar: Mapping[str, Any]
    plan: bytes


def engines_folder() -> Path:
    """Return where engines are kept: ``$XDG_CACHE_HOME/edgedl/engines``, or in ``~/.cache``."""
    return cache_folder() / "engines"


def prepare() -> Path:
    """Return the folder, made and with a key: what a build needs at its end, found out before.

    Raises:
        BundleError: E431 the folder cannot be made.
        MachineError: E603 its key cannot be used.
    """
    folder = engines_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as err:
        msg = f"{folder} cannot be made: {err.strerror}; set XDG_CACHE_HOME to another place"
        raise BundleError("E431", msg) from err
    _secret()
    return folder


def store(key: EngineKey, sidecar: Mapping[str, Any], plan: bytes) -> Path:
    """Put an engine into the cache and return its path.

    Raises:
        BundleError: E430, E431 the cache cannot be written.
        MachineError: E603 its key cannot be used.
    """
    folder = prepare()
    path = folder / f"{key.digest}-{sidecar['engine_sha256'][:16]}.engine"
    write_file(path, plan)
    write_file(path.with_suffix(".json"), json.dumps(sealed(sidecar), indent=1) + "\n")
    _tidy(folder, key, path)
    return path


def sealed(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sidecar with the HMAC that proves it was written on this machine.

    Raises:
        BundleError: E431 the cache cannot be written.
        MachineError: E603 its key cannot be used.
    """
    prepare()
    return {**sidecar, "hmac": _hmac(sidecar, _secret())}


def find_engine(wanted: EngineKey, bundle: str = "X.edge") -> Path:
    """Return the newest engine in the cache that is what is wanted.

    It is found by what its sidecar says; ``check_engine`` then proves it.

    Args:
        wanted: From ``key_of``.
        bundle: Named in errors.

    Raises:
        BundleError: E427 there is no engine of this graph; E426 there are only ones for another
            machine, version or shape, and the field that differs is named.
    """
    others: list[list[str]] = []
    for path, key in _entries():
        if key.graph_sha256 != wanted.graph_sha256:
            continue
        differences = wanted.differences(key)
        if not differences:
            return path
        others.append(differences)
    if not others:
        msg = f"no {wanted.precision} engine of {bundle} was built on this machine; "
        raise BundleError("E427", msg + _build(bundle))
    nearest = min(others, key=len)
    msg = f"the {wanted.precision} engine of {bundle} is another one: {'; '.join(nearest)}; "
    raise BundleError("E426", msg + _build(bundle))


def check_engine(
    path: Path,
    trusted: bool = False,
    bundle: str = "X.edge",
    trt: TensorRT | None = None,
    machine: Machine | None = None,
) -> Entry:
    """Prove that an engine is whole, ours, and for this machine, before TensorRT sees it.

    Args:
        path: The ``.engine`` file; its sidecar is the ``.json`` beside it.
        trusted: It came with a bundle whose signature was verified, or the user allowed it: the
            digest is enough, no HMAC is asked for.
        bundle: Named in errors.
        trt: The TensorRT to load it with; by default the one installed that its sidecar names.
        machine: By default this one.

    Raises:
        BundleError: E427 engine or sidecar is missing; E426 it is for another TensorRT or GPU.
        IntegrityError: E428 it was cut off or changed, or it was not built on this machine.
        MissingDependencyError: E600 its TensorRT is not installed.
        MachineError: E601 there is no driver or no GPU; E602 TensorRT does not load; E603 the key
            of the cache cannot be used.
    """
    sidecar, plan = check_file(path, trusted, bundle)
    package = sidecar.get("package")
    if package not in ("tensorrt", "tensorrt_rtx"):
        msg = f"{path} is for {package!a}, which edgedl does not know; {_build(bundle)}"
        raise BundleError("E426", msg)
    trt = trt or tensorrt_api.load(package)
    if machine is None:
        if problem := driver.gpu_problem():
            msg = f"{path.name} needs an NVIDIA GPU: {problem}; run {bundle} on the CPU instead"
            raise MachineError("E601", msg)
        machine = driver.this_machine()
    if problem := mismatch(sidecar, trt, machine):
        msg = f"{path} was built {problem}; {_build(bundle)}"
        raise BundleError("E426", msg)
    return Entry(path, sidecar, plan)


def check_file(
    path: Path, trusted: bool = False, bundle: str = "X.edge"
) -> tuple[dict[str, Any], bytes]:
    """Prove that an engine is whole and ours, whatever it is for; return sidecar and engine.

    Raises:
        BundleError: E427 engine or sidecar is missing.
        IntegrityError: E428 it was cut off or changed, or it was not built on this machine.
        MachineError: E603 the key of the cache cannot be used.
    """
    sidecar = read_sidecar(path.with_suffix(".json"), bundle)
    plan = _read(path, path, bundle)
    _check_whole(path, sidecar, plan, bundle)
    if not trusted:
        _check_ours(path, sidecar, bundle)
    return sidecar, plan


def mismatch(sidecar: Mapping[str, Any], trt: TensorRT, machine: Machine) -> str | None:
    """Return why an engine cannot run with ``trt`` on ``machine``, None if it can."""
    built = f"{package_name(sidecar['package'])} {sidecar.get('tensorrt')}"
    if built != str(trt):
        return f"with {built}, this machine has {trt}"
    listed = sidecar.get("compute_capabilities")
    if not isinstance(listed, list) or not any(_covers(one, machine) for one in listed):
        shown = ", ".join(map(str, listed)) if isinstance(listed, list) else "unknown ones"
        here = f"{machine.gpu or 'this GPU'} has {machine.compute_capability or 'an unknown one'}"
        return f"for compute capability {shown}, {here}"
    key = sidecar.get("key")
    gpu = key.get("gpu") if isinstance(key, dict) else None
    if gpu is not None and gpu != machine.gpu:
        return f"for the GPU {gpu}, this machine has {machine.gpu}"
    return None


def read_timing(trt: TensorRT, machine: Machine) -> bytes:
    """Return what earlier builds on this GPU measured; nothing if it is not there or not ours."""
    with contextlib.suppress(OSError, EdgedlError):
        raw = _timing_file(trt, machine).read_bytes()
        mac, content = raw[:32], raw[32:]
        if hmac.compare_digest(mac, hmac.digest(_secret(), content, "sha256")):
            return content
    return b""


def write_timing(trt: TensorRT, machine: Machine, content: bytes) -> None:
    """Keep what a build measured.

    Raises:
        BundleError: E430, E431 the cache cannot be written.
    """
    prepare()
    mac = hmac.digest(_secret(), content, "sha256")
    write_file(_timing_file(trt, machine), mac + content)


def read_sidecar(path: Path, bundle: str = "X.edge") -> dict[str, Any]:
    """Return what a sidecar says; nothing of it is proved yet.

    Raises:
        BundleError: E427 it is missing.
        IntegrityError: E428 it is no sidecar.
    """
    raw = _read(path, path.with_suffix(".engine"), bundle, MAX_SIDECAR_BYTES)
    try:
        table = json.loads(raw)
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict) or not isinstance(table.get("engine_sha256"), str):
        msg = f"{path} is no sidecar of an engine; {_build(bundle)}"
        raise IntegrityError("E428", msg)
    return table


def _build(bundle: str) -> str:
    return f"build it for this machine: edgedl build {bundle}"


def _read(path: Path, engine: Path, bundle: str, limit: int | None = None) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read() if limit is None else file.read(limit)
    except OSError as err:
        what = "" if path == engine else f"of the engine {engine.name} "
        msg = f"{path} {what}cannot be read: {err.strerror}; {_build(bundle)}"
        raise BundleError("E427", msg) from err


def _check_whole(path: Path, sidecar: Mapping[str, Any], plan: bytes, bundle: str) -> None:
    size = sidecar.get("engine_size_bytes")
    if size != len(plan):
        what = f"it has {len(plan)} bytes instead of {size}"
    elif hashlib.sha256(plan).hexdigest() != sidecar["engine_sha256"]:
        what = "its sha256 differs"
    else:
        return
    msg = f"{path} is not what its sidecar says: {what}; remove both and {_build(bundle)}"
    raise IntegrityError("E428", msg)


def _check_ours(path: Path, sidecar: Mapping[str, Any], bundle: str) -> None:
    """Hold the HMAC against the key of this machine, never against one beside the engine."""
    found = sidecar.get("hmac")
    if not isinstance(found, str) or not engines_folder().is_dir():
        what = "was not built on this machine, and an engine is code"
    elif not hmac.compare_digest(found.encode(), _hmac(sidecar, _secret()).encode()):
        what = "or its sidecar was changed, or made on another machine"
    else:
        return
    msg = f"{path} {what}; {_build(bundle)}"
    raise IntegrityError("E428", msg)


def _hmac(sidecar: Mapping[str, Any], secret: bytes) -> str:
    said = {name: value for name, value in sidecar.items() if name != "hmac"}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hmac.new(secret, text.encode(), "sha256").hexdigest()


def _secret() -> bytes:
    """Return the key of this machine's cache, made when it is first needed.

    Raises:
        MachineError: E603 it is not ours alone, or not a key.
    """
    path = engines_folder() / _SECRET
    if not path.exists():
        _make_secret(path)
    try:
        with path.open("rb") as file:
            info, secret = os.fstat(file.fileno()), file.read(_SECRET_BYTES + 1)
    except OSError as err:
        problem = f"cannot be read: {err.strerror}"
    else:
        if info.st_uid != os.getuid():
            problem = "belongs to somebody else"
        elif info.st_mode & 0o077:
            problem = "can be read by others"
        elif len(secret) != _SECRET_BYTES:
            problem = f"has not {_SECRET_BYTES} bytes"
        else:
            return secret
    msg = f"{path} {problem}; remove {path.parent} and build the engines again"
    raise MachineError("E603", msg)


def _make_secret(path: Path) -> None:
    """Write a key that nobody but the first writer's wins."""
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(partial, path)
    except OSError as err:
        msg = f"{path} cannot be written: {err.strerror}; set XDG_CACHE_HOME to another place"
        raise MachineError("E603", msg) from err
    finally:
        partial.unlink(missing_ok=True)


def _entries() -> Iterator[tuple[Path, EngineKey]]:
    """Yield all engines with their keys, the newest first."""
    found = []
    for path in engines_folder().glob("*-*.json"):
        with contextlib.suppress(OSError, EdgedlError, ConfigError):
            key = EngineKey.parse(read_sidecar(path).get("key"))
            found.append((path.stat().st_mtime, path.with_suffix(".engine"), key))
    for _, path, key in sorted(found, key=lambda entry: entry[0], reverse=True):
        yield path, key


def _tidy(folder: Path, key: EngineKey, newest: Path) -> None:
    """Remove replaced engines and what killed writers left, once nobody can still want them."""
    for path in [*folder.glob(f"{key.digest}-*"), *folder.glob(".*.partial-*")]:
        with contextlib.suppress(OSError):
            old = time.time() - path.stat().st_mtime > LEFTOVER_AGE_S
            if old and path.stem != newest.stem:
                path.unlink()


def _timing_file(trt: TensorRT, machine: Machine) -> Path:
    facts = (trt.package, trt.version, machine.gpu, machine.compute_capability, machine.driver)
    name = hashlib.sha256(repr(facts).encode()).hexdigest()[:24]
    return engines_folder() / f"{name}.timing"


def _covers(listed: object, machine: Machine) -> bool:
    """Return whether ``8.6`` or ``12.0+`` means the GPU of a machine."""
    here = machine.compute_capability
    if not isinstance(listed, str) or here is None:
        return False
    if not listed.endswith("+"):
        return listed == here
    try:
        least, found = ([int(n) for n in text.rstrip("+").split(".")] for text in (listed, here))
    except ValueError:
        return False
    return found >= least
