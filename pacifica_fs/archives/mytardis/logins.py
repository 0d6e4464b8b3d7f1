"""Who we are to a MyTardis: by API key, password, share token or session, or nobody.

A wrong key is refused; a missing one, an expired session or token is not: the public's part of the archive would be
shown as if it were all. `client` therefore asks who we are.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

import requests
from requests import PreparedRequest
from requests.auth import AuthBase

from ...archive import ANONYMOUS
from ...config import Auth
from ...errors import Denied, Unreachable
from ...transport.credentials import SERVICE, Anonymous, Login, Secrets, login
from ...transport.failures import outage
from .options import Options

_HIDDEN_FIELD = re.compile(r"name=['\"]csrfmiddlewaretoken['\"][^>]*value=['\"]([^'\"]+)")


def identity(options: Options, secrets: Secrets) -> str:
    """By which cached content is kept apart; holds no secret. May ask the keyring: blocks for a few seconds then."""
    if options.way == "token":
        return "token " + hashlib.sha256(_token(options, secrets).encode()).hexdigest()[:16]
    return options.username if options.way != "public" else ANONYMOUS


def _token(options: Options, secrets: Secrets) -> str:
    return secrets.get("token", configured=options.token)


def make(archive: str, options: Options, secrets: Secrets) -> Login:
    """The login that `options` mean. Looks up nothing yet."""
    host = urlsplit(options.url).hostname or ""
    if options.way == "public":
        return Anonymous()
    if options.way == "token":
        return Anonymous(auth=Token(lambda: _token(options, secrets), secrets))
    if options.way == "basic":
        auth = Auth(type="basic", username=options.username, password=options.password)
        return login(archive, auth, options.url, secrets)
    if options.way == "session":
        where = f"set {secrets.variable('password')}, or: keyring set {SERVICE}:{archive} {options.username}"

        def password() -> str:
            return secrets.get("password", configured=options.password, host=host, username=options.username)

        return Session(options, password, where)
    return ApiKey(
        options.username,
        lambda: secrets.get("api_key", configured=options.api_key, host=host, username=options.username),
        f"take it from {options.url.rstrip('/')}/download/api_key/ and set {secrets.variable('api_key')}, or: "
        f"keyring set {SERVICE}:{archive} {options.username}",
    )


class ApiKey(AuthBase):
    """`Authorization: ApiKey USER:KEY`, the key looked up at the first request."""

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
        """Sign; Denied where there is no key: the server would show the public's part instead of refusing."""
        if not self._header:
            self._header = self._sign()
        if not self._header:
            raise Denied(f"no API key was found for '{self._username}': {self._where}")
        request.headers["Authorization"] = self._header
        return request

    def renew(self, refused: str) -> bool:
        """Look the key up again, unless another thread has done so."""
        with self._renewing:
            if self._header == refused:
                self._header = self._sign()
            return bool(self._header) and self._header != refused

    def _sign(self) -> str:
        key = self._lookup()
        return f"ApiKey {self._username}:{key}" if key else ""


class Token(AuthBase):
    """A share link's token, as `?token=` of each request to the site."""

    def __init__(self, lookup: Callable[[], str], secrets: Secrets) -> None:
        self._lookup = lookup
        self._variable = secrets.variable("token")
        self._token = ""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add it."""
        self._token = self._token or self._lookup()
        if not self._token:
            raise Denied(f"no share token was found: set {self._variable}")
        request.prepare_url(request.url, {"token": self._token})
        return request


class Session(AuthBase):
    """Signs in as the web page does, for servers whose download providers know sessions only."""

    cert: tuple[str, str] | str | None = None

    def __init__(self, options: Options, lookup: Callable[[], str], where: str) -> None:
        self._options = options
        self._lookup = lookup
        self._where = where
        self._cookie = ""

    @property
    def auth(self) -> AuthBase:
        """This object."""
        return self

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign in if need be, and show the session's cookie."""
        # Without a lock: several may sign in at once, and nobody waits for another's time-out.
        self._cookie = self._cookie or self._sign_in()
        request.headers["Cookie"] = f"sessionid={self._cookie}"
        return request

    def renew(self, refused: str) -> bool:
        """A session that ended is not refused; see `forget`."""
        return False

    def forget(self) -> None:
        """The session is over."""
        self._cookie = ""

    def _sign_in(self) -> str:
        password = self._lookup()
        user = self._options.username
        if not password:
            raise Denied(f"no password was found for '{user}': {self._where}")
        page = self._options.url.rstrip("/") + "/login/"
        timeouts = (self._options.timeouts.connect, self._options.timeouts.read)
        with requests.Session() as session:
            session.auth = Anonymous().auth
            session.verify = self._options.verify
            try:
                form = session.get(page, timeout=timeouts)
                hidden = _HIDDEN_FIELD.search(form.text)
                csrf = session.cookies.get("csrftoken") or (hidden[1] if hidden else "")
                fields = {"username": user, "password": password, "authMethod": "localdb", "csrfmiddlewaretoken": csrf}
                answer = session.post(
                    page,
                    data=urlencode(fields),
                    headers={"Referer": page, "Content-Type": "application/x-www-form-urlencoded"},
                    timeout=timeouts,
                    allow_redirects=False,
                )
            except requests.exceptions.RequestException as error:
                raise outage(error, page) from error
            if answer.status_code >= 500:
                raise Unreachable(f"{page}: status {answer.status_code}")
            cookie = SimpleCookie(answer.headers.get("Set-Cookie", "")).get("sessionid")
            value = session.cookies.get("sessionid") or (cookie.value if cookie else "")
            if answer.status_code not in (302, 303) or not value:
                raise Denied(f"{page}: '{user}' cannot sign in (status {answer.status_code}): is the password right?")
            return value
