"""The contract that every kind of archive passes. A kind subclasses these and gives the fixtures that `Kind` names.

class TestLocalArchive(LocalKind, ArchiveContract): ...
class TestLocalInbox(LocalKind, InboxContract): ...
"""

from .archive_contract import ArchiveContract
from .inbox_contract import InboxContract
from .tools import KEYS, MTIME_NS, Kind, make_bundle, upload

__all__ = ["KEYS", "MTIME_NS", "ArchiveContract", "InboxContract", "Kind", "make_bundle", "upload"]
