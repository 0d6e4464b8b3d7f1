"""Events: an archive tells of new containers before anybody asks, and their files are there at once."""
