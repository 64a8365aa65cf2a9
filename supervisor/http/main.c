/* agentos-http CHANNEL_FD LISTENER_FD TOKEN_FD DATA_FD
 *
 * The HTTP interface (contract section 12). The supervisor alone starts the process, with its end of a socket pair
 * (supervisor/http_listener.h), the socket that it takes connections from, the memory file of the token
 * (common/secrets.h), and DATA_DIR, which it reads. The process ends when the supervisor does. */
#include <jansson.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/sandbox/sandbox.h"
#include "common/started.h"
#include "supervisor/http/http.h"

enum { MEMORY = 512 << 20, FILES = 256 };

static bool confine(int data, struct fault *fault)
{
    OWNED char *path = memory_print("/proc/self/fd/%d", data);
    const char *const readable[] = {path, NULL};
    const struct sandbox_room room = {.readable = readable, .memory_bytes = MEMORY, .open_files = FILES};
    tzset(); /* libraries would open files later: for the time zone, and for jansson's random numbers */
    json_object_seed(0);
    return sandbox_seal(SANDBOX_HTTP, &room, "agentos-http", fault);
}

int main(int count, char **arguments)
{
    setproctitle_init(count, arguments, environ);
    int handed[4];
    if (!started_by_supervisor(count, arguments, handed, 4))
        return EX_USAGE;
    struct fault fault;
    struct token *token = NULL;
    struct secrets *secrets = secrets_read(handed[2], &fault);
    close(handed[2]);
    if (!secrets || !token_load(secrets, &token, &fault)) {
        log_error("http", NULL, "%s; so no client is answered. The start is tried again", fault.text);
        return EX_CONFIG;
    }
    if (!confine(handed[3], &fault))
        return log_error("http", NULL, "not in its sandbox, so it ends: %s", fault.text), EX_CONFIG;
    /* Without the libraries' own end: nothing of it is needed, and the sandbox would refuse some of it. */
    _exit(http_run(handed[0], handed[1], handed[3], token));
}
