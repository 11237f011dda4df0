"""The game's side of System 2: a client that nobody waits for, and what it sends when."""
