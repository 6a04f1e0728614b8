"""Whether a schema still says what it said when it was published.

Readers refuse fields that they do not know, so a published version can be clarified in words and in nothing
else: a change of any rule is a new version.
"""

from typing import Any

# Words for people; they may be mended without a new version.
_WORDS = frozenset({"description", "title"})


def breaking_changes(published: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """Return one line for each rule that differs, in the order of their paths; none means compatible."""
    return _differences("$", published, current)


def _differences(path: str, published: Any, current: Any) -> list[str]:
    if isinstance(published, dict) and isinstance(current, dict):
        lines = []
        for key in sorted(published.keys() | current.keys()):
            if key in _WORDS and isinstance(published.get(key, current.get(key)), str):
                continue
            if key not in current:
                lines.append(f"{path}.{key}: removed")
            elif key not in published:
                lines.append(f"{path}.{key}: added")
            else:
                lines += _differences(f"{path}.{key}", published[key], current[key])
        return lines
    return [] if published == current else [f"{path}: was {published!r}, is {current!r}"]
