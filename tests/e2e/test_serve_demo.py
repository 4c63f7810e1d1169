"""The demo's bundle on live cameras, watched in a real browser."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import cv2
import pytest
from browser.devtools import Tab, find_chromium
from browser.page import CAPTION, LIVE, PIXELS, STALE, watch
from servers.command import edgedl_serve
from servers.processes import has_rtsp_server, rtsp_camera

from edgedl.data.scenes import MovingScene, captions, render

DEMO = Path(__file__).parents[2] / "demo"
BUNDLE = DEMO / "scenes.edge"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DEMO / "report.html").exists(), reason="no demo/ here: run make demo first"
    ),
    pytest.mark.skipif(find_chromium() is None, reason="chromium is not installed"),
]


async def see_captions(tab: Tab, truth: set[str]) -> None:
    """Wait for three different right captions, the picture moving meanwhile."""
    await tab.wait_for(LIVE)
    seen: set[str] = set()
    picture = await tab.value(PIXELS)
    for _ in range(200):
        seen.add(await tab.value(CAPTION))
        if len(seen & truth) >= 3:
            break
        await asyncio.sleep(0.2)
    assert len(seen & truth) >= 3, f"right: {seen & truth}, others: {seen - truth}"
    assert await tab.value(PIXELS) != picture


def test_the_rendered_camera(tmp_path: Path) -> None:
    scene = MovingScene(seed=3)
    truth = {text for episode in range(40) for text in captions(scene.at(4.0 * episode + 1))}

    async def script(tab: Tab) -> None:
        await see_captions(tab, truth)

    with edgedl_serve(BUNDLE, "test://scenes?fps=15&seed=3") as daemon:
        watch(daemon, tmp_path / "profile", script)
        code, seconds = daemon.end()
    assert code == 0
    assert seconds <= 3


@pytest.mark.rtsp
def test_a_real_rtsp_camera_that_dies_and_comes_back(tmp_path: Path) -> None:
    if not has_rtsp_server():
        pytest.skip("the GStreamer RTSP server is not installed, see CONTRIBUTING.md")
    scene, truth = MovingScene(seed=5), set[str]()
    for index in range(240):
        now = scene.at(index / 15)
        truth |= set(captions(now))
        picture = render(now, (256, 256), random.Random(index))
        cv2.imwrite(str(tmp_path / f"{index:03d}.jpg"), picture)
    camera = rtsp_camera(pictures=str(tmp_path / "%03d.jpg"))

    async def script(tab: Tab) -> None:
        await see_captions(tab, truth)
        camera.kill()
        await tab.wait_for(STALE)
        camera.start()
        await see_captions(tab, truth)

    try:
        uri = f"rtsp://127.0.0.1:{camera.port}/pictures"
        with edgedl_serve(BUNDLE, uri) as daemon:
            watch(daemon, tmp_path / "profile", script)
            assert daemon.camera["reconnects"] >= 1
            code, seconds = daemon.end()
    finally:
        camera.kill()
    assert code == 0
    assert seconds <= 3
