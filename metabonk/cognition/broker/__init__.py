"""The cognitive server: its door, whose turn it is, and the one end of every request."""
