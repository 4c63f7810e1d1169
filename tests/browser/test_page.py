"""The page in a real browser, against the real command."""

import asyncio
from pathlib import Path

import pytest
from browser.devtools import Tab, find_chromium, open_tab
from servers.command import Daemon, edgedl_serve
from servers.processes import http_camera

pytestmark = pytest.mark.browser
PIXELS = """(() => {
  const c = document.getElementById('picture');
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let sum = 0;
  for (let i = 0; i < d.length; i++) sum = (sum * 31 + d[i]) % 1000000007;
  return c.width + 'x' + c.height + ':' + sum;
})()"""
LIVE = "document.getElementById('badge-word').textContent === 'live'"
TEXT = "document.getElementById('caption').textContent"


@pytest.fixture(autouse=True)
def _chromium() -> None:
    if find_chromium() is None:
        pytest.skip("chromium is not installed")


def watch(daemon: Daemon, profile: Path, script) -> None:
    async def run() -> None:
        async with open_tab(daemon.url, profile) as tab:
            await script(tab)

    asyncio.run(run())


def test_picture_moves_and_caption_changes(tiny_bundle: Path, tmp_path: Path) -> None:
    async def script(tab: Tab) -> None:
        await tab.wait_for(LIVE)
        first = await tab.value(PIXELS)
        assert first.startswith("128x96:")
        await tab.wait_for(f"{PIXELS} !== {first!r}")
        await tab.wait_for("document.querySelectorAll('#history li').length >= 2")
        caption = await tab.value(TEXT)
        await tab.wait_for(f"{TEXT} !== {caption!r}")
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
        await tab.wait_for("document.getElementById('badge-word').textContent === 'STALE'")
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
