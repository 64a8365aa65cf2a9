/* The built-in model behind LLM_BASE_URL=offline: no network, no chance, the same answer to the same task; it says
 * that it is no real model. */
#pragma once

/* A completion as a server would send it, as JSON, to be read by response_read like any other. Caller frees. */
char *offline_completion(const char *system, const char *task);
