"""Settings that every test shares, wherever it runs."""

import os
import signal

import hypothesis
from dev import commands

# Children inherit which signals are ignored: shells start background commands with SIGINT ignored, for one.
# The programs under test would then live through what ends them elsewhere.
signal.pthread_sigmask(signal.SIG_SETMASK, ())
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)

# Nodes, collectors and pools under test listen on this machine, where no proxy leads.
os.environ.update(commands.past_proxies(os.environ))

# These machines are shared and noisy: how long an example takes says nothing about the code. The examples are
# the same everywhere: no change is refused for what has nothing to do with it; others are drawn by
# --hypothesis-profile=random.
hypothesis.settings.register_profile(
    "kvring",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    print_blob=True,
)
hypothesis.settings.register_profile(
    "random", parent=hypothesis.settings.get_profile("kvring"), derandomize=False
)
hypothesis.settings.load_profile("kvring")
