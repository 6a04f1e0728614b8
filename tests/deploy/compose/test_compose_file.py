"""The compose file: what each container may do, whom it reaches, what it is given, and that the code agrees."""

import shutil
import subprocess
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from deploy.grafana.boards.panels import RUNBOOK
from tests.deploy.compose.compose_file import (
    DOCKER,
    OURS,
    ROOT,
    compose,
    filled,
    image_environment,
    mounts,
    on_network,
    services,
)
from tests.deploy.k8s.test_configuration import SETTINGS, knows
from tollgate_chassis.settings import Ports
from tollgate_console.provision.keys import NATS_SEED, POSTGRES_DSN
from tollgate_simvenue.settings import Settings as SimvenueSettings

EVERY = sorted(services())
# Execution may take six seconds to let go of what it has begun.
_PATIENCE_S = 10


@pytest.mark.parametrize("name", EVERY)
def test_a_container_can_change_nothing_but_its_volumes_and_gain_no_right(name: str):
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert name == "postgres" or "cap_add" not in service
    assert "privileged" not in service


@pytest.mark.parametrize("name", EVERY)
def test_a_container_has_bounds_and_is_started_again(name: str):
    service = services()[name]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    wanted = {"credentials": "on-failure", "provision": "on-failure", "books": "no"}.get(name, "unless-stopped")
    assert service["restart"] == wanted


@pytest.mark.parametrize("name", EVERY)
def test_an_image_is_named_by_its_version(name: str):
    _, _, tag = filled(services()[name]["image"]).partition(":")
    assert tag
    assert tag != "latest"


def test_our_images_have_the_version_of_the_code():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    ours = {filled(each["image"]) for each in services().values() if each["image"].startswith("tollgate/")}
    assert {image.partition(":")[2] for image in ours} == {version}
    assert f"ARG VERSION={version}\n" in (DOCKER / "Dockerfile").read_text()


def test_the_images_are_built_with_the_uv_of_the_makefile():
    wanted = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("UV_VERSION := "))
    assert f"/uv:{wanted.removeprefix('UV_VERSION := ')}\n" in (DOCKER / "Dockerfile").read_text()


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_the_image_of_its_name_and_has_time_to_let_go(name: str):
    service = services()[name]
    assert filled(service["image"]).split(":")[0] == f"tollgate/{name}"
    assert service["build"]["args"] == {"SERVICE": name}
    assert int(service["stop_grace_period"].removesuffix("s")) > _PATIENCE_S


def test_only_execution_and_market_data_reach_the_venue():
    assert on_network("venue") == {"marketdata", "execution", "simvenue"}


def test_only_who_keeps_something_in_the_database_reaches_it():
    assert on_network("database") == {"postgres", "provision", "execution", "ledger", "books"}


def test_who_makes_the_credentials_talks_to_nobody():
    assert services()["credentials"]["network_mode"] == "none"


def test_no_network_leads_outside():
    networks = compose()["networks"]
    inside = {name for name, content in networks.items() if content.get("internal")}
    assert networks.keys() - inside == {"operators"}
    assert networks["operators"]["driver_opts"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    assert on_network("operators") == {"risk", "execution", "ledger", "prometheus", "alertmanager", "grafana"}


def test_every_port_is_bound_to_this_machine_alone_unless_somebody_says_otherwise():
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert published.keys() == on_network("operators")
    for name, (port,) in published.items():
        address, outside, inside = filled(port).split(":")
        assert (address, outside) == ("127.0.0.1", inside)
        assert name not in OURS or int(inside) == getattr(Ports(), name)


def test_each_process_is_given_its_own_secrets_and_no_other_s():
    secrets = {
        name: {volume for volume in mounts(name).values() if volume.startswith(("secrets-", "image-", "operator"))}
        for name in services()
    }
    assert secrets.pop("credentials") >= set().union(*secrets.values())
    assert secrets.pop("provision") == {"secrets-provisioner", "secrets-postgres"}
    assert secrets.pop("books") == {"secrets-reader"}
    assert secrets.pop("postgres") == {"image-postgres"}
    assert secrets.pop("grafana") == {"image-grafana"}
    assert secrets.pop("alertmanager") == {"image-alertmanager"}
    assert {name: given for name, given in secrets.items() if given} == {name: {f"secrets-{name}"} for name in OURS}


def test_secrets_are_read_only_for_all_but_who_makes_them():
    for name, service in services().items():
        for volume in service.get("volumes", ()):
            if volume.startswith(("secrets-", "image-")) and name != "credentials":
                assert "ro" in volume.split(":")[2].split(","), (name, volume)


def test_a_volume_belongs_to_whom_the_credentials_say_and_not_to_the_user_of_another_image():
    """Compose v2 makes all containers at once, and each gives its volumes the owner of that place in its image."""
    shared = set(mounts("credentials").values())
    for name, service in services().items():
        if service["image"].startswith("tollgate/"):
            continue
        for each in service.get("volumes", ()):
            assert each.split(":")[0] not in shared or "nocopy" in each.split(":")[2].split(","), (name, each)


def test_with_a_real_exchange_the_keys_are_execution_s_alone():
    import yaml  # noqa: PLC0415 - only here

    live = yaml.safe_load((DOCKER / "live.yml").read_text())
    given = {name for name, service in live["services"].items() if "secrets" in service}
    assert given == {"execution"}
    places = [each["target"] for each in live["services"]["execution"]["secrets"]]
    folder = image_environment()["TOLLGATE_SECRETS_DIR"]
    assert places == [f"{folder}/venue_api_key", f"{folder}/venue_api_secret"]
    assert live["networks"] == {"venue": {"internal": False}}


def test_what_makes_the_credentials_has_a_volume_for_each_of_its_mount_points():
    spec = spec_from_file_location("assemble", DOCKER / "assemble.py")
    assert spec is not None
    assert spec.loader is not None
    assemble = module_from_spec(spec)
    spec.loader.exec_module(assemble)
    places = {place for place in mounts("credentials") if place.startswith("/credentials/")}
    assert places == {f"/credentials/{name}" for name in assemble.CREDENTIALS}


def test_every_volume_that_is_used_is_named_and_every_name_is_used():
    used = {volume for name in services() for volume in mounts(name).values() if not volume.startswith(".")}
    assert used == compose()["volumes"].keys()


@pytest.mark.parametrize("name", [*SETTINGS, "simvenue"])
def test_every_variable_is_a_setting_of_that_service(name: str):
    settings = {**SETTINGS, "simvenue": SimvenueSettings}[name]
    told = {each for each in services()[name].get("environment", {}) if each.startswith("TOLLGATE_")}
    assert [each for each in told if not knows(settings, each)] == []


def test_the_image_says_where_everything_is_as_the_code_names_it():
    said = image_environment()
    folder, config = said["TOLLGATE_SECRETS_DIR"], said["TOLLGATE_CONFIG"]
    assert said["TOLLGATE_NATS_SEED_FILE"] == f"{folder}/{NATS_SEED}"
    assert said["TOLLGATE_POSTGRES_DSN_FILE"] == f"{folder}/{POSTGRES_DSN}"
    for name in OURS:
        places = mounts(name)
        assert places[folder] == f"secrets-{name}"
        assert places[said["TOLLGATE_STATE_DIR"]] == f"state-{name}"
        assert config in places or config.rpartition("/")[0] in places
    assert said["TOLLGATE_RISK__POLICY_FILE"].rpartition("/")[0] in mounts("risk")


def test_the_exchange_is_asked_where_it_listens():
    port = SimvenueSettings().ports.simvenue
    for name, key in (("marketdata", "TOLLGATE_MARKETDATA__VENUE_URL"), ("execution", "TOLLGATE_EXECUTION__VENUE_URL")):
        assert filled(services()[name]["environment"][key]) == f"http://simvenue:{port}"


def test_nobody_starts_before_what_it_cannot_do_without():
    for name in ("marketdata", "strategy", "risk", "execution", "ledger"):
        waits = {each: said["condition"] for each, said in services()[name]["depends_on"].items()}
        assert waits == {"nats": "service_healthy", "provision": "service_completed_successfully"}
    for name in ("nats", "postgres", "grafana", "simvenue"):
        assert services()[name]["depends_on"] == {"credentials": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize("command", [["docker-compose"], ["docker", "compose"]], ids=" ".join)
def test_both_versions_of_compose_take_it(command: list[str]):
    if shutil.which(command[0]) is None or said(*command, "version")[0] != 0:
        pytest.skip(f"there is no `{' '.join(command)}` here")
    assert said(*command, "config", "--quiet") == (0, "")


def said(*command: str) -> tuple[int, str]:
    """Run a command in the checkout; returns how it ended and what it complained of."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_the_runbook_is_where_the_panels_lead_to():
    home = "/usr/share/grafana"
    served = {place.removeprefix(home): source for place, source in mounts("grafana").items() if home in place}
    assert served == {str(Path(RUNBOOK).parent): "./docs"}
