"""The page in a real browser, against the real command."""

import asyncio
from pathlib import Path

import pytest
from browser.devtools import Tab, find_chromium
from browser.page import CAPTION, LIVE, PIXELS, STALE, watch
from servers.command import edgedl_serve
from servers.processes import http_camera

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _chromium() -> None:
    if find_chromium() is None:
        pytest.skip("chromium is not installed")


def test_picture_moves_and_caption_changes(tiny_bundle: Path, tmp_path: Path) -> None:
    async def script(tab: Tab) -> None:
        await tab.wait_for(LIVE)
        await tab.wait_for(f"{PIXELS}.startsWith('128x96:')")
        first = await tab.value(PIXELS)
        await tab.wait_for(f"{PIXELS} !== {first!r}")
        await tab.wait_for("document.querySelectorAll('#history li').length >= 2")
        caption = await tab.value(CAPTION)
        await tab.wait_for(f"{CAPTION} !== {caption!r}")
        shown = await tab.value("document.body.innerText")
        for fact in ("onnxruntime", "int8-cpu", "test://scenes", "seen"):
            assert fact in shown
        assert await tab.value("document.getElementById('banner').hidden")
        assert tab.problems == []
        assert all(url.startswith(daemon.url) for url in tab.requests if url.startswith("http"))

    with edgedl_serve(tiny_bundle, "test://scenes?fps=10&size=128x96&seed=3") as daemon:
        watch(daemon, tmp_path / "profile", script)


def test_an_old_picture_is_never_shown_as_live(tiny_bundle: Path, tmp_path: Path) -> None:
    """The camera goes and comes; then the daemon itself goes."""
    camera = http_camera()

    async def script(tab: Tab) -> None:
        await tab.wait_for(LIVE)
        camera.kill()
        await tab.wait_for(STALE)
        await tab.wait_for("document.getElementById('figure').classList.contains('stale')")
        await tab.wait_for("/E311/.test(document.getElementById('reason').textContent)")
        assert "s3cret" not in await tab.value("document.documentElement.outerHTML")
        camera.start()
        await tab.wait_for(LIVE, timeout_s=60)
        await tab.wait_for("document.getElementById('reason').hidden")
        await asyncio.to_thread(daemon.end)
        await tab.wait_for("!document.getElementById('banner').hidden")

    source = f"http://admin:s3cret@127.0.0.1:{camera.port}/ok"
    with edgedl_serve(tiny_bundle, source) as daemon:
        watch(daemon, tmp_path / "profile", script)
    camera.kill()


def test_a_caption_of_a_scene_without_motion_is_not_stale(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    age = "document.getElementById('caption-age').textContent"

    async def script(tab: Tab) -> None:
        await tab.wait_for(f"/^seen .* ago, no motion since$/.test({age})")
        assert not await tab.value("document.getElementById('now').classList.contains('stale')")
        camera.kill()
        await tab.wait_for(f"/^STALE, seen .* ago$/.test({age})")

    camera = http_camera()
    source = f"http://127.0.0.1:{camera.port}/ok"
    with edgedl_serve(tiny_bundle, source, "--motion", "0.9") as daemon:
        watch(daemon, tmp_path / "profile", script)
