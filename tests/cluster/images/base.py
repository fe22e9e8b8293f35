"""The base image: Debian bookworm's minimal system, without manuals and caches."""

import os
import shutil
from pathlib import Path

from tests.cluster.cache import cached, digest, scratch_folder
from tests.cluster.debian import ensure_packages
from tests.cluster.images import buildah
from tests.cluster.images.settings import debian_mirror
from tests.cluster.shell import run

REFERENCE = "docker.io/broker-operator/base:bookworm"

_DEADLINE = 900
_SUITE = "bookworm"
_NEVER_NEEDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_KEPT = "/usr/share/doc/*/copyright"
_CACHES = ("var/cache/apt", "var/cache/debconf", "var/lib/apt/lists", "var/log")


def archive() -> Path:
    """Return the base image as an OCI archive."""
    return cached("images/base", _key(), _build)


def reference() -> str:
    """Return the name under which the base image lies in our storage, putting it there if need be.

    The name holds the key, so layers built on another base are never mistaken for current ones.
    """
    name = f"{buildah.BASE}:{_key()}"
    buildah.load(archive(), name)
    return name


def _key() -> str:
    return digest(Path(__file__))


def _build(target: Path) -> None:
    ensure_packages("debootstrap", "debian-archive-keyring")
    with scratch_folder("base") as folder:
        root = Path(folder) / "root"
        keyring = "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg"
        mirror = debian_mirror()
        run(
            ["debootstrap", "--variant=minbase", keyring, _SUITE, root, mirror],
            timeout=_DEADLINE,
        )
        _slim(root)
        layer = Path(folder) / "layer.tar"
        run(["tar", "--numeric-owner", "--one-file-system", "-C", root, "-cf", layer, "."])
        buildah.from_files([(layer, "/")], REFERENCE, "--cmd=/bin/bash")
        buildah.save(REFERENCE, target)


def _slim(root: Path) -> None:
    """Drop what no container reads, and tell dpkg not to bring it back."""
    excluded = [f"path-exclude {pattern}" for pattern in _NEVER_NEEDED]
    rules = "\n".join([*excluded, f"path-include {_KEPT}", ""])
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(rules)
    copyrights = set(root.glob(_KEPT.lstrip("/")))
    for pattern in _NEVER_NEEDED:
        for path in root.glob(pattern.lstrip("/")):
            _remove_all_but(copyrights, path)
    for cache in _CACHES:
        for path in (root / cache).iterdir():
            _remove_all_but(set(), path)


def _remove_all_but(kept: set[Path], path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    elif not any(path in wanted.parents for wanted in kept):
        shutil.rmtree(path)
    else:
        for child in map(Path, os.scandir(path)):
            if child not in kept:
                _remove_all_but(kept, child)
