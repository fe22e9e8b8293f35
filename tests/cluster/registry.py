"""Where a cluster that was given pulls the images from."""

import os


def pulled(name: str) -> str:
    """Return an image's full name: as it was built, or in the registry that $REGISTRY names."""
    registry = os.environ.get("REGISTRY", "").rstrip("/")
    return f"{registry}/{name}" if registry else name
