"""The broker and its provisioning are what `tollgate credentials` and `tollgate provision` expect on the other side."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.k8s.exported import exported
from tests.deploy.k8s.rendered import K8S, OVERLAYS, SERVICES, Object, named, overlay, pod, volumes_of_secrets
from tollgate_console.commands.credentials import make
from tollgate_console.commands.provision import provision
from tollgate_console.layout import Layout
from tollgate_console.provision.broker import PROVISIONER, StreamSizes
from tollgate_console.provision.database import DATABASE_SERVICES

SERVER = Path(sys.executable).with_name("nats-server")
_GIB = 1024**3
_TRY_S = 20
# What a server does with its clients before it ends, by default.
_LAME_DUCK_S = 120


def nodes(objects: tuple[Object, ...]) -> tuple[str, ...]:
    """Return the names under which the broker's servers find each other; none for one that is alone."""
    spec = named(objects, "StatefulSet", "nats")["spec"]
    count = spec["replicas"]
    return tuple(f"nats-{number}.{spec['serviceName']}" for number in range(count)) if count > 1 else ()


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_server_takes_the_configuration_of_its_secret(name: str, tmp_path: Path):
    objects = overlay(name)
    (tmp_path / "nats.json").write_text(exported(nodes(objects))["nats-config"]["nats.json"])
    (container,) = pod(objects, "nats").containers
    arguments = [text.replace("$(POD_NAME)", "nats-0") for text in container["args"]]
    arguments[arguments.index("/etc/nats/nats.json")] = str(tmp_path / "nats.json")
    done = subprocess.run([SERVER, "-t", *arguments], capture_output=True, text=True, check=False, timeout=_TRY_S)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", OVERLAYS)
def test_it_listens_and_stores_where_the_secret_says(name: str):
    objects = overlay(name)
    told: dict[str, Any] = json.loads(exported(nodes(objects))["nats-config"]["nats.json"])
    (container,) = pod(objects, "nats").containers
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert (ports["client"], f"0.0.0.0:{ports['monitor']}") == (told["port"], told["http"])
    assert told["jetstream"]["store_dir"] in {mount["mountPath"] for mount in container["volumeMounts"]}
    if name != "dev":
        assert told["cluster"]["listen"] == f"0.0.0.0:{ports['cluster']}"


@pytest.mark.parametrize("name", OVERLAYS)
def test_its_volume_has_room_for_twice_what_it_may_store(name: str):
    (claim,) = named(overlay(name), "StatefulSet", "nats")["spec"]["volumeClaimTemplates"]
    room = claim["spec"]["resources"]["requests"]["storage"]
    assert int(room.removesuffix("Gi")) * _GIB >= 2 * StreamSizes().total


@pytest.mark.parametrize("name", OVERLAYS)
def test_it_has_time_to_hand_over_what_it_leads_before_it_is_ended(name: str):
    assert pod(overlay(name), "nats").spec["terminationGracePeriodSeconds"] > _LAME_DUCK_S


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_stream_has_a_copy_on_each_server(name: str):
    (container,) = pod(overlay(name), "provision").containers
    servers = named(overlay(name), "StatefulSet", "nats")["spec"]["replicas"]
    assert container["args"] == ["provision", "/credentials", f"--replicas={servers}"]
    assert {"directory", "replicas"} <= inspect.signature(provision).parameters.keys()


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_job_finds_broker_and_database_where_it_looks_by_itself(name: str):
    defaults = {key: each.default for key, each in inspect.signature(provision).parameters.items()}
    assert (defaults["nats"], defaults["nats_monitor"], defaults["postgres"]) == (
        "nats:4222",
        "nats:8222",
        "postgres:5432",
    )
    ports = {port["port"] for port in named(overlay(name), "Service", "nats")["spec"]["ports"]}
    # It asks the monitor of a server that is alone, and of no other.
    assert ports == ({4222, 8222} if name == "dev" else {4222})
    if name == "dev":
        assert named(overlay(name), "Service", "postgres")["spec"]["ports"][0]["port"] == 5432
    else:
        (made,) = named(overlay(name), "Cluster", "postgres")["spec"]["managed"]["services"]["additional"]
        assert made["serviceTemplate"]["metadata"]["name"] == "postgres"


def test_the_job_finds_its_credentials_where_the_command_keeps_them():
    layout = Layout(Path("/credentials"))
    wanted = {layout.secrets(PROVISIONER) / "nats_seed"}
    users = ("postgres", "reader", *DATABASE_SERVICES)
    wanted |= {layout.secrets("postgres") / f"{user}_password" for user in users}
    job = pod(overlay("dev"), "provision")
    ((volume, _, items, _),) = volumes_of_secrets(job.spec)
    (mount,) = [each for each in job.containers[0]["volumeMounts"] if each["name"] == volume]
    assert {Path(mount["mountPath"]) / item["path"] for item in items or []} == wanted


def test_the_readme_makes_credentials_for_this_broker_and_this_database():
    text = (K8S / "README.md").read_text()
    assert all(f"--nats-node {node}" in text for node in nodes(overlay("production")))
    defaults = {key: each.default for key, each in inspect.signature(make).parameters.items()}
    assert defaults["postgres"] == "postgres:5432"
    assert "nats_node" in defaults
    assert set(DATABASE_SERVICES) < set(SERVICES)
