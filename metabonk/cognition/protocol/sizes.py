"""How large a message of the cognitive protocol may be at most.

Knows numbers only, so that who listens for messages need not load what reads them.
"""

HEADER_BYTES = 32 << 10  # of a header: a packed state takes half of it
FRAME_BYTES = 1 << 20  # of one JPEG: 640x360 takes 60 KiB
STRIP_BYTES = 4 << 20  # of all JPEGs of a request
MOST_FRAMES = 16
MOST_PIXELS = 1 << 22  # what one JPEG may unfold to
MOST_DEPTH = 8  # of maps and lists inside each other
LONGEST_MS = 60_000.0  # that a request may wait
