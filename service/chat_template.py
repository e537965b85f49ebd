"""The chat template of a model that was trained on queries as they are.

Such a model (MentalLLaMA's, the embedded one) often carries the template of the chat model it was
made of. Inside that template it sees what it was not trained on, and answers otherwise than
`POST /analyze` says: chat completions get the query as it is as well.
"""

from __future__ import annotations

import json
from pathlib import Path

from imhi.wording import QUERY_HEAD
from service.analysis.manifest import PromptStyle, assumed_manifest
from service.models import ResolvedModel, local_manifest

BARE_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"
)
"""What the messages say, a line each, and nothing around it; in one line, as vLLM's option takes
it."""

# The paper's checkpoints, which are Llama 2, begin every text with a token.
_BEGUN = "{{ bos_token }}"


def served_template(model: ResolvedModel) -> str | None:
    """The template to serve a model's chat completions with, or None for the model's own.

    Args:
        model: what is served; of a hub's id only the name is known.

    Raises:
        ModelError: the manifest is broken.
    """
    directory = Path(model.path)
    local = directory.is_dir()
    manifest = local_manifest(directory) if local else assumed_manifest(model.path, True)
    if manifest.prompt_style is not PromptStyle.BARE:
        return None
    return (_beginning(directory) if local else _BEGUN) + BARE_TEMPLATE


def _beginning(directory: Path) -> str:
    """What a template begins with to make the tokens that the tokenizer makes of a bare text.

    vLLM leaves the token before every text to chat templates, and tokenizers differ in whether the
    word after such a token is one that begins a text.
    """
    from tokenizers import Tokenizer

    file = directory / "tokenizer.json"
    if not file.is_file():
        return _BEGUN
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception:  # noqa: BLE001 - of no narrower class; vLLM reads it next and says what it is
        return _BEGUN
    wanted = tokenizer.encode(QUERY_HEAD).ids
    bos = _bos_token(directory)
    for beginning in ("", _BEGUN, _BEGUN + " ") if bos else ():
        text = beginning.replace(_BEGUN, bos) + QUERY_HEAD
        if tokenizer.encode(text, add_special_tokens=False).ids == wanted:
            return beginning
    return ""


def _bos_token(directory: Path) -> str:
    try:
        values = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
        said = values["bos_token"]
        return str(said["content"] if isinstance(said, dict) else said or "")
    except (OSError, ValueError, LookupError, TypeError):
        return ""
