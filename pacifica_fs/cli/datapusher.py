"""`pacifica-fs datapusher`."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from .. import config
from .codes import Exit, Failed
from .events import address
from .output import Output, remark
from .outside import Outside

HELP = """Load files of CKAN sites into their DataStore: the service that a site's `ckan.datapusher.url` names.

It answers DataPusher's job API on ADDRESS until it is interrupted. A job names a resource of a site: its file is
fetched, read as a table (CSV, TSV, XLS, XLSX, ODS; types are decided over all rows) and written into the DataStore as a
whole, or the former table stays. Jobs are kept on this machine's disk: one that was cut off is begun again by the next
start. Needs `pip install 'pacifica-fs[datapusher]'`.

What jobs may reach is said by `allow_hosts` in `[datapusher]` of the configuration: without it every public address,
and no private one. A CKAN site on this machine or in this network has to be named there, for example
`allow_hosts = ["ckan.example.org", "127.0.0.1:5000", "*"]`.

The service asks nobody who they are, as DataPusher does not: let it listen where only the site reaches it.

\b
Examples:
  pacifica-fs datapusher
  pacifica-fs datapusher --listen 127.0.0.1:8800 -c pusher.toml
  pacifica-fs datapusher --check-config
  curl http://127.0.0.1:8800/status
"""

THREADS = 8
LARGEST = 4 << 20


@click.command("datapusher", help=HELP, short_help="Load files of CKAN sites into their DataStore, as a service.")
@click.option("--listen", metavar="ADDRESS", help="HOST:PORT instead of the configured; port 0: a free one.")
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="The configuration.")
@click.option("--check-config", is_flag=True, help="Only say whether the configuration is right.")
@click.option("-v", "--verbose", count=True, help="Log more; twice: everything.")
@click.pass_obj
def command(outside: Outside, listen: str | None, file: Path | None, check_config: bool, verbose: int) -> Exit:
    """Serve."""
    from ..service import pusher
    from ..service.log import configure

    settings = config.load(file, outside.environ)
    where = listen or settings.datapusher.listen
    host, port = address(where)
    pusher.check(settings)
    output = Output()
    if check_config:
        hosts = ", ".join(settings.datapusher.allow_hosts) or "nothing"
        output.line(f"the configuration is right: listens on {where}, may reach {hosts}")
        return Exit.OK
    configure(True, verbose, settings.log.format, outside.environ)
    if host not in ("127.0.0.1", "::1", "localhost"):
        remark(f"pacifica-fs: anybody who reaches {where} can start jobs; let only the site reach it")
    from waitress.server import create_server

    logging.getLogger("waitress").setLevel(logging.ERROR)  # it warns of every moment in which all threads are busy
    built = pusher.build(settings, config.places(settings, outside.environ), outside.clock, outside.environ)
    try:
        server: Any = create_server(
            built.application, host=host, port=port, threads=THREADS, ident="pacifica-fs", max_request_body_size=LARGEST
        )
    except OSError as error:
        raise Failed(f"cannot listen on {where}: {error.strerror or error}", Exit.FAILED) from error
    signal.signal(signal.SIGTERM, _interrupt)
    shown = f"[{host}]" if ":" in host else host
    output.line(f"listening on http://{shown}:{server.effective_port}/")
    output.stream.flush()
    built.runner.start()
    with suppress(KeyboardInterrupt):
        server.run()
    built.runner.stop()
    server.close()
    return Exit.OK


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
