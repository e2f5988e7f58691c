"""The real front, a fake engine: `python -m tests.support.fake_node LAST_WORD ENGINE FLAGS -- NODE_FLAGS`."""

import sys
from pathlib import Path

from kvring_node import __main__ as node

if __name__ == "__main__":
    border = sys.argv.index("--")
    node.main(
        sys.argv[border + 1 :],
        engine_command=[sys.executable, "-m", *sys.argv[2:border]],
        termination_log=Path(sys.argv[1]),
    )
