"""Settings that every test shares."""

import hypothesis

# These machines are shared and noisy: how long an example takes says nothing about the code.
hypothesis.settings.register_profile(
    "kvring", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("kvring")
