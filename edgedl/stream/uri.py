"""Checks a source's name before any library sees it, and hides what is secret in it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgedl.errors import SourceError
from edgedl.options import suggest

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
SCHEMES = (*PORTS, "test")
HARMLESS_KEYS = {"channel", "subtype", "stream", "profile", "fps", "size", "width", "height"}
HARMLESS_KEYS |= {"resolution", "camera", "quality"}
SECRET_IN_PATH = re.compile(r"(?i)(user|login|pass|pwd|passw|auth|token|key|secret)[a-z]*=.*", re.S)


@dataclass(frozen=True, slots=True)
class SourceUri:
    """A checked source.

    Attributes:
        text: What to open. Holds credentials: never print, log or raise it.
        shown: The same for people, without user name, password and secret-looking values. The
            only form that goes into errors, logs and status.
        scheme: ``rtsp``, ``rtsps``, ``http``, ``https``, ``test``, or empty for a path.
        host: Host name or address of a stream.
        port: Port of a stream.
        user: User name of a stream, decoded.
        password: Password of a stream, decoded.
    """

    text: str = field(repr=False)
    shown: str
    scheme: str = ""
    host: str = ""
    port: int = 0
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def path(self) -> Path:
        """The file or folder, when ``scheme`` is empty."""
        return Path(self.text)

    def error(self, code: str, text: str) -> SourceError:
        """Make the error that names this source without its secrets."""
        return SourceError(code, f"{self.shown}: {text}")


def parse_uri(text: str) -> SourceUri:
    """Check a source and split it.

    Raises:
        SourceError: E300 empty, E301 no host, E302 bad port, E303 unknown scheme, E304 characters
            that must be percent-encoded. None of them repeats a password.
    """
    if not text.strip():
        msg = (
            "source is empty; give a file, a folder of images, rtsp://…, http://… or test://scenes"
        )
        raise SourceError("E300", msg)
    scheme, colon, _ = text.partition(":")
    if colon and scheme.lower() in SCHEMES and text[len(scheme) :].startswith("://"):
        if scheme.lower() == "test":
            return SourceUri(text, text, "test")
        return _stream_uri(text)
    if text.startswith("-") or _looks_like_scheme(text):
        shown = text[:1] if text.startswith("-") else f"{scheme}:"
        hint = suggest(scheme.lower(), SCHEMES)
        allowed = ", ".join(f"{name}://" for name in SCHEMES)
        msg = f"source scheme {shown!r} is not allowed{hint}; allowed: {allowed} or a path"
        raise SourceError("E303", msg)
    return SourceUri(text, text)


def _looks_like_scheme(text: str) -> bool:
    """Say whether FFmpeg or a shell would read ``text`` as more than a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.,_-]*:", text) is not None and not Path(text).exists()


def _stream_uri(text: str) -> SourceUri:
    """Check and split the URI of a network stream."""
    scheme = text.partition(":")[0].lower()
    match = re.match(r"[^/?#]*", text[len(scheme) + 3 :])
    authority = match.group() if match else ""
    rest = text[len(scheme) + 3 + len(authority) :]
    _check_encoding(scheme, authority, rest)
    userinfo, _, place = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    host, port = _host_and_port(scheme, place)
    shown = f"{scheme}://{'***@' if userinfo else ''}{place}{_hide_rest(rest)}"
    return SourceUri(
        f"{scheme}://{authority}{rest}", shown, scheme, host, port, unquote(user), unquote(password)
    )


def _check_encoding(scheme: str, authority: str, rest: str) -> None:
    """Raise E304 where a password holds characters that end it early."""
    userinfo = authority.rpartition("@")[0]
    wrong = (
        "@" in rest
        or "@" in userinfo
        or userinfo.count(":") > 1
        or re.search(r"%(?![0-9A-Fa-f]{2})", userinfo + rest) is not None
        or re.search(r"[\x00-\x20\x7f]", authority + rest) is not None
    )
    if wrong:
        msg = (
            f"a {scheme}:// source holds characters that must be percent-encoded: in a user name "
            "or password write @ as %40, : as %3A, / as %2F, # as %23, ? as %3F, % as %25; "
            "elsewhere write @ as %40 and a space as %20"
        )
        raise SourceError("E304", msg)


def _host_and_port(scheme: str, place: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[ipv6]:port``."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::(.*))?", place)
    if match is None:
        msg = f"{scheme}:// is not followed by host and port; an IPv6 address is written [::1]:554"
        raise SourceError("E301", msg)
    host, port_text = match.group(1), match.group(2)
    if host.startswith("["):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            msg = f"{scheme}://[…]: what stands in the brackets is not an IPv6 address"
            raise SourceError("E301", msg) from None
    if not host:
        msg = f"{scheme}:// has no host; write {scheme}://camera.local/stream"
        raise SourceError("E301", msg)
    if port_text in (None, ""):
        return host, PORTS[scheme]
    if not (port_text.isascii() and port_text.isdigit() and 1 <= int(port_text[:9]) <= 65535):
        msg = f"{scheme}://{host}: the port after ':' must be a number in 1..65535"
        raise SourceError("E302", msg)
    return host, int(port_text)


def _hide_rest(rest: str) -> str:
    """Hide values in a path and query that may be secret; cameras put passwords there, too."""
    parts = urlsplit(f"//x{rest}")
    path = SECRET_IN_PATH.sub(r"\1=***", parts.path)
    pairs = []
    for pair in parts.query.split("&") if parts.query else []:
        key, _, value = pair.partition("=")
        if key.lower() in HARMLESS_KEYS:
            pairs.append(pair)
        else:
            is_a_key = value != "" and re.fullmatch(r"[A-Za-z_]{1,16}", key) is not None
            pairs.append(f"{key}=***" if is_a_key else "***")
    query = f"?{'&'.join(pairs)}" if pairs else ""
    return f"{path}{query}{'#***' if parts.fragment else ''}"
