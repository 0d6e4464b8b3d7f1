"""The keys of an archive of kind `djarchive` in the configuration, and those of datajoint's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from ...config import ArchiveSettings, Duration
from ...errors import ConfigError
from .datajoint import Found, read

ENDPOINT = "s3.djhub.io"
BUCKET = "djhub.vathes.datapub.elements"
FILTER = r"^\."


class TimeoutOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`timeouts = { connect = "5s", read = "60s" }`: to connect, and for one request as a whole (a few MiB)."""

    connect: Duration = Duration(5)
    read: Duration = Duration(60)


class Admin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`admin = { access_key = …, secret_key = … }`: who publishes. Both are better found elsewhere."""

    access_key: str = ""
    secret_key: str = ""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[archives.NAME]` with `kind = "djarchive"`.

    `endpoint` may have a scheme (`http://` for one without TLS); `ca_bundle` is a PEM file of authorities to trust
    besides the system's. Without `access_key` the bucket is read anonymously. `admin` makes the archive take uploads.
    `datajoint`: what is missing here is taken from datajoint's own configuration. `incomplete`: revisions without a
    manifest are shown, too. `filename_filter`: names (of files or folders) that are not published; "" for none.
    `times`: every file has its revision's time, or its object's, which costs a listing.
    """

    endpoint: str = ""
    bucket: str = ""
    region: str = "us-east-1"
    ca_bundle: str = ""
    access_key: str = ""
    secret_key: str = ""
    admin: Admin | None = None
    datajoint: bool = False
    incomplete: bool = False
    filename_filter: str | None = None
    times: str = "revision"
    timeouts: TimeoutOptions = TimeoutOptions()
    parallel: int = 16


class Chosen(msgspec.Struct, frozen=True):
    """Checked options with their defaults; `endpoint` is a URL, `ca` the text of `ca_bundle`, `filter` compiled."""

    endpoint: str
    bucket: str
    region: str
    ca: str
    access_key: str
    secret_key: str
    admin: Admin | None
    incomplete: bool
    filter: re.Pattern[str]
    object_times: bool
    timeouts: TimeoutOptions
    parallel: int
    loglevel: str = ""
    logfile: str = ""


def choose(settings: ArchiveSettings, environ: Mapping[str, str]) -> Chosen:
    """The options of `settings`, with datajoint's where they ask for it. ConfigError says what is wrong, and where."""
    own = settings.options_as(Options)
    place = f"{settings.source}: [archives.{settings.name}]"
    other = read(environ) if own.datajoint else Found()
    place_of = {key: place if getattr(own, key, "") else other.source for key in ("endpoint", "bucket")}
    admin = own.admin
    if admin is None and other.admin_access_key:
        admin = Admin(other.admin_access_key, other.admin_secret_key)
    pattern = own.filename_filter if own.filename_filter is not None else other.filename_filter
    pattern = FILTER if pattern is None else pattern
    try:
        compiled = re.compile(pattern or "^$")
    except re.error as error:
        raise ConfigError(f"{place}: filename_filter: not a regular expression: {error}") from error
    if own.times not in ("revision", "object"):
        raise ConfigError(f'{place}: times: "revision" or "object" was expected, not {own.times!r}')
    if own.parallel < 1:
        raise ConfigError(f"{place}: parallel: at least 1 was expected, not {own.parallel}")
    return Chosen(
        endpoint=_url(own.endpoint or other.endpoint or ENDPOINT, place_of["endpoint"] or place),
        bucket=_bucket(own.bucket or other.bucket or BUCKET, place_of["bucket"] or place),
        region=own.region,
        ca=_ca(own.ca_bundle, place),
        access_key=own.access_key or other.access_key,
        secret_key=own.secret_key or other.secret_key,
        admin=admin,
        incomplete=own.incomplete,
        filter=compiled,
        object_times=own.times == "object",
        timeouts=own.timeouts,
        parallel=own.parallel,
        loglevel=other.loglevel,
        logfile=other.logfile,
    )


def _url(endpoint: str, place: str) -> str:
    url = endpoint if "://" in endpoint else f"https://{endpoint}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(f"{place}: endpoint: a host like s3.example.org or a URL was expected, not {endpoint!r}")
    if parts.username or parts.password:
        raise ConfigError(f"{place}: endpoint: no keys in an address; use access_key and secret_key")
    return f"{parts.scheme}://{parts.netloc}"


def _bucket(bucket: str, place: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket):
        raise ConfigError(f"{place}: bucket: the name of a bucket was expected, not {bucket!r}")
    return bucket


def _ca(bundle: str, place: str) -> str:
    if not bundle:
        return ""
    path = Path(bundle).expanduser()
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{place}: ca_bundle: {path} cannot be read: {error}") from error
    if "BEGIN CERTIFICATE" not in text:
        raise ConfigError(f"{place}: ca_bundle: there is no certificate in {path}; PEM was expected")
    return text
