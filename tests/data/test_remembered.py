"""Memory of files: no second look at what stayed as it was, one at what changed."""

import os

import pytest

from edgedl.data.remembered import remembered


def make(path, raw=b"a", at_ns=1_000_000_000):
    path.write_bytes(raw)
    os.utime(path, ns=(at_ns, at_ns))
    return path


@pytest.fixture
def looks():
    """A function of files, and the list of what it was asked for."""
    asked = []

    @remembered
    def look(path):
        """Look."""
        asked.append(path)
        return path.read_bytes()

    return look, asked


def test_looks_once(tmp_path, looks):
    look, asked = looks
    one, other = make(tmp_path / "1"), make(tmp_path / "2", b"b")
    assert [look(path) for path in (one, other, one, other)] == [b"a", b"b", b"a", b"b"]
    assert asked == [one, other]
    assert look.__doc__ == "Look."


@pytest.mark.parametrize("change", [{"raw": b"longer"}, {"raw": b"b", "at_ns": 2_000_000_000}])
def test_looks_again_at_what_changed(tmp_path, looks, change):
    look, _ = looks
    path = make(tmp_path / "1")
    assert look(path) == b"a"
    make(path, **change)
    assert look(path) == change["raw"]


def test_errors_are_not_remembered(tmp_path):
    tries = []

    @remembered
    def look(path):
        tries.append(path)
        if len(tries) == 1:
            raise ValueError(path)
        return "found"

    path = make(tmp_path / "1")
    with pytest.raises(ValueError, match="1"):
        look(path)
    assert look(path) == "found"


def test_a_file_that_is_not_there(tmp_path, looks):
    with pytest.raises(FileNotFoundError):
        looks[0](tmp_path / "missing")
