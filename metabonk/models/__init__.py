"""Networks as torch modules. Knows observation and action spaces; does not know games, losses or
optimisers.
"""
