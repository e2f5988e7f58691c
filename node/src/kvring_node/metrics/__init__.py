"""Prometheus metrics: vLLM's names, so that its dashboards and autoscalers work here, and `kvring_*`."""
