"""A toy tree behind the real binding; `mounting.toy` mounts it for a test."""
