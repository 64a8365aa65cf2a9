/* An exported agent's bundle beside its history: export writes these names and import reads them. */
#pragma once

#define BUNDLE_REF        "refs/agentos/export" /* a commit behind HEAD, with: */
#define BUNDLE_DEFINITION "definition.yaml"     /* the agent's item of agents.yaml, whole */
#define BUNDLE_FILES      "tree"                /* the agent's files as they were */

enum { BUNDLE_DEFINITION_MAX = 1024 * 1024 };
