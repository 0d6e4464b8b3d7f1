"""What all of Pacifica's services have in common: how they are reached, and how they say that something went wrong.

Errors are `{"status": "404 Not Found", "message": …, "traceback": …}`, with HTML-escaped messages. Status 500 stands
for bad input and for missing things as well as for faults; only the traceback tells when a service behind it was down.
Policy passes the metadata service's errors on with status 200.
"""

from __future__ import annotations

import html
import re
from typing import Any

import msgspec

from ...archive import Effects
from ...config import ArchiveSettings
from ...errors import BadAnswer, NotFound, PacificaFSError, Unreachable
from ...transport.credentials import Secrets, login
from ...transport.failures import EXCERPT, Answer
from ...transport.http import Http, Timeouts
from . import pacifica_cli
from .options import Options

_OUTAGE = re.compile(r"Connection refused|ConnectionError|Max retries exceeded|OperationalError|ReadTimeout|gaierror")


def service(settings: ArchiveSettings, options: Options, effects: Effects, base: str) -> Http:
    """The service at `base`, as the configured identity."""
    secrets = Secrets(settings.name, effects.environ)

    def configured() -> str:
        # Read again each time: it is asked for again when the server did not like it.
        if options.auth.password or not options.pacifica_cli:
            return options.auth.password
        return pacifica_cli.read(effects.environ, options.config_ini).password

    return Http(
        base,
        clock=effects.clock,
        login=login(settings.name, options.auth, base, secrets, settings.source, configured),
        verify=options.verify,
        timeouts=Timeouts(options.timeouts.connect, options.timeouts.read),
        agent=effects.agent,
        judge=judge,
    )


def judge(answer: Answer) -> PacificaFSError | None:
    """What an unexpected answer means, where it is in Pacifica's own form; else None."""
    if answer.html or answer.status in (401, 403, 404):
        return None
    error = _error(answer.body)
    if error is None:
        return None
    return _meaning(answer.url, str(answer.status), error)


def unwrapped(value: Any, url: str) -> Any:
    """`value`, an answer's JSON, unless it is an error that came with status 200; that is raised."""
    if isinstance(value, dict) and isinstance(value.get("status"), str) and "traceback" in value:
        raise _meaning(url, value["status"], value)
    return value


def message(answer: Answer) -> str:
    """The sentence of an error answer, readable."""
    error = _error(answer.body)
    return plain(error.get("message", "")) if error else ""


def plain(text: object) -> str:
    """A server's message without escapes and line breaks, of bounded length."""
    return " ".join(html.unescape(str(text)).split())[:EXCERPT]


def _error(body: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) and "message" in value else None


def _meaning(url: str, status: str, error: dict[str, Any]) -> PacificaFSError:
    said = f"{url}: {plain(error.get('message', status))}"
    if status.startswith("404"):
        return NotFound(said)
    if status.startswith(("502", "503", "504")) or _OUTAGE.search(str(error.get("traceback", ""))):
        return Unreachable(f"a service behind {url} cannot be reached")
    return BadAnswer(f"{said} (status {status.split()[0]})")
