"""System 2: the cognitive server and its client. Sees the bottom and `link` only.

Docs: docs/cognition.md. Nothing here imports Torch; what needs it is handed in through a Protocol.
"""
