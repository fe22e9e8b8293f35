"""Build images from a terminal: `python -m tests.cluster.images [NAME...]`."""

import sys
import time

from tests.cluster.errors import ClusterError
from tests.cluster.images import NAMES, build


def main(words: list[str]) -> int:
    """Build the named images, or all, and print each one's name, archive, seconds and size."""
    if unknown := [word for word in words if word not in NAMES]:
        print(f"no image is called {unknown[0]}; there are: {' '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in NAMES:
        if words and name not in words:
            continue
        started = time.monotonic()
        try:
            archive = build(name)
        except ClusterError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        took = time.monotonic() - started
        size = archive.stat().st_size / 1e6
        print(f"{name:9} {archive}  {took:.1f} s  {size:.1f} MB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
