"""The loops of the columnar path (core/render/columnar.py): columns of values made texts, and texts put together.

All of them hold the GIL: what they read and write are Python's own strings, which nothing else can make. A row that the
path cannot answer has FAILED as its value and None as its text; the row path says what is in its way.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyObject_RichCompare
from libc.math cimport fabs, llround
from libc.string cimport memcpy

from datetime import datetime

from core.render.absent import Absent
from core.values import ABSENT

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    int PyUnicode_CheckExact(PyObject* text) noexcept
    int PyUnicode_KIND(PyObject* text) noexcept
    void* PyUnicode_DATA(PyObject* text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject* text) noexcept
    Py_UCS4 PyUnicode_MAX_CHAR_VALUE(PyObject* text) noexcept
    Py_ssize_t PyUnicode_CopyCharacters(
        PyObject* to, Py_ssize_t at, PyObject* source, Py_ssize_t start, Py_ssize_t count
    ) except -1
    object PyUnicode_DecodeASCII(const char* text, Py_ssize_t size, const char* errors)
    PyObject* PyList_GET_ITEM(PyObject* list, Py_ssize_t at) noexcept

FAILED = object()

SHORT = 65_536
"""Characters of a string that no filter makes longer than a text may be."""

cdef object _failed = FAILED
cdef object _absent = ABSENT
cdef set _KEYS = {str, int, bool, float, datetime}


cdef class Known:
    """What a function gave for the values it saw: each distinct one is computed once.

    A value's type is part of its key, as 1, 1.0 and true are equal and print differently; so do 0.0 and -0.0, which
    are computed each time, as are lists and maps.
    """

    cdef object function
    cdef tuple errors
    cdef dict by_type
    cdef object failed

    def __init__(self, function, tuple errors, failed):
        self.function = function
        self.errors = errors
        self.by_type = {}
        self.failed = failed

    cdef object of(self, object value):
        cdef dict found
        cdef object kind = type(value)
        if kind not in _KEYS or (kind is float and value == 0.0):
            return self._computed(value)
        if kind not in self.by_type:
            self.by_type[kind] = {}
        found = <dict>self.by_type[kind]
        result = found.get(value, self)
        if result is self:
            result = found[value] = self._computed(value)
        return result

    cdef object _computed(self, object value):
        try:
            return self.function(value)
        except self.errors:
            return self.failed


def present(values not None, gone):
    """The values, `gone` in the place of each that is None or ABSENT: the list itself where there is no such value."""
    cdef Py_ssize_t place
    cdef PyObject* one
    if type(values) is list:
        for place in range(len(<list>values)):
            one = PyList_GET_ITEM(<PyObject*>values, place)
            if one == <PyObject*>None or one == <PyObject*>_absent:
                break
        else:
            return values
    return [gone if value is None or value is _absent else value for value in values]


def picked(list values not None, list places not None):
    """The values at some places."""
    cdef Py_ssize_t place
    cdef list found = []
    for place in places:
        found.append(values[place])
    return found


def parted(list answers not None):
    """The places of the rows whose answer is true, and of those for which it is not; FAILED ones are in neither."""
    cdef list taken = [], left = []
    cdef Py_ssize_t place
    for place in range(len(answers)):
        answer = answers[place]
        if answer is True or (answer is not _failed and answer is not False and answer):
            taken.append(place)
        elif answer is not _failed:
            left.append(place)
    return taken, left


def defaulted(list values not None, list others not None):
    """The values, the other in the place of each that is missing or null; FAILED where either is."""
    cdef list found = []
    cdef Py_ssize_t row
    for row in range(len(values)):
        value, other = values[row], others[row]
        found.append(other if value is None or other is _failed or type(value) is Absent else value)
    return found


def either(list values not None, list others not None, bint first_if):
    """`and` (first_if false) or `or` (true) of the rows' values."""
    cdef list found = []
    cdef Py_ssize_t row
    for row in range(len(values)):
        value = values[row]
        found.append(value if value is _failed or bool(value) is first_if else others[row])
    return found


def chosen(list tests not None, list values not None, list others not None):
    """The value where the test is true, else the other; FAILED where the test is."""
    cdef list found = []
    cdef Py_ssize_t row
    for row in range(len(tests)):
        test = tests[row]
        found.append(test if test is _failed else values[row] if test else others[row])
    return found


def compared(list values not None, other, int how, tuple errors not None):
    """Each value compared with one other by a sign of Python's (Py_EQ and so on), FAILED where that cannot be done."""
    cdef list found = []
    for value in values:
        if value is _failed:
            found.append(value)
            continue
        try:
            found.append(PyObject_RichCompare(value, other, how))
        except errors:
            found.append(_failed)
    return found


def contained(list values not None, within, bint negated, tuple errors not None):
    """Whether each value is among those of a list or text (negated: whether it is not), FAILED where that cannot be told."""
    cdef list found = []
    for value in values:
        if value is _failed:
            found.append(value)
            continue
        try:
            found.append((value in within) is not negated)
        except errors:
            found.append(_failed)
    return found


def put(list texts not None, list places not None, list found not None):
    """Write texts where they belong."""
    cdef Py_ssize_t row, place
    if len(places) != len(found):
        raise ValueError(f"{len(found)} texts for {len(places)} places")
    for row in range(len(places)):
        place = places[row]
        texts[place] = found[row]


def shaped(list values not None, of_string, otherwise, tuple errors not None):
    """A filter of texts: `of_string` for each string, for which it never fails, and `mapped` for the others."""
    cdef Known known = Known(otherwise, errors, _failed)
    cdef list found = []
    for value in values:
        if type(value) is str and PyUnicode_GET_LENGTH(<PyObject*>value) <= SHORT:
            found.append(of_string(value))
        else:
            found.append(value if value is _failed or type(value) is Absent else known.of(value))
    return found


def mapped(function, list values not None, tuple errors not None):
    """The function's result for each value, FAILED where the value is or the function raises one of `errors`."""
    cdef Known known = Known(function, errors, _failed)
    return [_failed if value is _failed else known.of(value) for value in values]


def zipped(function, list columns not None, tuple errors not None):
    """The function's result for each row of some columns of one length, FAILED as `mapped` has it."""
    cdef list found = []
    for row in zip(*columns):
        for value in row:
            if value is _failed:
                found.append(_failed)
                break
        else:
            try:
                found.append(function(*row))
            except errors:
                found.append(_failed)
    return found


cdef inline bint _is_plain_html(PyObject* text) noexcept:
    """Whether a string has none of the signs that HTML escapes."""
    cdef Py_ssize_t at, size = PyUnicode_GET_LENGTH(text)
    cdef int kind = PyUnicode_KIND(text)
    cdef void* data = PyUnicode_DATA(text)
    cdef Py_UCS4 sign
    for at in range(size):
        if kind == 1:
            sign = (<unsigned char*>data)[at]
        elif kind == 2:
            sign = (<unsigned short*>data)[at]
        else:
            sign = (<unsigned int*>data)[at]
        if sign <= 62 and (sign == 38 or sign == 60 or sign == 62 or sign == 34 or sign == 39):
            return False
    return True


cdef object _short_decimal(double value):
    """What `repr` writes for a double of up to three decimal places, and every printer with it; None for any other.

    Two decimals of at most 15 digits are never the same double, so that one of them that reads back as the double is
    the shortest that does.
    """
    cdef char digits[24]
    cdef long long thousandths, left
    cdef int at = 24, places = 3
    if not (0.001 <= fabs(value) < 1e11):
        return None
    thousandths = llround(value * 1000.0)
    if <double>thousandths / 1000.0 != value:
        return None
    left = -thousandths if thousandths < 0 else thousandths
    while places > 1 and left % 10 == 0:
        left //= 10
        places -= 1
    while left or places >= 0:
        at -= 1
        digits[at] = c"0" + <char>(left % 10)
        left //= 10
        places -= 1
        if places == 0:
            at -= 1
            digits[at] = c"."
    if thousandths < 0:
        at -= 1
        digits[at] = c"-"
    return PyUnicode_DecodeASCII(&digits[at], 24 - at, NULL)


def printed(list values not None, printer, tuple errors not None, *, bint verbatim, bint html):
    """Each value as text, None where it is missing, FAILED or has no text.

    Arguments:
        printer: one of core/render/printing.py.
        verbatim: a string's text is the string itself.
        html: a string's text is the string itself where it has no sign to escape.
    """
    cdef Known known = Known(printer, errors, None)
    cdef list found = []
    for value in values:
        kind = type(value)
        if kind is str and (verbatim or (html and _is_plain_html(<PyObject*>value))):
            found.append(value)
        elif kind is int:
            found.append(str(value))  # every printer writes it so, and this is faster than looking it up
        elif kind is float and (text := _short_decimal(value)) is not None:
            found.append(text)
        elif value is _failed or kind is Absent:
            found.append(None)
        else:
            found.append(known.of(value))
    return found


def assembled(list parts not None, Py_ssize_t rows, Py_ssize_t most):
    """The parts of each row one after the other.

    Arguments:
        parts: each a string that all rows have, or a list of one string, or None, a row.
        rows: how many there are.
        most: characters of a text.

    Returns:
        list[str | None], None where a part is or the whole is too long.
    """
    cdef Py_ssize_t width = len(parts), row, at, size, shared = 0, part
    cdef Py_UCS4 greatest, own, of_shared = 0
    cdef list found = [None] * rows
    cdef PyObject* piece
    cdef PyObject** columns = NULL
    cdef PyObject** pieces = NULL
    cdef object text
    cdef int kind
    for one in parts:
        if type(one) is list:
            if len(<list>one) != rows:
                raise ValueError(f"a column of {len(<list>one)} among {rows} rows")
        elif type(one) is str:
            shared += PyUnicode_GET_LENGTH(<PyObject*>one)
            of_shared = max(of_shared, PyUnicode_MAX_CHAR_VALUE(<PyObject*>one))
        else:
            raise TypeError("a part is a string or a list")
    columns = <PyObject**>PyMem_Malloc((2 * width + 1) * sizeof(PyObject*))
    if columns == NULL:
        raise MemoryError
    pieces = columns + width
    try:
        # Borrowed pointers: nothing below runs code that could change a list of the caller's.
        for part in range(width):
            one = parts[part]
            columns[part] = <PyObject*>one if type(one) is list else NULL
            pieces[part] = <PyObject*>one
        for row in range(rows):
            size, greatest = shared, of_shared
            for part in range(width):
                if columns[part] == NULL:
                    continue
                piece = PyList_GET_ITEM(columns[part], row)
                if not PyUnicode_CheckExact(piece):
                    size = -1
                    break
                pieces[part] = piece
                size += PyUnicode_GET_LENGTH(piece)
                own = PyUnicode_MAX_CHAR_VALUE(piece)
                if own > greatest:
                    greatest = own
            if size < 0 or size > most:
                continue
            if width == 1:  # a text that is one value is that value
                found[row] = <object>pieces[0]
                continue
            text = PyUnicode_New(size, greatest)
            kind = PyUnicode_KIND(<PyObject*>text)
            at = 0
            for part in range(width):
                piece = pieces[part]
                size = PyUnicode_GET_LENGTH(piece)
                if PyUnicode_KIND(piece) == kind:
                    memcpy(<char*>PyUnicode_DATA(<PyObject*>text) + at * kind, PyUnicode_DATA(piece), size * kind)
                elif size:
                    PyUnicode_CopyCharacters(<PyObject*>text, at, piece, 0, size)
                at += size
            found[row] = text
    finally:
        PyMem_Free(columns)
    return found
