"""``edgedl run`` for every kind: its lines, its JSON, and what it refuses in one line."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import pytest
from idx_files import quarters
from tiny_kinds import FADES, HEAT, LETTERS, QUARTERS, WARMTH, write_bundle
from videos import gray, write_video

from edgedl.cli import main
from edgedl.runtime.pipeline import load

RAN_BY = {"backend": "onnxruntime", "precision": "fp32"}
TABLE = "time,heat,load\n" + "".join(f"t{i},{10 * i},{i * i}\n" for i in range(5))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    named = {"pictures": QUARTERS, "clips": FADES, "texts": WARMTH, "series": HEAT}
    named["letters"] = LETTERS
    return {name: write_bundle(folder / f"{name}.edge", spec) for name, spec in named.items()}


@pytest.fixture
def run(
    bundles: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[list[str], list[str]]]:
    """Run a bundle; return its lines on standard output and on standard error."""

    def run(name: str, *words: object, code: int = 0) -> tuple[list[str], list[str]]:
        assert main(["run", str(bundles[name]), *map(str, words)]) == code
        said = capsys.readouterr()
        return said.out.splitlines(), said.err.splitlines()

    return run


def write_pictures(folder: Path) -> list[int]:
    """Write six pictures; return their classes."""
    folder.mkdir()
    pictures, labels = quarters(6)
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{i}.png"), picture)
    return labels.tolist()


def test_pictures(run: Any, tmp_path: Path) -> None:
    labels = write_pictures(tmp_path / "in")
    lines, notes = run("pictures", tmp_path / "in")
    assert [line.split()[0] for line in lines] == list(map(str, labels))
    assert [line.split()[2] for line in lines] == [f"{i}.png" for i in range(len(labels))]
    assert all(line.split()[1].endswith("%") for line in lines)
    assert notes[0] == "6 frames answered, 0 dropped, 0 damaged"
    assert notes[1].startswith("next: edgedl serve ")


def test_what_comes_next_has_the_options_of_the_daemon(run: Any, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in")
    _, notes = run("pictures", tmp_path / "in", "--max-frames", 1)
    assert notes[0] == "1 frame answered, 0 dropped, 0 damaged"
    assert notes[1].endswith(f"--source {tmp_path / 'in'}")
    options = "--motion 0.5 --rotate 90 --flip vertical --precision fp32 --threads 2"
    _, notes = run("pictures", tmp_path / "in", *options.split())
    assert notes[1].endswith(f"--source {tmp_path / 'in'} {options}")


@pytest.mark.parametrize(
    ("words", "seen_as"),
    [
        (["--rotate", 90], "1302"),
        (["--rotate", 180], "3210"),
        (["--flip", "horizontal"], "1032"),
        (["--rotate", 90, "--flip", "vertical"], "3120"),
    ],
)
def test_pictures_of_a_camera_that_hangs_askew(
    run: Any, tmp_path: Path, words: list[object], seen_as: str
) -> None:
    labels = write_pictures(tmp_path / "in")
    lines, _ = run("pictures", tmp_path / "in", *words)
    assert [line.split()[0] for line in lines] == [seen_as[label] for label in labels]


def test_the_video_of_a_camera_that_hangs_askew(run: Any, tmp_path: Path) -> None:
    write_video(tmp_path / "x.mp4", gray([20, 0, 80, 0, 140]))
    run("clips", tmp_path / "x.mp4", tmp_path / "o.mp4", "--rotate", 90)
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert container.streams.video[0].width == 16  # was its height


def test_pictures_as_json(run: Any, tmp_path: Path) -> None:
    labels = write_pictures(tmp_path / "in")
    lines, _ = run("pictures", tmp_path / "in", "--json", "--top", 2, "--max-frames", 4)
    tables = [json.loads(line) for line in lines]
    assert [table["frame"] for table in tables] == [0, 1, 2, 3]
    assert [table["label"] for table in tables] == list(map(str, labels[:4]))
    for table in tables:
        assert len(table["top"]) == 2
        assert table["top"][0] == [table["label"], pytest.approx(table["probability"], abs=1e-6)]
        assert list(table["stage_ms"]) == ["preprocess", "infer"]
        assert table.items() >= RAN_BY.items()
    lines, notes = run("pictures", tmp_path / "in", "--json", tmp_path / "o.json")
    assert lines == []
    assert len((tmp_path / "o.json").read_text().splitlines()) == 6
    assert "6 frames answered" in notes[0]


def test_a_stream_is_read_through_a_window(run: Any, tmp_path: Path) -> None:
    write_video(tmp_path / "x.mp4", gray([20, 0, 80, 0, 140, 0, 200]))
    lines, notes = run("clips", tmp_path / "x.mp4", "--json")
    assert [json.loads(line)["frame"] for line in lines] == [4, 6]
    assert {json.loads(line)["label"] for line in lines} == {"lighter"}
    assert "2 frames answered" in notes[0]


def test_a_stream_shorter_than_a_clip(run: Any, tmp_path: Path) -> None:
    write_video(tmp_path / "x.mp4", gray([20, 0, 80, 0]))
    lines, notes = run("clips", tmp_path / "x.mp4")
    assert lines == []
    assert notes[0] == "0 frames answered, 0 dropped, 0 damaged"
    told = "a clip is 3 frames, every 2 frames: the first answer needs 5, 4 came"
    assert notes[1] == f"{told}; videos of a folder are answered whole, however short"


def test_a_folder_of_videos(run: Any, tmp_path: Path) -> None:
    write_video(tmp_path / "b.mp4", gray([200, 100, 20]))
    write_video(tmp_path / "a" / "z.MP4", gray([20, 30, 100, 150, 200]))
    (tmp_path / "notes.txt").write_text("not a video")
    lines, notes = run("clips", tmp_path)
    assert [line.split()[0] for line in lines] == ["lighter", "darker"]
    assert [line.split("  ")[-1] for line in lines] == ["a/z.MP4", "b.mp4"]
    assert notes == ["2 answered"]
    assert run("clips", tmp_path, "--rotate", 270)[0] == lines
    lines, _ = run("clips", tmp_path, "--json")
    tables = [json.loads(line) for line in lines]
    assert [(table["clip"], table["label"]) for table in tables] == [
        ("a/z.MP4", "lighter"), ("b.mp4", "darker"),
    ]  # fmt: skip
    (tmp_path / "c.mp4").write_bytes(b"not a video")
    lines, notes = run("clips", tmp_path, code=3)
    assert len(lines) == 2
    assert notes[0].startswith("error[E356] ")
    assert "c.mp4 cannot be decoded" in notes[0]
    assert len(notes) == 1


def test_a_text(run: Any) -> None:
    lines, notes = run("texts", "a RED a")
    assert lines == ["warm 88.1%  a RED a"]
    assert notes == ["1 answered"]
    assert run("texts", "")[0] == ["cold 50.0%  "]


def test_texts_of_a_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("red sun\n\n  \nblue sea\r\nsky, blue\n", newline="")
    lines, notes = run("texts", tmp_path / "x.txt")
    assert [line.split("  ") for line in lines] == [
        ["warm 73.1%", "red sun"], ["cold 95.3%", "blue sea"], ["cold 98.2%", "sky, blue"],
    ]  # fmt: skip
    assert notes == ["3 answered"]


def test_texts_of_a_table(run: Any, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('n;text\n1;"red; a"\n2;blue\n')
    lines, notes = run("texts", tmp_path / "x.csv", "--json")
    tables = [json.loads(line) for line in lines]
    assert [(t["given"], t["label"]) for t in tables] == [("red; a", "warm"), ("blue", "cold")]
    assert all(table.items() >= RAN_BY.items() for table in tables)
    assert notes == ["2 answered"]


def test_the_column_and_the_spaces_of_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_bundle(tmp_path / "x.edge", WARMTH, data={"text_column": "review"})
    (tmp_path / "x.csv").write_text("text,review\nblue,  red a \n")
    assert main(["run", str(path), str(tmp_path / "x.csv"), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["given"], table["label"]) == ("red a", "warm")
    (tmp_path / "x.csv").write_text("text\nred\n")
    assert main(["run", str(path), str(tmp_path / "x.csv")]) == 3
    assert "has no column 'review'" in capsys.readouterr().err


def test_a_text_of_several_lines_is_one_line(run: Any, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('text\n"red\nred\x07"\n')
    assert run("texts", tmp_path / "x.csv")[0] == [r"warm 95.3%  red\nred\x07"]


def test_texts_of_standard_input(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("red\n\nblue é\n"))
    lines, _ = run("texts", "-", "--top", 1, "--json")
    tables = [json.loads(line) for line in lines]
    assert [(t["given"], t["label"], len(t["top"])) for t in tables] == [
        ("red", "warm", 1), ("blue é", "cold", 1),
    ]  # fmt: skip


def test_standard_input_of_another_encoding(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO("red\nblé\n".encode("latin1"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw, encoding="utf-8"))
    _, notes = run("texts", "-", code=3)
    assert notes == [
        "error[E358] standard input is not utf-8; convert it, e.g. iconv -f latin1 -t utf-8"
    ]


def test_a_table(run: Any, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(TABLE)
    lines, notes = run("series", tmp_path / "x.csv")
    # heat + (load - load two rows before) + 0.5
    assert lines == ["heat 24.5  after row 3", "heat 38.5  after row 4", "heat 52.5  after row 5"]
    assert notes == ["3 answered"]
    lines, notes = run("series", tmp_path / "x.csv", "--last", "--json")
    (table,) = map(json.loads, lines)
    assert (table["after_row"], table["horizon"], table["values"]) == (5, 2, {"heat": 52.5})
    assert table.items() >= RAN_BY.items()
    assert notes == ["1 answered"]


def test_json_lines_begin_anew(run: Any, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(TABLE)
    write_video(tmp_path / "v" / "a.mp4", gray([200, 100, 20]))
    for name, source, n in (
        ("series", tmp_path / "x.csv", 3), ("texts", "red", 1), ("clips", tmp_path / "v", 1),
    ):  # fmt: skip
        for _ in range(2):
            assert run(name, source, "--json", tmp_path / "o.jsonl")[0] == []
            lines = (tmp_path / "o.jsonl").read_text().splitlines()
            assert len(lines) == n
            assert json.loads(lines[0]).items() >= RAN_BY.items()


def test_letters(run: Any, bundles: dict[str, Path]) -> None:
    words = ("--length", 12, "--temperature", 0.7, "--top-k", 3, "--seed", 9)
    with load(bundles["letters"]) as pipeline:
        expected = pipeline("ab", 12, 0.7, 3, 9)
    lines, notes = run("letters", "ab", *words)
    assert "\n".join(lines) == "ab" + expected.text
    assert notes == []
    table = json.loads("\n".join(run("letters", "ab", *words, "--json")[0]))
    assert (table["prompt"], table["text"], table["tokens"]) == ("ab", expected.text, 12)
    assert table["log_prob"] == pytest.approx(expected.log_prob, abs=1e-6)
    assert table.items() >= RAN_BY.items()


def test_letters_a_terminal_would_obey(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = dataclasses.replace(LETTERS, tokens=(*LETTERS.tokens[:6], "\x1b", "\t"))
    path = write_bundle(tmp_path / "x.edge", spec)
    assert main(["run", str(path), "x", "--length", "60", "--temperature", "5"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b" in out
    assert {"\n", "\t"} <= set(out)


def test_labels_that_look_like_markup(tmp_path: Path) -> None:
    labels = ("[/red]", "[bold]", "c", "d")
    path = write_bundle(tmp_path / "x.edge", dataclasses.replace(QUARTERS, labels=labels))
    write_pictures(tmp_path / "in")
    assert main(["run", str(path), str(tmp_path / "in"), str(tmp_path / "o.txt")]) == 0
    assert "[/red]" in (tmp_path / "o.txt").read_text()


def test_letters_to_a_file(run: Any, tmp_path: Path) -> None:
    lines, _ = run("letters", "ab", "--length", 5, "--json", tmp_path / "x.json")
    assert lines == []
    assert json.loads((tmp_path / "x.json").read_text())["tokens"] == 5


@pytest.mark.parametrize(
    ("name", "words", "code", "text"),
    [
        ("pictures", ["hello"], 3, "E330"),
        ("pictures", ["x.txt"], 3, "E33"),
        ("clips", ["red and blue"], 3, "E330"),
        ("clips", ["."], 3, "E33"),
        ("series", ["a text"], 2, "E102"),
        ("series", ["no.csv"], 3, "no.csv cannot be read: No such file"),
        ("series", ["no.txt"], 2, "it takes a .csv file with its columns"),
        ("series", ["short.csv"], 2, "has 2 rows; a window of 3 is needed"),
        ("series", ["other.csv"], 3, "has no column 'heat'"),
        ("series", ["bad.csv"], 3, "heat is 'warm', not a number"),
        ("series", ["x.csv", "out.csv"], 2, "E130"),
        ("texts", ["no.txt"], 3, "no.txt cannot be read: No such file"),
        ("texts", ["latin.txt"], 3, "latin.txt is not UTF-8: line 2"),
        ("texts", ["x.csv"], 3, "has no column 'text'"),
        ("texts", ["red", "out.txt"], 2, "for a file: --json PATH"),
        ("letters", ["ab", "out.txt"], 2, "for a file: --json PATH"),
        ("letters", ["ab", "--length", "0"], 2, "E122"),
        ("letters", ["ab", "--temperature", "-1"], 2, "E122"),
        ("letters", ["ab", "--top-k", "-1", "--json"], 2, "E122"),
        ("letters", ["ab", "--seed", "-1"], 2, "E122"),
        ("letters", ["ab", "--top", "3"], 2, "--top changes nothing for a model for text-gen"),
        ("letters", ["ab", "--realtime"], 2, "--realtime changes nothing for a model for text-"),
        ("texts", ["red", "--length", "3"], 2, "--length changes nothing for a model for text-c"),
        ("texts", ["red", "--seed", "1"], 2, "E130"),
        ("texts", ["red", "--last"], 2, "E130"),
        ("series", ["x.csv", "--max-frames", "2"], 2, "--max-frames changes nothing for a model"),
        ("series", ["x.csv", "--top", "2"], 2, "E130"),
        ("pictures", ["x.png", "--last"], 2, "--last changes nothing for a model for classific"),
        ("pictures", ["x.png", "--temperature", "1"], 2, "E130"),
        ("pictures", ["x.png", "--top-k", "1"], 2, "--top-k changes nothing"),
        ("clips", ["videos", "out.mp4"], 2, "a folder of videos writes no 'out.mp4'; for a file:"),
        ("clips", ["videos", "--realtime"], 2, "--realtime changes nothing for a folder of vid"),
        ("clips", ["videos", "--max-frames", "4"], 2, "E130"),
        ("texts", ["red", "--rotate", "90"], 2, "[E130] a text-classifier takes no pictures that"),
        ("series", ["x.csv", "--flip", "vertical"], 2, "leave the mounting (--rotate, --flip) out"),
        ("pictures", ["x.npy"], 2, "[E102] 'x.npy' is nothing for a model for classification: it"),
        ("clips", ["x.npz", "--rotate", "90"], 2, "it takes a video, a camera, or a folder of vid"),
        ("pictures", ["x.png", "--rotate", "45"], 2, "E100] argument --rotate: invalid choice: 45"),
        ("texts", ["red", "--top", "0"], 2, "--top must be >= 1; got 0"),
        ("texts", ["red", "--json", "no/x.jsonl"], 2, "lies in a folder that does not exist"),
        ("texts", ["red", "--json", "."], 2, "'.' is a folder"),
        ("texts", ["red", "--precision", "int4"], 2, "E121"),
        ("texts", ["red", "--precision", "fp16"], 4, "E419"),
        ("texts", ["red", "--backend", "tvm"], 2, "E120"),
    ],
)
def test_what_is_refused_in_one_line(
    name: str,
    words: list[str],
    code: int,
    text: str,
    run: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text(TABLE)
    (tmp_path / "x.txt").write_text("red\n")
    if "videos" in words:
        (tmp_path / "videos").mkdir()
        (tmp_path / "videos" / "a.mp4").write_bytes(b"")
    (tmp_path / "short.csv").write_text("load,heat\n1,2\n3,4\n")
    (tmp_path / "other.csv").write_text("load,cold\n1,2\n3,4\n5,6\n")
    (tmp_path / "bad.csv").write_text("load,heat\n1,2\n3,warm\n5,6\n")
    (tmp_path / "latin.txt").write_bytes("red\nblé\n".encode("latin1"))
    lines, notes = run(name, *words, code=code)
    assert lines == []
    assert notes[0].startswith("error[E")
    assert text in "\n".join(notes)
    assert "Traceback" not in "\n".join(notes)
    assert not (tmp_path / "out.txt").exists()


def test_a_file_that_cannot_be_written(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(path: Path, *args: Any, **more: Any) -> Any:
        if path.name == "o.jsonl":
            raise OSError(28, "No space left on device")
        return opened(path, *args, **more)

    monkeypatch.setattr(Path, "open", full)
    _, notes = run("texts", "red", "--json", tmp_path / "o.jsonl", code=2)
    assert notes == [
        f"error[E131] cannot write {tmp_path / 'o.jsonl'}: No space left on device; "
        "choose another place"
    ]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("no.edge", "does not exist"),
        ("x.txt", "it is a file of 4 bytes"),
        (".", "is missing"),
        ("x.onnx", "it is a model; make a bundle of it: edgedl export x.onnx --out x.edge"),
        ("made", "it is a run; make a bundle of it: edgedl export made --out made.edge"),
    ],
)
def test_what_is_no_bundle(
    path: str,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.txt", "x.onnx"):
        (tmp_path / name).write_text("red\n")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "model.json").write_text("{}")
    assert main(["run", path, "red"]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith(f"error[E400] {path} is not a bundle: ")
    assert text in said.err
