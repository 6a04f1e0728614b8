"""What each pod is told, its services understand: every variable is a setting, and both files load as they stand."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from tests.deploy.k8s.rendered import OVERLAYS, named, overlay, pod
from tollgate_chassis.settings import CONFIG_VARIABLE, DeskSettings, load
from tollgate_console.settings import ConsoleSettings
from tollgate_execution.settings import ExecutionSettings
from tollgate_ledger.settings import LedgerSettings
from tollgate_marketdata.settings import MarketDataSettings
from tollgate_risk.policy_file import policy_document
from tollgate_risk.settings import RiskSettings
from tollgate_risk.signing import Signer
from tollgate_simvenue.settings import load as load_simvenue
from tollgate_strategy.settings import StrategySettings

SETTINGS: dict[str, type[DeskSettings]] = {
    "marketdata": MarketDataSettings,
    "strategy": StrategySettings,
    "risk": RiskSettings,
    "execution": ExecutionSettings,
    "ledger": LedgerSettings,
    "provision": ConsoleSettings,
}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give this process a pod's variables and files, and nothing else of ours."""

    def tell(overlay_name: str, pod_name: str) -> dict[str, str]:
        for variable in [each for each in os.environ if each.startswith("TOLLGATE_")]:
            monkeypatch.delenv(variable)
        objects = overlay(overlay_name)
        for name in ("tollgate-config", "tollgate-policy"):
            for file, text in named(objects, "ConfigMap", name)["data"].items():
                (tmp_path / file).write_text(text)
        variables = environment(objects, pod_name)
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "tollgate.yaml"))
        return variables

    return tell


def environment(objects: Any, pod_name: str) -> dict[str, str]:
    """Return every variable that a pod is told."""
    (container,) = pod(objects, pod_name).containers
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {entry["name"]: entry["value"] for entry in container.get("env", [])}


def knows(settings_type: type[BaseSettings], variable: str) -> bool:
    """Say whether a variable is one of the settings' own keys, or one of its own section."""
    key, _, rest = variable.removeprefix("TOLLGATE_").partition("__")
    found = settings_type.model_fields.get(key.lower())
    if found is None or not rest:
        return found is not None
    return rest.lower() in getattr(found.annotation, "model_fields", {})


@pytest.mark.parametrize("service", SETTINGS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_every_variable_is_a_setting_of_that_service(name: str, service: str):
    variables = environment(overlay(name), service)
    assert variables
    unknown = [each for each in variables if each != CONFIG_VARIABLE and not knows(SETTINGS[service], each)]
    assert unknown == []


@pytest.mark.parametrize("service", SETTINGS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_every_service_takes_its_configuration(told, name: str, service: str):
    variables = told(name, service)
    settings = load(SETTINGS[service])
    assert settings.desk == variables["TOLLGATE_DESK"]
    assert settings.nats_url == "nats://nats:4222"


@pytest.mark.parametrize("name", OVERLAYS)
def test_risk_takes_its_policy(told, name: str):
    told(name, "risk")
    policy_document(load(RiskSettings), Signer(bytes(range(32))))


def test_the_simulated_exchange_takes_the_same_file_and_its_clients_know_where_it_is(told):
    told("dev", "simvenue")
    port = load_simvenue().ports.simvenue
    told("dev", "marketdata")
    assert load(MarketDataSettings).venue_url == f"http://simvenue:{port}"
    told("dev", "execution")
    assert load(ExecutionSettings).venue_url == f"http://simvenue:{port}"


@pytest.mark.parametrize("name", ["production", "second-desk"])
def test_outside_of_a_simulation_nobody_takes_it_for_the_venue_and_nothing_is_armed(told, name: str):
    told(name, "marketdata")
    assert load(MarketDataSettings).venue_url.startswith("https://")
    told(name, "execution")
    settings = load(ExecutionSettings)
    assert settings.venue_url.startswith("https://")
    assert settings.environment == "paper"
    told(name, "risk")
    assert not policy_document(load(RiskSettings), Signer(bytes(range(32)))).rules.arming.live_trading


def test_no_two_desks_share_a_name_or_an_account(told):
    desks = []
    for name in ("production", "second-desk"):
        told(name, "execution")
        settings = load(ExecutionSettings)
        desks.append((settings.desk, settings.account))
    (first, second) = desks
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_a_changed_configuration_has_another_name_and_none_changes_under_its_name():
    for name in OVERLAYS:
        for each in ("desk", "tollgate-config", "tollgate-policy"):
            found = named(overlay(name), "ConfigMap", each)
            assert found["immutable"] is True
            assert found["metadata"]["name"] != each


def test_only_risk_is_given_the_policy():
    objects = overlay("dev")
    policy = named(objects, "ConfigMap", "tollgate-policy")["metadata"]["name"]
    assert [service for service in SETTINGS if policy in str(pod(objects, service).spec)] == ["risk"]
