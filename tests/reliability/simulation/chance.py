"""Everything random, by name: the same seed and name give the same lots, whoever asks when."""

from hashlib import blake2b
from random import Random


def lots(*names: object) -> Random:
    """A source of lots of its own for everything that has a name."""
    text = "\x1f".join(str(name) for name in names)
    return Random(int.from_bytes(blake2b(text.encode(), digest_size=8).digest()))


def share(*names: object) -> float:
    """One lot in [0, 1), for a fate that must not depend on when it is asked for."""
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest()) / 2**56
