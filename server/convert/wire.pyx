"""Reads the wire bytes of events and profile updates into columns, without an object per record.

Only what is plainly good is taken: each field once, in its shortest spelling, values that are null, bool, number,
string or timestamp and within all limits of core/profiles/validate.py. Any other record is left to the official decoder
(server/convert/batches.py), and so is the whole request where something is odd outside its records. So this decoder
refuses nothing and needs no words for errors. Its twin is the official decoder with server/convert/records.py;
tests/server/convert/test_wire.py compares them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy

import secrets

import numpy as np

from core.bitmaps.siphash cimport siphash13

from core.profiles.batch import UNTIMED, ChangeBatch, EventBatch
from core.profiles.records import MAX_BATCH, MAX_ID_BYTES, MAX_PROPERTIES, MAX_PROPERTIES_PER_EVENT, OPERATIONS, Operation
from core.values import MAX_NAME_BYTES, MAX_STRING_BYTES, MAX_MICROS, MIN_MICROS, MICROS_PER_SECOND, ValueType

cdef uint64_t MOST_ID = MAX_ID_BYTES, MOST_NAME = MAX_NAME_BYTES, MOST_STRING = MAX_STRING_BYTES
cdef uint32_t MOST_OF_EVENT = MAX_PROPERTIES_PER_EVENT, MOST_OF_CHANGE = MAX_PROPERTIES
cdef int64_t FIRST_SECOND = MIN_MICROS // MICROS_PER_SECOND, LAST_SECOND = MAX_MICROS // MICROS_PER_SECOND
cdef int64_t NO_TIME = UNTIMED
cdef uint8_t T_NULL = ValueType.NULL, T_BOOL = ValueType.BOOL, T_INT = ValueType.INT, T_DOUBLE = ValueType.DOUBLE
cdef uint8_t T_STRING = ValueType.STRING, T_TIMESTAMP = ValueType.TIMESTAMP, T_ABSENT = ValueType.ABSENT
cdef uint8_t[11] OPERATION_OF  # by field number of ProfileUpdate
cdef uint8_t ADD = OPERATIONS.index(Operation.ADD), MERGE = OPERATIONS.index(Operation.MERGE)
cdef uint8_t UNSET = OPERATIONS.index(Operation.UNSET), DELETE = OPERATIONS.index(Operation.DELETE)
for _number, _operation in enumerate(
    ("set", "set_once", "add", "append", "union", "remove", "unset", "merge", "delete"), 2
):
    OPERATION_OF[_number] = OPERATIONS.index(_operation)
# Names are hashed under a key of this process, so that nobody can send names that all fall into one slot.
cdef uint64_t KEY0 = secrets.randbits(64), KEY1 = secrets.randbits(64)

cdef struct span:
    const uint8_t* at
    const uint8_t* end

cdef struct name_t:
    const uint8_t* text  # in the request
    uint64_t hashed
    uint32_t size, group, seen, cells  # seen: the record, from 1, that has it already

cdef struct row_t:
    int64_t time
    uint32_t place, name, id_start, insert_start
    uint8_t id_size, insert_size, operation

cdef struct cell_t:
    int64_t data
    uint32_t row, column
    uint8_t tag

cdef struct rest_t:
    uint64_t start, end  # of the field in the request, its tag included
    uint32_t place

cdef enum:
    BAD, GOOD, NO_MEMORY  # what reading a record came to


cdef bint _grow(void** items, uint64_t count, uint64_t* room, uint64_t size) noexcept nogil:
    """Room for one more of `size` bytes. False where there is no memory."""
    cdef void* grown
    if count < room[0]:
        return True
    grown = realloc(items[0], max(64, room[0] * 2) * size)
    if grown == NULL:
        return False
    items[0] = grown
    room[0] = max(64, room[0] * 2)
    return True


cdef struct names_t:
    name_t* items
    uint32_t* slots  # open addressing: place in items + 1, 0 where free
    uint64_t count, room, slot_count


cdef bint _rehash(names_t* names) noexcept nogil:
    cdef uint64_t count = max(64, names.slot_count * 2), place, at
    cdef uint32_t* slots = <uint32_t*>calloc(count, sizeof(uint32_t))
    if slots == NULL:
        return False
    for place in range(names.count):
        at = names.items[place].hashed & (count - 1)
        while slots[at]:
            at = (at + 1) & (count - 1)
        slots[at] = <uint32_t>(place + 1)
    free(names.slots)
    names.slots, names.slot_count = slots, count
    return True


cdef int _name_of(names_t* names, uint32_t group, span text, uint32_t* code) noexcept nogil:
    """The place of a name within a group, a new one where it is good."""
    cdef uint64_t size = text.end - text.at
    cdef uint64_t hashed, at
    cdef name_t* item
    if size == 0 or size > MOST_NAME:
        return BAD
    hashed = siphash13(text.at, size, KEY0, KEY1 ^ group)
    if names.slot_count:
        at = hashed & (names.slot_count - 1)
        while names.slots[at]:
            item = &names.items[names.slots[at] - 1]
            if (
                item.hashed == hashed
                and item.group == group
                and item.size == size
                and memcmp(item.text, text.at, size) == 0
            ):
                code[0] = names.slots[at] - 1
                return GOOD
            at = (at + 1) & (names.slot_count - 1)
    if not is_utf8(text.at, text.end):
        return BAD
    if 2 * names.count >= names.slot_count and not _rehash(names):
        return NO_MEMORY
    if not _grow(<void**>&names.items, names.count, &names.room, sizeof(name_t)):
        return NO_MEMORY
    item = &names.items[names.count]
    item.text, item.hashed, item.size, item.group, item.seen, item.cells = text.at, hashed, <uint32_t>size, group, 0, 0
    code[0] = <uint32_t>names.count
    names.count += 1
    at = hashed & (names.slot_count - 1)
    while names.slots[at]:
        at = (at + 1) & (names.slot_count - 1)
    names.slots[at] = <uint32_t>names.count
    return GOOD


cdef bint is_utf8(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Whether the bytes are UTF-8 as the Unicode standard (table 3-7) has it: shortest form, no surrogates."""
    cdef uint64_t word
    cdef uint8_t first, low, high
    cdef int more
    while at < end:
        if end - at >= 8:
            memcpy(&word, at, 8)
            if not word & 0x8080808080808080u:
                at += 8
                continue
        first = at[0]
        at += 1
        if first < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= first <= 0xDF:
            more = 1
        elif 0xE0 <= first <= 0xEF:
            more = 2
            if first == 0xE0:
                low = 0xA0
            elif first == 0xED:
                high = 0x9F
        elif 0xF0 <= first <= 0xF4:
            more = 3
            if first == 0xF0:
                low = 0x90
            elif first == 0xF4:
                high = 0x8F
        else:
            return False
        if end - at < more or not low <= at[0] <= high:
            return False
        at += 1
        while more > 1:
            if at[0] & 0xC0 != 0x80:
                return False
            at += 1
            more -= 1
    return True


cdef inline bint _varint(span* left, uint64_t* value) noexcept nogil:
    """Take a varint of at most ten bytes. False where there is none."""
    cdef uint64_t found = 0
    cdef int shift = 0
    cdef uint8_t byte
    while left.at < left.end and shift < 70:
        byte = left.at[0]
        left.at += 1
        if shift == 63 and byte > 1:
            return False
        found |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            value[0] = found
            return True
        shift += 7
    return False


cdef inline bint _field(span* left, span* content) noexcept nogil:
    """Take a length and so many bytes. False where they are not all there."""
    cdef uint64_t size
    if not _varint(left, &size) or size > <uint64_t>(left.end - left.at):
        return False
    content.at, content.end = left.at, left.at + size
    left.at += size
    return True


cdef bint _time(span left, int64_t* micros) noexcept nogil:
    """A google.protobuf.Timestamp in the years 1 to 9999."""
    cdef uint64_t value
    cdef int64_t seconds = 0, nanos = 0
    cdef int seen = 0
    cdef uint8_t tag
    while left.at < left.end:
        tag = left.at[0]
        left.at += 1
        if not _varint(&left, &value):
            return False
        if tag == 0x08 and not seen & 1:
            seconds = <int64_t>value
            seen |= 1
        elif tag == 0x10 and not seen & 2 and value < 1_000_000_000u:
            nanos = <int64_t>value
            seen |= 2
        else:
            return False
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        return False
    micros[0] = seconds * 1_000_000 + nanos // 1_000
    return True


cdef class Reader:
    """Gathers the rows and cells of one request."""

    cdef const uint8_t* _base
    cdef char* _heap  # the texts of rows and cells; never more than the request's bytes
    cdef uint64_t _heap_size
    cdef row_t* _rows
    cdef uint64_t _row_count, _row_room
    cdef cell_t* _cells
    cdef uint64_t _cell_count, _cell_room
    cdef rest_t* _rest
    cdef uint64_t _rest_count, _rest_room
    cdef names_t _names  # of events
    cdef names_t _columns  # of properties, by the event's name
    cdef uint32_t _records

    def __dealloc__(self):
        free(self._heap)
        free(self._rows)
        free(self._cells)
        free(self._rest)
        free(self._names.items)
        free(self._names.slots)
        free(self._columns.items)
        free(self._columns.slots)

    cdef int _start(self, const uint8_t* base, uint64_t size) except -1:
        self._base = base
        self._heap = <char*>malloc(max(1, size))
        if self._heap == NULL:
            raise MemoryError
        return 0

    cdef uint32_t _keep(self, span text) noexcept nogil:
        """Copy a text to the heap. Each byte of a request is kept at most once, so there is room."""
        cdef uint64_t start = self._heap_size, size = text.end - text.at
        memcpy(self._heap + start, text.at, size)
        self._heap_size += size
        return <uint32_t>start

    cdef int _cell(self, uint32_t column, uint8_t tag, int64_t data) noexcept nogil:
        """Put a cell of the row at work."""
        cdef name_t* name = &self._columns.items[column]
        cdef cell_t* cell
        if name.seen == self._records + 1:
            return BAD  # sent twice: the official decoder knows which counts
        if not _grow(<void**>&self._cells, self._cell_count, &self._cell_room, sizeof(cell_t)):
            return NO_MEMORY
        name.seen = self._records + 1
        cell = &self._cells[self._cell_count]
        cell.row, cell.column, cell.tag, cell.data = <uint32_t>self._row_count, column, tag, data
        self._cell_count += 1
        return GOOD

    cdef int _property(self, span entry, uint32_t group, bint numbers) noexcept nogil:
        """One entry of a map of properties."""
        cdef span key, left, text
        cdef uint32_t column
        cdef uint64_t value
        cdef uint8_t tag
        cdef int64_t data = 0
        cdef double number
        cdef int found
        if entry.at == entry.end or entry.at[0] != 0x0A:
            return BAD
        entry.at += 1
        if not _field(&entry, &key) or entry.at == entry.end or entry.at[0] != 0x12:
            return BAD
        entry.at += 1
        if not _field(&entry, &left) or entry.at != entry.end or left.at == left.end:
            return BAD
        found = _name_of(&self._columns, group, key, &column)
        if found != GOOD:
            return found
        tag = left.at[0]
        left.at += 1
        if tag == 0x2A:
            if not _field(&left, &text) or left.at != left.end:
                return BAD
            value = text.end - text.at
            if numbers or value > MOST_STRING or not is_utf8(text.at, text.end):
                return BAD
            return self._cell(column, T_STRING, <int64_t>(<uint64_t>self._keep(text) << 32 | value))
        if tag == 0x21:
            if left.end - left.at != 8:
                return BAD
            memcpy(&number, left.at, 8)
            if not isfinite(number):
                return BAD
            memcpy(&data, left.at, 8)
            return self._cell(column, T_DOUBLE, data)
        if tag == 0x18:
            if not _varint(&left, &value) or left.at != left.end:
                return BAD
            return self._cell(column, T_INT, <int64_t>(value >> 1) ^ -<int64_t>(value & 1))
        if numbers:
            return BAD
        if tag == 0x10:
            if not _varint(&left, &value) or left.at != left.end or value > 1:
                return BAD
            return self._cell(column, T_BOOL, <int64_t>value)
        if tag == 0x32:
            if not _field(&left, &text) or left.at != left.end or not _time(text, &data):
                return BAD
            return self._cell(column, T_TIMESTAMP, data)
        if tag == 0x08:
            if not _varint(&left, &value) or left.at != left.end or value:
                return BAD
            return self._cell(column, T_NULL, 0)
        return BAD

    cdef int _row(self, span sent_id) noexcept nogil:
        """Begin a row. Its id is checked here."""
        cdef uint64_t size = sent_id.end - sent_id.at
        cdef row_t* row
        if size == 0 or size > MOST_ID or not is_utf8(sent_id.at, sent_id.end):
            return BAD
        if not _grow(<void**>&self._rows, self._row_count, &self._row_room, sizeof(row_t)):
            return NO_MEMORY
        row = &self._rows[self._row_count]
        row.id_start, row.id_size = self._keep(sent_id), <uint8_t>size
        row.insert_start, row.insert_size = 0, 0
        row.place, row.name, row.time, row.operation = self._records, 0, NO_TIME, 0
        return GOOD

    cdef int _event(self, span record) noexcept nogil:
        cdef span name, sent_id, time, insert_id, left = record, content
        cdef row_t* row
        cdef uint32_t count = 0, group
        cdef uint8_t tag
        cdef int found
        name.at = sent_id.at = time.at = insert_id.at = NULL
        while left.at < left.end:
            tag = left.at[0]
            left.at += 1
            if not _field(&left, &content):
                return BAD
            if tag == 0x2A:
                count += 1
            elif tag == 0x0A and name.at == NULL:
                name = content
            elif tag == 0x12 and sent_id.at == NULL:
                sent_id = content
            elif tag == 0x1A and time.at == NULL:
                time = content
            elif tag == 0x22 and insert_id.at == NULL:
                insert_id = content
            else:
                return BAD
        if count > MOST_OF_EVENT or name.at == NULL or sent_id.at == NULL:
            return BAD
        found = _name_of(&self._names, 0, name, &group)
        if found == GOOD:
            found = self._row(sent_id)
        if found != GOOD:
            return found
        row = &self._rows[self._row_count]
        row.name = group
        if time.at != NULL and not _time(time, &row.time):
            return BAD
        if insert_id.at != NULL:
            if insert_id.end - insert_id.at > <int64_t>MOST_ID or not is_utf8(insert_id.at, insert_id.end):
                return BAD
            row.insert_size = <uint8_t>(insert_id.end - insert_id.at)
            row.insert_start = self._keep(insert_id)
        left = record
        while left.at < left.end:
            tag = left.at[0]
            left.at += 1
            _field(&left, &content)
            if tag == 0x2A:
                found = self._property(content, group, False)
                if found != GOOD:
                    return found
        return GOOD

    cdef int _change(self, span record) noexcept nogil:
        cdef span sent_id, operation, left = record, content
        cdef uint32_t count = 0, column
        cdef uint8_t tag, kind = 0
        cdef int found
        sent_id.at = operation.at = NULL
        while left.at < left.end:
            tag = left.at[0]
            left.at += 1
            if not _field(&left, &content):
                return BAD
            if tag == 0x0A and sent_id.at == NULL:
                sent_id = content
            elif tag & 7 == 2 and 2 <= tag >> 3 <= 10 and operation.at == NULL:
                operation = content
                kind = OPERATION_OF[tag >> 3]
            else:
                return BAD
        if sent_id.at == NULL or operation.at == NULL or kind == MERGE:
            return BAD  # what is merged are maps
        found = self._row(sent_id)
        if found != GOOD:
            return found
        self._rows[self._row_count].operation = kind
        if kind == DELETE:
            return GOOD if operation.at == operation.end else BAD
        while operation.at < operation.end:
            tag = operation.at[0]
            operation.at += 1
            count += 1
            if tag != 0x0A or not _field(&operation, &content) or (kind != UNSET and count > MOST_OF_CHANGE):
                return BAD
            if kind == UNSET:
                found = _name_of(&self._columns, 0, content, &column)
                if found == GOOD:
                    found = self._cell(column, T_ABSENT, 0)
            else:
                found = self._property(content, 0, kind == ADD)
            if found != GOOD:
                return found
        return GOOD

    cdef int take(self, const uint8_t* field, span record, bint is_event) noexcept nogil:
        """Read a record, or put it to the rest. Returns GOOD or NO_MEMORY."""
        cdef uint64_t cells = self._cell_count, heap = self._heap_size, cell
        cdef rest_t* rest
        cdef int found = self._event(record) if is_event else self._change(record)
        if found == GOOD:
            for cell in range(cells, self._cell_count):
                self._columns.items[self._cells[cell].column].cells += 1
            self._row_count += 1
        elif found == BAD:
            self._cell_count, self._heap_size = cells, heap
            if not _grow(<void**>&self._rest, self._rest_count, &self._rest_room, sizeof(rest_t)):
                return NO_MEMORY
            rest = &self._rest[self._rest_count]
            rest.place, rest.start, rest.end = self._records, field - self._base, record.end - self._base
            self._rest_count += 1
        self._records += 1
        return NO_MEMORY if found == NO_MEMORY else GOOD

    def rest(self):
        """Spans of the fields that were not taken, and the places of their records."""
        cdef uint64_t item
        return (
            [(self._rest[item].start, self._rest[item].end) for item in range(self._rest_count)],
            [self._rest[item].place for item in range(self._rest_count)],
        )

    cdef _columns_of(self):
        """Names, groups and ends of the columns that have cells; then rows, tags and data of all cells."""
        cdef uint64_t count = self._cell_count, item, place
        rows, tags, data = np.empty(count, np.uint32), np.empty(count, np.uint8), np.empty(count, np.int64)
        cdef uint32_t[::1] row_cells = rows
        cdef uint8_t[::1] tag_cells = tags
        cdef int64_t[::1] data_cells = data
        cdef name_t* name
        cdef cell_t* cell
        cdef uint64_t end = 0
        names, groups, ends = [], [], []
        for item in range(self._columns.count):
            name = &self._columns.items[item]
            if name.cells:
                names.append(PyUnicode_DecodeUTF8(<char*>name.text, name.size, NULL))
                groups.append(name.group)
            place = name.cells
            name.cells = <uint32_t>end  # from here on: where its next cell goes
            end += place
            if place:
                ends.append(end)
        with nogil:
            for item in range(count):
                cell = &self._cells[item]
                name = &self._columns.items[cell.column]
                place = name.cells
                name.cells += 1
                row_cells[place], tag_cells[place], data_cells[place] = cell.row, cell.tag, cell.data
        return names, np.array(groups, np.uint16), np.array(ends, np.uint32), rows, tags, data

    cdef _ids_of(self):
        """Starts and lengths of the rows' ids, and the rows' places in the request."""
        cdef uint64_t count = self._row_count, item
        starts, lengths, places = np.empty(count, np.uint32), np.empty(count, np.uint8), np.empty(count, np.uint32)
        cdef uint32_t[::1] start_cells = starts, place_cells = places
        cdef uint8_t[::1] length_cells = lengths
        for item in range(count):
            start_cells[item], length_cells[item] = self._rows[item].id_start, self._rows[item].id_size
            place_cells[item] = self._rows[item].place
        return starts, lengths, places

    def events(self):
        """The rows as EventBatch, and their places."""
        cdef uint64_t count = self._row_count, item
        kinds, times = np.empty(count, np.uint16), np.empty(count, np.int64)
        starts, lengths = np.empty(count, np.uint32), np.empty(count, np.uint8)
        cdef uint16_t[::1] kind_cells = kinds
        cdef int64_t[::1] time_cells = times
        cdef uint32_t[::1] start_cells = starts
        cdef uint8_t[::1] length_cells = lengths
        cdef row_t* row
        for item in range(count):
            row = &self._rows[item]
            kind_cells[item], time_cells[item] = <uint16_t>row.name, row.time
            start_cells[item], length_cells[item] = row.insert_start, row.insert_size
        names = [
            PyUnicode_DecodeUTF8(<char*>self._names.items[item].text, self._names.items[item].size, NULL)
            for item in range(self._names.count)
        ]
        id_starts, id_lengths, places = self._ids_of()
        heap = PyBytes_FromStringAndSize(self._heap, self._heap_size)
        return (
            EventBatch(heap, id_starts, id_lengths, *self._columns_of(), names, kinds, times, starts, lengths),
            places,
        )

    def changes(self):
        """The rows as ChangeBatch, and their places."""
        cdef uint64_t count = self._row_count, item
        operations = np.empty(count, np.uint8)
        cdef uint8_t[::1] cells = operations
        for item in range(count):
            cells[item] = self._rows[item].operation
        id_starts, id_lengths, places = self._ids_of()
        heap = PyBytes_FromStringAndSize(self._heap, self._heap_size)
        return ChangeBatch(heap, id_starts, id_lengths, *self._columns_of(), operations), places


def read(bytes raw, int events, int updates, bint imported=False):
    """Read a TrackRequest, UpdateProfilesRequest or ImportRequest.

    Arguments:
        raw: the message as sent.
        events, updates: the field's number of the list of events and of updates, 0 where there is none; at most 15.
        imported: whether field 3 is the offset.

    Returns:
        (text of field 1, text of field 2, offset, Reader of events, Reader of updates), or None: the request is to be
        read by the official decoder.
    """
    cdef const uint8_t* base = <const uint8_t*>PyBytes_AS_STRING(raw)
    cdef uint64_t size = len(raw), offset = 0
    cdef span left, content, first, second
    cdef const uint8_t* field
    cdef uint8_t tag, event_tag = <uint8_t>(events << 3 | 2), update_tag = <uint8_t>(updates << 3 | 2)
    cdef uint64_t seen = 0
    cdef int found = GOOD
    cdef Reader of_events = Reader(), of_updates = Reader()
    if size >> 32:
        return None
    of_events._start(base, size if events else 0)
    of_updates._start(base, size if updates else 0)
    first.at = first.end = second.at = second.end = base
    left.at, left.end = base, base + size
    with nogil:
        while left.at < left.end and found == GOOD:
            field = left.at
            tag = field[0]
            left.at += 1
            if tag & 7 == 0:
                if not imported or tag != 0x18 or seen & 4 or not _varint(&left, &offset):
                    found = BAD
                seen |= 4
            elif not _field(&left, &content):
                found = BAD
            elif events and tag == event_tag:
                found = of_events.take(field, content, True)
            elif updates and tag == update_tag:
                found = of_updates.take(field, content, False)
            elif tag == 0x0A and not seen & 1:
                seen |= 1
                first = content
            elif tag == 0x12 and not seen & 2:
                seen |= 2
                second = content
            else:
                found = BAD
        if found == GOOD and not (is_utf8(first.at, first.end) and is_utf8(second.at, second.end)):
            found = BAD
    if found == NO_MEMORY:
        raise MemoryError
    if found == BAD or of_events._records + of_updates._records > MAX_BATCH:
        return None
    return (
        PyUnicode_DecodeUTF8(<char*>first.at, first.end - first.at, NULL),
        PyUnicode_DecodeUTF8(<char*>second.at, second.end - second.at, NULL),
        offset,
        of_events,
        of_updates,
    )
