"""`python -m tests.support.fake_node ENGINE_FLAGS -- NODE_FLAGS`: the real front with the fake engine."""

import sys

from kvring_node import __main__ as node

if __name__ == "__main__":
    border = sys.argv.index("--")
    engine = [sys.executable, "-m", "tests.support.fake_engine", *sys.argv[1:border]]
    node.main(sys.argv[border + 1 :], engine_command=engine)
