"""What datajoint's configuration says of djarchive, read from its JSON files and the environment, without datajoint.

`dj.config['custom']` holds `djarchive.KEY`, or `djarchive.client.KEY` and `djarchive.admin.KEY`, for `bucket`,
`endpoint`, `access_key`, `secret_key` and `filename_filter`. The working folder's `dj_local_conf.json` is taken where
there is one, else `~/.datajoint_config.json`, as datajoint itself does. `DJARCHIVE_CLIENT_*` come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ...errors import ConfigError

LOCAL = "dj_local_conf.json"
HOME = ".datajoint_config.json"
LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")


class Found(msgspec.Struct, frozen=True):
    """What was found; "" for what was not. `source` is the file."""

    endpoint: str = ""
    bucket: str = ""
    access_key: str = ""
    secret_key: str = ""
    filename_filter: str | None = None
    admin_access_key: str = ""
    admin_secret_key: str = ""
    loglevel: str = ""
    logfile: str = ""
    source: str = ""

    def __repr__(self) -> str:
        return f"Found({self.endpoint}, {self.bucket}, ***)"


def read(environ: Mapping[str, str], cwd: Path | None = None) -> Found:
    """The configuration of who runs this. ConfigError for a file that is not one; none at all is fine."""
    path = _file(environ, cwd or Path.cwd())
    document = _load(path) if path else {}
    custom = document.get("custom") or {}
    if not isinstance(custom, dict):
        raise ConfigError(f"{path}: custom: an object was expected")
    source = str(path) if path else "the environment"

    def value(role: str, key: str) -> str | None:
        for name in (f"djarchive.{role}.{key}", f"djarchive.{key}"):
            found = custom.get(name)
            if found is not None and not isinstance(found, str):
                raise ConfigError(f"{source}: custom: {name}: a text was expected")
            if found is not None:
                return found
        return None

    def client(key: str) -> str:
        return environ.get(f"DJARCHIVE_CLIENT_{key.replace('_', '').upper()}", "") or value("client", key) or ""

    for key in ("bucket", "endpoint"):
        mine, theirs = value("client", key), custom.get(f"djarchive.admin.{key}")
        if theirs and mine and theirs != mine:
            raise ConfigError(
                f"{source}: djarchive.admin.{key} is not djarchive.client.{key}: what is published is read back, so "
                "they must be one; configure the other as an archive of its own"
            )
    pattern = value("admin", "filename_filter")
    return Found(
        endpoint=client("endpoint") or value("admin", "endpoint") or "",
        bucket=client("bucket") or value("admin", "bucket") or "",
        access_key=client("access_key"),
        secret_key=client("secret_key"),
        filename_filter=pattern if pattern is not None else value("client", "filename_filter"),
        admin_access_key=str(custom.get("djarchive.admin.access_key") or ""),
        admin_secret_key=str(custom.get("djarchive.admin.secret_key") or ""),
        loglevel=_level(environ.get("DJARCHIVE_LOGLEVEL") or document.get("loglevel"), source),
        # The client's README calls the key of the file's path `loglevel`, its code `logfile`.
        logfile=str(custom.get("logfile") or custom.get("loglevel") or ""),
        source=source,
    )


def _file(environ: Mapping[str, str], cwd: Path) -> Path | None:
    home = environ.get("HOME")
    places = [cwd / LOCAL, *([Path(home) / HOME] if home else [])]
    return next((path for path in places if path.is_file()), None)


def _load(path: Path) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: an object was expected")
    return document


def _level(value: object, source: str) -> str:
    if not value:
        return ""
    level = str(value).upper()
    if level not in LEVELS:
        raise ConfigError(f"{source}: loglevel: one of {', '.join(LEVELS)} was expected, not {value!r}")
    return level
