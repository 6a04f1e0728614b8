"""The OpenAPI documents are those of the code, and say of every route what it answers and what it needs."""

import json
import re

import pytest

from tests.docs.generate_openapi import SERVICES, document, page

OPEN = {"/healthz", "/readyz", "/metrics", "/v1/status"}
SCOPES = {"get": "read", "put": "kill", "delete": "release", "patch": "limits", "post": "books"}


def routes(service: str):
    paths = json.loads(page(service).read_text())["paths"]
    return [(path, method, route) for path, methods in paths.items() for method, route in methods.items()]


@pytest.mark.parametrize("service", SERVICES)
def test_the_document_is_what_the_code_says(service: str):
    assert page(service).read_text() == document(service), "stale: make contracts"


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_says_what_it_is_for_and_what_it_answers(service: str):
    for path, method, route in routes(service):
        assert route["description"], path
        assert all(answer["description"] for answer in route["responses"].values()), path
        if path in OPEN:
            assert "security" not in route, path
            continue
        assert route["security"] == [{"token": []}], path
        assert route["x-token-scope"] == SCOPES[method], path
        assert {"200", "401", "403", "422", "429", "503"} <= route["responses"].keys(), path
        refusals = [answer for status, answer in route["responses"].items() if status != "200"]
        answer = {"$ref": "#/components/schemas/Answer"}
        assert all(one["content"]["application/json"]["schema"] == answer for one in refusals), path
        if method in {"put", "delete", "patch", "post"}:
            assert "reason" in json.dumps(route["requestBody"]), path


def test_risk_publishes_every_route_of_an_operator():
    assert {(method, path) for path, method, _ in routes("risk") if path not in OPEN} == {
        ("get", "/v1/state"),
        ("get", "/v1/limits"),
        ("get", "/v1/decisions"),
        ("get", "/v1/modes"),
        ("get", "/v1/policy"),
        ("patch", "/v1/policy"),
        ("get", "/v1/kill-switch"),
        ("put", "/v1/kill-switch"),
        ("delete", "/v1/kill-switch"),
    }


def test_the_ledger_publishes_every_page_of_the_books():
    pages = ("positions", "equity", "trades", "fills", "orders", "attribution", "days", "entries")
    assert {("get", f"/v1/{page}") for page in pages} <= {(method, path) for path, method, _ in routes("ledger")}
    for path, _, route in routes("ledger"):
        if path in {f"/v1/{page}" for page in pages}:
            assert route["responses"]["200"]["content"]["application/json"]["schema"]["$ref"], path


@pytest.mark.parametrize("service", SERVICES)
def test_every_reference_leads_somewhere(service: str):
    text = page(service).read_text()
    named = set(json.loads(text)["components"]["schemas"])
    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= named
    assert text.count('"$ref"') == text.count('"$ref": "#/components/schemas/')
