#include "supervisor/reader/skill_decay.h"

#include <math.h>
#include <sysexits.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/format/roster.h"
#include "common/memory.h"
#include "supervisor/listings/learned.h"

enum { DAY = 86400 };

/* As agents.yaml has it; 0: the file is refused, or names no such agent. */
static double halflife_of(const char *data_dir, const char *agent)
{
    OWNED_BUFFER struct buffer faults = {0};
    struct roster *roster = roster_load(data_dir, &faults);
    const struct roster_agent *found = roster ? roster_find(roster, agent) : NULL;
    double days = found ? found->decay_halflife_days : 0;
    roster_free(roster);
    return days;
}

/* In thousandths. A date in the future counts as now, as it does for the worker. */
static json_t *decay_of(const json_t *skill, double halflife)
{
    int64_t last = 0, now = clock_now();
    const char *at = json_string_value(json_object_get(skill, "last_success"));
    if (!at || !clock_parse(at, &last))
        at = json_string_value(json_object_get(skill, "created"));
    if (halflife <= 0 || !at || !clock_parse(at, &last))
        return json_null();
    double days = last < now ? (double)(now - last) / DAY : 0;
    return json_real(round(exp2(-days / halflife) * 1000) / 1000);
}

void skill_decay_add(const char *data_dir, const char *agent, json_t *items)
{
    size_t index;
    json_t *item;
    double halflife = halflife_of(data_dir, agent);
    json_array_foreach(items, index, item)
    {
        json_object_set_new(item, "decay", decay_of(item, halflife));
        json_object_set_new(item, "halflife_days", halflife > 0 ? json_real(halflife) : json_null());
    }
}

int skill_decay_list(const struct reading *reading, json_t **answer, struct fault *fault)
{
    const char *agent = reading_text(reading, "agent");
    OWNED char *path = reading_agent(reading, fault);
    OWNED_FD int folder = path ? files_open_path(path, fault) : -1;
    json_t *items = folder >= 0 ? learned_items(folder, agent, LEARNED_SKILLS, SIZE_MAX, fault) : NULL;
    if (!items)
        return folder >= 0 ? EX_SOFTWARE : EX_NOINPUT;
    skill_decay_add(reading->data_dir, agent, items);
    *answer = json_pack("{s:o}", "items", items);
    return EX_OK;
}
