/* `agentos locks` and `agentos segments`: the notices in shared/ that every agent may read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/memory.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/listings/notices.h"

/* One kind of notice: the folder that holds it, and the keys of it that the table shows. */
struct shared_listing {
    const char *folder; /* below DATA_DIR */
    const char *const *heads, *const *keys;
    size_t columns;
    const char *nothing;
};

static void print_value(const json_t *value, struct buffer *out)
{
    size_t index = 0;
    const json_t *child = NULL;
    if (json_is_array(value)) {
        json_array_foreach(value, index, child)
        {
            buffer_text(out, index > 0 ? ", " : "");
            print_value(child, out);
        }
    } else if (json_is_integer(value)) {
        buffer_print(out, "%lld", (long long)json_integer_value(value));
    } else if (json_is_string(value)) {
        buffer_text(out, json_string_value(value));
    }
}

static void show_items(const struct shared_listing *listing, const json_t *items)
{
    size_t index = 0;
    const json_t *item = NULL;
    struct table table;
    if (json_array_size(items) == 0) {
        puts(listing->nothing);
        return;
    }
    table_begin(&table, listing->heads, listing->columns);
    json_array_foreach(items, index, item)
    {
        for (size_t i = 0; i < listing->columns; i++) {
            struct buffer text OWNED_BUFFER = {0};
            print_value(json_object_get(item, listing->keys[i]), &text);
            table_cell(&table, text.length > 0 ? text.data : NULL);
        }
    }
    table_show(&table);
}

static void complain(const char *sentence)
{
    output_complain("%s", sentence);
}

static int list(const struct invocation *invocation, const struct shared_listing *listing)
{
    int status = 0;
    if (!data_dir_has(invocation, NULL, &status)) {
        return status;
    }
    OWNED_FD int data = files_open_path(invocation->data_dir, NULL);
    json_t *items = notices_list(data, listing->folder, complain);
    if (invocation_has(invocation, OPTION_JSON)) {
        output_items(items);
    } else {
        show_items(listing, items);
        json_decref(items);
    }
    return output_end(status);
}

int verb_locks(struct invocation *invocation)
{
    static const char *const HEADS[] = {"LOCK",  "HOLDER",      "TASK",   ">TOKEN",
                                        "SINCE", "LEASE UNTIL", "WAITERS"};
    static const char *const KEYS[] = {"name", "holder", "task", "token", "since", "lease_until", "waiters"};
    static const struct shared_listing LISTING = {NOTICES_LOCKS, HEADS, KEYS, 7, "No lock was ever taken."};
    return list(invocation, &LISTING);
}

int verb_segments(struct invocation *invocation)
{
    static const char *const HEADS[] = {"SEGMENT", ">VERSION", "UPDATED", "BY"};
    static const char *const KEYS[] = {"name", "version", "updated", "by"};
    static const struct shared_listing LISTING = {NOTICES_SEGMENTS, HEADS, KEYS, 4,
                                                  "No segment was ever written."};
    return list(invocation, &LISTING);
}
