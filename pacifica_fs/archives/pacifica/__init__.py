"""A Pacifica site: policy and metadata to list, carts to read, ingest to upload."""
