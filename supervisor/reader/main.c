/* agentos-reader CONNECTION_FD DATA_FD
 *
 * Answers the HTTP process's questions that take long or concern repositories, which may have been made to harm: one
 * request, a JSON object on one line, comes over the connection, one line goes back, and the process ends. The
 * supervisor alone starts a reader (supervisor/process/file_readers.h), and kills it when it takes too long. The
 * reader can read the data directory, write to its connection and nothing else, and has no key. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/repository/library.h"
#include "common/sandbox/sandbox.h"
#include "common/started.h"
#include "common/utf8.h"
#include "supervisor/reader/reader.h"

enum {
    ARGUMENTS = 3,
    REQUEST_MAX = 64 * 1024,
    PATH_LENGTH = 4096,
    MEMORY = 512 << 20,
    FILES = 256,
    PROBLEMS_MAX = 20
};

static json_t *problems; /* of the one request */

static void complain(const char *sentence)
{
    if (json_array_size(problems) < PROBLEMS_MAX)
        json_array_append_new(problems, utf8_json(sentence)); /* a file's name may be in the sentence */
}

/* Before any foreign text is read. */
static bool confine(const char *data_dir, struct fault *fault)
{
    const char *const readable[] = {data_dir, NULL};
    const struct sandbox_room room = {.readable = readable, .memory_bytes = MEMORY, .open_files = FILES};
    tzset();
    json_object_seed(0);
    if (!repository_library_start(fault))
        return false;
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_WORKER, sandbox_mode(), fault);
    bool confined = sandbox && sandbox_enter(sandbox, &room, fault) && sandbox_tighten(sandbox, fault);
    sandbox_free(sandbox);
    return confined;
}

static void do_nothing(int number)
{
    (void)number;
}

/* A FIFO in a repository would hold its reader for ever: the alarm interrupts the open, and the repository can't be
 * opened. */
static void leave_what_holds(void)
{
    (void)sigaction(SIGALRM, &(struct sigaction){.sa_handler = do_nothing}, NULL);
}

/* NULL: no request came. Caller frees. */
static json_t *read_request(int connection)
{
    char text[REQUEST_MAX];
    size_t length = 0;
    while (length < sizeof text && !memchr(text, '\n', length)) {
        ssize_t count = TEMP_FAILURE_RETRY(read(connection, text + length, sizeof text - length));
        if (count <= 0)
            return NULL;
        length += (size_t)count;
    }
    const char *end = memchr(text, '\n', length);
    return end ? json_loadb(text, (size_t)(end - text), JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static bool answer(int connection, int data, const char *data_dir, const json_t *request)
{
    const struct reading reading = {
        .data_dir = data_dir, .data = data, .request = request, .complain = complain};
    problems = json_array();
    json_t *told = reader_answer(&reading), *object = json_object_get(told, "answer");
    if (object && json_array_size(problems) > 0)
        json_object_set(object, "problems", problems);
    char *text = json_dumps(told, JSON_COMPACT | JSON_PRESERVE_ORDER);
    return text && files_write_all(connection, text, strlen(text)) && files_write_all(connection, "\n", 1);
}

int main(int count, char **arguments)
{
    char data_dir[PATH_LENGTH] = "";
    struct fault fault;
    started_standard();
    started_harden();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGALRM, SIG_IGN); /* until leave_what_holds: no timer can be made in the sandbox */
    setitimer(ITIMER_REAL, &(struct itimerval){.it_interval.tv_sec = 1, .it_value.tv_sec = 1}, NULL);
    int connection = count == ARGUMENTS ? started_descriptor(arguments[1]) : -1;
    int data = count == ARGUMENTS ? started_descriptor(arguments[2]) : -1;
    OWNED char *link = memory_print("/proc/self/fd/%d", data);
    if (connection < 0 || data < 0 || readlink(link, data_dir, sizeof data_dir - 1) <= 0) {
        fprintf(stderr, "agentos-reader is started by `agentos run`, with two descriptors\n");
        return EX_USAGE;
    }
    if (!confine(data_dir, &fault)) {
        fprintf(stderr, "%s; nothing was read\n", fault.text);
        return EX_CONFIG;
    }
    json_t *request = read_request(connection);
    leave_what_holds();
    /* Without the libraries' own end: nothing of it is needed. */
    _exit(request && answer(connection, data, data_dir, request) ? EX_OK : EX_DATAERR);
}
