/* OpenAI /v1/completions: plain text goes on. */
#include <string.h>

#include "server/openai.h"

static json_t *whole(const jl_answer *a, json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:o}", "id", a->id, "object", "text_completion",
                     "created", a->created, "model", a->s->name, "choices", choices);
}

/* Log probabilities in the shape of this API: parallel lists. */
static json_t *logprobs(const json_t *tokens)
{
    json_t *text = json_array();
    json_t *values = json_array();
    json_t *tops = json_array();
    size_t i;
    json_t *t;

    json_array_foreach(tokens, i, t)
    {
        json_t *top = json_object();
        size_t k;
        json_t *alternative;
        json_array_append(text, json_object_get(t, "token"));
        json_array_append(values, json_object_get(t, "logprob"));
        json_array_foreach(json_object_get(t, "top_logprobs"), k, alternative)
            json_object_set(top, json_string_value(json_object_get(alternative, "token")),
                            json_object_get(alternative, "logprob"));
        json_array_append_new(tops, top);
    }
    return json_pack("{s:o, s:o, s:o}", "tokens", text, "token_logprobs", values, "top_logprobs",
                     tops);
}

static json_t *choice_json(jl_choice *c, const char *text, size_t len, const char *finish)
{
    json_t *choice = json_pack("{s:i, s:s%, s:s?}", "index", (int)c->index, "text", text, len,
                               "finish_reason", finish);

    json_object_set_new(choice, "logprobs", c->logprobs ? logprobs(c->logprobs) : json_null());
    if (c->logprobs)
        json_array_clear(c->logprobs);
    return choice;
}

static void event(jl_answer *a, jl_choice *c, const jl_out *o)
{
    if (o->kind == JL_OUT_CONTENT)
        jl_ex_stream_json(a->ex, NULL,
                          whole(a, json_pack("[o]", choice_json(c, o->text, o->len, NULL))));
}

static void end_choice(jl_answer *a, jl_choice *c)
{
    json_t *choice = choice_json(c, "", 0, jl_openai_finish(c));

    jl_ex_stream_json(a->ex, NULL, whole(a, json_pack("[o]", choice)));
}

static void finish(jl_answer *a)
{
    json_t *choices = json_array();
    const bool send = !a->gen.stream || a->gen.usage_chunk;

    for (unsigned i = 0; !a->gen.stream && i < a->gen.n; i++) {
        jl_choice *c = &a->choices[i];
        json_array_append_new(
            choices, choice_json(c, jl_str_text(&c->content), c->content.len, jl_openai_finish(c)));
    }
    json_t *body = whole(a, choices);
    json_object_set_new(body, "usage", jl_openai_usage(a));
    json_object_set_new(body, "timings", jl_answer_timings(a));
    json_object_set_new(body, "energy", jl_answer_energy(a));
    if (!a->gen.stream) {
        jl_ex_json(a->ex, 200, body);
        return;
    }
    if (send)
        jl_ex_stream_json(a->ex, NULL, body);
    else
        json_decref(body);
    jl_openai_done(a);
}

const jl_wire jl_wire_text = {.id_prefix = "cmpl-",
                              .stream_type = "text/event-stream",
                              .keep_alive = ": keep-alive\n\n",
                              .event = event,
                              .end_choice = end_choice,
                              .finish = finish,
                              .error = jl_openai_error,
                              .stream_error = jl_openai_stream_error};

/* "logprobs" is a number of alternatives here. */
static jl_status read_logprobs(const json_t *body, jl_gen *g, jl_fault *f)
{
    json_int_t n = -1;

    JL_TRY(jl_field_int(body, "logprobs", 0, 20, &n, f));
    g->logprobs = n >= 0;
    g->n_top = n > 0 ? (int)n : 0;
    return JL_OK;
}

static jl_status refuse(const json_t *body, jl_fault *f)
{
    bool echo = false;
    json_int_t best_of = 1;
    const char *suffix = NULL;

    JL_TRY(jl_field_bool(body, "echo", &echo, f));
    JL_TRY(jl_field_int(body, "best_of", 1, 1, &best_of, f));
    JL_TRY(jl_field_string(body, "suffix", &suffix, f));
    if (echo || (suffix && *suffix))
        return jl_fault_set(f, 400, "unsupported_parameter", echo ? "echo" : "suffix",
                            "%s is not supported by this server", echo ? "echo" : "suffix");
    return JL_OK;
}

void jl_post_text(jl_exchange *ex)
{
    jl_gen g = {0};
    jl_fault f = {0};
    json_t *body = jl_ex_body(ex);

    if (!body)
        return;
    jl_status status = jl_gen_read(ex->s, body, &g, &f);
    if (status == JL_OK)
        status = refuse(body, &f);
    if (status == JL_OK)
        status = read_logprobs(body, &g, &f);
    if (status == JL_OK)
        status = jl_gen_read_prompt(ex->s, json_object_get(body, "prompt"), &g, &f);
    if (status == JL_OK) {
        jl_answer_start(ex, &jl_wire_text, &g, NULL);
    } else {
        jl_gen_free(&g);
        jl_ex_fault(ex, &f);
    }
    json_decref(body);
}
