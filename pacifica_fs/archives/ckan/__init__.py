"""A CKAN site: organisations, packages and resources to read; files and tables to drop."""
