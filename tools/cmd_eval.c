/* joule eval: questions from a file of JSON lines. A line with "choices" is answered by the choice
 * of the highest log likelihood, any other by what the model writes. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "figures.h"
#include "joule/chat.h"
#include "joule/sys.h"

enum { MAX_FILE = 1 << 30, MAX_CHOICES = 64, DEFAULT_ANSWER = 64, MAX_ANSWER = 4096 };

typedef struct {
    size_t n, n_right, n_right_per_byte;
} tally;

typedef struct {
    eval_run run;
    jl_chat *chat; /* made when the first line needs it */
    tally choices, exact;
    size_t line;
    const char *text; /* of the line */
    size_t len;
} eval;

static jl_status bad_line(const eval *e, jl_error *err, const char *what)
{
    return tool_error(err, JL_FORMAT, "line %zu: %s", e->line, what);
}

/* ---- the prompt ---------------------------------------------------------------------------- */

static jl_status fill_conversation(const eval *e, const json_t *item, jl_conversation *conv,
                                   jl_error *err)
{
    const jl_chat_message m = {
        .role = JL_ROLE_USER,
        .content = {json_string_value(json_object_get(item, "prompt")),
                    json_string_length(json_object_get(item, "prompt"))}};

    return json_object_get(item, "messages") ? jl_conversation_load(conv, e->text, e->len, err)
                                             : jl_conversation_add(conv, &m, err);
}

static jl_status render(eval *e, const json_t *item, token_list *out, jl_error *err)
{
    jl_conversation *conv = NULL;
    jl_chat_prompt prompt = {0};

    jl_status s = e->chat ? JL_OK : jl_chat_create(e->run.model, &e->chat, err);
    if (s == JL_OK)
        s = jl_conversation_create(0, &conv, err);
    if (s == JL_OK)
        s = fill_conversation(e, item, conv, err);
    if (s == JL_OK)
        s = jl_chat_render(e->chat, conv, NULL, &prompt, err);
    if (s == JL_OK) {
        out->ids = jl_malloc(prompt.n_tokens * sizeof *out->ids);
        out->n = prompt.n_tokens;
        if (out->ids)
            memcpy(out->ids, prompt.tokens, prompt.n_tokens * sizeof *out->ids);
        else
            s = tool_error(err, JL_NO_MEMORY, "out of memory");
    }
    jl_chat_prompt_free(&prompt);
    jl_conversation_destroy(conv);
    return s;
}

static jl_status prompt_tokens(eval *e, const json_t *item, token_list *out, jl_error *err)
{
    const json_t *prompt = json_object_get(item, "prompt");

    if (json_object_get(item, "messages") || (prompt && opt_on(e->run.o, OPT_CHAT)))
        return render(e, item, out, err);
    if (!json_is_string(prompt))
        return bad_line(e, err, "needs a text \"prompt\" or \"messages\"");
    return load_tokenize(e->run.model, json_string_value(prompt), json_string_length(prompt),
                         JL_TOKENIZE_BOS, out, err);
}

/* ---- choices ------------------------------------------------------------------------------- */

static void judge(eval *e, const json_t *choices, const jl_continuation *scores, size_t right)
{
    size_t best = 0;
    size_t best_per_byte = 0;
    const size_t n = json_array_size(choices);

    for (size_t i = 1; i < n; i++) {
        const double bytes = (double)json_string_length(json_array_get(choices, i));
        const double best_bytes =
            (double)json_string_length(json_array_get(choices, best_per_byte));
        if (scores[i].logprob > scores[best].logprob)
            best = i;
        if (scores[i].logprob / bytes > scores[best_per_byte].logprob / best_bytes)
            best_per_byte = i;
    }
    e->choices.n++;
    e->choices.n_right += best == right;
    e->choices.n_right_per_byte += best_per_byte == right;
    if (opt_on(e->run.o, OPT_VERBOSE))
        fprintf(stderr, "line %zu: choice %zu (%.2f nats), right is %zu\n", e->line, best,
                scores[best].logprob, right);
}

static jl_status choice_tokens(eval *e, const json_t *choices, token_list *lists, jl_error *err)
{
    for (size_t i = 0; i < json_array_size(choices); i++) {
        const json_t *text = json_array_get(choices, i);
        if (json_string_length(text) == 0)
            return bad_line(e, err, "every choice is a text that is not empty");
        const jl_status s = load_tokenize(e->run.model, json_string_value(text),
                                          json_string_length(text), 0, &lists[i], err);
        if (s != JL_OK)
            return s;
    }
    return JL_OK;
}

static jl_status run_choices(eval *e, const json_t *item, const token_list *prompt, jl_error *err)
{
    const json_t *choices = json_object_get(item, "choices");
    const json_t *answer = json_object_get(item, "answer");
    const size_t n = json_array_size(choices);
    token_list lists[MAX_CHOICES] = {0};
    jl_token_span spans[MAX_CHOICES];
    jl_continuation scores[MAX_CHOICES];

    if (n < 2 || n > MAX_CHOICES)
        return bad_line(e, err, "\"choices\" is a list of 2 to 64 texts");
    if (!json_is_integer(answer) || json_integer_value(answer) < 0 ||
        (size_t)json_integer_value(answer) >= n)
        return bad_line(e, err, "\"answer\" is the number of the right choice, from 0");
    jl_status s = choice_tokens(e, choices, lists, err);
    for (size_t i = 0; i < n; i++)
        spans[i] = (jl_token_span){lists[i].ids, lists[i].n};
    if (s == JL_OK)
        s = jl_score_continuations(e->run.session, (jl_token_span){prompt->ids, prompt->n}, spans,
                                   n, scores, err);
    if (s == JL_OK)
        judge(e, choices, scores, (size_t)json_integer_value(answer));
    for (size_t i = 0; i < n; i++)
        jl_free(lists[i].ids);
    return s;
}

/* ---- written answers ----------------------------------------------------------------------- */

static bool space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The same text but for white space at its ends. */
static bool same_answer(const char *a, size_t a_len, const char *b, size_t b_len)
{
    for (; a_len && space(a[0]); a_len--)
        a++;
    for (; b_len && space(b[0]); b_len--)
        b++;
    while (a_len && space(a[a_len - 1]))
        a_len--;
    while (b_len && space(b[b_len - 1]))
        b_len--;
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

typedef struct {
    jl_detok *detok;
    char *text; /* [cap] */
    size_t len, cap;
    bool one_line; /* the wanted answer has one: stop at its end */
} written;

static bool on_token(void *ctx, int32_t token)
{
    written *w = ctx;
    size_t n;
    const char *piece = jl_detok_push(w->detok, token, &n);

    if (n > w->cap - w->len)
        return false;
    memcpy(w->text + w->len, piece, n);
    w->len += n;
    const char *end = w->one_line ? memchr(w->text, '\n', w->len) : NULL;
    if (!end || end == w->text)
        return true;
    w->len = (size_t)(end - w->text);
    return false;
}

static jl_status write_answer(eval *e, const token_list *prompt, size_t cap, written *w,
                              jl_error *err)
{
    static int32_t tokens[MAX_ANSWER];
    size_t n;

    jl_status s = jl_detok_create(e->run.model, false, &w->detok, err);
    if (s == JL_OK)
        s = jl_generate_greedy(e->run.session, (jl_token_span){prompt->ids, prompt->n}, on_token, w,
                               tokens, cap, &n, err);
    jl_detok_destroy(w->detok);
    return s;
}

static jl_status run_exact(eval *e, const json_t *item, const token_list *prompt, jl_error *err)
{
    static char text[1 << 16];
    const json_t *answer = json_object_get(item, "answer");
    const json_t *limit = json_object_get(item, "max_tokens");
    const json_int_t cap = limit ? json_integer_value(limit) : DEFAULT_ANSWER;

    if (!json_is_string(answer))
        return bad_line(e, err, "\"answer\" is the wanted text (or give \"choices\")");
    if (cap < 1 || cap > MAX_ANSWER)
        return bad_line(e, err, "\"max_tokens\" is a number from 1 to 4096");
    const char *want = json_string_value(answer);
    written w = {.text = text, .cap = sizeof text, .one_line = !strchr(want, '\n')};
    const jl_status s = write_answer(e, prompt, (size_t)cap, &w, err);
    if (s != JL_OK)
        return s;
    const bool right = same_answer(text, w.len, want, json_string_length(answer));
    e->exact.n++;
    e->exact.n_right += right;
    if (opt_on(e->run.o, OPT_VERBOSE))
        fprintf(stderr, "line %zu: %s: %.*s\n", e->line, right ? "right" : "wrong", (int)w.len,
                text);
    return JL_OK;
}

/* ---- the file ------------------------------------------------------------------------------ */

static jl_status run_line(eval *e, jl_error *err)
{
    json_error_t where;
    token_list prompt = {0};
    json_t *item = json_loadb(e->text, e->len, JSON_REJECT_DUPLICATES, &where);

    if (!json_is_object(item)) {
        json_decref(item);
        return bad_line(e, err, item ? "is no JSON object" : where.text);
    }
    jl_status s = prompt_tokens(e, item, &prompt, err);
    if (s == JL_OK)
        s = json_object_get(item, "choices") ? run_choices(e, item, &prompt, err)
                                             : run_exact(e, item, &prompt, err);
    jl_free(prompt.ids);
    json_decref(item);
    return s;
}

static double accuracy(const eval *e)
{
    const size_t n = e->choices.n + e->exact.n;

    return n ? (double)(e->choices.n_right + e->exact.n_right) / (double)n : NAN;
}

static jl_status run_file(eval *e, const char *text, size_t len, jl_error *err)
{
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        e->text = text + at;
        e->len = end ? (size_t)(end - e->text) : len - at;
        at += e->len + 1;
        e->line++;
        if (strspn(e->text, " \t\r") >= e->len)
            continue;
        const jl_status s = run_line(e, err);
        if (s != JL_OK)
            return s;
        if (!eval_progress(&e->run, at < len ? at : len, len, accuracy(e)))
            return tool_error(err, JL_CANCELLED, "stopped after line %zu", e->line);
    }
    if (e->choices.n + e->exact.n == 0)
        return tool_error(err, JL_FORMAT, "the file has no questions");
    return JL_OK;
}

static figure share(const char *name, const char *label, size_t right, size_t n)
{
    const double p = n ? (double)right / (double)n : NAN;
    const double error = n > 1 ? sqrt(p * (1 - p) / (double)(n - 1)) : NAN;

    return (figure){name, label, p, error, false};
}

static void print_result(const eval *e)
{
    figure rows[5];
    size_t n = 0;

    if (e->choices.n) {
        rows[n++] = (figure){"choices", "questions with choices", (double)e->choices.n, NAN, true};
        rows[n++] = share("acc", "right (share)", e->choices.n_right, e->choices.n);
        rows[n++] = share("acc_norm", "right by likelihood per byte", e->choices.n_right_per_byte,
                          e->choices.n);
    }
    if (e->exact.n) {
        rows[n++] = (figure){"exact", "questions with texts", (double)e->exact.n, NAN, true};
        rows[n++] = share("exact_match", "right to the letter (share)", e->exact.n_right,
                          e->exact.n);
    }
    print_figures(e->run.o, rows, n);
}

int cmd_eval(const opts *o)
{
    eval e = {0};
    jl_error err = {0};
    char *text = NULL;
    size_t len = 0;

    if (o->n_args != 1)
        return usage_error(o, "say which file of questions to read");
    jl_status s = jl_file_read(strcmp(o->args[0], "-") == 0 ? "/dev/stdin" : o->args[0], MAX_FILE,
                               &text, &len, &err);
    if (s == JL_OK)
        s = eval_open(o, &e.run, (uint32_t)opt_int(o, OPT_CTX), 2, &err);
    if (s == JL_OK) {
        e.run.unit = "bytes";
        e.run.label = "right";
        ui_progress_start(&e.run.progress, o, "evaluating");
        s = run_file(&e, text, len, &err);
        ui_progress_end(&e.run.progress);
        jl_chat_destroy(e.chat);
        eval_close(&e.run);
    }
    jl_free(text);
    if (s != JL_OK)
        return ui_fail(o, &err);
    print_result(&e);
    return EXIT_OK;
}
