"""The kind `local`: a real archive in a folder of this machine, with no server at all.

    [archives.here]
    kind = "local"
    path = "~/pacifica"     # default: the folder local/NAME of the program's state

What it keeps stays readable without this program: plain files and one JSON for each transaction; `folder` has the
layout, `record` the JSON, `archive` the reading side, `index` what it groups by, `inbox` the writing side, `incoming`
how a transaction comes into being. Several programs may read and publish in one folder at once.
"""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from ...archive import Built, Effects
from ...config import ArchiveSettings
from ...errors import ConfigError, PacificaFSError
from ...model import Digest
from .archive import LocalArchive
from .folder import ArchiveFolder
from .inbox import LocalInbox
from .incoming import sweep
from .index import Index
from .prepare import prepare

log = logging.getLogger(__name__)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The kind's own keys."""

    path: str = ""


def from_url(url: str) -> dict[str, str]:
    """The options that `local+file:///FOLDER` stands for."""
    return {"path": unquote(urlsplit(url).path)}


def build(settings: ArchiveSettings, effects: Effects) -> Built:
    """The archive and inbox of `settings`; makes the folder where it is new, and clears what dead programs left in it.

    ConfigError for a folder that cannot be an archive. A folder that was one and is not there now is an outage: its
    disk may come back, so that is no error here.
    """
    options = settings.options_as(Options)
    if not Digest(settings.hash, "").computable:
        raise ConfigError(f"{settings.source}: archives.{settings.name}.hash: this machine knows no '{settings.hash}'")
    home = effects.state / "local"
    root = _absolute(options.path, effects.environ) if options.path else home / settings.name
    marker = home / ".known" / settings.name if options.path else None
    folder = ArchiveFolder(root, effects.clock)
    if prepare(folder, marker, f"{settings.source}: archives.{settings.name}.path"):
        try:
            sweep(folder)
        except PacificaFSError as error:
            log.warning("%s: leftovers of earlier uploads stay: %s", root, error)
    login = _login(effects.environ)
    index = Index(effects.cache / "local" / f"{settings.name}.sqlite", folder.identity)
    return Built(LocalArchive(settings.name, folder, login, index), LocalInbox(folder, settings.hash, login))


def _absolute(path: str, environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME")
    if home and (path == "~" or path.startswith("~/")):
        path = home + path[1:]
    return Path(path).expanduser().absolute()


def _login(environ: Mapping[str, str]) -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return environ.get("LOGNAME") or environ.get("USER") or str(os.geteuid())
