"""What each Pacifica service is called, is started with, and is asked to see that it answers.

Facts of the last releases that shape this:
* SQLite serves neither metadata nor ingest, so all have PostgreSQL databases.
* uniqueid gives one id twice to parallel requests, and the archive's posix backend mixes up the bytes of parallel
  reads: both run with one thread.
* All celery workers listen on the queue `celery`: each application has its own redis database.
* The archive's URL ends without a slash for ingest, with one for cartd.
* CherryPy refuses bodies over 100 MiB unless told otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..process import LOOPBACK

DATABASES = ("metadata", "uniqueid", "ingest", "cartd", "notifications")


class Service(NamedTuple):
    """One program. `probe` is the path of a GET that an HTTP service answers; workers have none."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    probe: str = ""


class Layout(NamedTuple):
    """Where a site lives: its folder, the services' virtual environment, and the port of each server."""

    folder: Path
    venv: Path
    ports: Mapping[str, int]

    def url(self, name: str) -> str:
        """The base URL of an HTTP service, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.ports[name]}"

    def database_url(self, name: str) -> str:
        """What the services call PEEWEE_URL."""
        return f"postgresql://pacifica@{LOOPBACK}:{self.ports['postgres']}/pacifica_{name}"


HTTP = ("metadata", "policy", "uniqueid", "archive", "ingest", "cart", "proxy")
NOTIFICATIONS = "notifications"
_ONE_THREAD = ("uniqueid", "archive")


def environment(layout: Layout, notifications: bool) -> dict[str, str]:
    """What all services have in common; nothing is inherited but the PATH."""
    metadata, archive = layout.url("metadata"), layout.url("archive")
    return {
        "PATH": f"{layout.venv / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(layout.folder / "home"),
        "LC_ALL": "C.UTF-8",
        "NO_PROXY": "*",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "METADATA_URL": metadata,
        "STATUS_URL": f"{metadata}/groups",
        "METADATA_STATUS_URL": f"{metadata}/keys",
        "METADATA_INGEST_URL": f"{metadata}/ingest",
        "UNIQUEID_URL": layout.url("uniqueid"),
        "POLICY_URL": layout.url("policy"),
        "POLICY_INGEST_URL": f"{layout.url('policy')}/ingest",
        "ARCHIVEINTERFACE_URL": archive,
        "ARCHIVE_INTERFACE_URL": f"{archive}/",
        "NOTIFICATIONS_DISABLED": str(not notifications),
        "NOTIFICATIONS_URL": f"{layout.url(NOTIFICATIONS)}/receive" if notifications else "",
        "DATABASE_CONNECT_ATTEMPTS": "60",
        "DATABASE_CONNECT_WAIT": "1",
        "OMP_NUM_THREADS": "1",
    }


def services(layout: Layout, notifications: bool) -> dict[str, Service]:
    """All programs by name, without PostgreSQL and redis."""
    bin = layout.venv / "bin"

    def http(name: str, program: str, option: str, probe: str, *more: str, **env: str) -> Service:
        where = ("-a", LOOPBACK, "-p", str(layout.ports[name]))
        return Service((str(bin / program), option, str(_cherrypy(layout, name)), *where, *more), env, probe)

    def worker(application: str, **env: str) -> Service:
        # Without mingle, gossip and heartbeat a worker that is alone starts a second earlier.
        lonely = ("--without-mingle", "--without-gossip", "--without-heartbeat")
        command = (str(bin / "celery"), "-A", f"pacifica.{application}.tasks", "worker", "--loglevel=info", "-c", "2")
        return Service((*command, "-n", f"{application}@%h", *lonely), env)

    def application(name: str, database: int, **more: str) -> dict[str, str]:
        redis = f"redis://{LOOPBACK}:{layout.ports['redis']}/{database}"
        return {"PEEWEE_URL": layout.database_url(name), "BROKER_URL": redis, "BACKEND_URL": redis, **more}

    ingest = application("ingest", 1, VOLUME_PATH=str(layout.folder / "ingest"))
    cart = application("cartd", 2, VOLUME_PATH=f"{layout.folder / 'cart'}/")
    posix = ("-t", "posix", "--prefix", str(layout.folder / "archive"))
    database = layout.database_url
    table = {
        "metadata": http("metadata", "pacifica-metadata", "--cpconfig", "/groups", PEEWEE_URL=database("metadata")),
        "policy": http("policy", "pacifica-policy", "-c", "/"),
        "uniqueid": http("uniqueid", "pacifica-uniqueid", "--cpconfig", "/getid", PEEWEE_URL=database("uniqueid")),
        "archive": http("archive", "pacifica-archiveinterface", "--cherrypy-config", "/", *posix),
        "ingest": http("ingest", "pacifica-ingest", "--cp-config", "/", **ingest),
        "cart": http("cart", "pacifica-cartd", "--cpconfig", "/", **cart),
        "proxy": http("proxy", "pacifica-proxy", "-c", "/"),
        "ingest-worker": worker("ingest", **ingest),
        "cart-worker": worker("cartd", **cart),
    }
    # The proxy's own console script hands its name on as an argument, and fails.
    start_proxy = "import sys; from pacifica.proxy.__main__ import main; main(sys.argv[1:])"
    proxy = table["proxy"]
    table["proxy"] = proxy._replace(command=(str(bin / "python"), "-c", start_proxy, *proxy.command[1:]))
    if notifications:
        env = application("notifications", 3)
        table[NOTIFICATIONS] = http(NOTIFICATIONS, "pacifica-notifications", "--cpconfig", "/", **env)
        table["notifications-worker"] = worker("notifications", **env)
    return table


def _cherrypy(layout: Layout, name: str) -> Path:
    """Write a service's CherryPy configuration."""
    file = layout.folder / "etc" / f"{name}.conf"
    logs = layout.folder / "logs"
    file.write_text(
        f"""[global]
engine.autoreload.on: False
log.screen: False
log.access_file: '{logs / name}.access.log'
log.error_file: '{logs / name}.log'
server.max_request_body_size: 0
server.shutdown_timeout: 1
server.thread_pool: {1 if name in _ONE_THREAD else 10}

[/]
request.dispatch: cherrypy.dispatch.MethodDispatcher()
tools.response_headers.on: True
tools.response_headers.headers: [('Content-Type', 'application/json')]
"""
    )
    return file
