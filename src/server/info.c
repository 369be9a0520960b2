/* What the server says about itself: models, health, metrics, properties, slots, tokens. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/internal.h"

static json_t *model_json(const jl_server *s, const char *id)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:I, s:{s:I, s:I, s:I, s:I, s:I}}", "id", id, "object",
                     "model", "created", s->started_at, "owned_by", "joule", "context_length",
                     (json_int_t)s->n_ctx, "meta", "n_ctx", (json_int_t)s->n_ctx, "n_ctx_train",
                     (json_int_t)s->info.n_ctx_train, "n_vocab", (json_int_t)s->info.n_vocab,
                     "n_params", (json_int_t)s->info.n_params, "size",
                     (json_int_t)s->info.file_bytes);
}

void jl_get_models(jl_exchange *ex)
{
    const jl_server *s = ex->s;
    json_t *list = json_pack("[o]", model_json(s, s->name));

    if (s->alias[0])
        json_array_append_new(list, model_json(s, s->alias));
    jl_ex_json(ex, 200, json_pack("{s:s, s:o}", "object", "list", "data", list));
}

/* Names of models hold no character that a path would have to escape, or come with it unescaped. */
void jl_get_model(jl_exchange *ex)
{
    const jl_server *s = ex->s;
    const char *id = ex->path + strlen("/v1/models/");
    jl_fault f = {0};

    if (jl_server_knows(s, id)) {
        jl_ex_json(ex, 200, model_json(s, id));
        return;
    }
    (void)jl_fault_set(&f, 404, "model_not_found", "model",
                       "there is no model \"%.100s\"; this server has \"%s\"", id, s->name);
    jl_ex_fault(ex, &f);
}

void jl_get_health(jl_exchange *ex)
{
    jl_ex_json(ex, 200, json_pack("{s:s}", "status", "ok"));
}

void jl_get_props(jl_exchange *ex)
{
    const jl_server *s = ex->s;
    const char *format =
        s->chat ? jl_chat_format_name(jl_chat_get_identity(s->chat)->format) : "none";
    char machine[256];

    jl_session_describe(s->session, machine, sizeof machine);
    jl_ex_json(ex, 200,
               json_pack("{s:s, s:s?, s:s?, s:s, s:i, s:{s:I}, s:b, s:b, s:s, s:s}", "model_alias",
                         s->name, "model_path", s->params.model_path, "chat_template",
                         s->info.chat_template, "chat_format", format, "total_slots",
                         (int)s->params.n_parallel, "default_generation_settings", "n_ctx",
                         (json_int_t)s->n_ctx, "thinking", s->params.thinking, "preserve_thinking",
                         !s->params.drop_thinking, "device", machine, "build_info",
                         "joule " JL_VERSION_STRING));
}

void jl_get_slots(jl_exchange *ex)
{
    json_t *list = json_array();
    int id = 0;

    for (const jl_answer *a = ex->s->answers; a; a = a->next)
        for (unsigned i = 0; i < a->gen.n; i++) {
            const jl_choice *c = &a->choices[i];
            const jl_usage u = jl_answer_usage(a);
            json_array_append_new(list, json_pack("{s:i, s:s, s:b, s:I, s:I, s:I}", "id", id++,
                                                  "request", a->id, "is_processing", !c->ended,
                                                  "n_prompt", (json_int_t)u.n_prompt, "n_cached",
                                                  (json_int_t)u.n_cached, "n_ctx",
                                                  (json_int_t)ex->s->n_ctx));
        }
    jl_ex_json(ex, 200, list);
}

static double kv_token_bytes(const jl_server *s)
{
    return (double)(jl_session_block_bytes(s->session, JL_BLOCK_GLOBAL) +
                    jl_session_block_bytes(s->session, JL_BLOCK_WINDOW)) /
           JL_BLOCK_TOKENS;
}

/* One metric in Prometheus' text format. */
typedef struct {
    const char *name, *type, *help;
    double value;
} metric;

void jl_get_metrics(jl_exchange *ex)
{
    jl_server *s = ex->s;
    jl_scheduler_stats st;
    jl_str text = {0};

    jl_scheduler_get_stats(s->scheduler, &st);
    const metric metrics[] = {
        {"requests_total", "counter", "HTTP requests", (double)s->n_requests},
        {"request_errors_total", "counter", "HTTP requests answered with an error",
         (double)s->n_errors},
        {"jobs_total", "counter", "answers started", (double)st.n_jobs},
        {"jobs_cancelled_total", "counter", "answers whose client left", (double)st.n_cancelled},
        {"jobs_failed_total", "counter", "answers that failed", (double)st.n_failed},
        {"jobs_restarted_total", "counter", "answers put off for lack of KV pages",
         (double)st.n_preempted},
        {"prompt_tokens_read_total", "counter", "prompt tokens computed", (double)st.n_prompt_read},
        {"prompt_tokens_cached_total", "counter", "prompt tokens found in the cache",
         (double)st.n_prompt_cached},
        {"tokens_generated_total", "counter", "tokens generated", (double)st.n_generated},
        {"steps_total", "counter", "evaluations", (double)st.n_steps},
        {"prompt_seconds_total", "counter", "seconds in steps that read prompts", st.read_s},
        {"decode_seconds_total", "counter", "seconds in steps that only continue answers",
         st.decode_s},
        {"step_max_seconds", "gauge", "longest wait of a running answer", st.step_max_s},
        {"jobs_running", "gauge", "answers in progress", st.n_running},
        {"jobs_reading", "gauge", "prompts being read", st.n_reading},
        {"jobs_queued", "gauge", "requests waiting", st.n_queued},
        {"slice_tokens", "gauge", "prompt tokens per step beside running answers", st.slice},
        {"cache_entries", "gauge", "entries of the prefix cache", st.prefix.n_entries},
        {"cache_tokens", "gauge", "tokens of the entries, shared ones counted each time",
         (double)st.prefix.n_tokens},
        {"cache_hits_total", "counter", "requests that found a prefix", (double)st.prefix.n_hits},
        {"cache_misses_total", "counter", "requests that found none", (double)st.prefix.n_misses},
        {"cache_evicted_total", "counter", "entries dropped", (double)st.prefix.n_evicted},
        {"kv_used_bytes", "gauge", "KV cache in use; what sequences share is counted once",
         (double)st.kv_used},
        {"kv_token_bytes", "gauge", "KV cache that one more token takes", kv_token_bytes(s)},
        {"disk_bytes", "gauge", "cache on disk", (double)st.disk.store.n_bytes},
        {"disk_records", "gauge", "records of this model in it", (double)st.disk.store.n_records},
        {"disk_written_bytes_total", "counter", "bytes written to it",
         (double)st.disk.store.n_written_bytes},
        {"disk_loaded_tokens_total", "counter", "tokens taken from it",
         (double)st.disk.n_loaded_tokens},
        {"disk_loads_failed_total", "counter", "loads that met a damaged record",
         (double)st.disk.n_loads_failed},
        {"disk_damaged_total", "counter", "damaged records dropped",
         (double)st.disk.store.n_damaged},
        {"disk_evicted_total", "counter", "records dropped to make room",
         (double)st.disk.store.n_evicted},
        {"cpu_seconds_total", "counter", "processor time of this process", jl_time_cpu()},
        {"memory_peak_bytes", "gauge", "peak resident memory", (double)jl_memory_peak()},
    };

    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        const metric *m = &metrics[i];
        char line[300];
        const int n =
            snprintf(line, sizeof line, "# HELP joule_%s %s\n# TYPE joule_%s %s\njoule_%s %.17g\n",
                     m->name, m->help, m->name, m->type, m->name, m->value);
        (void)jl_str_put(&text, line, (size_t)n);
    }
    jl_energy_metrics(s, &text);
    jl_ex_text(ex, 200, "text/plain; version=0.0.4; charset=utf-8", jl_str_text(&text), text.len);
    jl_str_free(&text);
}

/* ---- tokens ----------------------------------------------------------------------------- */

static void bad_request(jl_exchange *ex, jl_fault *f, json_t *body)
{
    json_decref(body);
    jl_ex_fault(ex, f);
}

void jl_post_tokenize(jl_exchange *ex)
{
    jl_fault f = {0};
    bool bos = false;
    bool special = false;
    size_t n = 0;
    json_t *body = jl_ex_body(ex);

    if (!body)
        return;
    json_t *content = json_object_get(body, "content");
    jl_status status = jl_field_bool(body, "add_special", &bos, &f);
    if (status == JL_OK)
        status = jl_field_bool(body, "parse_special", &special, &f);
    if (status == JL_OK && !json_is_string(content))
        status = jl_fault_set(&f, 400, "invalid_type", "content", "content must be a string");
    if (status != JL_OK) {
        bad_request(ex, &f, body);
        return;
    }
    int32_t *tokens =
        jl_server_tokenize(ex->s, json_string_value(content), json_string_length(content),
                           (bos ? JL_TOKENIZE_BOS : 0u) | (special ? JL_TOKENIZE_SPECIAL : 0u), &n);
    json_t *list = json_array();
    for (size_t i = 0; tokens && i < n; i++)
        json_array_append_new(list, json_integer(tokens[i]));
    jl_free(tokens);
    json_decref(body);
    jl_ex_json(ex, 200, json_pack("{s:o}", "tokens", list));
}

void jl_post_detokenize(jl_exchange *ex)
{
    jl_fault f = {0};
    jl_str text = {0};
    jl_detok *detok = NULL;
    size_t i;
    size_t len;
    json_t *v;
    json_t *body = jl_ex_body(ex);

    if (!body)
        return;
    json_t *tokens = json_object_get(body, "tokens");
    jl_status status = JL_OK;
    if (!json_is_array(tokens))
        status =
            jl_fault_set(&f, 400, "invalid_type", "tokens", "tokens must be an array of token ids");
    json_array_foreach(tokens, i, v) if (status == JL_OK &&
                                         (!json_is_integer(v) || json_integer_value(v) < 0 ||
                                          json_integer_value(v) >= ex->s->info.n_vocab)) status =
        jl_fault_set(&f, 400, "out_of_range", "tokens",
                     "tokens[%zu] must be a token id, 0 "
                     "to %u",
                     i, ex->s->info.n_vocab - 1);
    if (status == JL_OK)
        status = jl_detok_create(ex->s->model, true, &detok, &f.err);
    if (status != JL_OK) {
        bad_request(ex, &f, body);
        return;
    }
    json_array_foreach(tokens, i, v)
    {
        const char *piece = jl_detok_push(detok, (int32_t)json_integer_value(v), &len);
        (void)jl_str_put(&text, piece, len);
    }
    const char *rest = jl_detok_flush(detok, &len);
    (void)jl_str_put(&text, rest, len);
    json_t *reply = json_pack("{s:s%}", "content", jl_str_text(&text), text.len);
    jl_detok_destroy(detok);
    jl_str_free(&text);
    json_decref(body);
    jl_ex_json(ex, 200, reply);
}
