"""The kinds of archives that are installed, found by entry point: ours and those of other packages.

A kind is a function `build` in a module. The module may also have `from_url(url) -> options`, which says what the
address of `pacifica-fs mount KIND+URL` means; without it the address is the option `url`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from ..archive import Build
from ..errors import ConfigError

GROUP = "pacifica_fs.archives"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def points() -> dict[str, EntryPoint]:
    """By name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load(kind: str, where: str) -> Build:
    """A kind's `build`; ConfigError, which begins with `where`, if there is none or it cannot be had."""
    known = points()
    if kind not in known:
        names = ", ".join(sorted(known)) or "none (is the package installed?)"
        raise ConfigError(f"{where}: unknown kind '{kind}'; known are: {names}")
    try:
        build: Build = known[kind].load()
    except ImportError as error:
        raise ConfigError(f"{where}: kind '{kind}' cannot be loaded: {error}") from error
    return build


def of_url(text: str) -> dict[str, Any]:
    """`KIND+https://HOST/PATH?OPTION=VALUE` as the table of one archive, under its name; ConfigError.

    What comes behind `?` are options of the kind, as text.
    """
    kind, plus, address = text.partition("+")
    parts = urlsplit(address)
    if not plus or parts.scheme not in ("http", "https", "file") or not (parts.netloc or parts.path):
        raise ConfigError(f"{text}: KIND+https://… was expected, for example ckan+https://data.example.org")
    if parts.username or parts.password:
        raise ConfigError("a secret in an address is seen by everybody; see docs/configuration.md for better places")
    module = sys.modules[load(kind, text).__module__]
    plain = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    mapping = getattr(module, "from_url", None)
    options: Mapping[str, Any] = mapping(plain) if mapping else {"url": plain}
    last = [part for part in parts.path.split("/") if part][-1:] or [parts.netloc or kind]
    name = _UNSAFE.sub("-", last[0]).strip("-.")[:64] or kind
    return {name: {"kind": kind, **options, **dict(parse_qsl(parts.query))}}
