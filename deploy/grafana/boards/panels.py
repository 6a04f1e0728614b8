"""The panels that dashboards are made of, as Grafana 11 reads them, and where they stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "text"
COLUMNS = 24
SCHEMA_VERSION = 39
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}


@dataclass(frozen=True, slots=True)
class Query:
    """One question; a latency shows the traces behind it where ``exemplar`` is set."""

    expr: str
    legend: str = ""
    exemplar: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, before it has its place."""

    type: str
    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    width: int
    height: int
    runbook: str
    """The heading's anchor in docs/runbook.md; empty where there is nothing to do about it."""
    options: Json
    defaults: Json
    is_instant: bool = False
    transformations: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """How values are coloured and worded."""

    steps: tuple[tuple[float, str], ...] = ()
    """From which value on which colour; below the first it is green."""
    below: str = GREEN
    words: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """What a number means, and its colour."""
    decimals: int | None = None


PLAIN = Look()
ALARM = Look(steps=((1, RED),))
"""Anything but zero is wrong."""


def switch(off: str, on: str, on_colour: str = RED) -> Look:
    """Return the look of what is 0 when all is well, and 1 when it is not."""
    return Look(words={0: (off, GREEN), 1: (on, on_colour)})


def stat(
    title: str,
    description: str,
    unit: str,
    expr: str,
    *,
    width: int,
    look: Look = PLAIN,
    runbook: str = "",
    has_line: bool = False,
) -> Panel:
    """Return one number, large; with ``has_line`` its way here behind it."""
    options = {
        "reduceOptions": _LAST,
        "colorMode": "background" if look.words or look.steps else "value",
        "graphMode": "area" if has_line else "none",
        "justifyMode": "center",
        "orientation": "auto",
        "textMode": "value",
        "wideLayout": True,
    }
    queries = (Query(expr, title),)
    return Panel("stat", title, description, unit, queries, width, 4, runbook, options, _shown(look), not has_line)


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 12,
    look: Look = PLAIN,
    runbook: str = "",
    is_stacked: bool = False,
) -> Panel:
    """Return values over time."""
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if is_stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if is_stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if look.steps else "off"},
    }
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    defaults = _shown(look) | {"color": {"mode": "palette-classic"}, "custom": custom}
    return Panel("timeseries", title, description, unit, queries, width, 8, runbook, options, defaults)


def states(
    title: str, description: str, *queries: Query, look: Look, width: int = 12, height: int = 6, runbook: str = ""
) -> Panel:
    """Return which state was in force when."""
    options = {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    defaults = _shown(look) | {"custom": {"fillOpacity": 80, "lineWidth": 0}}
    return Panel("state-timeline", title, description, "none", queries, width, height, runbook, options, defaults)


def bars(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 12,
    height: int = 8,
    look: Look = PLAIN,
    limit: float | None = None,
    runbook: str = "",
) -> Panel:
    """Return a bar for each series; it is full at ``limit``."""
    options = {
        "reduceOptions": _LAST,
        "displayMode": "gradient",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
        "namePlacement": "left",
        "sizing": "auto",
    }
    defaults = _shown(look) | {"min": 0} | ({} if limit is None else {"max": limit})
    return Panel("bargauge", title, description, unit, queries, width, height, runbook, options, defaults, True)


def table(
    title: str,
    description: str,
    unit: str,
    query: Query,
    columns: Mapping[str, str],
    *,
    width: int = 12,
    look: Look = PLAIN,
    runbook: str = "",
) -> Panel:
    """Return the series of a query as rows; ``columns`` names the labels to show and their headings."""
    hidden = {"Time": True}
    order = {label: place for place, label in enumerate((*columns, "Value"))}
    organize = {"excludeByName": hidden, "indexByName": order, "renameByName": {**columns, "Value": query.legend}}
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    defaults = _shown(look) | {"custom": {"align": "auto", "cellOptions": {"type": "color-text"}}}
    transformations = ({"id": "organize", "options": organize},)
    return Panel(
        "table", title, description, unit, (query,), width, 8, runbook, options, defaults, True, transformations
    )


def rendered(board: Board) -> Json:
    """Return the dashboard as Grafana reads it."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": ["tollgate"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "timezone": "utc",
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "links": [_TO_OTHERS],
        "annotations": {"list": []},
        "templating": {"list": _variables()},
        "panels": _placed(board.rows),
    }


_TO_OTHERS = {
    "type": "dashboards",
    "title": "Tollgate",
    "tags": ["tollgate"],
    "asDropdown": False,
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}


def _variables() -> list[Json]:
    """Return what is chosen above a dashboard: where to ask, and of which desk; and where the runbook is to be read."""
    return [
        {
            "name": "datasource",
            "label": "Prometheus",
            "type": "datasource",
            "query": "prometheus",
            "current": {"text": "Prometheus", "value": "prometheus"},
            "hide": 0,
            "refresh": 1,
            "regex": "",
            "multi": False,
            "includeAll": False,
            "options": [],
        },
        {
            "name": "desk",
            "label": "Desk",
            "type": "query",
            "datasource": _SOURCE,
            "definition": "label_values(tollgate_live, desk)",
            "query": {"query": "label_values(tollgate_live, desk)", "refId": "desk", "qryType": 1},
            "current": {},
            "hide": 0,
            "refresh": 2,
            "regex": "",
            "sort": 1,
            "multi": False,
            "includeAll": False,
            "options": [],
        },
        {
            "name": "runbook",
            "label": "Runbook",
            "description": "Where docs/runbook.md is to be read; links of panels lead there.",
            "type": "textbox",
            "query": RUNBOOK,
            "current": {"text": RUNBOOK, "value": RUNBOOK},
            "hide": 2,
            "options": [{"text": RUNBOOK, "value": RUNBOOK, "selected": True}],
        },
    ]


RUNBOOK = "/public/docs/runbook.md"
"""Grafana serves what lies in its public directory; whoever reads the page elsewhere changes the variable."""


def _placed(rows: Sequence[Row]) -> list[Json]:
    """Return the panels from left to right and from top to bottom, numbered."""
    placed: list[Json] = []
    top = 0
    for row in rows:
        placed.append(_heading(len(placed) + 1, row.title, top))
        top += 1
        left = tallest = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            placed.append(_panel(len(placed) + 1, panel, place))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return placed


def _heading(number: int, title: str, top: int) -> Json:
    place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(number: int, panel: Panel, place: Json) -> Json:
    link = {"title": "Runbook", "url": f"${{runbook:raw}}#{panel.runbook}", "targetBlank": True}
    return {
        "id": number,
        "type": panel.type,
        "title": panel.title,
        "description": panel.description,
        "gridPos": place,
        "datasource": _SOURCE,
        "links": [link] if panel.runbook else [],
        "targets": [_target(place, query, panel) for place, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": {"unit": panel.unit, **panel.defaults}, "overrides": []},
        "options": panel.options,
        "transformations": list(panel.transformations),
    }


def _target(place: int, query: Query, panel: Panel) -> Json:
    return {
        "refId": chr(ord("A") + place),
        "datasource": _SOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "exemplar": query.exemplar,
        "instant": panel.is_instant,
        "range": not panel.is_instant,
        "format": "table" if panel.type == "table" else "time_series",
    }


def _shown(look: Look) -> Json:
    steps: list[Json] = [{"color": look.below, "value": None}]
    steps += [{"color": colour, "value": start} for start, colour in look.steps]
    words = {
        str(number): {"text": text, "color": colour, "index": number} for number, (text, colour) in look.words.items()
    }
    shown: Json = {
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [{"type": "value", "options": words}] if words else [],
        "noValue": "no data",
    }
    return shown if look.decimals is None else shown | {"decimals": look.decimals}
