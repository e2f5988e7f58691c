"""What probes and Prometheus ask for."""

import aiohttp

from kvring_operator import health


async def test_health_and_metrics_are_served_and_nothing_else() -> None:
    runners = await health.serve(0, 0)
    (metrics, *_), (healthy, *_) = (runner.addresses for runner in runners)
    async with aiohttp.ClientSession() as client:
        found = {
            path: (await client.get(f"http://127.0.0.1:{port}{path}")).status
            for port, path in ((metrics[1], "/metrics"), (healthy[1], "/healthz"), (healthy[1], "/readyz"))
        }
        text = await (await client.get(f"http://127.0.0.1:{metrics[1]}/metrics")).text()
    for runner in runners:
        await runner.cleanup()

    assert found == {"/metrics": 200, "/healthz": 200, "/readyz": 404}
    assert "python_info" in text
