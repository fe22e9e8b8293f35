"""Kernel settings that every kubelet makes for the whole machine, and how they were before.

They have no namespace, so the first cluster notes what it finds, and the last one puts it back.
"""

import json
from pathlib import Path

from tests.cluster.cache import cache_root, locked

_SETTINGS = (
    # setupKernelTunables in Kubernetes' pkg/kubelet/cm/container_manager_linux.go
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
_ROOT = Path("/proc/sys")


def save() -> None:
    """Note the present settings, unless a cluster that is there has done so."""
    with locked(_file().with_suffix(".lock")):
        if not _file().exists():
            found = {name: (_ROOT / name).read_text().strip() for name in _SETTINGS}
            _file().write_text(json.dumps(found))


def restore() -> None:
    """Put back what was noted once no cluster is left; call after removing one."""
    with locked(_file().with_suffix(".lock")):
        others = [folder for folder in _file().parent.iterdir() if folder.is_dir()]
        if others or not _file().exists():
            return
        for name, value in json.loads(_file().read_text()).items():
            (_ROOT / name).write_text(value)
        _file().unlink()


def _file() -> Path:
    return cache_root() / "clusters" / "tunables.json"
