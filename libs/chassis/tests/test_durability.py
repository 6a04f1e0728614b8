"""A broker that is not safe for money is refused at start."""

import copy

import pytest

from tollgate_chassis.durability import check_durability
from tollgate_chassis.exits import BadConfiguration

SAFE = {
    "config": {
        "name": "TAPE_main",
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
        "duplicate_window": 600_000_000_000,
        "republish": {"src": "tape.main.>", "dest": "live.main.>"},
        "max_bytes": 1_000_000,
        "max_age": 0,
    }
}


def test_the_provisioned_settings_pass():
    check_durability(SAFE, "main")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention", "workqueue"),
        ("storage", "memory"),
        ("discard", "old"),
        ("deny_delete", False),
        ("deny_purge", False),
        ("allow_direct", False),
        ("duplicate_window", 1_000),
        ("republish", None),
        ("max_bytes", -1),
        ("max_age", 60),
    ],
)
def test_each_unsafe_setting_is_named(name, value):
    unsafe = copy.deepcopy(SAFE)
    unsafe["config"][name] = value
    with pytest.raises(BadConfiguration, match=rf"TAPE_main is not safe for money:\n  {name}: .*, expected"):
        check_durability(unsafe, "main")


def test_a_stream_without_any_of_it_is_told_all_of_it():
    with pytest.raises(BadConfiguration) as refused:
        check_durability({"config": {"name": "TAPE_main"}}, "main")
    assert refused.value.why.count("expected") == 9
