"""Prometheus text of the same snapshots as the status files."""

from prometheus_client.parser import text_string_to_metric_families

from pacifica_fs.service import metrics


def test_everything_is_in_it_and_can_be_parsed():
    snapshots = metrics.Snapshots(
        numbers=lambda: {"size": 5, "limit": 10.5},
        states=lambda: {("here", "open"): 2, ('we"ird\\', "done"): 1},
        reachable=lambda: {"here": 1.0, "site": 0.0},
        downloads=lambda: 3,
        requests=lambda: {"read": 7},
    )
    text = metrics.text(snapshots)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found == {
        ("pacifica_fs_cache_size",): 5,
        ("pacifica_fs_cache_limit",): 10.5,
        ("pacifica_fs_bundles", "here", "open"): 2,
        ("pacifica_fs_bundles", 'we"ird\\', "done"): 1,
        ("pacifica_fs_archive_up", "here"): 1,
        ("pacifica_fs_archive_up", "site"): 0,
        ("pacifica_fs_downloads",): 3,
        ("pacifica_fs_requests", "read"): 7,
    }


def test_nothing_known_yet():
    snapshots = metrics.Snapshots(dict, dict, dict, lambda: 0, dict)
    assert "pacifica_fs_downloads 0.0" in metrics.text(snapshots)
