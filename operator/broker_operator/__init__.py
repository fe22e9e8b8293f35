"""A Kubernetes operator for Kafka clusters on ZooKeeper that scale without losing a record."""

from importlib.metadata import version

__version__ = version("broker-operator")
