"""Losses and training loops. Knows networks, games (as BatchGame) and artifacts; does not know
populations, services or the command line.
"""
