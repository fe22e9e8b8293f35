"""What is in an image archive, without unpacking it."""

import json
import tarfile
from pathlib import Path

from tests.cluster.errors import ClusterError

_NAME = "org.opencontainers.image.ref.name"


def contents(archive: Path) -> dict[str, str]:
    """Return the images of an OCI archive: full name -> digest of the manifest.

    Raises:
        ClusterError: It is no OCI archive, or one whose images have no names.
    """
    try:
        with tarfile.open(archive) as tar:
            index = tar.extractfile("index.json")
            manifests = json.load(index)["manifests"] if index else []
        return {manifest["annotations"][_NAME]: manifest["digest"] for manifest in manifests}
    except (OSError, KeyError, ValueError, tarfile.TarError) as error:
        raise ClusterError(
            f"{archive} is no OCI archive with names in it ({error}); make it with"
            " `buildah push IMAGE oci-archive:FILE:NAME` or `skopeo copy`"
        ) from error
