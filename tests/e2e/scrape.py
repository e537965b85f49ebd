"""Reading numbers off the running server's /metrics."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

_IN_ENGINE = ("vllm:num_requests_running", "vllm:num_requests_waiting")


def total(client: httpx.Client, *samples: str, **labels: str) -> float:
    """The sum of all samples of these names that carry these labels; 0 where there is none."""
    text = client.get("/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in samples and labels.items() <= sample.labels.items()
    )


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition comes to hold within some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def idle(client: httpx.Client) -> bool:
    """Whether the engine has nothing to do."""
    return total(client, *_IN_ENGINE) == 0
