/* A server of the board protocol of crossmesh (docs/board-protocol.md) for microcontrollers: C99,
 * no memory is allocated, and buffers hold MAX_CELLS devices, so that clients split what is larger.
 * It remembers one client and asks for no token: serve nothing but a serial line with it. */
#include "board.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef char a_double_must_have_8_bytes[sizeof(double) == 8 ? 1 : -1];

/* Numbers and checksums ----------------------------------------------------------------- */

static uint64_t number_at(const uint8_t *at, int size, int big_endian)
{
    uint64_t value = 0;
    for (int i = 0; i < size; i++)
        value = value << 8 | at[big_endian ? i : size - 1 - i];
    return value;
}

static void put_number(uint8_t *at, uint64_t value, int size, int big_endian)
{
    for (int i = 0; i < size; i++)
        at[big_endian ? size - 1 - i : i] = (uint8_t)(value >> (8 * i));
}

static double real_of(uint64_t bits, int size)
{
    uint32_t low = (uint32_t)bits;
    float single;
    double value;
    memcpy(&single, &low, 4);
    memcpy(&value, &bits, 8);
    return size == 4 ? (double)single : value;
}

static uint32_t crc32(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xffffffff;
    while (size--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* Requests: the part of msgpack that they use --------------------------------------------- */

enum { MESSAGE_BYTES = 12 * MAX_CELLS + 320, HEADER_BYTES = 12, SUM_BYTES = 4 };

typedef enum { NOTHING, NUMBER, TEXT, BYTES, LIST, MAP, OTHER } Kind;

typedef struct {
    Kind kind;
    int is_integer;
    double number;       /* of NUMBER */
    const uint8_t *data; /* of TEXT and BYTES */
    uint32_t size;       /* of TEXT and BYTES; things in LIST and MAP */
} Value;

typedef struct {
    const uint8_t *at, *end;
} Reader;

/* Read a value, or the head of a list or map. Returns 0 if the message ends too early. */
static int read_value(Reader *reader, Value *value)
{
    memset(value, 0, sizeof *value);
    if (reader->at == reader->end)
        return 0;
    uint8_t tag = *reader->at++;
    int width = 0; /* of the number or size that follows */
    if (tag < 0x80 || tag >= 0xe0) {
        value->kind = NUMBER, value->is_integer = 1, value->number = (int8_t)tag;
    } else if (tag < 0xa0) {
        value->kind = tag < 0x90 ? MAP : LIST, value->size = tag & 15;
    } else if (tag < 0xc0) {
        value->kind = TEXT, value->size = tag & 31;
    } else if (tag >= 0xc4 && tag <= 0xc6) {
        value->kind = BYTES, width = 1 << (tag - 0xc4);
    } else if (tag >= 0xca && tag <= 0xd3) {
        value->kind = NUMBER, value->is_integer = tag > 0xcb;
        width = tag <= 0xcb ? 4 << (tag - 0xca) : 1 << (tag & 3);
    } else if (tag >= 0xd9 && tag <= 0xdb) {
        value->kind = TEXT, width = 1 << (tag - 0xd9);
    } else if (tag >= 0xdc) {
        value->kind = tag < 0xde ? LIST : MAP, width = 2 << (tag & 1);
    } else if (tag == 0xc0 || tag == 0xc2 || tag == 0xc3) {
        value->kind = OTHER; /* nil and booleans */
    } else {
        return 0;
    }
    if (reader->end - reader->at < width)
        return 0;
    uint64_t bits = number_at(reader->at, width, 1);
    reader->at += width;
    if (value->kind == NUMBER && width) {
        int is_signed = tag >= 0xd0;
        int64_t negative = (int64_t)(bits | (width < 8 ? ~(uint64_t)0 << (8 * width) : 0));
        value->number = tag <= 0xcb                            ? real_of(bits, width)
                        : is_signed && bits >> (8 * width - 1) ? (double)negative
                                                               : (double)bits;
    } else if (width) {
        value->size = (uint32_t)bits;
    }
    if (value->kind == TEXT || value->kind == BYTES) {
        if ((size_t)(reader->end - reader->at) < value->size)
            return 0;
        value->data = reader->at, reader->at += value->size;
    }
    return 1;
}

/* Read a value with all that is in it; what is in lists and maps is not kept. */
static int read_whole(Reader *reader, Value *value)
{
    if (!read_value(reader, value))
        return 0;
    uint64_t open = value->kind == MAP ? 2ull * value->size : value->kind == LIST ? value->size : 0;
    while (open--) {
        Value inner;
        if (!read_value(reader, &inner))
            return 0;
        open += inner.kind == MAP ? 2ull * inner.size : inner.kind == LIST ? inner.size : 0;
    }
    return 1;
}

static int is_text(const Value *value, const char *text)
{
    size_t size = strlen(text);
    return value->kind == TEXT && value->size == size && !memcmp(value->data, text, size);
}

enum {
    SESSION, ID, OP, ROWS_OF, COLS_OF, COUNTS, VOLTS, WIDTH_S, READ_ROWS, READ_COLS, SIEMENS,
    TOLERANCE, PULSES, FIELDS
};
static const char *const FIELD[FIELDS] = {
    "session", "id", "op", "rows", "cols", "counts", "volts", "width_s", "read_rows", "read_cols",
    "siemens", "tolerance", "pulses"
};
static Value field[FIELDS]; /* of the request that is answered */

/* Take a message apart. Returns 0 if it is no request, which gets no answer. */
static int take_apart(const uint8_t *message, size_t size)
{
    Reader reader = {message, message + size};
    Value map, key, value;
    memset(field, 0, sizeof field);
    if (!read_value(&reader, &map) || map.kind != MAP)
        return 0;
    for (; map.size; map.size--) {
        if (!read_value(&reader, &key) || key.kind != TEXT || !read_whole(&reader, &value))
            return 0;
        for (int i = 0; i < FIELDS; i++)
            if (is_text(&key, FIELD[i]))
                field[i] = value;
    }
    return reader.at == reader.end && field[SESSION].kind == BYTES && field[SESSION].size == 8 &&
           field[ID].is_integer && field[ID].number >= 0 && field[ID].number < 4294967296.0;
}

/* Answers ------------------------------------------------------------------------------- */

static uint8_t answer[HEADER_BYTES + MESSAGE_BYTES + SUM_BYTES]; /* a whole frame; kept */
static size_t answer_end;
static char refusal[100]; /* why the request is refused; empty: it is not */
static int is_fault;      /* whether the hardware failed */

static uint8_t *room(size_t size)
{
    answer_end += size;
    return answer + answer_end - size;
}

static void add_tagged(int tag, uint64_t value, int size)
{
    *room(1) = (uint8_t)tag;
    put_number(room((size_t)size), value, size, 1);
}

static void add_text(const char *text)
{
    size_t size = strlen(text);
    add_tagged(0xd9, size, 1);
    memcpy(room(size), text, size);
}

static void add_bytes(const char *name, const void *data, size_t size)
{
    add_text(name);
    add_tagged(0xc4, size, 1);
    memcpy(room(size), data, size);
}

static void add_number(const char *name, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    add_text(name);
    add_tagged(0xcb, bits, 8);
}

static void add_integer(const char *name, uint32_t value)
{
    add_text(name);
    add_tagged(0xce, value, 4);
}

static void begin_answer(unsigned things)
{
    answer_end = HEADER_BYTES;
    *room(1) = (uint8_t)(0x80 | (things + 2));
    add_bytes("session", field[SESSION].data, 8);
    add_integer("id", (uint32_t)field[ID].number);
}

static void begin_result(unsigned things)
{
    begin_answer(1);
    add_text("ok");
    *room(1) = (uint8_t)(0x80 | things);
}

static void answer_error(const char *kind, const char *says)
{
    begin_answer(2);
    add_text("error"), add_text(kind);
    add_text("says"), add_text(says);
}

static void send_answer(void)
{
    size_t size = answer_end - HEADER_BYTES;
    memcpy(answer, "XB\1\0", 4);
    put_number(answer + 4, size, 4, 0);
    put_number(answer + 8, crc32(answer, 8), 4, 0);
    put_number(answer + answer_end, crc32(answer + HEADER_BYTES, size), 4, 0);
    line_out(answer, answer_end + SUM_BYTES);
}

/* Fields of a request; each function refuses what is wrong -------------------------------- */

static int refuse(const char *name, const char *rule, double limit)
{
    if (!*refusal)
        snprintf(refusal, sizeof refusal, "%s must %s %g", name, rule, limit);
    return 0;
}

static double number_of(int i, double otherwise)
{
    const Value *value = &field[i];
    if (value->kind == NOTHING)
        return otherwise;
    if (value->kind != NUMBER || !(value->number >= 0) || isinf(value->number))
        return refuse(FIELD[i], "be a number of at least", 0);
    return value->number;
}

/* Whether a field has n numbers of some bytes each; n below 0: any that fit. */
static int has_array(int i, long n, unsigned bytes)
{
    if (field[i].kind != BYTES || field[i].size % bytes)
        return refuse(FIELD[i], "be numbers whose bytes are", bytes);
    if (n >= 0 && field[i].size / bytes != (uint32_t)n)
        return refuse(FIELD[i], "have numbers, as many as", (double)n);
    return 1;
}

static unsigned line_of(int i, unsigned n)
{
    return (unsigned)number_at(field[i].data + 2 * n, 2, 0);
}

static double float_at(int i, unsigned n)
{
    return real_of(number_at(field[i].data + 4 * n, 4, 0), 4);
}

static int has_lines(int i, unsigned lines)
{
    if (!has_array(i, -1, 2))
        return 0;
    for (unsigned n = 0; n < field[i].size / 2; n++)
        if (line_of(i, n) >= lines)
            return refuse(FIELD[i], "be below", lines);
    return 1;
}

/* Number of devices in rows and cols, of which each pair is one; 0 if they are refused. */
static unsigned devices(void)
{
    if (!has_lines(ROWS_OF, ROWS) || !has_lines(COLS_OF, COLS) ||
        !has_array(COLS_OF, field[ROWS_OF].size / 2, 2))
        return 0;
    unsigned n = field[ROWS_OF].size / 2;
    if (n > MAX_CELLS)
        return (unsigned)refuse("the number of devices", "be at most", MAX_CELLS);
    return n;
}

/* Number of crossings of rows and cols, or read_rows and read_cols; 0 if they are refused. */
static unsigned crossings(int rows, int cols)
{
    if (!has_lines(rows, ROWS) || !has_lines(cols, COLS))
        return 0;
    uint64_t n = (uint64_t)(field[rows].size / 2) * (field[cols].size / 2);
    if (n > MAX_CELLS)
        return (unsigned)refuse("rows times cols", "be at most", MAX_CELLS);
    return (unsigned)n;
}

/* Requests ------------------------------------------------------------------------------ */

static double read_device(unsigned row, unsigned col)
{
    double siemens = board_read(row, col);
    is_fault |= isnan(siemens);
    return siemens;
}

static void pulse_device(unsigned row, unsigned col, int count, double volts, double width_s)
{
    is_fault |= !board_pulse(row, col, count, volts, width_s);
}

/* Room for n conductances in the answer. */
static uint8_t *siemens_room(unsigned n)
{
    begin_result(2);
    add_text("siemens");
    add_tagged(0xc5, 4ull * n, 2);
    return room(4ull * n);
}

static void put_siemens(uint8_t *at, double siemens)
{
    float value = (float)siemens;
    uint32_t bits;
    memcpy(&bits, &value, 4);
    put_number(at, bits, 4, 0);
}

static void answer_crossings(int rows, int cols)
{
    unsigned n_cols = field[cols].size / 2, n = crossings(rows, cols);
    uint8_t *at = siemens_room(n);
    for (unsigned k = 0; k < n; k++)
        put_siemens(at + 4 * k, read_device(line_of(rows, k / n_cols), line_of(cols, k % n_cols)));
}

static void answer_pulse(void)
{
    unsigned n = devices();
    double volts = number_of(VOLTS, 0), width_s = number_of(WIDTH_S, 0);
    int reads = field[READ_ROWS].kind != NOTHING;
    has_array(COUNTS, n, 2);
    if (volts > PULSE_V)
        refuse("volts", "be at most", PULSE_V);
    if (reads)
        crossings(READ_ROWS, READ_COLS);
    if (*refusal)
        return;
    for (unsigned k = 0; k < n; k++)
        pulse_device(line_of(ROWS_OF, k), line_of(COLS_OF, k), (int16_t)line_of(COUNTS, k),
                     volts > 0 ? volts : PULSE_V, width_s > 0 ? width_s : PULSE_S);
    if (reads)
        answer_crossings(READ_ROWS, READ_COLS);
    else
        begin_result(1);
}

/* Pulse a device until it is near enough; half of the steps that are missing at once. */
static double set_device(unsigned row, unsigned col, double wanted, double tolerance, long pulses)
{
    double seen = read_device(row, col), step = 0;
    while (pulses > 0 && !is_fault && fabs(wanted - seen) > fmax(tolerance, step / 2)) {
        double missing = wanted - seen, steps = step > 0 ? floor(fabs(missing) / step / 2) : 1;
        long count = (long)fmin(fmax(steps, 1), (double)(pulses < 1000 ? pulses : 1000));
        pulse_device(row, col, (int)(missing > 0 ? count : -count), PULSE_V, PULSE_S);
        double before = seen;
        seen = read_device(row, col);
        step = fabs(seen - before) / (double)count;
        pulses -= count;
    }
    return seen;
}

static void answer_set(void)
{
    unsigned n = devices();
    double tolerance = number_of(TOLERANCE, 0), pulses = fmin(number_of(PULSES, 100), 1e6);
    if (has_array(SIEMENS, n, 4))
        for (unsigned k = 0; k < n; k++)
            if (!isfinite(float_at(SIEMENS, k)))
                refuse("siemens", "be finite, unlike number", k);
    if (*refusal)
        return;
    uint8_t *at = siemens_room(n);
    for (unsigned k = 0; k < n; k++)
        put_siemens(at + 4 * k, set_device(line_of(ROWS_OF, k), line_of(COLS_OF, k),
                                           float_at(SIEMENS, k), tolerance, (long)pulses));
}

/* Sessions: one is kept, with its last answer ---------------------------------------------- */

static uint8_t boot[8], session[8];
static uint32_t last;     /* request of the session that was carried out; 0: none */
static int has_session; /* whether somebody has greeted */

static void carry_out(void)
{
    *refusal = 0, is_fault = 0;
    if (is_text(&field[OP], "read"))
        answer_crossings(ROWS_OF, COLS_OF);
    else if (is_text(&field[OP], "pulse"))
        answer_pulse();
    else if (is_text(&field[OP], "set"))
        answer_set();
    else if (is_text(&field[OP], "status")) {
        begin_result(3);
        add_integer("done", last - 1); /* this one does not count yet */
        add_number("celsius", board_celsius());
    } else
        snprintf(refusal, sizeof refusal, "op must be one of hello, read, pulse, set, status");
    if (*refusal)
        answer_error("refused", refusal);
    else if (is_fault)
        answer_error("fault", "the hardware failed");
    else
        add_number("time_s", board_seconds());
}

static void answer_hello(void)
{
    begin_result(3);
    add_text("describes");
    *room(1) = 0x80 | 10;
    add_text("name"), add_text(NAME);
    add_integer("rows", ROWS), add_integer("cols", COLS), add_integer("max_cells", MAX_CELLS);
    add_number("off_siemens", OFF_SIEMENS), add_number("on_siemens", ON_SIEMENS);
    add_number("read_v", READ_V), add_number("pulse_v", PULSE_V), add_number("pulse_s", PULSE_S);
    add_text("can"), *room(1) = 0x90 | 1, add_text("celsius");
    add_bytes("boot", boot, 8);
    add_integer("last", last);
}

static void take_message(const uint8_t *message, size_t size)
{
    static uint8_t kept[sizeof answer];
    static size_t kept_end; /* 0: nothing is kept */
    if (!take_apart(message, size))
        return;
    uint32_t id = (uint32_t)field[ID].number;
    int is_same = has_session && !memcmp(field[SESSION].data, session, 8);
    if (is_text(&field[OP], "hello")) {
        if (!is_same)
            last = 0, kept_end = 0;
        has_session = 1;
        memcpy(session, field[SESSION].data, 8);
        answer_hello();
    } else if (!is_same) {
        answer_error("order", "hello must come first");
    } else if (id == last && kept_end) {
        memcpy(answer, kept, answer_end = kept_end);
    } else if (id != last + 1) {
        snprintf(refusal, sizeof refusal, "id must be %lu, got %lu", last + 1ul, (unsigned long)id);
        answer_error("order", refusal);
    } else {
        last = id;
        carry_out();
        memcpy(kept, answer, kept_end = answer_end);
    }
    send_answer();
}

/* Frames -------------------------------------------------------------------------------- */

static uint8_t buffer[HEADER_BYTES + MESSAGE_BYTES + SUM_BYTES];
static size_t held;

static void drop(size_t size)
{
    held -= size;
    memmove(buffer, buffer + size, held);
}

/* Take a whole frame from the buffer, or drop what begins none. Returns 0 if more is needed. */
static int take_frame(void)
{
    while (held && (buffer[0] != 'X' || (held > 1 && buffer[1] != 'B')))
        drop(1);
    if (held < HEADER_BYTES)
        return 0;
    const uint8_t *message = buffer + HEADER_BYTES;
    uint32_t size = (uint32_t)number_at(buffer + 4, 4, 0);
    int is_header = number_at(buffer + 8, 4, 0) == crc32(buffer, 8) && buffer[2] == 1;
    int is_whole = 0;
    if (is_header && size <= MESSAGE_BYTES) {
        if (held < HEADER_BYTES + size + SUM_BYTES)
            return 0;
        is_whole = number_at(message + size, 4, 0) == crc32(message, size);
    }
    if (is_whole)
        take_message(message, size);
    drop(is_whole ? HEADER_BYTES + size + SUM_BYTES : 2);
    return 1;
}

/* Give up the frame that has begun: its rest does not come. */
static void give_up(void)
{
    while (held > 1 && buffer[0] == 'X') {
        drop(2);
        while (take_frame())
            ;
    }
}

void board_serve(void)
{
    board_boot(boot);
    for (int byte; (byte = line_in()) != LINE_ENDS;) {
        if (byte == LINE_SILENT) {
            give_up();
            continue;
        }
        buffer[held++] = (uint8_t)byte;
        while (take_frame())
            ;
    }
}
