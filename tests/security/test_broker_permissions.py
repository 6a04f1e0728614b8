"""Door one into the gate: with each user's own credentials, everything that the table does not grant is tried.

A real server with the rendered configuration. A refusal is what the server does, not what the client is told: after
each attempt no stream has grown, nobody has heard anything, and no stream or consumer has come or gone.
"""

import asyncio
import itertools
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tollgate_console.deployment import find_deployment
from tollgate_console.layout import Layout
from tollgate_console.provision.broker import (
    PROVISIONER,
    BrokerPlace,
    StreamSizes,
    provision_streams,
    render_config,
)
from tollgate_console.provision.keys import NATS_SEED, broker_public_key, provision_secrets
from tollgate_console.provision.permissions import User, read_table, render_accounts
from tollgate_console.supervisor.broker_process import find_server

DESK = "main"
TABLE = find_deployment() / "nats" / "permissions.toml"
USERS = read_table(TABLE, DESK)
SERVICE_USERS = tuple(user for user in USERS if user.name != PROVISIONER)
NAMES = tuple(user.name for user in USERS)
WRITERS = tuple(user.name for user in USERS if user.appends)
STREAMS = ("TAPE_main", "MARKET_main", "DEAD_main")
MIB = 1_024 * 1_024
SIZES = StreamSizes(64 * MIB, 8 * MIB, 8 * MIB)
Attempt = tuple[str, bytes, str]
"""Subject, body, and the subject that is asked to be answered to."""
# A refusal has no answer; the next round trip on the same connection proves that the server has dealt with it.
SETTLE_S = 0.05


@dataclass
class Server:
    """A running server, and what can be seen of it from inside."""

    place: BrokerPlace
    layout: Layout
    users: tuple[User, ...]

    def seed(self, user: str) -> str:
        return (self.layout.secrets(user) / NATS_SEED).read_text().strip()

    async def connect(self, user: str, inbox: str | None = None) -> Client:
        errors: list[str] = []

        async def note(error: Exception) -> None:
            errors.append(str(error))

        client = Client()
        await client.connect(
            servers=[self.place.url],
            nkeys_seed_str=self.seed(user),
            inbox_prefix=(inbox or f"_INBOX_{user}").encode(),
            allow_reconnect=False,
            error_cb=note,
        )
        client.refusals = errors  # type: ignore[attr-defined]
        return client


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(folder: Path, accounts_of: Any = render_accounts) -> Iterator[Server]:
    layout = Layout(folder)
    layout.prepare()
    provision_secrets(layout, NAMES, ())
    place = BrokerPlace(free_port(), free_port(), layout.broker_store)
    keys = {name: broker_public_key(layout, name) for name in NAMES}
    layout.broker_config.write_text(render_config(DESK, place, SIZES, accounts_of(USERS, keys)))
    with layout.log("nats").open("wb") as log:
        process = subprocess.Popen([find_server(), "--config", layout.broker_config], stderr=log)
    try:
        until_healthy(process, place, layout)
        seed = (layout.secrets(PROVISIONER) / NATS_SEED).read_text().strip()
        asyncio.run(provision_streams(place.url, seed, DESK, SIZES))
        yield Server(place, layout, USERS)
    finally:
        process.terminate()
        process.wait(10)


def until_healthy(process: "subprocess.Popen[bytes]", place: BrokerPlace, layout: Layout) -> None:
    with httpx.Client(timeout=1) as client:
        for _ in range(500):
            assert process.poll() is None, layout.log("nats").read_text()
            try:
                if client.get(place.health_url).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            # Not luck but polling: the loop ends as soon as the server answers.
            subprocess.run(["sleep", "0.02"], check=True)
    raise AssertionError("the server did not become healthy")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from start_server(tmp_path_factory.mktemp("broker"))


@dataclass
class Witness:
    """Sees everything that changes: the streams' contents, streams and consumers, and what each user hears."""

    manager: Client
    listeners: list[Client]
    heard: list[tuple[str, Msg]] = field(default_factory=list)

    async def state(self) -> dict[str, Any]:
        state = {}
        for stream in STREAMS:
            answer = await self.manager.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=2)
            content = json.loads(answer.data)
            counts = content["state"]
            state[stream] = (counts["messages"], counts["last_seq"], counts["consumer_count"], content["config"])
        return state

    async def grown_since(self, before: dict[str, tuple[int, ...]]) -> int:
        """Return by how many messages the streams have grown in all."""
        after = await self.state()
        return sum(after[stream][0] - before[stream][0] for stream in STREAMS)

    async def settle(self, actor: Client) -> None:
        await actor.flush()
        await asyncio.sleep(SETTLE_S)
        for listener in self.listeners:
            await listener.flush()


@pytest.fixture
async def witness(server: Server) -> AsyncIterator[Witness]:
    witness = Witness(await server.connect(PROVISIONER), [])

    def ear_of(name: str) -> Callable[[Msg], Awaitable[None]]:
        async def hear(message: Msg) -> None:
            witness.heard.append((name, message))

        return hear

    for user in SERVICE_USERS:
        listener = await server.connect(user.name)
        witness.listeners.append(listener)
        for subject in user.may_subscribe:
            await listener.subscribe(subject, cb=ear_of(user.name))
        await listener.flush()
    yield witness
    for client in (*witness.listeners, witness.manager):
        await client.close()


async def assert_refused(server: Server, witness: Witness, user: str, attempts: list[Attempt]) -> None:
    """Try each attempt; none may change anything, or be heard by anybody but the one who tries.

    All are tried at once; only when something came of them, one by one, to name the culprit.
    """
    client = await server.connect(user)
    before = await witness.state()
    if await what_came_of(witness, client, user, attempts, before) is not None:
        for attempt in attempts:
            state = await witness.state()
            outcome = await what_came_of(witness, client, user, [attempt], state)
            assert outcome is None, f"{user} got through by {attempt}: {outcome}"
        raise AssertionError(f"{user} got through by these together, and by none alone: {attempts}")
    await client.close()


async def what_came_of(
    witness: Witness, client: Client, user: str, attempts: list[Attempt], before: dict[str, Any]
) -> str | None:
    """Return what the attempts have changed or who has heard them, none when they came to nothing."""
    witness.heard.clear()
    for subject, body, reply in attempts:
        await client.publish(subject, body, reply=reply)
    await witness.settle(client)
    after = await witness.state()
    if after != before:
        return f"{before} became {after}"
    # What one sends to oneself fools nobody else, and an API's refusal is as good as silence.
    heard = [(who, m.subject, m.data[:200]) for who, m in witness.heard if who != user and b'"error"' not in m.data]
    return str(heard) if heard else None


def others_subjects(user: User) -> list[str]:
    """Return every subject under which only others, or nobody, may write."""
    everyone = {subject for other in USERS for subject in (*other.appends, *other.says)}
    concrete = [
        subject.replace(">", "kind.BTC-USDT") for subject in sorted(everyone - set(user.appends) - set(user.says))
    ]
    nobody = [
        "tape.main",
        "tape.main.kind",
        "tape.main.console.kind",
        "tape.other.risk.decision",
        "live.main.risk.decision",
    ]
    return [*concrete, *nobody, "live.main.x", "permit.other", "market.other.x", "dead.main", "dead.main.console"]


def api_subjects(stream: str) -> list[str]:
    verbs = ("CREATE", "UPDATE", "DELETE", "PURGE", "RESTORE", "SNAPSHOT", "MSG.DELETE", "MSG.GET", "LEADER.STEPDOWN")
    consumer = (
        f"CREATE.{stream}",
        f"CREATE.{stream}.door",
        f"CREATE.{stream}.door.tape.main.>",
        f"DURABLE.CREATE.{stream}.door",
        f"DELETE.{stream}.door",
        f"INFO.{stream}.door",
        f"LIST.{stream}",
        f"NAMES.{stream}",
        f"MSG.NEXT.{stream}.door",
    )
    return [f"$JS.API.STREAM.{verb}.{stream}" for verb in verbs] + [f"$JS.API.CONSUMER.{part}" for part in consumer]


OTHER_DOORS = [
    "$JS.API.STREAM.CREATE.NEW",
    "$JS.API.STREAM.CREATE.KV_x",
    "$KV.x.key",
    "$O.x.C.y",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.NAMES",
    "$JS.API.ACCOUNT.PURGE.DESK",
    "$JS.API.SERVER.REMOVE",
    "$JS.ACK.TAPE_main.door.1.1.1.1.1",
    "$JS.FC.TAPE_main.door.x",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.DESK.CONNZ",
    "_R_.forged",
]


@pytest.mark.parametrize("user", SERVICE_USERS, ids=lambda user: user.name)
async def test_a_user_cannot_write_under_anybody_elses_name(server: Server, witness: Witness, user: User) -> None:
    """All pairs: each user times every subject of every other user, and those that belong to nobody."""
    await assert_refused(server, witness, user.name, [(subject, b"forged", "") for subject in others_subjects(user)])


@pytest.mark.parametrize("user", SERVICE_USERS, ids=lambda user: user.name)
async def test_a_user_cannot_manage_anything(server: Server, witness: Witness, user: User) -> None:
    """No stream, consumer, key-value bucket or object store can be made, changed, emptied or removed."""
    may_ask = {f"$JS.API.STREAM.MSG.GET.{stream}" for stream in user.reads}
    subjects = [each for stream in STREAMS for each in api_subjects(stream) if each not in may_ask] + OTHER_DOORS
    body = json.dumps({"name": "NEW", "subjects": ["new.>"]}).encode()
    await assert_refused(server, witness, user.name, [(subject, body, f"_INBOX_{user.name}.x") for subject in subjects])


@pytest.mark.parametrize("user", SERVICE_USERS, ids=lambda user: user.name)
async def test_a_user_cannot_make_a_consumer_deliver_for_it(server: Server, witness: Witness, user: User) -> None:
    """The known way round (nats-server #8274): a consumer's deliver subject is not checked, so none may be made."""
    own = next(iter(user.appends), "tape.main.strategy.>")
    attempts: list[Attempt] = []
    for stream, victim in itertools.product(STREAMS, ("tape.main.risk.decision.X", "permit.main", "live.main.x")):
        config = {"deliver_subject": victim, "filter_subject": own, "ack_policy": "none", "deliver_policy": "all"}
        for durable in ({}, {"durable_name": "door"}, {"name": "door"}):
            body = json.dumps({"stream_name": stream, "config": {**config, **durable}, "action": "create"}).encode()
            subjects = (f"CREATE.{stream}", f"CREATE.{stream}.door", f"DURABLE.CREATE.{stream}.door")
            attempts += [(f"$JS.API.CONSUMER.{subject}", body, f"_INBOX_{user.name}.x") for subject in subjects]
    await assert_refused(server, witness, user.name, attempts)


def bounces(user: User, victims: list[str]) -> list[tuple[str, bytes, str]]:
    """Return every request that a user may make, with the answer sent to a subject that is not its own."""
    gets: list[dict[str, Any]] = [
        {"seq": 1},
        {"last_by_subj": "tape.main.strategy.intent.BTC-USDT"},
        {"seq": 1, "batch": 8, "next_by_subj": "tape.main.>"},
        {"multi_last": ["tape.main.>"], "batch": 8},
    ]
    requests = [(f"$JS.API.DIRECT.GET.{stream}", json.dumps(get).encode()) for stream in user.reads for get in gets]
    requests += [(f"$JS.API.DIRECT.GET.{stream}.tape.main.strategy.intent.BTC-USDT", b"") for stream in user.reads]
    requests += [(f"{prefix}.{stream}", b"") for stream in user.reads for prefix in ("$JS.API.STREAM.INFO", "describe")]
    message = json.dumps({"last_by_subj": "tape.main.>"}).encode()
    requests += [
        (f"{prefix}.{stream}", message) for stream in user.reads for prefix in ("$JS.API.STREAM.MSG.GET", "message")
    ]
    requests += [("$JS.API.INFO", b""), ("$JS.API.STREAM.INFO.NONE", b"")]
    return [(subject, body, victim) for subject, body in requests for victim in victims]


@pytest.mark.parametrize("user", SERVICE_USERS, ids=lambda user: user.name)
async def test_a_user_cannot_have_the_server_answer_under_anybody_elses_name(
    server: Server, witness: Witness, user: User
) -> None:
    """The reply subject of a request is not checked by the server; the accounts keep the answer with the asker."""
    strategy = await server.connect("strategy")
    await strategy.request("tape.main.strategy.intent.BTC-USDT", b'{"kind":"kill_switch"}', timeout=2)
    await strategy.close()
    await witness.settle(witness.manager)
    inboxes = [f"_INBOX_{name}.stolen" for name in NAMES if name != user.name]
    await assert_refused(server, witness, user.name, bounces(user, [*others_subjects(user), *inboxes]))


@pytest.mark.parametrize("user", [user for user in SERVICE_USERS if user.appends], ids=lambda user: user.name)
async def test_an_acknowledgement_cannot_be_sent_under_anybody_elses_name(
    server: Server, witness: Witness, user: User
) -> None:
    """An append's answer stays with its writer too: the streams grow by the append itself and nothing else."""
    client = await server.connect(user.name)
    victims = others_subjects(user)
    for own in user.appends:
        before = await witness.state()
        witness.heard.clear()
        for victim in victims:
            await client.publish(own.replace(">", "kind"), b"own", reply=victim)
        # What its writer may append arrives, however busy the machine; only then is it time to look for more.
        async with asyncio.timeout(10):
            while await witness.grown_since(before) < len(victims):
                await asyncio.sleep(0.01)
        await witness.settle(client)
        assert await witness.grown_since(before) == len(victims), own
        assert all(heard.data == b"own" for who, heard in witness.heard if who != user.name), own
    await client.close()


@pytest.mark.parametrize(("thief", "victim"), list(itertools.permutations(NAMES, 2)))
async def test_nobody_hears_what_is_anothers(server: Server, thief: str, victim: str) -> None:
    """Another's inbox, the tape itself, the API's answers and the system's events cannot be listened to."""
    client = await server.connect(thief)
    stolen: list[Msg] = []

    async def steal(message: Msg) -> None:
        stolen.append(message)

    subjects = [f"_INBOX_{victim}.>", ">", "tape.>", "$JS.>", "*.>", "$SYS.>", "_R_.>"]
    if thief != "execution":
        subjects.append("permit.main")
    if victim in WRITERS:
        subjects += ["presence.>", f"presence.main.{victim}.>", f"presence.main.{victim}.active"]
    for subject in subjects:
        await client.subscribe(subject, cb=steal)
    await client.flush()
    await asyncio.sleep(SETTLE_S)
    # The client lower-cases what the server says.
    refused = " ".join(client.refusals)  # type: ignore[attr-defined]
    assert [subject for subject in subjects if f'subscription to "{subject.lower()}"' not in refused] == []
    other = await server.connect(victim)
    if victim in WRITERS:
        await other.request(f"tape.main.{victim}.kind", b"secret", timeout=2)
        for subject in (f"presence.main.{victim}.ask", f"presence.main.{victim}.active"):
            await other.publish(subject, b"secret")
    if victim == "risk":
        await other.publish("permit.main", b"secret")
    await other.flush()
    await client.flush()
    await asyncio.sleep(SETTLE_S)
    assert not stolen
    await client.close()
    await other.close()


@pytest.mark.parametrize("name", WRITERS)
async def test_a_service_can_do_what_the_table_grants(server: Server, name: str) -> None:
    """Append, be told the sequence, hear it live with its sequence, read it back, and have the stream described."""
    client = await server.connect(name)
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    await client.subscribe("live.main.>", cb=heard.put)
    await client.flush()
    answer = await client.request(
        f"tape.main.{name}.kind.BTC-USDT", b"hello", timeout=2, headers={"Nats-Expected-Stream": "TAPE_main"}
    )
    sequence = json.loads(answer.data)["seq"]
    live = await asyncio.wait_for(heard.get(), 2)
    assert live.headers is not None
    assert (live.subject, live.data) == (f"live.main.{name}.kind.BTC-USDT", b"hello")
    assert (live.headers["Nats-Sequence"], live.headers["Nats-Subject"]) == (
        str(sequence),
        f"tape.main.{name}.kind.BTC-USDT",
    )
    # Nothing is stored that was not sent: no trace of the import goes onto the tape.
    request = json.dumps({"seq": sequence, "batch": 1, "next_by_subj": "tape.main.>"}).encode()
    back = await client.request("$JS.API.DIRECT.GET.TAPE_main", request, timeout=2)
    assert back.data == b"hello"
    assert back.headers is not None
    assert {key for key in back.headers if not key.startswith("Nats-")} == set()
    assert "Nats-Request-Info" not in back.headers
    described = json.loads((await client.request("$JS.API.STREAM.INFO.TAPE_main", b"", timeout=2)).data)
    assert described["config"]["name"] == "TAPE_main"
    dead = json.loads((await client.request(f"dead.main.{name}", b"{}", timeout=2)).data)
    assert dead["stream"] == "DEAD_main"
    await client.close()


async def test_a_batch_comes_whole_and_in_order(server: Server) -> None:
    """A batched direct get answers with many messages, and all of them come through the import."""
    client = await server.connect("ledger")
    sequences = [
        json.loads((await client.request("tape.main.ledger.books", b"%d" % n, timeout=2)).data)["seq"]
        for n in range(300)
    ]
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    request = {"seq": sequences[0], "batch": 256, "next_by_subj": "tape.main.>"}
    await client.publish("$JS.API.DIRECT.GET.TAPE_main", json.dumps(request).encode(), reply=inbox)
    got = [await answers.next_msg(timeout=2) for _ in range(257)]
    assert [int((message.headers or {})["Nats-Sequence"]) for message in got[:-1]] == sequences[:256]
    assert (got[-1].headers or {})["Status"] == "204"
    await client.close()


async def effective(client: Client) -> None:
    """Return once the client's subscriptions are in force: an answer follows them on the same connection.

    Not flush(): in nats-py 2.16.0 its ping goes straight to the socket, ahead of what still waits to be sent.
    """
    await client.request("$JS.API.STREAM.INFO.TAPE_main", b"", timeout=2)


async def test_a_permit_goes_from_risk_to_execution(server: Server) -> None:
    """Permits are not stored; execution hears them."""
    execution, risk = await server.connect("execution"), await server.connect("risk")
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    await execution.subscribe("permit.main", cb=heard.put)
    await effective(execution)
    await risk.publish("permit.main", b"permit")
    assert (await asyncio.wait_for(heard.get(), 2)).data == b"permit"
    await execution.close()
    await risk.close()


@pytest.mark.parametrize("name", WRITERS)
async def test_two_instances_of_a_service_hear_each_other(server: Server, name: str) -> None:
    """Who asks is told by the broker that nobody listens, until an instance does; it then hears the answer."""
    asking, active = await server.connect(name), await server.connect(name)
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    asked: asyncio.Queue[Msg] = asyncio.Queue()
    await asking.subscribe(f"presence.main.{name}.active", cb=heard.put)
    with pytest.raises(nats.errors.NoRespondersError):
        await asking.request(f"presence.main.{name}.ask", timeout=2)
    await active.subscribe(f"presence.main.{name}.ask", cb=asked.put)
    await effective(active)
    await asking.publish(f"presence.main.{name}.ask")
    await asyncio.wait_for(asked.get(), 2)
    await active.publish(f"presence.main.{name}.active", b"here")
    assert (await asyncio.wait_for(heard.get(), 2)).data == b"here"
    await asking.close()
    await active.close()


async def test_the_console_reads_every_stream_and_writes_none(server: Server) -> None:
    """What an operator looks with cannot act."""
    console = await server.connect("console")
    for stream in STREAMS:
        described = json.loads((await console.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=2)).data)
        assert described["config"]["name"] == stream
    console_line = next(user for user in USERS if user.name == "console")
    assert not console_line.appends
    assert not console_line.says
    await console.close()


async def test_nobody_gets_in_without_a_key(server: Server) -> None:
    """There is no default user: no credentials, an unknown key and a password are refused alike."""
    stranger = Layout(server.layout.root / "stranger")
    provision_secrets(stranger, ("risk",), ())
    unknown = (stranger.secrets("risk") / NATS_SEED).read_text().strip()
    for credentials in ({}, {"nkeys_seed_str": unknown}, {"user": "risk", "password": "risk"}):
        client = Client()
        with pytest.raises(nats.errors.Error):
            await client.connect(servers=[server.place.url], allow_reconnect=False, **credentials)


async def test_the_stream_takes_no_message_beyond_the_largest(server: Server, witness: Witness) -> None:
    """Oversized messages are refused by the stream, and beyond that by the server itself."""
    client = await server.connect("strategy")
    before = await witness.state()
    answer = await client.request("tape.main.strategy.intent.X", b"x" * 262_145, timeout=2)
    assert "exceeds maximum" in json.loads(answer.data)["error"]["description"]
    with pytest.raises(nats.errors.MaxPayloadError):
        await client.publish("tape.main.strategy.intent.X", b"x" * (client.max_payload + 1))
    assert await witness.state() == before
    await client.close()


def one_account(users: tuple[User, ...], keys: dict[str, str]) -> dict[str, Any]:
    """Return what allow-lists alone would be: the same lists, every user in the account of the streams."""
    accounts = render_accounts(users, keys)
    everyone = [line for account in accounts.values() for line in account["users"]]
    for line in everyone:
        line["permissions"]["publish"]["allow"] += ["$JS.API.STREAM.INFO.TAPE_main"]
    return {"DESK": {"jetstream": "enabled", "users": everyone}}


async def test_allow_lists_alone_would_not_hold(tmp_path: Path) -> None:
    """Why the accounts are there: in one account the same lists let a strategy put its bytes under risk's name.

    If this fails because the server now refuses, the accounts have become a second lock; until then they are the only.
    """
    servers = await asyncio.to_thread(lambda: start_server(tmp_path, one_account))
    server = await asyncio.to_thread(lambda: next(servers))
    try:
        strategy = await server.connect("strategy")
        forged = b'{"kind":"kill_switch","engaged":false}'
        stored = json.loads((await strategy.request("tape.main.strategy.intent.X", forged, timeout=2)).data)["seq"]
        request = json.dumps({"seq": stored}).encode()
        await strategy.publish("$JS.API.DIRECT.GET.TAPE_main", request, reply="tape.main.risk.kill_switch")
        await strategy.flush()
        await asyncio.sleep(SETTLE_S * 5)
        answer = await strategy.request("$JS.API.DIRECT.GET.TAPE_main", b'{"seq":%d}' % (stored + 1), timeout=2)
        assert answer.data == forged
        assert answer.headers is not None
        assert answer.headers["Nats-Subject"] == "tape.main.risk.kill_switch"
        await strategy.close()
    finally:
        await asyncio.to_thread(lambda: next(servers, None))
