"""How two policies differ, knob by knob, and whether the new one is the tighter.

What a tightened policy lets through, the one before would have let through: each knob carries the direction in which
it refuses more, and a change the other way is none. A market order is the one that may pass where it did not: under a
narrower collar its price bound, and so its worst value, is lower, and what is approved is that smaller order.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, get_args

from pydantic.fields import FieldInfo

from tollgate_contracts.config import canonical_json
from tollgate_contracts.envelope import Value
from tollgate_contracts.money import plain
from tollgate_risk.core.caps import Group, UnitCap
from tollgate_risk.core.policy import PolicyRules
from tollgate_risk.core.tightness import Tighter

# Of the lists of values: what tells one member from another.
_NAME_OF: dict[type[Value], str] = {UnitCap: "symbol", Group: "name"}


class Change(NamedTuple):
    """One knob that differs, with both values as text."""

    knob: str
    """Dotted, as in the policy file; a member of a list by its symbol or name."""
    old: str
    new: str
    direction: Tighter
    is_tighter: bool


def changes(old: PolicyRules, new: PolicyRules) -> tuple[Change, ...]:
    """Return every knob that differs, in the order of the policy file."""
    return tuple(_differences("", old, new))


def knobs(kind: type[Value] = PolicyRules, prefix: str = "") -> Iterator[tuple[str, Tighter | None]]:
    """Yield every knob with its direction, none where it has been forgotten; members of lists have ``*``."""
    for name, field in kind.model_fields.items():
        path, direction = f"{prefix}{name}", _direction(field)
        members, inner = _member_of(field), _value_in(field)
        if members is not None:
            yield from knobs(members, f"{path}.*.")
            continue
        if inner is None or direction is not None:
            yield path, direction
        if inner is not None:
            yield from knobs(inner, f"{path}.")


def _differences(prefix: str, old: Value, new: Value) -> Iterator[Change]:
    for name, field in type(old).model_fields.items():
        path, before, after = f"{prefix}{name}", getattr(old, name), getattr(new, name)
        if before == after:
            continue
        members = _member_of(field)
        if members is not None:
            yield from _list_differences(path, _NAME_OF[members], before, after)
        elif isinstance(before, Value) and isinstance(after, Value):
            yield from _differences(f"{path}.", before, after)
        else:
            direction = _direction(field) or Tighter.NEVER
            yield _change(path, before, after, direction)


def _list_differences(path: str, key: str, old: tuple[Value, ...], new: tuple[Value, ...]) -> Iterator[Change]:
    before = {getattr(member, key): member for member in old}
    after = {getattr(member, key): member for member in new}
    if before.keys() != after.keys():
        yield _change(path, tuple(before), tuple(after), Tighter.NEVER)
        return
    for name, member in before.items():
        yield from _differences(f"{path}.{name}.", member, after[name])


def _change(path: str, old: Any, new: Any, direction: Tighter) -> Change:
    return Change(path, _shown(old), _shown(new), direction, _IS_TIGHTER[direction](old, new))


_IS_TIGHTER: dict[Tighter, Callable[[Any, Any], bool]] = {
    Tighter.LOWER: lambda old, new: new < old,
    Tighter.HIGHER: lambda old, new: new > old,
    Tighter.FEWER: lambda old, new: set(new) <= set(old),
    Tighter.MORE: lambda old, new: set(new) >= set(old),
    Tighter.SEVERER: lambda old, new: new.severity > old.severity,
    Tighter.OFF: lambda old, new: old and not new,
    Tighter.ON: lambda old, new: new and not old,
    Tighter.NEVER: lambda _old, _new: False,
}


def _direction(field: FieldInfo) -> Tighter | None:
    return next((each for each in field.metadata if isinstance(each, Tighter)), None)


def _member_of(field: FieldInfo) -> type[Value] | None:
    """Return what a list of values has as members; none for all else."""
    return next((kind for kind in get_args(field.annotation) if isinstance(kind, type) and kind in _NAME_OF), None)


def _value_in(field: FieldInfo) -> type[Value] | None:
    """Return the section or the rule that a field holds, also where it may be null; none for a leaf."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Value):
            return kind
    return None


def _shown(value: Any) -> str:
    match value:
        case Decimal():
            return plain(value)
        case Value():
            return canonical_json(value.model_dump(mode="json"))
        case tuple():
            return ", ".join(value) or "none"
        case Enum():
            return str(value.value)
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
    return str(value)
