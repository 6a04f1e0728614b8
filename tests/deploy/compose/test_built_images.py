"""Images that were built from a checkout full of secrets, twice; skipped with its reason where there is no engine."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

from tests.deploy.compose.compose_file import ROOT
from tests.deploy.compose.stack import Stack, docker, need_images

SERVICE = "execution"
CANARY = b"canary-" + os.urandom(16).hex().encode()
# Where a checkout in which a desk has run, or somebody worked, may have secrets.
PLACES = (
    ".env", ".tollgate/secrets/execution/venue_api_secret", "secrets/venue_api_secret", "config/venue_api_secret",
    "deploy/docker/.env", "services/execution/.env", "services/execution/src/tollgate_execution/.env",
    "services/execution/tests/venue_api_secret", "build/venue_api_secret",
)  # fmt: skip
# What the name service writes when a layer is made, and what the base image's own tools note of the time.
NOTED = {"etc/hostname", "etc/hosts", "etc/resolv.conf"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, list[str]]]:
    """Two images of one service, the second built anew from the first line on."""
    docker()
    need_images()
    stack = Stack(f"tollgate-test-images-{os.getpid()}")
    checkout = tmp_path_factory.mktemp("checkout") / "main"
    shutil.copytree(
        ROOT, checkout, symlinks=True, ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", ".tollgate*")
    )
    for place in PLACES:
        path = checkout / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CANARY)
    names = [f"{stack.name}/{SERVICE}:{number}" for number in (1, 2)]
    try:
        stack.build(SERVICE, names[0], checkout)
        stack.build(SERVICE, names[1], checkout, "--no-cache")
        yield stack, names
    finally:
        stack.docker("rmi", *names, check=False)


def files(image: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Yield every file of every layer of an image, those too that a later layer hides or removes."""
    saved = subprocess.run([docker(), "save", image], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        for layer in json.load(manifest)[0]["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as content:
                for member in content:
                    file = content.extractfile(member) if member.isfile() else None
                    yield member, b"" if file is None else file.read()


def test_no_secret_of_the_checkout_is_in_any_layer(images: tuple[Stack, list[str]]):
    stack, (image, _) = images
    found = {member.name: CANARY in content for member, content in files(image)}
    assert any(name.endswith("tollgate_execution/__init__.py") for name in found)
    assert [name for name, has_it in found.items() if has_it] == []
    assert CANARY.decode() not in stack.docker("inspect", image) + stack.docker("history", "--no-trunc", image)


def test_two_builds_of_one_checkout_hold_the_same_files(images: tuple[Stack, list[str]]):
    _, names = images
    first, second = (
        {
            (member.name, member.mode, member.uid, member.type, member.linkname, hashlib.sha256(content).hexdigest())
            for member, content in files(name)
            if member.name not in NOTED
        }
        for name in names
    )
    assert len(first) > 3_000
    assert first ^ second == set()


def test_an_image_is_nobody_s_and_says_what_it_is(images: tuple[Stack, list[str]]):
    stack, (image, _) = images
    (told,) = json.loads(stack.docker("inspect", image))
    assert told["Config"]["User"] == "10001:10001"
    assert told["Config"]["Healthcheck"]["Test"][0] == "CMD"
    labels = told["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == f"tollgate/{SERVICE}"
    assert all(
        labels[f"org.opencontainers.image.{name}"] for name in ("version", "revision", "licenses", "description")
    )
