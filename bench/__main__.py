"""`script/bench SUITE [--quick] [NAME…]`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from rich.console import Console

from . import ckan as ckan_bench
from . import djarchive as djarchive_bench
from . import drop as drop_bench
from . import main as main_bench
from . import mytardis as mytardis_bench
from . import pacifica as pacifica_bench
from .bench import Bench
from .result import Result, show, write

SUITES = {
    "ckan": ckan_bench.MEASUREMENTS,
    "djarchive": djarchive_bench.MEASUREMENTS,
    "drop": drop_bench.MEASUREMENTS,
    "main": main_bench.MEASUREMENTS,
    "mytardis": mytardis_bench.MEASUREMENTS,
    "pacifica": pacifica_bench.MEASUREMENTS,
}
RESULTS = Path(__file__).parents[1] / ".cache" / "bench"


def _names() -> str:
    return "; ".join(f"{suite}: {', '.join(names)}" for suite, names in SUITES.items())


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="script/bench", description="Measures pacifica-fs beside its peers in one run."
    )
    parser.add_argument("suite", choices=sorted(SUITES), help="what to measure")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {_names()}")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, not how fast")
    parser.add_argument("--rounds", type=int, default=None, metavar="N", help="samples of each (5; with --quick 3)")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where to work: on the disk to measure, with 10 GiB free"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the samples go (.cache/bench/…)")
    return parser


def main() -> int:
    """Measure, show, write. Exit code 1 if a measurement could not be made; slowness is not an error."""
    parser = arguments()
    options = parser.parse_intermixed_args()
    measurements = SUITES[options.suite]
    unknown = [name for name in options.names if name not in measurements]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(measurements)}")
    # Both, and not what SIGINT was: a shell starts what runs in its background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    console = Console(width=None if sys.stdout.isatty() else 200)
    load = os.getloadavg()
    results: list[Result] = []
    failed = []
    rounds = options.rounds or (3 if options.quick else 5)
    file = options.json or RESULTS / time.strftime(f"{options.suite}-%Y%m%d-%H%M%S.json")
    with Bench(
        rounds, options.quick, options.folder, say=lambda text: print(text, file=sys.stderr, flush=True)
    ) as bench:
        for name in options.names or measurements:
            bench.say(f"measuring {name}")
            try:
                results += measurements[name](bench)
            except Exception:  # noqa: BLE001 - the others are measured all the same
                traceback.print_exc()
                failed.append(name)
            write(results, file, load, options.quick)
    show(results, console)
    print(f"load before {load[0]:.1f}, after {os.getloadavg()[0]:.1f}; samples in {file}")
    if failed:
        print(f"could not be measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
