"""Ports on loopback for the servers that tests run."""

from __future__ import annotations

import itertools
import os
import random
import socket
from contextlib import closing

LOOPBACK = "127.0.0.1"

_BLOCK = 2000
_FIRST = 12000
"""Below 32768, where Linux begins to give ports to outgoing connections: none of these may take
the port of a server that is down and will be started again."""
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_candidates = itertools.cycle(
    range(_FIRST + _BLOCK * (_WORKER % 8), _FIRST + _BLOCK * (_WORKER % 8 + 1))
)


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on; no call returns those of another, nor does another worker."""
    return list(itertools.islice(filter(_is_free, _candidates), count))


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


# Two test runs at once on a machine begin at different places.
for _ in range(random.SystemRandom().randrange(_BLOCK)):
    next(_candidates)
