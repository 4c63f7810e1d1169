import random
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest

from edgedl.errors import SourceError
from edgedl.stream.uri import parse_uri

ASCII = [chr(c) for c in range(33, 127)]


def passwords(count: int) -> list[str]:
    rng = random.Random(7)
    made = ["p@ss:w/rd#?%2F", "::::", "a@b@c", "%", "x y", "päss", "' or 1=1", "//", "\\"]
    while len(made) < count:
        made.append("Zq" + "".join(rng.choices(ASCII, k=rng.randint(4, 20))))
    return made


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "E300"),
        ("  ", "E300"),
        ("rtsp://", "E301"),
        ("rtsp:///stream", "E301"),
        ("rtsp://user:pw@/stream", "E301"),
        ("http://[::1/x", "E301"),
        ("http://[zz]/x", "E301"),
        ("http://a:b:c/x", "E302"),
        ("rtsp://host:99999/x", "E302"),
        ("rtsp://host:0/x", "E302"),
        ("rtsp://host:abc/x", "E302"),
        ("gopher://host/x", "E303"),
        ("concat:a|b", "E303"),
        ("subfile,,start,0,end,0,,:/etc/passwd", "E303"),
        ("data:video/mp4;base64,AAAA", "E303"),
        ("pipe:0", "E303"),
        ("file:/etc/passwd", "E303"),
        ("lavfi:testsrc", "E303"),
        ("rtsp:/host/x", "E303"),
        ("-i", "E303"),
        ("rtsp://user:p@ss@host/x", "E304"),
        ("rtsp://user:p/ss@host/x", "E304"),
        ("rtsp://user:p:ss@host/x", "E304"),
        ("rtsp://user:p#ss@host/x", "E304"),
        ("rtsp://user:p?ss@host/x", "E304"),
        ("rtsp://user:100%@host/x", "E304"),
        ("rtsp://host/a b", "E304"),
        ("http://host/a\r\nX-Evil: 1", "E304"),
    ],
)
def test_wrong_sources_have_their_own_codes(text: str, code: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_uri(text)
    assert caught.value.code == code
    assert caught.value.exit_code == 3


def test_unknown_scheme_suggests_the_near_one() -> None:
    with pytest.raises(SourceError, match="did you mean 'rtsp'"):
        parse_uri("rstp://host/x")


def test_parts_are_decoded() -> None:
    uri = parse_uri("RTSP://admin:p%40ss@Camera.local:8554/a?channel=1")
    assert (uri.scheme, uri.host, uri.port) == ("rtsp", "Camera.local", 8554)
    assert (uri.user, uri.password) == ("admin", "p@ss")
    assert uri.shown == "rtsp://***@Camera.local:8554/a?channel=1"
    assert parse_uri("https://[::1]/x").host == "::1"
    assert parse_uri("rtsp://h/x").port == 554


def test_a_path_is_a_path(tmp_path: Path) -> None:
    odd = tmp_path / "clip:1.mp4"
    odd.touch()
    assert parse_uri(str(odd)).scheme == ""
    assert parse_uri(str(odd)).path == odd


@pytest.mark.parametrize("password", passwords(200))
def test_no_password_is_ever_shown(password: str) -> None:
    for written in (quote(password, safe=""), password):
        for text in (
            f"rtsp://admin:{written}@127.0.0.1:1/x",
            f"rtsp://127.0.0.1/user=admin&password={written}&channel=1",
            f"http://127.0.0.1/x?pwd={written}",
            f"http://127.0.0.1/x?{written}",
        ):
            try:
                uri = parse_uri(text)
                said = f"{uri.shown} {uri!r} {uri.error('E311', 'is away')}"
            except SourceError as err:
                said = "".join(traceback.format_exception(err))
                said = said.partition("SourceError")[2]
            for form in (written, password):
                if len(form) > 3:
                    assert form not in said, text
