/* The names in an agent's directory (contract section 4), spelled once. */
#pragma once

#define TREE_PERSONA       "persona.md"
#define TREE_CONSTRAINTS   "constraints.md"
#define TREE_SKILLS        "skills.md"
#define TREE_GOALS         "goals.md"
#define TREE_REWARDS       "rewards.md"
#define TREE_REFLECTIONS   "reflections.md"
#define TREE_QUEUE         "queue.md"
#define TREE_SYSTEM_PROMPT "system_prompt.md"
#define TREE_CARD          ".agent"
#define TREE_SKILL_FOLDER  "skills"
#define TREE_OUTPUTS       "outputs"
#define TREE_INBOX         "iac/inbox"
#define TREE_HANDOFFS      "iac/handoffs"
#define TREE_OUTBOX        "iac/outbox"
#define TREE_ARCHIVE       "iac/archive"
#define TREE_DEAD_LETTERS  "iac/dead-letter"
#define TREE_NOTES         ".agentos"          /* the worker's own, not in git */
#define TREE_EPOCH         TREE_NOTES "/epoch" /* of the agent's last lease on this node: supervisor/nodes/nodes.h */

/* In DATA_DIR/agents, beside the agents: the folder that an import unpacks, until it is renamed to the agent's name. */
#define TREE_IMPORT_PREFIX ".import-"
/* The prefix of the folder of an agent that was moved to another node. */
#define TREE_MOVED_PREFIX ".moved-"

enum {
    TREE_FILE_MAX = 4 * 1024 * 1024, /* bytes of a state file that are read; a larger one is a fault */
    QUEUE_FILE_MAX = 64 * 1024 * 1024,
    SKILLS_MAX = 20,
    GOALS_MAX = 5,
    REWARDS_MAX = 30,
    REFLECTIONS_MAX = 15, /* contract section 8 */
    ID_MAX = 128,         /* bytes of a task's or an envelope's id */
    NAME_LENGTH_MAX = 64,
};
