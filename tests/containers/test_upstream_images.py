"""What we start from wheels, on the upstream images that deployments use; needs a container engine."""

from pathlib import Path

import asyncpg
import docker
import docker.errors
import nats
import pytest
from nats.js.api import RePublish, StreamConfig
from testcontainers.nats import NatsContainer
from testcontainers.postgres import PostgresContainer

from tollgate_chassis.tape import NatsTape

ROOT = Path(__file__).parents[2]
NATS_IMAGE, POSTGRES_IMAGE = "nats:2.15.1", "postgres:18"


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """Skip, and say why, where no engine answers or an image cannot be had."""
    try:
        client = docker.from_env()
        for image in (NATS_IMAGE, POSTGRES_IMAGE):
            if not client.images.list(name=image):
                client.images.pull(image)
    except docker.errors.DockerException as error:
        pytest.skip(f"no container engine with the images {NATS_IMAGE} and {POSTGRES_IMAGE}: {error}")


async def test_the_tape_on_the_upstream_broker():
    with NatsContainer(NATS_IMAGE, jetstream=True) as broker:
        client = await nats.connect(broker.nats_uri())
        config = StreamConfig(
            name="TAPE_main",
            subjects=["tape.main.>"],
            allow_direct=True,
            republish=RePublish(src="tape.main.>", dest="live.main.>"),
        )
        await client.jetstream().add_stream(config)
        tape = await NatsTape.connect(broker.nats_uri(), None, "main", "risk")
        sequence = await tape.append("tape.main.risk.mode", b"content", "risk:1:0", 0)
        assert [record.data for record in await tape.read(sequence, 1)] == [b"content"]
        await tape.close()
        await client.close()


async def test_the_schemas_on_the_upstream_database():
    with PostgresContainer(POSTGRES_IMAGE, driver=None) as database:
        connection = await asyncpg.connect(database.get_connection_url())
        for name in ("roles", "execution", "ledger"):
            await connection.execute((ROOT / "deploy" / "postgres" / f"{name}.sql").read_text())
        tables = await connection.fetch("SELECT schemaname FROM pg_tables WHERE schemaname IN ('execution', 'ledger')")
        assert {row["schemaname"] for row in tables} == {"execution", "ledger"}
        await connection.close()
