"""`script/bench ckan`: tables into the DataStore beside DataPusher, memory of a large table, requests of a listing."""

from . import listing, memory, push

MEASUREMENTS = {"push": push.measure, "memory": memory.measure, "listing": listing.measure}
