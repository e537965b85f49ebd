"""The real servers of the end-to-end tests, one engine each, and clients of them.

`server` answers most of them: a tiny random model, in float32, with an adapter, with keys, and with
every line in its log that vLLM can write. `embedded_server` is for what needs a model that has
learned something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.deployment import ADAPTER, ENTRIES, KEY, MODEL, authorized, write_keys
from tests.e2e.posts import POST
from tests.models import lora_adapter, tiny_llama
from tests.servers import RunningServer, serve
from tests.tokenizers import WHOLE_ANSWERS, sentencepiece_tokenizer, word_tokenizer

EVERYTHING_LOGGED = {"VLLM_LOGGING_LEVEL": "DEBUG", "MENTALLLAMA_LOG_FORMAT": "json"}
FLOAT32 = ("--dtype", "float32")

Analyze = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama-2's kind of model, random, whose prompts are bare."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tokenizer").mkdir()
    return tiny_llama(folder / MODEL, sentencepiece_tokenizer(folder / "tokenizer"))


@pytest.fixture(scope="session")
def adapter(tiny_model: Path) -> Path:
    """An adapter for it."""
    return lora_adapter(tiny_model.with_name(ADAPTER), tiny_model)


@pytest.fixture(scope="session")
def words_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with a chat template; each whole answer is one of its tokens."""
    return tiny_llama(tmp_path_factory.mktemp("words") / "words", word_tokenizer(WHOLE_ANSWERS))


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    write_keys(path, ENTRIES)
    return path


@pytest.fixture(scope="session")
def server(
    tiny_model: Path, adapter: Path, key_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    options = [str(tiny_model), *FLOAT32, "--enable-prompt-tokens-details"]
    options += ["--enable-lora", "--lora-modules", f"{ADAPTER}={adapter}"]
    variables = {
        **EVERYTHING_LOGGED,
        "MENTALLLAMA_KEYS_FILE": str(key_file),
        "MENTALLLAMA_GRACE_SECONDS": "60",
    }
    with serve(options, tmp_path_factory.mktemp("server") / "log", variables) as running:
        yield running


@pytest.fixture(scope="session")
def words_server(
    words_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("words-server") / "log"
    with serve([str(words_model), *FLOAT32], log) as running:
        yield running


@pytest.fixture(scope="session")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the embedded model's server has its audit log."""
    return tmp_path_factory.mktemp("audit") / "audit.jsonl"


@pytest.fixture(scope="session")
def embedded_server(
    embedded_model: Path, audit: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    variables = {**EVERYTHING_LOGGED, "MENTALLLAMA_AUDIT_LOG": str(audit)}
    log = tmp_path_factory.mktemp("embedded-server") / "log"
    with serve(["embedded", *FLOAT32], log, variables) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: RunningServer) -> Iterator[httpx.Client]:
    """An HTTP client of `server`, with a key for everything."""
    with httpx.Client(base_url=server.url, headers=authorized(KEY), timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def api(server: RunningServer) -> Iterator[openai.OpenAI]:
    """OpenAI's own client of `server`."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def analyze(client: httpx.Client) -> Analyze:
    """Sends fields to POST /analyze and returns the response; short explanations by default."""
    return analyze_by(client)


@pytest.fixture(scope="session")
def analyze_embedded(embedded_server: RunningServer) -> Iterator[Analyze]:
    """The same with the embedded model."""
    with httpx.Client(base_url=embedded_server.url, timeout=120) as client:
        yield analyze_by(client)


def analyze_by(client: httpx.Client) -> Analyze:
    def send(text: str | None = POST, **fields: object) -> dict[str, Any]:
        fields.setdefault("explanation_tokens", 8)
        if text is not None:
            fields["text"] = text
        response = client.post("/analyze", json=fields)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    return send
