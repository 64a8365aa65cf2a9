#include "supervisor/cli/terminal/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/printable.h"
#include "supervisor/cli/terminal/pager.h"

char *output_clean(const char *text, int lines)
{
    return printable_text(text, strlen(text), lines != 0);
}

void output_complain(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *text = NULL;
    if (vasprintf(&text, format, list) >= 0) {
        OWNED char *clean = output_clean(text, 1);
        size_t length = strlen(clean);
        while (length > 0 && clean[length - 1] == '\n')
            length--;
        fprintf(stderr, "agentos: %.*s\n", (int)length, clean);
        free(text);
    }
    va_end(list);
}

size_t output_lines(FILE *to, const char *before, const char *text)
{
    size_t count = 0;
    OWNED char *clean = output_clean(text != NULL ? text : "", 1);
    char *rest = clean;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (line[0] != '\0') {
            fprintf(to, "%s%s\n", before, line);
            count++;
        }
    }
    return count;
}

static bool asked, terminal[STDERR_FILENO + 1];

void output_ask_terminal(void)
{
    for (int fd = STDOUT_FILENO; !asked && fd <= STDERR_FILENO; fd++)
        terminal[fd] = isatty(fd);
    asked = true;
}

static bool is_terminal(int fd)
{
    output_ask_terminal();
    return terminal[fd];
}

const char *output_colour(enum colour colour)
{
    static const char *const SEQUENCES[] = {
        [COLOUR_NONE] = "\033[m", [COLOUR_HEAD] = "\033[1m", [COLOUR_ALARM] = "\033[31m"};
    const char *refused = getenv("NO_COLOR");
    const char *kind = getenv("TERM");
    bool plain = (refused != NULL && refused[0] != '\0') || kind == NULL || strcmp(kind, "dumb") == 0;
    return plain || !(pager_runs() || is_terminal(STDOUT_FILENO)) ? "" : SEQUENCES[colour];
}

static int64_t working_next_ms;
static bool working_shown;

void output_working(const char *what, size_t done)
{
    enum { FIRST_MS = 100, AGAIN_MS = 200 };
    int64_t now = clock_monotonic_ms();
    if (working_next_ms == 0)
        working_next_ms = now + FIRST_MS;
    if (now < working_next_ms || !is_terminal(STDERR_FILENO))
        return;
    working_next_ms = now + AGAIN_MS;
    working_shown = true;
    fprintf(stderr, "\r\033[K%zu %s", done, what);
    (void)fflush(stderr);
}

void output_working_end(void)
{
    if (working_shown)
        fputs("\r\033[K", stderr);
    working_shown = false;
    working_next_ms = 0;
}

static void put_json(const json_t *object, size_t flags)
{
    OWNED char *text = json_dumps(object, flags);
    OWNED char *clean = printable_json(text != NULL ? text : "{}");
    puts(clean);
}

void output_json(json_t *object)
{
    put_json(object, JSON_INDENT(2));
    json_decref(object);
}

void output_json_line(const json_t *object)
{
    put_json(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
}

void output_items(json_t *list)
{
    output_json(json_pack("{s:o}", "items", list));
}

void table_begin(struct table *table, const char *const *heads, size_t columns)
{
    *table = (struct table){.heads = heads, .columns = columns};
}

void table_cell(struct table *table, const char *text)
{
    *MEMORY_ADD(table->cells, table->count) = output_clean(text != NULL ? text : "-", 0);
}

void table_number(struct table *table, long long number)
{
    char text[32] = "0";
    if (number != 0)
        (void)snprintf(text, sizeof text, "%lld", number);
    *MEMORY_ADD(table->cells, table->count) = memory_text(text);
}

void table_cellf(struct table *table, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *text = NULL;
    if (vasprintf(&text, format, list) >= 0) {
        table_cell(table, text);
        free(text);
    }
    va_end(list);
}

/* The text's characters, which is its columns for all but a few scripts. */
static size_t width(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

static const char *head_text(const char *head)
{
    return head + strspn(head, "?>");
}

enum { LEFT_OUT = 0 }; /* the width of a column that isn't shown: every head has a letter */

static void put_spaces(size_t count)
{
    static const char SPACES[] = "                                ";
    for (size_t part; count > 0; count -= part) {
        part = count < sizeof SPACES - 1 ? count : sizeof SPACES - 1;
        fwrite(SPACES, 1, part, stdout);
    }
}

/* No printf: a fleet's table has hundreds of thousands of cells. */
static void put_cell(const struct table *table, size_t column, const char *text, size_t wide, size_t last)
{
    const char *head = table->heads[column];
    bool right = head[strspn(head, "?")] == '>';
    if (wide == LEFT_OUT)
        return;
    size_t shown = width(text), pad = wide > shown ? wide - shown : 0;
    put_spaces(right ? pad : 0);
    fputs(text, stdout);
    if (column == last)
        putchar('\n');
    else
        put_spaces((right ? 0 : pad) + 2);
}

/* Columns that a narrow terminal has no room for become LEFT_OUT. Returns the last column that stays. */
static size_t fit(const struct table *table, size_t wide[TABLE_COLUMNS_MAX])
{
    struct winsize size;
    size_t last = table->columns - 1, total = 0;
    bool known = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    for (size_t i = 0; i < table->columns; i++)
        total += wide[i] + 2;
    for (size_t i = table->columns; known && i-- > 0 && total > (size_t)size.ws_col + 2;) {
        if (table->heads[i][0] == '?') {
            total -= wide[i] + 2;
            wide[i] = LEFT_OUT;
        }
    }
    while (wide[last] == LEFT_OUT)
        last--;
    return last;
}

void table_show(struct table *table)
{
    size_t wide[TABLE_COLUMNS_MAX];
    for (size_t i = 0; i < table->columns; i++)
        wide[i] = width(head_text(table->heads[i]));
    for (size_t i = 0; i < table->count; i++) {
        size_t cell = width(table->cells[i]);
        size_t *column = &wide[i % table->columns];
        *column = cell > *column ? cell : *column;
    }
    size_t last = fit(table, wide);
    fputs(output_colour(COLOUR_HEAD), stdout);
    for (size_t i = 0; i < table->columns; i++)
        put_cell(table, i, head_text(table->heads[i]), wide[i], last);
    fputs(output_colour(COLOUR_NONE), stdout);
    for (size_t i = 0; i < table->count; i++) {
        put_cell(table, i % table->columns, table->cells[i], wide[i % table->columns], last);
        free(table->cells[i]);
    }
    free(table->cells);
    *table = (struct table){0};
}

const char *output_duration(int64_t seconds, char text[32])
{
    static const struct {
        int64_t size, part;
        const char *name, *part_name;
    } STEPS[] = {{86400, 3600, "d", "h"}, {3600, 60, "h", "m"}, {60, 1, "m", "s"}};
    for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
        if (seconds >= STEPS[i].size) {
            (void)snprintf(text, 32, "%lld%s %lld%s", (long long)(seconds / STEPS[i].size), STEPS[i].name,
                           (long long)(seconds % STEPS[i].size / STEPS[i].part), STEPS[i].part_name);
            return text;
        }
    }
    (void)snprintf(text, 32, "%llds", (long long)seconds);
    return text;
}

const char *output_bytes(int64_t bytes, char text[32])
{
    if (bytes < 1024 * 1024)
        (void)snprintf(text, 32, "%lld kB", (long long)((bytes + 1023) / 1024));
    else
        (void)snprintf(text, 32, "%.1f MB", (double)bytes / (1024.0 * 1024.0));
    return text;
}

int output_end(int status)
{
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0)
        return output_fail(EX_IOERR, "the result could not be written: %s", strerror(errno));
    return status;
}
