"""What a deployment may set, read once at start from variables named `MENTALLLAMA_…`.

`load_settings` reads the environment; everything else is handed the frozen `Settings`. The
documentation of the settings is generated from the fields' descriptions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.analysis.manifest import PolicyEntry
from service.analysis.types import DecisionPolicy
from service.errors import ServiceError

PREFIX = "MENTALLLAMA_"

STOP_SECONDS = 10
"""What ending a process takes at most once its grace period is over."""

NOTICE = (
    "These are labels that a language model reads in a text. They are no diagnosis and no advice, "
    "and they can be wrong. A person should look at every text that matters."
)

URGENT_RESOURCES = (
    "If you or someone you know may be in danger now, call the local emergency number. "
    "Free and confidential helplines, by country: https://findahelpline.com"
)


class InvalidSettingsError(ServiceError):
    """A setting that the service cannot start with."""

    code = "invalid_settings"
    description = "A setting of the deployment is wrong; the service does not start with it."


class Settings(BaseSettings):
    """One deployment's settings, each read from `MENTALLLAMA_` plus its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    max_texts: int = Field(default=64, ge=1, le=10_000, description="Most texts in one request.")
    max_choices: int = Field(
        default=1024,
        ge=2,
        description=(
            "Most answers to choose from in one request of /v1/decisions, over all its questions "
            "(a predicate has two). The engine reads at most one place less than that."
        ),
    )
    max_characters: int = Field(
        default=100_000,
        ge=1,
        description=(
            "Most characters (Unicode code points) in one text, and in all questions of one "
            "request of /v1/decisions together. It holds for every truncation policy: it bounds "
            "the work of the tokenizer, not the model's context."
        ),
    )
    max_body_bytes: int = Field(
        default=16 * 2**20,
        ge=1024,
        description="Most bytes in a request's body, on every route. More is refused unread.",
    )
    max_explanation_tokens: int = Field(
        default=512,
        ge=1,
        description="Most tokens that a request may ask for in one explanation.",
    )
    baseline: Path | None = Field(
        default=None,
        description=(
            "A JSON file with the baseline that drift is measured against, as `python -m "
            "service.baseline` writes it. It comes before the model's own `baseline.json`."
        ),
    )
    keep_alive_seconds: float = Field(
        default=15.0,
        gt=0,
        description="Seconds of silence after which a stream sends a comment, so proxies wait on.",
    )
    body_seconds: float = Field(
        default=30.0,
        gt=0,
        description="Seconds within which a request's body must have arrived, on every route.",
    )
    reader_seconds: float = Field(
        default=60.0,
        gt=0,
        description=(
            "Seconds for which a client may leave what was sent to it untaken; then its connection "
            "is closed and its work ended."
        ),
    )
    grace_seconds: float = Field(
        default=25.0,
        ge=0,
        description=(
            "Seconds that running requests get to finish after SIGTERM or SIGINT. Give whoever "
            "stops the process 10 more before it kills it (Kubernetes: "
            "terminationGracePeriodSeconds, after what preStop takes)."
        ),
    )
    stall_seconds: float = Field(
        default=300.0,
        gt=0,
        description=(
            "Seconds for which the engine may have work and put nothing out; then it counts as "
            "stalled and the process ends with exit code 1. Longer than the longest prompt takes "
            "to read: on a GPU 60 is plenty."
        ),
    )
    redact: bool = Field(
        default=False,
        description=(
            "Whether handles, e-mail addresses, phone numbers and links are taken out of the texts "
            "of /analyze before the model sees them. They are known by their form; names are not. "
            "Evidence still stands in the text as it was sent."
        ),
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="How log lines are written: `text`, or `json` for one JSON object a line.",
    )
    audit_log: Path | None = Field(
        default=None,
        description=(
            "A file to which one JSON line is added for every request that asks for work: who, how "
            "much, with what outcome; never what. It may be moved away for rotation: the next line "
            "makes a new file."
        ),
    )
    notice: str = Field(
        default=NOTICE,
        min_length=1,
        description="The notice in every response of /analyze, that this is no diagnosis.",
    )
    urgent_resources: str = Field(
        default=URGENT_RESOURCES,
        min_length=1,
        description=(
            "Where a person can find help, in the response of /analyze when a label that points to "
            "suicide or self-harm is read in a text. Name local resources here."
        ),
    )
    decision_policy: Path | None = Field(
        default=None,
        description=(
            "A JSON file with the deployment's decision policy: any of `thresholds`, "
            "`abstention_band`, `min_probability` and `min_label_mass`, as in a request. It "
            "comes before the model's own; a request's fields come before both."
        ),
    )
    keys_file: Path | None = Field(
        default=None,
        description=(
            "A JSON file of API keys, as `mentalllama keys` writes it; it holds only their hashes. "
            "With it, every route but the health checks asks for a key. It is read again when it "
            "changes."
        ),
    )
    keys: str | None = Field(
        default=None,
        repr=False,
        description="The same JSON in the variable itself; what both hold counts together.",
    )
    external_authentication: bool = Field(
        default=False,
        description=(
            "Says that something before the service (a proxy, a mesh) lets only the right callers "
            "through. Without this and without keys it listens on this machine alone."
        ),
    )
    playground: bool = Field(
        default=True,
        description="Whether there is a page at / to try the service with.",
    )
    public_pages: bool = Field(
        default=False,
        description=(
            "Whether the pages for people, / and /docs and what they load, answer without a key "
            "where the other routes ask for one."
        ),
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description=(
            "Where the limits of keys are counted for all processes and replicas together, as "
            "`redis://[:PASSWORD@]HOST:PORT[/DATABASE]` (the extra `redis`). Without it every "
            "process counts by itself."
        ),
    )
    max_running_tokens: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Most work that the engine is given at one time, in weighted tokens "
            "(`service.gate.demand`). By default what it has been measured to do in half a minute, "
            "and at least 65,536."
        ),
    )
    max_queued_tokens: int = Field(
        default=4_194_304,
        ge=1,
        description="Most work that waits for the engine, in weighted tokens; more is refused.",
    )
    max_queued_requests: int = Field(
        default=4096,
        ge=1,
        description="Most requests that wait for the engine, however little each asks for.",
    )
    max_wait_seconds: float = Field(
        default=300.0,
        gt=0,
        description=(
            "Longest that a request waits to be started. What would wait longer, at the measured "
            "rate, is refused at once."
        ),
    )
    interactive_texts: int = Field(
        default=4,
        ge=1,
        description=(
            "Most texts in a request that counts as interactive where neither it nor its key says; "
            "a larger one is bulk, which waits behind all interactive ones."
        ),
    )


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        InvalidSettingsError: a variable's value is wrong; the message names the variable and what
            is asked of it, not its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSettingsError(validation_reasons(error, PREFIX)) from None


def load_policy(settings: Settings) -> DecisionPolicy | None:
    """Read the deployment's decision policy, or None where the settings name no file.

    Raises:
        InvalidSettingsError: the file cannot be read, or what it holds is no decision policy.
    """
    path = settings.decision_policy
    if path is None:
        return None
    variable = f"{PREFIX}DECISION_POLICY"
    try:
        return PolicyEntry.model_validate_json(path.read_bytes()).to_policy()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidSettingsError(f"{variable}: {path} cannot be read: {reason}.") from None
    except ValidationError as error:
        raise InvalidSettingsError(f"{variable}: {path}: {validation_reasons(error)}") from None


def validation_reasons(error: ValidationError, prefix: str = "") -> str:
    """Each wrong field and what pydantic says of it, without the value that was given."""
    lines = []
    for detail in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in detail["loc"])
        shown = f"{prefix}{name.upper()}" if prefix else name
        lines.append(f"{shown}: {detail['msg']}." if shown else f"{detail['msg']}.")
    return " ".join(lines)
