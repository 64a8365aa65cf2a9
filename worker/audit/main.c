/* agentos-audit                                   the built-in rules, on standard input
 * agentos-audit --run DATA_DIR -- COMMAND...     the operator's checker, in the sandbox that is made for it
 *
 * One object {"agent", "task", "answer", "reward", "skill"} on standard input, one {"audit_score", "reasons"} on
 * standard output (contract section 8). Either gives up everything that it doesn't need for that before it reads the
 * first byte. Started by the supervisor; a person may start the first form to try it. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <jansson.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/sandbox/sandbox.h"
#include "common/secrets.h"
#include "common/started.h"
#include "worker/audit/launch.h"
#include "worker/audit/rules.h"

enum { SECONDS = 10, BLOCK = 65536 };

static int complain(const char *sentence, int status)
{
    fprintf(stderr, "agentos-audit: %s\n", sentence);
    fflush(stderr);
    return status;
}

static bool confine(struct fault *fault)
{
    const struct sandbox_room room = {.memory_bytes = AUDIT_MEMORY, .open_files = AUDIT_FILES};
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_AUDITOR, sandbox_mode(), fault);
    bool confined = sandbox && sandbox_enter(sandbox, &room, fault);
    sandbox_free(sandbox);
    return confined;
}

/* One byte more than the limit, so that a case that is too long is seen. */
static bool read_all(struct buffer *json)
{
    ssize_t n;
    do {
        n = read(STDIN_FILENO, buffer_room(json, BLOCK), BLOCK);
        json->length += n > 0 ? (size_t)n : 0;
    } while (n > 0 && json->length <= AUDIT_CASE_MAX);
    return n >= 0;
}

static int print(int score, const struct audit_rule *const *broken, size_t count)
{
    json_t *reasons = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(reasons, json_string(broken[i]->reason));
    json_auto_t *verdict = json_pack("{s:i, s:o}", "audit_score", score, "reasons", reasons);
    OWNED char *text = json_dumps(verdict, JSON_PRESERVE_ORDER);
    OWNED char *line = memory_print("%s\n", text ? text : "");
    bool said = text && files_write_all(STDOUT_FILENO, line, strlen(line));
    return said ? EX_OK : EX_IOERR;
}

static int judge(void)
{
    struct fault fault;
    struct audit_case subject;
    OWNED_BUFFER struct buffer json = {0};
    OWNED const struct audit_rule **broken = memory_new(audit_rule_count, sizeof *broken);
    size_t count;
    json_object_seed(0); /* from a file that can't be opened later */
    if (!confine(&fault))
        return complain(fault.text, EX_CONFIG);
    if (!read_all(&json))
        return complain("standard input can't be read", EX_IOERR);
    if (!audit_case_parse(&subject, json.data ? json.data : "", json.length, &fault))
        return complain(fault.text, EX_DATAERR);
    int score = audit_judge(&subject, broken, &count);
    audit_case_free(&subject);
    return print(score, broken, count);
}

int main(int argc, char **argv)
{
    started_standard();
    secrets_wipe();
    if (argc > 4 && strcmp(argv[1], "--run") == 0 && strcmp(argv[3], "--") == 0)
        return launch(argv[2], argv + 4);
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        puts("agentos-audit < CASE.json\n\nJudges {\"agent\", \"task\", \"answer\", \"reward\", \"skill\"} "
             "by rules and "
             "prints\n{\"audit_score\": -1|0|1, \"reasons\": [...]}. Started by `agentos run`; see "
             "agentos(1).");
        return EX_OK;
    }
    if (argc != 1)
        return complain("it takes no arguments but --help; the case to be judged comes on standard input",
                        EX_USAGE);
    alarm(SECONDS);
    /* Without the C library's farewell, which may make calls that the sandbox refuses. */
    _exit(judge());
}
