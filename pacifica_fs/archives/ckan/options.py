"""The keys of an archive of kind `ckan` in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from ...config import ArchiveSettings, Duration, Size
from ...errors import ConfigError

Mode = Literal["auto", "direct", "datapusher", "none"]


class TimeoutOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`timeouts = { connect = "10s", read = "60s" }`: to connect, and between two pieces of an answer."""

    connect: Duration = Duration(10)
    read: Duration = Duration(60)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[archives.NAME]` with `kind = "ckan"`.

    `url` is the site, `token` an API token (better found elsewhere; without one the site is read as the public).
    `mode` is the way of tables into the DataStore, `datapusher` the address of a DataPusher service, `job_timeout` how
    long a job of a loader may show no progress, `max_upload` the site's limit for one file (`ckan.max_resource_size`).
    `organisation` is that of packages which a sidecar wants created. `parallel` is for downloads; `providers` and
    `provider_roots` are for links of other protocols.
    """

    url: str
    token: str = ""
    mode: Mode = "auto"
    datapusher: str = ""
    job_timeout: Duration = Duration(120)
    max_upload: Size | None = None
    organisation: str = ""
    parallel: int = 4
    providers: Mapping[str, Any] = {}
    provider_roots: tuple[str, ...] = ()
    ca_bundle: str | bool = True
    timeouts: TimeoutOptions = TimeoutOptions()

    @property
    def verify(self) -> bool | str:
        """What the HTTP library takes for `verify`."""
        return str(Path(self.ca_bundle).expanduser()) if isinstance(self.ca_bundle, str) else self.ca_bundle


def options(settings: ArchiveSettings) -> Options:
    """The checked options of `settings`; ConfigError says what is wrong and where."""
    found = settings.options_as(Options)
    place = f"{settings.source}: [archives.{settings.name}]"
    for key in ("url", "datapusher"):
        value = getattr(found, key)
        parts = urlsplit(value)
        if (key == "url" or value) and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ConfigError(f"{place}: {key}: an address like https://ckan.example.org was expected, not {value!r}")
        if parts.username or parts.password or parts.query:
            raise ConfigError(f"{place}: {key}: no user, password or query in an address")
    if isinstance(found.verify, str) and not Path(found.verify).exists():
        raise ConfigError(f"{place}: ca_bundle: there is no file {found.verify}")
    if found.parallel < 1:
        raise ConfigError(f"{place}: parallel: at least 1 was expected, not {found.parallel}")
    if found.mode == "datapusher" and found.datapusher == "":
        # Allowed: the site's own plugin may be meant. Whether it has one is found out when a bundle is checked.
        return found
    return found
