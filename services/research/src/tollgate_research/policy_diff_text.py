"""What differs between two policies, as an operator reads it and as JSON."""

from typing import Any

from pydantic import TypeAdapter
from rich.console import Group, RenderableType
from rich.text import Text

from tollgate_research import layout
from tollgate_research.policy_diff import Difference, Rejudged

# A screenful; the sums and JSON have all of them.
_SHOWN_MAX = 20
_ADAPTER: TypeAdapter[Difference] = TypeAdapter(Difference)


def difference_json(difference: Difference) -> dict[str, Any]:
    """Return the whole as JSON-ready values."""
    content: dict[str, Any] = _ADAPTER.dump_python(difference, mode="json")
    return content


def difference_page(difference: Difference) -> RenderableType:
    """Return the whole as a page."""
    parts: list[RenderableType] = [
        f"against policy {difference.policy_hash}",
        f"in force at the end of the tape of desk {difference.desk}, {difference.records:,} records read",
        *layout.section("Knobs that differ", _knobs(difference)),
        *layout.section("Decisions that would have been otherwise", _decisions(difference)),
    ]
    return Group(*parts)


def _knobs(difference: Difference) -> list[RenderableType]:
    if not difference.knobs:
        return ["none"]
    knobs = layout.table("knob", "old", "new", "")
    for knob in difference.knobs:
        style = {"tighter": "green", "looser": "red"}.get(knob.effect, "")
        knobs.add_row(knob.name, knob.old, knob.new, Text(knob.effect, style=style))
    return [knobs]


def _decisions(difference: Difference) -> list[RenderableType]:
    count = len(difference.otherwise)
    lines: list[RenderableType] = [
        f"{count} of the last {difference.judged} decisions, each judged at the state as it was on the tape: orders,",
        "fills, counts and modes are those that came of the policy of then",
    ]
    if difference.unjudged:
        lines.append(f"{difference.unjudged} more had no policy in force and are not judged")
    if difference.recomputed_otherwise:
        unlike = f"{difference.recomputed_otherwise} of them were decided by another version of the gate"
        lines.append(f"{unlike}: this one decides otherwise even under the policy of then")
    if not count:
        return lines
    lines += ["", *_sums(difference), "", _listed(difference.otherwise[-_SHOWN_MAX:])]
    if count > _SHOWN_MAX:
        lines.append(f"the last {_SHOWN_MAX} are listed; --json lists all")
    return lines


def _sums(difference: Difference) -> list[RenderableType]:
    moves = [(each.outcome, each.new_outcome) for each in difference.otherwise]
    flips = layout.table("decided", "would be", "decisions")
    for move in dict.fromkeys(moves):
        flips.add_row(*move, str(moves.count(move)))
    reasons = layout.table("reason", "appears", "vanishes")
    for reason in dict.fromkeys((*difference.appear, *difference.vanish)):
        reasons.add_row(reason, str(difference.appear.get(reason, 0)), str(difference.vanish.get(reason, 0)))
    return [flips, "", reasons]


def _listed(otherwise: tuple[Rejudged, ...]) -> RenderableType:
    listed = layout.table("intent", "asked (UTC)", "order", "decided", "reasons")
    day_before = ""
    for each in otherwise:
        signed = [*(f"+{reason}" for reason in each.appear), *(f"-{reason}" for reason in each.vanish)]
        order = f"{each.side} {each.quantity} {each.symbol}"
        day, time_of_day = layout.day_and_time_of(each.ts_us)
        if day != day_before:
            listed.add_row("", day)
        day_before = day
        listed.add_row(each.intent_id, time_of_day, order, each.outcome, "\n".join(signed))
    return listed
