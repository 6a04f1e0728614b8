"""Loading every service's configuration as the service itself would, in a process of its own.

``python -m tollgate_console.doctor.settings_probe`` reads a JSON object from standard input, of each service the
environment that it is started with, and writes one to standard output: of each what it refuses, if anything.

A service is not imported by the console; here its own settings are looked up by the names that all services share.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any

from pydantic_settings import BaseSettings

from tollgate_chassis.settings import load
from tollgate_contracts.money import install_exact_context

POLICY = "policy"
"""Beside the services: the policy file, as risk reads it."""


def probe(environments: dict[str, dict[str, str]]) -> dict[str, dict[str, Any]]:
    """Load each service's settings, and risk's policy, in the environment of each."""
    said: dict[str, dict[str, Any]] = {}
    for service, environment in environments.items():
        os.environ.clear()
        os.environ.update(environment)
        try:
            settings = _load(service)
        except Exception as error:  # noqa: BLE001 - whatever it is, this is what the service would end with
            said[service] = {"why": _why(error)}
            continue
        section = getattr(settings, service, None)
        said[service] = {
            "why": None,
            "desk": getattr(settings, "desk", None),
            "cycle_ms": getattr(section, "cycle_ms", None),
        }
        if service == "risk":
            said[POLICY] = {"why": _policy_refused(settings), "desk": None, "cycle_ms": None}
    return said


def _load(service: str) -> Any:
    module = import_module(f"tollgate_{service}.settings")
    own = getattr(module, "load", None)
    if own is not None and own is not load:
        return own()
    (settings_type,) = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, BaseSettings) and each.__module__ == module.__name__
    ]
    return load(settings_type)


def _policy_refused(settings: Any) -> str | None:
    """Return what risk would say against its policy file, with its own key; none where it would start.

    Without a key, which is another check's business, the rules are read all the same.
    """
    signing, policy_file = import_module("tollgate_risk.signing"), import_module("tollgate_risk.policy_file")
    key = settings.secrets_dir / signing.KEY_FILE
    try:
        if key.exists():
            policy_file.policy_document(settings, signing.Signer.load(key))
        else:
            import_module("tollgate_risk.rules_file").read_rules(settings.policy_path)
    except Exception as error:  # noqa: BLE001 - as above
        return _why(error)
    return None


def _why(error: Exception) -> str:
    # Those that we raise ourselves are written for people and show no secret; of others only the kind is told.
    ours = type(error).__name__ == "BadConfiguration"
    return str(error) if ours else f"{type(error).__name__}"


def main() -> None:
    """Answer what is asked on standard input."""
    install_exact_context()
    answer = probe(json.load(sys.stdin))
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
