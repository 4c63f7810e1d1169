"""The command line as a whole: help, suggestions, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgedl.cli import COMMANDS, main
from edgedl.cli.parser import print_json, print_next
from edgedl.errors import UsageError

NAMES = [command.__name__.rpartition(".")[2] for command in COMMANDS]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert all(f"    {name} " in text for name in NAMES)
    assert text.rstrip().splitlines()[-2] == "example:"


@pytest.mark.parametrize("name", NAMES)
def test_help_fits_a_screen_and_ends_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert len(lines) <= 40
    assert not any("%%" in line for line in lines)
    assert any(line == "example:" for line in lines[-4:])
    assert f"edgedl {name}" in lines[-1]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["verfy", "x.edge"], "did you mean 'verify'?"),
        (["verify", "x.edge", "--jsn"], "unrecognized arguments: --jsn; did you mean '--json'?"),
        (
            ["run", "x.edge", "a.mp4", "--realtime", "b.mp4"],
            "unrecognized arguments: b.mp4; SINK stands before the options",
        ),
        (["run"], "the following arguments are required"),
        (["verify", "x.edge", "--json", "no/x.json"], "'no/x.json' lies in a folder that does not"),
        (["verify", "x.edge", "--json", "."], "argument --json: '.' is a folder; name a file"),
        (["serve", "x.edge", "--port", "abc", "--source", "a"], "argument --port"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("error[E100] ")
    assert expected in captured.err
    assert captured.err.rstrip().endswith("--help")


def test_the_next_command_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    print_next("edgedl", "verify", Path("a b.edge"))
    assert capsys.readouterr().err == "next: edgedl verify 'a b.edge'\n"


def test_json_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*: No such file or directory; choose"):
        print_json({}, str(tmp_path / "no" / "x.json"))


def test_python_dash_m_works() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgedl", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("edgedl ")


def test_a_name_too_long_for_the_file_system(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "x" * 300]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error[E100] xxx")
    assert err.endswith("...: the name of a file is too long\n")


def test_a_reader_that_has_gone_is_no_bug() -> None:
    script = """
import sys
import edgedl.cli as cli
def write(args):
    raise BrokenPipeError(32, "Broken pipe")
cli.inspect.run = write
sys.argv[1:] = ["inspect", "x.edge"]
cli.run_cli()
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")
