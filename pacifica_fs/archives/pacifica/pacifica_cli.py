"""What pacifica-cli's own configuration says of a site, read from its files and variables, without pacifica-cli.

As version 0.5.2 does it: `config.ini` in /etc/pacifica-cli, and over it `~/.pacifica_cli/config.ini` (or what
`$PACIFICA_CLI_INI` names); `UPLOAD_URL`, `UPLOAD_POLICY_URL`, `DOWNLOAD_URL` and so on, `AUTHENTICATION_TYPE`, `_CERT`
and `_KEY` stand in for what no file says, while `AUTHENTICATION_USERNAME` and `_PASSWORD` come before the files. The
template is `$UPLOADER_CONFIG`, else `uploader.json` in the first of these folders that has it. Values may refer to
others (`%(name)s`); a percent sign is written twice.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ...errors import ConfigError

SYSTEM = Path("/etc/pacifica-cli")
FILE = "config.ini"
_ENDPOINTS = {
    "policy": ("upload_policy_url", "upload_validation_url", "download_policy_url"),
    "ingest": ("upload_url", "upload_status_url"),
    "cart": ("download_url",),
}
_PLACEHOLDER = ".example.com"
"""Where the addresses lead that it writes for what its user did not answer."""
_TYPES = ("none", "basic", "clientssl", "gssapi")
# What pacifica-cli appends to an address for one of its questions.
_QUESTION = re.compile(r"/(uploader|upload|ingest|get_state|status/.*)/?$")


class Found(msgspec.Struct, frozen=True):
    """`options` are keys of `[archives.NAME]`, without a password; `sources` names the files that were read."""

    options: Mapping[str, Any]
    password: str
    sources: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Found({', '.join(self.sources)}, ***)"


def read(environ: Mapping[str, str], file: Path | None = None, system: Path = SYSTEM) -> Found:
    """What whoever runs this has configured; `file` (`--config-ini`) in place of the user's own.

    ConfigError for a file that is given and missing, or cannot be understood. That nothing is found is fine.
    """
    home = Path(environ.get("HOME", "~")).expanduser() / ".pacifica_cli"
    if file is not None and not file.is_file():
        raise ConfigError(f"{file}: there is no such file; `pacifica-cli configure` writes one")
    mine = file or home / (environ.get("PACIFICA_CLI_INI") or FILE)
    found = understand([path for path in (system / FILE, mine) if path.is_file()], environ)
    templates = [environ.get("UPLOADER_CONFIG", ""), *(str(folder / "uploader.json") for folder in (system, home))]
    template = next((path for path in templates if path and Path(path).is_file()), "")
    if not template:
        return found
    return msgspec.structs.replace(found, options={**found.options, "template": template})


def understand(files: Sequence[Path], environ: Mapping[str, str]) -> Found:
    """What these files say, the later ones before the earlier, with the variables. ConfigError names a wrong file."""
    parser = configparser.ConfigParser()
    for path in files:
        try:
            parser.read_string(path.read_text(), str(path))
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        except (configparser.Error, UnicodeDecodeError) as error:  # whose own words quote lines of the file
            raise ConfigError(f"{path}: cannot be understood: {type(error).__name__}") from None
    source = ", ".join(map(str, files)) or "the environment"
    try:
        found = _options(parser, environ, source)
        secret = parser.get("authentication", "password", fallback="")
    except configparser.InterpolationError as error:
        message = f"{source}: [{error.section}] {error.option}: a percent sign is written %%"
        raise ConfigError(message) from None
    return Found(found, environ.get("AUTHENTICATION_PASSWORD", "") or secret, tuple(map(str, files)))


def _options(parser: configparser.ConfigParser, environ: Mapping[str, str], source: str) -> dict[str, Any]:
    def value(section: str, key: str, variable: str) -> str:
        return parser.get(section, key, fallback="").strip() or environ.get(variable, "")

    found: dict[str, Any] = {}
    for service, names in _ENDPOINTS.items():
        addresses = (value("endpoints", name, name.upper()) for name in names)
        address = next((one for one in addresses if one and not _is_placeholder(one)), "")
        if address:
            found[service] = without_question(address)
    bundle = value("endpoints", "ca_bundle", "")
    if bundle.lower() not in ("true", ""):
        found["ca_bundle"] = False if bundle.lower() == "false" else bundle
    kind = value("authentication", "type", "AUTHENTICATION_TYPE").lower() or "none"
    if kind not in _TYPES:
        raise ConfigError(f"{source}: authentication: type: one of {', '.join(_TYPES)} was expected, not {kind!r}")
    if kind != "none":
        auth = {"type": kind}
        if kind == "basic":
            auth["username"] = environ.get("AUTHENTICATION_USERNAME") or value("authentication", "username", "")
        if kind == "clientssl":
            auth |= {key: value("authentication", key, f"AUTHENTICATION_{key.upper()}") for key in ("cert", "key")}
        found["auth"] = {key: text for key, text in auth.items() if text}
    return found


def _is_placeholder(address: str) -> bool:
    return (urlsplit(address).hostname or "").endswith(_PLACEHOLDER)


def without_question(address: str) -> str:
    """The service's address: without a user in it, and without what is appended for one of pacifica-cli's questions."""
    parts = urlsplit(address)
    path = _QUESTION.sub("", parts.path.rstrip("/"))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))
