"""A process of the functions' host is killed at every point of every step, under seeded traffic.

Each seed is a life of a street, lived twice on fresh local clouds: undisturbed, and with every
point armed to kill whatever process reaches it for the n-th time. What is true afterwards must be
the same: lost 0, doubled 0.
"""
