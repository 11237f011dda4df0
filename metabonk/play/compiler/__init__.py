"""The compiler: from a network to a program that the core runs.

    tracing     what one decision computes, as a graph of torch's operators
    constants   tensors that a network holds, now and later
    lowering    that graph as instructions; the rules are in elements, activations, axes, layers,
                scans, worlds
    passes      fewer instructions, less memory
    program     what instructions are and how they are written; views, what they read and write
    weights     layers in float32 or few bits
    assembly    all of it, one after the other

Only `program`, `views`, `passes` and `weights` import without Torch: running a policy needs no
other.
"""
