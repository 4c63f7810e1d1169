"""``edgedl eval`` of bundles: a line for people, JSON for programs, errors in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from idx_files import quarters, write_quarters
from tiny_kinds import HEAT, LETTERS, QUARTERS, WARMTH, write_bundle

from edgedl.cli import main
from edgedl.metrics.interval import wilson

Eval = Callable[..., tuple[list[str], list[str]]]
ROWS = [(float(i * i % 17), 1.5 * i) for i in range(60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of four kinds, and a bundle for each that knows its own."""
    folder = tmp_path_factory.mktemp("eval")
    write_quarters(folder / "quarters", train=16, test=20)
    write_quarters(folder / "shuffled", train=16, test=30, shuffled=True)
    table = "".join(f"{load},{heat}\n" for load, heat in ROWS)
    (folder / "series.csv").write_text("load,heat\n" + table)
    rows = ("a red sun,warm,test", "a blue sea,cold,test", "red a,cold,test", "red,warm,train")
    (folder / "texts.csv").write_text("\n".join(["text,label,part", *rows, ""]))
    (folder / "letters.txt").write_text("ab ab\n" * 400)
    series = {"generated": "", "path": str(folder / "series.csv"), "window": 3, "horizon": 2}
    for name, spec, data in (
        ("pictures", QUARTERS, {"path": str(folder / "quarters")}),
        ("series", HEAT, {**series, "test_part": 0.5}),
        ("texts", WARMTH, {"path": str(folder / "texts.csv"), "split_column": "part"}),
        ("letters", LETTERS, {"path": str(folder / "letters.txt"), "test_part": 0.5}),
    ):
        write_bundle(folder / f"{name}.edge", spec, data)
    return folder


@pytest.fixture
def evaluate(folder: Path, capsys: pytest.CaptureFixture[str]) -> Eval:
    """Run the command; return its lines on standard output and on standard error."""

    def evaluate(name: str, *words: object, code: int = 0) -> tuple[list[str], list[str]]:
        assert main(["eval", str(folder / name), *map(str, words)]) == code
        said = capsys.readouterr()
        return said.out.splitlines(), said.err.splitlines()

    return evaluate


def test_the_line_for_people(evaluate: Eval, folder: Path) -> None:
    lines, notes = evaluate("pictures.edge")
    assert notes == []
    (line,) = lines
    low, high = (f"{100 * end:.2f} %" for end in wilson(20, 20))
    assert line.startswith(
        f"{folder / 'pictures.edge'}: accuracy 100.00 % (95 %: {low} to {high}) "
        "on test, n = 20; macro f1 1, ece 0."
    )


def test_json(evaluate: Eval, folder: Path) -> None:
    table = json.loads("\n".join(evaluate("pictures.edge", "--json")[0]))
    assert list(table) == ["task", "split", "n", "metrics", "model", "backend", "precision"]
    assert (table["task"], table["split"], table["n"]) == ("classification", "test", 20)
    assert list(table["metrics"]) == [
        "accuracy", "accuracy_low", "accuracy_high", "n", "macro_f1", "ece",
    ]  # fmt: skip
    assert table["metrics"]["accuracy"] == 1.0
    assert table["model"] == str(folder / "pictures.edge")
    assert (table["backend"], table["precision"]) == ("onnxruntime", "fp32")


def test_json_to_a_file_and_a_line(evaluate: Eval, tmp_path: Path) -> None:
    lines, _ = evaluate("texts.edge", "--json", tmp_path / "x.json")
    assert len(lines) == 1
    assert "accuracy 66.67 % (95 %: " in lines[0]
    table = json.loads((tmp_path / "x.json").read_text())
    assert table["metrics"]["accuracy"] == pytest.approx(2 / 3)
    assert (table["task"], table["n"]) == ("text-classification", 3)


def test_other_data(evaluate: Eval, folder: Path) -> None:
    (line,) = evaluate("pictures.edge", "--data", folder / "shuffled")[0]
    _, seen = quarters(30, seed=1)
    told = np.random.default_rng(6).permutation(seen)
    hits = sum(int(a) == int(b) for a, b in zip(seen, told, strict=True))
    assert f"accuracy {100 * hits / 30:.2f} % (" in line
    assert "n = 30" in line


def test_split_and_limit(evaluate: Eval) -> None:
    assert " on train, n = 16; " in evaluate("pictures.edge", "--split", "train")[0][0]
    assert " on test, n = 7; " in evaluate("pictures.edge", "--limit", 7)[0][0]
    assert " on test, n = 20; " in evaluate("pictures.edge", "--limit", 999)[0][0]


def test_values_in_their_units(evaluate: Eval) -> None:
    rows = ROWS[30:]
    errors = [
        abs(rows[i][1] + rows[i][0] - rows[i - 2][0] + 0.5 - rows[i + 2][1])
        for i in range(2, len(rows) - 2)
    ]
    (line,) = evaluate("series.edge")[0]
    mae = sum(errors) / len(errors)
    relative = mae / np.std([rows[i + 2][1] for i in range(2, len(rows) - 2)])
    assert re.search(
        rf": relative mae {relative:.4g} \(95 %: [\d.]+ to [\d.]+\) on test, n = 26; "
        rf"mae {mae:.4g}, rmse ",
        line,
    )
    assert "r2 " in line


def test_characters(evaluate: Eval) -> None:
    (line,) = evaluate("letters.edge")[0]
    found = re.search(
        r"nats per char ([\d.]+) \(95 %: ([\d.]+) to ([\d.]+)\) on test, n = 1199; "
        r"bits per char ([\d.]+), perplexity ([\d.]+)$",
        line,
    )
    assert found
    nats, low, high, bits, perplexity = map(float, found.groups())
    assert low <= nats <= high
    assert bits == pytest.approx(nats / np.log(2), rel=1e-3)
    assert perplexity == pytest.approx(np.exp(nats), rel=2e-3)
    assert evaluate("letters.edge", "--limit", 2)[0][0].count("n = 128;") == 1


def test_a_captioner(
    tiny_bundle_master: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["eval", str(tiny_bundle_master), "--limit", "3"]
    assert main([*words, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["task"], table["n"], table["precision"]) == ("captioning", 3, "int8-cpu")
    assert {"exact", "exact_low", "exact_high", "bleu4", "cider_d"} <= set(table["metrics"])
    assert main([*words, "--precision", "fp32", "--on-bad-sample", "skip"]) == 0
    assert "exact 0.00 % (95 %: 0.00 % to" in capsys.readouterr().out
    for more, code, text in (
        (["--data", str(tmp_path)], 3, "error[E356] "),
        (["--data", str(tmp_path / "no")], 3, "error[E356] "),
    ):
        assert main([*words, *more]) == code
        assert capsys.readouterr().err.startswith(text)
    assert main(words[:2]) == 2
    assert "say how many: --limit" in capsys.readouterr().err


def test_bad_samples_can_be_left_out(evaluate: Eval, tmp_path: Path) -> None:
    table = "text,label,part\nred,warm,test\n,warm,test\nblue,cold,test\n"
    (tmp_path / "t.csv").write_text(table)
    words = ("texts.edge", "--data", tmp_path / "t.csv")
    _, notes = evaluate(*words, code=3)
    assert notes[0].startswith("error[E355] 1 bad sample")
    assert "text is empty" in "\n".join(notes)
    assert "n = 2;" in evaluate(*words, "--on-bad-sample", "skip")[0][0]


@pytest.mark.parametrize(
    ("name", "words", "code", "text"),
    [
        ("no.edge", [], 4, "error[E400] {}/no.edge is not a bundle: it does not exist"),
        ("quarters", [], 4, "error[E400] {}/quarters is not a bundle: manifest.json is missing"),
        ("series.csv", [], 4, "is not a bundle: it is a file of"),
        ("pictures.edge", ["--split", "val"], 2, "has no split 'val'; take another: --split"),
        ("pictures.edge", ["--data", "{}/no"], 3, "error[E356] no data at {}/no"),
        ("pictures.edge", ["--data", "{}/series.csv"], 3, "error[E359] "),
        ("pictures.edge", ["--data", "{}/letters.txt"], 3, "error[E356] "),
        ("pictures.edge", ["--data", "{}/pictures.edge/golden"], 3, "error[E356] "),
        ("series.edge", ["--data", "{}/no.csv"], 3, "error[E356] no data at"),
        ("series.edge", ["--data", "{}/quarters"], 3, "error[E356] "),
        ("series.edge", ["--data", "{}/texts.csv"], 3, "no column 'load'"),
        ("texts.edge", ["--data", "{}/series.csv"], 3, "no column 'text'"),
        ("texts.edge", ["--data", "{}/quarters"], 3, "cannot be read: Is a directory"),
        ("letters.edge", ["--data", "{}/quarters"], 3, "holds no .txt file"),
        ("letters.edge", ["--data", "{}/texts.csv"], 3, "error[E358] "),
        ("texts.edge", ["--limit", "0"], 2, "error[E132] --limit must be >= 1; got 0"),
        ("texts.edge", ["--limit", "few"], 2, "error[E100] argument --limit: invalid int value"),
        ("texts.edge", ["--split", "exam"], 2, "error[E100] argument --split: invalid choice"),
        ("texts.edge", ["--json", "{}/no/x.json"], 2, "lies in a folder that does not exist"),
        ("texts.edge", ["--json", "{}"], 2, "is a folder; name a file"),
        ("texts.edge", ["--precision", "fp16"], 4, "error[E419] the bundle has no fp16"),
        ("texts.edge", ["--precision", "fp"], 2, "error[E121] unknown precision 'fp'"),
        ("texts.edge", ["--backend", "tvm"], 2, "error[E120] unknown backend 'tvm'"),
    ],
)
def test_what_is_refused_in_one_line(
    name: str, words: list[str], code: int, text: str, evaluate: Eval, folder: Path
) -> None:
    lines, notes = evaluate(name, *(word.format(folder) for word in words), code=code)
    assert lines == []
    assert len(notes) == 1
    assert notes[0].startswith("error[E")
    assert text.format(folder) in notes[0]


def test_classes_that_the_model_does_not_know(evaluate: Eval, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label,part\nred,hot,test\nblue,cold,test\n")
    _, notes = evaluate("texts.edge", "--data", tmp_path / "t.csv", code=3)
    assert notes == [
        f"error[E357] {tmp_path / 't.csv'} has the classes cold, hot, the model knows cold, warm: "
        "hot cannot be right; evaluate it on data with its classes"
    ]
