#include "supervisor/reader/reader.h"
#include "common/utf8.h"

#include <string.h>
#include <sysexits.h>

#include "supervisor/reader/commit_page.h"
#include "supervisor/reader/envelope_page.h"
#include "supervisor/reader/skill_decay.h"
#include "supervisor/reader/task_answer.h"
#include "supervisor/reader/usage_days.h"

static const struct {
    const char *name;
    /* EX_OK and *answer, or another exit code (sysexits.h) and fault. */
    int (*read)(const struct reading *reading, json_t **answer, struct fault *fault);
} answers[] = {
    {"commit", commit_page_one},  {"commits", commit_page_changes}, {"envelope", envelope_page_one},
    {"envelopes", envelope_page}, {"log", commit_page_log},         {"queues", envelope_page_queues},
    {"skills", skill_decay_list}, {"task", task_answer_state},      {"usage", usage_days_read},
};

json_t *reader_answer(const struct reading *reading)
{
    struct fault fault = {0};
    json_t *answer = NULL;
    const char *name = reading_text(reading, "read");
    for (size_t i = 0; name && i < sizeof answers / sizeof *answers; i++) {
        if (strcmp(answers[i].name, name) != 0)
            continue;
        int status = answers[i].read(reading, &answer, &fault);
        return status == EX_OK ? json_pack("{s:i, s:o}", "exit", EX_OK, "answer", answer)
                               : json_pack("{s:i, s:o}", "exit", status, "complaint", utf8_json(fault.text));
    }
    return json_pack("{s:i, s:s}", "exit", EX_USAGE, "complaint", "nothing of this name can be read");
}
