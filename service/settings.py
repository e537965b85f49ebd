"""What a deployment may set, read once at start from variables named `MENTALLLAMA_…`.

`load_settings` reads the environment; everything else is handed the frozen `Settings`. The
documentation of the settings is generated from the fields' descriptions.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.analysis.manifest import PolicyEntry
from service.analysis.types import DecisionPolicy
from service.errors import ServiceError

PREFIX = "MENTALLLAMA_"

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
    max_characters: int = Field(
        default=100_000,
        ge=1,
        description=(
            "Most characters (Unicode code points) in one text. It holds for every truncation "
            "policy: it bounds the work of the tokenizer, not the model's context."
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


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        InvalidSettingsError: a variable's value is wrong; the message names the variable and what
            is asked of it, not its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSettingsError(_reasons(error, PREFIX)) from None


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
        raise InvalidSettingsError(f"{variable}: {path}: {_reasons(error)}") from None


def _reasons(error: ValidationError, prefix: str = "") -> str:
    """Each wrong field and what pydantic says of it, without the value that was given."""
    lines = []
    for detail in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in detail["loc"])
        shown = f"{prefix}{name.upper()}" if prefix else name
        lines.append(f"{shown}: {detail['msg']}." if shown else f"{detail['msg']}.")
    return " ".join(lines)
