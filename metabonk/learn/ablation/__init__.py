"""Taking parts away from a run or a motor, and what that does to the return."""
