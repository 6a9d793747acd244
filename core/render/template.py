"""Templates: compiled once, rendered in bulk.

The stages of a text: *scanned* (core/render/scan.py), *checked* (rules.py), *bound* (bind.py), and then one
generated Python function, run once a row with no other work; most texts have a program besides (columnar.py), which
renders a batch of rows at once and writes the same. `{{ ${User name} }}`, `{{ user["User name"] }}` and
`{{ user.name }}` read the profile; `event` is the event that caused the match, `message` and `project` say what
they are called, `distinct_id` is the user's id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar, cast

import jinja2
from jinja2 import nodes

from core.errors import InvalidTemplate
from core.render import rules
from core.render.batch import RenderBatch
from core.render.bind import bind
from core.render.columnar import ERRORS, Frame, Program, Texts, program_of
from core.render.complaints import reworded
from core.render.environment import PRINT, PRINT_JSON_TEXT, SANDBOX, RowContext
from core.render.json_body import places_in, require_json
from core.render.limits import MAX_OUTPUT
from core.render.printing import Escape, refuse_length
from core.render.reads import Reader, Reads, reads_of
from core.render.results import Missing, MissingProperty, RenderError, RenderFailed, RenderRow
from core.render.scan import Scanned, scan

T = TypeVar("T")
_Root = Callable[[RowContext], Iterator[str]]


class Template(Reader):
    """One compiled template. Immutable, and safe to use from several threads.

    Attributes:
        source: the author's text.
        field: the caller's name of it, such as `email.subject`.
        escape: what its result is.
        reads: what it reads of users and events.
        constant: its text, where that is the same for everybody; else None.
    """

    __slots__ = ("_finish", "_program", "_root", "constant", "escape", "field", "reads", "source")

    def __init__(
        self,
        source: str,
        field: str,
        escape: Escape,
        reads: Reads,
        root: _Root,
        program: Program | None,
        *,
        finish: Callable[[str], str] | None,
        fixed: bool,
    ) -> None:
        self.source = source
        self.field = field
        self.escape = escape
        self.reads = reads
        self._root = root
        self._program = program
        self._finish = finish
        self.constant: str | None = None
        if fixed:
            self.constant = self.render(RenderRow({}))

    def render(self, row: RenderRow) -> str:
        """The text for one user.

        Raises:
            MissingProperty: a value that the template needs is not there.
            RenderError: the values do not fit the template.
        """
        context = RowContext()
        context.turn_to(row)
        return self.render_in(context)

    def render_many(self, rows: Iterable[RenderRow]) -> list[str | Missing | RenderFailed]:
        """The text for each user, or why there is none, in the order of `rows`."""
        return render_rows(rows, self.render_in)

    def render_in(self, context: RowContext) -> str:
        """The text for the row that a context is turned to. Raises as `render` does."""
        if self.constant is not None:
            return self.constant
        pieces: list[str] = []
        size = 0
        try:
            for piece in self._root(context):
                size += len(piece)
                if size > MAX_OUTPUT:
                    refuse_length()
                pieces.append(piece)
            text = "".join(pieces)
            return text if self._finish is None else self._finish(text)
        except (MissingProperty, RenderError) as error:
            error.field = self.field
            raise
        except jinja2.UndefinedError as error:
            raise RenderError("a variable is used before it is set", field=self.field, code="VARIABLE_UNSET") from error
        except ERRORS as error:
            raise RenderError(
                "values of these types cannot be compared or counted", field=self.field, code="PROPERTY_TYPE"
            ) from error

    @property
    def is_fast(self) -> bool:
        """Whether many rows are rendered by columns, not one by one."""
        return self.constant is not None or self._program is not None

    def texts(self, frame: Frame) -> Texts:
        """The text of each row of a frame, for a fast template; None where only `render_in` can say what is wrong."""
        if self.constant is not None:
            return [self.constant] * frame.size
        assert self._program is not None
        found = self._program(frame)
        return found if self._finish is None else finished(found, self._finish)

    def render_batch(self, batch: RenderBatch) -> list[str | Missing | RenderFailed]:
        """What `render_many` gives for the rows of a batch, faster."""
        return render_columns(batch, self.is_fast, self.texts, self.render_in)


def compile_template(
    source: str, escape: Escape, *, field: str, finish: Callable[[str], str] | None = None
) -> Template:
    """Compile a template.

    Arguments:
        source: the author's text, at most MAX_SOURCE characters.
        escape: what the result is: HTML (values escaped for elements and quoted attributes), TEXT (values as they
            are), JSON (values as JSON, or as escaped text between the author's own quotes; the result is always
            valid JSON) or URL (values percent-encoded).
        field: the caller's name of it, for errors.
        finish: makes the final text of the rendered one, or raises RenderError: a part's own last rule.

    Raises:
        InvalidTemplate: TEMPLATE_SYNTAX, TEMPLATE_NOT_ALLOWED, TEMPLATE_TOO_COMPLEX, TEMPLATE_TOO_LARGE or
            TEMPLATE_JSON, with line, column and the mend.
    """
    scanned = scan(source, field=field)
    tree = _parse(scanned)
    rules.check(tree, scanned)
    reads = reads_of(tree)
    fixed = all(isinstance(child, nodes.TemplateData) for output in tree.body for child in _children(output))
    last = finish
    if escape is Escape.JSON:
        places = places_in(tree, scanned)
        if not places.fixed:
            last = require_json if finish is None else lambda text: require_json(finish(text))
        inside = places.inside
        program = program_of(tree, escape, inside)
        bound = bind(tree, lambda child: PRINT_JSON_TEXT if id(child) in inside else PRINT[escape])
    else:
        program = program_of(tree, escape)
        bound = bind(tree, lambda child: PRINT[escape])
    try:
        return Template(source, field, escape, reads, _generate(bound, scanned), program, finish=last, fixed=fixed)
    except RenderError as error:  # a text without any value in it that fails its own last rule
        raise InvalidTemplate(error.message, field=field, mend=error.mend, code=error.code) from error


def render_rows(rows: Iterable[RenderRow], render: Callable[[RowContext], T]) -> list[T | Missing | RenderFailed]:
    """Render every row with one context, turning what `render` raises for a row into that row's outcome.

    Arguments:
        rows: one for each user.
        render: gives the result for the row that the context is turned to; raises MissingProperty or RenderError.
    """
    context = RowContext()
    found: list[T | Missing | RenderFailed] = []
    for row in rows:
        context.turn_to(row)
        try:
            found.append(render(context))
        except MissingProperty as error:
            found.append(Missing(error.property, error.path, error.source, error.field))
        except RenderError as error:
            found.append(RenderFailed(error.code, error.message, error.field))
    return found


def finished(texts: Texts, finish: Callable[[str], str]) -> Texts:
    """Each text after its last rule, None where that refuses it. A text that repeats is looked at once."""
    known: dict[str | None, str | None] = {None: None}
    for text in texts:
        if text is not None and text not in known:
            try:
                known[text] = finish(text)
            except ERRORS:
                known[text] = None
    return [known[text] for text in texts]


def render_columns(
    batch: RenderBatch, is_fast: bool, columns: Callable[[Frame], Sequence[T | None]], render: Callable[[RowContext], T]
) -> list[T | Missing | RenderFailed]:
    """Render every row of a batch: by columns, and row by row what these leave open.

    Arguments:
        is_fast: whether `columns` may be asked.
        columns: gives each row's result, or None.
        render: gives one row's result, as in `render_rows`.
    """
    if not is_fast:
        return render_rows((batch.row(place) for place in range(len(batch))), render)
    found: list[T | Missing | RenderFailed | None] = [*columns(Frame(batch))]
    open_rows = [place for place, result in enumerate(found) if result is None]
    outcomes = render_rows((batch.row(place) for place in open_rows), render)
    for place, outcome in zip(open_rows, outcomes, strict=True):
        found[place] = outcome
    return cast("list[T | Missing | RenderFailed]", found)


def _children(node: nodes.Node) -> list[nodes.Expr]:
    """The outputs of a statement; one that is no plain output stands for itself, as nothing fixed."""
    return node.nodes if isinstance(node, nodes.Output) else [cast(nodes.Expr, node)]


def _parse(scanned: Scanned) -> nodes.Template:
    try:
        return SANDBOX.parse(scanned.text)
    except jinja2.TemplateSyntaxError as error:
        _refuse_syntax(scanned, error)
    except RecursionError:
        _refuse_complexity(scanned)


def _generate(tree: nodes.Template, scanned: Scanned) -> _Root:
    """The generated function of a bound tree."""
    try:
        code = SANDBOX.compile(tree)
        template: Any = jinja2.Template.from_code(SANDBOX, code, {})
    except jinja2.TemplateSyntaxError as error:
        _refuse_syntax(scanned, error)
    except (RecursionError, SyntaxError, MemoryError):  # bounds of Python's own compiler
        _refuse_complexity(scanned)
    return cast(_Root, template.root_render_func)


def _refuse_syntax(scanned: Scanned, error: jinja2.TemplateSyntaxError) -> NoReturn:
    message, mend = reworded(error.message or "")
    scanned.refuse(error.lineno, message, mend=mend, code="TEMPLATE_SYNTAX")


def _refuse_complexity(scanned: Scanned) -> NoReturn:
    raise InvalidTemplate(
        "a template too complex to compile", field=scanned.field, mend="split it", code="TEMPLATE_TOO_COMPLEX"
    ) from None
