"""`python -m tests.servers.pacifica`: a site to play with, until interrupted; prints its URLs for a configuration.

`--prepare` only installs what it needs, `--notifications` starts that service, too.
"""

import argparse
import signal
import sys
import time

from ..guard import Guard
from .install import Unavailable
from .site import Site, install


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.pacifica")
    parser.add_argument("--prepare", action="store_true", help="install what is missing, start nothing")
    parser.add_argument("--notifications", action="store_true", help="with the notifications service")
    options = parser.parse_args()
    # Both, and not what SIGINT was: a shell starts what runs in its background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    begun = time.monotonic()
    if options.prepare:
        with Guard() as guard:
            install(guard)
        return
    with Guard() as guard, Site.prepare(guard, options.notifications) as site:
        print(f"# prepared and started in {time.monotonic() - begun:.1f} s, of which start {site.start_seconds:.1f} s")
        print('[archives.site]\nkind = "pacifica"')
        for name, url in site.urls.items():
            print(f'{name} = "{url}"')
        print(f"# user {site.user} ({site.logon}), project {site.project!r}, instrument {site.instrument}")
        print(f"# uniqueid {site.uniqueid}; logs {site.logs}; clients {site.venv / 'bin'}", flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except Unavailable as error:
        sys.exit(str(error))
