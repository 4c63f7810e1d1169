"""Why a stream could not be opened: FFmpeg's error, then what the network itself says."""

from __future__ import annotations

import base64
import errno
import http.client
import socket
import ssl
from typing import TYPE_CHECKING

import av.error

if TYPE_CHECKING:
    from edgedl.errors import SourceError
    from edgedl.stream.uri import SourceUri

PROBE_TIMEOUT_S = 3.0
UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)


def explain(error: Exception, uri: SourceUri, *, timed_out: bool, timeout_s: float) -> SourceError:
    """Return the error to raise: a code, the source without credentials, the next step.

    Args:
        error: What FFmpeg raised. Its text may hold the password and is not used.
        uri: The source.
        timed_out: Whether the open timeout passed; FFmpeg has no error of its own for that.
        timeout_s: The open timeout.
    """
    where = f"{uri.host}:{uri.port}"
    if isinstance(error, ConnectionRefusedError):
        return uri.error("E311", f"nothing listens on {where}; check address, port and power")
    if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
        return _refused_login(uri)
    if isinstance(error, av.error.HTTPNotFoundError):
        return uri.error("E314", f"{where} has no such stream; check the path")
    if getattr(error, "errno", None) in UNREACHABLE:
        return uri.error("E312", f"{where} cannot be reached; check network and power")
    if timed_out or isinstance(error, av.error.ExitError):
        return uri.error("E312", f"{where} did not answer within {timeout_s:g} s")
    if not _resolves(uri.host):
        return uri.error("E310", f"cannot resolve host {uri.host!r}; check its name and the DNS")
    if uri.scheme in ("http", "https"):
        return _explain_http(uri)
    reason = getattr(error, "strerror", None) or type(error).__name__
    return uri.error("E318", f"{where} answered, but not with a stream ({reason})")


def _refused_login(uri: SourceUri) -> SourceError:
    if uri.user:
        return uri.error("E313", "the camera refused this user name and password; check both")
    text = f"the camera wants a login; write {uri.scheme}://USER:PASSWORD@{uri.host}…"
    return uri.error("E313", text)


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return True


def _explain_http(uri: SourceUri) -> SourceError:
    """Ask the server itself what it sends instead of a stream."""
    try:
        status, kind = _http_answer(uri)
    except (OSError, http.client.HTTPException, ValueError):
        return uri.error("E318", f"{uri.host}:{uri.port} does not speak HTTP as expected")
    if 300 <= status < 400:
        return uri.error("E336", f"redirects ({status}) are not followed; give the final address")
    if status in (401, 403):
        return _refused_login(uri)
    if status >= 400:
        return uri.error("E318", f"the camera answered with HTTP status {status}")
    if kind.startswith("text/"):
        text = f"got a web page ({kind}), not video; is it a login page? give the stream's address"
        return uri.error("E315", text)
    return uri.error("E316", f"holds no MJPEG or MPEG-TS video; the server sends {kind!r}")


def _http_answer(uri: SourceUri) -> tuple[int, str]:
    """Return status and content type of a GET, reading nothing of the body."""
    connection: http.client.HTTPConnection
    if uri.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as FFmpeg does
        connection = http.client.HTTPSConnection(
            uri.host, uri.port, timeout=PROBE_TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(uri.host, uri.port, timeout=PROBE_TIMEOUT_S)
    headers = {"User-Agent": "edgedl"}
    if uri.user or uri.password:
        login = base64.b64encode(f"{uri.user}:{uri.password}".encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    try:
        connection.request("GET", _request_target(uri), headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type() if answer.headers else ""
    finally:
        connection.close()


def _request_target(uri: SourceUri) -> str:
    """Return path and query of the address."""
    _, _, rest = uri.text.partition("://")
    slash = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
    target = rest[slash:].partition("#")[0]
    return target if target.startswith("/") else f"/{target}"
