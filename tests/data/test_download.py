"""The downloader against a real server on this machine."""

import hashlib
import http.server
import threading

import pytest

from edgedl.data import download
from edgedl.data.download import Remote, cache_folder, fetch, find, known_sets
from edgedl.errors import DataError

BODY = bytes(range(256)) * 500
SHA256 = "sha256:" + hashlib.sha256(BODY).hexdigest()
MD5 = "md5:" + hashlib.md5(BODY, usedforsecurity=False).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``BODY`` under any name; the path says how.

    ``/whole/…`` ignores Range, ``/ranges/…`` honours it, ``/wrong/…`` sends other bytes of the same
    length, ``/cut/…`` hangs up half way, ``/refused/…`` says 416 to all, all else is 404.
    """

    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Range"]))
        how = self.path.split("/")[1]
        start = 0
        if how == "ranges" and self.headers["Range"]:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if how not in ("whole", "ranges", "wrong", "cut", "refused"):
            self.send_error(404)
        elif start >= len(BODY) or how == "refused":
            self.send_error(416)
        else:
            body = BODY[::-1] if how == "wrong" else BODY[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if how == "cut" else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def dead_url():
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_port
    return f"http://127.0.0.1:{port}/x"


def remote(server, *ways, digest=SHA256, size_bytes=0):
    return Remote("x.bin", tuple(f"{server.url}/{way}/x.bin" for way in ways), digest, size_bytes)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("digest", [SHA256, MD5])
def test_loads_a_whole_file(server, tmp_path, digest):
    told = []
    files = [remote(server, "whole", digest=digest, size_bytes=len(BODY))]
    folder = fetch("x", tmp_path / "a" / "b", files, lambda *numbers: told.append(numbers))
    assert folder == tmp_path / "a" / "b"
    assert (folder / "x.bin").read_bytes() == BODY
    assert names(folder) == ["x.bin"]
    assert told[-1] == (len(BODY), len(BODY))
    assert told == sorted(told)


def test_what_is_there_is_not_loaded_again(server, tmp_path):
    (tmp_path / "x.bin").write_bytes(b"mine")
    fetch("x", tmp_path, [remote(server, "whole")])
    assert server.asked == []
    assert (tmp_path / "x.bin").read_bytes() == b"mine"


def test_wrong_bytes_never_get_the_name(server, tmp_path):
    with pytest.raises(DataError, match=r"sha256 .* came, .* was expected") as err:
        fetch("x", tmp_path, [remote(server, "wrong")])
    assert err.value.code == "E356"
    assert SHA256.removeprefix("sha256:") in str(err.value)
    assert hashlib.sha256(BODY[::-1]).hexdigest() in str(err.value)
    assert names(tmp_path) == []


def test_wrong_size_is_told_as_such(server, tmp_path):
    with pytest.raises(DataError, match=f"{len(BODY)} bytes came, 5 were expected"):
        fetch("x", tmp_path, [remote(server, "whole", size_bytes=5)])
    assert names(tmp_path) == []


def test_wrong_bytes_are_replaced_by_the_next_place(server, tmp_path):
    fetch("x", tmp_path, [remote(server, "wrong", "whole")])
    assert (tmp_path / "x.bin").read_bytes() == BODY


def test_goes_on_where_it_ended(server, tmp_path):
    told = []
    (tmp_path / "x.bin.part").write_bytes(BODY[:1000])
    fetch("x", tmp_path, [remote(server, "ranges")], lambda *numbers: told.append(numbers))
    assert server.asked == [("/ranges/x.bin", "bytes=1000-")]
    assert (tmp_path / "x.bin").read_bytes() == BODY
    assert names(tmp_path) == ["x.bin"]
    assert told[-1] == (len(BODY), len(BODY))


def test_starts_again_where_the_server_knows_no_ranges(server, tmp_path):
    (tmp_path / "x.bin.part").write_bytes(b"old" * 1000)
    fetch("x", tmp_path, [remote(server, "whole")])
    assert server.asked == [("/whole/x.bin", "bytes=3000-")]
    assert (tmp_path / "x.bin").read_bytes() == BODY


def test_a_whole_part_is_kept(server, tmp_path):
    (tmp_path / "x.bin.part").write_bytes(BODY)
    fetch("x", tmp_path, [remote(server, "ranges")])
    assert server.asked == [("/ranges/x.bin", f"bytes={len(BODY)}-")]
    assert (tmp_path / "x.bin").read_bytes() == BODY


def test_a_range_refused_that_was_not_asked_for(server, tmp_path):
    fetch("x", tmp_path, [remote(server, "refused", "whole")])
    assert (tmp_path / "x.bin").read_bytes() == BODY


def test_a_part_of_something_else_is_thrown_away(server, tmp_path):
    (tmp_path / "x.bin.part").write_bytes(b"?" * 1000)
    fetch("x", tmp_path, [remote(server, "ranges", "ranges")])
    assert [asked for _, asked in server.asked] == ["bytes=1000-", None]
    assert (tmp_path / "x.bin").read_bytes() == BODY


def test_what_came_before_the_line_broke_is_kept(server, tmp_path):
    half = len(BODY) // 2
    with pytest.raises(DataError, match=f"ended after {half} of {len(BODY)} bytes") as err:
        fetch("x", tmp_path, [remote(server, "cut")])
    assert err.value.code == "E356"
    assert names(tmp_path) == ["x.bin.part"]
    fetch("x", tmp_path, [remote(server, "ranges")])
    assert server.asked[-1] == ("/ranges/x.bin", f"bytes={half}-")
    assert (tmp_path / "x.bin").read_bytes() == BODY


def test_the_second_place_is_tried(server, tmp_path):
    fetch("x", tmp_path, [remote(server, "nowhere", "whole", "ranges")])
    assert [path for path, _ in server.asked] == ["/nowhere/x.bin", "/whole/x.bin"]
    assert (tmp_path / "x.bin").read_bytes() == BODY


def test_nothing_reachable_says_where_files_go_by_hand(server, dead_url, tmp_path):
    lost = Remote("x.bin", (f"{server.url}/nowhere/x.bin", dead_url), SHA256)
    with pytest.raises(DataError) as err:
        fetch("toys", tmp_path / "toys", [lost])
    assert err.value.code == "E356"
    text = str(err.value)
    assert text.startswith("x.bin of toys cannot be downloaded (")
    assert f"{server.url}/nowhere/x.bin: HTTP 404 Not Found" in text
    assert f"{dead_url}: [Errno 111] Connection refused" in text
    assert f"put the files into {tmp_path / 'toys'} by hand" in text
    assert "or give their place with --data or EDGEDL_DATA" in text


def test_the_first_failing_file_stops(server, tmp_path):
    files = [remote(server, "whole"), Remote("y.bin", (f"{server.url}/no/y.bin",), SHA256)]
    with pytest.raises(DataError, match=r"^y\.bin of toys"):
        fetch("toys", tmp_path, files)
    assert names(tmp_path) == ["x.bin"]


def test_a_cache_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be made: .*; set XDG_CACHE_HOME") as err:
        fetch("x", tmp_path / "file" / "x", [remote(server, "whole")])
    assert err.value.code == "E356"


@pytest.fixture
def places(server, tmp_path, monkeypatch):
    """A folder to stand in, ``EDGEDL_DATA`` and a cache; one known set ``toys``."""
    for name in ("here", "own", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("EDGEDL_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "known_sets", lambda: {"toys": (remote(server, "whole"),)})
    return tmp_path


def test_own_data_is_found_before_anything_is_loaded(places, server):
    (places / "own" / "toys").mkdir()
    assert find("toys") == places / "own" / "toys"
    assert server.asked == []


def test_a_path_is_found_first(places):
    for folder in ("here", "own"):
        (places / folder / "toys").mkdir()
    assert find("toys").resolve() == places / "here" / "toys"
    assert find(str(places / "own")) == places / "own"


def test_a_known_set_is_loaded_once_to_the_cache(places, server):
    for _ in range(2):
        assert find("toys") == places / "cache" / "edgedl" / "toys"
    assert len(server.asked) == 1
    assert (places / "cache" / "edgedl" / "toys" / "x.bin").read_bytes() == BODY


def test_an_unknown_name_suggests_the_near_one(places):
    with pytest.raises(DataError, match="did you mean 'toys'") as err:
        find("toyz")
    assert err.value.code == "E356"
    assert f"no data at {places / 'here' / 'toyz'}, {places / 'own' / 'toyz'}" in str(err.value)
    assert "--data" in str(err.value)


@pytest.mark.usefixtures("places")
def test_a_name_near_to_nothing_lists_the_known():
    with pytest.raises(DataError, match="sets that can be downloaded: toys"):
        find("/photos/of/mine")


def test_the_cache_without_xdg_lies_at_home(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "edgedl"


def test_known_sets_are_whole():
    """Every file has a digest of the right length and at least one address that ends in its name.

    The digests are those of torchvision's ``mnist.py`` and ``cifar.py``.
    """
    sets = known_sets()
    assert {name: len(files) for name, files in sets.items()} == {
        "mnist": 4, "fashion-mnist": 4, "cifar10": 1, "tinyshakespeare": 1,
    }  # fmt: skip
    for file in (file for files in sets.values() for file in files):
        kind, digest = file.digest.split(":")
        assert len(digest) == 2 * hashlib.new(kind, usedforsecurity=False).digest_size
        assert file.urls
        assert all(url.endswith("/" + file.name) for url in file.urls)
        assert all(url.startswith(("http://", "https://")) for url in file.urls)
    digests = [file.digest for file in sets["mnist"]]
    assert digests[0] == "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"
    assert sets["fashion-mnist"][3].digest == "md5:bb300cfdad3c16e7a12a480ee83cd310"
    assert sets["cifar10"][0].digest == "md5:c58f30108f718f92721af3b95e74349a"
