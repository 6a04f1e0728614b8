"""What is looked at before anything starts: each refusal has its exit code, says what is wrong and what to do."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import LAYOUT_VERSION, Layout
from tollgate_console.provision.keys import provision_secrets
from tollgate_console.settings import load_settings
from tollgate_console.supervisor.checks import check_disk, check_layout, check_ports
from tollgate_console.supervisor.leftovers import Running, end_leftovers, remember, started_s
from tollgate_console.supervisor.postgres_process import MAJOR, prepare


def refusal(error: pytest.ExceptionInfo[ConsoleError], code: ConsoleExit, *words: str) -> None:
    assert error.value.code == code
    for word in words:
        assert word in error.value.what


def test_a_taken_port_is_named_with_its_holder(base_port: int) -> None:
    """Which port, wanted by what, held by whom, and the way out."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", base_port))
        holder.listen()
        with pytest.raises(ConsoleError) as error:
            check_ports("127.0.0.1", {"risk": base_port, "ledger": base_port + 1})
    refusal(error, ConsoleExit.TEMPORARY, f"port {base_port} (risk)", f"pid {os.getpid()}", "--base-port")
    assert f"port {base_port + 1}" not in error.value.what


def test_every_taken_port_is_named_at_once(base_port: int) -> None:
    """Two are taken and both are said."""
    with socket.socket() as one, socket.socket() as other:
        for offset, holder in enumerate((one, other)):
            holder.bind(("127.0.0.1", base_port + offset))
            holder.listen()
        with pytest.raises(ConsoleError) as error:
            check_ports("127.0.0.1", {"risk": base_port, "nats": base_port + 1})
    refusal(error, ConsoleExit.TEMPORARY, f"port {base_port} (risk)", f"port {base_port + 1} (nats)")


def test_one_port_for_two_processes_is_refused(base_port: int) -> None:
    """A configuration that gives two processes the same port."""
    with pytest.raises(ConsoleError) as error:
        check_ports("127.0.0.1", {"risk": base_port, "ledger": base_port})
    refusal(error, ConsoleExit.TEMPORARY, "wanted by risk and ledger")


def test_a_state_directory_of_another_version_is_refused(layout: Layout) -> None:
    """The first start marks the directory; another mark is not touched."""
    check_layout(layout)
    check_layout(layout)
    layout.version_file.write_text(f"{LAYOUT_VERSION + 1}\n")
    with pytest.raises(ConsoleError) as error:
        check_layout(layout)
    refusal(error, ConsoleExit.BAD_CONFIGURATION, f"layout version '{LAYOUT_VERSION + 1}'", "--state-dir")


def test_a_nearly_full_disk_is_refused(layout: Layout) -> None:
    """The floor is configured; below it nothing starts."""
    check_disk(layout, 0)
    with pytest.raises(ConsoleError) as error:
        check_disk(layout, 1_000_000_000)
    refusal(error, ConsoleExit.TEMPORARY, "MiB are free", "console.disk_floor_mib")


def test_a_database_of_another_major_version_is_refused(layout: Layout) -> None:
    """A directory that another PostgreSQL made is left as it is."""
    provision_secrets(layout, (), ())
    data = layout.root / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("12\n")
    with pytest.raises(ConsoleError) as error:
        prepare(layout)
    refusal(error, ConsoleExit.BAD_CONFIGURATION, "PostgreSQL 12", f"runs {MAJOR}")
    assert sorted(path.name for path in data.iterdir()) == ["PG_VERSION"]


def test_every_error_of_a_configuration_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt key, a wrong number of symbols and a port out of range: field, value and what was expected."""
    monkeypatch.setenv("TOLLGATE_CONFIG", "")
    config = tmp_path / "tollgate.yaml"
    config.write_text('desc: main\nsymbols: ["BTC-USDT"]\nports:\n  risk: 70000\n')
    with pytest.raises(ConsoleError) as error:
        load_settings(config)
    refusal(error, ConsoleExit.BAD_CONFIGURATION, "desc: no such key", "symbols", "exactly 5", "ports.risk", "70000")


@pytest.mark.parametrize(("content", "words"), [("- a list\n", "mapping"), ("a: [", "cannot be read")])
def test_what_is_no_configuration_at_all_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, words: str
) -> None:
    """A file that is not YAML, or not a mapping."""
    monkeypatch.setenv("TOLLGATE_CONFIG", "")
    config = tmp_path / "tollgate.yaml"
    config.write_text(content)
    with pytest.raises(ConsoleError) as error:
        load_settings(config)
    refusal(error, ConsoleExit.BAD_CONFIGURATION, words)


def test_a_bad_configuration_ends_the_command_with_78_and_starts_nothing(tmp_path: Path) -> None:
    """The command itself, from its words to its exit code."""
    config = tmp_path / "tollgate.yaml"
    config.write_text("symbls: []\n")
    state = tmp_path / "state"
    command = Path(sys.executable).with_name("tollgate")
    answer = subprocess.run(  # noqa: S603 - the command is the test's own
        [command, "up", "--plain", "--config", config, "--state-dir", state],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert answer.returncode == 78
    assert "symbls: no such key" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not state.exists()


def test_ports_count_up_from_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second platform on one machine needs one number."""
    monkeypatch.delenv("TOLLGATE_CONFIG", raising=False)
    ports = load_settings(None).with_base_port(9_100).all_ports()
    assert sorted(ports.values()) == list(range(9_100, 9_109))
    assert (ports["nats"], ports["nats-monitor"], ports["postgres"]) == (9_100, 9_101, 9_102)


def test_leftovers_of_a_killed_supervisor_are_ended(layout: Layout) -> None:
    """Known by process id and start time; who ignores the polite signal is killed."""
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as left:  # noqa: S603 - as above
        assert left.stdout is not None
        left.stdout.readline()
        remember(layout, [Running("risk", left.pid, started_s(left.pid), signal.SIGTERM)])
        assert end_leftovers(layout) == ["risk"]
        assert not psutil.pid_exists(left.pid)
    assert end_leftovers(layout) == []


def test_a_process_id_that_was_used_anew_is_left_alone(layout: Layout) -> None:
    """The same number and another start time is somebody else."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        remember(layout, [Running("risk", other.pid, started_s(other.pid) - 100, signal.SIGTERM)])
        assert end_leftovers(layout) == []
        assert psutil.pid_exists(other.pid)
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "--speed", "3"], "--speed needs --replay"),
        (["up", "--replay", "no-such-file"], "does not exist"),
        (["up", "--replay", __file__, "--speed", "-1"], "0 or more"),
        (["up", "--replay", __file__, "--speed", "fast"], "not a number"),
        (["up", "--base-port", "80"], "1024"),
        (["nonsense"], "No such command"),
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], words: str) -> None:
    """Usage errors say what is wrong with which option."""
    command = Path(sys.executable).with_name("tollgate")
    answer = subprocess.run(  # noqa: S603 - as above
        [command, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert answer.returncode == 2
    assert words in answer.stderr


def test_a_configuration_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A path given by hand must exist."""
    import typer  # noqa: PLC0415 - as above

    from tollgate_console.commands.up import up  # noqa: PLC0415 - the command is what is tested

    app = typer.Typer()
    app.command()(up)
    result = CliRunner().invoke(app, ["--config", str(tmp_path / "none.yaml"), "--state-dir", str(tmp_path / "s")])
    assert isinstance(result.exception, ConsoleError)
    assert result.exception.code == ConsoleExit.BAD_CONFIGURATION
