"""`python -m tests.servers.ckan`: a site to play with, until interrupted; prints a configuration for it.

`--prepare` only installs what it needs, `--plugin` and `--datapusher` start those, too.
"""

import argparse
import signal
import sys

from ..guard import Guard
from . import CkanSite, Unavailable
from .install import homes
from .template import template


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.ckan")
    parser.add_argument("--prepare", action="store_true", help="install what is missing, start nothing")
    parser.add_argument("--plugin", action="store_true", help="with the datapusher plugin, on a second address")
    parser.add_argument("--datapusher", action="store_true", help="with the DataPusher service")
    parser.add_argument("--max-mib", type=int, default=100, help="the largest upload in MiB")
    options = parser.parse_args()
    # Both, and not what SIGINT was: a shell starts what runs in its background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if options.prepare:
        with Guard() as guard:
            template(homes(), guard)
        return
    with Guard() as guard, CkanSite.prepare(guard, options.max_mib) as site:
        print(f"# started in {site.start_seconds:.1f} s; logs in {site.logs}")
        print(f'[archives.opendata]\nkind = "ckan"\nurl = "{site.url}"\ntoken = "{site.token()}"')
        if options.datapusher:
            print(f'datapusher = "{site.datapusher_url()}"')
        if options.plugin:
            print(f"# with the plugin: {site.plugin_url()}")
        sys.stdout.flush()
        while True:
            signal.pause()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except Unavailable as error:
        sys.exit(str(error))
