/* Blocks of a queue.md, read for a test. */
#ifndef AGENTOS_TESTS_UNIT_BLOCK_FIXTURE_H
#define AGENTOS_TESTS_UNIT_BLOCK_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/format/block.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"

static inline struct block_list parse(const char *text)
{
    struct block_list list;
    block_parse(&list, text, strlen(text));
    return list;
}

/* One sound block with this task. */
static inline void assert_task(const char *text, const char *task)
{
    struct block_list list = parse(text);
    assert_int_equal(list.count, 1);
    assert_null(list.items[0].problem);
    assert_string_equal(list.items[0].task, task);
    block_list_free(&list);
}

#endif
