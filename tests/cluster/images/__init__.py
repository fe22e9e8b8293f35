"""Every image that the embedded cluster runs, built without Docker and kept as OCI archives.

The Dockerfiles are ordinary ones; what differs from `docker build` is where their inputs come
from: the base image from debootstrap, Kafka's jars and the Python packages from the cache, and
Debian packages through this machine's apt settings.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from tests.cluster.cache import cached, digest, scratch_folder
from tests.cluster.debian import ensure_packages
from tests.cluster.images import base, buildah, settings
from tests.cluster.jars import kafka_libs
from tests.cluster.shell import run

Name = Literal["pause", "base", "kafka", "operator", "traffic"]

NAMES: tuple[Name, ...] = get_args(Name)

REFERENCES: Mapping[Name, str] = {
    "pause": "localhost/pause:3.10",
    "base": base.REFERENCE,
    "kafka": "docker.io/broker-operator/kafka:3.9.2",
    "operator": "docker.io/broker-operator/operator:0.1.0",
    "traffic": "docker.io/broker-operator/traffic:0.1.0",
}
"""Full names, as containerd knows the images once an archive is imported."""

_ROOT = Path(__file__).parents[3]
_BROKER_IMAGE = _ROOT / "broker_image"
_PAUSE = Path(__file__).with_name("pause.c")
_OPERATOR_LOCKS = ("requirements.lock", "operator/build.lock")
_OPERATOR = (
    "operator/Dockerfile",
    "operator/broker_operator",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
_TRAFFIC_LOCKS = ("tests/traffic/requirements.lock",)
_TRAFFIC = ("tests/traffic",)


def build(name: Name) -> Path:
    """Return the image `name` as an OCI archive, building it if its inputs changed.

    Raises:
        ClusterError: Not root, or a tool or an input cannot be had; the message names it.
    """
    return _BUILDERS[name]()


def build_all() -> dict[str, Path]:
    """Return every image as an OCI archive, building those whose inputs changed."""
    return {name: build(name) for name in NAMES}


def _pause() -> Path:
    return cached("images/pause", digest(_PAUSE), _build_pause)


def _build_pause(archive: Path) -> None:
    ensure_packages("gcc", "libc6-dev")
    with scratch_folder("pause") as folder:
        program = Path(folder) / "pause"
        run(["gcc", "-Os", "-static", "-s", "-o", program, _PAUSE])
        buildah.from_files([(program, "/pause")], REFERENCES["pause"], '--entrypoint=["/pause"]')
        buildah.save(REFERENCES["pause"], archive)


def _kafka() -> Path:
    def fill(context: Path) -> None:
        shutil.copytree(_BROKER_IMAGE, context)
        shutil.copytree(kafka_libs(), context / "libs")

    key = digest(base.archive().name, _BROKER_IMAGE)
    return _from_dockerfile("kafka", key, "Dockerfile", fill, [])


def _operator() -> Path:
    return _from_repository("operator", "operator/Dockerfile", _OPERATOR, _OPERATOR_LOCKS)


def _traffic() -> Path:
    return _from_repository("traffic", "tests/traffic/Dockerfile", _TRAFFIC, _TRAFFIC_LOCKS)


def _from_repository(
    name: Name, dockerfile: str, inputs: Sequence[str], locks: Sequence[str]
) -> Path:
    """Build an image of Python code; its context has the inputs and locks at their usual paths."""
    paths = [*inputs, *(lock for lock in locks if lock not in inputs)]

    def fill(context: Path) -> None:
        for path in paths:
            _copy(_ROOT / path, context / path)

    key = digest(base.archive().name, *(part for path in paths for part in (path, _ROOT / path)))
    return _from_dockerfile(name, key, dockerfile, fill, [_ROOT / lock for lock in locks])


def _from_dockerfile(
    name: Name,
    key: str,
    dockerfile: str,
    fill: Callable[[Path], None],
    locks: Sequence[Path],
) -> Path:
    def make(archive: Path) -> None:
        with scratch_folder(name) as folder:
            context, apt, pip = (Path(folder) / part for part in ("context", "apt", "pip.conf"))
            fill(context)
            settings.write_apt(apt)
            mounts = {apt: "/etc/apt"}
            if locks:
                wheels = {settings.wheels(lock): f"/wheels/{at}" for at, lock in enumerate(locks)}
                settings.write_pip(pip, list(wheels.values()))
                mounts |= {pip: "/etc/pip.conf", **wheels}
            buildah.from_dockerfile(
                context / dockerfile,
                context,
                REFERENCES[name],
                base=base.reference(),
                mounts=mounts,
                archive=archive,
            )

    return cached(f"images/{name}", key, make)


def _copy(source: Path, target: Path) -> None:
    """Copy without what Python leaves behind: a compiled module must not look like a change."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(
            source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
        )
    else:
        shutil.copy(source, target)


_BUILDERS: Mapping[Name, Callable[[], Path]] = {
    "pause": _pause,
    "base": base.archive,
    "kafka": _kafka,
    "operator": _operator,
    "traffic": _traffic,
}
