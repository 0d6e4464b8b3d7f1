"""`python -m tests.servers.pacifica`: a site to play with, until interrupted; prints its URLs for a configuration."""

import signal
import sys
import time

from ..guard import Guard
from .install import Unavailable
from .site import Site


def main() -> None:
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    begun = time.monotonic()
    with Guard() as guard, Site.prepare(guard, notifications="--notifications" in sys.argv[1:]) as site:
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
