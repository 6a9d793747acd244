"""Promise: docs/cli.md names every command with an example that parses, every option there is, and none that is not."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import click
import pytest

from server.config import OPTIONS
from tests.server.cli.test_options import leaves

PAGE: Final = (Path(__file__).parents[3] / "docs" / "cli.md").read_text("utf-8")
LEAVES: Final = list(leaves())
NAMES: Final = [" ".join(path) for path, _ in LEAVES]


def section(path: tuple[str, ...]) -> str:
    """What the page says of one command."""
    found = re.search(rf"^### `muster {' '.join(path)}(?: [^`]*)?`\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    assert found is not None, path
    return found[1]


def own_options(command: click.Command) -> set[str]:
    return {
        flag
        for one in command.params
        if isinstance(one, click.Option) and not str(one.name).startswith("shared_")
        for flag in (*one.opts, *one.secondary_opts)
    }


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=NAMES)
def test_a_command_its_options_and_its_example(path: tuple[str, ...], command: click.Command) -> None:
    text = section(path)
    rows = {
        flag for line in text.splitlines() if line.startswith("| `--") for flag in re.findall(r"`(--[\w-]+)`", line)
    }
    assert rows == own_options(command)
    examples = [line for line in text.splitlines() if line.startswith(("muster ", 'eval "$(muster '))]
    assert len(examples) == 1
    words = shlex.split(examples[0].removeprefix('eval "$(').removesuffix(')"'))
    assert tuple(words[1 : len(path) + 1]) == path
    command.make_context(path[-1], words[len(path) + 1 :])
    assert command.epilog is not None and examples[0] in command.epilog
    assert str(command.help).split("\n")[0].rstrip(".") in text.replace("\n", " ")


def test_every_option_of_the_table_is_there_with_variable_and_key() -> None:
    for option in OPTIONS:
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{option.flag}`"))
        assert f"`{option.variable}`" in row and f"`{option.name}`" in row
        assert option.default in (None, "") or str(option.default).lower() in row.lower()


def test_the_page_names_no_command_that_is_not() -> None:
    named = {
        " ".join(re.sub(r"[\[{A-Z.].*", "", line).split()) for line in re.findall(r"^### `muster ([^`]*)`", PAGE, re.M)
    }
    assert named == set(NAMES)


def test_the_files_it_shows_are_read(tmp_path: Path) -> None:
    from server.config import command_defaults, load

    file = tmp_path / "muster.toml"
    (shown,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    file.write_text(shown)
    assert load(environ={}, file=file, serving=False).project == "shop"
    assert command_defaults(file)["import"]["profiles"]["distinct-id"] == "customer"
