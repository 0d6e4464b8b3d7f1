"""Speed, measured beside what users would use instead. Nothing here fails by a time: people read the tables."""
