"""From raw sources and a teacher model to explained, checked rows."""
