"""Kafka's and ZooKeeper's jars, as the broker image has them, in a cached folder."""

from pathlib import Path

from tests.cluster.cache import cached, digest
from tests.cluster.debian import ensure_programs
from tests.cluster.shell import run

POM = Path(__file__).parents[2] / "broker_image" / "pom.xml"

_MAVEN_DEADLINE = 900


def kafka_libs() -> Path:
    """Return a folder with the jars of `broker_image/pom.xml`: brokers, ZooKeeper, tools, agent.

    Maven fetches them once for each version of the pom; to run a class of theirs takes
    `java -cp "FOLDER/*" CLASS` and nothing else.

    Raises:
        ClusterError: Maven or Java cannot be installed, or Maven cannot fetch a jar.
    """
    ensure_programs({"java": "default-jre-headless"})
    return cached("kafka-libs", digest(POM), _fetch)


def _fetch(folder: Path) -> None:
    ensure_programs({"mvn": "maven"})
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    run(["mvn", "--batch-mode", "--quiet", "--file", POM, *goal], timeout=_MAVEN_DEADLINE)
