"""IDX files, written here with struct, against what is read."""

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from edgedl.data import idx
from edgedl.data.idx import image_files, read_idx, read_set
from edgedl.data.problems import Problems
from edgedl.errors import DataError


def idx_bytes(array, magic=None):
    magic = 0x0800 + array.ndim if magic is None else magic
    return struct.pack(f">I{array.ndim}I", magic, *array.shape) + array.tobytes()


def pictures(n=6, size_hw=(3, 5), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *size_hw), np.uint8)


def write_pair(folder, split, images, labels, packed=True):
    for kind, array, axes in (("images", images, 3), ("labels", labels, 1)):
        path = folder / f"{split}-{kind}-idx{axes}-ubyte{'.gz' if packed else ''}"
        raw = idx_bytes(array)
        path.write_bytes(gzip.compress(raw) if packed else raw)


def labels_of(n):
    return (np.arange(n) % 3).astype(np.uint8)


@pytest.mark.parametrize("packed", [True, False])
def test_values_and_shape(tmp_path, packed):
    array = pictures()
    path = tmp_path / ("a.gz" if packed else "a.idx")
    path.write_bytes(gzip.compress(idx_bytes(array)) if packed else idx_bytes(array))
    found = read_idx(path, 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


def test_one_axis(tmp_path):
    (tmp_path / "l").write_bytes(b"\x00\x00\x08\x01" + b"\x00\x00\x00\x03" + b"\x07\x00\x09")
    assert read_idx(tmp_path / "l", 1).tolist() == [7, 0, 9]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "0 bytes are too few for IDX"),
        (idx_bytes(pictures())[:15], "15 bytes are too few for IDX"),
        (
            idx_bytes(pictures(), magic=0x0D03),
            "wrong IDX magic: 0x00000803 expected, got 0x00000d03",
        ),
        (
            idx_bytes(pictures())[:-1],
            "wrong IDX length: 6 × 3 × 5 = 90 bytes expected, got 89",
        ),
        (idx_bytes(pictures()) + b"x", "wrong IDX length: 6 × 3 × 5 = 90 bytes expected, got 91"),
        (idx_bytes(pictures(0)), "wrong IDX length: 0 × 3 × 5 = 0 bytes expected, got 0"),
        (
            struct.pack(">4I", 0x0803, 2**32 - 1, 2**32 - 1, 2**32 - 1),
            "wrong IDX length: 4294967295 × 4294967295 × 4294967295 = ",
        ),
    ],
)
def test_what_is_no_idx(tmp_path, raw, text):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(raw)
    with pytest.raises(DataError) as err:
        read_idx(path, 3)
    assert err.value.code == "E355"
    assert str(err.value).startswith(f"{path}: {text}")


@pytest.mark.parametrize("damage", ["cut", "flipped", "no gzip", "missing"])
def test_damaged_gz(tmp_path, damage):
    path = tmp_path / "x.gz"
    raw = bytearray(gzip.compress(idx_bytes(pictures(50))))
    if damage == "cut":
        raw = raw[: len(raw) // 2]
    elif damage == "flipped":
        raw[len(raw) // 2] ^= 0xFF
    elif damage == "no gzip":
        raw = idx_bytes(pictures())
    if damage != "missing":
        path.write_bytes(bytes(raw))
    with pytest.raises(DataError, match=r"damaged or unreadable: .") as err:
        read_idx(path, 3)
    assert err.value.code == "E355"
    assert str(path) in str(err.value)


@pytest.mark.parametrize("packed", [True, False])
def test_a_set_is_read_by_its_names(tmp_path, packed):
    wanted = {"train": pictures(6), "test": pictures(3, seed=1)}
    write_pair(tmp_path, "train", wanted["train"], labels_of(6), packed)
    write_pair(tmp_path, "t10k", wanted["test"], labels_of(3), packed)
    (tmp_path / "readme.txt").write_text("about images")
    problems = Problems()
    names, splits = read_set(tmp_path, problems)
    assert problems.found == []
    assert names == ("0", "1", "2")
    assert set(splits) == {"train", "test"}
    for split, array in wanted.items():
        np.testing.assert_array_equal(splits[split].pictures, array)
        np.testing.assert_array_equal(splits[split].labels, labels_of(len(array)))
        assert splits[split].labels.dtype == np.int64
    ending = ".gz" if packed else ""
    assert splits["test"].names[2] == f"t10k-images-idx3-ubyte{ending}[2]"
    assert [file.name for file in image_files(tmp_path)] == [
        f"t10k-images-idx3-ubyte{ending}",
        f"train-images-idx3-ubyte{ending}",
    ]


def test_a_file_may_lie_beside_its_packed_twin(tmp_path):
    for packed in (True, False):
        write_pair(tmp_path, "train", pictures(), labels_of(6), packed)
    _, splits = read_set(tmp_path, Problems())
    np.testing.assert_array_equal(splits["train"].pictures, pictures())


def test_two_sets_in_one_folder_are_not_mixed(tmp_path):
    for split in ("digits-train", "letters-train"):
        write_pair(tmp_path, split, pictures(), labels_of(6))
    with pytest.raises(DataError, match=r"digits-train-.* and letters-train-.*; give each") as err:
        read_set(tmp_path, Problems())
    assert err.value.code == "E356"


def test_pictures_may_be_packed_and_labels_not(tmp_path):
    write_pair(tmp_path, "train", pictures(), labels_of(6))
    packed = tmp_path / "train-labels-idx1-ubyte.gz"
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    _, splits = read_set(tmp_path, Problems())
    np.testing.assert_array_equal(splits["train"].labels, labels_of(6))


def test_pictures_without_labels(tmp_path):
    write_pair(tmp_path, "train", pictures(), labels_of(6))
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    assert only_problem(tmp_path) == (
        str(tmp_path / "train-images-idx3-ubyte.gz"),
        "there is no file of labels beside it",
    )


def test_not_as_many_labels_as_pictures(tmp_path):
    write_pair(tmp_path, "train", pictures(), labels_of(5))
    assert only_problem(tmp_path) == (
        str(tmp_path / "train-labels-idx1-ubyte.gz"),
        "5 labels for 6 pictures of train-images-idx3-ubyte.gz",
    )


def test_a_damaged_file_is_one_of_the_problems(tmp_path):
    write_pair(tmp_path, "train", pictures(), labels_of(6), packed=False)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-2])
    assert only_problem(tmp_path) == (
        str(path),
        "wrong IDX length: 6 × 3 × 5 = 90 bytes expected, got 88",
    )


def only_problem(folder):
    problems = Problems()
    _, splits = read_set(folder, problems)
    assert splits == {}
    (problem,) = problems.found
    return problem.where, problem.why


def test_fashion_mnist_is_known_by_its_labels(tmp_path, monkeypatch):
    write_pair(tmp_path, "train", pictures(), labels_of(6))
    raw = (tmp_path / "train-labels-idx1-ubyte.gz").read_bytes()
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    assert read_set(tmp_path, Problems())[0] == ("0", "1", "2")
    monkeypatch.setattr(idx, "_FASHION_LABELS", (digest,))
    names, _ = read_set(tmp_path, Problems())
    assert names[:2] == ("T-shirt/top", "Trouser")
    assert names[9] == "Ankle boot"
    assert len(names) == 10


def test_mnist_is_what_its_authors_say():
    root = os.environ.get("EDGEDL_DATA")
    if not root or not (Path(root) / "mnist").is_dir():
        pytest.skip("EDGEDL_DATA is not set, or holds no mnist")
    path = Path(root) / "mnist" / "t10k-labels-idx1-ubyte.gz"
    labels = read_idx(path, 1)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert read_idx(path.with_name("t10k-images-idx3-ubyte.gz"), 3).shape == (10000, 28, 28)
