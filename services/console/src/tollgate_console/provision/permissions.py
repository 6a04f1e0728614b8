"""The table of the broker's permissions, and the accounts that make it hold.

Pure: text in, configuration out. Each user is alone in its own account and imports its own lines of the table from
the account ``DESK``, where the streams lie; deploy/nats/README.md says why allow-lists alone would not hold.
"""

import argparse
import json
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tollgate_console.exits import ConsoleError, ConsoleExit

# The account of the streams; only the provisioner is a user of it.
DESK_ACCOUNT = "DESK"
_COLUMNS = frozenset({"appends", "says", "hears", "reads", "manages"})


@dataclass(frozen=True, slots=True)
class User:
    """One line of the table, with the desk filled in."""

    name: str
    appends: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    manages: tuple[str, ...] = ()

    @property
    def account(self) -> str:
        """The account of which this is a user."""
        return DESK_ACCOUNT if self.manages else self.name.upper()

    @property
    def may_publish(self) -> tuple[str, ...]:
        """Every subject that the user's own allow-list holds."""
        reading = (subject for stream in self.reads for subject in (*_get(stream), *_asked(stream).values()))
        managing = (
            f"$JS.API.STREAM.{verb}.{stream}" for stream in self.manages for verb in ("CREATE", "UPDATE", "INFO")
        )
        return (*self.appends, *self.says, *reading, *managing)

    @property
    def may_subscribe(self) -> tuple[str, ...]:
        """Every subject that the user may listen to; answers come to an inbox with its own name."""
        return (*self.hears, f"_INBOX_{self.name}.>")


def read_table(path: Path, desk: str) -> tuple[User, ...]:
    """Return the users of ``desk``; raises ``ConsoleError`` that names what is wrong in the table."""
    content = tomllib.loads(path.read_text())
    users = tuple(_user(path, name, line, desk) for name, line in content["users"].items())
    said = {subject for user in users for subject in user.says}
    for user in users:
        for subject in user.hears:
            if subject not in said and not subject.startswith(f"live.{desk}."):
                raise _wrong(path, f"users.{user.name}.hears: nobody says {subject}")
        if user.manages and (user.appends or user.says or user.hears or user.reads):
            raise _wrong(path, f"users.{user.name}: who manages streams may do nothing else")
    return users


def _user(path: Path, name: str, line: dict[str, list[str]], desk: str) -> User:
    unknown = sorted(line.keys() - _COLUMNS)
    if unknown:
        columns = ", ".join(sorted(_COLUMNS))
        raise _wrong(path, f"users.{name}: no such column {', '.join(unknown)}; there are {columns}")
    return User(name, **{column: tuple(value.format(desk=desk) for value in values) for column, values in line.items()})


def _wrong(path: Path, what: str) -> ConsoleError:
    return ConsoleError(ConsoleExit.BAD_CONFIGURATION, f"{path}: {what}")


def render_accounts(users: tuple[User, ...], public_keys: dict[str, str]) -> dict[str, Any]:
    """Return the ``accounts`` part of the server's configuration; ``public_keys`` maps users to nkeys."""
    accounts: dict[str, Any] = {DESK_ACCOUNT: {"jetstream": "enabled", "exports": _exports(users), "users": []}}
    for user in users:
        account = accounts.setdefault(user.account, {"users": []})
        account["users"].append(
            {
                "nkey": public_keys[user.name],
                "permissions": {
                    "publish": {"allow": list(user.may_publish)},
                    "subscribe": {"allow": list(user.may_subscribe)},
                },
            }
        )
        if user.account != DESK_ACCOUNT:
            account["imports"] = _imports(user, users)
            account["mappings"] = {api: own for stream in user.reads for api, own in _asked(stream).items()}
            # What its own instances say to each other leaves the account by no door.
            said_to = {subject: [to for to in _hearers(users, subject) if to != user.account] for subject in user.says}
            account["exports"] = [{"stream": subject, "accounts": to} for subject, to in said_to.items() if to]
    return accounts


def _exports(users: tuple[User, ...]) -> list[dict[str, Any]]:
    exports: list[dict[str, Any]] = []
    for user in users:
        exports += [{"service": subject, "accounts": [user.account]} for subject in user.appends]
    for stream in sorted({stream for user in users for stream in user.reads}):
        readers = [user.account for user in users if stream in user.reads]
        # A batched direct get answers with many messages.
        exports += [{"service": subject, "accounts": readers, "response_type": "stream"} for subject in _get(stream)]
        exports += [{"service": api, "accounts": readers} for api in _asked(stream)]
    said = {subject for user in users for subject in user.says}
    for subject in sorted({subject for user in users for subject in user.hears} - said):
        exports.append({"stream": subject, "accounts": _hearers(users, subject)})
    return exports


def _imports(user: User, users: tuple[User, ...]) -> list[dict[str, Any]]:
    said_by = {subject: other.account for other in users for subject in other.says}
    wanted = [subject for stream in user.reads for subject in _get(stream)]
    imports: list[dict[str, Any]] = [_service(subject) for subject in (*user.appends, *wanted)]
    imports += [{**_service(api), "to": own} for stream in user.reads for api, own in _asked(stream).items()]
    imports += [
        {"stream": {"account": said_by.get(subject, DESK_ACCOUNT), "subject": subject}}
        for subject in user.hears
        if subject not in user.says
    ]
    return imports


def _service(subject: str) -> dict[str, Any]:
    return {"service": {"account": DESK_ACCOUNT, "subject": subject}}


def _hearers(users: tuple[User, ...], subject: str) -> list[str]:
    return [user.account for user in users if subject in user.hears]


def _get(stream: str) -> tuple[str, str]:
    return (f"$JS.API.DIRECT.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}.>")


def _asked(stream: str) -> dict[str, str]:
    """Return what is asked of a stream's leader, each with its name in the asker's own account.

    Its description, and a message of it: any copy of the stream may answer a direct get, and one that is a little
    behind would deny what has just been written.
    """
    return {
        f"$JS.API.STREAM.INFO.{stream}": f"describe.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}": f"message.{stream}",
    }


def main() -> None:
    """Print the accounts for a deployment elsewhere, given the users' public keys as JSON on standard input."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--table", type=Path, default=Path("deploy/nats/permissions.toml"))
    parser.add_argument("--desk", default="main")
    arguments = parser.parse_args()
    users = read_table(arguments.table, arguments.desk)
    json.dump({"accounts": render_accounts(users, json.load(sys.stdin))}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
