"""`status/metrics`: Prometheus text, computed from the same snapshots as the other status files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry


class Snapshots(Collector):
    """Turns the status into metric families when asked. `numbers()` gives the cache's figures, `states()` the number
    of bundles in each state by archive, `reachable()` 1 or 0 for each archive, `downloads()` how many are under way,
    `requests()` the requests of the kernel by operation, `oldest()` the seconds since the oldest bundle that is not
    ingested began, by archive, `spare()` total and free bytes of the spool's disk, `pulse()` the seconds since the
    mount last answered.
    """

    def __init__(
        self,
        numbers: Callable[[], Mapping[str, float]],
        states: Callable[[], Mapping[tuple[str, str], int]],
        reachable: Callable[[], Mapping[str, float]],
        downloads: Callable[[], int],
        requests: Callable[[], Mapping[str, int]],
        oldest: Callable[[], Mapping[str, float]] = dict,
        spare: Callable[[], tuple[int, int]] | None = None,
        pulse: Callable[[], float] | None = None,
    ) -> None:
        self._oldest, self._spare, self._pulse = oldest, spare, pulse
        self._numbers = numbers
        self._states = states
        self._reachable = reachable
        self._downloads = downloads
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        """All families."""
        for name, value in self._numbers().items():
            yield GaugeMetricFamily(f"pacifica_fs_cache_{name}", f"content store: {name}", value=value)
        bundles = GaugeMetricFamily("pacifica_fs_bundles", "bundles in the spool", labels=["archive", "state"])
        for (archive, state), count in self._states().items():
            bundles.add_metric([archive, state], count)
        yield bundles
        up = GaugeMetricFamily("pacifica_fs_archive_up", "1 if the archive answered last time", labels=["archive"])
        for archive, value in self._reachable().items():
            up.add_metric([archive], value)
        yield up
        yield GaugeMetricFamily("pacifica_fs_downloads", "downloads under way", value=self._downloads())
        requests = GaugeMetricFamily("pacifica_fs_requests", "requests of the kernel since start", labels=["operation"])
        for operation, count in self._requests().items():
            requests.add_metric([operation], count)
        yield requests
        oldest = GaugeMetricFamily(
            "pacifica_fs_oldest_bundle_seconds",
            "age of the oldest bundle that is not ingested, 0 if all are",
            labels=["archive"],
        )
        for archive, age in self._oldest().items():
            oldest.add_metric([archive], age)
        yield oldest
        if self._spare is not None:
            total, free = self._spare()
            yield GaugeMetricFamily("pacifica_fs_spool_disk_bytes", "size of the spool's disk", value=total)
            yield GaugeMetricFamily("pacifica_fs_spool_free_bytes", "bytes free on the spool's disk", value=free)
        if self._pulse is not None:
            words = "seconds since the mount last answered"
            yield GaugeMetricFamily("pacifica_fs_watchdog_age_seconds", words, value=self._pulse())


def text(snapshots: Snapshots) -> str:
    """The exposition format."""
    registry = CollectorRegistry()
    registry.register(snapshots)
    return generate_latest(registry).decode()
