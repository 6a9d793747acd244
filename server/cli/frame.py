"""Commands and groups of `muster`: options that all share, defaults from the configuration file, errors in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import click

from core.errors import InvalidInput
from server.cli import failures
from server.cli.context import Call
from server.config import ENV_PREFIX, OPTIONS, Option, command_defaults, load
from server.names import nearest

_CONFIG: Final = "config"
_SHARED: Final = tuple(option for option in OPTIONS if option.side != "server")
_SERVING: Final = tuple(option for option in OPTIONS if option.side != "client")
# What a worker in a process of its own takes beside the shared ones and its provider's: who calls back, how it logs and
# ends.
_WORKING: Final = ("callbacks_", "log_", "stop_grace_seconds")
# Before their names as parameters, and in a context's notes: no command has one of its own that begins so.
_MARK: Final = "shared_"


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Note what was said of a shared option. Contexts share their notes: the innermost command speaks last."""
    if value is not None and param.name is not None:
        ctx.meta[param.name] = value


def _said(ctx: click.Context) -> dict[str, Any]:
    """What was said of shared options so far, by name."""
    return {name.removeprefix(_MARK): value for name, value in ctx.meta.items() if name.startswith(_MARK)}


def _option(option: Option) -> click.Option:
    """A row of the table of options as an option of a command. What is not said stays None: the table has the default."""
    names = [f"{option.flag}/--no-{option.flag[2:]}" if option.type is bool else option.flag, _MARK + option.name]
    default = "" if option.default in (None, "", False) or option.secret else f"; default {option.default}"
    kind = click.Choice(option.choices) if option.choices else (click.BOOL if option.type is bool else click.STRING)
    return click.Option(
        names,
        type=kind,
        default=None,
        metavar=None if option.choices or option.type is bool else option.type.__name__.upper().replace("STR", "TEXT"),
        help=f"{option.help}  [{option.variable}{default}]",
        expose_value=False,
        callback=_keep,
        allow_from_autoenv=False,
    )


def _config_option() -> click.Option:
    return click.Option(
        ["--config", _MARK + _CONFIG],
        metavar="PATH",
        help=f"TOML file of options by name, such as `project`, and of commands' own, such as [commands.audience.count]"
        f"  [{ENV_PREFIX}CONFIG]",
        expose_value=False,
        callback=_keep,
        allow_from_autoenv=False,
    )


class Command(click.Command):
    """One command. It takes the shared options, and its own may have defaults in the configuration file.

    Arguments:
        shared: which options of the table it takes.
        epilog: an example, shown below its help.
    """

    def __init__(self, *args: Any, shared: Sequence[Option] = _SHARED, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shared = [*(_option(option) for option in shared), _config_option()]
        self.params = [*self.params, *self.shared]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command`: here the configuration file is found first, for it has defaults of what follows."""
        if not ctx.resilient_parsing:
            given, _, _ = self.make_parser(ctx).parse_args(list(args))
            help_option = self.get_help_option(ctx)
            if help_option is None or help_option.name not in given:
                ctx.default_map = _defaults(ctx, given.get(_MARK + _CONFIG))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """See `click.Command`: here all options are gathered into the one configuration."""
        flags = _said(ctx)
        file = flags.pop(_CONFIG, None)
        call = Call(load(flags, file=file, serving=False))
        ctx.obj = call
        ctx.call_on_close(call.close)
        try:
            return super().invoke(ctx)
        except Exception as error:
            if (known := failures.ours(error)) is None:
                raise
            failures.report(known, call.texts, call.config.server)
            raise click.exceptions.Exit(failures.status_of(known)) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options first, then those that all share."""
        own = [one for one in self.get_params(ctx) if one not in self.shared]
        for title, options in (("Options", own), ("Shared options", self.shared)):
            records = [record for one in options if (record := one.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class ServerCommand(Command):
    """A command that takes the server's options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, shared=_SERVING, **kwargs)


class WorkerCommand(Command):
    """A command that speaks with a server and with a provider.

    Arguments:
        provider: how the names of the provider's options begin.
    """

    def __init__(self, *args: Any, provider: str, **kwargs: Any) -> None:
        own = [option for option in OPTIONS if option.name.startswith((provider, *_WORKING))]
        super().__init__(*args, shared=(*own, *_SHARED), **kwargs)


class LocalCommand(Command):
    """A command that speaks with no server."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, shared=[option for option in _SHARED if option.name == "json"], **kwargs)


class Group(click.Group):
    """Commands about one thing."""

    command_class = Command


class Root(Group):
    """`muster` itself."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections
        self.params = [*self.params, *(_option(option) for option in _SHARED), _config_option()]

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """See `click.Command`: here every error becomes one line and a status."""

        def run() -> Any:
            found = super(Root, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()  # here, so that a reader who has gone is noticed while it can be told from an error
            return found

        if not standalone_mode:
            return run()
        sys.exit(self._status(run))

    @staticmethod
    def _status(run: Callable[[], Any]) -> int:
        try:
            found = run()
            return found if isinstance(found, int) else 0
        except click.exceptions.NoArgsIsHelpError as error:
            nothing = error.ctx is None or error.ctx.parent is None
            click.echo(error.format_message(), err=not nothing)
            return 0 if nothing else failures.INVALID
        except click.Abort:
            click.echo("muster: interrupted", err=True)
            return failures.INTERRUPTED
        except click.UsageError as error:
            failures.usage(error)
            return failures.INVALID
        except click.ClickException as error:
            failures.usage(error)
            return failures.FAILED
        except BrokenPipeError:
            # Whoever read the answer has had enough, such as `head`. What is left in the buffer goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return failures.FAILED
        except Exception as error:
            known = failures.ours(error)
            if known is None:
                raise
            failures.report(known)
            return failures.status_of(known)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by what they are for, then the options that all share."""
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(70)) for name in names])
        click.Command.format_options(self, ctx, formatter)


def _defaults(ctx: click.Context, file: str | None) -> dict[str, Any]:
    """The command's table in the configuration file, by parameter.

    Raises:
        InvalidInput: OPTION_UNKNOWN, with the nearest, where the table names what the command has not.
    """
    path = file or _said(ctx).get(_CONFIG) or os.environ.get(f"{ENV_PREFIX}CONFIG")
    if not path:
        return {}
    table: Any = command_defaults(path)
    words = ctx.command_path.split()[1:]
    for word in words:
        table = table.get(word, {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        return {}
    options = [one for one in ctx.command.params if isinstance(one, click.Option) and one.name]
    known = {max(one.opts, key=len).lstrip("-"): one.name for one in options if not str(one.name).startswith(_MARK)}
    found: dict[str, Any] = {}
    for key, value in table.items():
        flag = key.replace("_", "-")
        if flag not in known:
            near = nearest(flag, known)
            raise InvalidInput(
                f"there is no option {key!r} of `muster {' '.join(words)}`",
                field=f"{path}: [commands.{'.'.join(words)}]",
                mend=f"did you mean {near!r}?" if near else f"see `muster {' '.join(words)} --help`",
                code="OPTION_UNKNOWN",
            )
        found[str(known[flag])] = value
    return found


def fail(status: int = failures.FAILED) -> NoReturn:
    """End the command with a status, after it has said why."""
    raise click.exceptions.Exit(status)
