"""Each pod is given its own secrets and nobody else's, under the names that the code looks for."""

import pytest

from tests.deploy.k8s.exported import exported
from tests.deploy.k8s.rendered import K8S, OVERLAYS, SERVICES, Pod, of_kind, overlay, pod, pods, volumes_of_secrets
from tollgate_chassis.operators import TOKENS_FILE
from tollgate_console.provision import keys
from tollgate_console.provision.tokens import DOORS

SECRETS = "/run/tollgate/secrets"
GROUP_MAY_READ = 0o440
VENUE = {keys.VENUE_KEY, keys.VENUE_SECRET}
# By pod and Secret, the keys.
GIVEN: dict[str, dict[str, set[str]]] = {
    "marketdata": {"tollgate-marketdata": {keys.NATS_SEED}},
    "strategy": {"tollgate-strategy": {keys.NATS_SEED}},
    "risk": {"tollgate-risk": {keys.NATS_SEED, keys.APPROVAL_KEY, TOKENS_FILE}},
    "execution": {
        "tollgate-execution": {keys.NATS_SEED, keys.POSTGRES_DSN, keys.APPROVAL_PUBLIC_KEYS, TOKENS_FILE},
        "tollgate-venue": VENUE,
    },
    "ledger": {
        "tollgate-ledger": {
            keys.NATS_SEED, keys.POSTGRES_DSN, keys.POSTGRES_READER_DSN, keys.SEAL_KEY, TOKENS_FILE
        },
    },
    "simvenue": {"tollgate-venue": VENUE},
    "provision": {
        "tollgate-provision": {
            keys.NATS_SEED, "postgres_password", "execution_password", "ledger_password", "reader_password"
        },
    },
    "nats": {"nats-config": {"nats.json"}},
    "postgres": {"postgres-superuser": {"password"}},
}  # fmt: skip


def given(each: Pod) -> dict[str, set[str]]:
    """Return what a pod is given, by Secret; whatever else is in the Secret stays there."""
    return {secret: {item["key"] for item in items or []} for _, secret, items, _ in volumes_of_secrets(each.spec)}


@pytest.mark.parametrize("name", OVERLAYS)
def test_each_pod_is_given_its_own_secrets_and_no_others(name: str):
    found = {each.name: given(each) for each in pods(overlay(name))}
    assert found == {each: GIVEN[each] for each in found}
    assert found.keys() >= {*SERVICES, "provision", "nats"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_venue_s_keys_are_with_execution_alone_and_with_the_simulated_exchange(name: str):
    holders = {each.name for each in pods(overlay(name)) if "tollgate-venue" in given(each)}
    assert holders == ({"execution", "simvenue"} if name == "dev" else {"execution"})


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_secret_is_in_an_environment_where_every_child_and_every_dump_would_have_it(name: str):
    for each in pods(overlay(name)):
        for container in each.containers:
            told = [entry for entry in container.get("env", []) if "secretKeyRef" in entry.get("valueFrom", {})]
            told += [source for source in container.get("envFrom", []) if "secretRef" in source]
            assert told == [], each.name


@pytest.mark.parametrize("name", OVERLAYS)
def test_secrets_are_read_only_for_their_process_and_lie_under_their_own_names(name: str):
    for each in pods(overlay(name)):
        for volume, secret, items, mode in volumes_of_secrets(each.spec):
            assert mode == GROUP_MAY_READ, (each.name, secret)
            (mount,) = [
                mount for container in each.containers for mount in container["volumeMounts"] if mount["name"] == volume
            ]
            assert mount["readOnly"] is True, (each.name, secret)
            assert items, (each.name, secret)
            if each.name in {*SERVICES, "simvenue"}:
                assert mount["mountPath"] == SECRETS, each.name
                assert all(item["key"] == item["path"] for item in items), each.name


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_key_is_one_that_the_command_exports(name: str):
    secrets = exported(())
    for each in pods(overlay(name)):
        for secret, wanted in given(each).items():
            assert wanted <= secrets[secret].keys(), (each.name, secret)
    for cluster in of_kind(overlay(name), "Cluster"):
        assert secrets[cluster["spec"]["superuserSecret"]["name"]].keys() == {"username", "password"}


def test_whoever_has_a_door_is_given_the_operators_tokens():
    objects = overlay("dev")
    with_tokens = {
        service for service in SERVICES if TOKENS_FILE in given(pod(objects, service))[f"tollgate-{service}"]
    }
    assert with_tokens == set(DOORS)


def test_the_readme_names_every_secret():
    text = (K8S / "README.md").read_text()
    assert [secret for secrets in GIVEN.values() for secret in secrets if f"`{secret}`" not in text] == []
