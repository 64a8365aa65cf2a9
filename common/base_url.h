/* A provider's base URL, as LLM_BASE_URL has it. */
#ifndef AGENTOS_COMMON_BASE_URL_H
#define AGENTOS_COMMON_BASE_URL_H

#include <stdbool.h>

#include "common/fault.h"

bool base_url_check(const char *value,
                    struct fault *fault); /* false: why it can't be one, without its name */

#endif
