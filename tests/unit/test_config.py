from __future__ import annotations

import pytest

from broker_operator.config import Config, ConfigError, from_environment


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "LOG_FORMAT",
        "WATCH_NAMESPACES",
        "HEALTH_PORT",
        "METRICS_PORT",
        "KAFKA_IMAGE",
        "CLUSTER_DOMAIN",
        "RESYNC_SECONDS",
    ):
        monkeypatch.delenv(f"BROKER_OPERATOR_{name}", raising=False)


def test_nothing_set_gives_the_defaults() -> None:
    assert from_environment() == Config()


def test_what_is_set_but_empty_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_OPERATOR_LOG_FORMAT", "")
    monkeypatch.setenv("BROKER_OPERATOR_HEALTH_PORT", "")
    assert from_environment() == Config()


def test_everything_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_OPERATOR_LOG_FORMAT", "plain")
    monkeypatch.setenv("BROKER_OPERATOR_WATCH_NAMESPACES", "a, b,,")
    monkeypatch.setenv("BROKER_OPERATOR_HEALTH_PORT", "1")
    monkeypatch.setenv("BROKER_OPERATOR_METRICS_PORT", "65535")
    monkeypatch.setenv("BROKER_OPERATOR_KAFKA_IMAGE", "registry/kafka")
    monkeypatch.setenv("BROKER_OPERATOR_CLUSTER_DOMAIN", "k8s.example")
    monkeypatch.setenv("BROKER_OPERATOR_RESYNC_SECONDS", "2.5")
    config = from_environment()
    assert config.log_format == "plain"
    assert config.namespaces == ("a", "b")
    assert (config.health_port, config.metrics_port) == (1, 65535)
    assert config.settings.kafka_image == "registry/kafka"
    assert config.settings.cluster_domain == "k8s.example"
    assert config.settings.resync_seconds == 2.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_FORMAT", "xml"),
        ("HEALTH_PORT", "http"),
        ("HEALTH_PORT", "0"),
        ("HEALTH_PORT", "8080.5"),
        ("METRICS_PORT", "65536"),
        ("METRICS_PORT", "-1"),
        ("RESYNC_SECONDS", "0"),
        ("RESYNC_SECONDS", "-3"),
        ("RESYNC_SECONDS", "soon"),
        ("RESYNC_SECONDS", "nan"),
        ("RESYNC_SECONDS", "inf"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name_and_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"BROKER_OPERATOR_{name}", value)
    with pytest.raises(ConfigError) as refused:
        from_environment()
    assert f"BROKER_OPERATOR_{name}={value!r}" in str(refused.value)
