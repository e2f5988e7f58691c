"""Settings that every test shares."""

import signal

import hypothesis

# Shells start background commands with SIGINT ignored, and children inherit that: the programs under test
# would then live through what ends them elsewhere.
signal.signal(signal.SIGINT, signal.default_int_handler)

# These machines are shared and noisy: how long an example takes says nothing about the code.
hypothesis.settings.register_profile(
    "kvring", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("kvring")
