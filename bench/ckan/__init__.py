"""`script/bench ckan`: tables into the DataStore beside DataPusher, directly and as jobs of our service; memory of a
large table, requests of a listing.
"""

from . import listing, memory, push, service

MEASUREMENTS = {"push": push.measure, "service": service.measure, "memory": memory.measure, "listing": listing.measure}
