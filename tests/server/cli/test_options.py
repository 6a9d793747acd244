"""Promise: every option is a flag, a `MUSTER_…` variable and a key of the TOML file; the nearer word wins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from server.auth import read_tokens
from server.cli.app import cli
from server.config import OPTIONS, Config, load
from tests.server.cli.conftest import Muster, Server, run

SECRET = "whsec_bXVzdGVyLXRlc3Qtc2VjcmV0LW11c3Rlci10ZXN0"


def leaves(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its words."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path, command


OWN = [
    (path, option)
    for path, command in leaves()
    for option in command.params
    if isinstance(option, click.Option) and not str(option.name).startswith("shared_")
]


def test_the_tables_options_come_from_a_variable_and_from_a_file(tmp_path: Path) -> None:
    assert {option.side for option in OPTIONS} == {"server", "client", "both"}
    for option in OPTIONS:
        wanted: Any = {str: "text", int: 70_000, float: 70_000.5, bool: not option.default, Path: Path("some/path")}[
            option.type
        ]
        if option.choices:
            wanted = option.choices[-1]
        if option.most is not None:
            wanted = option.type(option.most)
        file = tmp_path / "muster.toml"
        word = (
            str(wanted).lower() if option.type is bool else repr(str(wanted)) if option.type in (str, Path) else wanted
        )
        file.write_text(f"{option.name} = {word}\n")
        found = [
            load({option.name: str(wanted)}, environ={}, serving=False),
            load(environ={option.variable: str(wanted)}, serving=False),
            load(environ={}, file=file, serving=False),
            load(environ={"MUSTER_CONFIG": str(file)}, serving=False),
        ]
        assert [getattr(config, option.name) for config in found] == [wanted] * 4


def test_every_row_of_the_table_is_a_flag_somewhere() -> None:
    flags = {flag for _, command in leaves() for one in command.params for flag in one.opts}
    assert {option.flag for option in OPTIONS} <= flags
    assert {option.flag for option in OPTIONS if option.side != "server"} <= {
        flag for one in cli.params for flag in one.opts
    }


@pytest.mark.parametrize(("path", "option"), OWN, ids=[f"{' '.join(path)} {option.name}" for path, option in OWN])
def test_commands_own_options_have_variables(
    path: tuple[str, ...], option: click.Option, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = click.Context(cli, info_name="muster", auto_envvar_prefix="MUSTER")
    command: click.Command = cli
    for word in path:
        assert isinstance(command, click.Group)
        command = command.commands[word]
        context = click.Context(command, parent=context, info_name=word)
    variable = "_".join(("MUSTER", *path, str(option.name))).upper().replace("-", "_")
    monkeypatch.setenv(variable, "1")
    assert option.value_from_envvar(context) is not None


def test_commands_own_options_have_keys(shop: Muster, tmp_path: Path) -> None:
    file = tmp_path / "muster.toml"
    file.write_text('json = true\n[commands.audience.select]\nlimit = 3\n[commands.audience.count]\nparam = ["n=5"]\n')
    for words, env in ((("--config", file), {}), ((), {"MUSTER_CONFIG": str(file)})):
        assert len(shop("audience", "select", "true", *words, env=env).lines) == 3
        assert len(shop(*words, "audience", "select", "true", env=env).lines) == 3
        assert shop("audience", "count", "params.n == 5", *words, env=env).document["count"] == 400
    assert len(shop("audience", "select", "true", "--config", file, "--limit", 2).lines) == 2
    assert (
        len(shop("audience", "select", "true", "--config", file, env={"MUSTER_AUDIENCE_SELECT_LIMIT": "4"}).lines) == 4
    )
    assert "400 of 400" in shop("audience", "count", "params.n == 5", "--config", file, "--no-json").out


def test_a_worker_takes_the_options_of_its_provider_alone() -> None:
    for channel, own, other in (("email", "--smtp-", "--webhook-"), ("webhook", "--webhook-", "--smtp-")):
        told = run("channel", channel, "--help").out
        flags = {option.flag for option in OPTIONS if option.flag.startswith(own)}
        assert len(flags) > 4 and flags <= set(told.replace("/", " ").split()) and other not in told
        assert "--log-level" in told and "--listen" not in told


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("email", "--smtp-port", "65536"), "--smtp-port"),
        (("email", "--smtp-user", "muster"), "smtp_password_file"),
        (("email", "--smtp-ca-file", __file__), "smtp_ca_file"),
        (("email", "--smtp-message-id-domain", "bücher.example"), "smtp_message_id_domain"),
        (("email", "--smtp-connections", "0"), "--smtp-connections"),
        (("webhook", "--webhook-secret", "whsec_short"), "webhook_secret"),
        (("webhook", "--webhook-secret", f"{SECRET},whsec_short"), "webhook_secret"),
        (("webhook", "--webhook-secret", SECRET, "--webhook-proxy", "proxy:3128"), "webhook_proxy"),
    ],
)
def test_what_a_worker_cannot_work_with_is_refused_at_the_start(words: tuple[str, ...], field: str) -> None:
    answer = run("channel", *words, env={"MUSTER_SMTP_HOST": "127.0.0.1"})
    assert answer.status == 2 and len(answer.err.splitlines()) == 1
    assert answer.err.startswith(f"muster: {field}") or f"'{field}'" in answer.err or field in answer.err


def test_unknown_keys_are_refused_with_the_nearest(shop: Muster, tmp_path: Path) -> None:
    file = tmp_path / "muster.toml"
    for text, what in (
        ("[commands.audience.count]\nexplane = true\n", "did you mean 'explain'?"),
        ('projct = "x"\n', "did you mean 'project'?"),
        ("commands = 3\n", "[commands.audience.count]"),
        ("= 3\n", "not TOML"),
        ("timeout_seconds = -1\n", "at least 0.1"),
    ):
        file.write_text(text)
        answer = shop("audience", "count", "true", "--config", file)
        assert answer.status == 2 and answer.out == "" and what in answer.err
    assert shop("audience", "count", "--help", "--config", file).status == 0


def test_the_nearer_word_wins(muster: Muster, shop: Muster) -> None:
    assert muster("--project", "shup", "project", "get", "--project", "shop", "--json").document["name"] == "shop"
    assert shop("--project", "shup", "project", "get").status == 1
    assert run("project", "list", env={"MUSTER_SERVER": "127.0.0.1:1"}).status == 1


def test_a_wrong_option_of_the_server_is_no_matter_for_a_client(shop: Muster) -> None:
    assert shop("schema", env={"MUSTER_LISTEN": "0.0.0.0:1"}).status == 0


def test_the_configuration_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Config().project = "x"  # type: ignore[misc]


def test_the_token_files_first_token_is_sent(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tokens"
    file.write_text("# ours\n0123456789abcdef0123 ops\nfedcba98765432100123 other shop\n")
    seen: list[Any] = []
    import muster as sdk

    whole = sdk.Client

    def spy(*args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["token"])
        return whole(*args, **kwargs)

    monkeypatch.setattr(sdk, "Client", spy)
    assert run("project", "list", "--server", server.address, "--token-file", file).status == 0
    assert run("project", "list", "--server", server.address, "--token", "given", "--token-file", file).status == 0
    assert seen == [read_tokens(file)[0][0], "given"]
