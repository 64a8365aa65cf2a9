#include "supervisor/gateway/request.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/utf8.h"

/* The reply of contract section 7 as a JSON schema. Everything but the answer and the reward may be missing, so the
 * server's strict mode (which wants every key) isn't asked for. */
static const char schema[] =
    "{\"type\":\"object\",\"required\":[\"answer\",\"reward\"],\"properties\":{"
    "\"answer\":{\"type\":\"string\",\"description\":\"The answer for the person.\"},"
    "\"reward\":{\"type\":\"integer\",\"enum\":[-1,0,1],"
    "\"description\":\"1 reusable success, 0 partial, -1 failure\"},"
    "\"reason\":{\"type\":\"string\"},"
    "\"skill\":{\"type\":\"object\",\"required\":[\"name\",\"description\",\"body\"],\"properties\":{"
    "\"name\":{\"type\":\"string\",\"description\":\"1-64 of a-z 0-9 -\"},"
    "\"description\":{\"type\":\"string\"},\"body\":{\"type\":\"string\"}}},"
    "\"reflection\":{\"type\":\"string\"},"
    "\"goals\":{\"type\":\"object\",\"properties\":{"
    "\"add\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"done\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}},"
    "\"handoffs\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"to\",\"task\"],"
    "\"properties\":{\"to\":{\"type\":\"string\"},\"task\":{\"type\":\"string\"},"
    "\"ttl_seconds\":{\"type\":\"integer\"},"
    "\"priority\":{\"type\":\"string\",\"enum\":[\"high\",\"normal\",\"low\"]}}}},"
    "\"messages\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"to\",\"body\"],"
    "\"properties\":{\"to\":{\"type\":\"string\"},\"body\":{\"type\":\"string\"}}}},"
    "\"enqueue\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"queue\",\"task\"],"
    "\"properties\":{\"queue\":{\"type\":\"string\"},\"task\":{\"type\":\"string\"}}}},"
    "\"segments\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"name\",\"body\"],"
    "\"properties\":{\"name\":{\"type\":\"string\"},\"body\":{\"type\":\"string\"},"
    "\"base_version\":{\"type\":\"integer\"}}}}}}";

static json_t *text(const char *value)
{
    size_t length = strlen(value);
    json_t *string = json_stringn(value, length);
    if (string)
        return string;
    OWNED char *clean = utf8_clean(value, length);
    return json_string(clean);
}

static json_t *message(const char *role, const char *content)
{
    json_t *object = json_object();
    json_object_set_new(object, "role", json_string(role));
    json_object_set_new(object, "content", text(content));
    return object;
}

static json_t *format(const char *name)
{
    json_t *object = json_object();
    json_object_set_new(object, "type", json_string(name));
    if (strcmp(name, "json_schema") == 0) {
        json_t *inner = json_object();
        json_object_set_new(inner, "name", json_string("agentos_reply"));
        json_object_set_new(inner, "schema", json_loads(schema, 0, NULL));
        json_object_set_new(object, "json_schema", inner);
    }
    return object;
}

char *request_body(const struct request *request)
{
    json_t *messages = json_array();
    json_array_append_new(messages, message("system", request->system));
    json_array_append_new(messages, message("user", request->task));
    json_t *body = json_object();
    json_object_set_new(body, "model", text(request->model));
    json_object_set_new(body, "messages", messages);
    json_object_set_new(body, request->completion_tokens ? "max_completion_tokens" : "max_tokens",
                        json_integer(request->max_tokens));
    if (request->temperature)
        json_object_set_new(body, "temperature", json_real(strtod(request->temperature, NULL)));
    if (request->response_format)
        json_object_set_new(body, "response_format", format(request->response_format));
    char *dumped = json_dumps(body, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    json_decref(body);
    return dumped ? dumped : memory_text("{}");
}
