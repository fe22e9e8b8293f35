"""The coordination port on ZooKeeper: kazoo, kept on a short leash.

kazoo queues what is asked while the connection is down and sends it when it is up again, however
late. A reassignment created minutes after it was decided on would be a disaster, so nothing is ever
asked of a session that is not connected, and one that left a request unanswered is thrown away
together with its queue. Nothing is watched or remembered either: a lost session costs nothing.
"""

from __future__ import annotations

import time
from itertools import starmap
from typing import TYPE_CHECKING, Any, NamedTuple

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, KazooException, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState, KeeperState

from broker_operator.adapters import znodes
from broker_operator.adapters.pool import Pool
from broker_operator.core.model import Ensemble, SpoiltTopic
from broker_operator.ports import ReassignmentInProgressError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from broker_operator.core.model import Assignment, PartitionState

SESSION_TIMEOUT = 10.0
"""Seconds without a word from the server after which the session is suspended, then lost."""
CONNECT_DEADLINE = 5.0
ANSWER_DEADLINE = 8.0
"""Seconds for all the answers of one read or one submission together."""
CALL_DEADLINE = 14.0

_RECONNECT = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": 2.0}
_FAILURES = (KazooException, OSError)
_DEAD = frozenset({KeeperState.CLOSED, KeeperState.AUTH_FAILED})


class ZooKeeperCoordination:
    """`ports.Coordination` on one ensemble and chroot. Connects at the first call.

    Args:
        connect: Returns Kafka's `zookeeper.connect`, `host:port[,host:port...][/chroot]`, when a
            new session is opened; it may resolve names, for it is called in a worker thread.
        on_write: Called with the operation's name before each attempt to write, in a worker thread.
    """

    def __init__(self, connect: Callable[[], str], *, on_write: Callable[[str], None]) -> None:
        self._resolve = connect
        self._hosts = ""
        self._on_write = on_write
        # One thread: calls queue up, and nothing below needs a lock.
        self._pool = Pool("zookeeper", workers=1)
        self._client: KazooClient | None = None
        self._closed = False

    async def read(self) -> Ensemble:
        """Read everything that a pass needs. See `ports.Coordination.read`."""
        return await self._pool.call(CALL_DEADLINE, self._guarded, _read)

    async def submit(
        self,
        batch: Assignment,
        seen: Mapping[str, Mapping[int, PartitionState]] | None = None,
    ) -> None:
        """Create `/admin/reassign_partitions`. See `ports.Coordination.submit`."""
        data = znodes.encode_reassignment(batch)
        await self._pool.call(CALL_DEADLINE, self._guarded, self._create, batch, data, seen)

    async def close(self) -> None:
        """End the session and its threads; quiet if that is done already."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._pool.call(CALL_DEADLINE, self._discard)
        finally:
            self._pool.close()

    def _create(
        self,
        session: _Session,
        batch: Assignment,
        data: bytes,
        seen: Mapping[str, Mapping[int, PartitionState]] | None,
    ) -> None:
        session.sync()
        brokers = session.ask_children(znodes.BROKERS)
        asked = {topic: session.ask(f"{znodes.TOPICS}/{topic}") for topic in batch}
        migration = session.ask(znodes.MIGRATION)
        live = {znodes.parse_broker_name(name) for name in session.children(brokers)}
        found = {
            topic: node
            for topic, answer in asked.items()
            if (node := session.node(answer)) is not None
        }
        known = {topic: znodes.parse_topic(topic, node.data) for topic, node in found.items()}
        if problems := list(znodes.world_problems(batch, live, known, seen)):
            raise ValueError("; ".join(problems))
        if session.data(migration) is not None:
            raise TransientError(f"{znodes.MIGRATION} exists: a KRaft controller owns the metadata")
        self._on_write(f"create {znodes.REASSIGNMENT}")
        versions = {f"{znodes.TOPICS}/{topic}": node.version for topic, node in found.items()}
        session.create(znodes.REASSIGNMENT, data, versions)

    def _guarded(self, work: Callable[..., Any], *args: Any) -> Any:
        """Do `work` in a connected session; one with requests left unanswered is not used again."""
        session = _Session(self._connected())
        try:
            return work(session, *args)
        except NodeExistsError as error:
            raise ReassignmentInProgressError(f"{znodes.REASSIGNMENT} exists") from error
        except znodes.ZnodeError as error:
            raise TransientError(f"unexpected content: {error}") from error
        except KazooTimeoutError as error:
            self._discard()
            raise TransientError(f"{self._where}: no answer in {ANSWER_DEADLINE:g} s") from error
        except _FAILURES as error:
            raise TransientError(f"{self._where}: {_describe(error)}") from error

    def _connected(self) -> KazooClient:
        """Return the client if its session is connected now; only a new one is waited for."""
        client = self._client
        if client is not None and client.client_state in _DEAD:
            self._discard()
            client = None
        if client is None:
            client = self._client = self._open()
        if client.state != KazooState.CONNECTED:
            raise TransientError(f"{self._where}: not connected, session {client.state}")
        return client

    def _open(self) -> KazooClient:
        self._hosts = self._resolve().rstrip("/")
        try:
            client = KazooClient(
                hosts=self._hosts, timeout=SESSION_TIMEOUT, connection_retry=dict(_RECONNECT)
            )
        except ValueError as error:
            raise TransientError(f"{self._where}: not a connect string: {error}") from error
        client.start_async().wait(CONNECT_DEADLINE)
        return client

    def _discard(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.stop()
            client.close()

    @property
    def _where(self) -> str:
        return f"ZooKeeper at {self._hosts}"


class _Node(NamedTuple):
    """A node's content and how often it was written."""

    data: bytes
    version: int


class _Session:
    """Requests that share one deadline. `ask` sends at once, `data` and `children` wait."""

    def __init__(self, client: KazooClient) -> None:
        self._client = client
        self._end = time.monotonic() + ANSWER_DEADLINE

    def sync(self) -> None:
        """Make a server that lags behind its leader catch up, so that absence means absence."""
        self._wait(self._client.sync_async("/"))

    def ask(self, path: str) -> Any:
        return self._client.get_async(path)

    def ask_children(self, path: str) -> Any:
        return self._client.get_children_async(path)

    def data(self, answer: Any) -> bytes | None:
        """Return a node's content, None if a successful read showed that there is no such node."""
        node = self.node(answer)
        return None if node is None else node.data

    def node(self, answer: Any) -> _Node | None:
        """Return a node, None if a successful read showed that there is none.

        One without any content says null, which is not the same as an empty one.
        """
        try:
            content, stat = self._wait(answer)
        except NoNodeError:
            return None
        return _Node(b"null" if content is None else bytes(content), stat.version)

    def children(self, answer: Any) -> list[str]:
        """Return the names of a node's children; a node that does not exist has none."""
        try:
            return list(self._wait(answer))
        except NoNodeError:
            return []

    def create(self, path: str, data: bytes, versions: Mapping[str, int]) -> None:
        """Create a persistent node, open to everyone as all of Kafka's are.

        Raises:
            ValueError: Other nodes do not have these versions any more; nothing is created.
            NodeExistsError: It exists.
        """
        transaction = self._client.transaction()
        for other, version in versions.items():
            transaction.check(other, version)
        transaction.create(path, data)
        *checks, created = self._wait(transaction.commit_async())
        changed = [
            other
            for other, outcome in zip(versions, checks, strict=True)
            if isinstance(outcome, BadVersionError | NoNodeError)
        ]
        if changed:
            raise ValueError(f"{', '.join(changed)}: changed since it was looked at")
        if isinstance(created, Exception):
            raise created

    def _wait(self, answer: Any) -> Any:
        return answer.get(timeout=max(0.0, self._end - time.monotonic()))


def _read(session: _Session) -> Ensemble:
    session.sync()
    # The request node before the topics: a batch that ends in between is seen as in flight still,
    # never as absent while its partitions look untouched.
    requested = session.ask(znodes.REASSIGNMENT)
    brokers, topics = session.ask_children(znodes.BROKERS), session.ask_children(znodes.TOPICS)
    controller, cluster_id = session.ask(znodes.CONTROLLER), session.ask(znodes.CLUSTER_ID)
    migration = session.ask(znodes.MIGRATION)
    broker_data = _contents(session, znodes.BROKERS, session.children(brokers))
    topic_data = _contents(session, znodes.TOPICS, session.children(topics))
    controller_data, cluster_data = session.data(controller), session.data(cluster_id)
    states = {name: znodes.read_topic(name, data) for name, data in topic_data}
    request = session.data(requested)
    return Ensemble(
        cluster_id=None if cluster_data is None else znodes.parse_cluster_id(cluster_data),
        brokers={broker.id: broker for broker in starmap(znodes.parse_broker, broker_data)},
        controller=None if controller_data is None else znodes.parse_controller(controller_data),
        migrating=session.data(migration) is not None,
        topics={t: state for t, state in states.items() if not isinstance(state, SpoiltTopic)},
        requested=None if request is None else znodes.read_reassignment(request),
        unreadable={t: state for t, state in states.items() if isinstance(state, SpoiltTopic)},
    )


def _contents(session: _Session, parent: str, names: Iterable[str]) -> list[tuple[str, bytes]]:
    """Read all children at once, without those that vanished since they were listed."""
    answers = [(name, session.ask(f"{parent}/{name}")) for name in sorted(names)]
    contents = [(name, session.data(answer)) for name, answer in answers]
    return [(name, data) for name, data in contents if data is not None]


def _describe(error: Exception) -> str:
    """Name the failure; most of kazoo's exceptions have nothing to say."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
