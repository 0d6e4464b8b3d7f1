"""TOML into typed values; every error names the file, the key and what was expected.

One file is read: the one given, else the user's, on top of the system's (tables are merged key by key). With none at
all the configuration is one `local` archive called `here`. Secrets are not looked up here: see `transport.credentials`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import shlex
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import msgspec
import platformdirs

from .errors import ConfigError

S = TypeVar("S")

APP = "pacifica-fs"
SYSTEM_FILE = Path("/etc/pacifica-fs/config.toml")
_SIZE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGTP]?)(i?)(B?)\s*$", re.IGNORECASE)
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|m|h|d)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")
SECRETS = frozenset({"password", "access_key", "secret_key", "api_key", "token"})
RULES = frozenset({"project", "instrument", "user"})
RESERVED = frozenset({"drop", "status", "README.txt"})


class Size(int):
    """Bytes; written as a number or as `"50 GiB"`, `"1.5 GB"`."""

    @classmethod
    def parse(cls, value: object) -> Size:
        """A configured value as bytes; ValueError says what was expected."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(value)
        match = _SIZE.match(value) if isinstance(value, str) else None
        if not match:
            raise ValueError(f'a size like "50 GiB" was expected, not {value!r}')
        number, prefix, binary, _ = match.groups()
        base = 1024 if binary else 1000
        return cls(float(number) * base ** (" KMGTP".index(prefix.upper() or " ")))


class Duration(float):
    """Seconds; written as a number or as `"30s"`, `"15 min"`, `"1h 30m"`, `"30d"`."""

    @classmethod
    def parse(cls, value: object) -> Duration:
        """A configured value as seconds; ValueError says what was expected."""
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return cls(value)
        if isinstance(value, str) and _TIME.search(value) and not _TIME.sub("", value).strip():
            return cls(sum(float(number) * _SECONDS[unit.lower()] for number, unit in _TIME.findall(value)))
        raise ValueError(f'a time like "30s", "15 min" or "12h" was expected, not {value!r}')


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache]`: the content store."""

    limit: Size = Size(50 * 2**30)
    path: str = ""


class DropSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[drop]`: the spool, and when a bundle is complete.

    `quiet`, `quiet_unmarked`: how long nothing may be written until a bundle with, and without, a sidecar after its
    last file is complete. `keep_done`: how long a done bundle stays visible. `confirm_after`: how long an upload is
    looked for whose end was sent without an answer. `path`, `limit`, `min_free`: where the spool is, its most bytes,
    and the bytes that must stay free on its disk. `sidecar_names`: what a sidecar may be called. `symlinks`: whether
    links are refused, or the files archived that they lead to. `bandwidth`: bytes a second for each archive.
    `on_state`: a command, or a URL that takes a CloudEvent, for bundles that are done, held or failed.
    """

    quiet: Duration = Duration(30)
    quiet_unmarked: Duration = Duration(15 * 60)
    keep_done: Duration = Duration(30 * 86400)
    confirm_after: Duration = Duration(86400)
    path: str = ""
    limit: Size | None = None
    min_free: Size = Size(2**30)
    sidecar_names: tuple[str, ...] = ("metadata.json", "metadata.yaml")
    symlinks: Literal["refuse", "follow"] = "refuse"
    bandwidth: Size | None = None
    on_state: str | tuple[str, ...] = ""


class MountSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[mount]`: how the tree shows itself to the kernel."""

    access: str = "me"
    allow_other: bool = False


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[log]`: what messages look like."""

    format: Literal["text", "json"] = "text"


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[metrics]`: where Prometheus finds them besides `status/metrics`: an address, a file for node_exporter."""

    listen: str = ""
    textfile: str = ""


class DatapusherSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[datapusher]`: the service that answers DataPusher's job API.

    `listen`: where. `allow_hosts`: what jobs may reach, see `transport.reach.Policy`. `jobs` run at a time, at most
    `max_waiting` wait. `max_download`: the largest file. `connect_timeout` and `read_timeout` are of each connection,
    `download_timeout` and `job_timeout` of a whole download and a whole job. `retention`: how long a job is known
    after its end. `ca_bundle`: certificates of sites that have their own. `secret` opens every job.
    """

    listen: str = "127.0.0.1:8800"
    allow_hosts: tuple[str, ...] = ("*",)
    jobs: int = 4
    max_waiting: int = 10_000
    max_download: Size = Size(2**30)
    connect_timeout: Duration = Duration(10)
    read_timeout: Duration = Duration(60)
    download_timeout: Duration = Duration(1800)
    job_timeout: Duration = Duration(6 * 3600)
    retention: Duration = Duration(14 * 86400)
    ca_bundle: str | bool = True
    secret: str = ""


class Auth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`auth = { type = "basic", username = "me" }` of an archive; secrets are better found elsewhere."""

    type: Literal["none", "basic", "clientssl", "gssapi"] = "none"
    username: str = ""
    password: str = ""
    cert: str = ""
    key: str = ""


class PrefetchRule(msgspec.Struct, frozen=True):
    """One of `prefetch = [{ project = "1234a", keys = { Tag = "first" } }]`: what an event must say to be fetched at
    once. `where` has values of dimensions (project, instrument, user), `keys` key/values; an empty rule takes all.
    """

    where: Mapping[str, str] = {}
    keys: Mapping[str, str] = {}


class ArchiveSettings(msgspec.Struct, frozen=True):
    """`[archives.NAME]`: what all kinds have in common; `options` are the kind's own keys, still as TOML values."""

    name: str
    kind: str
    read: Literal["progressive", "verified"] = "progressive"
    read_wait: Duration = Duration(600)
    listing_ttl: Duration = Duration(60)
    listing_limit: int = 10_000
    hash: str = "sha1"
    defaults: Mapping[str, Any] = {}
    layout: str = ""
    single_files: bool = False
    max_bundle: Size | None = None
    users: Mapping[str, str] = {}
    prefetch: tuple[Mapping[str, Any], ...] = ()
    options: Mapping[str, Any] = {}
    source: str = ""

    def options_as(self, type: type[S]) -> S:
        """The kind's own keys as its Struct (which should forbid unknown fields); ConfigError names the key."""
        return _convert(dict(self.options), type, self.source, f"archives.{self.name}", COMMON)

    @property
    def prefetch_rules(self) -> tuple[PrefetchRule, ...]:
        """`prefetch`, checked; ConfigError."""
        return tuple(self._rule(number, dict(rule)) for number, rule in enumerate(self.prefetch, 1))

    def _rule(self, number: int, rule: dict[str, Any]) -> PrefetchRule:
        place = f"{self.source}: archives.{self.name}.prefetch: rule {number}"
        keys = rule.pop("keys", {})
        if not isinstance(keys, dict):
            raise ConfigError(f'{place}: keys: a table like {{ Tag = "first" }} was expected')
        unknown = sorted(set(rule) - RULES)
        if unknown:
            raise ConfigError(f"{place}: unknown key '{unknown[0]}'; known are: {', '.join(sorted(RULES))}, keys")
        for name, value in [*rule.items(), *keys.items()]:
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise ConfigError(f"{place}: {name}: a text or a number was expected, not {value!r}")
        return PrefetchRule({k: str(v) for k, v in rule.items()}, {k: str(v) for k, v in keys.items()})


COMMON = frozenset(ArchiveSettings.__struct_fields__) - {"name", "options", "source"}
"""The keys of `[archives.NAME]` that every kind has."""


class Config(msgspec.Struct, frozen=True):
    """The whole configuration. `sources` are the files it came from, for messages."""

    cache: CacheSettings = CacheSettings()
    drop: DropSettings = DropSettings()
    mount: MountSettings = MountSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    datapusher: DatapusherSettings = DatapusherSettings()
    archives: tuple[ArchiveSettings, ...] = ()
    sources: tuple[str, ...] = ()


class Places(msgspec.Struct, frozen=True):
    """Where precious (`state`) and disposable (`cache`) files live, and the secrets' folder if systemd gave one."""

    state: Path
    cache: Path
    credentials: Path | None = None


class _Tables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cache: CacheSettings = CacheSettings()
    drop: DropSettings = DropSettings()
    mount: MountSettings = MountSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    datapusher: DatapusherSettings = DatapusherSettings()
    archives: dict[str, dict[str, Any]] = {}


def load(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of `file`, or of the system's and the user's files, or the default.

    Raises ConfigError, whose message is meant for a user.
    """
    environ = os.environ if environ is None else environ
    if file is not None:
        return parse(_read(file), (str(file),))
    found = [path for path in (SYSTEM_FILE, user_file(environ)) if path.is_file()]
    tables: dict[str, Any] = {}
    for path in found:
        tables = _merge(tables, _read(path))
    return parse(tables, tuple(map(str, found)))


def parse(tables: Mapping[str, Any], sources: tuple[str, ...] = ()) -> Config:
    """TOML tables as a Config; an empty one gets the `local` archive `here`."""
    source = " and ".join(sources) or "the configuration"
    raw = _convert(dict(tables), _Tables, source, "")
    _command(raw.drop.on_state, source)
    archives = tuple(_archive(name, table, source) for name, table in raw.archives.items())
    if not archives:
        archives = (ArchiveSettings("here", "local", options={"path": ""}, source=source),)
    return Config(raw.cache, raw.drop, raw.mount, raw.log, raw.metrics, raw.datapusher, archives, sources)


def _command(on_state: str | tuple[str, ...], source: str) -> None:
    """ConfigError for what can never be told anything."""
    if isinstance(on_state, str) and on_state.startswith(("http://", "https://")):
        return
    try:
        words = shlex.split(on_state) if isinstance(on_state, str) else on_state
    except ValueError as error:
        raise ConfigError(f"{source}: drop.on_state: a command or an address was expected: {error}") from error
    if (on_state and not (words and words[0])) or any("\0" in word for word in words):
        raise ConfigError(f"{source}: drop.on_state: a command or an address was expected, not {on_state!r}")


def secrets(config: Config) -> list[str]:
    """The keys of the configuration that hold a secret: who may read its files must be few."""
    found = [f"archives.{each.name}.{key}" for each in config.archives for key in _secrets(each.options)]
    return [*found, *(["datapusher.secret"] if config.datapusher.secret else [])]


def user_file(environ: Mapping[str, str]) -> Path:
    """The user's configuration file, whether it exists or not."""
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".config")
    return Path(base) / APP / "config.toml"


def places(config: Config, environ: Mapping[str, str] | None = None) -> Places:
    """Systemd's directories first, then `[drop] path` and `[cache] path`, then XDG's. Nothing is created here."""
    environ = os.environ if environ is None else environ
    home = Path(environ.get("HOME") or Path.home())
    if environ is os.environ:
        state_default = platformdirs.user_state_path(APP)
        cache_default = platformdirs.user_cache_path(APP)
    else:
        state_default = Path(environ.get("XDG_STATE_HOME") or home / ".local/state") / APP
        cache_default = Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / APP
    state = environ.get("STATE_DIRECTORY", "").split(":")[0] or config.drop.path
    cache = environ.get("CACHE_DIRECTORY", "").split(":")[0] or config.cache.path
    credentials = environ.get("CREDENTIALS_DIRECTORY", "")
    return Places(
        Path(state).expanduser().absolute() if state else state_default,
        Path(cache).expanduser().absolute() if cache else cache_default,
        Path(credentials) if credentials else None,
    )


def apart(places: Places, source: str) -> Places:
    """Folders of its own below `places` for an archive that is known by nothing but its address."""
    name = hashlib.sha256(source.encode()).hexdigest()[:16]
    return msgspec.structs.replace(places, state=places.state / "url" / name, cache=places.cache / "url" / name)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _secrets(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += _secrets(value, f"{prefix}{key}.")
        elif key in SECRETS and value:
            found.append(prefix + key)
    return found


def _archive(name: str, table: Mapping[str, Any], source: str) -> ArchiveSettings:
    where = f"archives.{name}"
    if not _NAME.match(name) or name in RESERVED:
        raise ConfigError(
            f"{source}: [{where}]: an archive's name is a folder in the mount: letters, digits, '-', '_' and '.', "
            f"at most 64, and none of {', '.join(sorted(RESERVED))}"
        )
    common = {key: value for key, value in table.items() if key in COMMON}
    options = {key: value for key, value in table.items() if key not in COMMON}
    found = _convert({**common, "name": name, "options": options, "source": source}, ArchiveSettings, source, where)
    _ = found.prefetch_rules  # wrong ones are an error now, not at the first event
    if found.listing_limit < 1:
        raise ConfigError(f"{source}: {where}.listing_limit: at least 1 was expected, not {found.listing_limit}")
    return found


def _hook(type: type, value: object) -> object:
    if issubclass(type, Size):
        return Size.parse(value)
    if issubclass(type, Duration):
        return Duration.parse(value)
    raise NotImplementedError(type)


def _convert(value: dict[str, Any], type: type[S], source: str, table: str, also: Collection[str] = ()) -> S:
    try:
        return msgspec.convert(value, type, dec_hook=_hook)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), type, source, table, also)) from error


def _explain(message: str, type: type, source: str, table: str, also: Collection[str]) -> str:
    text, _, path = message.partition(" - at `$")
    keys = [key for key in re.split(r"[.\[\]`]", path) if key]
    unknown = re.match(r"Object contains unknown field `(.+)`", text)
    missing = re.match(r"Object missing required field `(.+)`", text)
    place = ".".join(filter(None, [table, *keys]))
    if unknown:
        fields = [*_fields(type, keys), *(() if keys else also)]
        close = difflib.get_close_matches(unknown[1], fields, 1)
        hint = f"; did you mean '{close[0]}'?" if close else f"; known are: {', '.join(sorted(fields))}"
        return f"{source}: [{place or 'top level'}]: unknown key '{unknown[1]}'{hint if fields else ''}"
    if missing:
        return f"{source}: [{place or 'top level'}]: the key '{missing[1]}' is missing"
    text = text.replace("`", "'")
    return f"{source}: {place or 'top level'}: {text[:1].lower() + text[1:]}"


def _fields(type: Any, keys: list[str]) -> list[str]:
    for key in keys:
        fields = {f.name: f.type for f in msgspec.structs.fields(type)} if hasattr(type, "__struct_fields__") else {}
        type = fields.get(key)
        type = next((each for each in get_args(type) if hasattr(each, "__struct_fields__")), type)
    return list(getattr(type, "__struct_fields__", ()))
