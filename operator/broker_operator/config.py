"""The operator's settings from its environment."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

from broker_operator.reconcile.scope import Settings

MAX_PORT = 65535


class ConfigError(Exception):
    """A setting cannot be used; the message names the variable, its value and what it takes."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set from outside.

    Attributes:
        namespaces: Namespaces to watch; empty = all.
        log_format: json or plain.
        health_port, metrics_port: Where the probes and Prometheus ask.
    """

    namespaces: tuple[str, ...] = ()
    log_format: str = "json"
    health_port: int = 8080
    metrics_port: int = 8081
    settings: Settings = field(default_factory=Settings)


def from_environment() -> Config:
    """Read the environment.

    Raises:
        ConfigError: A variable holds something that cannot be used.
    """
    defaults, settings = Config(), Settings()
    log_format = _text("LOG_FORMAT", defaults.log_format)
    if log_format not in ("json", "plain"):
        raise ConfigError(f"BROKER_OPERATOR_LOG_FORMAT={log_format!r}: must be json or plain")
    watched = _text("WATCH_NAMESPACES", "")
    return Config(
        namespaces=tuple(n.strip() for n in watched.split(",") if n.strip()),
        log_format=log_format,
        health_port=_port("HEALTH_PORT", defaults.health_port),
        metrics_port=_port("METRICS_PORT", defaults.metrics_port),
        settings=Settings(
            kafka_image=_text("KAFKA_IMAGE", settings.kafka_image),
            cluster_domain=_text("CLUSTER_DOMAIN", settings.cluster_domain),
            resync_seconds=_number("RESYNC_SECONDS", settings.resync_seconds),
        ),
    )


def _text(name: str, default: str) -> str:
    return os.environ.get(f"BROKER_OPERATOR_{name}") or default


def _port(name: str, default: int) -> int:
    text = _text(name, str(default))
    if not text.isdecimal() or not 0 < int(text) <= MAX_PORT:
        raise ConfigError(f"BROKER_OPERATOR_{name}={text!r}: must be a port, 1 to {MAX_PORT}")
    return int(text)


def _number(name: str, default: float) -> float:
    text = _text(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise ConfigError(f"BROKER_OPERATOR_{name}={text!r}: must be a number above 0")
    return value
