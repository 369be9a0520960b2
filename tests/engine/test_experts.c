/* Dropping experts: saliency on a case worked out by hand, bytes of the experts that stay, and the
 * logits of a model whose dropped experts no token is ever routed to. */
#include <math.h>

#include "base/mem.h"
#include "convert/plan.h"
#include "eval/saliency.h"
#include "joule/joule.h"
#include "joule/synth.h"
#include "quant/quant.h"
#include "test.h"

enum { N_TOKENS = 96, N_CHUNK = 48, N_EXPERT = 32, N_USED = 4 };

/* Of 32: five that nothing reaches, at the ends and in between. */
static const uint32_t dead[] = {0, 7, 8, 20, 31};
enum { N_DEAD = sizeof dead / sizeof *dead };

static char model_path[600], imatrix_path[600], out_path[600];

static bool is_dead(uint32_t e)
{
    for (size_t i = 0; i < N_DEAD; i++)
        if (dead[i] == e)
            return true;
    return false;
}

static void name_files(const char *folder)
{
    snprintf(model_path, sizeof model_path, "%s/experts-all.gguf", folder);
    snprintf(imatrix_path, sizeof imatrix_path, "%s/experts.imatrix", folder);
    snprintf(out_path, sizeof out_path, "%s/experts-less.gguf", folder);
}

/* Dead experts have score 0. Of the others one half has a score near 1e6 u x, the other near
 * -1e6 u x: for every input one half is far above 0, so that exp of the rest is 0 exactly and
 * the sum of the softmax does not know whether the dead ones are there. */
static void set_router(float *row, uint32_t e, uint32_t n_embd)
{
    for (uint32_t i = 0; i < n_embd; i++) {
        const float u = (float)((i * 37 + 11) % 64) / 32.0f - 1.0f;
        row[i] = is_dead(e) ? 0.0f : (e % 2 ? -1e6f : 1e6f) * u + row[i];
    }
}

/* Calls fn for every tensor whose name has the part, with a copy of its data that is written
 * back. */
typedef void change_fn(const jl_gguf_tensor *t, uint8_t *data);

static void change(const char *path, const char *part, change_fn *fn)
{
    jl_gguf *g = NULL;
    jl_error err;

    assert_ok(jl_gguf_open(path, &g, &err));
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    for (size_t i = 0; i < jl_gguf_n_tensors(g); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(g, i);
        if (!strstr(t->name, part))
            continue;
        uint8_t *data = jl_malloc((size_t)t->n_bytes);
        assert_non_null(data);
        memcpy(data, t->data, (size_t)t->n_bytes);
        fn(t, data);
        assert_int_equal(fseek(f, (long)t->offset, SEEK_SET), 0);
        assert_int_equal(fwrite(data, 1, (size_t)t->n_bytes, f), t->n_bytes);
        jl_free(data);
    }
    assert_int_equal(fclose(f), 0);
    jl_gguf_close(g);
}

static void set_routers(const jl_gguf_tensor *t, uint8_t *data)
{
    assert_int_equal(t->type, JL_TYPE_F32);
    assert_int_equal(t->ne[1], N_EXPERT);
    for (uint32_t e = 0; e < N_EXPERT; e++)
        set_router((float *)(void *)data + e * t->ne[0], e, (uint32_t)t->ne[0]);
}

static void make_model(const char *path)
{
    jl_error err;

    const jl_synth_params p = {.struct_size = sizeof p, .shape = "tiny-moe", .type = "Q8_0",
                               .n_layer = 2, .n_threads = 1, .seed = 3};
    assert_ok(jl_synth_write(&p, path, &err));
    change(path, "ffn_gate_inp.weight", set_routers);
}

static void fill_tokens(int32_t *tokens)
{
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = i == 0 ? 2 : 300 + (i * 97) % 2000;
}

static void make_imatrix(const char *path, const char *out)
{
    jl_error err;
    jl_model *m = NULL;
    jl_session *s = NULL;
    int32_t tokens[N_TOKENS];

    fill_tokens(tokens);
    assert_ok(jl_model_open(path, NULL, &m, &err));
    const jl_session_params sp = {.struct_size = sizeof sp, .n_ctx = N_TOKENS, .n_threads = 2};
    assert_ok(jl_session_create(m, &sp, &s, &err));
    const jl_imatrix_params ip = {.struct_size = sizeof ip, .tokens = tokens,
                                  .n_tokens = N_TOKENS, .n_ctx = N_CHUNK};
    assert_ok(jl_imatrix_write(s, &ip, out, &err));
    jl_session_destroy(s);
    jl_model_close(m);
}

static int make_files(void **state)
{
    (void)state;
    make_model(model_path);
    make_imatrix(model_path, imatrix_path);
    return 0;
}

static void write_less(const char *rule, uint32_t n, jl_drop_by by)
{
    jl_quant_plan *plan = NULL;
    jl_error err;

    assert_ok(jl_quant_plan_open(model_path, imatrix_path, &plan, &err));
    assert_ok(jl_quant_plan_drop_experts(plan, n, by, &err));
    if (rule)
        assert_ok(jl_quant_plan_set_rule(plan, rule, &err));
    assert_ok(jl_quant_plan_settle(plan, &err));
    assert_int_equal(jl_quant_plan_drops(plan), 2);
    for (size_t i = 0; i < 2; i++) {
        jl_quant_dropped d;
        jl_quant_plan_drop_at(plan, i, &d);
        assert_int_equal(d.layer, i);
        assert_int_equal(d.n, n);
        assert_int_equal(d.n_expert, N_EXPERT);
        if (n == N_DEAD) {
            assert_memory_equal(d.experts, dead, sizeof dead);
            assert_true(d.share == 0.0);
        }
    }
    const jl_quant_write_params p = {.struct_size = sizeof p, .n_threads = 2, .fresh = true};
    assert_ok(jl_quantize_write(plan, out_path, &p, NULL, &err));
    jl_quant_plan_close(plan);
}

static void test_saliency(void **state)
{
    const float y[4] = {2.0f, -4.0f, 4.0f, 0.0f};
    (void)state;

    assert_true(jl_expert_saliency(0.5f, y, 3) == 3.0); /* norm 6 */
    assert_true(jl_expert_saliency(-0.5f, y, 4) == 3.0);
    assert_true(jl_expert_saliency(0.0f, y, 4) == 0.0);
}

static void test_least(void **state)
{
    const double score[6] = {3.0, 0.0, 1.0, 0.0, 0.5, 0.0};
    uint32_t out[6];
    (void)state;

    jl_experts_least(score, 6, 2, out); /* of three equal ones the last two */
    assert_int_equal(out[0], 3);
    assert_int_equal(out[1], 5);
    jl_experts_least(score, 6, 4, out);
    assert_memory_equal(out, ((uint32_t[]){1, 3, 4, 5}), 4 * sizeof *out);
    jl_experts_least(score, 6, 6, out);
    assert_memory_equal(out, ((uint32_t[]){0, 1, 2, 3, 4, 5}), 6 * sizeof *out);
}

/* Sums over counts, worked out by hand: one expert with 4 tokens that add 2, one with 1 token that
 * adds 3, one that no token reached. */
static void test_scores(void **state)
{
    static const float sums[3] = {8.0f, 3.0f, 0.0f};
    static const float counts[3] = {4.0f, 1.0f, 0.0f};
    static const float squares[6] = {1, 1, 1, 1, 1, 1};
    const jl_imatrix_source source = {NULL, 1, 8};
    const jl_gguf_tensor down = {.name = "blk.0.ffn_down_exps.weight", .ne = {2, 4, 3, 1}};
    jl_imatrix_entry e = {down.name, 2, 3, squares, counts, sums};
    char path[620];
    jl_imatrix *m = NULL;
    double out[3];
    jl_error err;
    (void)state;

    snprintf(path, sizeof path, "%s.scores", imatrix_path);
    assert_ok(jl_imatrix_save(path, &source, &e, 1, &err));
    assert_ok(jl_imatrix_open(path, &m, &err));
    assert_ok(jl_imatrix_experts(m, &down, JL_DROP_BY_MEAN, out, &err));
    assert_memory_equal(out, ((double[]){2.0, 3.0, 0.0}), sizeof out);
    assert_ok(jl_imatrix_experts(m, &down, JL_DROP_BY_USE, out, &err));
    assert_memory_equal(out, ((double[]){4.0, 1.0, 0.0}), sizeof out);
    assert_ok(jl_imatrix_experts(m, &down, JL_DROP_BY_TOTAL, out, &err));
    assert_memory_equal(out, ((double[]){8.0, 3.0, 0.0}), sizeof out);
    jl_imatrix_close(m);

    e.saliency = NULL; /* llama-imatrix has none */
    assert_ok(jl_imatrix_save(path, &source, &e, 1, &err));
    assert_ok(jl_imatrix_open(path, &m, &err));
    assert_fails(jl_imatrix_experts(m, &down, JL_DROP_BY_MEAN, out, &err), JL_FORMAT,
                 "joule imatrix");
    assert_ok(jl_imatrix_experts(m, &down, JL_DROP_BY_USE, out, &err));
    jl_imatrix_close(m);
}

static void read_scores(const char *imatrix, int layer, jl_drop_by by, double score[N_EXPERT])
{
    jl_imatrix *m = NULL;
    jl_gguf *g = NULL;
    char name[64];
    jl_error err;

    snprintf(name, sizeof name, "blk.%d.ffn_down_exps.weight", layer);
    assert_ok(jl_gguf_open(model_path, &g, &err));
    assert_ok(jl_imatrix_open(imatrix, &m, &err));
    assert_ok(jl_imatrix_experts(m, jl_gguf_find_tensor(g, name), by, score, &err));
    jl_imatrix_close(m);
    jl_gguf_close(g);
}

static void test_gathered(void **state)
{
    double score[N_EXPERT];
    double use[N_EXPERT];
    (void)state;

    for (int layer = 0; layer < 2; layer++) {
        double places = 0.0;
        read_scores(imatrix_path, layer, JL_DROP_BY_TOTAL, score);
        read_scores(imatrix_path, layer, JL_DROP_BY_USE, use);
        for (uint32_t e = 0; e < N_EXPERT; e++) {
            places += use[e];
            assert_true((use[e] == 0.0) == (score[e] == 0.0));
            if (is_dead(e))
                assert_true(use[e] == 0.0);
        }
        /* the last token of a chunk is not run */
        assert_true(places == (double)(N_TOKENS / N_CHUNK) * (N_CHUNK - 1) * N_USED);
    }
}

static uint32_t heavy, large; /* experts that tokens use in the last layer */

static void double_scale(const jl_gguf_tensor *t, uint8_t *data)
{
    assert_int_equal(t->type, JL_TYPE_F32);
    ((float *)(void *)data)[heavy] *= 2.0f;
}

/* One more in the exponent of the F16 scale of every block. */
static void double_down(const jl_gguf_tensor *t, uint8_t *data)
{
    const size_t each = (size_t)(t->n_bytes / N_EXPERT);

    assert_int_equal(t->type, JL_TYPE_Q8_0);
    for (size_t at = large * each; at < (large + 1) * each; at += 34)
        data[at + 1] = (uint8_t)(data[at + 1] + 4);
}

/* Twice the router's weight of one expert and twice the output of another double what is gathered
 * of these two, to the bit, and leave the others alone. */
static void test_doubled(void **state)
{
    char path[620];
    char imatrix[640];
    double was[N_EXPERT];
    double is[N_EXPERT];
    (void)state;

    read_scores(imatrix_path, 1, JL_DROP_BY_TOTAL, was);
    for (heavy = 0; was[heavy] == 0.0; heavy++)
        continue;
    for (large = heavy + 1; was[large] == 0.0; large++)
        assert_true(large + 1 < N_EXPERT);
    snprintf(path, sizeof path, "%s.doubled", model_path);
    snprintf(imatrix, sizeof imatrix, "%s.imatrix", path);
    make_model(path);
    change(path, "blk.1.ffn_down_exps.scale", double_scale);
    change(path, "blk.1.ffn_down_exps.weight", double_down);
    make_imatrix(path, imatrix);
    read_scores(imatrix, 1, JL_DROP_BY_TOTAL, is);
    for (uint32_t e = 0; e < N_EXPERT; e++)
        assert_true(is[e] == (e == heavy || e == large ? 2.0 : 1.0) * was[e]);
    remove(path);
    remove(imatrix);
}

/* Data of the experts that stay, one behind the other; everything else as it was. */
static void check_tensor(const jl_gguf_tensor *was, const jl_gguf_tensor *is, uint32_t n_gone)
{
    const uint32_t last = was->n_dims - 1;
    const bool sliced = strstr(was->name, "_exps") || strstr(was->name, "ffn_gate_inp.weight");
    const size_t each = (size_t)(was->n_bytes / N_EXPERT);
    uint32_t n = 0;

    assert_int_equal(is->type, was->type);
    assert_int_equal(is->n_dims, was->n_dims);
    if (!sliced) {
        assert_int_equal(is->n_bytes, was->n_bytes);
        assert_memory_equal(is->data, was->data, (size_t)was->n_bytes);
        return;
    }
    assert_int_equal(is->ne[last], N_EXPERT - n_gone);
    assert_int_equal(is->n_bytes, each * (N_EXPERT - n_gone));
    for (uint32_t e = 0; e < N_EXPERT; e++)
        if (!is_dead(e))
            assert_memory_equal(is->data + each * n++, was->data + each * e, each);
}

static void test_bytes(void **state)
{
    jl_gguf *was = NULL;
    jl_gguf *is = NULL;
    uint64_t value = 0;
    jl_error err;
    (void)state;

    write_less(NULL, N_DEAD, JL_DROP_BY_MEAN);
    assert_ok(jl_gguf_open(model_path, &was, &err));
    assert_ok(jl_gguf_open(out_path, &is, &err));
    assert_int_equal(jl_gguf_n_tensors(is), jl_gguf_n_tensors(was));
    for (size_t i = 0; i < jl_gguf_n_tensors(was); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(was, i);
        check_tensor(t, jl_gguf_find_tensor(is, t->name), N_DEAD);
    }
    assert_true(jl_gguf_get_u64(is, "gemma4.expert_count", 0, &value));
    assert_int_equal(value, N_EXPERT - N_DEAD);
    assert_true(jl_gguf_get_u64(is, "gemma4.expert_used_count", 0, &value));
    assert_int_equal(value, N_USED);
    for (uint64_t i = 0; i < 2 * N_DEAD; i++) {
        assert_true(jl_gguf_get_u64(is, "joule.dropped_experts", i, &value));
        assert_int_equal(value, dead[i % N_DEAD]);
    }
    for (size_t i = 0; i < jl_gguf_n_kv(was); i++)
        assert_non_null(jl_gguf_find(is, jl_gguf_kv_at(was, i)->key));
    jl_gguf_close(was);
    jl_gguf_close(is);
}

typedef struct {
    float *at;
    size_t n_vocab;
} rows;

static void keep_row(void *ctx, size_t index, const float *logits)
{
    const rows *r = ctx;

    memcpy(r->at + index * r->n_vocab, logits, r->n_vocab * sizeof *logits);
}

static float *logits_of(const char *path, size_t *n)
{
    jl_model *m = NULL;
    jl_session *s = NULL;
    jl_model_info info;
    jl_error err;
    int32_t tokens[N_TOKENS];

    fill_tokens(tokens);
    assert_ok(jl_model_open(path, NULL, &m, &err));
    jl_model_get_info(m, &info);
    const jl_session_params p = {.struct_size = sizeof p, .n_ctx = N_TOKENS, .n_threads = 2,
                                 .n_logits_max = 8};
    assert_ok(jl_session_create(m, &p, &s, &err));
    const rows r = {jl_malloc((size_t)N_TOKENS * info.n_vocab * sizeof(float)), info.n_vocab};
    assert_non_null(r.at);
    const jl_piece piece = {.seq = 0, .tokens = tokens, .n_tokens = N_TOKENS};
    assert_ok(jl_session_eval_all(s, &piece, keep_row, (void *)(uintptr_t)&r, &err));
    *n = (size_t)N_TOKENS * info.n_vocab;
    jl_session_destroy(s);
    jl_model_close(m);
    return r.at;
}

static void test_logits(void **state)
{
    size_t n[3];
    (void)state;

    float *all = logits_of(model_path, &n[0]);
    write_less(NULL, N_DEAD, JL_DROP_BY_MEAN);
    float *less = logits_of(out_path, &n[1]);
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(all, less, n[0] * sizeof *all);
    jl_free(less);

    write_less(NULL, N_DEAD + 12, JL_DROP_BY_USE); /* now some that matter go as well */
    less = logits_of(out_path, &n[2]);
    assert_memory_not_equal(all, less, n[0] * sizeof *all);
    jl_free(less);
    jl_free(all);
}

/* Quantised while experts are dropped, the rows are those of the whole model quantised so: with
 * importance, which lies by expert, too; JQ4 stores 16 rows together. */
static void check_quantised(const char *rule)
{
    char whole_path[620];
    jl_quant_plan *plan = NULL;
    jl_gguf *was = NULL;
    jl_gguf *is = NULL;
    jl_error err;

    snprintf(whole_path, sizeof whole_path, "%s.whole", out_path);
    assert_ok(jl_quant_plan_open(model_path, imatrix_path, &plan, &err));
    assert_ok(jl_quant_plan_set_rule(plan, rule, &err));
    assert_ok(jl_quant_plan_settle(plan, &err));
    const jl_quant_write_params p = {.struct_size = sizeof p, .n_threads = 1, .fresh = true};
    assert_ok(jl_quantize_write(plan, whole_path, &p, NULL, &err));
    jl_quant_plan_close(plan);
    write_less(rule, N_DEAD, JL_DROP_BY_MEAN);
    assert_ok(jl_gguf_open(whole_path, &was, &err));
    assert_ok(jl_gguf_open(out_path, &is, &err));
    for (size_t i = 0; i < jl_gguf_n_tensors(was); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(was, i);
        check_tensor(t, jl_gguf_find_tensor(is, t->name), N_DEAD);
    }
    jl_gguf_close(was);
    jl_gguf_close(is);
    remove(whole_path);
}

static void test_quantised(void **state)
{
    (void)state;
    check_quantised("blk.1.ffn_down_exps=IQ4_NL");
    check_quantised("blk.1.ffn_down_exps=JQ4");
}

static void refuse(const char *imatrix, uint32_t n, const char *part)
{
    jl_quant_plan *plan = NULL;
    jl_error err;

    assert_ok(jl_quant_plan_open(model_path, imatrix, &plan, &err));
    assert_fails(jl_quant_plan_drop_experts(plan, n, JL_DROP_BY_TOTAL, &err), JL_INVALID, part);
    assert_int_equal(jl_quant_plan_drops(plan), 0);
    jl_quant_plan_close(plan);
}

static void test_refused(void **state)
{
    jl_quant_plan *plan = NULL;
    jl_error err;
    (void)state;

    refuse(NULL, 4, "--imatrix");
    refuse(imatrix_path, N_EXPERT - N_USED + 1, "at most 28");
    refuse(imatrix_path, N_EXPERT, "at most 28");
    refuse(imatrix_path, UINT32_MAX, "at most 28");
    assert_ok(jl_quant_plan_open(model_path, imatrix_path, &plan, &err));
    assert_ok(jl_quant_plan_drop_experts(plan, N_EXPERT - N_USED, JL_DROP_BY_USE, &err));
    assert_fails(jl_quant_plan_drop_experts(plan, 1, JL_DROP_BY_USE, &err), JL_INVALID,
                 "already");
    jl_quant_plan_close(plan);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saliency), cmocka_unit_test(test_least),
        cmocka_unit_test(test_scores),   cmocka_unit_test(test_gathered),
        cmocka_unit_test(test_doubled),
        cmocka_unit_test(test_bytes),    cmocka_unit_test(test_logits),
        cmocka_unit_test(test_quantised), cmocka_unit_test(test_refused),
    };

    if (argc != 3)
        return 2;
    name_files(argv[2]);
    return cmocka_run_group_tests_name("experts", tests, make_files, NULL);
}
