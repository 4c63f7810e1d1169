"""A table of real sentences, written by people about photos, trained end to end."""

import csv
import json
import os
import re
from collections import defaultdict
from pathlib import Path

import pytest

from edgedl.cli import main

DATA = os.environ.get("EDGEDL_DATA")
CAPTIONS = Path(DATA or ".") / "flickr8k" / "captions_textonly_7091.txt"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Write a sentence of each photo, and whether the photo's other sentences speak of a dog."""
    if not (DATA and CAPTIONS.is_file()):
        pytest.skip("EDGEDL_DATA does not hold flickr8k")
    of_photo = defaultdict(list)
    with CAPTIONS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            of_photo[row["image"]].append(row["caption"])
    path = tmp_path_factory.mktemp("real") / "photos.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence", "shows", "part"])
        for number, (first, *others) in enumerate(of_photo.values()):
            dogs = sum(bool(re.search(r"\b(dogs?|puppy)\b", other.lower())) for other in others)
            part = "test" if number % 5 == 0 else "val" if number % 5 == 1 else "train"
            writer.writerow([first, "a dog" if dogs >= 2 else "no dog", part])
    return path


def test_learns_what_real_sentences_are_about(table, tmp_path):
    run, found = tmp_path / "run", tmp_path / "found.json"
    columns = {
        "data.text_column": "sentence",
        "data.label_column": "shows",
        "data.split_column": "part",
        "model.hidden": 24,
        "epochs": 4,
    }
    words = [word for key, value in columns.items() for word in ("--set", f"{key}={value}")]
    assert main(["train", "text-lstm", "--data", str(table), "--out", str(run), *words]) == 0
    assert main(["eval", str(run), "--json", str(found)]) == 0
    answer = json.loads(found.read_text(encoding="utf-8"))
    assert answer["n"] == 1419
    assert answer["metrics"]["accuracy"] > 0.93  # three in four photos show no dog
    assert answer["metrics"]["macro_f1"] > 0.9
