"""What a blob is called: the same content under one name, and never one identity's content under another's."""

from __future__ import annotations

import hashlib
import json
import re
from types import MappingProxyType

from ..archive import ANONYMOUS
from ..model import Digest, FileRef

# Of what archives use most: making a hash object only to learn this is the dearest part of an open.
_LENGTHS = MappingProxyType({"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128})
_HEX = re.compile(r"[0-9a-f]+")
_NAME = re.compile(r"[a-z0-9_]+-[0-9a-f]{32,}\.[0-9]+")


def trusted(digest: Digest | None) -> Digest | None:
    """`digest` if this machine can check content against it, else None.

    Servers may claim any word as algorithm and any text as value: neither may reach a file name unseen.
    """
    if digest is None or not digest.computable:
        return None
    length = _LENGTHS.get(digest.algorithm) or digest.hasher().digest_size * 2
    return digest if len(digest.value) == length and _HEX.fullmatch(digest.value) else None


def key(ref: FileRef, identity: str) -> str:
    """The name of `ref`'s content, safe as a part of a file name.

    The digest where it is strong, so that what one identity reads of the same bytes in two archives is fetched once;
    else the digest within one archive; else the file's id and validator there. Who is shown a file's name and digest
    may not be allowed its content: another identity always has another key.
    """
    digest = trusted(ref.digest)
    if digest is not None and digest.strong:
        if identity == ANONYMOUS:
            return f"{digest.algorithm}-{digest.value}"
        own = hashlib.sha256(json.dumps([identity, digest.value]).encode()).hexdigest()
        return f"{digest.algorithm}_own-{own}"
    if digest is not None:
        parts = ["digest", ref.archive, identity, str(digest)]
    else:
        # A digest that cannot be checked still tells versions of a file apart.
        parts = ["id", ref.archive, identity, ref.container, ref.id, ref.validator or "", str(ref.digest or "")]
    return "x-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def name(key: str, size: int) -> str:
    """The file name of a blob: its key, and its size, so that a file cut short on disk is recognised."""
    return f"{key}.{size}"


def parse(text: str) -> str | None:
    """`text` if it is the file name of a blob, else None."""
    return text if _NAME.fullmatch(text) else None


def split(name: str) -> tuple[str, int]:
    """Key and size of a blob's name."""
    key, _, size = name.rpartition(".")
    return key, int(size)


def folder(name: str) -> str:
    """The two letters of a key or name below which the blob lies."""
    start = name.index("-") + 1
    return name[start : start + 2]
