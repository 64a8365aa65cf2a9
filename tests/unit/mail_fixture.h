/* A scratch agent's tree with its post, for the tests of worker/mail. */
#ifndef AGENTOS_TESTS_MAIL_FIXTURE_H
#define AGENTOS_TESTS_MAIL_FIXTURE_H

#include "tests/unit/history_fixture.h"

#include <inttypes.h>

#include "common/files.h"
#include "common/tree.h"
#include "worker/mail/part.h"

static const int64_t then = 1800000000;

struct desk {
    struct scratch *scratch;
    struct mail *mail;
    struct buffer problems, over;
};

static inline int desk_begin(void **state)
{
    struct desk *desk = memory_new(1, sizeof *desk);
    void *scratch = NULL;
    scratch_begin(&scratch);
    desk->scratch = scratch;
    shell(desk->scratch, "mkdir -p iac/inbox iac/handoffs iac/outbox iac/archive iac/dead-letter");
    desk->mail = mail_open(desk->scratch->tree, "orion", desk->scratch->history);
    *state = desk;
    return 0;
}

static inline int desk_end(void **state)
{
    struct desk *desk = *state;
    void *scratch = desk->scratch;
    mail_close(desk->mail);
    buffer_free(&desk->problems);
    buffer_free(&desk->over);
    free(desk);
    return scratch_end(&scratch);
}

static inline size_t letters_in(const struct desk *desk, enum mail_place place)
{
    size_t count = 0;
    for (size_t i = 0; i < desk->mail->count; i++)
        count += desk->mail->letters[i].place == place;
    return count;
}

static inline struct envelope sample(const char *id, enum envelope_kind kind)
{
    return (struct envelope){.id = (char *)(uintptr_t)id,
                             .kind = kind,
                             .from = "iris",
                             .to = "orion",
                             .created = then,
                             .priority = PRIORITY_NORMAL,
                             .status = "delivered",
                             .hops = 1,
                             .trace = "t",
                             .body = "Do it.\n"};
}

static inline void put_in(struct desk *desk, const char *folder, const struct envelope *envelope)
{
    OWNED_BUFFER struct buffer text = {0};
    OWNED char *path = memory_print("%s/%s.md", folder, envelope->id);
    envelope_print(envelope, &text);
    assert_true(files_write(desk->scratch->tree, path, text.data, text.length, false, NULL));
}

static inline void put(struct desk *desk, const struct envelope *envelope)
{
    bool handoff = envelope->kind == KIND_HANDOFF || envelope->kind == KIND_ITEM;
    put_in(desk, handoff ? TREE_HANDOFFS : TREE_INBOX, envelope);
}

static inline void note_over(void *context, const char *id, const char *status, const char *commit)
{
    struct desk *desk = context;
    buffer_print(&desk->over, "%s %s%s;", id, status, *commit ? " in a commit" : "");
}

static inline void look(struct desk *desk)
{
    buffer_drop(&desk->problems, desk->problems.length);
    buffer_drop(&desk->over, desk->over.length);
    mail_look(desk->mail, &desk->problems, note_over, desk);
}

static inline void commit_all(struct desk *desk, const char *task, uint64_t hash, struct change_list *changes)
{
    char commit[COMMIT_TEXT];
    struct fault fault = {{0}};
    const struct commit_request request = {
        .subject = "orion(task): x",
        .trailers = {.task = task, .task_hash = hash, .end = "done", .source = task},
        .changes = changes->items,
        .change_count = changes->count};
    if (!history_commit(desk->scratch->history, &request, commit, &fault))
        fail_msg("%s", fault.text);
    change_list_free(changes);
}

/* For mail_escalations: commits the letter and notes its id. */
static inline bool note_letter(void *context, const struct envelope *envelope, uint64_t hash,
                               const char *path, const char *text, size_t length)
{
    struct desk *desk = context;
    struct change_list changes = {0};
    buffer_print(&desk->over, "%s;", envelope->id);
    change_list_add(&changes, CHANGE_RECORD, path, text, length);
    commit_all(desk, envelope->id, hash, &changes);
    return true;
}

#endif
