"""What each program of a CKAN site is started with, and is asked to see that it answers.

Facts that shape this: one database and one search index may have several CKAN front ends, so the same site is there
without a loader of tables (`ckan`), and with the plugin (`plugin`), which is started by the tests that want it.
DataPusher has its scheduler in the process: one worker. It takes the locale's name from LANG, and fails if the system
lacks that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..process import LOOPBACK
from .install import PROGRAMS, Homes

PORTS = ("postgres", "redis", "solr", "ckan", "plugin", "datapusher")
FRONTS = {"ckan": "datastore", "plugin": "datastore datapusher"}
MAX_MIB = 2
"""Largest upload that the site takes, and the largest file that DataPusher reads (benches want more)."""


class Layout(NamedTuple):
    """Where a site lives, the environments of its programs, and the port of each."""

    folder: Path
    homes: Homes
    ports: Mapping[str, int]
    max_mib: int = MAX_MIB
    chunk_rows: int = 250

    def url(self, name: str) -> str:
        """The base URL of an HTTP service, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.ports[name]}"

    def token(self, user: str) -> str:
        """A user's API token."""
        return (self.folder / "tokens" / user).read_text().strip()


class Service(NamedTuple):
    """One program. `probe` is the path of a GET that it answers with 200."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    probe: str


def services(layout: Layout) -> dict[str, Service]:
    """All programs by name, without PostgreSQL and redis."""
    bin = layout.homes.ckan / "venv" / "bin"
    pusher = layout.homes.datapusher / "venv" / "bin"
    schema = next((layout.homes.ckan / "venv").glob("lib/python3*/site-packages/ckan/config/solr/schema.xml"))

    def gunicorn(name: str, bin: Path, module: str, *options: str) -> tuple[str, ...]:
        where = ("--bind", f"{LOOPBACK}:{layout.ports[name]}", "--pythonpath", str(PROGRAMS), "--timeout", "300")
        return (str(bin / "gunicorn"), *options, *where, f"{module}:application")

    table = {
        "solr": Service(
            (str(bin / "python"), "-I", str(PROGRAMS / "solr_standin.py"), str(layout.ports["solr"]), str(schema),
             str(layout.folder / "solr" / "journal")),
            _environment(layout, bin), "/solr/ckan/schema?wt=schema.xml",
        ),
        "datapusher": Service(
            gunicorn("datapusher", pusher, "datapusher_wsgi", "--workers", "1", "--threads", "8"),
            {
                **_environment(layout, pusher), "LC_ALL": "C", "PYTHONUTF8": "1", "PYTHONWARNINGS": "ignore",
                "JOB_CONFIG": str(PROGRAMS / "datapusher_settings.py"), "DATAPUSHER_SECRET": "for-tests-only",
                "DATAPUSHER_JOBS": f"sqlite:///{layout.folder / 'datapusher.db'}",
                "DATAPUSHER_MAX_BYTES": str(layout.max_mib << 20), "DATAPUSHER_CHUNK_ROWS": str(layout.chunk_rows),
            }, "/status",
        ),
    }  # fmt: skip
    for name in FRONTS:
        env = {**_environment(layout, bin), "CKAN_INI": str(ini(layout, name))}
        command = gunicorn(name, bin, "ckan_wsgi", "--no-control-socket", "--workers", "2", "--threads", "4")
        table[name] = Service(command, env, "/api/3/action/status_show")
    return table


def ini(layout: Layout, name: str) -> Path:
    """Write the configuration of one front end."""
    file = layout.folder / "etc" / f"{name}.ini"
    tokens = layout.folder / "tokens" / "datapusher"
    database = f"@{LOOPBACK}:{layout.ports['postgres']}"
    file.write_text(
        f"""[app:main]
SECRET_KEY = for-tests-only-0123456789
ckan.site_id = default
ckan.site_url = {layout.url(name)}
ckan.site_title = Test site
ckan.plugins = {FRONTS[name]}
ckan.storage_path = {layout.folder / "storage"}
ckan.max_resource_size = {layout.max_mib}
sqlalchemy.url = postgresql://ckan_default{database}/ckan_default
ckan.datastore.write_url = postgresql://ckan_default{database}/datastore_default
ckan.datastore.read_url = postgresql://datastore_default{database}/datastore_default
solr_url = {layout.url("solr")}/solr/ckan
ckan.redis.url = redis://{LOOPBACK}:{layout.ports["redis"]}/0
ckan.datapusher.url = {layout.url("datapusher")}/
ckan.datapusher.api_token = {tokens.read_text().strip() if tokens.exists() else "not yet"}
ckan.datapusher.callback_url_base = {layout.url(name)}
# a user without a role can change nothing
ckan.auth.user_create_organizations = false
ckan.auth.user_create_groups = false

[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = generic
[formatter_generic]
format = %(asctime)s %(levelname)-5.5s [%(name)s] %(message)s
"""
    )
    return file


def _environment(layout: Layout, bin: Path) -> dict[str, str]:
    """Nothing is inherited but the PATH."""
    return {
        "PATH": f"{bin}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(layout.folder / "home"),
        "LC_ALL": "C.UTF-8",
        "NO_PROXY": "*",
        "PYTHONUNBUFFERED": "1",
        "TOKENS": str(layout.folder / "tokens"),
    }
