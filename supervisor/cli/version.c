/* `agentos --version`: the libraries as they are loaded, not as they were compiled against. */
#include <dlfcn.h>
#include <git2.h>
#include <jansson.h>
#include <limits.h>
#include <nng/nng.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include <curl/curl.h>
#include <seccomp.h>

#include "supervisor/cli/verbs.h"

/* libcurl, libnats and libseccomp belong to other programs of ours; agentos doesn't link them, so that a client
 * starts fast and the supervisor stays small. This file loads these libraries as the loader would load them for those
 * programs. */
static void *symbol(const char *library, const char *name)
{
    void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
    return handle != NULL ? dlsym(handle, name) : NULL;
}

static void add_curl(struct buffer *out)
{
    curl_version_info_data *(*info)(CURLversion) = NULL;
    *(void **)&info = symbol("libcurl.so.4", "curl_version_info");
    const curl_version_info_data *data = info != NULL ? info(CURLVERSION_NOW) : NULL;
    buffer_print(out, "libcurl %s", data != NULL ? data->version : "cannot be loaded");
    if (data != NULL && data->ssl_version != NULL)
        buffer_print(out, " (%s)", data->ssl_version);
    buffer_text(out, "\n");
}

static void add_seccomp(struct buffer *out)
{
    const struct scmp_version *(*version)(void) = NULL;
    *(void **)&version = symbol("libseccomp.so.2", "seccomp_version");
    const struct scmp_version *data = version != NULL ? version() : NULL;
    if (data == NULL) {
        buffer_text(out, "libseccomp cannot be loaded\n");
        return;
    }
    buffer_print(out, "libseccomp %u.%u.%u\n", data->major, data->minor, data->micro);
}

static void add_nats(struct buffer *out)
{
    const char *(*version)(void) = NULL;
    *(void **)&version = symbol("libnats.so.3.4", "nats_GetVersion");
    buffer_print(out, "libnats %s\n", version != NULL ? version() : "cannot be loaded");
}

/* libbsd has no function that tells its version; its file's name does: libbsd.so.0.11.7. */
static void add_bsd(struct buffer *out)
{
    void *function = symbol("libbsd.so.0", "strlcpy");
    Dl_info info;
    char path[PATH_MAX] = "";
    if (function == NULL || dladdr(function, &info) == 0 || realpath(info.dli_fname, path) == NULL) {
        buffer_text(out, "libbsd cannot be loaded\n");
        return;
    }
    const char *version = strstr(path, ".so.");
    buffer_print(out, "libbsd %s\n", version != NULL ? version + 4 : path);
}

void verbs_version(struct buffer *out)
{
    int major = 0;
    int minor = 0;
    int revision = 0;
    git_libgit2_version(&major, &minor, &revision);
    buffer_print(out, "agentos %s\n", AGENTOS_VERSION);
    add_curl(out);
    buffer_print(out, "libyaml %s\n", yaml_get_version_string());
    buffer_print(out, "libgit2 %d.%d.%d\n", major, minor, revision);
    add_seccomp(out);
    buffer_print(out, "jansson %s\n", jansson_version_str());
    buffer_print(out, "nng %s\n", nng_version());
    add_nats(out);
    add_bsd(out);
}
