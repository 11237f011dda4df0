"""A swarm on one machine: the cognitive server, a model server and agents, each a process.

Knows how they are started, killed, counted and judged; the suite `cognition` and the soak run them.
"""
