"""The toy as a `Mount`: `serve.py` run as a daemon."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.mount.fixtures import Mounts
from tests.mount.harness import Mount

COMMAND = (sys.executable, "-m", "tests.mount.toy.serve")
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[3])}


def toy(mounted: Mounts, *options: str, environment: Mapping[str, str] = {}, **more: Any) -> Mount:
    """The toy, mounted. Keyword arguments as for `mounted`."""
    return mounted(command=COMMAND, options=options, environment={**ENVIRONMENT, **environment}, **more)


def counts(mount: Mount) -> dict[str, int]:
    """How often libfuse called what so far, and how many readers wait. Asking opens and reads one file itself."""
    found: dict[str, int] = json.loads(mount.read("status/counts"))
    return found
