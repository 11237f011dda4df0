"""What agents and brokers say to each other: messages, bytes, version 1, keys."""
