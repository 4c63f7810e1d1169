"""Pictures in any format: found out, split, described; what is wrong is told at once."""

import hashlib
import logging

import cv2
import numpy as np
import pytest
from idx_files import quarters, write_idx, write_quarters

from edgedl.data.pictures import PicturesOptions, open_pictures
from edgedl.errors import ConfigError, DataError


def write_picture(path, seed=0, size_hw=(4, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), np.uint8)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return picture


def write_classes(folder, counts, seed=0, size_hw=(4, 6)):
    """Write ``counts[label]`` pictures of each class, all unlike; return them by class."""
    made = {}
    for label, count in counts.items():
        made[label] = []
        for i in range(count):
            seed += 1
            made[label].append(write_picture(folder / label / f"{i:03}.png", seed, size_hw))
    return made


def keys(part):
    return [np.asarray(picture).tobytes() for picture in part.pictures]


def opened(path, **options):
    return open_pictures(PicturesOptions(path=str(path), **options))


# splits


def test_what_the_data_splits_stays_as_it_is(tmp_path):
    write_classes(tmp_path / "train", {"cat": 5, "dog": 7})
    write_classes(tmp_path / "val", {"cat": 2, "dog": 1}, seed=100)
    write_classes(tmp_path / "test", {"cat": 3, "dog": 3}, seed=200)
    data = opened(tmp_path, val=4, test_part=0.5)
    assert data.labels == ("cat", "dog")
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 12, "val": 3, "test": 6,
    }  # fmt: skip
    assert data.facts["classes"]["train"] == {"cat": 5, "dog": 7}
    assert data.facts["classes"]["test"] == {"cat": 3, "dog": 3}
    assert data.facts["warnings"] == []


def test_the_rest_is_split_by_chance_the_same_part_of_each_class(tmp_path):
    counts = {"ant": 20, "bee": 40, "cat": 80}
    made = write_classes(tmp_path, counts)
    data = opened(tmp_path, test_part=0.25, val=21)
    assert list(data.splits) == ["train", "val", "test"]
    sizes = {"train": 84, "val": 21, "test": 35}
    for name, size in sizes.items():
        part = data.splits[name]
        assert len(part) == size
        for number, label in enumerate(data.labels):
            wanted = size * counts[label] / 140
            assert abs(np.count_nonzero(part.labels == number) - wanted) <= 1
    held = [set(keys(part)) for part in data.splits.values()]
    assert sum(map(len, held)) == len(set.union(*held)) == 140
    for part in data.splits.values():  # each kept its label and its name
        for key, number, name in zip(keys(part), part.labels, part.names, strict=True):
            label = data.labels[number]
            place = [picture.tobytes() for picture in made[label]].index(key)
            assert name == str(tmp_path / label / f"{place:03}.png")


def test_the_seed_decides(tmp_path):
    write_quarters(tmp_path, train=80, test=8)
    one, same, other = (opened(tmp_path, val=20, seed=seed) for seed in (3, 3, 4))
    for name in ("train", "val", "test"):
        assert keys(one.splits[name]) == keys(same.splits[name])
    assert set(keys(one.splits["val"])) != set(keys(other.splits["val"]))
    assert keys(one.splits["test"]) == keys(other.splits["test"])
    assert one.facts == same.facts
    digests = [data.facts["splits"]["val"]["sha256"] for data in (one, other)]
    assert digests[0] != digests[1]


def test_a_class_far_larger_than_the_others_is_split_alike(tmp_path):
    labels = np.repeat(np.arange(5, dtype=np.uint8), [400, 10, 20, 30, 40])
    noise = np.random.default_rng(0).integers(0, 256, (500, 2, 2), np.uint8)
    write_idx(tmp_path, "train-images-idx3-ubyte.gz", noise)
    write_idx(tmp_path, "train-labels-idx1-ubyte.gz", labels)
    for seed in range(5):
        test = opened(tmp_path, test_part=0.2, seed=seed).splits["test"]
        assert len(test) == 100
        np.testing.assert_allclose(np.bincount(test.labels), [80, 2, 4, 6, 8], atol=3)


def test_the_only_picture_of_a_class_is_learnt_from(tmp_path):
    write_classes(tmp_path, {"ant": 1, "bee": 1, "cat": 20, "dog": 1})
    for seed in range(10):
        data = opened(tmp_path, test_part=0.2, val=5, train_limit=8, seed=seed)
        counts = {name: np.bincount(part.labels).tolist() for name, part in data.splits.items()}
        assert counts["train"] == [1, 1, 5, 1]
        assert counts["test"] == [0, 0, 5]
        assert counts["val"] == [0, 0, 5]


def test_no_test_part(tmp_path):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    assert list(opened(tmp_path, test_part=0).splits) == ["train"]


def test_train_limit_keeps_the_same_part_of_each_class(tmp_path):
    write_quarters(tmp_path, train=200, test=8)
    data = opened(tmp_path, train_limit=40)
    assert np.bincount(data.splits["train"].labels).tolist() == [10, 10, 10, 10]
    assert len(opened(tmp_path, train_limit=1000).splits["train"]) == 200


def test_as_many_held_back_as_there_are(tmp_path):
    write_quarters(tmp_path, train=40, test=8)
    with pytest.raises(ConfigError, match=r"data\.val is 40, but there are 40 pictures") as err:
        opened(tmp_path, val=40)
    assert err.value.code == "E205"


# facts


def test_statistics_are_those_of_all_pixels(tmp_path):
    made = write_classes(tmp_path, {"cat": 9, "dog": 6})
    statistics = opened(tmp_path, test_part=0).facts["statistics"]
    pixels = np.stack([picture for some in made.values() for picture in some]) / 255
    np.testing.assert_allclose(statistics["mean"], pixels.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(statistics["std"], pixels.std((0, 1, 2)), atol=1e-5)
    assert statistics["channel_order"] == "blue green red"
    assert statistics["smallest_hw"] == statistics["largest_hw"] == [4, 6]


def test_statistics_are_those_of_what_is_learnt_from(tmp_path):
    write_quarters(tmp_path, train=60, test=20)
    data = opened(tmp_path, val=20)
    pixels = data.splits["train"].pictures / 255
    statistics = data.facts["statistics"]
    assert statistics["mean"] == pytest.approx([pixels.mean()], abs=1e-5)
    assert statistics["std"] == pytest.approx([pixels.std()], abs=1e-5)
    assert statistics["channel_order"] == "gray"


def test_sizes_that_differ(tmp_path):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    write_picture(tmp_path / "cat" / "wide.png", 50, (3, 9))
    write_picture(tmp_path / "cat" / "tall.png", 51, (8, 2))
    statistics = opened(tmp_path, test_part=0).facts["statistics"]
    assert statistics["smallest_hw"] == [3, 9]
    assert statistics["largest_hw"] == [8, 2]


def test_digests_tell_pictures_labels_and_order(tmp_path):
    pictures, labels = quarters(8)

    def digest(name, pictures, labels):
        (tmp_path / name).mkdir()
        write_idx(tmp_path / name, "train-images-idx3-ubyte.gz", pictures)
        write_idx(tmp_path / name, "train-labels-idx1-ubyte.gz", labels)
        return opened(tmp_path / name, test_part=0).facts["splits"]["train"]["sha256"]

    first = digest("a", pictures, labels)
    assert digest("same", pictures, labels) == first
    assert digest("order", pictures[::-1], labels[::-1]) != first
    assert digest("labels", pictures, labels[::-1]) != first
    changed = pictures.copy()
    changed[3, 0, 0] ^= 1
    assert digest("pixel", changed, labels) != first
    rows = b"".join(hashlib.blake2b(p.tobytes(), digest_size=16).digest() for p in pictures)
    assert first == hashlib.sha256(rows + labels.astype("<i8").tobytes()).hexdigest()


def test_duplicates_are_told(tmp_path):
    write_classes(tmp_path / "train", {"cat": 4, "dog": 4})
    write_classes(tmp_path / "test", {"cat": 2, "dog": 2}, seed=100)
    write_picture(tmp_path / "test" / "cat" / "leak.png", 1)  # is train/cat/000.png
    write_picture(tmp_path / "train" / "dog" / "twin.png", 2)  # is train/cat/001.png
    write_picture(tmp_path / "train" / "cat" / "again.png", 3)  # harmless: train/cat/002.png
    facts = opened(tmp_path).facts
    leak = f"{tmp_path}/train/cat/000.png = test {tmp_path}/test/cat/leak.png"
    twin = f"{tmp_path}/train/cat/001.png = train {tmp_path}/train/dog/twin.png"
    assert facts["duplicates"] == {
        "across_splits": 1,
        "examples": [f"train {leak}"],
        "with_other_labels": 1,
        "conflicts": [f"train {twin}"],
    }
    assert facts["warnings"] == [
        f"1 picture in two splits: train {leak}",
        f"1 picture again with another label: train {twin}",
    ]


def test_duplicates_are_told_by_where_they_differ(tmp_path):
    """Not by the two copies that come first, which here lie in one split and have one label."""
    write_classes(tmp_path / "train", {"cat": 2, "dog": 2})
    write_picture(tmp_path / "train" / "cat" / "001.png", 1)  # is 000.png
    write_picture(tmp_path / "test" / "dog" / "leak.png", 1)
    duplicates = opened(tmp_path).facts["duplicates"]
    leak = f"train {tmp_path}/train/cat/000.png = test {tmp_path}/test/dog/leak.png"
    assert duplicates["examples"] == duplicates["conflicts"] == [leak]


def test_uneven_and_empty_classes_are_told(tmp_path):
    write_classes(tmp_path / "train", {"cat": 23, "dog": 2})
    write_classes(tmp_path / "test", {"cat": 2}, seed=100)
    assert opened(tmp_path).facts["warnings"] == [
        "test has no picture of dog",
        "the largest class has more than ten times as many pictures as the smallest",
    ]


def test_many_empty_classes_are_told_shortly(tmp_path):
    write_classes(tmp_path / "train", {f"c{i}": 1 for i in range(9)})
    write_classes(tmp_path / "test", {"c3": 1}, seed=100)
    assert opened(tmp_path).facts["warnings"] == [
        "test has no picture of c0, c1, c2, c4, c5 and 3 more classes"
    ]


def test_even_classes_are_not_told(tmp_path):
    write_classes(tmp_path, {"cat": 20, "dog": 2})
    assert opened(tmp_path, test_part=0).facts["warnings"] == []


# bad samples


@pytest.fixture
def damaged(tmp_path):
    write_classes(tmp_path / "train", {"cat": 4, "dog": 4})
    write_classes(tmp_path / "test", {"cat": 1, "dog": 1, "emu": 2}, seed=100)
    (tmp_path / "train" / "cat" / "empty.png").write_bytes(b"")
    (tmp_path / "train" / "dog" / "text.jpg").write_bytes(b"no picture")
    (tmp_path / "train" / "fox").mkdir()
    return tmp_path


def test_bad_samples_are_told_all_together(damaged):
    with pytest.raises(DataError) as err:
        opened(damaged)
    assert err.value.code == "E355"
    text = str(err.value)
    assert text.startswith("5 bad samples (2 × mislabelled, ")
    for place, why in {
        "train/cat/empty.png": "zero size: the file is empty",
        "train/dog/text.jpg": "corrupt: it cannot be decoded",
        "train/fox": "empty class: the folder has no picture",
        "test/emu/000.png": "mislabelled: class 'emu' is not in train",
        "test/emu/001.png": "mislabelled: class 'emu' is not in train",
    }.items():
        assert f"  {damaged / place}: {why}\n" in text
    assert text.endswith("--on-bad-sample skip")


def test_skip_uses_the_rest_and_logs(damaged, caplog):
    with caplog.at_level(logging.WARNING):
        data = opened(damaged, on_bad_sample="skip")
    assert data.labels == ("cat", "dog")
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 8, "test": 2}
    assert data.facts["left_out"] == 5
    assert "left out: 5 bad samples" in caplog.text
    assert str(damaged / "train" / "cat" / "empty.png") in caplog.text


def test_a_class_without_a_good_picture_is_left_out(tmp_path):
    write_classes(tmp_path / "train", {"ant": 2, "bee": 2, "cow": 2})
    write_classes(tmp_path / "test", {"ant": 1, "bee": 1, "cow": 1}, seed=100)
    for file in (tmp_path / "train" / "bee").iterdir():
        file.write_text("no picture")
    with pytest.raises(DataError, match=r"3 bad samples \(2 × corrupt, 1 × mislabelled\)"):
        opened(tmp_path)
    data = opened(tmp_path, on_bad_sample="skip")
    assert data.labels == ("ant", "cow")
    assert data.splits["train"].labels.tolist() == [0, 0, 1, 1]
    assert data.splits["test"].labels.tolist() == [0, 1]
    assert data.facts["warnings"] == []


def test_bad_files_of_idx_are_told_all_together(tmp_path):
    write_quarters(tmp_path, train=8, test=8)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    raw = (tmp_path / "t10k-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(raw[:-20])
    with pytest.raises(DataError, match="2 bad samples") as err:
        opened(tmp_path)
    assert err.value.code == "E355"
    assert "train-images-idx3-ubyte.gz: there is no file of labels beside it" in str(err.value)
    assert "t10k-images-idx3-ubyte.gz: damaged or unreadable" in str(err.value)


def test_nothing_usable_is_left(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="no pictures that can be used; it was read as folder") as e:
        opened(tmp_path, on_bad_sample="skip")
    assert e.value.code == "E356"


def test_one_class_is_not_enough(tmp_path):
    write_classes(tmp_path, {"cat": 3})
    with pytest.raises(DataError, match=r"two classes are needed; got \['cat'\]") as err:
        opened(tmp_path)
    assert err.value.code == "E352"
    assert str(tmp_path) in str(err.value)


@pytest.mark.parametrize("form", ["idx", "folder"])
def test_nothing_to_learn_from(tmp_path, form):
    if form == "folder":
        write_classes(tmp_path / "test", {"cat": 2, "dog": 2})
    else:
        write_quarters(tmp_path, train=8, test=8)
        for file in tmp_path.glob("train*"):
            file.unlink()
    with pytest.raises(DataError, match="a split 'train' is needed") as err:
        opened(tmp_path)
    assert err.value.code == "E356"


# formats


def test_a_list_with_splits(tmp_path):
    made = write_classes(tmp_path, {"cat": 3, "dog": 3})
    rows = [f"{label}/{i:03}.png,{label},{'test' if i == 2 else 'train'}"
            for label, some in made.items() for i in range(len(some))]  # fmt: skip
    (tmp_path / "list.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    data = opened(tmp_path / "list.csv")
    assert data.facts["format"] == "csv"
    assert data.facts["name"] == "list.csv"
    assert keys(data.splits["test"]) == [made[label][2].tobytes() for label in ("cat", "dog")]
    assert data.splits["test"].labels.tolist() == [0, 1]


def test_a_missing_file_of_a_list_is_named_with_its_line(tmp_path):
    write_classes(tmp_path, {"cat": 2, "dog": 2})
    path = tmp_path / "list.csv"
    path.write_text("path,label\ncat/000.png,cat\ndog/000.png,dog\ndog/009.png,dog\n")
    with pytest.raises(DataError, match="missing: there is no such file") as err:
        opened(path)
    assert err.value.code == "E355"
    assert f"{tmp_path}/dog/009.png ({path}:4)" in str(err.value)


@pytest.mark.parametrize("inside", ["text", "idx", "empty folder", "folder of text"])
def test_what_is_nothing_known(tmp_path, inside):
    path = tmp_path / "data"
    if inside == "text":
        path.write_text("hello")
    else:
        path.mkdir()
    if inside == "idx":
        (path / "train-labels-idx1-ubyte.gz").write_bytes(b"")
    if inside == "folder of text":
        (path / "a.txt").write_text("hello")
    with pytest.raises(DataError, match="is no data of pictures: IDX files, CIFAR-10") as err:
        opened(path)
    assert err.value.code == "E356"
    assert str(path) in str(err.value)


@pytest.mark.parametrize("form", ["idx", "cifar10", "folder", "archive", "csv"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_format_that_is_asked_for_and_not_there(tmp_path, form, kind):
    path = tmp_path / "data"
    if kind == "file":
        path.write_text("hello")
    else:
        path.mkdir()
    with pytest.raises(DataError) as err:
        opened(path, format=form)
    assert err.value.code == ("E359" if (form, kind) == ("csv", "file") else "E356")
    assert str(path) in str(err.value)


def test_a_format_that_is_asked_for_wins(tmp_path):
    write_quarters(tmp_path, train=8, test=8)
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    assert opened(tmp_path).facts["format"] == "idx"
    assert opened(tmp_path, format="folder").labels == ("cat", "dog")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"val": -1}, "data.val must be in 0..1073741824; got -1"),
        ({"test_part": 0.95}, "data.test_part must be in 0..0.9; got 0.95"),
        ({"test_part": float("nan")}, "data.test_part must be in 0..0.9; got nan"),
        ({"train_limit": -5}, "data.train_limit must be in"),
    ],
)
def test_options_out_of_range(options, text):
    with pytest.raises(ConfigError, match=text) as err:
        PicturesOptions(path="x", **options)
    assert err.value.code == "E205"
