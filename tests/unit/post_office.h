/* A post office for tests: real folders of some agents, no processes; the office's messages are written down. */
#ifndef AGENTOS_TESTS_POST_OFFICE_H
#define AGENTOS_TESTS_POST_OFFICE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/post/post.h"
#include "supervisor/process/loop.h"
#include "supervisor/store/mailbox.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"

struct office {
    char folder[64];
    int data;
    struct loop *loop;
    struct post *post;
    struct roster *roster;
    struct buffer
        said; /* "orion verdict h1 delivered\n", "iris look\n", "orion event envelope_refused h1: why\n" */
};

static inline void office_verdict(void *subject, const char *id, const char *status, const char *reason,
                                  int64_t at);

/* The subject of an agent is its own definition's name with the office behind a global: one office at a time. */
static struct office *the_office;

static inline void office_verdict(void *subject, const char *id, const char *status, const char *reason,
                                  int64_t at)
{
    assert_true(at > 0);
    buffer_print(&the_office->said, "%s verdict %s %s%s%s\n", (const char *)subject, id, status,
                 *reason ? ": " : "", reason);
}

static inline void office_look(void *subject, bool wake, bool full)
{
    buffer_print(&the_office->said, "%s look%s%s\n", (const char *)subject, wake ? " and wake" : "",
                 full ? ", full" : "");
}

static inline void office_told(void *context, void *subject, const char *event,
                               const struct envelope *envelope, const char *reason)
{
    struct office *office = context;
    buffer_print(&office->said, "%s event %s %s%s%s\n", subject ? (const char *)subject : "operator",
                 event + strlen("envelope_"), envelope->id, *reason ? ": " : "", reason);
}

/* The last request that was answered; ticket 0: none since the last look. */
static struct office_sent {
    uint64_t ticket;
    int exit;
    char id[256];
    struct fault why;
} office_answer;

static inline void office_sent(void *context, uint64_t ticket, int exit, const char *id,
                               const struct fault *why)
{
    office_answer = (struct office_sent){.ticket = ticket, .exit = exit, .why = *why};
    snprintf(office_answer.id, sizeof office_answer.id, "%s", id);
}

static inline void __attribute__((format(printf, 1, 2))) office_command(const char *format, ...)
{
    va_list arguments;
    char command[4096];
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    assert_int_equal(system(command), 0);
}

/* A test's own word about the kernel's notices (post_owner); NULL: no notices. */
static bool (*office_watch)(const void *subject);
static bool office_sleeps; /* all its agents hibernate */

static inline bool office_rests(const void *subject)
{
    return subject && office_sleeps;
}

static inline void office_open(struct office *office)
{
    office->post = post_open(office->loop, office->data,
                             &(struct post_owner){.verdict = office_verdict,
                                                  .look = office_look,
                                                  .is_watched = office_watch,
                                                  .rests = office_rests,
                                                  .told = office_told,
                                                  .sent = office_sent,
                                                  .context = office});
    post_roster(office->post, office->roster);
    for (size_t i = 0; i < office->roster->agent_count; i++)
        post_agent(office->post, office->roster->agents[i].name, office->roster->agents[i].name,
                   &office->roster->agents[i]);
}

/* Like a kill -9 and a new start. */
static inline void office_again(struct office *office)
{
    post_close(office->post);
    buffer_drop(&office->said, office->said.length);
    office_open(office);
    post_start(office->post);
}

static inline void office_agents_folders(const struct office *office, const char *agent)
{
    static const char *const folders[] = {"inbox", "handoffs", "outbox", "archive", "dead-letter"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        OWNED char *path = memory_print("agents/%s/iac/%s", agent, folders[i]);
        OWNED_FD int made = files_open_folder(office->data, path, true, NULL);
        assert_true(made >= 0);
    }
}

static inline void office_begin(struct office *office, const char *yaml)
{
    OWNED_BUFFER struct buffer faults = {0};
    *office = (struct office){.folder = "/tmp/test-post-XXXXXX"};
    the_office = office;
    log_start("error", "text");
    assert_non_null(mkdtemp(office->folder));
    office->data = open(office->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    office->roster = roster_parse(yaml, strlen(yaml), "agents.yaml", &faults);
    if (!office->roster)
        fail_msg("%s", faults.data);
    for (size_t i = 0; i < office->roster->agent_count; i++)
        office_agents_folders(office, office->roster->agents[i].name);
    office->loop = loop_new();
    office_open(office);
}

static inline void office_end(struct office *office)
{
    post_close(office->post);
    loop_free(office->loop);
    close(office->data);
    roster_free(office->roster);
    buffer_free(&office->said);
    assert_int_equal(remove_folder(office->folder), 0);
}

#define ORION_AND_IRIS                                                                                       \
    "agents:\n  - {name: orion, persona: p}\n  - {name: iris, persona: p, throughput_class: slow}\n"         \
    "  - {name: nova, persona: p, throughput_class: fast}\n"                                                 \
    "throughput_classes: {slow: {window: 1, backlog: 2}, fast: {window: 16, backlog: 128}}\n"

static inline int office_setup(void **state)
{
    static struct office office;
    office_begin(&office, ORION_AND_IRIS);
    post_start(office.post);
    *state = &office;
    return 0;
}

static inline int office_teardown(void **state)
{
    office_end(*state);
    return 0;
}

static inline bool office_said(const struct office *office, const char *line)
{
    OWNED char *whole = memory_print("\n%s\n", line);
    OWNED char *all = memory_print("\n%s", office->said.data ? office->said.data : "");
    return strstr(all, whole) != NULL;
}

static inline void office_forget(struct office *office)
{
    buffer_drop(&office->said, office->said.length);
}

/* Turns of the loop until condition; the time is only there so that a broken one ends. */
#define UNTIL(office, condition)                                                                             \
    do {                                                                                                     \
        int64_t until_ = clock_monotonic_ms() + 60000;                                                       \
        while (!(condition)) {                                                                               \
            if (clock_monotonic_ms() > until_)                                                               \
                fail_msg("never came true: %s\n%s", #condition,                                              \
                         (office)->said.data ? (office)->said.data : "");                                    \
            loop_turn((office)->loop, 20);                                                                   \
        }                                                                                                    \
    } while (0)

/* Does the due work. */
static inline void office_settle(struct office *office)
{
    for (int i = 0; i < 8; i++)
        loop_turn(office->loop, 1);
}

static inline struct envelope office_letter(const char *id, enum envelope_kind kind, const char *from,
                                            const char *to)
{
    return (struct envelope){.id = (char *)id,
                             .kind = kind,
                             .from = (char *)from,
                             .to = (char *)to,
                             .created = clock_now(),
                             .priority = PRIORITY_NORMAL,
                             .status = "pending",
                             .hops = 1,
                             .trace = (char *)id,
                             .body = "Do it.\n"};
}

static inline void office_put(const struct office *office, const char *agent, enum folder folder,
                              const struct envelope *envelope)
{
    struct fault fault;
    if (mailbox_write(office->data, agent, folder, envelope, true, &fault) != WRITE_DONE)
        fail_msg("%s", fault.text);
}

/* As a worker sends: the file, then the ring. */
static inline void office_send(const struct office *office, const struct envelope *envelope, const char *from)
{
    office_put(office, from, FOLDER_OUTBOX, envelope);
    assert_true(post_rings(office->post, from, envelope->id));
}

static inline bool office_lies(const struct office *office, const char *agent, enum folder folder,
                               const char *id)
{
    return mailbox_lies(office->data, agent, id) & 1u << folder;
}

static inline struct envelope office_read(const struct office *office, const char *agent, enum folder folder,
                                          const char *id)
{
    struct envelope envelope;
    struct fault fault = {""};
    if (mailbox_read(office->data, agent, folder, id, &envelope, NULL, &fault) != MAILBOX_READ)
        fail_msg("%s/%s of %s: %s", mailbox_folder_name(folder), id, agent, fault.text);
    return envelope;
}

static inline void assert_status(const struct office *office, const char *agent, enum folder folder,
                                 const char *id, const char *status)
{
    struct envelope envelope = office_read(office, agent, folder, id);
    assert_string_equal(envelope.status, status);
    envelope_free(&envelope);
}

/* As a worker does when it has a verdict, or has come to the end of something. */
static inline void office_move(const struct office *office, const char *agent, enum folder from,
                               enum folder to, const char *id)
{
    assert_true(mailbox_move(office->data, agent, from, to, id));
}

/* The agent reads its whole inbox. Returns how much lay there. */
static inline size_t office_reads_all(const struct office *office, const char *agent)
{
    struct mailbox_names names = {0};
    assert_true(mailbox_list(office->data, agent, FOLDER_INBOX, &names));
    size_t count = names.count;
    for (size_t i = 0; i < count; i++) {
        office_move(office, agent, FOLDER_INBOX, FOLDER_ARCHIVE, names.ids[i]);
        post_settled(office->post, agent, names.ids[i], "read", "");
    }
    mailbox_names_free(&names);
    return count;
}

#endif
