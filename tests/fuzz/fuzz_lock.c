/* Any bytes as a lock's file at start: refused with a sentence, or a lock that is free, whose next token is higher than any
 * that the file says, and whose own file is read back as that. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/format/frontmatter.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/shared/locks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char last[] = "9223372036854775807"; /* after this token none is given */

struct desk {
    char *file, *text; /* saved last; owned */
    uint64_t token;    /* told last */
};

static bool save(void *context, const char *file, const struct buffer *text, bool durable,
                 struct fault *fault)
{
    struct desk *desk = context;
    (void)durable, (void)fault;
    free(desk->file);
    free(desk->text);
    desk->file = memory_text(file);
    desk->text = memory_slice(text->data, text->length);
    return true;
}

static bool save_token(void *context, uint64_t token, struct fault *fault)
{
    (void)context, (void)token, (void)fault;
    return true;
}

static uint64_t look(void *context, const char *file)
{
    (void)context, (void)file;
    return 1;
}

static void tell(void *context, const char *agent, const char *task, const char *lock, uint64_t token,
                 int64_t lease_until, const char *holder)
{
    (void)agent, (void)task, (void)lock, (void)lease_until, (void)holder;
    ((struct desk *)context)->token = token;
}

static void happened(void *context, const char *agent, const char *event, const char *lock, const char *task,
                     uint64_t token)
{
    (void)context, (void)agent, (void)event, (void)lock, (void)task, (void)token;
}

static void timer(void *context, int64_t in_ms)
{
    (void)context, (void)in_ms;
}

static int64_t now_ms(void *context)
{
    (void)context;
    return 1000;
}

static const struct locks_operations operations = {.save = save,
                                                   .save_token = save_token,
                                                   .look = look,
                                                   .tell = tell,
                                                   .happened = happened,
                                                   .timer = timer,
                                                   .now_ms = now_ms};

/* The name that the file gives the lock; NULL: none. */
static char *name_in(const char *text, size_t size)
{
    struct frontmatter matter;
    if (!frontmatter_parse(&matter, text, size, "lock", NULL))
        return NULL;
    const char *said = frontmatter_text(&matter, "name");
    char *name = said ? memory_text(said) : NULL;
    frontmatter_free(&matter);
    return name;
}

static void check_grant(struct desk *desk, const char *file, const char *name)
{
    struct fault fault = {""};
    struct locks *locks = locks_new(&operations, desk, NULL);
    if (!locks_load(locks, desk->file, desk->text, strlen(desk->text), &fault) ||
        strcmp(desk->file, file) != 0)
        abort();
    uint64_t before = desk->token;
    locks_ask(locks, "iris", "other", name, 60);
    if (desk->token != (before < INT64_MAX ? before + 1 : 0))
        abort();
    locks_free(locks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct desk desk = {0};
    struct fault fault = {""};
    const char *text = (const char *)data;
    OWNED char *name = name_in(text, size), *file = name ? names_file(name) : memory_text("db");
    struct locks *locks = locks_new(&operations, &desk, NULL);
    log_start("error", "text");
    if (!locks_load(locks, file, text, size, &fault)) {
        if (!*fault.text)
            abort();
    } else if (name && locks_ask(locks, "orion", "task", name, 60)) {
        if (desk.token)
            check_grant(&desk, file, name);
        else if (!memmem(text, size, last, sizeof last - 1))
            abort();
    }
    locks_free(locks);
    free(desk.file);
    free(desk.text);
    return 0;
}
