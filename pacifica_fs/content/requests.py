"""What a user asks of a file's content: a JSON text written into the file's extended attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..errors import Denied, NotPermitted, TooBusy
from ..model import FileRef

if TYPE_CHECKING:
    from .content import Content

WORDS = ("evict", "verify", "pin", "unpin")


def do(content: Content, ref: FileRef, data: bytes, allowed: bool) -> bool:
    """Do `{"do": "evict" | "verify" | "pin" | "unpin"}`; False for anything else. Threading: as `Content`.

    `evict`: NotPermitted if it is pinned, TooBusy if it is open; what is not there is no error. `verify` compares a
    complete content with its digest, which takes as long as reading it; one that is damaged is gone afterwards.
    Denied where the user is not `allowed` to say what is in the cache.
    """
    what = _what(data)
    if what in WORDS and not allowed:
        raise Denied("only who mounted this says what is in its cache")
    match what:
        case "evict":
            if content.pinned(ref):
                raise NotPermitted(f"{ref.id} is pinned")
            if not content.evict(ref) and content.held(ref):
                raise TooBusy(f"{ref.id} is open")
        case "verify":
            content.verify(ref)
        case "pin":
            content.pin(ref, True)
        case "unpin":
            content.pin(ref, False)
        case _:
            return False
    return True


def _what(data: bytes) -> object:
    try:
        request = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return None
    return request.get("do") if isinstance(request, dict) else None
