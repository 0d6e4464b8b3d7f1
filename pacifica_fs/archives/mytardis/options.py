"""The keys of an archive of kind `mytardis` in the configuration, and those of mytardisclient's own file."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from ...config import ArchiveSettings, Duration
from ...errors import ConfigError

Login = Literal["apikey", "basic", "session", "token", "public"]
CLIENT = "mytardisclient"


class TimeoutOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`timeouts = { connect = "10s", read = "60s" }`: to connect, and between two pieces of an answer."""

    connect: Duration = Duration(10)
    read: Duration = Duration(60)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[archives.NAME]` with `kind = "mytardis"`.

    `login` says how requests are signed (default: by what is given: `token`, else `username` with its API key, else as
    the public). `timezone` is the server's TIME_ZONE, which its times are in without saying so. `names` are plain, or
    as the site's SFTP view quotes them. `unverified` files are hidden or listed. `recall` says when a file on tape may
    be fetched. `ranges`: whether parts of a file can be asked for; `auto` finds out. `whole_dataset`: up to how many
    files a data set is listed at once. `providers` are those of other protocols, `provider_roots` the folders of this
    machine that `file` may read. `mytardisclient = true` (or a file) takes address, username and key from that
    program's configuration.
    """

    url: str = ""
    username: str = ""
    api_key: str = ""
    password: str = ""
    token: str = ""
    login: Login | None = None
    mytardisclient: bool | str = False
    timezone: str = "Australia/Melbourne"
    names: Literal["plain", "sftp"] = "plain"
    unverified: Literal["hide", "list"] = "hide"
    recall: Literal["ask", "never", "always"] = "ask"
    ranges: Literal["auto", "yes", "no"] = "auto"
    whole_dataset: int = 3000
    providers: Mapping[str, Any] = {}
    provider_roots: tuple[str, ...] = ()
    ca_bundle: str | bool = True
    timeouts: TimeoutOptions = TimeoutOptions()
    parallel: int = 6

    @property
    def way(self) -> Login:
        """How requests are signed."""
        return self.login or ("token" if self.token else "apikey" if self.username else "public")

    @property
    def verify(self) -> bool | str:
        """What the HTTP library takes for `verify`."""
        return str(Path(self.ca_bundle).expanduser()) if isinstance(self.ca_bundle, str) else self.ca_bundle

    @property
    def zone(self) -> ZoneInfo:
        """The server's time zone."""
        return ZoneInfo(self.timezone)


def options(settings: ArchiveSettings, environ: Mapping[str, str]) -> Options:
    """The checked options of `settings`; ConfigError says what is wrong and where."""
    found = settings.options_as(Options)
    place = f"{settings.source}: [archives.{settings.name}]"
    if found.mytardisclient:
        found = _with_client(found, place, environ)
    parts = urlsplit(found.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{place}: url: an address like https://mytardis.example.org was expected, not {found.url!r}")
    if parts.username or parts.password or parts.query:
        raise ConfigError(f"{place}: url: no user, password or query in an address; use username, api_key or token")
    if found.way in ("apikey", "basic", "session") and not found.username:
        raise ConfigError(f'{place}: login = "{found.way}" needs a username')
    try:
        _ = found.zone
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f'{place}: timezone: a name like "Australia/Melbourne" was expected, not {found.timezone!r} '
            "(is the system's tzdata installed?)"
        ) from error
    if isinstance(found.verify, str) and not Path(found.verify).exists():
        raise ConfigError(f"{place}: ca_bundle: there is no file {found.verify}")
    for key in ("parallel", "whole_dataset"):
        if getattr(found, key) < 1:
            raise ConfigError(f"{place}: {key}: at least 1 was expected, not {getattr(found, key)}")
    return found


def _with_client(found: Options, place: str, environ: Mapping[str, str]) -> Options:
    """What mytardisclient's file says, where our own configuration says nothing."""
    if isinstance(found.mytardisclient, str):
        file = Path(found.mytardisclient).expanduser()
    else:
        home = Path(environ.get("HOME") or Path.home())
        file = home / ".config" / CLIENT / f"{CLIENT}.cfg"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with file.open(encoding="utf-8") as stream:
            parser.read_file(stream)
    except OSError as error:
        raise ConfigError(f"{place}: mytardisclient: {file} cannot be read: {error.strerror}") from error
    except (configparser.Error, UnicodeDecodeError) as error:
        # Its message quotes lines of the file.
        raise ConfigError(f"{place}: mytardisclient: {file}: {type(error).__name__}") from error
    theirs = dict(parser[CLIENT]) if parser.has_section(CLIENT) else {}
    # The first names are those of its early releases.
    names = {"url": ("mytardis_url", "url"), "username": ("username",), "api_key": ("api_key", "apikey")}
    taken = {ours: value for ours, keys in names.items() for key in keys if (value := theirs.get(key, "").strip())}
    return msgspec.structs.replace(found, **{key: getattr(found, key) or value for key, value in taken.items()})
