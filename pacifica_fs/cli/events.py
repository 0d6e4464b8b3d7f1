"""`pacifica-fs events`."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError, Invalid, TooLarge, Unreachable
from . import find
from .codes import Exit, Failed
from .output import Output, remark
from .outside import MountPoint, Outside
from .reception import Reception

HELP = """Receive CloudEvents over HTTP and hand them to the mount, which shows their files in ARCHIVE/events/ at once,
refreshes its listings, and fetches what matches the `prefetch` rules of the configuration.

Listens on ADDRESS until it is interrupted. An event is answered with 204 once it is kept on this machine's disk, with
400 and the reason if it is refused, with 503 if no mount takes it within half a minute. The site's notifications
service sends them after one request:

\b
  curl -X POST https://notifications.example.org/eventmatch -H 'Content-Type: application/json' \\
    -d '{"name": "pacifica-fs", "target_url": "http://thishost.example.org:8080",
         "jsonpath": "$[?(@[\\"eventType\\"] = \\"org.pacifica.metadata.ingest\\")]"}'

Anybody who reaches ADDRESS can send events; with --token-file they must know the token in it (`"auth": {"type":
"header", "header": {"type": "Bearer", "credentials": TOKEN}}` in the request above).

\b
Examples:
  pacifica-fs events --listen 127.0.0.1:8080
  pacifica-fs events --listen 0.0.0.0:8080 --archive emsl --token-file ~/.config/pacifica-fs/events.token
"""

PATIENCE = 30.0
LARGEST = 64 << 20
THREADS = 4
_REFUSED = {errno.EINVAL: Invalid, errno.EFBIG: TooLarge}


@click.command("events", help=HELP, short_help="Receive CloudEvents over HTTP and hand them to the mount.")
@click.option("--listen", required=True, metavar="ADDRESS", help="HOST:PORT; port 0: a free one, which is printed.")
@click.option("--archive", metavar="NAME", help="Whose events they are, if several archives have events/.")
@click.option("--token-file", type=Path, metavar="FILE", help="Senders must know the token in this file.")
@click.option("-m", "--mount", "dir", type=Path, metavar="DIR", help="Which mount, if several.")
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="The mount of this configuration.")
@click.pass_obj
def command(
    outside: Outside, listen: str, archive: str | None, token_file: Path | None, dir: Path | None, file: Path | None
) -> Exit:
    """Receive."""
    host, port = address(listen)
    mount = find.mount(outside, dir, file)
    if mount is None:
        raise Failed("nothing is mounted", Exit.NO_MOUNT)
    name = chosen(mount, archive)
    token = _token(token_file)
    if not token and host not in ("127.0.0.1", "::1", "localhost"):
        remark(f"pacifica-fs: anybody who reaches {listen} can send events; --token-file FILE keeps strangers out")
    from waitress.server import create_server

    logging.getLogger("waitress").setLevel(logging.ERROR)  # it warns of every moment in which all threads are busy
    reception = Reception(handing(mount.path / name / "events", mount.path / f"status/events/{name}.json"), token)
    try:
        server: Any = create_server(
            reception, host=host, port=port, threads=THREADS, ident="pacifica-fs", max_request_body_size=LARGEST
        )
    except OSError as error:
        raise Failed(f"cannot listen on {listen}: {error.strerror or error}", Exit.FAILED) from error
    signal.signal(signal.SIGTERM, _interrupt)
    shown = f"[{host}]" if ":" in host else host
    output = Output()
    output.line(f"listening on http://{shown}:{server.effective_port}, for {mount.path / name / 'events'}")
    output.stream.flush()
    with suppress(KeyboardInterrupt):
        server.run()
    server.close()
    return Exit.OK


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def address(text: str) -> tuple[str, int]:
    """HOST and PORT of `HOST:PORT`, `[::1]:PORT` or `:PORT`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise Failed(f"--listen {text}: HOST:PORT was expected, like 127.0.0.1:8080", Exit.USAGE)
    return host.strip("[]") or "0.0.0.0", int(port)


def chosen(mount: MountPoint, wanted: str | None) -> str:
    """The archive whose events are received."""
    found = [entry.name for entry in sorted((mount.path / "status/events").iterdir())]
    names = [name.removesuffix(".json") for name in found]
    if wanted is not None and wanted not in names:
        raise Failed(f"'{wanted}' takes no events; these do: {', '.join(names) or 'none'}", Exit.USAGE)
    if wanted is None and len(names) != 1:
        problem = f"say which archive with --archive: {', '.join(names)}" if names else "no archive here takes events"
        raise Failed(problem, Exit.USAGE)
    return wanted or names[0]


def handing(
    folder: Path, notes: Path, patience: float = PATIENCE, sleep: Callable[[float], None] = time.sleep
) -> Callable[[bytes], None]:
    """What gives an event to the mount by writing it into `folder`, and waits a while for a mount that is not there.

    It raises what the mount says is wrong with it (`notes` has the reason), or Unreachable.
    """

    def hand(event: bytes) -> None:
        name = f"{uuid.uuid4()}.json"
        deadline = time.monotonic() + patience
        while True:
            try:
                _write(folder / name, event)
                return
            except OSError as error:
                if error.errno in _REFUSED:
                    raise _REFUSED[error.errno](_reason(notes, name) or error.strerror) from error
                if time.monotonic() >= deadline:
                    raise Unreachable(f"the mount does not take the event: {error.strerror}") from error
                sleep(1)

    return hand


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    except BaseException:
        with suppress(OSError):
            os.close(descriptor)
        raise
    os.close(descriptor)


def _reason(notes: Path, name: str) -> str:
    with suppress(OSError, ValueError):
        return next((str(note["reason"]) for note in json.loads(notes.read_text()) if note["name"] == name), "")
    return ""


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        token = file.expanduser().read_text().strip()
        mode = file.expanduser().stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    if not token or not token.isascii():
        raise ConfigError(f"{file}: a token of ASCII characters was expected")
    if mode & 0o077:
        remark(f"pacifica-fs: others can read {file}; chmod 600 it")
    return token
