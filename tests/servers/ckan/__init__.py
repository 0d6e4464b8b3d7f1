"""Real CKAN with its DataStore, and the real DataPusher: `CkanSite` (fixture `ckan_site`).

All are the released programs, but the search index, which is a small stand-in (`programs/solr_standin.py`).
"""

from ..pacifica.install import Unavailable
from .site import CkanSite

__all__ = ["CkanSite", "Unavailable"]
