/* The chat on a terminal: line editing and history by libedit. */
#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "joule/sys.h"
#include "paths.h"
#include "run.h"
#include "ui.h"

enum { HISTORY_LINES = 1000, MAX_MESSAGE_BYTES = 1 << 20 };

typedef struct {
    chat_run *c;
    EditLine *edit;
    History *history;
    char history_path[1024]; /* "" : kept in memory only */
    bool more;               /* the line before ended with a backslash */
    char *message;           /* lines joined so far; owned */
    size_t len, cap;
} repl;

static const char help_text[] =
    "/think on|off   let the model think before it answers, or not\n"
    "/result TEXT    the result of a tool call\n"
    "/reset          forget the conversation\n"
    "/help           this text\n"
    "/exit           end, like Ctrl-D\n"
    "A backslash at the end of a line continues the message. Ctrl-C stops an answer.\n";

static char *prompt(EditLine *e)
{
    static char first[] = "> ";
    static char next[] = ". ";
    void *data = NULL;

    el_get(e, EL_CLIENTDATA, &data);
    const repl *r = data;
    return r && r->more ? next : first;
}

static void open_history(repl *r)
{
    HistEvent event;

    r->history = history_init();
    if (!r->history)
        return;
    history(r->history, &event, H_SETSIZE, HISTORY_LINES);
    history(r->history, &event, H_SETUNIQUE, 1);
    if (path_history(r->history_path, sizeof r->history_path))
        history(r->history, &event, H_LOAD, r->history_path);
    else
        r->history_path[0] = 0;
    el_set(r->edit, EL_HIST, history, r->history);
}

static void remember(repl *r, const char *line)
{
    HistEvent event;

    if (!r->history)
        return;
    history(r->history, &event, H_ENTER, line);
    if (r->history_path[0])
        history(r->history, &event, H_SAVE, r->history_path);
}

static bool open_repl(repl *r, chat_run *c)
{
    *r = (repl){.c = c};
    setlocale(LC_CTYPE, "");
    r->edit = el_init("joule", stdin, stdout, stderr);
    if (!r->edit)
        return false;
    el_set(r->edit, EL_CLIENTDATA, r);
    el_set(r->edit, EL_PROMPT, prompt);
    el_set(r->edit, EL_EDITOR, "emacs");
    el_set(r->edit, EL_SIGNAL, 1);
    open_history(r);
    el_source(r->edit, NULL);
    return true;
}

static void close_repl(repl *r)
{
    if (r->history)
        history_end(r->history);
    el_end(r->edit);
    jl_free(r->message);
}

static jl_status append_line(repl *r, const char *line, size_t len, jl_error *err)
{
    if (r->len + len + 1 > MAX_MESSAGE_BYTES)
        return tool_error(err, JL_TOO_LARGE, "the message is longer than %d bytes: use -f",
                          MAX_MESSAGE_BYTES);
    if (r->len + len + 1 > r->cap) {
        char *grown = jl_realloc(r->message, 2 * (r->len + len) + 256);
        if (!grown)
            return tool_error(err, JL_NO_MEMORY, "out of memory for the message");
        r->message = grown;
        r->cap = 2 * (r->len + len) + 256;
    }
    memcpy(r->message + r->len, line, len);
    r->len += len;
    r->message[r->len] = 0;
    return JL_OK;
}

/* Reads one message, continued lines joined. *done at the end of input. */
static jl_status read_message(repl *r, bool *done, jl_error *err)
{
    r->len = 0;
    r->more = false;
    do {
        int n = 0;
        const char *line = el_gets(r->edit, &n);
        *done = !line || n <= 0;
        if (*done)
            return JL_OK;
        size_t len = (size_t)n;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        r->more = len > 0 && line[len - 1] == '\\';
        jl_status status = append_line(r, line, len - r->more, err);
        if (status == JL_OK && r->more)
            status = append_line(r, "\n", 1, err);
        if (status != JL_OK)
            return status;
    } while (r->more);
    return JL_OK;
}

/* The argument of a command, or NULL if the message is another one. */
static const char *argument(const char *message, const char *command)
{
    const size_t n = strlen(command);

    if (strncmp(message, command, n) != 0 || (message[n] && message[n] != ' '))
        return NULL;
    return message + n + strspn(message + n, " ");
}

static void after_answer(repl *r, gen_end end)
{
    run_note_end(r->c->g, end);
    if (end == GEN_INTERRUPTED)
        fputs("(stopped)\n", stderr);
    if (opt_on(r->c->g->o, OPT_VERBOSE))
        gen_print_stats(r->c->g);
}

static jl_status say(repl *r, const char *text, jl_error *err)
{
    gen_end end = GEN_EOG;

    run_catch(r->c->g, true);
    const jl_status status = chat_say(r->c, text, strlen(text), &end, err);
    run_catch(r->c->g, false);
    if (status == JL_OK)
        after_answer(r, end);
    return status;
}

static jl_status give_result(repl *r, const char *text, jl_error *err)
{
    gen_end end = GEN_EOG;
    bool answered = false;

    run_catch(r->c->g, true);
    const jl_status status = chat_result(r->c, text, strlen(text), &answered, &end, err);
    run_catch(r->c->g, false);
    if (status == JL_OK && answered)
        after_answer(r, end);
    return status;
}

static void set_think(repl *r, const char *word)
{
    if (strcmp(word, "on") == 0 || strcmp(word, "off") == 0)
        r->c->think = word[1] == 'n';
    else
        fputs("say /think on or /think off\n", stderr);
}

static jl_status handle(repl *r, bool *done, jl_error *err)
{
    const char *m = r->message;
    const char *arg;

    if (m[0] != '/')
        return say(r, m, err);
    if ((arg = argument(m, "/think")))
        set_think(r, arg);
    else if ((arg = argument(m, "/result")))
        return give_result(r, arg, err);
    else if (argument(m, "/reset"))
        return chat_reset(r->c, err);
    else if (argument(m, "/exit") || argument(m, "/quit"))
        *done = true;
    else
        fputs(help_text, stderr);
    return JL_OK;
}

jl_status repl_run(chat_run *c, jl_error *err)
{
    repl r;
    bool done = false;

    if (!open_repl(&r, c))
        return tool_error(err, JL_IO,
                          "the terminal cannot be used for line editing: give a prompt "
                          "with -p");
    fputs("Type a message; /help lists commands, Ctrl-D ends.\n", stderr);
    while (!done) {
        jl_error problem = {0};
        jl_status status = read_message(&r, &done, &problem);
        if (status == JL_OK && !done && r.message && r.message[strspn(r.message, " ")]) {
            remember(&r, r.message);
            status = handle(&r, &done, &problem);
        }
        if (status != JL_OK) /* the chat goes on: the conversation is as before */
            fprintf(stderr, "joule: %s\n", problem.text);
        ui_interrupted = 0;
    }
    close_repl(&r);
    return ferror(stdout) ? tool_error(err, JL_IO, "cannot write to stdout") : JL_OK;
}
