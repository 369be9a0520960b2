/* Tensor tables and vocabularies of synthetic models against the published numbers. */
#include "test.h"

#include <string.h>

#include "synth/shape.h"
#include "synth/vocab.h"

static void make(const char *shape, const char *type, jl_plan *plan)
{
    jl_error err = {0};

    assert_non_null(jl_shape_find(shape));
    assert_int_equal(jl_plan_create(jl_shape_find(shape), 0, plan, &err), JL_OK);
    assert_int_equal(jl_plan_apply_recipe(plan, type, &err), JL_OK);
}

static uint64_t total(const jl_plan *plan, uint64_t (*fn)(const jl_plan_tensor *))
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < plan->n_tensors; i++)
        n += fn(&plan->tensors[i]);
    return n;
}

static uint32_t count(const jl_plan *plan, jl_type type)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < plan->n_tensors; i++)
        n += plan->tensors[i].type == type;
    return n;
}

static void test_counts(void **state)
{
    static const struct {
        const char *shape;
        uint32_t n_tensors;
    } want[] = {{"gemma-4-26b-a4b", 658}, {"gemma-4-31b", 833}, {"gemma-4-12b", 667},
                {"gemma-4-e4b", 720},     {"gemma-4-e2b", 601}, {"llama-3.1-8b", 292}};
    jl_plan plan;

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        make(want[i].shape, "Q8_0", &plan);
        assert_int_equal(plan.n_tensors, want[i].n_tensors);
        jl_plan_destroy(&plan);
    }
}

/* Published sizes less the metadata, which is the same 15.2 MB in files with one vocabulary. */
static void test_sizes(void **state)
{
    static const struct {
        const char *type;
        uint64_t file_bytes;
    } want[] = {{"UD-IQ4_XS", 13597177568},
                {"UD-Q4_K_M", 16947539744},
                {"Q8_0", 26859859744},
                {"QAT-Q4_0", 14249047104}};
    uint64_t meta = 0;
    jl_plan plan;

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        make("gemma-4-26b-a4b", want[i].type, &plan);
        assert_int_equal(total(&plan, jl_plan_tensor_elements), 25233142046);
        const uint64_t bytes = total(&plan, jl_plan_tensor_bytes);
        assert_true(bytes < want[i].file_bytes);
        if (i == 0)
            meta = want[i].file_bytes - bytes;
        else /* the metadata differs by names and a template version: a few kilobytes */
            assert_true(want[i].file_bytes - bytes < meta + 8192 &&
                        want[i].file_bytes - bytes + 8192 > meta);
        jl_plan_destroy(&plan);
    }
}

/* Type counts of the published Q4_K_M file: f32 392, q5_0 32, q8_0 28, q4_K 192, q6_K 14. */
static void test_k_mixture(void **state)
{
    jl_plan plan;

    (void)state;
    make("gemma-4-26b-a4b", "Q4_K_M", &plan);
    assert_int_equal(count(&plan, JL_TYPE_F32), 392);
    assert_int_equal(count(&plan, JL_TYPE_Q5_0), 32);
    assert_int_equal(count(&plan, JL_TYPE_Q8_0), 28);
    assert_int_equal(count(&plan, JL_TYPE_Q4_K), 192);
    assert_int_equal(count(&plan, JL_TYPE_Q6_K), 14);
    jl_plan_destroy(&plan);
}

static void test_refusals(void **state)
{
    jl_plan plan;
    jl_error err = {0};

    (void)state;
    assert_null(jl_shape_find("gemma-5"));
    assert_int_equal(jl_plan_create(jl_shape_find("tiny"), 7, &plan, &err), JL_INVALID);
    assert_int_equal(jl_plan_create(jl_shape_find("tiny"), 2, &plan, &err), JL_OK);
    assert_int_equal(jl_plan_apply_recipe(&plan, "Q9_9", &err), JL_INVALID);
    assert_int_equal(jl_plan_apply_recipe(&plan, "I32", &err), JL_INVALID);
    jl_plan_destroy(&plan);
}

static void check_merges(const jl_synth_vocab *v)
{
    for (uint32_t i = 0; i < v->n_merges; i++) {
        const jl_str m = v->merges[i];
        const char *space = memchr(m.ptr + 1, ' ', m.len - 1);
        char joined[1024];
        assert_non_null(space);
        const size_t left = (size_t)(space - m.ptr);
        memcpy(joined, m.ptr, left);
        memcpy(joined + left, space + 1, m.len - left - 1);
        assert_true(jl_strset_find(&v->ids, (jl_str){m.ptr, left}, NULL));
        assert_true(jl_strset_find(&v->ids, (jl_str){space + 1, m.len - left - 1}, NULL));
        assert_true(jl_strset_find(&v->ids, (jl_str){joined, m.len - 1}, NULL));
    }
}

static void test_vocabulary(void **state)
{
    static const char *const shapes[] = {"gemma-4-26b-a4b", "llama-3.1-8b", "mistral-small-24b",
                                         "tiny"};
    jl_synth_vocab v;
    jl_error err = {0};

    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const jl_shape *shape = jl_shape_find(shapes[s]);
        assert_int_equal(jl_synth_vocab_create(shape, NULL, 1, &v, &err), JL_OK);
        assert_int_equal(v.n, shape->n_vocab);
        assert_int_equal(v.ids.n_used, v.n); /* every text once */
        for (size_t i = 0; jl_shape_is_gemma(shape) && i < jl_n_gemma_tokens; i++) {
            uint32_t id = 0;
            const jl_str text = {jl_gemma_tokens[i].text, strlen(jl_gemma_tokens[i].text)};
            if (jl_gemma_tokens[i].id >= v.n)
                continue;
            assert_true(jl_strset_find(&v.ids, text, &id));
            assert_int_equal(id, jl_gemma_tokens[i].id);
        }
        check_merges(&v);
        jl_synth_vocab_destroy(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),     cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_k_mixture),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_vocabulary),
    };
    return cmocka_run_group_tests_name("synth", tests, NULL, NULL);
}
