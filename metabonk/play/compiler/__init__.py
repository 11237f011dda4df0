"""The compiler: from a network to a program that the core runs.

    tracing     what one decision computes, as a graph of torch's operators
    lowering    that graph as instructions; the rules are in elements, axes and layers
    passes      fewer instructions, less memory
    program     what instructions are and how they are written
    weights     layers in float32 or few bits
    assembly    all of it, one after the other

Only `program` and `passes` import without Torch: they are all that running a policy needs.
"""
