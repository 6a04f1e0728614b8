"""The start-up check of the broker: is the tape as durable as the money path needs?"""

from typing import Any

from tollgate_chassis.exits import BadConfiguration

DUPLICATE_WINDOW_NS = 600 * 1_000_000_000


def check_durability(description: dict[str, Any], desk: str) -> None:
    """Raise ``BadConfiguration`` naming every setting of the tape's stream that is not what it must be."""
    config = description["config"]
    expected: dict[str, Any] = {
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
        "duplicate_window": DUPLICATE_WINDOW_NS,
        "republish": {"src": f"tape.{desk}.>", "dest": f"live.{desk}.>"},
    }
    wrong = [
        f"  {name}: {config.get(name)!r}, expected {value!r}"
        for name, value in expected.items()
        if config.get(name) != value
    ]
    if config.get("max_bytes", -1) <= 0:
        wrong.append(f"  max_bytes: {config.get('max_bytes')!r}, expected an explicit size")
    if config.get("max_age", 0) != 0:
        wrong.append(f"  max_age: {config.get('max_age')!r}, expected 0: a tape does not forget")
    if wrong:
        raise BadConfiguration(f"the stream {config.get('name')} is not safe for money:\n" + "\n".join(wrong))
