"""The broker's configuration, and its streams: made once, and refused when they are not as durable as money needs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_contracts.codec import MESSAGE_BYTES_MAX
from tollgate_contracts.subjects import dead_letter_stream, live_subject, market_stream, tape_stream

PROVISIONER = "provisioner"
CONSOLE = "console"
"""Who only looks."""
_KIB = 1_024
_MIB = 1_024 * _KIB
# A dead letter holds a whole message of the largest size in base64, which is a third more, and its envelope.
_DEAD_LETTER_BYTES_MAX = 512 * _KIB
DUPLICATE_WINDOW_NS = 600 * 1_000_000_000
_NOT_FOUND = 10059
_ANSWER_S = 5.0
# What may be changed on an existing stream without touching what it promises: it may be made larger.
_SIZE = "max_bytes"


@dataclass(frozen=True, slots=True)
class StreamSizes:
    """How much of the disk each stream may take, in bytes."""

    tape: int = 2_048 * _MIB
    market: int = 512 * _MIB
    dead: int = 64 * _MIB

    @property
    def total(self) -> int:
        """All streams together, which is what the broker may store at all."""
        return self.tape + self.market + self.dead


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where the broker listens and where it keeps its data."""

    port: int
    monitor_port: int
    store: Path
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        """What a client connects to."""
        return f"nats://{self.host}:{self.port}"

    @property
    def health_url(self) -> str:
        """Answers 200 when JetStream is up."""
        return f"http://{self.host}:{self.monitor_port}/healthz?js-enabled-only=true"

    @property
    def variables_url(self) -> str:
        """Answers what the server was really started with."""
        return f"http://{self.host}:{self.monitor_port}/varz"


def check_sync(variables: dict[str, Any]) -> None:
    """Refuse a running server that acknowledges before the message is on its disk; ``variables`` is its ``/varz``.

    Raises ``ConsoleError``. On one node nothing less than a sync for each message will do (nats-server #7564).
    """
    config = variables.get("jetstream", {}).get("config", {})
    if not config.get("sync_always"):
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION,
            f"the broker syncs its disk every {config.get('sync_interval', '?')} ns, expected `sync_interval: always`: "
            "an acknowledgement would be worth nothing after a power cut; start it with the rendered configuration",
        )


def render_config(
    desk: str,
    place: BrokerPlace,
    sizes: StreamSizes,
    accounts: dict[str, Any],
    *,
    syncs_always: bool = True,
    cluster: dict[str, Any] | None = None,
) -> str:
    """Return the server's configuration file; the server's format contains JSON.

    No default user, and no listener but the client's, the monitor's and, in a ``cluster``, that of its other nodes.
    Only where nobody trades may it do without ``syncs_always``.
    """
    config: dict[str, Any] = {
        "server_name": f"tollgate-{desk}",
        "host": place.host,
        "port": place.port,
        "http": f"{place.host}:{place.monitor_port}",
        "max_payload": _DEAD_LETTER_BYTES_MAX,
        "max_connections": 64,
        "write_deadline": "2s",
        "jetstream": {
            "store_dir": str(place.store),
            # An acknowledgement is worth what is on the disk.
            "sync_interval": "always" if syncs_always else "1m",
            "max_memory_store": 0,
            "max_file_store": sizes.total,
        },
        "accounts": accounts,
    }
    if cluster is not None:
        # Each node is told its own name when it is started.
        del config["server_name"]
        config["cluster"] = cluster
    return json.dumps(config, indent=2) + "\n"


def stream_configs(desk: str, sizes: StreamSizes, replicas: int = 1) -> tuple[dict[str, Any], ...]:
    """Return what each stream of the desk must be, with so many copies on as many nodes."""
    common = {
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "max_age": 0,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "duplicate_window": DUPLICATE_WINDOW_NS,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
        "allow_rollup_hdrs": False,
        "no_ack": False,
        "sealed": False,
    }
    tape = {
        **common,
        "name": tape_stream(desk),
        "subjects": [f"tape.{desk}.>"],
        # A tape that is full takes nothing more; it never forgets.
        "discard": "new",
        "max_bytes": sizes.tape,
        "max_msg_size": MESSAGE_BYTES_MAX,
        "republish": {"src": f"tape.{desk}.>", "dest": f"{live_subject(desk)}.>"},
    }
    market = {
        **common,
        "name": market_stream(desk),
        "subjects": [f"market.{desk}.>"],
        "discard": "old",
        "max_bytes": sizes.market,
        "max_msg_size": MESSAGE_BYTES_MAX,
    }
    dead = {
        **common,
        "name": dead_letter_stream(desk),
        "subjects": [f"dead.{desk}.>"],
        "discard": "old",
        "max_bytes": sizes.dead,
        "max_msg_size": _DEAD_LETTER_BYTES_MAX,
    }
    return tape, market, dead


async def provision_streams(url: str, seed: str, desk: str, sizes: StreamSizes, replicas: int = 1) -> None:
    """Make the streams that are missing; raises ``ConsoleError`` when an existing one promises something else."""
    client = Client()
    try:
        await client.connect(
            servers=[url],
            name=PROVISIONER,
            nkeys_seed_str=seed,
            inbox_prefix=f"_INBOX_{PROVISIONER}".encode(),
            allow_reconnect=False,
            connect_timeout=2,
        )
        for config in stream_configs(desk, sizes, replicas):
            await _provision(client, config)
    except (OSError, nats.errors.Error, TimeoutError) as error:
        why = client.last_error or error
        raise ConsoleError(ConsoleExit.TEMPORARY, f"the broker at {url} could not be provisioned: {why}") from error
    finally:
        await client.close()


async def _provision(client: Client, wanted: dict[str, Any]) -> None:
    name = wanted["name"]
    description = await _ask(client, f"$JS.API.STREAM.INFO.{name}", {})
    error = description.get("error")
    if error is not None and error["err_code"] != _NOT_FOUND:
        raise _refused(name, error["description"])
    if error is not None:
        await _apply(client, "CREATE", wanted)
        return
    found = description["config"]
    differences = stream_differences(wanted, found)
    if differences:
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION,
            f"stream {name} is not what this version makes:\n"
            + "\n".join(differences)
            + "\nuse another --state-dir, or the version of Tollgate that made this one",
        )
    if found[_SIZE] != wanted[_SIZE]:
        await _apply(client, "UPDATE", {**found, _SIZE: wanted[_SIZE]})


def stream_differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return a line for each setting of ``found`` that is not as ``wanted``; a stream may only grow."""
    lines = [
        f"  {key}: {_setting(found, key, value)!r}, expected {value!r}"
        for key, value in wanted.items()
        if key != _SIZE and _setting(found, key, value) != value
    ]
    if found.get(_SIZE, -1) < 0 or found[_SIZE] > wanted[_SIZE]:
        lines.append(f"  {_SIZE}: {found.get(_SIZE)!r}, expected at most {wanted[_SIZE]}: a stream is not made smaller")
    extra = [key for key in ("mirror", "sources", "subject_transform") if found.get(key)]
    lines += [f"  {key}: {found[key]!r}, expected none" for key in extra]
    if "republish" not in wanted and found.get("republish"):
        lines.append(f"  republish: {found['republish']!r}, expected none")
    return lines


def _setting(found: dict[str, Any], key: str, wanted: Any) -> Any:
    # The server leaves out what is false, zero or empty.
    return found.get(key, type(wanted)())


async def _apply(client: Client, verb: str, config: dict[str, Any]) -> None:
    answer = await _ask(client, f"$JS.API.STREAM.{verb}.{config['name']}", config)
    if "error" in answer:
        raise _refused(config["name"], answer["error"]["description"])


async def _ask(client: Client, subject: str, content: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(content).encode() if content else b""
    answer = await client.request(subject, body, timeout=_ANSWER_S)
    parsed: dict[str, Any] = json.loads(answer.data)
    return parsed


def _refused(name: str, why: str) -> ConsoleError:
    return ConsoleError(ConsoleExit.TEMPORARY, f"the broker will not provide stream {name}: {why}")
