"""A real Prometheus, Debian's, that scrapes the running server and evaluates the deployed rules."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.expressions import PROMETHEUS
from tests.e2e.scrape import eventually

SECOND = "1s"


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30)

    def ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self._client.get("/-/ready").status_code == 200
        return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector that an expression gives now."""
        return self._ask("/api/v1/query", query=expression)

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health."""
        answer = self._client.get("/api/v1/rules").raise_for_status().json()
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]

    def _ask(self, path: str, **parameters: object) -> list[dict[str, Any]]:
        answer = self._client.get(path, params={key: str(v) for key, v in parameters.items()})
        assert answer.status_code == 200, answer.text
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result


@contextlib.contextmanager
def scraping(address: str, folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus with the deployed configuration, a scrape a second, until the block is left.

    Args:
        address: host and port of the service.
        folder: where it keeps its data.
    """
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed; on Debian: apt-get install prometheus")
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": SECOND, "evaluation_interval": SECOND}
    config["rule_files"] = [str(PROMETHEUS / pattern) for pattern in config["rule_files"]]
    (job,) = [one for one in config["scrape_configs"] if one["job_name"] == "mentalllama"]
    del job["authorization"]  # the server of the tests has no keys
    job["static_configs"] = [{"targets": [address]}]
    config["scrape_configs"] = [job]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "prometheus.log").open("wb")
    process = subprocess.Popen(
        [
            program,
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        assert eventually(prometheus.ready, 30), (folder / "prometheus.log").read_text()
        yield prometheus
    finally:
        process.terminate()
        process.wait(30)
        log.close()
