/* Showing a reply. */
#include "show.h"

#include <string.h>
#include <unistd.h>

#include "joule/sys.h"
#include "json.h"

static bool use_color(const opts *o)
{
    const char *term = jl_env("TERM");

    if (opt_on(o, OPT_NO_COLOR) || strcmp(opt_text(o, OPT_COLOR), "never") == 0)
        return false;
    if (strcmp(opt_text(o, OPT_COLOR), "always") == 0)
        return true;
    return isatty(STDOUT_FILENO) && !jl_env("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

void show_start(show *s, const opts *o)
{
    *s = (show){.o = o, .dim = use_color(o)};
    if (!opt_on(o, OPT_HIDE_THINKING) && !opt_on(o, OPT_QUIET))
        s->thoughts = isatty(STDOUT_FILENO) || s->dim ? stdout : stderr;
}

static void end_thought(show *s)
{
    if (!s->in_thought)
        return;
    s->in_thought = false;
    if (s->thoughts)
        fprintf(s->thoughts, "%s\n\n", s->dim ? "\x1b[0m" : "");
}

static void show_thought(show *s, const jl_chat_event *e)
{
    if (!s->thoughts)
        return;
    if (!s->in_thought)
        fputs(s->dim ? "\x1b[2m" : "[thinking] ", s->thoughts);
    s->in_thought = true;
    fwrite(e->text, 1, e->len, s->thoughts);
    fflush(s->thoughts);
}

static void show_content(show *s, const jl_chat_event *e)
{
    if (e->len == 0)
        return;
    end_thought(s);
    fwrite(e->text, 1, e->len, stdout);
    fflush(stdout);
    s->line_open = e->text[e->len - 1] != '\n';
}

static void begin_call(show *s, const jl_chat_event *e)
{
    s->call_len = 0;
    snprintf(s->name, sizeof s->name, "%s", e->name);
}

static void add_arguments(show *s, const jl_chat_event *e)
{
    if (s->call_len + e->len > s->call_cap) {
        const size_t cap = 2 * (s->call_len + e->len) + 256;
        char *grown = jl_realloc(s->call, cap);
        if (!grown) {
            s->failed = true;
            return;
        }
        s->call = grown;
        s->call_cap = cap;
    }
    memcpy(s->call + s->call_len, e->text, e->len);
    s->call_len += e->len;
}

static void end_call(show *s, const jl_chat_event *e)
{
    if (!e->complete || s->failed)
        return;
    end_thought(s);
    printf("%s{\"name\":", s->line_open ? "\n" : "");
    json_print_string(stdout, s->name, strlen(s->name));
    printf(",\"arguments\":%.*s}\n", s->call_len ? (int)s->call_len : 2,
           s->call_len ? s->call : "{}");
    fflush(stdout);
    s->line_open = false;
}

void show_event(void *ctx, const jl_chat_event *event)
{
    show *s = ctx;

    switch (event->kind) {
    case JL_EVENT_CONTENT:
        show_content(s, event);
        break;
    case JL_EVENT_REASONING:
        show_thought(s, event);
        break;
    case JL_EVENT_CALL_BEGIN:
        begin_call(s, event);
        break;
    case JL_EVENT_CALL_ARGUMENTS:
        add_arguments(s, event);
        break;
    case JL_EVENT_CALL_END:
        end_call(s, event);
        break;
    case JL_EVENT_REPAIR:
        if (opt_on(s->o, OPT_VERBOSE))
            fprintf(stderr, "\nmended: %s\n", event->text);
        break;
    case JL_EVENT_FINISH:
        break;
    }
}

void show_end(show *s)
{
    end_thought(s);
    if (s->line_open)
        putchar('\n');
    fflush(stdout);
    jl_free(s->call);
    *s = (show){0};
}
