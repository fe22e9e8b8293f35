"""The CRDs are small, described in every field, and each of their rules has a bad spec."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from broker_operator.api.spec import OPERATOR_KEYS
from tests.e2e.bad_specs import BAD_AS_A_CHANGE, BAD_AT_CREATION

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CRDS = {name: ROOT / "crds" / f"{name}s.yaml" for name in ("brokercluster", "reassignment")}
MAX_BYTES = 48_000


def schema_of(kind: str) -> dict[str, Any]:
    crd = yaml.safe_load(CRDS[kind].read_text())
    (version,) = crd["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema below, with its path; [] stands for items of a list, {} for map values."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def fields_of(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, schema in walk(schema_of(kind)):
        if path.startswith(("spec", "status")) and not path.endswith(("[]", "{}")):
            yield path, schema


def rules() -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in CRDS:
        for path, schema in walk(schema_of(kind)):
            for rule in schema.get("x-kubernetes-validations", []):
                yield f"{kind} {path}: {rule['rule']}", rule


def test_crds_are_small() -> None:
    # Client-side kubectl apply keeps a copy in an annotation, and people read them.
    assert sum(path.stat().st_size for path in CRDS.values()) < MAX_BYTES


@pytest.mark.parametrize("kind", CRDS)
def test_every_field_has_a_description(kind: str) -> None:
    bare = [path for path, schema in fields_of(kind) if not schema.get("description")]
    assert bare == []


@pytest.mark.parametrize("kind", CRDS)
def test_every_field_is_in_the_reference(kind: str) -> None:
    text = (ROOT / "docs" / "reference" / f"{kind}.md").read_text()
    named = set(re.findall(r"`([a-zA-Z0-9.\[\]]+)`", text))
    # A condition looks the same everywhere; the reference speaks of their types instead.
    told = [p for p, _ in fields_of(kind) if "." in p and not p.startswith("status.conditions[]")]
    assert [path for path in told if path not in named] == []


def test_cel_can_bound_every_string_list_and_map_of_the_spec() -> None:
    unbounded = [
        path
        for kind in CRDS
        for path, schema in walk(schema_of(kind))
        if path.startswith("spec") and not path.endswith("affinity")
        for type_, bound in (("string", "maxLength"), ("array", "maxItems"))
        if schema.get("type") == type_ and not schema.keys() & {bound, "enum"}
    ]
    assert unbounded == []


@pytest.mark.parametrize(("rule"), [pytest.param(rule, id=name) for name, rule in rules()])
def test_every_rule_has_a_message_and_a_bad_spec(rule: dict[str, Any]) -> None:
    reasons = [bad.reason for bad in (*BAD_AT_CREATION, *BAD_AS_A_CHANGE)]
    if "message" in rule:
        assert any(reason in rule["message"] for reason in reasons)
        return
    # An expression: its longest piece of text must begin in some row's reason.
    longest = max(re.findall(r'"([^"]*)"', rule["messageExpression"]), key=len)
    assert any(longest[:20] in reason for reason in reasons)


def test_crd_refuses_every_property_that_the_operator_sets() -> None:
    config = schema_of("brokercluster")["properties"]["spec"]["properties"]["config"]
    texts = [rule["rule"] for rule in config["x-kubernetes-validations"]]
    refused = {key for text in texts for key in re.findall(r"'([a-z.]+)'", text)}
    assert refused >= OPERATOR_KEYS


def test_bad_specs_have_distinct_names() -> None:
    names = [bad.name for bad in (*BAD_AT_CREATION, *BAD_AS_A_CHANGE)]
    assert len(names) == len(set(names)) >= 20
