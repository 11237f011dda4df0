"""Links between a game and its agent: the frame ring, BonkLink, shared memory. Sees the bottom only."""
