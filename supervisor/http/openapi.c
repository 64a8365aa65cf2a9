#include "supervisor/http/openapi.h"

#include <stdio.h>
#include <string.h>

#include "common/memory.h"
#include "supervisor/http/openapi_schemas.h"
#include "supervisor/http/routes.h"

/* "post_v1_agents_agent_tasks": a name from which generators make functions. Caller frees. */
static char *operation_id(const struct route *route)
{
    char *id = memory_print("%s%s", route->method, route->path);
    char *to = id;
    for (const char *from = id; *from; from++)
        if (*from == '/' || *from == '.')
            *to++ = '_';
        else if (*from != '{' && *from != '}')
            *to++ = *from >= 'A' && *from <= 'Z' ? (char)(*from - 'A' + 'a') : *from;
    *to = '\0';
    return id;
}

static json_t *schema_of(enum field_kind kind)
{
    if (kind == FIELD_COUNT || kind == FIELD_SOME)
        return json_pack("{s:s, s:i}", "type", "integer", "minimum", kind == FIELD_SOME);
    if (kind == FIELD_FLAG)
        return json_pack("{s:s}", "type", "boolean");
    json_t *text = json_pack("{s:s}", "type", "string");
    if (kind == FIELD_PRIORITY)
        json_object_set_new(text, "enum", json_pack("[s, s, s]", "high", "normal", "low"));
    return text;
}

static json_t *body_of(const struct field *fields)
{
    json_t *properties = json_object(), *required = json_array();
    for (; fields->name; fields++) {
        json_t *schema = schema_of(fields->kind);
        json_object_set_new(schema, "description", json_string(fields->says));
        json_object_set_new(properties, fields->name, schema);
        if (fields->required)
            json_array_append_new(required, json_string(fields->name));
    }
    return json_pack("{s:b, s:{s:{s:{s:s, s:o, s:o, s:b}}}}", "required", json_array_size(required) > 0,
                     "content", "application/json", "schema", "type", "object", "properties", properties,
                     "required", required, "additionalProperties", 0);
}

/* The pieces of the path that a request fills in, the parameters behind it, and the header that a route takes. */
static json_t *parameters_of(const struct route *route)
{
    json_t *parameters = json_array();
    const char *path = route->path;
    while ((path = strchr(path, '{'))) {
        size_t length = strcspn(++path, "}");
        json_array_append_new(parameters, json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", path, length, "in",
                                                    "path", "required", 1, "schema", "type", "string"));
    }
    for (const struct field *field = route->query; field && field->name; field++)
        json_array_append_new(parameters, json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", field->name, "in",
                                                    "query", "required", 0, "description", field->says,
                                                    "schema", schema_of(field->kind)));
    if (route_takes_key(route))
        json_array_append_new(
            parameters, json_pack("{s:s, s:s, s:b, s:s, s:{s:s}}", "name", "Idempotency-Key", "in", "header",
                                  "required", 0, "description",
                                  "The same key stands for the same request: a repeated one does nothing "
                                  "more, and one with another text is refused.",
                                  "schema", "type", "string"));
    return parameters;
}

static const char *type_of(const struct route *route)
{
    if (route->gives)
        return "application/json";
    return route->asks == ASKS_EVENTS ? "text/event-stream" : "text/plain";
}

static json_t *responses_of(const struct route *route)
{
    char status[16];
    snprintf(status, sizeof status, "%u", route->done ? route->done : 200);
    const char *gives = route->gives ? route->gives : "string";
    static const char problem[] = "#/components/responses/Problem";
    return json_pack("{s:{s:s, s:{s:{s:o}}}, s:{s:s}, s:{s:s}}", status, "description", route->says,
                     "content", type_of(route), "schema", openapi_schema(gives), "4XX", "$ref", problem,
                     "5XX", "$ref", problem);
}

static json_t *operation_of(const struct route *route)
{
    OWNED char *id = operation_id(route);
    json_t *operation = json_pack("{s:s, s:s, s:o, s:o}", "operationId", id, "summary", route->says,
                                  "parameters", parameters_of(route), "responses", responses_of(route));
    if (route->fields && route->fields->name)
        json_object_set_new(operation, "requestBody", body_of(route->fields));
    if (route->open)
        json_object_set_new(operation, "security", json_array());
    return operation;
}

static json_t *paths(void)
{
    json_t *all = json_object();
    const struct route *route;
    for (size_t i = 0; (route = routes_at(i)); i++) {
        if (route->asks == ASKS_PAGE)
            continue; /* for people */
        char method[8];
        size_t length = strlen(route->method);
        for (size_t j = 0; j <= length && j < sizeof method; j++)
            method[j] = (char)(route->method[j] ? route->method[j] | 0x20 : '\0');
        json_t *path = json_object_get(all, route->path);
        if (!path) {
            path = json_object();
            json_object_set_new(all, route->path, path);
        }
        json_object_set_new(path, method, operation_of(route));
    }
    return all;
}

static json_t *problem_response(void)
{
    return json_pack("{s:s, s:{s:{s:o}}}", "description", "A problem.", "content", "application/problem+json",
                     "schema", openapi_schema("Problem"));
}

json_t *openapi_document(void)
{
    json_t *info =
        json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "title", "AgentOS", "version", AGENTOS_VERSION, "summary",
                  "Many LLM agents in one container.", "license", "name", "MIT", "identifier", "MIT");
    json_t *components =
        json_pack("{s:{s:{s:s, s:s}}, s:{s:o}, s:o}", "securitySchemes", "token", "type", "http", "scheme",
                  "bearer", "responses", "Problem", problem_response(), "schemas", openapi_schemas());
    return json_pack("{s:s, s:o, s:[{s:s}], s:[{s:[]}], s:o, s:o}", "openapi", "3.1.0", "info", info,
                     "servers", "url", "/", "security", "token", "paths", paths(), "components", components);
}
