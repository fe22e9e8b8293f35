"""Configurations of the servers that tests run."""

from pathlib import Path

from broker_operator.core.render.config import broker_properties
from tests.unit.core.samples import cluster

JMX = Path(__file__).parents[2] / "broker_image" / "config" / "jmx.yml"
"""Which metrics brokers tell: the image's own list."""

LOG4J = """\
log4j.rootLogger=INFO, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d{ISO8601} %p %c %m%n
"""

# Nothing is synced to disk: the data live as long as the test, and a disk that is busy with
# segments of brokers would hold every write up, for seconds, and lose sessions with it.
ZOOKEEPER = """\
forceSync=no
tickTime=500
maxSessionTimeout=60000
dataDir={folder}
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
maxClientCnxns=0
"""

# The smallest buffers a broker starts with: four of them and a ZooKeeper share two cores.
BROKER = """\
broker.id={id}
zookeeper.connect={connect}
zookeeper.session.timeout.ms=6000
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,NAMED:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}
num.network.threads=1
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.io.buffer.size=65536
log.index.size.max.bytes=65536
log.segment.bytes=1048576
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
replica.lag.time.max.ms=5000
replica.fetch.wait.max.ms=100
auto.leader.rebalance.enable=false
auto.create.topics.enable=false
controlled.shutdown.retry.backoff.ms=500
delete.topic.enable=true
"""


def replication_settings() -> dict[str, str]:
    """Return how brokers that the operator runs copy (ADR 7)."""
    lines = broker_properties(cluster(4)).splitlines()
    settings = dict(line.split("=", 1) for line in lines if line.startswith("replica"))
    assert settings.keys() >= {"replication.quota.window.num", "replica.fetch.response.max.bytes"}
    return settings
