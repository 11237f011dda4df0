"""Playing games as time passes: windows, people, control loops. Sees games and data, never learn."""
