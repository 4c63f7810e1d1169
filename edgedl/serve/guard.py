"""What every request must pass and every answer carries."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach a server that listens on ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_own_host(header: str) -> bool:
    """Say whether a Host header names this machine and not a rebound domain.

    A page on ``evil.example`` whose name is made to point here sends ``Host: evil.example``. Plain
    addresses cannot be rebound.
    """
    host = _without_port(header).rstrip(".").lower()
    own = socket.gethostname().lower()
    if host in ("localhost", own, f"{own}.local"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] if header.count(":") == 1 else header


def problem(status: int, title: str, code: str = "") -> web.Response:
    """Return an error as ``application/problem+json``."""
    body = {"status": status, "title": title} | ({"code": code} if code else {})
    return web.Response(
        status=status, text=json.dumps(body), content_type="application/problem+json"
    )


@web.middleware
async def check_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse foreign names and pages; errors are JSON."""
    if not is_own_host(request.headers.get("Host", "")):
        return problem(421, "this server is addressed by its IP address or as localhost", "E214")
    followed_link = request.headers.get("Sec-Fetch-Mode", "") == "navigate"
    if request.headers.get("Sec-Fetch-Site", "") == "cross-site" and not followed_link:
        return problem(403, "requests from other sites are refused", "E214")
    try:
        return await handler(request)
    except web.HTTPException as err:
        if err.status < 400:
            raise
        answer = problem(err.status, err.reason)
        if "Allow" in err.headers:
            answer.headers["Allow"] = err.headers["Allow"]
        return answer


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the safety headers to every answer, before it is sent."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "edgedl"
