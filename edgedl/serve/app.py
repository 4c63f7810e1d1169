"""The routes: the page, captions, the live picture, health."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from edgedl.serve.guard import add_headers, check_request, problem

if TYPE_CHECKING:
    from edgedl.serve.camera import Camera, Picture
    from edgedl.serve.captioner import Captioner
    from edgedl.serve.clients import Clients
    from edgedl.serve.events import EventRing

PAGE = Path(__file__).parent / "page"
FILES = {"/": "index.html", "/app.js": "app.js", "/style.css": "style.css"}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
STATUS_EVERY_S = 1.0
STREAM_FPS = 20.0
LONG_POLL_S = 5.0


class Routes:
    """Answers requests from what the camera and the captioner have ready.

    Args:
        camera: The live picture and its state.
        captioner: What runs and how fast.
        events: The captions.
        clients: Those who stay connected.
    """

    def __init__(
        self, camera: Camera, captioner: Captioner, events: EventRing, clients: Clients
    ) -> None:
        self.camera = camera
        self.captioner = captioner
        self.events = events
        self.clients = clients

    def facts(self) -> dict[str, Any]:
        """Return everything the page shows beside picture and captions."""
        return {
            "camera": self.camera.facts(),
            "model": self.captioner.facts(),
        }

    async def healthz(self, _request: web.Request) -> web.Response:
        """Say that the process is alive."""
        return web.json_response({"alive": True})

    async def readyz(self, _request: web.Request) -> web.Response:
        """Say whether the model can answer; a dead camera does not matter."""
        if self.captioner.is_ready:
            return web.json_response({"ready": True})
        return problem(503, "the model is warming up")

    async def status(self, _request: web.Request) -> web.Response:
        """Return state and counters."""
        return web.json_response(self.facts())

    async def captions(self, request: web.Request) -> web.Response:
        """Return the captions after ``since``, oldest first."""
        since = _number(request.query.get("since", "0"))
        found = [event.to_json() for event in self.events.since(since)]
        return web.json_response({"last_id": self.events.last_id, "captions": found})

    async def event_stream(self, request: web.Request) -> web.StreamResponse:
        """Send captions as they come, and the status each second, which is the heartbeat, too."""
        last = _number(request.headers.get("Last-Event-ID", request.query.get("since", "-1")))
        last_id = max(0, self.events.last_id - 1) if last < 0 else last
        async with self.clients.join(request) as client:
            await client.start({"Content-Type": "text/event-stream"})
            clock = asyncio.get_running_loop().time
            status_at = clock()
            while not self.clients.closing:
                lines = []
                if clock() >= status_at:
                    lines.append(_event("status", self.facts()))
                    status_at = clock() + STATUS_EVERY_S
                for event in self.events.since(last_id):
                    lines.append(_event("caption", event.to_json(), event.id))
                    last_id = event.id
                if lines:
                    await client.send("".join(lines).encode())
                await self.clients.wait(max(0.05, status_at - clock()))
        return client.response

    async def snapshot(self, request: web.Request) -> web.StreamResponse:
        """Return the newest picture; with ``after=N`` wait up to 5 s for another one than N."""
        after = request.query.get("after")
        if after is not None:
            async with self.clients.join(request):
                await self._wait_for_other(_number(after))
            if self.camera.newest_frame in (None, _number(after)):
                return web.Response(status=204)
        picture = await self._picture()
        if picture is None:
            return problem(503, "no picture yet")
        headers = {"X-Frame": str(picture.frame), "X-Age-Ms": f"{1000 * picture.age_s:.0f}"}
        return web.Response(body=picture.jpeg, content_type="image/jpeg", headers=headers)

    async def mjpeg(self, request: web.Request) -> web.StreamResponse:
        """Send pictures for ever; a slow client gets fewer, one that stops reading is dropped."""
        async with self.clients.join(request) as client:
            await client.start({"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
            sent: int | None = None
            while not (self.clients.closing or client.has_left):
                if self.camera.newest_frame == sent:
                    await self.clients.wait(0.5)
                    continue
                picture = await self._picture()
                if picture is not None:
                    sent = picture.frame
                    await client.send(_part(picture))
                await asyncio.sleep(1 / STREAM_FPS)
        return client.response

    async def _picture(self) -> Picture | None:
        return await asyncio.to_thread(self.camera.picture)

    async def _wait_for_other(self, frame: int) -> None:
        """Wait until the newest frame is not ``frame``."""
        clock = asyncio.get_running_loop().time
        end = clock() + LONG_POLL_S
        while self.camera.newest_frame in (None, frame) and not self.clients.closing:
            if clock() >= end:
                return
            await self.clients.wait(end - clock())


def make_app(routes: Routes) -> web.Application:
    """Return the application with every route."""
    app = web.Application(middlewares=[check_request], client_max_size=64 << 10)
    app.on_response_prepare.append(add_headers)
    for path, name in FILES.items():
        app.router.add_get(path, _file(PAGE / name))
    app.router.add_get("/healthz", routes.healthz)
    app.router.add_get("/readyz", routes.readyz)
    app.router.add_get("/api/v1/status", routes.status)
    app.router.add_get("/api/v1/captions", routes.captions)
    app.router.add_get("/api/v1/events", routes.event_stream, allow_head=False)
    app.router.add_get("/api/v1/snapshot.jpg", routes.snapshot, allow_head=False)
    app.router.add_get("/api/v1/stream.mjpg", routes.mjpeg, allow_head=False)
    return app


def _file(path: Path) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a handler that sends one file of the page, read once."""
    body = path.read_bytes()

    async def send(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=TYPES[path.suffix], charset="utf-8")

    return send


def _number(text: str) -> int:
    """Read a number from a request; a wrong one is the client's error."""
    try:
        return int(text[:18])
    except ValueError:
        raise web.HTTPBadRequest(reason="a whole number is expected") from None


def _event(name: str, values: dict[str, Any], event_id: int | None = None) -> str:
    """Write one server-sent event; JSON has no line breaks that could end it early."""
    head = "" if event_id is None else f"id: {event_id}\n"
    return f"{head}event: {name}\ndata: {json.dumps(values)}\n\n"


def _part(picture: Picture) -> bytes:
    """Write one part of the MJPEG stream."""
    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n\r\n"
    return head.encode() + picture.jpeg + b"\r\n"
