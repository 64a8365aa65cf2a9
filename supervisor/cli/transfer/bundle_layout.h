/* What stands in an exported agent's bundle beside its history: where export puts it and import finds it. */
#ifndef AGENTOS_SUPERVISOR_CLI_TRANSFER_BUNDLE_LAYOUT_H
#define AGENTOS_SUPERVISOR_CLI_TRANSFER_BUNDLE_LAYOUT_H

#define BUNDLE_REF        "refs/agentos/export" /* a commit behind HEAD, with: */
#define BUNDLE_DEFINITION "definition.yaml"     /* the agent's item of agents.yaml, whole */
#define BUNDLE_FILES      "tree"                /* its files as they were */

enum { BUNDLE_DEFINITION_MAX = 1024 * 1024 };

#endif
