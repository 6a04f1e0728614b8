"""Execution's configuration and composition: every error names its field, and the core needs no I/O library."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from execution_operators import write_tokens
from execution_samples import KEY_ID, RISK, TRUSTED, public_key

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.settings import load
from tollgate_contracts.config import config_hash
from tollgate_contracts.safety import Dependency
from tollgate_execution.app import build
from tollgate_execution.calls import CallRules, Limits, Window
from tollgate_execution.core import Parameters, Watch
from tollgate_execution.settings import ExecutionSettings, SafeModeSection, WatchSection, config_text


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


def test_the_caps_are_those_of_the_section_and_null_switches_one_off(environment: Path) -> None:
    (environment / "tollgate.yaml").write_text(
        "execution:\n  minute_notional_max: null\n  collar_bps: null\n  open_orders_max: 7\n  quote_age_ms_max: 3\n"
    )
    caps = load(ExecutionSettings).execution.to_caps()
    assert (caps.minute_notional_max, caps.collar_bps, caps.open_orders_max) == (None, None, 7)
    assert caps.quote_age_us_max == 3_000
    assert caps.order_notional_max == 50_000


def test_each_thing_that_safe_mode_looks_at_has_a_limit_and_null_switches_it_off() -> None:
    usual = SafeModeSection().to_limits()
    assert [*usual.bad_us] == [each for each in Dependency if each is not Dependency.STOPPING]
    off = SafeModeSection(stream_ms=None, orders_ms=0, recover_ms=7).to_limits()
    assert Dependency.USER_STREAM not in off.bad_us
    assert (off.bad_us[Dependency.VENUE_ORDERS], off.recover_us) == (0, 7_000)


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


def test_how_the_venue_is_called_unless_something_else_is_written() -> None:
    """All but the limits, which are the venue's, is what the code would do by itself."""
    rules = ExecutionSettings().execution.calls.to_rules()
    assert replace(rules, limits=Limits()) == CallRules()


def test_a_venue_s_own_limits_are_windows_of_any_number_with_some_slack(environment: Path) -> None:
    (environment / "tollgate.yaml").write_text(
        "execution:\n  calls:\n    limits:\n      slack_ms: 100\n"
        "      submits: [{calls: 10, per_ms: 1000}, {calls: 300, per_ms: 60000}]\n      cancels: []\n"
    )
    limits = load(ExecutionSettings).execution.calls.to_rules().limits
    assert limits.submits == (Window(10, 1_100_000), Window(300, 60_100_000))
    assert limits.cancels == ()


def test_a_window_without_calls_is_refused(environment: Path) -> None:
    (environment / "tollgate.yaml").write_text(
        "execution:\n  calls:\n    limits:\n      lists: [{calls: 0, per_ms: 1000}]\n"
    )
    with pytest.raises(BadConfiguration, match=r"execution\.calls\.limits\.lists\.0\.calls"):
        load(ExecutionSettings)


# Keys of which one would undo what another is for, and the name in the refusal.
UNSAFE = (
    ("  sync: {interval_ms: 40000}\n", "safe_mode.reconciliation_ms"),
    ("  safe_mode: {reconciliation_ms: 9000}\n", "safe_mode.reconciliation_ms"),
    ("  collar_bps: 1001\n", "exit_collar_bps"),
    ("  exit_collar_bps: 199\n", "exit_collar_bps"),
    ("  calls: {retry_delay_ms: 3000}\n", "retry_delay_ms"),
    ("  calls: {retry_time_ms_max: 1000}\n", "retry_time_ms_max"),
    ("  calls: {retry_time_ms_max: 10001}\n", "calls.retry_time_ms_max"),
    ("  calls: {open_ms_max: 600001}\n", "calls.open_ms_max"),
    ("  stop_ms_max: 6001\n", "stop_ms_max"),
    ("  watch: {delay_ms_max: 1999}\n", "watch.delay_ms_max"),
)


@pytest.mark.parametrize(("keys", "named"), UNSAFE)
def test_a_configuration_that_would_undo_itself_is_refused_by_name(environment: Path, keys: str, named: str) -> None:
    (environment / "tollgate.yaml").write_text(f"execution:\n{keys}")
    with pytest.raises(BadConfiguration, match=named):
        load(ExecutionSettings)


@pytest.mark.parametrize(
    "keys",
    [
        "  sync: {interval_ms: 30000}\n",
        "  sync: {interval_ms: 3600000}\n  safe_mode: {reconciliation_ms: null}\n",
        "  collar_bps: 1000\n",
        "  exit_collar_bps: null\n",
        "  collar_bps: null\n",
        "  stop_ms_max: 6000\n",
        "  watch: {delay_ms_max: 2000}\n",
    ],
)
def test_one_at_the_edge_of_that_is_taken(environment: Path, keys: str) -> None:
    (environment / "tollgate.yaml").write_text(f"execution:\n{keys}")
    load(ExecutionSettings)
