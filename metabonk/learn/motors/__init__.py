"""Consistency motors: how they learn, from a run or from recordings, and their versions on disk."""
