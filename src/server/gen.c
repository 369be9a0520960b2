/* What a client asks for: the fields that all APIs share. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/internal.h"

enum { MAX_STOPS = 16, MAX_N = 16, MAX_BIAS = 4096, MIN_MARK = 128, MAX_REPEATS = 8 };

void jl_gen_free(jl_gen *g)
{
    jl_conversation_destroy(g->conv);
    jl_free(g->tools);
    jl_free(g->bias);
    jl_free(g->form_text);
    jl_free(g->forced_tools);
    json_decref(g->stops);
    jl_chat_prompt_free(&g->prompt.prompt);
    *g = (jl_gen){0};
}

static jl_status read_sampling(const json_t *b, jl_sampler_params *p, jl_fault *f)
{
    json_int_t top_k = p->top_k;
    json_int_t last_n = p->repeat_last_n;
    json_int_t dry_length = p->dry_allowed_length;
    json_int_t dry_last_n = p->dry_penalty_last_n;

    JL_TRY(jl_field_float(b, "temperature", 0, 100, &p->temperature, f));
    JL_TRY(jl_field_float(b, "top_p", 0, 1, &p->top_p, f));
    JL_TRY(jl_field_float(b, "min_p", 0, 1, &p->min_p, f));
    JL_TRY(jl_field_float(b, "typical_p", 0, 1, &p->typical_p, f));
    JL_TRY(jl_field_float(b, "repeat_penalty", 0.01, 100, &p->repeat_penalty, f));
    JL_TRY(jl_field_float(b, "repetition_penalty", 0.01, 100, &p->repeat_penalty, f));
    JL_TRY(jl_field_float(b, "presence_penalty", -100, 100, &p->presence_penalty, f));
    JL_TRY(jl_field_float(b, "frequency_penalty", -100, 100, &p->frequency_penalty, f));
    JL_TRY(jl_field_float(b, "dry_multiplier", 0, 100, &p->dry_multiplier, f));
    JL_TRY(jl_field_float(b, "dry_base", 1, 100, &p->dry_base, f));
    JL_TRY(jl_field_int(b, "top_k", -1, 1 << 24, &top_k, f));
    JL_TRY(jl_field_int(b, "repeat_last_n", -1, 1 << 22, &last_n, f));
    JL_TRY(jl_field_int(b, "dry_allowed_length", 1, 1 << 22, &dry_length, f));
    JL_TRY(jl_field_int(b, "dry_penalty_last_n", -1, 1 << 22, &dry_last_n, f));
    p->top_k = (int32_t)top_k;
    p->repeat_last_n = (int32_t)last_n;
    p->dry_allowed_length = (int32_t)dry_length;
    p->dry_penalty_last_n = (int32_t)dry_last_n;
    return JL_OK;
}

static jl_status read_seed(jl_server *s, const json_t *b, jl_sampler_params *p, jl_fault *f)
{
    json_int_t seed = -1;

    JL_TRY(jl_field_int(b, "seed", INT64_MIN, INT64_MAX, &seed, f));
    p->seed = (uint64_t)seed;
    if (seed == -1) /* none, or llama.cpp's word for none */
        p->seed = jl_time_ns() ^ ++s->n_ids << 40;
    return JL_OK;
}

static jl_status read_stops(const json_t *b, jl_gen *g, jl_fault *f)
{
    json_t *v = json_object_get(b, "stop");
    size_t i;
    json_t *item;

    if (!v || json_is_null(v))
        return JL_OK;
    json_t *list = json_is_array(v) ? json_incref(v) : json_pack("[O]", v);
    if (json_array_size(list) == 0) {
        json_decref(list);
        return JL_OK;
    }
    g->stops = list;
    if (json_array_size(list) > MAX_STOPS)
        return jl_fault_set(f, 400, "out_of_range", "stop", "stop has %zu strings; at most %d",
                            json_array_size(list), MAX_STOPS);
    json_array_foreach(list, i, item) if (
        !json_is_string(item) ||
        json_string_length(item) ==
            0) return jl_fault_set(f, 400, "invalid_type", "stop",
                                   "stop must be a string or an array of strings, none empty");
    return JL_OK;
}

static jl_status add_bias(jl_server *s, jl_gen *g, json_int_t token, double bias, jl_fault *f)
{
    if (token < 0 || token >= s->info.n_vocab)
        return jl_fault_set(f, 400, "out_of_range", "logit_bias",
                            "logit_bias names token %lld; the "
                            "model has 0 to %u",
                            (long long)token, s->info.n_vocab - 1);
    if (g->sampling.n_logit_bias == MAX_BIAS || !isfinite(bias))
        return jl_fault_set(f, 400, "out_of_range", "logit_bias",
                            "logit_bias takes at most %d finite "
                            "numbers",
                            MAX_BIAS);
    /* as OpenAI defines it, -100 is a ban */
    g->bias[g->sampling.n_logit_bias++] =
        (jl_logit_bias){(int32_t)token, bias <= -100 ? -INFINITY : (float)bias};
    return JL_OK;
}

/* {"15043": 1.5} or llama.cpp's [[15043, 1.5], [12, false]]. */
static jl_status read_bias(jl_server *s, const json_t *b, jl_gen *g, jl_fault *f)
{
    json_t *v = json_object_get(b, "logit_bias");
    const char *key;
    json_t *item;
    size_t i;

    g->bias = jl_malloc((MAX_BIAS + 2) * sizeof *g->bias);
    if (!g->bias)
        return jl_fail(&f->err, JL_NO_MEMORY, "out of memory");
    g->sampling.logit_bias = g->bias;
    if (json_is_object(v)) {
        json_object_foreach(v, key, item)
        {
            long long token;
            int used = 0;
            if (!json_is_number(item) || sscanf(key, "%lld%n", &token, &used) != 1 || key[used])
                return jl_fault_set(f, 400, "invalid_type", "logit_bias",
                                    "logit_bias must map token ids to numbers");
            JL_TRY(add_bias(s, g, token, json_number_value(item), f));
        }
        return JL_OK;
    }
    if (v && !json_is_null(v) && !json_is_array(v))
        return jl_fault_set(f, 400, "invalid_type", "logit_bias", "logit_bias must be an object");
    json_array_foreach(v, i, item)
    {
        const json_t *value = json_array_get(item, 1);
        if (!json_is_integer(json_array_get(item, 0)) ||
            !(json_is_number(value) || json_is_false(value)))
            return jl_fault_set(f, 400, "invalid_type", "logit_bias",
                                "logit_bias[%zu] must be a token id and a number", i);
        JL_TRY(add_bias(s, g, json_integer_value(json_array_get(item, 0)),
                        json_is_false(value) ? -100.0 : json_number_value(value), f));
    }
    return JL_OK;
}

static jl_status read_limits(const json_t *b, jl_gen *g, jl_fault *f)
{
    static const char *const names[] = {"n_predict", "max_tokens", "max_completion_tokens"};
    json_int_t n = 1;

    g->n_new_max = SIZE_MAX;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_int_t max = -1;
        JL_TRY(jl_field_int(b, names[i], -1, INT32_MAX, &max, f));
        if (max == 0)
            return jl_fault_set(f, 400, "out_of_range", names[i], "%s must be at least 1",
                                names[i]);
        if (max > 0)
            g->n_new_max = (size_t)max;
    }
    JL_TRY(jl_field_int(b, "n", 1, MAX_N, &n, f));
    g->n = (unsigned)n;
    return JL_OK;
}

static jl_status read_thinking(jl_server *s, const json_t *b, jl_gen *g, jl_fault *f)
{
    const json_t *kwargs = json_object_get(b, "chat_template_kwargs");
    const char *effort = NULL;
    json_int_t budget = -1;

    g->thinking = s->params.thinking;
    if (kwargs && !json_is_null(kwargs) && !json_is_object(kwargs))
        return jl_fault_set(f, 400, "invalid_type", "chat_template_kwargs",
                            "chat_template_kwargs must be an object");
    JL_TRY(jl_field_bool(kwargs, "enable_thinking", &g->thinking, f));
    JL_TRY(jl_field_string(b, "reasoning_effort", &effort, f));
    if (effort)
        g->thinking = strcmp(effort, "none") != 0 && strcmp(effort, "minimal") != 0;
    JL_TRY(jl_field_int(b, "reasoning_budget", -1, INT32_MAX, &budget, f));
    JL_TRY(jl_field_int(b, "thinking_budget_tokens", -1, INT32_MAX, &budget, f));
    g->limits.thought_max = budget < 0 ? SIZE_MAX : (size_t)budget;
    if (budget == 0)
        g->thinking = false;
    g->limits.thinking = g->thinking;
    return JL_OK;
}

/* Fields that would change the answer and are not available are refused, never ignored. */
static jl_status refuse(const json_t *b, jl_fault *f)
{
    static const char *const names[] = {"guided_regex", "guided_choice", "structured_outputs",
                                        "functions",    "function_call", "audio",
                                        "prediction"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *v = json_object_get(b, names[i]);
        if (v && !json_is_null(v))
            return jl_fault_set(f, 400, "unsupported_parameter", names[i],
                                "%s is not supported by this server", names[i]);
    }
    return JL_OK;
}

static jl_status set_form(jl_gen *g, jl_form form, const json_t *v, const char *param, jl_fault *f)
{
    if (!v || json_is_null(v))
        return JL_OK;
    if (g->limits.form != JL_FORM_NONE)
        return jl_fault_set(f, 400, "invalid_value", param,
                            "%s: the form of the answer is given twice", param);
    if (form == JL_FORM_GBNF ? !json_is_string(v) : !json_is_object(v) && !json_is_boolean(v))
        return jl_fault_set(f, 400, "invalid_type", param, "%s must be %s", param,
                            form == JL_FORM_GBNF ? "a string" : "a JSON schema");
    g->form_text = form == JL_FORM_GBNF ? jl_strndup(json_string_value(v), json_string_length(v))
                                        : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!g->form_text)
        return jl_fail(&f->err, JL_NO_MEMORY, "out of memory");
    g->limits.form = form;
    g->limits.form_text = g->form_text;
    f->param = param; /* of an error that is found when the grammar is made */
    return JL_OK;
}

static jl_status read_format(const json_t *format, jl_gen *g, jl_fault *f)
{
    const char *type = json_string_value(json_object_get(format, "type"));
    const json_t *named = json_object_get(format, "json_schema");
    const json_t *schema = json_object_get(named ? named : format, "schema");

    if (!format || json_is_null(format))
        return JL_OK;
    if (!type)
        return jl_fault_set(f, 400, "invalid_type", "response_format",
                            "response_format must be an object with a type");
    if (strcmp(type, "text") == 0)
        return JL_OK;
    if (strcmp(type, "json_schema") == 0 && !schema)
        return jl_fault_set(f, 400, "missing_field", "response_format",
                            "response_format.json_schema.schema is missing");
    if (strcmp(type, "json_schema") != 0 && strcmp(type, "json_object") != 0)
        return jl_fault_set(
            f, 400, "unsupported_parameter", "response_format",
            "response_format.type \"%.40s\" is not text, json_object or json_schema", type);
    json_t *any = schema ? NULL : json_pack("{s:s}", "type", "object");
    const jl_status s = set_form(g, JL_FORM_SCHEMA, schema ? schema : any, "response_format", f);
    json_decref(any);
    return s;
}

static jl_status read_form(const json_t *b, jl_gen *g, jl_fault *f)
{
    JL_TRY(read_format(json_object_get(b, "response_format"), g, f));
    JL_TRY(set_form(g, JL_FORM_SCHEMA, json_object_get(b, "json_schema"), "json_schema", f));
    JL_TRY(set_form(g, JL_FORM_SCHEMA, json_object_get(b, "guided_json"), "guided_json", f));
    JL_TRY(set_form(g, JL_FORM_GBNF, json_object_get(b, "grammar"), "grammar", f));
    return set_form(g, JL_FORM_GBNF, json_object_get(b, "guided_grammar"), "guided_grammar", f);
}

jl_status jl_gen_read(jl_server *s, const json_t *b, jl_gen *g, jl_fault *f)
{
    const json_t *stream_options = json_object_get(b, "stream_options");
    const char *model = NULL;
    json_int_t n_top = 0;
    bool parallel_calls = true;

    JL_TRY(jl_field_string(b, "model", &model, f));
    if (model && !jl_server_knows(s, model))
        return jl_fault_set(f, 404, "model_not_found", "model",
                            "there is no model \"%.100s\"; this "
                            "server has \"%s\"",
                            model, s->name);
    JL_TRY(refuse(b, f));
    JL_TRY(read_form(b, g, f));
    jl_sampler_defaults(s->model, &g->sampling);
    JL_TRY(read_sampling(b, &g->sampling, f));
    JL_TRY(read_seed(s, b, &g->sampling, f));
    JL_TRY(read_limits(b, g, f));
    JL_TRY(read_stops(b, g, f));
    JL_TRY(read_bias(s, b, g, f));
    JL_TRY(read_thinking(s, b, g, f));
    JL_TRY(jl_field_bool(b, "stream", &g->stream, f));
    if (stream_options && !json_is_null(stream_options) && !json_is_object(stream_options))
        return jl_fault_set(f, 400, "invalid_type", "stream_options",
                            "stream_options must be an object");
    JL_TRY(jl_field_bool(stream_options, "include_usage", &g->usage_chunk, f));
    JL_TRY(jl_field_bool(b, "return_progress", &g->progress, f));
    JL_TRY(jl_field_bool(b, "ignore_eos", &g->ignore_eos, f));
    JL_TRY(jl_field_bool(b, "parallel_tool_calls", &parallel_calls, f));
    JL_TRY(jl_field_int(b, "top_logprobs", 0, 20, &n_top, f));
    g->limits.one_call = !parallel_calls;
    g->n_top = (int)n_top;
    return JL_OK;
}

/* ---- prompts ---------------------------------------------------------------------------- */

/* Keeps only the named tool. */
static jl_status force_tool(const json_t *tools, const char *name, jl_gen *g, jl_fault *f)
{
    size_t i;
    json_t *tool;

    json_array_foreach(tools, i, tool)
    {
        const char *n =
            json_string_value(json_object_get(json_object_get(tool, "function"), "name"));
        if (!n || strcmp(n, name) != 0)
            continue;
        json_t *one = json_pack("[O]", tool);
        g->forced_tools = one ? json_dumps(one, JSON_COMPACT) : NULL;
        json_decref(one);
        if (!g->forced_tools)
            return jl_fail(&f->err, JL_NO_MEMORY, "out of memory");
        g->limits.tools = g->forced_tools;
        g->limits.forced = g->limits.one_call = true;
        return JL_OK;
    }
    return jl_fault_set(f, 400, "invalid_value", "tool_choice",
                        "tool_choice names \"%.80s\", which is "
                        "not among the tools",
                        name);
}

/* The token that opens a tool call, -1: calls of this model begin as text (Llama 3). */
static int32_t call_mark_of(const jl_server *s)
{
    const int32_t gemma = jl_token_find(s->model, "<|tool_call>");

    return gemma >= 0 ? gemma : jl_token_find(s->model, "[TOOL_CALLS]");
}

/* Calls can be enforced in the syntax of Gemma 4 alone. */
static jl_status check_can_force(const jl_server *s, jl_fault *f)
{
    if (jl_token_find(s->model, "<|tool_call>") >= 0)
        return JL_OK;
    return jl_fault_set(f, 400, "unsupported_value", "tool_choice",
                        "tool_choice can be auto or none for this model: joule can force calls in "
                        "the Gemma 4 format only");
}

static jl_status read_tool_choice(jl_server *s, const json_t *b, jl_gen *g, jl_fault *f)
{
    const json_t *v = json_object_get(b, "tool_choice");
    const char *choice = json_string_value(v);
    const char *name = json_string_value(json_object_get(json_object_get(v, "function"), "name"));
    const int32_t call_mark = call_mark_of(s);

    g->limits.tools = g->tools;
    if (name || (choice && strcmp(choice, "required") == 0))
        JL_TRY(check_can_force(s, f));
    if (name)
        return force_tool(json_object_get(b, "tools"), name, g, f);
    if (!v || json_is_null(v) || (choice && strcmp(choice, "auto") == 0))
        return JL_OK;
    if (choice && strcmp(choice, "required") == 0) {
        g->limits.forced = true;
        return g->tools ? JL_OK
                        : jl_fault_set(f, 400, "invalid_value", "tool_choice",
                                       "tool_choice is \"required\" and there are no tools");
    }
    if (!choice || strcmp(choice, "none") != 0)
        return jl_fault_set(f, 400, "invalid_value", "tool_choice",
                            "tool_choice must be auto, none, required or name a function");
    /* The tools stay in the prompt, so that its prefix is found in the cache. */
    g->limits.tools = NULL;
    if (call_mark >= 0)
        g->bias[g->sampling.n_logit_bias++] = (jl_logit_bias){call_mark, -INFINITY};
    return JL_OK;
}

static jl_status check_length(jl_server *s, jl_gen *g, jl_fault *f)
{
    const size_t n = g->prompt.prompt.n_tokens;

    if (n < s->n_ctx)
        return JL_OK;
    return jl_fault_set(
        f, 400, "context_length_exceeded", "messages",
        "This model's maximum context "
        "length is %u tokens. However, your messages resulted in %zu tokens. Please "
        "reduce the length of the messages.",
        s->n_ctx, n);
}

static void add_mark(jl_gen *g, size_t at)
{
    if (at < MIN_MARK || at >= g->prompt.prompt.n_tokens || g->n_marks == JL_JOB_MARKS / 2 ||
        (g->n_marks && at < g->marks[g->n_marks - 1] + MIN_MARK))
        return;
    g->marks[g->n_marks++] = at;
}

static int32_t turn_end_of(const jl_server *s)
{
    static const char *const marks[] = {"<turn|>", "<|eot_id|>", "[/SYSTEM_PROMPT]", "</s>"};

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (jl_token_find(s->model, marks[i]) >= 0)
            return jl_token_find(s->model, marks[i]);
    return -1;
}

/* Other requests branch off behind the system turn with its tools, and behind the last turn. */
static void set_marks(jl_server *s, jl_gen *g)
{
    const int32_t turn_end = turn_end_of(s);
    const jl_chat_prompt *p = &g->prompt.prompt;
    size_t last = 0;

    for (size_t i = 0; i < p->n_tokens; i++) {
        if (p->tokens[i] != turn_end)
            continue;
        if (last == 0)
            add_mark(g, i + 1);
        last = i + 1;
    }
    add_mark(g, last);
}

static bool has_answer(const jl_conversation *conv)
{
    for (size_t i = 0; i < jl_conversation_length(conv); i++)
        if (jl_conversation_at(conv, i)->role == JL_ROLE_ASSISTANT)
            return true;
    return false;
}

/* A model that makes the same call with the same result over and over will go on for ever: after
 * MAX_REPEATS times it has to answer in words. */
static void break_loop(jl_server *s, jl_gen *g)
{
    const int32_t mark = call_mark_of(s);
    jl_loop loop = {0};
    size_t i = jl_conversation_length(g->conv);

    while (i > 0 && jl_conversation_at(g->conv, i - 1)->n_calls == 0)
        i--;
    if (i == 0 || g->limits.forced || mark < 0 ||
        jl_conversation_find_loop(g->conv, jl_conversation_at(g->conv, i - 1), &loop, NULL) !=
            JL_OK ||
        loop.repeats <= MAX_REPEATS)
        return;
    g->call_repeats = loop.repeats - 1; /* the last one counts twice here */
    g->limits.tools = NULL;
    g->bias[g->sampling.n_logit_bias++] = (jl_logit_bias){mark, -INFINITY};
}

static jl_status render(jl_server *s, jl_gen *g, bool drop_thinking, jl_fault *f)
{
    const jl_turn_options o = {.thinking = g->thinking,
                               .drop_thinking = drop_thinking,
                               .tools = g->tools,
                               .tools_len = g->tools ? strlen(g->tools) : 0};

    if (jl_conversation_length(g->conv) == 0)
        return jl_fault_set(f, 400, "invalid_value", "messages", "messages must not be empty");
    f->param = "messages";
    const jl_status status = jl_turns_render(s->turns, g->conv, &o, &g->prompt, &f->err);
    if (status == JL_UNSUPPORTED) /* images and the like: the client's to change */
        f->http = 400;
    JL_TRY(status);
    JL_TRY(check_length(s, g, f));
    break_loop(s, g);
    set_marks(s, g);
    g->small = !g->tools && !has_answer(g->conv);
    return JL_OK;
}

jl_status jl_gen_read_chat(jl_server *s, const json_t *b, jl_gen *g, jl_fault *f)
{
    const json_t *messages = json_object_get(b, "messages");
    json_t *tools = json_object_get(b, "tools");
    const json_t *kwargs = json_object_get(b, "chat_template_kwargs");
    bool preserve = !s->params.drop_thinking;

    if (!s->chat) {
        f->err = s->chat_err;
        f->http = 501;
        return s->chat_err.status;
    }
    if (!json_is_array(messages))
        return jl_fault_set(f, 400, messages ? "invalid_type" : "missing_field", "messages",
                            "messages must be an array");
    JL_TRY(jl_field_bool(b, "logprobs", &g->logprobs, f));
    JL_TRY(jl_field_bool(kwargs, "preserve_thinking", &preserve, f));
    if (json_array_size(tools) > 0)
        g->tools = json_dumps(tools, JSON_COMPACT | JSON_SORT_KEYS);
    JL_TRY(read_tool_choice(s, b, g, f));
    json_t *part =
        json_pack("{s:O, s:O*}", "messages", messages, "tools", json_is_null(tools) ? NULL : tools);
    char *text = part ? json_dumps(part, JSON_COMPACT) : NULL;
    json_decref(part);
    if (!text)
        return jl_fail(&f->err, JL_NO_MEMORY, "out of memory");
    jl_status status = jl_conversation_create(0, &g->conv, &f->err);
    if (status == JL_OK)
        status = jl_conversation_load(g->conv, text, strlen(text), &f->err);
    jl_free(text);
    f->param = status == JL_OK ? NULL : "messages";
    JL_TRY(status);
    return render(s, g, !preserve, f);
}

int32_t *jl_server_tokenize(const jl_server *s, const char *text, size_t len, unsigned flags,
                            size_t *n)
{
    size_t cap = len / 2 + 16;

    for (;;) {
        int32_t *tokens = jl_malloc(cap * sizeof *tokens);
        *n = tokens ? jl_tokenize(s->model, text, len, flags, tokens, cap) : SIZE_MAX;
        if (*n <= cap)
            return tokens;
        jl_free(tokens);
        if (*n == SIZE_MAX)
            return NULL;
        cap = *n;
    }
}

static jl_status read_ids(jl_server *s, const json_t *list, jl_gen *g, jl_fault *f)
{
    const size_t n = json_array_size(list);
    int32_t *tokens = jl_malloc((n + 1) * sizeof *tokens);

    if (!tokens)
        return jl_fail(&f->err, JL_NO_MEMORY, "out of memory");
    g->prompt.prompt = (jl_chat_prompt){.tokens = tokens, .n_tokens = n};
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        const json_int_t token = json_is_integer(v) ? json_integer_value(v) : -1;
        if (token < 0 || token >= s->info.n_vocab)
            return jl_fault_set(f, 400, "out_of_range", "prompt",
                                "prompt[%zu] must be a token id, 0 to "
                                "%u",
                                i, s->info.n_vocab - 1);
        tokens[i] = (int32_t)token;
    }
    return JL_OK;
}

jl_status jl_gen_read_prompt(jl_server *s, const json_t *prompt, jl_gen *g, jl_fault *f)
{
    if (json_is_array(prompt) && json_array_size(prompt) == 1 &&
        json_is_string(json_array_get(prompt, 0)))
        prompt = json_array_get(prompt, 0);
    if (json_is_string(prompt)) {
        size_t n;
        int32_t *tokens = jl_server_tokenize(s, json_string_value(prompt),
                                             json_string_length(prompt), JL_TOKENIZE_BOS, &n);
        if (!tokens)
            return jl_fail(&f->err, JL_NO_MEMORY, "out of memory");
        g->prompt.prompt = (jl_chat_prompt){.tokens = tokens, .n_tokens = n};
    } else if (json_is_array(prompt) && json_is_integer(json_array_get(prompt, 0))) {
        JL_TRY(read_ids(s, prompt, g, f));
    } else {
        return jl_fault_set(f, 400, "invalid_type", "prompt",
                            "prompt must be one string or one array of token ids");
    }
    if (g->prompt.prompt.n_tokens == 0)
        return jl_fault_set(f, 400, "invalid_value", "prompt", "prompt must not be empty");
    JL_TRY(check_length(s, g, f));
    g->small = true;
    return JL_OK;
}
