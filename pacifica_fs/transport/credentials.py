"""Who we are to a server: where secrets are found, and how they become part of a request.

A secret is looked for in `$CREDENTIALS_DIRECTORY/ARCHIVE.KEY`, the environment (`PACIFICA_FS_<ARCHIVE>_<KEY>`, upper
case, `-` and `.` as `_`), the configuration, netrc and the keyring, in this order; again after a server answered 401.
None of it is ever part of a message or of a `repr`.

The keyring is an interactive thing: it may want to ask somebody, or hang without a desktop. It is asked in a thread
of its own and not waited for longer than a few seconds.
"""

from __future__ import annotations

import base64
import importlib
import logging
import netrc
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

from ..config import Auth
from ..errors import ConfigError, Denied

log = logging.getLogger(__name__)
Keyring = Callable[[str, str], str | None]
KEYRING_SECONDS = 3.0
SERVICE = "pacifica-fs"


class Secrets:
    """Looks up the secrets of one archive. May be called from any thread; blocks for at most a few seconds."""

    def __init__(self, archive: str, environ: Mapping[str, str], keyring: Keyring | None = None) -> None:
        self._archive = archive
        self._environ = environ
        self._keyring = keyring or DesktopKeyring()

    def get(self, key: str, *, configured: str = "", host: str = "", username: str = "") -> str:
        """The secret `key` (`password`, `token`, …), or an empty text.

        netrc is looked at where `host` is given, and only for `username` if that is given. The keyring's service is
        `pacifica-fs:ARCHIVE`, its user `username`, or `key` where there is none.
        """
        return (
            self._from_file(key)
            or self._environ.get(self.variable(key), "")
            or configured
            or self._from_netrc(host, username)
            or self._keyring(f"{SERVICE}:{self._archive}", username or key)
            or ""
        )

    def without_keyring(self) -> Secrets:
        """The same, but nobody's desktop is asked."""
        return Secrets(self._archive, self._environ, lambda service, username: None)

    def variable(self, key: str) -> str:
        """The environment variable that may hold `key`."""
        name = f"{self._archive}_{key}".upper()
        return "PACIFICA_FS_" + "".join(letter if letter.isalnum() else "_" for letter in name)

    def _from_file(self, key: str) -> str:
        folder = self._environ.get("CREDENTIALS_DIRECTORY", "")
        if not folder:
            return ""
        try:
            return (Path(folder) / f"{self._archive}.{key}").read_text().rstrip("\r\n")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            log.warning("the credential %s.%s cannot be read: %s", self._archive, key, type(error).__name__)
            return ""

    def _from_netrc(self, host: str, username: str) -> str:
        home = self._environ.get("HOME", "")
        path = self._environ.get("NETRC") or (str(Path(home) / ".netrc") if home else "")
        if not host or not path or not Path(path).is_file():
            return ""
        try:
            found = netrc.netrc(path).authenticators(host)
        except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
            # The parser's own message quotes the offending line's words.
            log.warning("%s cannot be used: %s", path, type(error).__name__)
            return ""
        if not found or (username and found[0] and found[0] != username):
            return ""
        return found[2] or ""


class Login(Protocol):
    """How requests of one server are authenticated."""

    @property
    def auth(self) -> AuthBase:
        """What signs a request."""

    @property
    def cert(self) -> tuple[str, str] | str | None:
        """A client certificate (and key), as requests wants it."""

    def renew(self, refused: str) -> bool:
        """After the server refused a request with the Authorization header `refused`: look the secret up again.

        True if there is another one by now, so that a repeated request makes sense. Any thread.
        """


class _Unsigned(AuthBase):
    """Leaves a request alone, and keeps requests from looking into netrc by itself."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        return request


class Anonymous:
    """No identity, or one that only the connection's client certificate shows."""

    def __init__(self, cert: tuple[str, str] | str | None = None, auth: AuthBase | None = None) -> None:
        self.cert = cert
        self.auth: AuthBase = auth or _Unsigned()

    def renew(self, refused: str) -> bool:
        """There is nothing to look up."""
        return False


class Basic(AuthBase):
    """HTTP basic authentication whose password is looked up at the first request."""

    cert: tuple[str, str] | str | None = None

    def __init__(self, username: str, lookup: Callable[[], str], where: str) -> None:
        self._username = username
        self._lookup = lookup
        self._where = where
        self._header = ""
        self._renewing = threading.Lock()

    @property
    def auth(self) -> AuthBase:
        """This object."""
        return self

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if not self._header:
            self._header = self._sign()
        if not self._header:
            raise Denied(f"no password was found for '{self._username}': {self._where}")
        request.headers["Authorization"] = self._header
        return request

    def renew(self, refused: str) -> bool:
        """Look the password up again, unless another thread has done so since `refused` was sent."""
        with self._renewing:
            if self._header == refused:
                self._header = self._sign()
            return bool(self._header) and self._header != refused

    def _sign(self) -> str:
        password = self._lookup()
        pair = base64.b64encode(f"{self._username}:{password}".encode()).decode("ascii")
        return f"Basic {pair}" if password else ""


def login(
    archive: str,
    auth: Auth,
    base: str,
    secrets: Secrets,
    source: str = "",
    configured: Callable[[], str] | None = None,
) -> Login:
    """The login that `auth` of an archive's configuration means for the server at `base`.

    Looks up nothing yet. `configured` gives the password that a configuration has, where that is not `auth`'s own.
    ConfigError if a part is missing.
    """
    place = f"{source}: [archives.{archive}.auth]"
    if auth.type == "basic":
        if not auth.username:
            raise ConfigError(f'{place}: type "basic" needs a username')
        host = urlsplit(base).hostname or ""
        where = (
            f"put it into the keyring ('keyring set {SERVICE}:{archive} {auth.username}'), netrc, "
            f"or the environment variable {secrets.variable('password')}"
        )
        return Basic(
            auth.username,
            lambda: secrets.get(
                "password",
                configured=configured() if configured else auth.password,
                host=host,
                username=auth.username,
            ),
            where,
        )
    if auth.type == "clientssl":
        if not auth.cert:
            raise ConfigError(
                f'{place}: type "clientssl" needs cert (a PEM file), and key where that is a file of its own'
            )
        cert, key = str(Path(auth.cert).expanduser()), str(Path(auth.key).expanduser()) if auth.key else ""
        for path in filter(None, (cert, key)):
            if not Path(path).is_file():
                raise ConfigError(f"{place}: there is no file {path}")
        return Anonymous((cert, key) if key else cert)
    if auth.type == "gssapi":
        return Anonymous(auth=_gssapi(place))
    return Anonymous()


def _gssapi(place: str) -> AuthBase:
    try:
        signer: AuthBase = importlib.import_module("requests_gssapi").HTTPSPNEGOAuth()
    except ImportError as error:
        raise ConfigError(f"{place}: type \"gssapi\" needs the Python package 'requests-gssapi'; install it") from error
    return signer


class DesktopKeyring:
    """Asks the desktop's keyring. One that did not answer is not asked anew while that question is still open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: threading.Thread | None = None

    def __call__(self, service: str, username: str) -> str | None:
        """The secret, or None; takes at most `KEYRING_SECONDS`."""
        found: list[str | None] = []

        def ask() -> None:
            try:
                import keyring

                found.append(keyring.get_password(service, username))
            except Exception as error:  # noqa: BLE001 - an outermost guard: backends raise whatever their desktop does
                log.info("the keyring cannot be used: %s", type(error).__name__)

        thread = threading.Thread(target=ask, name="keyring", daemon=True)
        with self._lock:
            if self._open is not None and self._open.is_alive():
                return None
            self._open = thread
            thread.start()
        thread.join(KEYRING_SECONDS)
        if thread.is_alive():
            log.warning("the keyring does not answer (is it locked?); going on without it")
        return found[0] if found else None
