"""What configurations of other programs say about archives, for `pacifica-fs init`. Reads files, writes none."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ..archives.pacifica import pacifica_cli
from ..errors import ConfigError

HEAD = """\
# pacifica-fs: every key is described in docs/configuration.md; `pacifica-fs check` says what is wrong.

[cache]
# limit = "50 GiB"            # content that was read is kept up to this size
# path = "/data/cache"        # may be deleted at any time

[drop]
# path = "/data/spool"        # precious: what was dropped and is not yet ingested
# quiet = "30s"               # a bundle with a sidecar is complete when nothing was written for so long

[mount]
# access = "me"               # or "group:NAME", "everyone": who else of this machine is let in
"""
LOCAL = """
# A folder on this machine as an archive, no server at all.
[archives.here]
kind = "local"
# path = "~/pacifica"

# [archives.emsl]
# kind = "pacifica"
# policy = "https://policy.example.org"
# ingest = "https://ingest.example.org"
# cart = "https://cart.example.org"
# auth = { type = "basic", username = "me" }

# [archives.opendata]
# kind = "ckan"
# url = "https://data.example.org"
"""


class Known(msgspec.Struct, frozen=True):
    """One archive that another program knows. `secret` says where its secret belongs; "" if it needs none."""

    name: str
    source: str
    table: Mapping[str, Any]
    secret: str = ""


def everything(environ: Mapping[str, str], folder: Path) -> list[Known]:
    """All that is found; ConfigError for a file that cannot be understood."""
    home = Path(environ.get("HOME", "~")).expanduser()
    base = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    readers = (
        (_pacifica, [home / ".pacifica_cli/config.ini", Path("/etc/pacifica-cli/config.ini")]),
        (_datajoint, [folder / "dj_local_conf.json", home / ".datajoint_config.json"]),
        (
            _mytardis,
            [base / "mytardisclient/mytardisclient.cfg", home / ".config/mytardisclient/mytardisclient.cfg"],
        ),
    )
    found = []
    for reader, files in readers:
        file = next((file for file in files if file.is_file()), None)
        if file is not None:
            try:
                found += reader(file)
            except (configparser.Error, ValueError, OSError) as error:
                raise ConfigError(f"{file}: cannot be understood: {error}") from error
    return found


def document(found: Iterable[Known]) -> str:
    """The configuration as TOML with comments."""
    parts = [HEAD]
    for each in found:
        lines = [f"\n# from {each.source}"]
        lines += [f"# {each.secret}"] if each.secret else []
        lines += [f"[archives.{each.name}]"]
        lines += [f"{key} = {_toml(value)}" for key, value in each.table.items()]
        parts.append("\n".join(lines) + "\n")
    return "".join(parts if len(parts) > 1 else [HEAD, LOCAL])


def _pacifica(file: Path) -> list[Known]:
    found = pacifica_cli.understand([file], {}).options  # without variables, which may be others tomorrow
    if "policy" not in found:
        return []
    table = {"kind": "pacifica", **found}
    auth = table.get("auth", {})
    name = _name(table["policy"])
    secret = f"the password: keyring set pacifica-fs:{name} {auth.get('username', '')}".strip()
    return [Known(name, str(file), table, secret if auth.get("type") == "basic" else "")]


def _datajoint(file: Path) -> list[Known]:
    custom = json.loads(file.read_text()).get("custom") or {}
    if not any(str(key).startswith("djarchive.") for key in custom):
        return []
    return [Known("elements", str(file), {"kind": "djarchive", "datajoint": True})]


def _mytardis(file: Path) -> list[Known]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(file.read_text())
    values: dict[str, str] = {}
    for section in parser.sections():
        values |= dict(parser[section])
    if not values.get("url"):
        return []
    name, who = _name(values["url"]), values.get("username", "")
    table = {"kind": "mytardis", "url": values["url"].rstrip("/"), **({"username": who} if who else {})}
    return [Known(name, str(file), table, f"the API key: keyring set pacifica-fs:{name} {who}" if who else "")]


def _name(address: str) -> str:
    """A name for the archive, of its host's: policy.emsl.example.org is emsl."""
    host = (urlsplit(address).hostname or "archive").split(".")
    generic = {"policy", "www", "data", "archive", "upload", "metadata", "ingest"}
    part = next((part for part in host if part not in generic), host[0])
    return re.sub(r"[^a-z0-9_-]", "-", part) if not part.isdecimal() else "archive"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(str(value), ensure_ascii=False)
