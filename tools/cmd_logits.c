/* joule logits: runs given tokens and writes the logits as little-endian float32 rows. */
#include <stdio.h>
#include <string.h>

#include "joule/joule.h"
#include "joule/sys.h"
#include "load.h"
#include "opt.h"
#include "ui.h"

typedef struct {
    jl_writer *writer;
    size_t n_vocab;
    jl_status status;
    jl_error *err;
    jl_session *session;
} sink;

static void write_row(sink *s, const float *row)
{
    const uint16_t one = 1;

    if (s->status != JL_OK)
        return;
    if (*(const uint8_t *)&one == 1) {
        s->status = jl_writer_write(s->writer, row, s->n_vocab * sizeof *row, s->err);
        return;
    }
    for (size_t i = 0; i < s->n_vocab && s->status == JL_OK; i++) {
        uint32_t u;
        memcpy(&u, &row[i], sizeof u);
        const uint8_t b[4] = {(uint8_t)u, (uint8_t)(u >> 8), (uint8_t)(u >> 16),
                              (uint8_t)(u >> 24)};
        s->status = jl_writer_write(s->writer, b, sizeof b, s->err);
    }
}

static void on_logits(void *ctx, size_t index, const float *logits)
{
    (void)index;
    write_row(ctx, logits);
}

static void stop(void *session)
{
    jl_session_cancel(session);
}

static jl_status run_tokens(const opts *o, jl_session *session, const token_list *tokens, sink *s)
{
    const size_t batch = (size_t)opt_int(o, OPT_BATCH);

    for (size_t at = 0; at < tokens->n; at += batch) {
        const size_t n = tokens->n - at < batch ? tokens->n - at : batch;
        const bool last = at + n == tokens->n;
        const jl_piece piece = {0, tokens->ids + at, n, !last};
        const jl_status status = opt_on(o, OPT_ALL)
                                     ? jl_session_eval_all(session, &piece, on_logits, s, s->err)
                                     : jl_session_eval(session, &piece, 1, s->err);
        if (status != JL_OK)
            return status;
        if (s->status != JL_OK)
            return s->status;
        if (last && !opt_on(o, OPT_ALL))
            write_row(s, jl_session_logits(session, 0));
    }
    return s->status;
}

static jl_status write_logits(const opts *o, jl_model *model, const token_list *tokens,
                              jl_error *err)
{
    jl_session_params params;
    jl_session *session = NULL;
    jl_model_info info;

    jl_model_get_info(model, &info);
    load_session_params(o, &params);
    if (params.n_ctx == 0)
        params.n_ctx = (uint32_t)tokens->n;
    if (tokens->n > params.n_ctx)
        return tool_error(err, JL_INVALID, "%zu tokens do not fit in the context of %u: use -c %zu",
                          tokens->n, params.n_ctx, tokens->n);
    jl_status status = load_check_memory(o, model, &params, err);
    if (status == JL_OK)
        status = jl_session_create(model, &params, &session, err);
    if (status != JL_OK)
        return status;
    sink s = {.n_vocab = info.n_vocab, .err = err};
    status = jl_writer_create(opt_text(o, OPT_OUTPUT), &s.writer, err);
    if (status == JL_OK) {
        ui_catch_interrupt(stop, session);
        status = run_tokens(o, session, tokens, &s);
        if (status == JL_OK)
            status = jl_writer_commit(s.writer, err);
        else
            jl_writer_abort(s.writer);
        ui_release_interrupt();
    }
    jl_session_destroy(session);
    return status;
}

static jl_status read_tokens(const opts *o, const jl_model *model, token_list *tokens,
                             jl_error *err)
{
    const char *path = opt_text(o, OPT_TOKENS_FILE);
    const char *given = opt_text(o, OPT_TOKENS);
    jl_model_info info;
    char *text = NULL;
    size_t len = 0;

    jl_model_get_info(model, &info);
    jl_status status;
    if (given) {
        status = load_ids(given, strlen(given), info.n_vocab, tokens, err);
    } else {
        status =
            jl_file_read(strcmp(path, "-") == 0 ? "/dev/stdin" : path, 1 << 30, &text, &len, err);
        if (status == JL_OK)
            status = load_ids(text, len, info.n_vocab, tokens, err);
        jl_free(text);
    }
    if (status == JL_OK && tokens->n == 0)
        status = tool_error(err, JL_INVALID, "the token list is empty");
    return status;
}

int cmd_logits(const opts *o)
{
    jl_model *model = NULL;
    jl_error err = {0};
    token_list tokens = {0};

    if (!opt_text(o, OPT_TOKENS) == !opt_text(o, OPT_TOKENS_FILE))
        return usage_error(o, "give the tokens with --tokens or with --tokens-file");
    if (!opt_text(o, OPT_OUTPUT))
        return usage_error(o, "say with -o which file to write");
    jl_status status = load_model(o, NULL, LOAD_WEIGHTS, &model, &err);
    if (status == JL_OK)
        status = read_tokens(o, model, &tokens, &err);
    if (status == JL_OK)
        status = write_logits(o, model, &tokens, &err);
    jl_free(tokens.ids);
    jl_model_close(model);
    return status == JL_OK ? EXIT_OK : ui_fail(o, &err);
}
