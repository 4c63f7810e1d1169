"""What the tests read on the daemon's page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from browser.devtools import Tab, open_tab

if TYPE_CHECKING:
    from servers.command import Daemon

PIXELS = """(() => {
  const c = document.getElementById('picture');
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let sum = 0;
  for (let i = 0; i < d.length; i++) sum = (sum * 31 + d[i]) % 1000000007;
  return c.width + 'x' + c.height + ':' + sum;
})()"""
BADGE = "document.getElementById('badge-word').textContent"
LIVE = f"{BADGE} === 'live'"
STALE = f"{BADGE} === 'STALE'"
CAPTION = "document.getElementById('caption').textContent"


def watch(daemon: Daemon, profile: Path, script: Callable[[Tab], Awaitable[None]]) -> None:
    """Run ``script`` on the page in a browser with an empty profile."""

    async def run() -> None:
        async with open_tab(daemon.url, profile) as tab:
            await script(tab)

    asyncio.run(run())
