"""Configuration in layers, refused as a whole with every error at once."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from tollgate_chassis.exits import BadConfiguration, Exit
from tollgate_chassis.settings import DeskSettings, Section, load, load_or_exit, read_secret


class ExampleSection(Section):
    """A section as services have them."""

    entry_bps: Annotated[int, Field(gt=0)] = 5
    api_key: str = "none"


class ExampleSettings(DeskSettings):
    """Settings of a service whose section is called strategy."""

    strategy: ExampleSection = ExampleSection()


@pytest.fixture
def config(tmp_path, monkeypatch):
    def write(text: str) -> Path:
        path = tmp_path / "tollgate.yaml"
        path.write_text(text)
        monkeypatch.setenv("TOLLGATE_CONFIG", str(path))
        return path

    return write


def test_without_a_file_the_defaults_name_exactly_five_symbols(monkeypatch):
    monkeypatch.delenv("TOLLGATE_CONFIG", raising=False)
    assert len(load(ExampleSettings).symbols) == 5


def test_the_file_overrides_defaults_and_the_environment_overrides_the_file(config, monkeypatch):
    config("desk: alpha\nstrategy: {entry_bps: 7}\nports: {risk: 9000}\n")
    assert load(ExampleSettings).desk == "alpha"
    assert load(ExampleSettings).strategy.entry_bps == 7
    monkeypatch.setenv("TOLLGATE_DESK", "beta")
    monkeypatch.setenv("TOLLGATE_STRATEGY__ENTRY_BPS", "9")
    settings = load(ExampleSettings)
    assert (settings.desk, settings.strategy.entry_bps, settings.ports.risk) == ("beta", 9, 9000)


def test_the_sections_of_other_services_are_not_this_services_business(config):
    config("risk: {anything: 1}\nledger: {what: ever}\n")
    assert load(ExampleSettings).strategy.entry_bps == 5


def test_all_errors_are_told_at_once_with_field_value_and_what_was_expected(config):
    config(
        "dessk: main\nsymbols: [BTC-USDT]\nstrategy: {entry_bps: -1, api_key: 5, entry_bsp: 3}\nports: {risk: 70000}\n"
    )
    with pytest.raises(BadConfiguration) as refused:
        load(ExampleSettings)
    why = refused.value.why
    assert "dessk: no such key; look for a misspelling, got 'main'" in why
    assert "symbols: Value error, exactly 5 different symbols are expected" in why
    assert "strategy.entry_bps: Input should be greater than 0, got -1" in why
    assert "strategy.entry_bsp: no such key" in why
    assert "ports.risk: Input should be less than or equal to 65535, got 70000" in why
    assert "strategy.api_key" in why
    assert "got 5" not in why


def test_a_misspelt_variable_is_told_with_the_other_errors(config, monkeypatch):
    config("desk: NOT A DESK\n")
    monkeypatch.setenv("TOLLGATE_STRATGY__ENTRY_BPS", "5")
    monkeypatch.setenv("TOLLGATE_LEDGER__OF_ANOTHER_SERVICE", "5")
    with pytest.raises(BadConfiguration) as refused:
        load(ExampleSettings)
    assert "TOLLGATE_STRATGY__ENTRY_BPS: no such variable" in refused.value.why
    assert "desk: String should match" in refused.value.why
    assert "LEDGER" not in refused.value.why


@pytest.mark.parametrize(("text", "says"), [("[1]", "a mapping of keys was expected"), ("a: [", "cannot be read")])
def test_a_file_that_is_no_mapping_is_refused(config, text, says):
    config(text)
    with pytest.raises(BadConfiguration, match=says):
        load(ExampleSettings)


def test_a_file_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("TOLLGATE_CONFIG", "/nowhere/tollgate.yaml")
    with pytest.raises(BadConfiguration, match="nowhere"):
        load(ExampleSettings)


def test_a_process_with_a_bad_configuration_says_so_and_exits_with_its_own_code(config, capsys):
    config("desk: NOT A DESK\n")
    with pytest.raises(SystemExit) as ended:
        load_or_exit(ExampleSettings)
    assert ended.value.code == Exit.BAD_CONFIGURATION
    assert "desk: String should match pattern" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "changeme" * 8, "tiny", "<put-your-token-here-please-0123456789>"])
def test_placeholders_and_short_secrets_are_refused_without_showing_them(tmp_path, content):
    path = tmp_path / "venue_api_secret"
    path.write_text(content)
    with pytest.raises(BadConfiguration, match="venue_api_secret is a placeholder or shorter than 32") as refused:
        read_secret(path)
    assert not content or content not in refused.value.why


def test_a_missing_secret_is_named(tmp_path):
    with pytest.raises(BadConfiguration, match="venue_api_key cannot be read: No such file"):
        read_secret(tmp_path / "venue_api_key")


def test_a_real_secret_never_shows_itself(tmp_path):
    path = tmp_path / "venue_api_secret"
    path.write_text("0123456789abcdef" * 4 + "\n")
    secret = read_secret(path)
    assert "0123" not in repr(secret)
    assert secret.get_secret_value() == "0123456789abcdef" * 4
