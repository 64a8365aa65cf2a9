/* The texts of the prompt's own example of a reply: the template and the lists of peers and segments show them, and a
 * reply that repeats them means nothing by it. In angle brackets, so that none can be an agent's, a queue's, a segment's or a skill's name. */
#pragma once

#define EXAMPLE_REASON      "<why, in one line>"
#define EXAMPLE_SKILL       "<skill-name>"
#define EXAMPLE_DESCRIPTION "<when and why to use it>"
#define EXAMPLE_BODY        "<steps, code and pitfalls>"
#define EXAMPLE_REFLECTION  "<what to do differently, in one line>"
#define EXAMPLE_GOAL        "<what failures show is missing>"
#define EXAMPLE_GOAL_DONE   "<a goal that is reached, as it is written above>"
#define EXAMPLE_AGENT       "<agent>"
#define EXAMPLE_TASK        "<the work>"
#define EXAMPLE_MESSAGE     "<the news>"
#define EXAMPLE_QUEUE       "<queue>"
#define EXAMPLE_ITEM        "<work for whoever has room>"
#define EXAMPLE_SEGMENT     "<segment>"
#define EXAMPLE_SHARED      "<the whole new text>"
#define EXAMPLE_VERSION     "<the version that you saw>"
