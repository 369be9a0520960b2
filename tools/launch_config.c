/* The configuration of OpenCode, and asking a server who it is. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "joule/sys.h"
#include "launch.h"
#include "paths.h"

enum { MAX_REPLY = 1 << 16, MAX_CONFIG = 1 << 20 };

static size_t ask(int port, char *reply, size_t cap)
{
    static const char request[] =
        "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 2};
    size_t len = 0;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        return 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 &&
        write(fd, request, sizeof request - 1) == (ssize_t)sizeof request - 1)
        for (ssize_t n; len < cap - 1 && (n = read(fd, reply + len, cap - 1 - len)) > 0;)
            len += (size_t)n;
    close(fd);
    reply[len] = '\0';
    return len;
}

bool launch_find(int port, char *id, size_t id_cap, long *n_ctx)
{
    static char reply[MAX_REPLY];
    const char *body = ask(port, reply, sizeof reply) ? strstr(reply, "\r\n\r\n") : NULL;
    json_t *v = body ? json_loads(body + 4, 0, NULL) : NULL;
    const json_t *model = json_array_get(json_object_get(v, "data"), 0);
    const char *name = json_string_value(json_object_get(model, "id"));
    const char *owner = json_string_value(json_object_get(model, "owned_by"));
    const bool found = name && owner && strcmp(owner, "joule") == 0;

    if (found) {
        snprintf(id, id_cap, "%s", name);
        *n_ctx = (long)json_integer_value(json_object_get(model, "context_length"));
    }
    json_decref(v);
    return found;
}

/* max_tokens of every request: a quarter of the context, so that the conversation has room. */
static json_t *model_entry(const char *id, long n_ctx)
{
    const long output = n_ctx / 4 < 8192 ? n_ctx / 4 : 8192;

    return json_pack("{s:s, s:{s:I, s:I}, s:b, s:b}", "name", id, "limit", "context",
                     (json_int_t)n_ctx, "output", (json_int_t)output, "tool_call", 1, "temperature",
                     1);
}

static json_t *lean_agent(const char *path)
{
    char prompt[4200];

    snprintf(prompt, sizeof prompt, "{file:%s}", path);
    return json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s}}", "description",
                     "short instructions and six tools, for small local models", "mode", "primary",
                     "prompt", prompt, "permission", "*", "deny", "bash", "allow", "edit", "allow",
                     "glob", "allow", "grep", "allow", "read", "allow", "write", "allow");
}

json_t *launch_config(const char *id, int port, long n_ctx, const char *lean_path)
{
    char url[64];
    char model[200];

    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", port);
    snprintf(model, sizeof model, "joule/%s", id);
    json_t *models = json_object();
    json_object_set_new(models, id, model_entry(id, n_ctx));
    json_t *config = json_pack(
        "{s:s, s:s, s:s, s:{s:{s:s, s:s, s:{s:s, s:s, s:b, s:b}, s:o}}}", "$schema",
        "https://opencode.ai/config.json", "model", model, "small_model", model, "provider",
        "joule", "npm", "@ai-sdk/openai-compatible", "name", "joule", "options", "baseURL", url,
        "apiKey", "joule", "headerTimeout", 0, "chunkTimeout", 0, "models", models);
    if (lean_path)
        json_object_set_new(config, "agent", json_pack("{s:o}", "lean", lean_agent(lean_path)));
    return config;
}

/* Sets the member of an object within the person's object, made if it is not there. */
static bool set_inside(json_t *mine, const json_t *config, const char *group, const char *name)
{
    json_t *value = json_object_get(json_object_get(config, group), name);

    if (!value)
        return true;
    if (!json_object_get(mine, group))
        json_object_set_new(mine, group, json_object());
    return json_object_set(json_object_get(mine, group), name, value) == 0;
}

static bool yes(void)
{
    char answer[16];

    return isatty(STDIN_FILENO) && fgets(answer, sizeof answer, stdin) &&
           (answer[0] == 'y' || answer[0] == 'Y');
}

static bool write_config(const char *path, const json_t *mine)
{
    jl_writer *w = NULL;
    jl_error err;
    char *text = json_dumps(mine, JSON_INDENT(2));

    bool ok = text && jl_writer_create(path, &w, &err) == JL_OK;
    if (ok && jl_writer_write(w, text, strlen(text), &err) != JL_OK) {
        jl_writer_abort(w);
        ok = false;
    } else if (ok) {
        ok = jl_writer_commit(w, &err) == JL_OK;
    }
    jl_free(text);
    if (!ok)
        fprintf(stderr, "joule: %s was not changed: %s\n", path, text ? err.text : "out of memory");
    return ok;
}

bool launch_offer(char *path, const json_t *config)
{
    char *text = NULL;
    size_t len = 0;
    jl_error err;
    bool ok = false;

    if (!path || !isatty(STDIN_FILENO))
        return false;
    const bool exists = jl_file_read(path, MAX_CONFIG, &text, &len, &err) == JL_OK;
    json_t *mine = exists ? json_loadb(text, len, 0, NULL) : json_object();
    jl_free(text);
    if (!json_is_object(mine)) {
        fprintf(stderr, "joule: %s is not plain JSON (comments?) and is left as it is\n", path);
        json_decref(mine);
        return false;
    }
    json_t *before = json_deep_copy(mine);
    if (set_inside(mine, config, "provider", "joule") &&
        set_inside(mine, config, "agent", "lean")) {
        ok = json_equal(before, mine);
        if (!ok) {
            fprintf(stderr, "joule: add the provider \"joule\" to %s? [y/N] ", path);
            ok = yes() && path_make_folders(path) && write_config(path, mine);
        }
    }
    json_decref(before);
    json_decref(mine);
    return ok;
}
