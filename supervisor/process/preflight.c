#include "supervisor/process/preflight.h"

#include <string.h>
#include <sysexits.h>

#include "common/buffer.h"
#include "common/capacity.h"
#include "common/format/config_warnings.h"
#include "common/format/data_format.h"
#include "common/format/provider_warnings.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/sandbox/sandbox.h"
#include "common/secrets.h"
#include "common/settings.h"

void preflight_say_model(void)
{
    const char *base = setting_text(SET_LLM_BASE_URL, NULL);
    if (base && strcmp(base, "offline") == 0)
        log_warn(
            "agentos", NULL,
            "LLM_BASE_URL is 'offline': a built-in model without network answers, and says that it is one. "
            "Set LLM_BASE_URL, LLM_MODEL and LLM_API_KEY for a real one.");
}

int preflight_sandbox(const char *data)
{
    struct fault fault;
    struct sandbox_facts facts;
    OWNED_BUFFER struct buffer lacks = {0};
    enum sandbox_mode mode = sandbox_mode();
    sandbox_look(&facts);
    OWNED char *summary = sandbox_summary(mode, &facts);
    sandbox_harden();
    if (mode == SANDBOX_OFF) {
        log_warn("agentos", NULL,
                 "AGENTOS_SANDBOX is 'off': NOTHING keeps the agents from the files, the network and each "
                 "other. The setting is for debugging only.");
        return EX_OK;
    }
    bool holds = sandbox_floor(&facts, &fault) && sandbox_prove(mode, data, &fault);
    if (!holds && mode == SANDBOX_REQUIRE) {
        log_error("agentos", NULL,
                  "%s. No agent was started; `agentos doctor` says more. AGENTOS_SANDBOX=best-effort would "
                  "go on with the parts that are there.",
                  fault.text);
        return EX_CONFIG;
    }
    if (!holds)
        log_warn("agentos", NULL, "AGENTOS_SANDBOX is 'best-effort', and it is less than a sandbox: %s",
                 fault.text);
    sandbox_lacks(&facts, &lacks);
    if (lacks.length)
        log_info("agentos", NULL,
                 "Sandbox: %s. This kernel lacks parts that newer kernels add; `agentos doctor` names them.",
                 summary);
    else
        log_debug("agentos", NULL, "Sandbox: %s", summary);
    return EX_OK;
}

void preflight_capacity(const struct roster *roster)
{
    struct capacity list[CAPACITY_LIMITS];
    size_t count = capacity_list(roster->agent_count, (size_t)roster->warm_workers, 0, list);
    for (size_t i = 0; i < count; i++) {
        OWNED char *sentence = capacity_lack(&list[i]);
        if (sentence)
            log_warn("agentos", NULL, "This machine has %s", sentence);
    }
}

static void log_lines(enum log_level level, const struct buffer *lines)
{
    for (const char *line = lines->data; line && *line;) {
        int length = (int)strcspn(line, "\n");
        log_event(level, "agentos", NULL, "%.*s", length, line);
        line += length + (line[length] == '\n');
    }
}

int preflight_format(int data)
{
    struct fault fault;
    OWNED_BUFFER struct buffer changes = {0};
    int known = data_format_bring_forward(data, &changes, &fault);
    if (changes.length)
        log_info(
            "agentos", NULL,
            "The data directory is of an earlier version and is taken up as it is; deploy/docs/changes.md "
            "says what can surprise:");
    log_lines(LOG_LEVEL_INFO, &changes);
    if (known == 0)
        log_warn("agentos", NULL, "%s; the next start tells it again", fault.text);
    if (known < 0)
        log_error("agentos", NULL, "%s", fault.text);
    return known < 0 ? EX_CONFIG : EX_OK;
}

int preflight_roster(const char *data_dir, int secrets, struct roster **roster)
{
    OWNED_BUFFER struct buffer faults = {0}, warnings = {0};
    /* Without the secrets only the keys are not looked at. */
    struct secrets *keys = secrets_read(secrets, NULL);
    *roster = roster_load(data_dir, &faults);
    if (*roster && !roster_secrets(*roster, &faults)) {
        roster_free(*roster);
        *roster = NULL;
    }
    if (*roster) {
        provider_warnings_list(*roster, keys, &warnings);
        config_warnings_list(*roster, data_dir, &warnings);
    }
    secrets_free(keys);
    log_lines(LOG_LEVEL_WARN, &warnings);
    if (*roster)
        return EX_OK;
    log_lines(LOG_LEVEL_ERROR, &faults);
    log_error("agentos", NULL, "No agent was started. `agentos check` checks the file.");
    return EX_CONFIG;
}
