"""Playing games as time passes: windows, people, control loops. Sees games, never learn."""
