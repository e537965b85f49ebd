"""`mentalllama keys create|list|rotate|revoke`: API keys, of which only hashes are stored.

`service.gate` is imported inside the commands: it comes with the whole HTTP side, which no other
command waits for.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich import box
from rich.table import Table
from rich.text import Text

from service.cli.failures import failures_reported
from service.cli.terminal import notice, output, print_json
from service.errors import InvalidRequestError
from service.settings import PREFIX, validation_reasons

app = typer.Typer(no_args_is_help=True, help="Make, list, rotate and revoke API keys.")

File = Annotated[
    Path,
    typer.Option(
        "--file",
        envvar=f"{PREFIX}KEYS_FILE",
        help="The file of keys. A running service reads it again when it changes.",
    ),
]
Name = Annotated[str, typer.Argument(help="The caller's name, as it appears in logs.")]
Limit = Annotated[int | None, typer.Option(min=1, show_default=False)]


@app.command()
def create(
    name: Name,
    scope: Annotated[
        list[str],
        typer.Option(
            help="What the key is for: `analyze`, `openai`, `metrics`, or `admin` for all of it. "
            "May be given several times."
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            envvar=f"{PREFIX}KEYS_FILE",
            help="The file to add the entry to, made where there is none. Without it the entry is "
            "printed.",
        ),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(help="When the key ceases to work, in UTC.", show_default=False),
    ] = None,
    requests_per_minute: Limit = None,
    posts_per_minute: Limit = None,
    concurrent_requests: Limit = None,
    body_bytes: Limit = None,
    texts: Limit = None,
    characters: Limit = None,
    priority: Annotated[
        str | None,
        typer.Option(
            help="The priority of all its requests, `interactive` or `bulk`.", show_default=False
        ),
    ] = None,
    share_cache: Annotated[
        bool,
        typer.Option(
            "--share-cache", help="Share its prefix cache with the other keys that share theirs."
        ),
    ] = False,
) -> None:
    """Make a key. It is printed once, on standard output; only its hash is stored.

    For example:

        mentalllama keys create web --scope analyze --file keys.json --requests-per-minute 60
    """
    from service.gate.key_file import add_key, dump_entry
    from service.gate.keys import KeyEntry, LimitsEntry, hash_key, new_key

    with failures_reported():
        key = new_key()
        try:
            entry = KeyEntry.model_validate(
                {
                    "name": name,
                    "sha256": (hash_key(key),),
                    "scopes": scope,
                    "limits": LimitsEntry(
                        requests_per_minute=requests_per_minute,
                        posts_per_minute=posts_per_minute,
                        concurrent_requests=concurrent_requests,
                        body_bytes=body_bytes,
                        texts=texts,
                        characters=characters,
                    ),
                    "expires": expires.replace(tzinfo=UTC) if expires is not None else None,
                    "share_cache": share_cache,
                    "priority": priority,
                }
            )
        except ValidationError as error:
            raise InvalidRequestError(validation_reasons(error)) from None
        if file is not None:
            add_key(file, entry)
            notice(f"Added {name} to {file}. This is its key, which is stored nowhere:")
        else:
            notice(
                f"Put this entry into the list `keys` of the file that {PREFIX}KEYS_FILE names:\n"
                f"{json.dumps(dump_entry(entry), indent=2)}\n"
                "This is the key, which is stored nowhere:"
            )
        _print_key(key)


@app.command("list")
def list_keys(
    file: File,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the keys of a file: names, scopes, limits; no hashes."""
    from service.gate.key_file import dump_entry
    from service.gate.keys import read_key_file

    with failures_reported():
        entries = [dump_entry(entry) for entry in read_key_file(file).keys]
        for entry in entries:
            entry["keys"] = len(entry.pop("sha256"))
        if as_json:
            print_json({"keys": entries})
            return
        table = Table("Name", "Scopes", "Keys", "Expires", "Limits", box=box.SIMPLE, pad_edge=False)
        for entry in entries:
            limits = ", ".join(f"{name} {value}" for name, value in entry.get("limits", {}).items())
            cells = (
                entry["name"],
                ", ".join(entry["scopes"]),
                str(entry["keys"]),
                entry.get("expires", "never"),
                limits or "none",
            )
            table.add_row(*map(Text, cells))
        output().print(table)


@app.command()
def rotate(
    name: Name,
    file: File,
    now: Annotated[
        bool,
        typer.Option("--now", help="The old key ceases to work at once, not at the next rotation."),
    ] = False,
) -> None:
    """Give a caller a new key, and print it. The old one works until the next rotation."""
    from service.gate.key_file import rotate_key

    with failures_reported():
        key = rotate_key(file, name, now=now)
        until = "has ceased to work" if now else "works until you rotate again"
        notice(f"The old key of {name} {until}. This is the new one, which is stored nowhere:")
        _print_key(key)


@app.command()
def revoke(name: Name, file: File) -> None:
    """Take a caller out of a file; its keys cease to work."""
    from service.gate.key_file import revoke_key

    with failures_reported():
        revoke_key(file, name)
        notice(f"Took {name} out of {file}.")


def _print_key(key: str) -> None:
    output().print(Text(key), soft_wrap=True)
