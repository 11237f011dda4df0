"""The report of a run: figures, page, film, and what a run came to."""
