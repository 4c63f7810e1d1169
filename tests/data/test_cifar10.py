"""CIFAR-10's batches: read without running a pickle, and like pickle itself reads them."""

import io
import os
import pickle
import random
import tarfile

import numpy as np
import pytest

from edgedl.data import cifar10
from edgedl.data.cifar10 import LABELS, is_here, read_pickle, read_set
from edgedl.data.problems import Problems
from edgedl.errors import DataError


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3072), np.uint8), rng.integers(0, 10, n).tolist()


def expected(data):
    """Red, green and blue planes as bgr8 pictures, pixel by pixel."""
    pictures = np.empty((len(data), 32, 32, 3), np.uint8)
    for y in range(32):
        for x in range(32):
            for channel in range(3):
                pictures[:, y, x, 2 - channel] = data[:, channel * 1024 + y * 32 + x]
    return pictures


def batch(n=4, seed=0, protocol=2, **others):
    """A batch as the authors made it: byte strings as keys, an array, a list of numbers."""
    data, labels = rows(n, seed)
    table = {
        b"batch_label": b"training batch 1 of 5",
        b"labels": labels,
        b"data": data,
        b"filenames": [b"a_%d.png" % i for i in range(n)],
        **others,
    }
    return pickle.dumps(table, protocol=protocol)


def binary(data, labels):
    return b"".join(bytes([k]) + row.tobytes() for row, k in zip(data, labels, strict=True))


def python_two(data, labels):
    """The instructions that Python 2 wrote: byte strings as texts, numpy.core, raw bytes."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def long_text(value):
        return b"T" + len(value).to_bytes(4, "little") + value

    def number(value):
        return b"K" + bytes([value]) if value < 256 else b"M" + value.to_bytes(2, "little")

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        + b"(K\x01" + number(len(data)) + number(3072) + b"\x86"
        + b"cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05(K\x03U\x01|NNN"
        + 2 * b"J\xff\xff\xff\xff" + b"K\x00tb\x89" + long_text(data.tobytes()) + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}q\x00(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def write(folder, names, make):
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        (folder / name).write_bytes(make(place))
    return folder


BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


def test_a_folder_of_pickled_batches(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    write(folder, [*BATCHES, "test_batch"], lambda place: batch(seed=place))
    (folder / "batches.meta").write_bytes(b"never read")
    for path in (tmp_path, folder):
        assert is_here(path)
        problems = Problems()
        names, splits = read_set(path, problems)
        assert problems.found == []
        assert names == LABELS
        parts = [rows(4, seed) for seed in range(6)]
        data = np.concatenate([data for data, _ in parts[:5]])
        np.testing.assert_array_equal(splits["train"].pictures, expected(data))
        assert splits["train"].labels.tolist() == [k for _, some in parts[:5] for k in some]
        np.testing.assert_array_equal(splits["test"].pictures, expected(parts[5][0]))
        assert splits["test"].labels.tolist() == parts[5][1]
        assert splits["train"].names[4] == "data_batch_2[0]"


def test_binary_batches_are_the_same(tmp_path):
    names = [f"{name}.bin" for name in (*BATCHES, "test_batch")]
    write(tmp_path / "b" / "cifar-10-batches-bin", names, lambda place: binary(*rows(4, place)))
    write(tmp_path / "p", [*BATCHES, "test_batch"], lambda place: batch(seed=place))
    assert is_here(tmp_path / "b")
    _, one = read_set(tmp_path / "b", Problems())
    _, other = read_set(tmp_path / "p", Problems())
    for split in ("train", "test"):
        np.testing.assert_array_equal(one[split].pictures, other[split].pictures)
        np.testing.assert_array_equal(one[split].labels, other[split].labels)


def archive(path, members):
    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        for name, raw in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            file.addfile(member, io.BytesIO(raw))
    return path


@pytest.mark.parametrize("whole", [True, False])
def test_the_archive_is_read_where_it_lies(tmp_path, whole):
    members = {
        "cifar-10-batches-py/readme.html": b"<html>",
        "cifar-10-batches-py/test_batch": batch(seed=1),
        "cifar-10-batches-py/data_batch_1": batch(seed=0),
    }
    path = archive(tmp_path / "cifar-10-python.tar.gz", members)
    place = path if whole else tmp_path
    assert is_here(place)
    problems = Problems()
    _, splits = read_set(place, problems)
    assert problems.found == []
    np.testing.assert_array_equal(splits["train"].pictures, expected(rows(4, 0)[0]))
    np.testing.assert_array_equal(splits["test"].pictures, expected(rows(4, 1)[0]))
    assert [p.name for p in tmp_path.iterdir()] == ["cifar-10-python.tar.gz"]


def test_what_is_no_cifar10(tmp_path):
    (tmp_path / "photos.tar.gz").write_bytes(b"")
    assert not is_here(tmp_path)
    assert not is_here(tmp_path / "photos.tar.gz")


@pytest.mark.parametrize("damage", ["cut", "no archive"])
def test_a_damaged_archive(tmp_path, damage):
    path = archive(tmp_path / "cifar-10-python.tar.gz", {"x/data_batch_1": batch()})
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2] if damage == "cut" else b"<html>not found</html>")
    with pytest.raises(DataError, match=r"(?s)cannot be read: .*load it again") as err:
        read_set(path, Problems())
    assert err.value.code == "E356"
    assert str(path) in str(err.value)


def test_flipped_bits_in_the_archive_are_noticed(tmp_path):
    members = {f"x/{name}": batch(seed=i) for i, name in enumerate(BATCHES[:3])}
    path = archive(tmp_path / "cifar-10-python.tar.gz", members)
    raw, rng = path.read_bytes(), random.Random(0)
    for _ in range(40):
        damaged = bytearray(raw)
        damaged[rng.randrange(100, len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(damaged))
        with pytest.raises(DataError, match=r"cannot be read: ") as err:
            read_set(path, Problems())
        assert err.value.code == "E356"


def test_a_batch_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = archive(tmp_path / "cifar-10-python.tar.gz", {"x/data_batch_1": batch()})
    monkeypatch.setattr(cifar10, "MAX_BATCH_BYTES", 100)
    assert read_set(path, Problems())[1] == {}


@pytest.mark.parametrize("protocol", [0, 1, 2, 3])
def test_reads_what_pickle_reads(protocol):
    raw = batch(5, protocol=protocol)
    if protocol == 0:
        with pytest.raises(DataError, match="not a pickle that is safe to read"):
            read_pickle(raw, "x")
        return
    wanted, found = pickle.loads(raw), read_pickle(raw, "x")
    assert set(found) == {key.decode() for key in wanted}
    assert found["labels"] == wanted[b"labels"]
    assert found["data"].shape == (5, 3072)
    assert found["data"].raw == wanted[b"data"].tobytes()


def test_reads_what_python_two_wrote(tmp_path):
    data, labels = rows(300)
    raw = python_two(data, labels)
    wanted = pickle.loads(raw, encoding="latin1")
    np.testing.assert_array_equal(wanted["data"], data)
    write(tmp_path, ["data_batch_1"], lambda _: raw)
    _, splits = read_set(tmp_path, Problems())
    np.testing.assert_array_equal(splits["train"].pictures, expected(data))
    assert splits["train"].labels.tolist() == wanted["labels"] == labels


class Hostile:
    """A pickle of this calls ``os.mkdir`` when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_hostile_pickle_never_runs(tmp_path, protocol):
    trap = tmp_path / "sprung"
    raw = pickle.dumps({b"data": Hostile(trap), b"labels": [0]}, protocol=protocol)
    write(tmp_path / "data", ["data_batch_1"], lambda _: raw)
    problems = Problems()
    _, splits = read_set(tmp_path / "data", problems)
    assert not trap.exists()
    assert splits == {}
    (problem,) = problems.found
    assert problem.where == str(tmp_path / "data" / "data_batch_1")
    assert problem.why.startswith("not a pickle that is safe to read: it ")
    if protocol in (2, 3):  # earlier the first thing to stumble over is another one
        assert problem.why.endswith(f"it calls '{os.mkdir.__module__} mkdir'")
    pickle.loads(raw)
    assert trap.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no pickle",
        batch()[:-1],
        batch()[: len(batch()) // 2],
        pickle.dumps([1, 2], 2),
        pickle.dumps({b"x": 1.5}, 2),
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"cnumpy\ndtype\nU\x02f4\x85R.",
        b"}b.",
        b"R.",
        b"\x80\x02}(U\x01ae.",
        b"h\x05.",
    ],
)
def test_anything_else_is_one_clear_error(raw):
    with pytest.raises(DataError, match=r"^x/data_batch_1: not a pickle that is safe") as err:
        read_pickle(raw, "x/data_batch_1")
    assert err.value.code == "E355"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({b"labels": [0, 1, 2]}, "no batch of CIFAR-10: data (n, 3072) and n labels are expected"),
        ({b"labels": ["cat"] * 4}, "no batch of CIFAR-10"),
        ({b"data": b"bytes"}, "no batch of CIFAR-10"),
        ({b"data": np.zeros((4, 3071), np.uint8)}, "no batch of CIFAR-10"),
        ({b"data": np.zeros((4, 3072), np.float32)}, "not a pickle that is safe to read"),
        (
            {b"data": np.asfortranarray(np.zeros((4, 3072), np.uint8))},
            "not a pickle that is safe to read: an array is not of bytes in C order",
        ),
        ({b"labels": [0, 1, 10, 12]}, "wrong label: 0..9 expected, got 10 (2 of 4)"),
        ({b"labels": [0, 1, -1, 2]}, "wrong label: 0..9 expected, got -1 (1 of 4)"),
    ],
)
def test_batches_that_are_none(tmp_path, changes, text):
    raw = batch(**{key.decode(): value for key, value in changes.items()})
    table = pickle.loads(raw)
    table.update({key: table.pop(key.decode()) for key in changes})
    write(tmp_path, ["data_batch_1"], lambda _: pickle.dumps(table, 2))
    problems = Problems()
    _, splits = read_set(tmp_path, problems)
    assert splits == {}
    (problem,) = problems.found
    assert problem.where == str(tmp_path / "data_batch_1")
    assert problem.why.startswith(text)


def test_a_batch_without_labels(tmp_path):
    raw = pickle.dumps({b"data": rows(4)[0], b"fine_labels": [1, 2, 3, 4]}, 2)
    write(tmp_path, ["test_batch"], lambda _: raw)
    problems = Problems()
    read_set(tmp_path, problems)
    assert problems.found[0].why.startswith("no batch of CIFAR-10")


@pytest.mark.parametrize("extra", [b"x", b"\0" * 3072])
def test_a_binary_batch_of_the_wrong_length(tmp_path, extra):
    write(tmp_path, ["data_batch_1.bin"], lambda _: binary(*rows(2)) + extra)
    problems = Problems()
    read_set(tmp_path, problems)
    assert problems.found[0].why == (
        f"wrong length: a multiple of 3073 bytes expected, got {2 * 3073 + len(extra)}"
    )


def test_an_empty_binary_batch(tmp_path):
    write(tmp_path, ["data_batch_1.bin"], lambda _: b"")
    problems = Problems()
    read_set(tmp_path, problems)
    assert problems.found[0].why.endswith("expected, got 0")


def test_good_batches_are_read_beside_a_bad_one(tmp_path):
    write(tmp_path, BATCHES[:3], lambda place: b"no" if place == 1 else batch(seed=place))
    problems = Problems()
    _, splits = read_set(tmp_path, problems)
    assert [problem.where for problem in problems.found] == [str(tmp_path / "data_batch_2")]
    assert len(splits["train"]) == 8
