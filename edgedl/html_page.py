"""One self-contained HTML page: what the reports of training and export have in common."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2

from edgedl.shrink import shrunk

if TYPE_CHECKING:
    from edgedl.frame import U8Image

_LONGEST_PX = 640  # side of a picture: a page of 24 photos of 12 megapixels would have 50 MB

_STYLE = """
:root { --ink: #0f172a; --soft: #64748b; --line: #e2e8f0; --paper: #ffffff; --page: #f1f5f9; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 28px; margin: 0; letter-spacing: -0.02em; }
h2 { font-size: 17px; margin: 0 0 4px; }
p { margin: 4px 0 0; }
.lead, .note { color: var(--soft); }
.note { font-size: 13px; margin: 0 0 14px; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 12px;
  padding: 20px 22px; margin-top: 18px; overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px;
  margin-top: 20px; }
.tile { background: var(--paper); border: 1px solid var(--line); border-radius: 12px;
  padding: 14px 18px; }
.tile b { display: block; font-size: 26px; letter-spacing: -0.02em; line-height: 1.25; }
.tile span { color: var(--soft); font-size: 13px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 10px; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: 12.5px; }
th:first-child, td:first-child, .text, .quality :is(th, td):nth-child(2) { text-align: left; }
tr:last-child td { border-bottom: 0; }
tr.refused td { color: #94a3b8; }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 8px; }
.tag { background: #fee2e2; color: #b91c1c; border-radius: 6px; padding: 1px 7px; font-size: 12px;
  margin-left: 8px; }
.confusion { width: auto; }
.confusion td { min-width: 42px; text-align: center; border: 1px solid var(--line);
  background: rgb(29 78 216 / var(--part)); }
.confusion .dark { color: var(--paper); }
.confusion thead th { vertical-align: bottom; text-align: center; }
.confusion thead span { writing-mode: vertical-rl; text-orientation: sideways;
  transform: rotate(180deg); }
.confusion tbody th { text-align: right; border-bottom: 0; }
.warn { background: #fef9c3; border-color: #fde047; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(214px, 1fr)); gap: 16px; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
figure img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; }
figcaption { padding: 8px 12px 10px; font-size: 13.5px; line-height: 1.4; }
figcaption div { margin-top: 4px; }
figcaption small { color: var(--soft); display: block; }
.wrong { color: #b91c1c; }
img.wide { max-width: 100%; }
svg text { font: 12.5px system-ui, sans-serif; fill: var(--ink); }
svg .soft { fill: var(--soft); }
code { font-size: 12.5px; overflow-wrap: anywhere; }
"""


def page(title: str, body: str) -> str:
    """Return a whole document; it needs nothing but itself."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, note: str, content: str, kind: str = "") -> str:
    """Return a framed part; ``note`` and ``content`` are HTML, ``kind`` is a CSS class."""
    note = f'<p class="note">{note}</p>' if note else ""
    return f'<section class="{kind}"><h2>{escape(title)}</h2>{note}{content}</section>'


def tile_row(tiles: Sequence[tuple[str, str]]) -> str:
    """Return large numbers, each with what it means."""
    cells = (
        f'<div class="tile"><b>{escape(b)}</b><span>{escape(s)}</span></div>' for b, s in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def table(head: Sequence[str], rows: Sequence[tuple[Sequence[str], str]]) -> str:
    """Return a table; each row is its cells as HTML and a CSS class."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f'<tr class="{kind}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for cells, kind in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def jpeg_uri(picture: U8Image) -> str:
    """Return a bgr8 picture (H, W, 3) as the address of an ``img``, a large one made smaller."""
    small = shrunk(picture, _LONGEST_PX)
    done, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert done
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"


def png_uri(png: bytes) -> str:
    """Return the bytes of a PNG as the address of an ``img``."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def escape(text: object) -> str:
    """Return text that cannot be taken for markup."""
    return html.escape(str(text))
