/* The built-in model behind LLM_BASE_URL=offline: no network, no chance, the same answer to the same task; each
 * answer says that it comes from no real model. */
#pragma once

/* A completion as a server would send it, as JSON, for response_read. Caller frees. */
char *offline_completion(const char *system, const char *task);
