"""The pods of the traffic tool as plain dicts; fit for the restricted Pod Security level."""

from __future__ import annotations

from typing import Any

from tests.cluster.registry import pulled

IMAGE = pulled("broker-operator/traffic:0.1.0")
LEDGERS_FILE = "ledgers.json"

_LEDGERS_FOLDER = "/ledgers"
_MEMORY = "256Mi"
CPU = "20m"
"""Asked for by each pod, which is its weight too where processors are scarce."""
_STOP_SECONDS = 90


def labels(run: str) -> dict[str, str]:
    """Return what every object of a traffic run carries."""
    return {
        "app.kubernetes.io/name": "checked-traffic",
        "app.kubernetes.io/instance": run,
        "app.kubernetes.io/component": "test",
    }


def pod(
    name: str,
    namespace: str,
    run: str,
    args: list[str],
    *,
    image: str = IMAGE,
    cpu: str = CPU,
    node: str | None = None,
    ledgers: str | None = None,
) -> dict[str, Any]:
    """Return a pod that runs one command of the tool to its end.

    Args:
        name: Of the pod.
        namespace: Of the pod.
        run: Name of the traffic run that it belongs to.
        args: The command and its options.
        image: Full name of the image.
        cpu: Processors that it asks for.
        node: Node to run on; any, if None.
        ledgers: Name of a ConfigMap whose `ledgers.json` to mount.
    """
    container: dict[str, Any] = {
        "name": "traffic",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "resources": {
            "requests": {"cpu": cpu, "memory": "64Mi"},
            "limits": {"memory": _MEMORY},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _STOP_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1001,
            "runAsGroup": 1001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    if ledgers:
        spec["volumes"] = [{"name": "ledgers", "configMap": {"name": ledgers}}]
        container["volumeMounts"] = [{"name": "ledgers", "mountPath": _LEDGERS_FOLDER}]
        container["args"] = [*args, "--ledgers", f"{_LEDGERS_FOLDER}/{LEDGERS_FILE}"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels(run)},
        "spec": spec,
    }


def ledgers_config_map(name: str, namespace: str, run: str, ledgers: str) -> dict[str, Any]:
    """Return the ConfigMap that carries ledgers, as JSON text, to `verify`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels(run)},
        "data": {LEDGERS_FILE: ledgers},
    }
