"""Episodes on disk: recording, reading, exchange formats. Knows games and the bottom."""
