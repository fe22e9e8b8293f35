"""Clusters that the tests of other tools publish, each with its source: `vectors/*.json`.

The data are theirs, the form is ours. Whatever is expected besides, every plan must be valid and
as good as the exact optimum; a map that is ideal already stays as it is, to the last preferred
leader.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.core.model import Broker
from broker_operator.core.planner import PlanRefusedError, PlanRequest, make_plan
from tests.unit.planner.cases import again, leads, loads
from tests.unit.planner.oracle import rack_of
from tests.unit.planner.test_optimum import judge_leaders, judge_moves

if TYPE_CHECKING:
    from broker_operator.core.model import Replicas

FOLDER = Path(__file__).parent / "vectors"


VECTORS = [
    pytest.param(vector, id=f"{path.stem}: {vector['name']}")
    for path in sorted(FOLDER.glob("*.json"))
    for vector in json.loads(path.read_text())["vectors"]
]


def request_of(vector: dict[str, Any]) -> PlanRequest:
    everybody = tuple(
        Broker(b["id"], rack=b["rack"], live=b.get("live", True)) for b in vector["brokers"]
    )
    gone = vector.get("remove", [])
    sizes = vector.get("sizes", {})
    return PlanRequest(
        assignment=numbered(vector["assignment"]) if "assignment" in vector else crowded(vector),
        brokers=everybody,
        targets=frozenset(b.id for b in everybody if b.live and b.id not in gone),
        sizes={t: {int(n): size for n, size in its.items()} for t, its in sizes.items()},
        factors=vector.get("factors", {}),
    )


def numbered(topics: dict[str, dict[str, list[int]]]) -> dict[str, dict[int, Replicas]]:
    return {t: {int(n): tuple(r) for n, r in its.items()} for t, its in topics.items()}


def crowded(vector: dict[str, Any]) -> dict[str, dict[int, Replicas]]:
    """Return the worst start for a cluster that comes without a map: all on the same brokers."""
    ids = tuple(b["id"] for b in vector["brokers"])
    return {"test": dict.fromkeys(range(vector["partitions"]), ids[: vector["factor"]])}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_vector_names_its_source(path: Path) -> None:
    content = json.loads(path.read_text())
    assert {"repository", "licence", "what"} <= set(content["source"])
    assert all(vector["file"] for vector in content["vectors"])
    assert len({vector["name"] for vector in content["vectors"]}) == len(content["vectors"])


@pytest.mark.parametrize("vector", VECTORS)
def test_published_clusters(vector: dict[str, Any]) -> None:
    request, expected = request_of(vector), vector["expect"]
    if "refused" in expected:
        with pytest.raises(PlanRefusedError) as refused:
            make_plan(request)
        assert refused.value.reason == expected["refused"]
        return
    assert judge_moves(request) == []
    assert judge_leaders(request) == []
    plan = make_plan(request)
    if expected.get("no_op"):
        assert (plan.changes, plan.moves, plan.leader_changes) == ({}, 0, 0)
    if "moves" in expected:
        assert plan.moves == expected["moves"]
    if "replicas" in expected:
        assert set(loads(plan.target, request.targets).values()) == {expected["replicas"]}
    if "leaders" in expected:
        assert set(leads(plan.target, request.targets).values()) == {expected["leaders"]}
    if "racks" in expected:
        rack = rack_of(request)
        lists = [replicas for its in plan.target.values() for replicas in its.values()]
        assert {len({rack[b] for b in replicas}) for replicas in lists} == {expected["racks"]}
    assert make_plan(again(request, plan.target)).changes == {}
