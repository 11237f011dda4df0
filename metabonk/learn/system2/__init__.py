"""What System 2's small networks learn from: logged decisions, rehearsals, screens."""
