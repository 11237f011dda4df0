"""The decision log: journal, frames by hash, rows, and their export as data sets."""
