"""The released Pacifica services, run for real: `Site` (and its pytest fixtures in `tests.servers.fixtures`)."""

from .install import Unavailable
from .site import Site

__all__ = ["Site", "Unavailable"]
