"""The commands as a shell sees them: exit codes, sentences, and JSON that says what the page says."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from synthetic_tape import SyntheticDesk, rules_with
from typer.testing import CliRunner, Result

from tollgate_contracts.strategy import Intent
from tollgate_research import commands

APP = typer.Typer()
APP.command("explain")(commands.explain)
APP.add_typer(commands.policy, name="policy")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(APP, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Intent]:
    """Return a recorded run of a round trip, and its first intent."""
    desk = SyntheticDesk().open()
    first = desk.buy("101")
    desk.quote("103")
    return desk.write(tmp_path_factory.mktemp("run") / "run.jsonl.gz"), first


def policy_file(path: Path, changes: dict[str, Any]) -> Path:
    file = path / "new.yaml"
    file.write_text(yaml.safe_dump(rules_with(changes)))
    return file


def test_explain_prints_the_page_and_with_policy_the_rules(tape: tuple[Path, Intent]):
    path, intent = tape
    told = run("explain", intent.client_order_id, "--run", path)
    assert told.exit_code == 0, told.output
    assert f"strategy momentum wrote {intent.id}" in told.stdout
    assert "approval_life_ms" not in told.stdout
    assert '"approval_life_ms": 1500' in run("explain", intent.id, "--run", path, "--policy").stdout


def test_explain_as_json_has_every_gate_and_exact_money(tape: tuple[Path, Intent]):
    path, intent = tape
    answer = json.loads(run("explain", intent.id, "--run", path, "--json").stdout)
    assert answer["what"]["state"] == "FILLED"
    assert answer["result"]["trips"][0]["net"] == "17.56464"
    assert all(set(gate) == {"code", "limit", "seen", "unit", "kept"} for gate in answer["verdict"]["gates"])
    assert answer["rules"]["text"] is None
    with_policy = json.loads(run("explain", intent.id, "--run", path, "--json", "--policy").stdout)
    assert json.loads(with_policy["rules"]["text"])["desk"] == "main"


def test_an_unknown_id_says_what_was_looked_for_and_how_much_was_read(tape: tuple[Path, Intent]):
    answer = run("explain", "tg123", "--run", tape[0])
    assert answer.exit_code == 66
    assert "'tg123': 30 records of desk main were read" in answer.stderr
    assert answer.stdout == ""


def test_a_beginning_that_several_have_lists_them(tape: tuple[Path, Intent]):
    path, intent = tape
    answer = run("explain", "strategy:", "--run", path)
    assert answer.exit_code == 2
    assert intent.id in answer.stdout
    assert "2 ids, of 2 orders, are meant by 'strategy:'" in answer.stderr
    listed = json.loads(run("explain", "strategy:", "--run", path, "--json").stdout)
    assert listed[0] == {"id": intent.id, "client_order_id": intent.client_order_id}


@pytest.mark.parametrize("command", [("explain", "tg"), ("policy", "diff", "{policy}")], ids=["explain", "policy diff"])
def test_a_tape_that_cannot_be_read_ends_with_its_own_code(command: tuple[str, ...], tmp_path: Path):
    good = policy_file(tmp_path, {})
    arguments = [each.format(policy=good) for each in command]
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(b"no gzip")
    assert run(*arguments, "--run", broken).exit_code == 65
    assert run(*arguments, "--run", tmp_path / "missing").exit_code == 66
    absent = run(*arguments, "--state-dir", tmp_path)
    assert absent.exit_code == 69
    assert "no platform runs with" in absent.stderr


def test_an_empty_id_is_refused(tape: tuple[Path, Intent]):
    assert run("explain", "", "--run", tape[0]).exit_code == 2


def test_policy_diff_ends_with_0_when_nothing_differs_and_with_1_when_something_does(
    tape: tuple[Path, Intent], tmp_path: Path
):
    same = run("policy", "diff", policy_file(tmp_path, {}), "--run", tape[0])
    assert same.exit_code == 0, same.output
    assert "0 of the last 2 decisions" in same.stdout
    tighter = policy_file(tmp_path, {"limits.order_notional": "500"})
    other = run("policy", "diff", tighter, "--run", tape[0])
    assert other.exit_code == 1
    assert "limits.order_notional  5000  500  tighter" in other.stdout
    assert "+limit.order_notional" in other.stdout
    assert "at the state as it was on the tape" in other.stdout
    content = json.loads(run("policy", "diff", tighter, "--run", tape[0], "--json").stdout)
    assert content["appear"] == {"limit.order_notional": len(content["otherwise"])}
    assert run("policy", "diff", tighter, "--run", tape[0], "--last", "0").exit_code == 2


def test_a_broken_policy_names_its_key_and_a_missing_one_is_another_code(tape: tuple[Path, Intent], tmp_path: Path):
    broken = run("policy", "diff", policy_file(tmp_path, {"limits.open_orders": "many"}), "--run", tape[0])
    assert broken.exit_code == 78
    assert "limits.open_orders" in broken.stderr
    assert "'many'" in broken.stderr
    strange = run("policy", "diff", policy_file(tmp_path, {"limits.opne_orders": 3}), "--run", tape[0])
    assert strange.exit_code == 78
    assert "limits.opne_orders: no such key" in strange.stderr
    assert run("policy", "diff", tmp_path / "missing.yaml", "--run", tape[0]).exit_code == 66
