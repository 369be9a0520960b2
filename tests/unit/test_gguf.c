/* The GGUF reader: values, and a message for everything that can be wrong with a file. */
#include <math.h>

#include "gguf/gguf.h"
#include "gguf_image.h"
#include "test.h"

static gguf_image m;

/* From a block of exactly the right size, so that a sanitizer sees any byte read beyond it. */
static jl_status open_bytes(const uint8_t *data, size_t n, jl_gguf **out, void **copy,
                            jl_error *err)
{
    *copy = malloc(n ? n : 1);
    memcpy(*copy, data, n);
    return jl_gguf_open_memory(*copy, n, out, err);
}

static void refused(jl_status status, const char *part)
{
    jl_error err = {JL_OK, 0, ""};
    jl_gguf *g = NULL;
    void *copy;
    assert_fails(open_bytes(m.data, m.len, &g, &copy, &err), status, part);
    assert_null(g);
    free(copy);
}

static void check_scalars(const jl_gguf *g)
{
    uint64_t u = 1;
    int64_t i = 1;
    float f = 1;
    bool b = false;
    jl_str s;
    assert_true(jl_gguf_get_u64(g, "t.u8", 0, &u) && u == 200);
    assert_true(jl_gguf_get_i64(g, "t.i8", 0, &i) && i == -2);
    assert_true(jl_gguf_get_u64(g, "t.u16", 0, &u) && u == 60000);
    assert_true(jl_gguf_get_i64(g, "t.i16", 0, &i) && i == -3);
    assert_true(jl_gguf_get_i64(g, "t.u32", 0, &i) && i == 4000000000);
    assert_true(jl_gguf_get_f32(g, "t.i32", 0, &f) && f == -4);
    assert_true(jl_gguf_get_f32(g, "t.f32", 0, &f) && f == 1.5f);
    assert_true(jl_gguf_get_bool(g, "t.bool", 0, &b) && b);
    assert_true(jl_gguf_get_u64(g, "t.u64", 0, &u) && u == UINT64_MAX);
    assert_true(jl_gguf_get_i64(g, "t.i64", 0, &i) && i == INT64_MIN);
    assert_true(jl_gguf_get_str(g, "general.architecture", &s) && s.len == 6);
    assert_memory_equal(s.ptr, "gemma4", 6);
    assert_true(jl_gguf_get_str(g, "t.str", &s) && s.len == 0);
}

/* What cannot be represented exactly is refused and leaves the output alone. */
static void check_refused_conversions(const jl_gguf *g)
{
    uint64_t u = 77;
    int64_t i = 77;
    float f = 77;
    bool b = true;
    jl_str s = {"x", 1};
    assert_false(jl_gguf_get_u64(g, "t.i8", 0, &u));
    assert_false(jl_gguf_get_u64(g, "t.f32", 0, &u));
    assert_false(jl_gguf_get_u64(g, "t.bool", 0, &u));
    assert_false(jl_gguf_get_u64(g, "t.u8", 1, &u));
    assert_false(jl_gguf_get_u64(g, "missing", 0, &u));
    assert_false(jl_gguf_get_i64(g, "t.u64", 0, &i));
    assert_false(jl_gguf_get_f32(g, "t.f64", 0, &f)); /* 0.1 has no F32 */
    assert_false(jl_gguf_get_f32(g, "t.u32", 0, &f));
    assert_false(jl_gguf_get_bool(g, "t.u8", 0, &b));
    assert_false(jl_gguf_get_str(g, "a.str", &s));
    assert_false(jl_gguf_get_str(g, "t.u8", &s));
    assert_true(u == 77 && i == 77 && f == 77 && b && s.len == 1);
}

static void check_arrays(const jl_gguf *g)
{
    int64_t i;
    bool b;
    jl_str s;
    jl_gguf_iter it = {0, 0};
    const char *const expected[] = {"one", "", "dr\xc3\xa9i"};
    assert_true(jl_gguf_get_i64(g, "a.i32", 1, &i) && i == -1);
    assert_true(jl_gguf_get_i64(g, "a.i32", 2, &i) && i == 9);
    assert_false(jl_gguf_get_i64(g, "a.i32", 3, &i));
    assert_true(jl_gguf_get_bool(g, "a.bool", 0, &b) && b);
    assert_true(jl_gguf_get_bool(g, "a.bool", 1, &b) && !b);
    const jl_gguf_kv *kv = jl_gguf_find(g, "a.str");
    assert_int_equal(kv->type, JL_GGUF_ARRAY);
    assert_int_equal(kv->item_type, JL_GGUF_STRING);
    for (int k = 0; k < 3; k++) {
        assert_true(jl_gguf_next_str(kv, &it, &s));
        assert_int_equal(s.len, strlen(expected[k]));
        assert_memory_equal(s.ptr, expected[k], s.len);
    }
    assert_false(jl_gguf_next_str(kv, &it, &s));
    it = (jl_gguf_iter){0, 0};
    assert_false(jl_gguf_next_str(jl_gguf_find(g, "a.empty"), &it, &s));
    assert_false(jl_gguf_next_str(jl_gguf_find(g, "a.i32"), &it, &s));
}

static void check_tensors(const jl_gguf *g)
{
    assert_int_equal(jl_gguf_n_tensors(g), 3);
    const jl_gguf_tensor *t = jl_gguf_find_tensor(g, "blk.0.x");
    assert_ptr_equal(t, jl_gguf_tensor_at(g, 2));
    assert_string_equal(t->name, "blk.0.x");
    assert_int_equal(t->type, JL_TYPE_F16);
    assert_int_equal(t->n_dims, 4);
    assert_true(t->ne[0] == 2 && t->ne[1] == 1 && t->ne[2] == 3 && t->ne[3] == 1);
    assert_true(t->n_elements == 6 && t->n_bytes == 12);
    assert_int_equal(t->data[11], (uint8_t)((160 + 11) * 7));
    t = jl_gguf_find_tensor(g, "token_embd.weight");
    assert_true(t->n_elements == 96 && t->n_bytes == 3 * 34 && t->ne[2] == 1);
    assert_null(jl_gguf_find_tensor(g, "blk.1.x"));
    assert_null(jl_gguf_tensor_at(g, 3));
}

static void test_reads_everything(void **state)
{
    for (uint32_t version = 2; version <= 3; version++) {
        jl_error err;
        jl_gguf *g = NULL;
        void *copy;
        image_full(&m, version);
        assert_ok(open_bytes(m.data, m.len, &g, &copy, &err));
        assert_int_equal(jl_gguf_version(g), version);
        assert_int_equal(jl_gguf_alignment(g), 32);
        assert_int_equal(jl_gguf_n_kv(g), 17);
        assert_int_equal(jl_gguf_n_parts(g), 1);
        assert_true(jl_gguf_file_bytes(g) == m.len);
        assert_string_equal(jl_gguf_kv_at(g, 1)->key, "t.u8");
        assert_null(jl_gguf_kv_at(g, 17));
        check_scalars(g);
        check_refused_conversions(g);
        check_arrays(g);
        check_tensors(g);
        jl_gguf_close(g);
        free(copy);
    }
    jl_gguf_close(NULL);
}

static void test_every_truncation_is_refused(void **state)
{
    image_full(&m, 3);
    for (size_t n = 0; n < m.len; n++) {
        jl_error err = {JL_OK, 0, ""};
        jl_gguf *g = NULL;
        void *copy;
        assert_int_equal(open_bytes(m.data, n, &g, &copy, &err), JL_FORMAT);
        assert_true(strlen(err.text) > 20);
        free(copy);
    }
}

/* A damaged byte gives a file that opens, or a message; under a sanitizer, nothing worse. */
static void test_every_damaged_byte(void **state)
{
    static const uint8_t patterns[] = {0x00, 0xff, 0x80, 0x01};
    image_full(&m, 3);
    for (size_t i = 0; i < m.len; i++) {
        for (size_t k = 0; k < sizeof patterns; k++) {
            jl_error err = {JL_OK, 0, ""};
            jl_gguf *g = NULL;
            void *copy;
            const uint8_t old = m.data[i];
            m.data[i] ^= patterns[k] ? patterns[k] : old;
            const jl_status status = open_bytes(m.data, m.len, &g, &copy, &err);
            assert_true(status == JL_OK ? g != NULL : err.text[0] != '\0');
            jl_gguf_close(g);
            free(copy);
            m.data[i] = old;
        }
    }
}

static void test_header(void **state)
{
    m.len = 0;
    refused(JL_FORMAT, "0 bytes");
    image_begin(&m, 3, 0, 0);
    memcpy(m.data, "GGML", 4);
    refused(JL_FORMAT, "not a GGUF file");
    image_begin(&m, 1, 0, 0);
    refused(JL_UNSUPPORTED, "version 1");
    image_begin(&m, 4, 0, 0);
    refused(JL_UNSUPPORTED, "version 4");
    image_begin(&m, 0x03000000, 0, 0);
    refused(JL_UNSUPPORTED, "big-endian");
    image_begin(&m, 3, UINT64_MAX, 0);
    refused(JL_TOO_LARGE, "tensors");
    image_begin(&m, 3, 60000, 0);
    refused(JL_FORMAT, "60000 tensors do not fit");
    image_begin(&m, 3, 0, 1ull << 63);
    refused(JL_TOO_LARGE, "metadata entries");
    image_begin(&m, 3, 0, 2);
    refused(JL_FORMAT, "2 metadata entries do not fit");
}

static void test_metadata(void **state)
{
    image_begin(&m, 3, 0, 2);
    image_kv(&m, "twice", 4, 1, 4);
    image_kv(&m, "twice", 4, 1, 4);
    refused(JL_FORMAT, "twice occurs twice");
    image_begin(&m, 3, 0, 1);
    image_kv_array(&m, "nested", 9, 1);
    image_kv_array(&m, "", 4, 0);
    refused(JL_UNSUPPORTED, "nested is an array of arrays");
    image_begin(&m, 3, 0, 1);
    image_kv(&m, "odd.type", 13, 1, 8);
    refused(JL_FORMAT, "odd.type has the unknown value type 13");
    image_begin(&m, 3, 0, 1);
    image_kv_array(&m, "odd.items", 99, 0);
    refused(JL_FORMAT, "odd.items has the unknown value type 99");
    image_begin(&m, 3, 0, 1);
    image_kv(&m, "maybe", 7, 2, 1);
    refused(JL_FORMAT, "maybe: 2 is not a bool");
    image_begin(&m, 3, 0, 1);
    image_kv_array(&m, "huge", 12, UINT64_MAX / 8 + 2); /* times 8 overflows to 8 */
    image_u64(&m, 0);
    refused(JL_FORMAT, "ends inside huge");
    image_begin(&m, 3, 0, 1);
    image_kv_array(&m, "many", 8, UINT64_MAX);
    image_u64(&m, 0);
    refused(JL_FORMAT, "ends inside many");
    image_begin(&m, 3, 0, 1);
    image_u64(&m, UINT64_MAX); /* length of the key */
    image_u64(&m, 0);
    refused(JL_FORMAT, "ends inside a metadata key");
}

static void test_names(void **state)
{
    static const char *const bad[] = {"", "line\nbreak", "esc\x1b[0m", "broken\xff", "del\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        image_begin(&m, 3, 0, 1);
        image_kv(&m, bad[i], 10, 1, 8);
        refused(JL_FORMAT, "metadata entry 0 has a key that is empty");
        image_begin(&m, 3, 1, 0);
        image_tensor(&m, bad[i], 1, (const uint64_t[]){8}, 0, 0);
        image_u64(&m, 0);
        refused(JL_FORMAT, "tensor 0 has a name that is empty");
    }
    image_begin(&m, 3, 0, 1);
    image_u64(&m, 3);
    image_bytes(&m, "a\0b", 3);
    image_u32(&m, 10);
    image_u64(&m, 0);
    refused(JL_FORMAT, "not printable");
}

static void test_alignment(void **state)
{
    static const uint32_t bad[] = {0, 1, 4, 24, 131072, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        image_begin(&m, 3, 0, 1);
        image_kv(&m, "general.alignment", 4, bad[i], 4);
        refused(JL_FORMAT, "general.alignment must be a power of two");
    }
    image_begin(&m, 3, 0, 1);
    image_kv_str(&m, "general.alignment", "32");
    refused(JL_FORMAT, "general.alignment must be");

    jl_error err;
    jl_gguf *g = NULL;
    image_begin(&m, 3, 1, 1);
    image_kv(&m, "general.alignment", 4, 64, 4);
    image_tensor(&m, "x", 1, (const uint64_t[]){1}, 0, 64);
    image_align(&m, 64);
    for (int i = 0; i < 68; i++)
        image_le(&m, (uint64_t)i, 1);
    assert_ok(jl_gguf_open_memory(m.data, m.len, &g, &err));
    assert_int_equal(jl_gguf_find_tensor(g, "x")->data[0], 64);
    jl_gguf_close(g);
}

/* One F32 tensor that is right but for what the caller changes. */
static void one_tensor(uint32_t n_dims, const uint64_t *ne, uint32_t type, uint64_t offset)
{
    image_begin(&m, 3, 1, 0);
    image_tensor(&m, "blk.7.w", n_dims, ne, type, offset);
    image_align(&m, 32);
    for (int i = 0; i < 64; i++)
        image_le(&m, 0, 1);
}

static void test_tensor_shapes(void **state)
{
    const uint64_t half = 1ull << 32;
    one_tensor(0, (const uint64_t[]){1}, 0, 0);
    refused(JL_FORMAT, "blk.7.w has 0 dimensions");
    one_tensor(5, (const uint64_t[]){1, 1, 1, 1, 1}, 0, 0);
    refused(JL_FORMAT, "5 dimensions");
    one_tensor(2, (const uint64_t[]){4, 0}, 0, 0);
    refused(JL_FORMAT, "dimension 1 is 0");
    one_tensor(3, (const uint64_t[]){half, half, 4}, 0, 0);
    refused(JL_FORMAT, "no file can hold");
    one_tensor(1, (const uint64_t[]){1ull << 62}, 0, 0); /* times 4 overflows to 0 */
    refused(JL_FORMAT, "no file can hold");
    one_tensor(2, (const uint64_t[]){33, 2}, 8, 0);
    refused(JL_FORMAT, "not a multiple of 32 as type Q8_0");
    one_tensor(2, (const uint64_t[]){48, 16}, 201, 0);
    refused(JL_FORMAT, "rows of 48 weights, not a multiple of 32 as type JQ4");
    one_tensor(2, (const uint64_t[]){64, 24}, 201, 0);
    refused(JL_FORMAT, "blk.7.w has 24 rows, not a multiple of 16 as type JQ4");
    one_tensor(1, (const uint64_t[]){64}, 201, 0);
    refused(JL_FORMAT, "1 rows, not a multiple of 16");
    one_tensor(3, (const uint64_t[]){64, 8, 2}, 201, 0); /* 16 in all, but not in each expert */
    refused(JL_FORMAT, "8 rows, not a multiple of 16");
    one_tensor(2, (const uint64_t[]){1ull << 61, 16}, 201, 0);
    refused(JL_FORMAT, "no file can hold");
    one_tensor(1, (const uint64_t[]){64}, 34, 0);
    refused(JL_UNSUPPORTED, "blk.7.w has type TQ1_0 (34)");
    one_tensor(1, (const uint64_t[]){64}, 4, 0);
    refused(JL_UNSUPPORTED, "blk.7.w has type ");
    one_tensor(1, (const uint64_t[]){64}, 4711, 0);
    refused(JL_UNSUPPORTED, "(4711)");
}

static void test_tensor_places(void **state)
{
    one_tensor(1, (const uint64_t[]){8}, 0, 8);
    refused(JL_FORMAT, "not a multiple of the alignment 32");
    one_tensor(1, (const uint64_t[]){17}, 0, 0);
    refused(JL_FORMAT, "blk.7.w (68 bytes at offset 0 of the data) reaches past the end");
    one_tensor(1, (const uint64_t[]){8}, 0, UINT64_MAX - 31);
    refused(JL_FORMAT, "reaches past the end");

    image_begin(&m, 3, 2, 0);
    image_tensor(&m, "same", 1, (const uint64_t[]){8}, 0, 0);
    image_tensor(&m, "same", 1, (const uint64_t[]){8}, 0, 32);
    refused(JL_FORMAT, "the tensor same occurs twice");
    image_begin(&m, 3, 3, 0);
    image_tensor(&m, "late", 1, (const uint64_t[]){8}, 0, 64);
    image_tensor(&m, "long", 1, (const uint64_t[]){9}, 0, 0);
    image_tensor(&m, "over", 1, (const uint64_t[]){8}, 0, 32);
    image_align(&m, 32);
    for (int i = 0; i < 96; i++)
        image_le(&m, 0, 1);
    refused(JL_FORMAT, "tensors long and over overlap");
}

/* Order in the file is free, gaps too, and the last tensor need not be padded. */
static void test_unordered_tensors(void **state)
{
    jl_error err;
    jl_gguf *g = NULL;
    image_begin(&m, 3, 2, 0);
    image_tensor(&m, "b", 1, (const uint64_t[]){1}, 0, 128);
    image_tensor(&m, "a", 1, (const uint64_t[]){8}, 0, 0);
    image_align(&m, 32);
    for (int i = 0; i < 132; i++)
        image_le(&m, (uint64_t)i, 1);
    assert_ok(jl_gguf_open_memory(m.data, m.len, &g, &err));
    assert_int_equal(jl_gguf_find_tensor(g, "b")->data[3], 131);
    assert_int_equal(jl_gguf_find_tensor(g, "a")->data[0], 0);
    jl_gguf_close(g);
}

static void test_no_split_from_memory(void **state)
{
    image_begin(&m, 3, 0, 1);
    image_kv(&m, "split.count", 2, 2, 2);
    refused(JL_UNSUPPORTED, "split model");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_everything),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_every_damaged_byte),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_tensor_shapes),
        cmocka_unit_test(test_tensor_places),
        cmocka_unit_test(test_unordered_tensors),
        cmocka_unit_test(test_no_split_from_memory),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
