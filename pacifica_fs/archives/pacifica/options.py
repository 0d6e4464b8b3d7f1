"""The keys of an archive of kind `pacifica` in the configuration."""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from ...config import ArchiveSettings, Auth, Duration
from ...errors import ConfigError
from . import pacifica_cli
from .rules import HASHES

SERVICES = ("policy", "metadata", "ingest", "cart", "archive_interface", "files_by_hash")


class TimeoutOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`timeouts = { connect = "10s", read = "60s" }`: to connect, and between two pieces of an answer."""

    connect: Duration = Duration(10)
    read: Duration = Duration(60)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[archives.NAME]` with `kind = "pacifica"`.

    The first six are addresses of the site's services; `policy` or `metadata` is needed to list, one of `cart`,
    `archive_interface` and `files_by_hash` to read, `ingest` (and `policy`) to upload. `ranges = "trusted"` says that
    the archive interface answers `byte_range` rightly. `template` is the site's uploader.json, a file;
    `first_choice` takes the first of several choices where a sidecar leaves it open, as pacifica-cli does.
    `pacifica_cli`: what is missing here is taken from pacifica-cli's own configuration; a text is the path of another
    config.ini than the user's own. `user` is the login name of who submits (default: `auth.username`, else who runs
    this program). `cart_stuck`: a cart that is staging for longer is taken for dead. `parallel`: how many downloads at
    once are good for the site.
    """

    policy: str = ""
    metadata: str = ""
    ingest: str = ""
    cart: str = ""
    archive_interface: str = ""
    files_by_hash: str = ""
    ranges: Literal["no", "trusted"] = "no"
    template: str = ""
    first_choice: bool = False
    pacifica_cli: bool | str = False
    ca_bundle: str | bool = True
    auth: Auth = Auth()
    user: str = ""
    timeouts: TimeoutOptions = TimeoutOptions()
    cart_stuck: Duration = Duration(30 * 60)
    parallel: int = 8

    @property
    def config_ini(self) -> Path | None:
        """pacifica-cli's configuration, where it is another one than the user's own."""
        return Path(self.pacifica_cli).expanduser() if isinstance(self.pacifica_cli, str) else None

    @property
    def login(self) -> str:
        """The login name (or id) of whoever uses this archive."""
        return self.user or self.auth.username or getpass.getuser()

    @property
    def identity(self) -> str:
        """By which cached content is kept apart: the login name, and as whom a proxy before the site knows us if that
        is somebody else.
        """
        if self.auth.type == "clientssl":
            return f"{self.login} by certificate {_fingerprint(self.auth.cert)}"
        other = self.auth.username if self.auth.username != self.login else ""
        return f"{self.login} as {other}" if other else self.login

    @property
    def verify(self) -> bool | str:
        """What the HTTP library takes for `verify`."""
        return str(Path(self.ca_bundle).expanduser()) if isinstance(self.ca_bundle, str) else self.ca_bundle

    def addresses(self) -> Mapping[str, str]:
        """The configured services and their addresses."""
        return {name: getattr(self, name) for name in SERVICES if getattr(self, name)}


def options(settings: ArchiveSettings, environ: Mapping[str, str]) -> Options:
    """The checked options of `settings`, with pacifica-cli's where they ask for it. ConfigError says what is wrong and
    where."""
    found = settings.options_as(Options)
    place = f"{settings.source}: [archives.{settings.name}]"
    if found.pacifica_cli:
        other = pacifica_cli.read(environ, found.config_ini)
        place = f"{place} with pacifica_cli ({', '.join(other.sources) or 'which has no config.ini'})"
        merged = {**other.options, **settings.options}
        found = msgspec.structs.replace(settings, options=merged, source=settings.source).options_as(Options)
    for name, url in found.addresses().items():
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{place}: {name}: an address like https://{name}.example.org was expected, not {url!r}")
        if parts.username or parts.password:
            raise ConfigError(f"{place}: {name}: no user or password in an address; use auth = {{ … }}")
    if not found.policy and not found.metadata:
        raise ConfigError(f'{place}: the address of the site\'s policy service is missing: policy = "https://…"')
    if found.ingest and not found.policy:
        raise ConfigError(f"{place}: ingest needs policy too: an upload is checked there before it is sent")
    if found.ranges == "trusted" and not found.archive_interface:
        raise ConfigError(f'{place}: ranges = "trusted" is about archive_interface, which is not configured')
    if isinstance(found.verify, str) and not Path(found.verify).exists():
        raise ConfigError(f"{place}: ca_bundle: there is no file {found.verify}")
    if settings.hash not in HASHES:
        raise ConfigError(f"{place}: hash: one of {', '.join(sorted(HASHES))} was expected, not {settings.hash!r}")
    if found.parallel < 1:
        raise ConfigError(f"{place}: parallel: at least 1 was expected, not {found.parallel}")
    return found


def _fingerprint(cert: str) -> str:
    """Tells one certificate from another that is put in its place; without a file, its path does."""
    try:
        content = Path(cert).expanduser().read_bytes()
    except OSError:
        content = cert.encode()  # requests say what is wrong with it
    return hashlib.sha256(content).hexdigest()[:12]
