"""Vocabulary: ids, special tokens, file, errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgedl.errors import BundleError
from edgedl.vocab import BOS, EOS, PAD, UNK, Vocab, labels_json, parse_labels


def test_words_become_ids_and_back(tmp_path: Path) -> None:
    vocab = Vocab.build(["ring", "red", "a", "red"])
    assert vocab.tokens == ("<pad>", "<bos>", "<eos>", "<unk>", "a", "red", "ring")
    assert vocab.encode("a red ring") == [4, 5, 6]
    assert vocab.encode("a blue ring") == [4, UNK, 6]
    assert vocab.decode([BOS, 4, 5, PAD, 6, EOS, 4]) == "a red ring"
    path = tmp_path / "vocab.json"
    path.write_text(vocab.to_json(), encoding="utf-8")
    assert Vocab.open(path) == vocab


def test_half_a_pair_is_refused() -> None:
    raw = b'{"tokens": ["<pad>", "<bos>", "<eos>", "<unk>", "\\ud800"]}'
    with pytest.raises(BundleError, match="is not a vocabulary"):
        Vocab.parse(raw)


@pytest.mark.parametrize("label", ["a\x1b[31m", "bell\x07", "two\nlines", "\u202ertl"])
def test_labels_that_cannot_be_printed(label: str) -> None:
    with pytest.raises(BundleError, match="without control characters") as caught:
        parse_labels(labels_json(("a", label)).encode())
    assert caught.value.code == "E416"


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"tokens": 3}',
        '{"tokens": ["a"]}',
        '{"tokens": ["<pad>", "<bos>", "<eos>", "<unk>", "a", "a"]}',
        '{"tokens": ["<pad>", "<bos>", "<eos>", "<unk>", ""]}',
        '{"tokens": ["<pad>", "<bos>", "<eos>", "<unk>", 3]}',
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vocab.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BundleError) as caught:
        Vocab.open(path)
    assert caught.value.code == "E416"
    assert caught.value.exit_code == 4
