"""The API server in memory, for people who change specs.

`tests/contract/plugin_contract.py` holds it to what the real one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker_operator.ports import ConflictError
from tests.fakes.kube import FakeKube

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import KubeObject


class FakePeopleApi(FakeKube):
    """`PeopleApi` in memory.

    Attributes:
        changes: Every change so far: kind, name and what was set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[str, str, dict[str, Any]]] = []

    async def change(self, body: Mapping[str, Any], spec: Mapping[str, Any]) -> KubeObject:
        """See `PeopleApi.change`."""
        kind, meta = body["kind"], body["metadata"]
        place = (kind, meta["namespace"], meta["name"])
        call = self._enter("change", *place)
        live = self.find(*place)
        if live is None or live["metadata"]["uid"] != meta["uid"]:
            raise ConflictError(f"cannot change {kind} {meta['name']}: it is gone")
        self.changes.append((kind, meta["name"], dict(spec)))
        changed = self.edit(*place, lambda it: it["spec"].update(spec))
        self.after(call)
        return changed
