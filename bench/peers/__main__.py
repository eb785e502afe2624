"""Make the peers' environment: `python -m bench.peers`."""

from bench.peers import interpreter

if __name__ == "__main__":
    print(interpreter())
