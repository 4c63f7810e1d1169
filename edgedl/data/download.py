"""Finds data sets by name: in ``$EDGEDL_DATA``, in the cache, or on the internet."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedl.errors import BundleError, DataError
from edgedl.options import suggest

log = logging.getLogger(__name__)

TIMEOUT_S = 30.0
CHUNK = 1 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Remote:
    """One file of a data set.

    Attributes:
        name: What it is called on disk.
        urls: Where it is, in the order to try.
        digest: ``sha256:…`` or ``md5:…`` as its publisher says.
        size_bytes: Its exact size; 0 where only the digest is known.
    """

    name: str
    urls: tuple[str, ...]
    digest: str
    size_bytes: int = 0


def known_sets() -> Mapping[str, tuple[Remote, ...]]:
    """Return the data sets that can be downloaded, by name."""
    mnist = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    fashion = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
    cifar = ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",)
    shakespeare = (
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    )
    return {
        "mnist": _idx(mnist, _MNIST),
        "fashion-mnist": _idx(fashion, _FASHION),
        "cifar10": (
            Remote(
                "cifar-10-python.tar.gz", cifar, "md5:c58f30108f718f92721af3b95e74349a", 170498071
            ),
        ),
        "tinyshakespeare": (Remote("input.txt", shakespeare, _SHAKESPEARE, 1115394),),
    }


_IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_MNIST = (
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)
_FASHION = (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)
_SHAKESPEARE = "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def _idx(bases: Sequence[str], digests: Sequence[str]) -> tuple[Remote, ...]:
    return tuple(
        Remote(name, tuple(base + name for base in bases), f"md5:{digest}")
        for name, digest in zip(_IDX_FILES, digests, strict=True)
    )


def find(name: str, progress: Progress | None = None) -> Path:
    """Return where data lies.

    Args:
        name: A path; or a name, looked for in ``$EDGEDL_DATA`` and in the cache; a known set that
            is in neither is downloaded to the cache.
        progress: Told bytes done and all bytes.

    Returns:
        A file or folder that is there.

    Raises:
        DataError: E356 it is nowhere, or cannot be downloaded.
    """
    here = Path(name).expanduser()
    if here.exists():
        return here
    own = os.environ.get("EDGEDL_DATA")
    places = [Path(own).expanduser() / name] if own else []
    for place in places:
        if place.exists():
            return place
    sets = known_sets()
    if name in sets:
        return fetch(name, cache_folder() / name, sets[name], progress)
    looked = ", ".join(dict.fromkeys(str(place.absolute()) for place in (here, *places)))
    hint = suggest(name, sets) or f"; sets that can be downloaded: {', '.join(sets)}"
    msg = f"no data at {looked}: give its place with --data{hint}"
    raise DataError("E356", msg)


def cache_folder() -> Path:
    """Return where downloads lie: ``$XDG_CACHE_HOME/edgedl``, most often ``~/.cache/edgedl``.

    Raises:
        BundleError: E431 there is no such place: the user has no home, as in some containers.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "edgedl"
    try:
        return Path.home() / ".cache" / "edgedl"
    except RuntimeError as err:
        msg = f"there is no place for a cache: user {os.getuid()} has no home; set XDG_CACHE_HOME"
        raise BundleError("E431", msg) from err


def fetch(
    name: str, folder: Path, files: Sequence[Remote], progress: Progress | None = None
) -> Path:
    """Download what is missing of a set; what is there is not loaded again.

    Args:
        name: Of the set, for messages.
        folder: Where to put the files; made if need be.
        files: What belongs to the set.
        progress: Told bytes done and all bytes of each file.

    Returns:
        ``folder``.

    Raises:
        DataError: E356 a file cannot be loaded, or is not what its publisher says.
    """
    for remote in files:
        target = folder / remote.name
        if target.is_file():
            continue
        log.warning("downloading %s of %s from %s", remote.name, name, remote.urls[0])
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            msg = f"{folder} cannot be made: {err.strerror}; set XDG_CACHE_HOME to another place"
            raise DataError("E356", msg) from err
        reasons = [_load(url, target, remote, progress) for url in _until_there(remote, target)]
        if not target.is_file():
            msg = (
                f"{remote.name} of {name} cannot be downloaded ({'; '.join(reasons)}); put the "
                f"files into {folder} by hand, or give their place with --data or EDGEDL_DATA"
            )
            raise DataError("E356", msg)
    return folder


def _until_there(remote: Remote, target: Path) -> Iterator[str]:
    for url in remote.urls:
        if target.is_file():
            return
        yield url


def _load(url: str, target: Path, remote: Remote, progress: Progress | None) -> str:
    """Load one file, going on where an earlier attempt ended; return what went wrong, or nothing.

    The file has its name only after its digest was checked.
    """
    part = target.with_name(target.name + ".part")
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "edgedl"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            came, total = _receive(answer, part, done if answer.status == 206 else 0, progress)
            if came < total:  # the part is kept, to go on from there
                return f"{url}: the connection ended after {came} of {total} bytes"
    except urllib.error.HTTPError as err:
        if err.code != 416 or not done:  # else the part is already whole
            return f"{url}: HTTP {err.code} {err.reason}"
    except (OSError, http.client.HTTPException) as err:
        return f"{url}: {getattr(err, 'reason', None) or err}"
    if total_is_wrong := _wrong(part, remote):
        part.unlink()
        return f"{url}: {total_is_wrong}"
    part.replace(target)
    return ""


def _receive(
    answer: http.client.HTTPResponse, part: Path, done: int, progress: Progress | None
) -> tuple[int, int]:
    """Write what comes behind the first ``done`` bytes; return how many are there, and of how many.

    The second number is 0 where the server does not say.
    """
    length = int(answer.headers.get("Content-Length") or 0)
    total = length + done if length else 0
    with part.open("ab" if done else "wb") as file:
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            if progress:
                progress(file.tell(), total)
        return file.tell(), total


def _wrong(part: Path, remote: Remote) -> str:
    """Return how a file differs from what its publisher says, or nothing."""
    size = part.stat().st_size
    if remote.size_bytes and size != remote.size_bytes:
        return f"{size} bytes came, {remote.size_bytes} were expected"
    kind, wanted = remote.digest.split(":")
    with part.open("rb") as file:
        found = hashlib.file_digest(file, kind) if hasattr(hashlib, "file_digest") else None
        if found is None:
            found = hashlib.new(kind)
            while chunk := file.read(CHUNK):
                found.update(chunk)
    if found.hexdigest() != wanted:
        return f"{kind} {found.hexdigest()} came, {wanted} was expected"
    return ""
