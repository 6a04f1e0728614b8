"""The command line: found by entry points, loaded one by one, worth reading."""

import re
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tollgate_console import main
from tollgate_console.exits import ConsoleError, ConsoleExit

TOLLGATE = Path(sys.executable).with_name("tollgate")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - the command is the test's own
        [TOLLGATE, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more commands: one that works, one whose package is broken."""
    (tmp_path / "fine_command.py").write_text(
        'import typer\n\ndef hello(name: str = "you") -> None:\n    """Greet."""\n    typer.echo(f"hello {name}")\n'
    )
    (tmp_path / "broken_command.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    installed = main._installed()
    installed |= {
        "hello": EntryPoint("hello", "fine_command:hello", main.COMMAND_GROUP),
        "broken": EntryPoint("broken", "broken_command:run", main.COMMAND_GROUP),
    }
    monkeypatch.setattr(main, "_installed", lambda: installed)


def invoke(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["tollgate", *arguments])
    with pytest.raises(SystemExit) as end:
        main.main()
    code = end.value.code
    assert isinstance(code, int)
    return code


def test_help_lists_the_commands_and_the_exit_codes() -> None:
    """Worth reading: what it is, what it does, what its exit codes mean."""
    answer = run("--help")
    assert answer.returncode == 0
    for words in ("up", "status", "Exit codes", "69 not running", "73 already running", "78 bad"):
        assert words in answer.stdout, words
    for group in ("policy", "token"):
        assert re.search(rf"^\W*{group}\s+[A-Z]", answer.stdout, re.MULTILINE), f"{group}: a group stands there by name"
    assert "--json" in run("status", "--help").stdout
    for option in ("--replay", "--speed", "--state-dir", "--config", "--plain", "--base-port", "--until-seconds"):
        assert option in run("up", "--help").stdout, option


def test_a_command_of_another_package_is_one_entry_point(
    extra: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is listed, and it runs with its own options."""
    assert invoke(["hello", "--name", "desk"], monkeypatch) == 0
    assert capsys.readouterr().out == "hello desk\n"


def test_a_command_that_cannot_be_loaded_says_so_and_leaves_the_others_alone(
    extra: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Listed with its fault; asked for, it explains and ends with 1; the others work."""
    assert invoke(["--help"], monkeypatch) == 0
    listed = capsys.readouterr().out
    assert "Cannot be loaded" in listed
    assert "Greet." in listed
    assert invoke(["broken"], monkeypatch) == ConsoleExit.NOT_HEALTHY
    assert "a_package_that_is_not_there" in capsys.readouterr().err
    assert invoke(["hello"], monkeypatch) == 0


def test_status_without_a_platform_ends_with_69(tmp_path: Path) -> None:
    """And says how to start one."""
    answer = run("status", "--json", "--state-dir", str(tmp_path))
    assert answer.returncode == ConsoleExit.NOT_RUNNING
    assert "make run" in answer.stderr
    assert answer.stdout == ""


def test_the_command_starts_quickly() -> None:
    """Nothing heavy is loaded before it is needed."""
    modules = "tollgate_console.main, tollgate_console.commands.up, tollgate_console.commands.status"
    heavy = ("faststream", "asyncpg", "nats", "fastapi", "pydantic")
    script = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - as above
    assert answer.stdout.strip() == "[]"
    began = time.monotonic()
    run("--help")
    assert time.monotonic() - began < 5


def test_the_exit_codes_are_what_scripts_rely_on() -> None:
    """They never change."""
    assert {code.name: int(code) for code in ConsoleExit} == {
        "OK": 0,
        "NOT_HEALTHY": 1,
        "USAGE": 2,
        "NOT_RUNNING": 69,
        "ALREADY_RUNNING": 73,
        "TEMPORARY": 75,
        "BAD_CONFIGURATION": 78,
    }
    assert str(ConsoleError(ConsoleExit.OK, "what")) == "what"


def test_an_unexpected_fault_is_not_dressed_up() -> None:
    """A programmer's error shows itself."""
    import typer  # noqa: PLC0415 - the only use

    app = typer.Typer()

    @app.command()
    def fails() -> None:
        raise AssertionError("a bug")

    assert isinstance(CliRunner().invoke(app).exception, AssertionError)
