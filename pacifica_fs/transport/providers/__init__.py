"""Where the bytes of a file lie elsewhere than its archive's own download address: providers, by protocol."""

from .contract import Context, Delivery, Follow, OneByOne, Opened, Provider, Remote
from .registry import Providers

__all__ = ["Context", "Delivery", "Follow", "OneByOne", "Opened", "Provider", "Providers", "Remote"]
