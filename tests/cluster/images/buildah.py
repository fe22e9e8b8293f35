"""Container images without a container engine: buildah, with storage of its own in the cache."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.cache import cache_root, digest
from tests.cluster.debian import ensure_packages
from tests.cluster.errors import ClusterError
from tests.cluster.shell import run

BASE = "localhost/broker-operator/base"

_BUILD_DEADLINE = 1800
_COPY_DEADLINE = 300


def buildah(*arguments: str | Path, timeout: float = _COPY_DEADLINE) -> str:
    """Run buildah on our own storage and return what it prints.

    Raises:
        ClusterError: Not root, buildah cannot be installed, or it failed.
    """
    if os.geteuid() != 0:
        raise ClusterError("building images needs root")
    ensure_packages("buildah", "ca-certificates")
    # What is mounted must be forgotten at a reboot, so it is noted in /run.
    storage = cache_root() / "containers"
    runtime = Path("/run/broker-operator-images") / digest(str(storage))
    return run(["buildah", "--root", storage, "--runroot", runtime, *arguments], timeout=timeout)


def from_dockerfile(
    dockerfile: Path,
    context: Path,
    reference: str,
    *,
    base: str,
    mounts: Mapping[Path, str],
    archive: Path,
) -> None:
    """Build a Dockerfile on our base image into the OCI archive `archive`.

    Layers whose instructions and files are unchanged are taken from the last build.

    Args:
        dockerfile: The file; its argument BASE names the image to start from.
        context: Folder that its COPY instructions read.
        reference: Full name of the result.
        base: Name of the base image in our storage.
        mounts: Path here -> path in the build, read-only, in no layer.
        archive: File to write.
    """
    volumes = [f"--volume={here}:{there}:ro" for here, there in mounts.items()]
    buildah(
        "bud",
        *("--isolation=chroot", "--network=host", "--pull-never", "--layers", "--quiet"),
        *volumes,
        *(f"--build-arg=BASE={base}", f"--file={dockerfile}", f"--tag={reference}"),
        context,
        timeout=_BUILD_DEADLINE,
    )
    save(reference, archive)


def from_files(files: Sequence[tuple[Path, str]], reference: str, *config: str) -> None:
    """Make an image of one layer from nothing.

    Args:
        files: Path here (a tar archive is unpacked) and path in the image.
        reference: Full name of the result.
        config: Arguments for `buildah config`.
    """
    container = buildah("from", "scratch").strip()
    try:
        for here, there in files:
            buildah("add", "--quiet", container, here, there)
        if config:
            buildah("config", *config, container)
        buildah("commit", "--quiet", container, reference)
    finally:
        buildah("rm", container)


def save(reference: str, archive: Path) -> None:
    """Write an image of our storage to an OCI archive that containerd imports under its name."""
    buildah("push", "--quiet", reference, f"oci-archive:{archive}:{reference}")


def load(archive: Path, reference: str) -> None:
    """Put the image of an archive into our storage, unless one of that name is there."""
    if reference in buildah("images", "--format={{.Name}}:{{.Tag}}").split():
        return
    buildah("tag", buildah("pull", "--quiet", f"oci-archive:{archive}").strip(), reference)
