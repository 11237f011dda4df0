"""How System 2 is doing: counters, pages, scraping, GPUs."""
