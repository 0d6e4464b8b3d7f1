"""What would make a site refuse an upload, found here before a byte is sent, in a scientist's words.

The server would find most of it only after the whole upload, some of it after the files were archived, and some of it
never.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from ...model import Bundle, BundleFile, Metadata, Problem
from .entries import BUNDLE_KEY, TABLE, timestamp

LONGEST = 255
_LARGEST_ID = 2**31 - 1
# What a server's hashlib is sure to have, with a fixed size.
HASHES = frozenset(hashlib.algorithms_guaranteed - {"shake_128", "shake_256"})
_FORBIDDEN = {
    "Transactions._id": "the number of a transaction is given by the site",
    "FileKeyValue": "the site cannot take key/values of single files with an upload",
}


def problems(bundle: Bundle, found: Collection[str] = ()) -> list[Problem]:
    """All local rules, over metadata and files; `found` as for `metadata`."""
    return [*metadata(bundle.metadata, found), *files(bundle.files)]


def metadata(given: Metadata, found: Collection[str] = ()) -> Iterator[Problem]:
    """Rules about what the sidecar says. A missing submitter is filled in from the user's login.

    `found`: fields that the site's template looks after: it says itself what is missing or wrong.
    """
    if not given.fields.get("project", "").strip() and "project" not in found:
        yield Problem("the metadata names no project", 'add it to the sidecar: "project": "…"')
    instrument = given.fields.get("instrument", "").strip()
    if "instrument" in found:
        pass
    elif not instrument:
        yield Problem("the metadata names no instrument", 'add it to the sidecar: "instrument": (its number)')
    elif not _is_number(instrument):
        yield Problem(f"instrument '{instrument}' is not the number of one", "use the instrument's number at the site")
    submitter = given.fields.get("submitter", "").strip()
    if submitter.lstrip("-").isdecimal() and not _is_number(submitter):
        yield Problem(f"submitter {submitter} is not the number of a user", "use a user's number or login name")
    for name, value in given.fields.items():
        yield from _text(f"the {name}", value)
    yield from _pairs(given.keys)
    for entry in given.native:
        reason = _FORBIDDEN.get(str(entry.get(TABLE)))
        if reason:
            yield Problem(f"the metadata has an entry {entry[TABLE]}: {reason}", "remove it from the sidecar")


def files(entries: Iterable[BundleFile]) -> Iterator[Problem]:
    """Rules about the files, each by itself and all together."""
    entries = tuple(entries)
    for entry in entries:
        yield from _path(entry.path)
        yield from _content(entry)
    counted = Counter(entry.path for entry in entries)
    for path, count in counted.items():
        if count > 1:
            yield Problem(f"the same path is there {count} times", "rename all but one", path)
    folders = {path[:end] for path in counted for end in range(len(path)) if path[end] == "/"}
    for path in sorted(folders & counted.keys()):
        yield Problem("a file and a folder have the same name", "rename one of them", path)


def _pairs(keys: tuple[tuple[str, str], ...]) -> Iterator[Problem]:
    for (key, value), count in Counter(keys).items():
        if count > 1:
            yield Problem(f"the key '{key}' with the value '{value}' is there {count} times", "keep it once")
        if key == BUNDLE_KEY:
            yield Problem(f"the key '{key}' is used by this program itself", "remove it from the sidecar")
        if not key:
            yield Problem(f"the value '{_short(value)}' has an empty key", "give the key a name")
        yield from _text(f"the key '{_short(key)}'", key)
        yield from _text(f"the value of the key '{_short(key)}'", value)


def _text(what: str, text: str) -> Iterator[Problem]:
    if len(text) > LONGEST:
        yield Problem(
            f"{what} has {len(text)} characters; the site takes at most {LONGEST}",
            "shorten it, or put the text into a file of the upload",
        )
    if "\0" in text or not _is_encodable(text):
        yield Problem(f"{what} has characters that cannot be stored", "remove them")


def _path(path: str) -> Iterator[Problem]:
    folder, _, name = path.rpartition("/")
    if not _is_encodable(path):
        shown = path.encode("utf-8", "backslashreplace").decode("ascii", "replace")
        yield Problem("the name is not valid UTF-8, which the site needs", "rename it", shown)
        return
    if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        yield Problem("the path has a part that is empty, '.' or '..'", "rename it", path)
    if len(name) > LONGEST:
        yield Problem(f"the name has {len(name)} characters; the site takes at most {LONGEST}", "shorten it", path)
    if len(folder) > LONGEST:
        yield Problem(
            f"the path of its folder has {len(folder)} characters; the site takes at most {LONGEST}",
            "use shorter or fewer nested folders, or pack the folder into one file",
            path,
        )


def _content(entry: BundleFile) -> Iterator[Problem]:
    kind, value = entry.digest.algorithm, entry.digest.value
    if kind not in HASHES:
        yield Problem(f"the site does not know the hash '{kind}'", 'set hash = "sha1" or "sha256"', entry.path)
    elif len(value) != 2 * entry.digest.hasher().digest_size or not set(value) <= set("0123456789abcdef"):
        yield Problem(f"'{_short(value)}' is not a {kind} hash", "let it be computed again", entry.path)
    if entry.size < 0:
        yield Problem("the size is not known", "write the file again", entry.path)
    try:
        timestamp(entry.mtime_ns)
    except ValueError:
        yield Problem("the time of its last change is out of range", "give it another: touch", entry.path)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= _LARGEST_ID


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"
