"""Links between a game and its agent: frame ring, BonkLink, shared memory. Sees the bottom only."""
