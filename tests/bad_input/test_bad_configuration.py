"""A configuration that is wrong: everything that is wrong is told at once, with what to do, and nothing runs."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, TOLLGATE, free_base_port
from tollgate_contracts.envelope import SERVICES

BAD_CONFIGURATION, TEMPORARY = 78, 75
GOOD = "symbols: [BTC-USDT, ETH-USDT, SOL-USDT, XRP-USDT, AVAX-USDT]\n"
FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "a misspelt key": ("symbls: []\n", ("symbls: no such key; look for a misspelling",)),
    "a misspelt section": ("stratgy: {}\n", ("stratgy: no such key",)),
    "a misspelt key of the console": ("console: {tape_mib: 5}\n", ("console.tape_mib: no such key",)),
    "four symbols": ("symbols: [A1-USDT, B1-USDT, C1-USDT, D1-USDT]\n", ("symbols: ", "exactly 5 different symbols")),
    "a symbol twice": ("symbols: [A1-USDT, A1-USDT, B1-USDT, C1-USDT, D1-USDT]\n", ("exactly 5 different symbols",)),
    "a symbol in small letters": (GOOD.replace("BTC", "btc"), ("symbols.0: ", "'btc-USDT'")),
    "a word for a number": ("ports: {risk: high}\n", ("ports.risk: ", "'high'")),
    "a port that is none": ("ports: {risk: 70000}\n", ("ports.risk: ", "65535", "70000")),
    "no mapping": ("- main\n", ("a mapping of keys was expected",)),
    "no YAML": ("desk: [\n", ("cannot be read",)),
    "everything at once": (
        "desc: main\nsymbols: [BTC-USDT]\nports: {risk: 70000}\nlog_level: loud\n",
        ("desc: no such key", "exactly 5", "ports.risk", "log_level"),
    ),
}
SECTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a misspelt key": ("strategy: {entry_bp: '2'}\n", ("strategy", "strategy.entry_bp: no such key")),
    "an amount that is a float": ("strategy: {target_notional: 0.1}\n", ("strategy.target_notional: ", "0.1")),
    "a negative amount": ("strategy: {target_notional: '-5'}\n", ("strategy.target_notional: ", "'-5'")),
    "an amount that is no number": ("strategy: {target_notional: NaN}\n", ("strategy.target_notional: ",)),
    "two at once": (
        "strategy: {fast: 1, cooldown_ms: soon}\n",
        ("strategy.fast: no such key", "strategy.cooldown_ms: ", "'soon'"),
    ),
}


def start(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run ``tollgate up`` on a state directory in ``folder`` until it refuses."""
    command = [str(TOLLGATE), "up", "--plain", "--state-dir", str(folder / "state"), *options, "--until-seconds", "60"]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def assert_refused(answer: "subprocess.CompletedProcess[str]", folder: Path, code: int, words: tuple[str, ...]) -> None:
    """It ended with its code, said each word and no traceback, and nothing of it runs."""
    assert answer.returncode == code, answer.stdout + answer.stderr
    for word in words:
        assert word in answer.stderr
    assert "Traceback" not in answer.stderr
    assert running_in(folder) == []


def running_in(folder: Path) -> list[str]:
    """Return the command lines of processes that have to do with ``folder``."""
    found = []
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), process.environ().get("TOLLGATE_STATE_DIR", "")]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(folder) in part for part in told):
            found.append(" ".join(told))
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_file_is_refused_before_anything_starts(tmp_path: Path, name: str) -> None:
    text, words = FILES[name]
    config = tmp_path / "tollgate.yaml"
    config.write_text(text)
    answer = start(tmp_path, "--config", str(config))
    assert_refused(answer, tmp_path, BAD_CONFIGURATION, words)
    assert not (tmp_path / "state").exists()


def service(name: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run one service's own process."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TOLLGATE_")}
    return subprocess.run(
        [sys.executable, "-m", f"tollgate_{name}"],
        env={**clean, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", SECTIONS)
def test_a_wrong_section_is_refused_by_its_service(tmp_path: Path, name: str) -> None:
    text, words = SECTIONS[name]
    config = tmp_path / "tollgate.yaml"
    config.write_text(text)
    answer = service("strategy", {"TOLLGATE_CONFIG": str(config), "TOLLGATE_STATE_DIR": str(tmp_path)})
    assert answer.returncode == BAD_CONFIGURATION, answer.stderr
    for word in words:
        assert word in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("name", [*SERVICES, "simvenue"])
def test_every_service_refuses_a_misspelt_key_in_its_section(tmp_path: Path, name: str) -> None:
    config = tmp_path / "tollgate.yaml"
    config.write_text(f"{name}: {{misspelt: 1}}\n")
    answer = service(name, {"TOLLGATE_CONFIG": str(config), "TOLLGATE_STATE_DIR": str(tmp_path)})
    assert answer.returncode == BAD_CONFIGURATION, answer.stderr
    assert f"{name}.misspelt: no such key" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("name", ["risk", "ledger", "simvenue"])
def test_a_wrong_model_of_costs_is_refused_by_each_that_reckons_with_it(tmp_path: Path, name: str) -> None:
    config = tmp_path / "tollgate.yaml"
    config.write_text("costs: {fee_dust: 0.1, spread: '1'}\n")
    answer = service(name, {"TOLLGATE_CONFIG": str(config), "TOLLGATE_STATE_DIR": str(tmp_path)})
    assert answer.returncode == BAD_CONFIGURATION, answer.stderr
    assert "costs.fee_dust: " in answer.stderr
    assert "costs.spread: no such key" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.platform
def test_a_service_that_refuses_its_section_stops_the_whole_start(tmp_path: Path) -> None:
    config = tmp_path / "tollgate.yaml"
    # Without a policy risk would refuse as well, and perhaps first.
    config.write_text(f"{GOOD}risk: {{policy_file: {ROOT / 'config' / 'policy.yaml'}}}\nstrategy: {{entry_bp: '2'}}\n")
    answer = start(tmp_path, "--config", str(config), "--base-port", str(free_base_port()))
    assert_refused(answer, tmp_path, BAD_CONFIGURATION, ("strategy refuses its configuration", "strategy.entry_bp"))


@pytest.mark.platform
def test_a_policy_with_a_misspelt_key_and_a_float_stops_the_whole_start(tmp_path: Path) -> None:
    policy = (ROOT / "config" / "policy.yaml").read_text()
    wrong = policy.replace('order_notional: "5000"', "order_notional: 5000.5").replace("collar_bps:", "colar_bps:")
    path = tmp_path / "policy.yaml"
    path.write_text(wrong)
    config = tmp_path / "tollgate.yaml"
    config.write_text(f"{GOOD}risk: {{policy_file: {path}}}\n")
    answer = start(tmp_path, "--config", str(config), "--base-port", str(free_base_port()))
    words = (
        "risk refuses its configuration",
        str(path),
        "price.colar_bps: no such key",
        "limits.order_notional",
        "5000.5",
    )
    assert_refused(answer, tmp_path, BAD_CONFIGURATION, words)


def test_a_port_that_is_taken_is_named_with_its_holder(tmp_path: Path) -> None:
    base = free_base_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", base + 4))
        holder.listen()
        answer = start(tmp_path, "--base-port", str(base))
    words = (f"port {base + 4} (", f"taken by pid {os.getpid()}", "--base-port")
    assert_refused(answer, tmp_path, TEMPORARY, words)


def test_a_service_alone_says_which_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        answer = service("strategy", {"TOLLGATE_PORTS__STRATEGY": str(port), "TOLLGATE_STATE_DIR": str(tmp_path)})
    assert answer.returncode == BAD_CONFIGURATION
    assert f"port {port} on 127.0.0.1 cannot be used" in answer.stdout + answer.stderr
    assert "set another port" in answer.stdout + answer.stderr
