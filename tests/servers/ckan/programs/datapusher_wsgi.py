"""WSGI entry point of DataPusher; JOB_CONFIG names the settings file.

The settings have to be loaded before datapusher.jobs is imported: it copies
MAX_CONTENT_LENGTH and others when imported, and the console command of DataPusher
imports it first, so that it always runs with the built-in limits.
"""

import collections
import collections.abc

# messytables 0.15.2 and json-table-schema 0.2.1 use names that left this module in Python 3.10
for name in ("Callable", "Iterable", "Mapping", "MutableMapping", "Sequence", "Set"):
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))

from ckanserviceprovider import web  # noqa: E402  pylint: disable=wrong-import-position

web.init()

import datapusher.jobs  # noqa: E402,F401  pylint: disable=wrong-import-position,unused-import

application = web.app
