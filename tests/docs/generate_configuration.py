"""Write ``docs/configuration.md`` from the settings classes: every key, its type, default, variable and meaning.

Run it with ``uv run python -m tests.docs.generate_configuration``. A key without a docstring stops it: a setting that
nobody explains is a setting that nobody can use. The page's words around the tables are in ``configuration_head.md``.
"""

import ast
import inspect
import json
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tollgate_chassis.settings import DeskSettings
from tollgate_console.settings import ConsoleSection
from tollgate_contracts.money import plain
from tollgate_domain.costs import CostModel
from tollgate_execution.core import Watch
from tollgate_execution.settings import ExecutionSection, WatchSection
from tollgate_ledger.settings import LedgerSection
from tollgate_marketdata.settings import MarketDataSection
from tollgate_risk.core.policy import LIVE_ACKNOWLEDGEMENT, ConditionRule, FloorRule, PolicyRules
from tollgate_risk.core.tightness import Tighter
from tollgate_risk.settings import RiskSection
from tollgate_simvenue.settings import SimvenueSection
from tollgate_strategy.core import Knobs

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
HEAD = Path(__file__).with_name("configuration_head.md")
SECTIONS: dict[str, type[BaseModel]] = {
    "marketdata": MarketDataSection,
    "strategy": Knobs,
    "risk": RiskSection,
    "execution": ExecutionSection,
    "ledger": LedgerSection,
    "simvenue": SimvenueSection,
    "console": ConsoleSection,
    "costs": CostModel,
}
# Whose docstrings explain a section's keys, when the section only repeats them in other units.
EXPLAINED_BY: dict[type[BaseModel], tuple[type[BaseModel], str, str]] = {WatchSection: (Watch, "_ms", "_us")}
ABOUT_POLICY = (
    "The file that `risk.policy_file` names. Every key is required; there are no defaults and no variables: a limit "
    "that nobody wrote down is a limit that nobody chose. [config/policy.yaml](../config/policy.yaml) is a policy for "
    "the simulated desk; [risk.md](risk.md) says how the gate counts. On a live desk, `arming.live_trading_ack` must "
    f"be this sentence, letter for letter: `{LIVE_ACKNOWLEDGEMENT}`. The column *tighter* says which way a knob may be "
    "changed while the desk runs; *restart*: neither way."
)
ABOUT_CONDITIONS = (
    "Each of `modes.conditions` is null, which switches it off, or has these keys. For `win_rate` they count the other "
    "way round: it begins at or below `enter` and ends at or above `leave`."
)
_WORDS = {int: "whole number", str: "text", bool: "true or false", Decimal: "decimal", Path: "path", float: "number"}


_TIGHTER = {
    Tighter.LOWER: "lower", Tighter.HIGHER: "higher", Tighter.FEWER: "fewer", Tighter.MORE: "more",
    Tighter.SEVERER: "severer", Tighter.OFF: "false", Tighter.ON: "true", Tighter.NEVER: "restart",
}  # fmt: skip


class MissingMeaning(Exception):
    """A key has no attribute docstring; the message names it."""


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the page."""

    path: tuple[str, ...]
    type_words: str
    default: str
    meaning: str
    has_variable: bool
    tighter: str = ""
    """How the knob may be changed while the desk runs."""

    @property
    def name(self) -> str:
        """As it stands in the file, a part of a list with brackets."""
        return ".".join(self.path).replace(".[]", "[]")

    def row(self, columns: tuple[str, ...], skip: int) -> str:
        """Return the row; ``skip`` parts of the path are in the heading already."""
        shown = Key(self.path[skip:], self.type_words, self.default, self.meaning, self.has_variable).name
        cells = {
            "key": f"`{shown}`",
            "type": self.type_words,
            "default": self.default,
            "variable": f"`TOLLGATE_{'__'.join(self.path).upper()}`" if self.has_variable else "with its list",
            "tighter": self.tighter,
            "meaning": self.meaning,
        }
        return "| " + " | ".join(cells[column].replace("|", "\\|").replace("\n", " ") for column in columns) + " |"


@cache
def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the attribute docstrings of a class and of those that it is made from."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not issubclass(each, BaseModel) or each.__module__.startswith("pydantic"):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        assert isinstance(body, ast.ClassDef)
        for before, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
                text = after.value if isinstance(after, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    found[before.target.id] = inspect.cleandoc(text.value)
    return found


def meaning_of(model: type[BaseModel], name: str, annotation: Any) -> str:
    """Return what a key means: its docstring, or that of the class behind it; raises ``MissingMeaning``."""
    explained = docstrings(model).get(name)
    if explained is None and model in EXPLAINED_BY:
        other, ours, theirs = EXPLAINED_BY[model]
        explained = docstrings(other).get(name.replace(ours, theirs))
    if explained is None and (nested := nested_model(annotation)):
        explained = inspect.getdoc(nested)
    if not explained:
        raise MissingMeaning(f"{model.__name__}.{name} in {inspect.getsourcefile(model)} has no docstring below it")
    return explained.replace("``", "`")


def nested_model(annotation: Any) -> type[BaseModel] | None:
    """Return the model that an annotation holds, alone or in a list."""
    bare = typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation
    if typing.get_origin(bare) is tuple:
        bare = typing.get_args(bare)[0]
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def bounds(metadata: tuple[Any, ...]) -> str:
    """Return the limits that an annotation names, in words."""
    signs = {annotated_types.Ge: "≥", annotated_types.Gt: ">", annotated_types.Le: "≤", annotated_types.Lt: "<"}
    constraints = [one for entry in metadata for one in (entry.metadata if isinstance(entry, FieldInfo) else [])]
    words = []
    for constraint in constraints:
        for kind, sign in signs.items():
            if isinstance(constraint, kind):
                words.append(f"{sign} {getattr(constraint, kind.__name__.lower())}")
        pattern = getattr(constraint, "pattern", None)
        if pattern:
            words.append(f"`{pattern}`")
        if isinstance(constraint, annotated_types.MinLen):
            words.append(f"at least {constraint.min_length}")
        if isinstance(constraint, annotated_types.MaxLen):
            words.append(f"at most {constraint.max_length}")
    # An amount that must be above zero need not also be told that it may be zero.
    return ", ".join(word for word in words if not (word == "≥ 0" and any(one.startswith("> ") for one in words)))


def type_words(annotation: Any) -> str:
    """Return an annotation in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        limits = bounds(arguments[1:])
        words = type_words(arguments[0])
        return f"{words}, {limits}" if limits else words
    if origin in {typing.Union, types.UnionType}:
        kept = [type_words(one) for one in arguments if one is not type(None)]
        return " or ".join([*kept, *(["null"] if type(None) in arguments else [])])
    if origin is tuple:
        return f"list of: {type_words(arguments[0])}"
    if origin is dict:
        return f"map of {type_words(arguments[0])} to {type_words(arguments[1])}"
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if issubclass(annotation, Enum):
        return " or ".join(f"`{member.value}`" for member in annotation)
    return (
        "`enter`, `leave`, `response`"
        if annotation in {ConditionRule, FloorRule}
        else "section"
        if issubclass(annotation, BaseModel)
        else _WORDS[annotation]
    )


def shown(value: Any) -> str:
    """Return a default as it would be written in the file."""
    if value is PydanticUndefined:
        return "required"
    return f"`{json.dumps(_plain(value), ensure_ascii=False)}`"


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return plain(value)
        case Path():
            return str(value)
        case Enum():
            return value.value
        case BaseModel():
            return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value


def keys_of(
    model: type[BaseModel],
    path: tuple[str, ...] = (),
    *,
    defaults: BaseModel | None = None,
    skip: frozenset[str] = frozenset(),
) -> Iterator[Key]:
    """Yield the keys of a model, those of a nested one in its place, and those of a list's entries after the list."""
    hints = typing.get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        if name in skip:
            continue
        annotation = hints[name]
        nested = nested_model(annotation)
        is_section = isinstance(annotation, type) and nested is not None
        default = getattr(defaults, name) if defaults is not None else field.get_default(call_default_factory=True)
        here = (*path, name)
        if is_section and nested is not None:
            yield from keys_of(nested, here, defaults=None if default is PydanticUndefined else default)
            continue
        in_list = "[]" in path
        meaning = meaning_of(model, name, annotation)
        value = "as listed below the table" if nested is not None and len(shown(default)) > 200 else shown(default)
        yield Key(here, type_words(annotation), value, meaning, not in_list, _tighter(annotation))
        if nested is not None:
            yield from keys_of(nested, (*here, "[]"))


def _tighter(annotation: Any) -> str:
    """Return which way a knob of the policy is tightened."""
    if {ConditionRule, FloorRule} & {*typing.get_args(next(iter(typing.get_args(annotation)), None))}:
        return "its keys"
    metadata = typing.get_args(annotation)[1:] if typing.get_origin(annotation) is Annotated else ()
    return next((_TIGHTER[entry] for entry in metadata if isinstance(entry, Tighter)), "")


def table(keys: list[Key], skip: int, *, variables: bool = True) -> str:
    """Return the keys as a table; ``skip`` parts of each path are in the heading."""
    columns = ("key", "type", "default", "variable", "meaning") if variables else ("key", "type", "tighter", "meaning")
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *(key.row(columns, skip) for key in keys)])


def instruments() -> str:
    """Return the exchange's table of instruments, which is too wide for a cell."""
    lines = ["| symbol | tick | step | min_quantity | min_notional | start_price | status |", "|" + "---|" * 7]
    rows = (_plain(line).values() for line in SimvenueSection().instruments)
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def fee_tiers() -> str:
    """Return the tiers that apply where the file names none."""
    lines = ["| volume_from | maker_bps | taker_bps |", "|" + "---|" * 3]
    rows = (_plain(tier).values() for tier in CostModel().fee_tiers)
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def render() -> str:
    """Return the whole page."""
    parts = [HEAD.read_text().rstrip(), "## Shared keys", table(list(keys_of(DeskSettings)), 0)]
    for name, model in SECTIONS.items():
        defaults = model()
        parts += [f"## `{name}`", table(list(keys_of(model, (name,), defaults=defaults)), 1)]
        if name == "simvenue":
            parts += ["`instruments`, as it is when the file names none:", instruments()]
        if name == "costs":
            parts += ["`fee_tiers`, as they are when the file names none:", fee_tiers()]
    parts += [
        "## `policy.yaml`",
        ABOUT_POLICY,
        table(list(keys_of(PolicyRules)), 0, variables=False),
        ABOUT_CONDITIONS,
        table(list(keys_of(ConditionRule)), 0, variables=False),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(render())
    print(f"{PAGE} is written")


if __name__ == "__main__":
    main()
