"""Write ``docs/licences.md``: what the images contain that is not ours, with the licence of each.

Run it with ``uv run python -m tests.docs.generate_licences``.
"""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "licences.md"
HEAD = """# Licences

What a running desk consists of besides our own code, each with the licence that it states itself. Generated from
`uv.lock` by `uv run python -m tests.docs.generate_licences`; `make supply` writes a bill of materials for each image
and asks for known vulnerabilities.

| package | version | licence |
|---|---|---|
"""
# Of the long text that some give for a licence, the first words name it.
_WORDS_MAX = 60


def runtime_packages() -> dict[str, str]:
    """Return what the workspace needs to run, by name with version; what only tests need is left out."""
    locked = {package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    ours = {name for name, package in locked.items() if package.get("source", {}).keys() & {"editable", "virtual"}}
    found: dict[str, str] = {}
    waiting = sorted(ours)
    while waiting:
        package = locked[waiting.pop()]
        groups = [package.get("dependencies", []), *package.get("optional-dependencies", {}).values()]
        for dependency in (each["name"] for group in groups for each in group):
            if dependency not in found and dependency not in ours:
                found[dependency] = locked[dependency]["version"]
                waiting.append(dependency)
    return dict(sorted(found.items()))


def licence(name: str) -> str | None:
    """Return the licence that a package states; none where it is not installed on this kind of machine."""
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        return None
    text = stated.get("License-Expression") or stated.get("License") or ""
    if text and len(text) <= _WORDS_MAX and "\n" not in text:
        return str(text)
    classifiers = [each for each in stated.get_all("Classifier") or () if each.startswith("License ::")]
    named = [re.sub(r" \([^)]*\)$", "", each.rpartition(" :: ")[2]) for each in classifiers]
    return ", ".join(named) or str(text).strip().split("\n")[0][:_WORDS_MAX] or "not stated"


def page() -> str:
    """Return the whole page."""
    lines = []
    for name, version in runtime_packages().items():
        stated = licence(name)
        if stated is not None:
            lines.append(f"| {name} | {version} | {stated} |")
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())
    print(f"{PAGE} is written")


if __name__ == "__main__":
    main()
