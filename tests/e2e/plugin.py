"""`kubectl brokers` as a person types it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.brokers import Brokers


class Plugin:
    """What a person types, in the namespace of one cluster."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers

    def ends(self, code: int, *arguments: str) -> str:
        """Run it; it must end with this exit code. Return all that it says."""
        where = ("-n", self._brokers.namespace)
        done = self._brokers.env.kubectl("brokers", *arguments, *where, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        return said

    def says(self, *arguments: str) -> str:
        return self.ends(0, *arguments)
