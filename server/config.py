"""The one configuration object of `muster`, and where each of its values may come from.

Every field of `Config` is an option: of the server (`muster serve`), of the commands that speak with one, or of
both. Its value is the last one given of: the default, the TOML file (named by
`--config` or `MUSTER_CONFIG`), the variable `MUSTER_<NAME>`, the command line's flag. Names derive from the
field's: `http_listen` is the TOML key `http_listen`, the variable `MUSTER_HTTP_LISTEN` and the flag
`--http-listen`. A file's table `commands` holds defaults of single commands' own options and is the command line's
to read (`command_defaults`).
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, get_type_hints

from core.errors import InvalidInput
from server.names import nearest

ENV_PREFIX: Final = "MUSTER_"
COMMANDS_TABLE: Final = "commands"
_KINDS: Final = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


Side = Literal["server", "client", "both"]
"""Who reads an option: the server, the commands that speak with one, or both."""


def _about(
    help: str,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    secret: bool = False,
    side: Side = "server",
) -> dict[str, Any]:
    """What the table of options says of a field of `Config` beside its name, type and default."""
    return {"help": help, "choices": choices, "least": least, "most": most, "secret": secret, "side": side}


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. See the module's docstring for where values come from."""

    server: str = field(default="127.0.0.1:7171", metadata=_about("the server's gRPC address", side="client"))
    project: str = field(default="", metadata=_about("the project to work on", side="client"))
    token: str = field(default="", metadata=_about("access token", secret=True, side="client"))
    tls: bool = field(default=False, metadata=_about("speak TLS, trusting the usual roots", side="client"))
    tls_ca: Path | None = field(
        default=None, metadata=_about("PEM file of the roots to trust instead; speaks TLS", side="client")
    )
    timeout_seconds: float = field(
        default=60.0, metadata=_about("longest wait for one answer, retries included", least=0.1, side="client")
    )
    json: bool = field(default=False, metadata=_about("write JSON to standard output, for programs", side="client"))

    store: Path = field(default=Path("muster-store"), metadata=_about("folder that holds the projects"))
    listen: str = field(
        default="127.0.0.1:7171", metadata=_about("address of the gRPC services; port 0 takes a free one")
    )
    http_listen: str = field(
        default="127.0.0.1:7172", metadata=_about("address of the HTTP gateway; empty turns it off")
    )
    ready_file: Path | None = field(
        default=None, metadata=_about("file to write once the server serves: gRPC address, then HTTP address")
    )
    log_level: str = field(
        default="info", metadata=_about("least severity that is logged", choices=("debug", "info", "warning", "error"))
    )
    log_format: str = field(default="text", metadata=_about("how log lines look", choices=("text", "json")))

    token_file: Path | None = field(
        default=None,
        metadata=_about(
            "file of access tokens, `TOKEN NAME [PROJECT,…]` a line; without one only loopback addresses are served, "
            "and commands use its first token",
            side="both",
        ),
    )
    tls_cert: Path | None = field(
        default=None, metadata=_about("PEM file of the certificate chain; read again when it changes")
    )
    tls_key: Path | None = field(default=None, metadata=_about("PEM file of the certificate's private key"))

    max_message_bytes: int = field(default=32 * 1024 * 1024, metadata=_about("largest request taken", least=65_536))
    threads: int = field(default=8, metadata=_about("threads for reads and other blocking work", least=1))
    max_waiting: int = field(
        default=1_000, metadata=_about("blocking calls that may wait for a thread before new ones are refused", least=1)
    )
    stop_grace_seconds: float = field(
        default=10.0, metadata=_about("how long running calls may take to end at shutdown", least=0)
    )

    group_records: int = field(
        default=20_000, metadata=_about("about how many records share one durable commit", least=1)
    )
    queue_records: int = field(
        default=1_000_000,
        metadata=_about("how many records may wait for a commit before requests are refused", least=1),
    )
    checkpoint_seconds: float = field(
        default=300.0, metadata=_about("longest time between checkpoints of a store that changes", least=0.1)
    )
    checkpoint_bytes: int = field(
        default=64 << 20, metadata=_about("log bytes after which a checkpoint is made", least=4_096)
    )
    horizon_days: float = field(default=30.0, metadata=_about("how long old checkpoints and log are kept", least=0))
    store_bytes: int = field(
        default=0,
        metadata=_about(
            "most disk that a project's store may take before its oldest history goes, sooner than the horizon; "
            "0: no bound",
            least=0,
        ),
    )
    lease_seconds: float = field(
        default=30.0, metadata=_about("how long a batch offered to a worker stays its own unbegun", least=1)
    )

    smtp_host: str = field(
        default="", metadata=_about("SMTP server of the email worker; empty: the server embeds none")
    )
    smtp_port: int = field(default=587, metadata=_about("its port", least=1, most=65_535))
    smtp_security: str = field(
        default="starttls", metadata=_about("how the connection is secured", choices=("plain", "starttls", "tls"))
    )
    smtp_user: str = field(default="", metadata=_about("user name; empty: no authentication"))
    smtp_password_file: Path | None = field(default=None, metadata=_about("file that holds the password"))
    smtp_ca_file: Path | None = field(
        default=None, metadata=_about("PEM file of the roots to trust instead of the system's")
    )
    smtp_verify_certificate: bool = field(
        default=True, metadata=_about("check the SMTP server's certificate; without, anybody can pass for the server")
    )
    smtp_local_hostname: str = field(
        default="", metadata=_about("name by which this machine greets the SMTP server; empty: its own")
    )
    smtp_message_id_domain: str = field(
        default="", metadata=_about("domain of the mails' Message-IDs; empty: the sender's")
    )
    smtp_provider: str = field(
        default="",
        metadata=_about(
            "whose relay the SMTP server is, so that its callbacks name each mail's hand-off",
            choices=("", "ses", "sendgrid", "postmark", "mailgun"),
        ),
    )
    smtp_return_path: str = field(
        default="", metadata=_about("address that bounces of mails go to; empty: the sender's")
    )
    smtp_verp: bool = field(
        default=False, metadata=_about("put each hand-off's key into that address: bounces+KEY@example.com")
    )
    smtp_dkim_domain: str = field(default="", metadata=_about("domain that signs mails by DKIM; empty: none does"))
    smtp_dkim_selector: str = field(default="", metadata=_about("name of its key in the DNS"))
    smtp_dkim_key_file: Path | None = field(default=None, metadata=_about("PEM file of its RSA private key"))
    smtp_connections: int = field(default=8, metadata=_about("most SMTP connections at once", least=1))
    smtp_connect_timeout_seconds: float = field(
        default=10.0, metadata=_about("longest wait for connecting, and for each step of greeting and login", least=0.1)
    )
    smtp_command_timeout_seconds: float = field(
        default=30.0, metadata=_about("longest wait for a reply before a mail is handed over", least=0.1)
    )
    smtp_final_timeout_seconds: float = field(
        default=300.0,
        metadata=_about("longest wait for the reply to a mail handed over; then it is ambiguous", least=0.1),
    )
    smtp_attempts: int = field(
        default=8, metadata=_about("tries at a mail that is refused for now or cut off", least=1)
    )
    smtp_longest_wait_seconds: float = field(
        default=30.0,
        metadata=_about(
            "longest wait between tries, which grow from half a second; 8 tries take half a minute", least=0.5
        ),
    )
    webhook: bool = field(default=False, metadata=_about("run the embedded webhook worker"))
    webhook_secret: str = field(
        default="",
        metadata=_about(
            "secret that signs webhook requests (`whsec_…`); several with commas between them each sign, the present "
            "one first",
            secret=True,
        ),
    )
    webhook_connections: int = field(default=32, metadata=_about("most webhook requests at once", least=1))
    webhook_connect_timeout_seconds: float = field(
        default=10.0, metadata=_about("longest wait for a connection to the receiver", least=0.1)
    )
    webhook_timeout_seconds: float = field(
        default=30.0, metadata=_about("longest wait for the answer to one request", least=0.1)
    )
    webhook_attempts: int = field(
        default=8, metadata=_about("tries at a request that times out or is refused for now", least=1)
    )
    webhook_longest_wait_seconds: float = field(
        default=30.0,
        metadata=_about(
            "longest wait between tries, which grow from half a second; 8 tries take half a minute", least=0.5
        ),
    )
    webhook_proxy: str = field(default="", metadata=_about("URL of an HTTP proxy to the receivers"))
    sms_provider: str = field(
        default="",
        metadata=_about(
            "who carries text messages; empty: the server embeds no worker", choices=("", "twilio", "http")
        ),
    )
    sms_from: str = field(default="", metadata=_about("sender of text messages that name none"))
    sms_url: str = field(
        default="",
        metadata=_about(
            "`http`: where each text message is posted, with {to}, {from}, {text} and {key} in it or in the body; "
            "`twilio`: its API, where it is not the usual one"
        ),
    )
    sms_account: str = field(default="", metadata=_about("Twilio's account SID, `AC…`"))
    sms_user: str = field(
        default="", metadata=_about("SID of a Twilio API key, `SK…`; empty: the account's auth token")
    )
    sms_secret_file: Path | None = field(
        default=None,
        metadata=_about("file of Twilio's auth token or API secret; `http`: of the Authorization header's value"),
    )
    sms_body: str = field(
        default="", metadata=_about("`http`: the body; empty: JSON of to, from, text and key, as texts")
    )
    sms_form: bool = field(default=False, metadata=_about("`http`: the body is a form, not JSON"))
    sms_idempotent: bool = field(
        default=False,
        metadata=_about("`http`: the provider drops a repeated Idempotency-Key, so an uncertain call is made again"),
    )
    sms_connections: int = field(default=16, metadata=_about("most text messages on their way at once", least=1))
    sms_connect_timeout_seconds: float = field(
        default=10.0, metadata=_about("longest wait for a connection to the provider", least=0.1)
    )
    sms_timeout_seconds: float = field(
        default=30.0, metadata=_about("longest wait for the answer; then it is ambiguous", least=0.1)
    )
    sms_attempts: int = field(default=8, metadata=_about("tries at a text message that is refused for now", least=1))
    sms_longest_wait_seconds: float = field(
        default=30.0, metadata=_about("longest wait between tries, which grow from half a second", least=0.5)
    )
    sms_proxy: str = field(default="", metadata=_about("URL of an HTTP proxy to the provider"))
    push_fcm_account_file: Path | None = field(
        default=None,
        metadata=_about("key file of the Google service account that sends to Android; without one nobody does"),
    )
    push_fcm_url: str = field(default="", metadata=_about("FCM's API, where it is not the usual one"))
    push_apns_key_file: Path | None = field(
        default=None, metadata=_about("APNs auth key, `.p8`, that sends to Apple's devices; without one nobody does")
    )
    push_apns_key_id: str = field(default="", metadata=_about("id of that key, ten letters and digits"))
    push_apns_team_id: str = field(default="", metadata=_about("id of the developer's team, ten letters and digits"))
    push_apns_topic: str = field(default="", metadata=_about("the app's bundle id"))
    push_apns_url: str = field(
        default="",
        metadata=_about("APNs, where it is not the usual one; https://api.sandbox.push.apple.com for development"),
    )
    push_ca_file: Path | None = field(
        default=None, metadata=_about("PEM file of the certificates to trust in place of the system's")
    )
    push_connections: int = field(default=64, metadata=_about("most push notifications on their way at once", least=1))
    push_connect_timeout_seconds: float = field(
        default=10.0, metadata=_about("longest wait for a connection to FCM or APNs", least=0.1)
    )
    push_timeout_seconds: float = field(
        default=30.0, metadata=_about("longest wait for the answer; then it is ambiguous", least=0.1)
    )
    push_attempts: int = field(default=8, metadata=_about("tries at a notification that is refused for now", least=1))
    push_longest_wait_seconds: float = field(
        default=60.0, metadata=_about("longest wait between tries, which grow from half a second", least=0.5)
    )
    push_proxy: str = field(default="", metadata=_about("URL of an HTTP proxy to FCM and APNs"))
    callbacks_listen: str = field(
        default="",
        metadata=_about(
            "address that workers listen on for providers' callbacks, such as 127.0.0.1:7180; empty: for none"
        ),
    )
    callbacks_url: str = field(
        default="", metadata=_about("URL by which providers reach it; empty: http:// and the address")
    )
    callbacks_ses_topics: str = field(
        default="", metadata=_about("ARNs of the SNS topics that SES publishes to, with commas between them")
    )
    callbacks_sns_certificate: Path | None = field(
        default=None,
        metadata=_about("PEM file of the certificate that signs SNS's messages; empty: fetched from SNS when needed"),
    )
    callbacks_sendgrid_key: str = field(
        default="", metadata=_about("verification key of SendGrid's signed Event Webhook")
    )
    callbacks_postmark_file: Path | None = field(
        default=None, metadata=_about("file of `name:password`, by which Postmark's webhooks log in")
    )
    callbacks_mailgun_file: Path | None = field(default=None, metadata=_about("file of Mailgun's webhook signing key"))
    callbacks_twilio_file: Path | None = field(
        default=None,
        metadata=_about("file of the Twilio account's auth token, where --sms-secret-file is of an API key"),
    )
    callbacks_secret_file: Path | None = field(
        default=None, metadata=_about("file of the secret for callbacks in Muster's own words, at /feedback")
    )


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table of options.

    Arguments:
        name: the field of `Config`, which is also the TOML key.
        type: `str`, `int`, `float`, `bool` or `Path`.
        optional: whether it may be unset (None).
        default: its value where nothing says otherwise.
        help: one line.
        choices: the words allowed; empty: any.
        least, most: the least and the greatest number allowed, None: any.
        secret: must not be printed.
        side: who reads it.
    """

    name: str
    type: type
    optional: bool
    default: object
    help: str
    choices: tuple[str, ...]
    least: float | None
    most: float | None
    secret: bool
    side: Side

    @property
    def variable(self) -> str:
        """The environment variable, such as `MUSTER_HTTP_LISTEN`."""
        return ENV_PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The command line's flag, such as `--http-listen`."""
        return "--" + self.name.replace("_", "-")

    def convert(self, value: object, source: str) -> object:
        """The value as `Config` holds it.

        Arguments:
            value: a text from a variable or a flag, or a typed value from TOML.
            source: where it stands, for the error.

        Raises:
            InvalidInput: OPTION_VALUE, where it is no such value.
        """
        if value is None or (value == "" and self.optional):
            if self.optional:
                return None
            raise self._refusal("no value", source)
        converted = self._typed(value, source)
        if self.choices and converted not in self.choices:
            close = nearest(str(converted), self.choices)
            hint = f"; did you mean {close!r}?" if close else ""
            raise self._refusal(
                f"{converted!r} is none of the choices", source, f"one of {', '.join(self.choices)}{hint}"
            )
        if self.least is not None and isinstance(converted, int | float) and not converted >= self.least:
            raise self._refusal(f"{converted} is too small", source, f"at least {self.least:g}")
        if self.most is not None and isinstance(converted, int | float) and not converted <= self.most:
            raise self._refusal(f"{converted} is too large", source, f"at most {self.most:g}")
        return converted

    def _typed(self, value: object, source: str) -> object:
        if self.type is bool:
            if isinstance(value, bool):
                return value
            word = str(value).strip().lower()
            if word in _TRUE or word in _FALSE:
                return word in _TRUE
            raise self._refusal(f"{value!r} is neither true nor false", source, "true or false")
        if isinstance(value, bool) or (self.type is int and isinstance(value, float)):
            raise self._refusal(f"{value!r} does not fit", source)
        if self.type is Path:
            return Path(str(value)).expanduser()
        try:
            return self.type(value)
        except (TypeError, ValueError):
            raise self._refusal(f"{value!r} does not fit", source) from None

    def _refusal(self, message: str, source: str, mend: str = "") -> InvalidInput:
        return InvalidInput(message, field=source, mend=mend or _KINDS[self.type], code="OPTION_VALUE")


def _table() -> tuple[Option, ...]:
    hints = get_type_hints(Config)
    rows = []
    for item in fields(Config):
        hint = hints[item.name]
        kinds = [kind for kind in getattr(hint, "__args__", (hint,)) if kind is not type(None)]
        assert item.default is not MISSING
        rows.append(
            Option(
                item.name,
                kinds[0],
                item.default is None,
                item.default,
                item.metadata["help"],
                item.metadata["choices"],
                item.metadata["least"],
                item.metadata["most"],
                item.metadata["secret"],
                item.metadata["side"],
            )
        )
    return tuple(rows)


OPTIONS: Final = _table()
"""Every option, in the order of `Config`'s fields."""

_BY_NAME: Final = {option.name: option for option in OPTIONS}


def load(
    flags: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | str | None = None,
    serving: bool = True,
) -> Config:
    """Gather the configuration: default < TOML file < environment < flags, then check it as a whole.

    Arguments:
        flags: by option name, what the command line said; None values count as not said.
        environ: the environment; the process's own where it is not given.
        file: the TOML file; `MUSTER_CONFIG` where it is not given, none where that is unset too.
        serving: whether a server is to be run with it; a command need not stumble over the server's part.

    Raises:
        InvalidInput: CONFIG_UNREADABLE, OPTION_UNKNOWN (with the nearest name), OPTION_VALUE, and what `check` raises.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    path = file or environ.get(f"{ENV_PREFIX}CONFIG")
    if path:
        values.update(_from_file(Path(path)))
    for option in OPTIONS:
        if option.variable in environ:
            values[option.name] = option.convert(environ[option.variable], option.variable)
    for name, value in (flags or {}).items():
        if value is not None:
            option = _known(name, f"--{name}")
            values[name] = option.convert(value, option.flag)
    config = Config(**values)
    if serving:
        check(config)
    return config


def command_defaults(file: Path | str) -> Mapping[str, Any]:
    """The file's table `commands`, empty where it has none.

    Raises:
        InvalidInput: CONFIG_UNREADABLE, OPTION_VALUE.
    """
    table = _toml(Path(file)).get(COMMANDS_TABLE, {})
    if not isinstance(table, dict):
        raise InvalidInput(
            f"{COMMANDS_TABLE} is no table", field=str(file), mend="[commands.audience.count]", code="OPTION_VALUE"
        )
    return table


def _known(name: str, source: str) -> Option:
    option = _BY_NAME.get(name)
    if option is None:
        close = nearest(name, _BY_NAME)
        raise InvalidInput(
            f"there is no option {name!r}",
            field=source,
            mend=f"did you mean {close!r}?" if close else "see `muster serve --help`",
            code="OPTION_UNKNOWN",
        )
    return option


def _from_file(path: Path) -> dict[str, object]:
    table = {name: value for name, value in _toml(path).items() if name != COMMANDS_TABLE}
    return {name: _known(name, str(path)).convert(value, f"{path}: {name}") for name, value in table.items()}


def _toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise InvalidInput(
            f"the configuration cannot be read: {error.strerror}",
            field=str(path),
            mend="name a TOML file that this user may read",
            code="CONFIG_UNREADABLE",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"not TOML: {error}",
            field=str(path),
            mend='lines such as: project = "shop"',
            code="CONFIG_UNREADABLE",
        ) from error


def split_address(address: str, source: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or not port.isdecimal() or int(port) > 65_535 or (":" in bare and bare == host):
        raise InvalidInput(
            f"{address!r} is no address", field=source, mend="host:port, such as 127.0.0.1:7171", code="OPTION_VALUE"
        )
    return bare, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host: a loopback IP, or the name `localhost`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check(config: Config) -> None:
    """Refuse what each option allows but not all together.

    Raises:
        InvalidInput: LOOPBACK_ONLY (an address others can reach, without a token file), TLS_INCOMPLETE,
            OPTION_VALUE.
    """
    for option, address in (("listen", config.listen), ("http_listen", config.http_listen)):
        if not address and option == "http_listen":
            continue
        host, _ = split_address(address, option)
        if config.token_file is None and not is_loopback(host):
            raise InvalidInput(
                f"{address} can be reached from other machines, and there is no token file",
                field=option,
                mend="give --token-file (MUSTER_TOKEN_FILE), or listen on 127.0.0.1",
                code="LOOPBACK_ONLY",
            )
    if (config.tls_cert is None) != (config.tls_key is None):
        raise InvalidInput(
            "a certificate and its key belong together",
            field="tls_key" if config.tls_key is None else "tls_cert",
            mend="give both --tls-cert and --tls-key",
            code="TLS_INCOMPLETE",
        )
