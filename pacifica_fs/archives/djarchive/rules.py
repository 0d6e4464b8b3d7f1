"""What can be published, said before a byte is sent. Pure functions of a bundle and the revision that is there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from ...errors import PacificaFSError
from ...model import Bundle, Metadata, Problem
from . import manifest
from .store import is_name

FIELDS = frozenset({"dataset", "revision", "replace", "confirm", "keep_all"})
"""What a sidecar may say. The first two are the folder's; the others are `true` or left out."""
ZARR = frozenset({".zarray", ".zgroup", ".zattrs", ".zmetadata"})
SHARE = 0.01
"""How much of a bundle may be left out without a question."""
KEY_MAX = 1024
NAME_MAX = 255

Lines = Mapping[str, tuple[int, str]]
"""A manifest: size and sha256 by path."""


def said(metadata: Metadata, field: str) -> bool:
    """Whether a sidecar says `"FIELD": true`."""
    return metadata.fields.get(field, "").strip().lower() in ("true", "yes", "1")


def target(metadata: Metadata) -> str:
    """`DATASET/REVISION` of a bundle."""
    return f"{metadata.fields.get('dataset', '')}/{metadata.fields.get('revision', '')}"


def leaves_out(path: str, metadata: Metadata, pattern: re.Pattern[str]) -> str:
    """Why a file is not published; "" if it is. As djarchive-client, which matches each component of a path."""
    if said(metadata, "keep_all"):
        return ""
    part = next((part for part in path.split("/") if pattern.match(part)), None)
    return "" if part is None else f"the name '{part}' matches filename_filter ({pattern.pattern})"


def lines(bundle: Bundle) -> dict[str, tuple[int, str]]:
    """What the manifest of `bundle` has to say, by path in order."""
    files = sorted(bundle.files, key=lambda file: file.path)
    return {file.path: (file.size, file.digest.value) for file in files if file.path != manifest.NAME}


def problems(bundle: Bundle) -> list[Problem]:
    """Everything that is wrong with `bundle` by itself."""
    found = [*_metadata(bundle.metadata), *_paths(bundle), *_client(bundle), *_filtered(bundle)]
    dropped = next((file for file in bundle.files if file.path == manifest.NAME), None)
    if dropped is not None:
        try:
            listed = {path: (size, digest) for size, digest, path in manifest.parse(dropped.source.read_bytes(), "it")}
        except (PacificaFSError, OSError) as error:
            found.append(Problem(f"it cannot be read: {error}", "Correct it, or remove it.", manifest.NAME))
        else:
            found += _against(listed, lines(bundle), bundle.left_out)
    return found


def replaced(bundle: Bundle, there: Lines) -> list[Problem]:
    """What keeps `bundle` from taking the place of the revision with the manifest `there`."""
    id = target(bundle.metadata)
    if not said(bundle.metadata, "replace"):
        what = f"{id} was published before, with {len(there)} files, and a revision does not change"
        return [Problem(what, 'Choose another revision; or put {"replace": true} into metadata.json to overwrite it.')]
    lost = [path for path in there if path not in lines(bundle)]
    if lost and bundle.files and not said(bundle.metadata, "confirm"):
        what = f"{id} would lose {len(lost)} of its {len(there)} files, such as {lost[0]}"
        remedy = 'Copy them, too; or put {"replace": true, "confirm": true} into metadata.json.'
        return [Problem(what, remedy)]
    return []


def _metadata(metadata: Metadata) -> Iterator[Problem]:
    for field in ("dataset", "revision"):
        value = metadata.fields.get(field, "")
        if not value:
            yield Problem(f"the {field} is missing", "Copy into drop/ARCHIVE/DATASET/REVISION/.")
        elif not is_name(value) or len(value.encode()) > NAME_MAX:
            yield Problem(f"{value!r} cannot be the name of a {field}", "Rename the folder.")
    for field in ("replace", "confirm", "keep_all"):
        value = metadata.fields.get(field, "")
        if value and not said(metadata, field) and value.strip().lower() not in ("false", "no", "0"):
            yield Problem(f"'{field}' must be true or false, not {value!r}", "Correct the sidecar.")
    for (key, value), times in Counter(metadata.keys).items():
        if times > 1:
            yield Problem(f"the key/value pair '{key}' = '{value}' is there {times} times", "Keep one of them.")


def _paths(bundle: Bundle) -> Iterator[Problem]:
    paths = Counter(file.path for file in bundle.files)
    folders = {path[:end] for path in paths for end, letter in enumerate(path) if letter == "/"}
    prefix = len(target(bundle.metadata).encode("utf-8", "replace")) + 1
    for path, times in paths.items():
        shown = path.encode("utf-8", "backslashreplace").decode()
        if why := _unstorable(path, prefix):
            yield Problem(f"'{shown}' cannot be published: {why}", "Rename it.", shown)
        if times > 1:
            yield Problem(f"'{shown}' is there {times} times", "Keep one of them.", shown)
        if path in folders:
            yield Problem(f"'{shown}' is a file and a folder at once", "Rename one of them.", shown)


def _unstorable(path: str, prefix: int) -> str:
    for part in path.split("/"):
        if not is_name(part):
            return f"{part!r} is no name that an object's key can have"
        if len(part.encode()) > NAME_MAX:
            return f"a name has more than {NAME_MAX} bytes"
    if prefix + len(path.encode()) > KEY_MAX:
        return f"its key would have more than {KEY_MAX} bytes"
    return ""


def _client(bundle: Bundle) -> Iterator[Problem]:
    """djarchive-client uploads such names, and cannot download what it uploaded."""
    if said(bundle.metadata, "confirm"):
        return
    odd = [file.path for file in bundle.files if "," in file.path or '"' in file.path]
    if odd:
        what = f"djarchive-client cannot read {_some(odd)}, because of a comma or a quote in the name"
        yield Problem(
            what, 'Rename it; or put {"confirm": true} into metadata.json to publish it all the same.', odd[0]
        )


def _filtered(bundle: Bundle) -> Iterator[Problem]:
    """What is left out is as a rule rubbish; where it may not be, somebody is asked."""
    left = bundle.left_out
    if not left or said(bundle.metadata, "confirm"):
        return
    zarr = [path for path in left if path.rpartition("/")[2] in ZARR]
    if zarr:
        what = f"filename_filter takes {_some(zarr)}, without which a Zarr store cannot be opened"
    elif len(left) > SHARE * (len(left) + len(bundle.files)):
        what = f"filename_filter takes {len(left)} of {len(left) + len(bundle.files)} files, such as {left[0]}"
    else:
        return
    yield Problem(
        what, 'Put {"keep_all": true} into metadata.json to publish them, or {"confirm": true} to do without.'
    )


def _against(listed: Lines, have: Lines, left_out: Collection[str]) -> Iterator[Problem]:
    for path, line in listed.items():
        if path in left_out:
            yield Problem(
                "the manifest lists it, but filename_filter takes it", 'Put {"keep_all": true} into it.', path
            )
        elif path not in have:
            yield Problem("the manifest lists it, but it is not there", "Copy it, or remove the manifest.", path)
        elif have[path] != line:
            yield Problem("it is not what the manifest says", "Copy it again, or remove the manifest.", path)
    for path in have:
        if path not in listed:
            yield Problem("it is not in the manifest", "Remove it, or the manifest: then one is made.", path)


def _some(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} (and {len(paths) - 1} more)"
