"""A fake MyTardis; see `server`."""

from .reference import BIG, TOKEN, pattern, reference
from .server import FakeTardis
from .site import DataFile, Site

__all__ = ["BIG", "TOKEN", "DataFile", "FakeTardis", "Site", "pattern", "reference"]
