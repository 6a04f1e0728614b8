"""Execution's configuration and composition: every error names its field, and the core needs no I/O library."""

import subprocess
import sys
from pathlib import Path

import pytest
from execution_operators import write_tokens
from execution_samples import KEY_ID, RISK, TRUSTED, public_key

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.settings import load
from tollgate_contracts.config import config_hash
from tollgate_execution.app import build
from tollgate_execution.core import Parameters, Watch
from tollgate_execution.settings import ExecutionSettings, WatchSection, config_text


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A configuration file and every secret, all good."""
    (tmp_path / "tollgate.yaml").write_text("desk: main\n")
    (tmp_path / "approval_public_keys").write_text(public_key(RISK))
    (tmp_path / "dsn").write_text("postgresql://tollgate_execution@127.0.0.1/tollgate\n")
    write_tokens(tmp_path)
    for name in ("venue_api_key", "venue_api_secret"):
        (tmp_path / name).write_text("0123456789abcdef" * 3)
    monkeypatch.setenv("TOLLGATE_CONFIG", str(tmp_path / "tollgate.yaml"))
    monkeypatch.setenv("TOLLGATE_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("TOLLGATE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TOLLGATE_POSTGRES_DSN_FILE", str(tmp_path / "dsn"))
    return tmp_path


def test_the_text_on_the_tape_is_what_the_core_reads_and_has_one_hash() -> None:
    text = config_text(ExecutionSettings(), TRUSTED)
    parameters = Parameters.model_validate_json(text)
    assert parameters.trusted_keys == {KEY_ID: public_key(RISK)}
    assert parameters.watch == Watch()
    assert config_hash(text) == config_hash(config_text(ExecutionSettings(), dict(TRUSTED)))


def test_the_section_s_defaults_are_the_core_s() -> None:
    assert WatchSection().to_watch() == Watch()


def test_every_wrong_key_is_named_at_once(environment: Path) -> None:
    (environment / "tollgate.yaml").write_text(
        "execution:\n  order_notional_max: 1.5\n  orders_per_s_max: 0\n  watch:\n    probe_max: 3\n  venue_ulr: x\n"
    )
    with pytest.raises(BadConfiguration) as caught:
        load(ExecutionSettings)
    for name in ("order_notional_max", "orders_per_s_max", "watch.probe_max", "venue_ulr"):
        assert f"execution.{name}" in caught.value.why


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "Infinity", "many"])
def test_a_cap_that_is_no_amount_is_refused(environment: Path, value: str) -> None:
    (environment / "tollgate.yaml").write_text(f'execution:\n  order_notional_max: "{value}"\n')
    with pytest.raises(BadConfiguration, match="order_notional_max"):
        load(ExecutionSettings)


def test_the_environment_overrides_a_key_of_the_section(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_EXECUTION__WATCH__SILENT_MS", "750")
    monkeypatch.setenv("TOLLGATE_PORTS__SIMVENUE", "9999")
    settings = load(ExecutionSettings)
    assert settings.execution.watch.to_watch().silent_us == 750_000
    assert settings.venue_url == "http://127.0.0.1:9999"


def test_with_everything_in_place_the_service_is_built(environment: Path) -> None:
    parts = build(load(ExecutionSettings))
    assert {route.path for router in parts.routers for route in router.routes} >= {"/v1/kill-switch", "/v1/orders"}  # type: ignore[attr-defined]
    assert parts.shell.not_ready() != []
    assert parts.shell.status()["permit"] == {"age_ms": None, "epoch": None}


@pytest.mark.parametrize(
    "name", ["approval_public_keys", "venue_api_key", "venue_api_secret", "operator_tokens.json", "dsn"]
)
def test_a_secret_that_is_missing_is_named(environment: Path, name: str) -> None:
    (environment / name).unlink()
    with pytest.raises(BadConfiguration, match=name):
        build(load(ExecutionSettings))


def test_a_placeholder_is_no_secret(environment: Path) -> None:
    (environment / "venue_api_secret").write_text("changeme" * 8)
    with pytest.raises(BadConfiguration, match="placeholder"):
        build(load(ExecutionSettings))


def test_without_a_database_role_the_service_is_not_built(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOLLGATE_POSTGRES_DSN_FILE")
    with pytest.raises(BadConfiguration, match="postgres_dsn_file"):
        build(load(ExecutionSettings))


def test_the_core_is_imported_without_any_library_that_does_io() -> None:
    program = (
        "import sys, tollgate_execution.core;"
        "print(sorted({'asyncpg', 'nacl', 'fastapi', 'nats', 'faststream', 'httpx', 'websockets',"
        " 'tollgate_chassis', 'tollgate_venues'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout.strip() == "[]"
