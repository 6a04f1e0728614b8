"""``tollgate audit``: proofs that the books are what the tape makes them."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

_OK, _DIFFERENT, _NOT_PROVED, _NO_INPUT, _NOT_RUNNING = 0, 1, 3, 66, 69
_KEYS = Path("secrets/reader/seal_public_keys")
_LEDGER = Path("services/ledger")
# Twelve times `ledger.seal_interval_s` as it is shipped; here as a number, since the help must not wait for an import.
_SEALED_WITHIN_S = 3_600
_STATE = Path(".tollgate")

StateDir = Annotated[Path, typer.Option(help="State directory of the running platform.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object with stable keys.")]
DsnFile = Annotated[
    Path | None,
    typer.Option(help="File with the DSN of a database with the books; the platform's own when it is left out."),
]

audit = typer.Typer(
    help="Prove that the books are what the tape makes them, and that nobody has touched either.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@audit.callback()
def _audits() -> None:
    """Prove that the books are what the tape makes them, and that nobody has touched either."""


@audit.command()
def verify(
    state_dir: StateDir = _STATE,
    dsn_file: DsnFile = None,
    public_keys: Annotated[
        Path | None, typer.Option(help="File with the public keys of the seals; the state directory's by default.")
    ] = None,
    last_seal: Annotated[
        Path | None, typer.Option(help="The ledger's own copy of its last seal; the state directory's by default.")
    ] = None,
    without_tape: Annotated[
        bool, typer.Option("--without-tape", help="Do not compare the archive with the broker's tape.")
    ] = False,
    sealed_within_s: Annotated[
        int,
        typer.Option(
            min=1,
            help="How old the newest record may be when no seal has come since; by far more than "
            "ledger.seal_interval_s.",
        ),
    ] = _SEALED_WITHIN_S,
    as_json: AsJson = False,
) -> None:
    """Check chains, sums, seals and the database's rules, step the archive again, and name the first row that differs.

    The archive is also compared with the broker's tape, record by record, where the platform runs. It may run on
    meanwhile: all is read up to where it stands at one moment, with roles that can change nothing.

    Exit code 0: the books hold; 1: something differs, and of each part the first row is named; 3: nothing differs, and
    not everything could be looked at, as is said; 66: the public keys or the last seal cannot be read; 69: the books
    cannot be read.
    """
    from tollgate_contracts.money import install_exact_context  # noqa: PLC0415 - `tollgate --help` stays fast
    from tollgate_ledger.seal import LAST_SEAL_FILE  # noqa: PLC0415 - as above
    from tollgate_research import layout  # noqa: PLC0415 - as above
    from tollgate_research.audit.seals import read_last_seal, read_public_keys  # noqa: PLC0415 - as above
    from tollgate_research.audit.text import audit_page  # noqa: PLC0415 - as above
    from tollgate_research.audit.verify import Evidence, verify_beside  # noqa: PLC0415 - as above
    from tollgate_research.books import READER_DSN, read_dsn  # noqa: PLC0415 - as above

    install_exact_context()
    began = time.perf_counter()
    with _reading():
        keys = read_public_keys(public_keys or state_dir / _KEYS)
        dsn = read_dsn(dsn_file or state_dir / READER_DSN)
        kept = read_last_seal(last_seal or state_dir / _LEDGER / LAST_SEAL_FILE)
        no_tape = "" if without_tape else "the tape of the database that was named is not known"
        evidence = Evidence(keys, kept, no_tape, sealed_within_s)
        of_platform = None if dsn_file is not None or without_tape else state_dir
        found = asyncio.run(verify_beside(dsn, evidence, of_platform))
    took_s = round(time.perf_counter() - began, 3)
    if as_json:
        typer.echo(json.dumps({**found.values(), "took_s": took_s}, indent=2))
    else:
        layout.console().print(audit_page(found))
        typer.echo(f"{took_s:.1f} s")
    raise typer.Exit(_DIFFERENT if not found.holds else _NOT_PROVED if found.not_proved else _OK)


@audit.command()
def venue(state_dir: StateDir = _STATE, dsn_file: DsnFile = None, as_json: AsJson = False) -> None:
    """Print what the venue has stated last beside what the books hold, currency by currency.

    Exit code 0: they agree, but for dust; 1: they do not; 3: that cannot be judged, because money moved at the moment
    of the statement, or the statement is old; 66: the venue has stated nothing yet; 69: the books cannot be read.
    """
    from tollgate_contracts.money import install_exact_context  # noqa: PLC0415 - `tollgate --help` stays fast
    from tollgate_research import layout  # noqa: PLC0415 - as above
    from tollgate_research.audit.text import venue_page  # noqa: PLC0415 - as above
    from tollgate_research.audit.venue import Comparison, Outcome, compare  # noqa: PLC0415 - as above
    from tollgate_research.books import READER_DSN, opened, read_dsn  # noqa: PLC0415 - as above

    async def ask(dsn: str) -> Comparison:
        async with opened(dsn) as connection:
            return await compare(connection)

    install_exact_context()
    with _reading():
        comparison = asyncio.run(ask(read_dsn(dsn_file or state_dir / READER_DSN)))
    if as_json:
        typer.echo(json.dumps(comparison.values(), indent=2))
    else:
        layout.console().print(venue_page(comparison))
    codes = {Outcome.AGREES: _OK, Outcome.DIFFERS: _DIFFERENT, Outcome.NOT_JUDGED: _NOT_PROVED}
    raise typer.Exit(codes[comparison.outcome])


@audit.command()
def rebuild(
    state_dir: StateDir = _STATE,
    schema: Annotated[Path, typer.Option(help="Folder with roles.sql and ledger.sql.")] = Path("deploy/postgres"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the rebuilt database, and say its name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the books again from the archive, in a database of their own, and compare every table with the one in use.

    Makes the database with the administrator's password of the state directory, and removes it in the end.

    Exit code 0: equal to the last digit; 1: a table differs, and the first row is named; 66: the schema is not there;
    69: the books cannot be read.
    """
    from tollgate_contracts.money import install_exact_context  # noqa: PLC0415 - `tollgate --help` stays fast
    from tollgate_research import layout  # noqa: PLC0415 - as above
    from tollgate_research.audit.rebuild import administrator_of  # noqa: PLC0415 - as above
    from tollgate_research.audit.rebuild import rebuild as make_again  # noqa: PLC0415 - as above
    from tollgate_research.audit.text import rebuilt_page  # noqa: PLC0415 - as above
    from tollgate_research.books import READER_DSN, read_dsn  # noqa: PLC0415 - as above

    install_exact_context()
    if not (schema / "ledger.sql").is_file():
        _fail(_NO_INPUT, f"{schema}/ledger.sql is not there; name the folder with --schema")
    with _reading():
        reader = read_dsn(state_dir / READER_DSN)
        rebuilt = asyncio.run(make_again(reader, administrator_of(reader, state_dir, schema), keep=keep))
    if as_json:
        typer.echo(json.dumps(rebuilt.values(), indent=2))
    else:
        layout.console().print(rebuilt_page(rebuilt))
    raise typer.Exit(_OK if rebuilt.is_equal else _DIFFERENT)


@contextmanager
def _reading() -> Iterator[None]:
    """End with the code that is documented when there is nothing to audit."""
    from tollgate_research.audit.seals import NoKeys  # noqa: PLC0415 - as above
    from tollgate_research.audit.venue import NoStatement  # noqa: PLC0415 - as above
    from tollgate_research.books import NoBooks  # noqa: PLC0415 - `tollgate --help` stays fast

    try:
        yield
    except NoBooks as error:
        _fail(_NOT_RUNNING, str(error))
    except (NoKeys, NoStatement) as error:
        _fail(_NO_INPUT, str(error))


def _fail(code: int, why: str) -> NoReturn:
    typer.secho(why, fg="red", err=True)
    raise typer.Exit(code)
