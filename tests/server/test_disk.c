/* The cache on disk: what a restart finds, damage of every byte, limits, and answers that do not
 * depend on any of it. */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/mem.h"
#include "base/thread.h"
#include "server/disk.h"
#include "server/scheduler.h"
#include "tiny.h"

static const char *golden_folder, *work_folder;
static tiny t;
static jl_lock *lock;
static char folder[512];
static char log_text[4096]; /* lines logged, under the lock */

static void remember_log(void *ctx, jl_log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    jl_lock_take(lock);
    const size_t len = strlen(log_text);
    snprintf(log_text + len, sizeof log_text - len, "%s\n", line);
    jl_lock_leave(lock);
}

static bool logged(const char *what)
{
    jl_lock_take(lock);
    const bool found = strstr(log_text, what) != NULL;
    jl_lock_leave(lock);
    return found;
}

/* ---- the folder ------------------------------------------------------------------------- */

typedef struct {
    char paths[256][700];
    size_t n;
} files;

static bool list_item(void *ctx, const jl_folder_item *item);

static void list(files *f, const char *path)
{
    struct {
        files *f;
        const char *path;
    } ctx = {f, path};
    jl_error err;

    assert_ok(jl_folder_each(path, list_item, &ctx, &err));
}

static bool list_item(void *ctx, const jl_folder_item *item)
{
    struct {
        files *f;
        const char *path;
    } *c = ctx;
    char path[700];

    snprintf(path, sizeof path, "%s/%s", c->path, item->name);
    if (item->is_folder)
        list(c->f, path);
    else if (strchr(item->name, '.') && c->f->n < 256)
        snprintf(c->f->paths[c->f->n++], sizeof *c->f->paths, "%s", path);
    return true;
}

static files *records(void)
{
    static files f;

    f.n = 0;
    list(&f, folder);
    return &f;
}

static void wipe(const char *path)
{
    char command[700];

    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s/disk-test-%ld", work_folder, (long)getpid());
    wipe(folder);
    log_text[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wipe(folder);
    return 0;
}

/* ---- the store alone -------------------------------------------------------------------- */

static jl_store_params params_of(const char *key, uint64_t max_bytes)
{
    return (jl_store_params){
        .folder = folder, .max_bytes = max_bytes, .key = key, .log = remember_log};
}

static jl_store *open_store(jl_store_params p)
{
    jl_store *s = NULL;
    jl_error err;

    assert_ok(jl_store_open(&p, &s, &err));
    return s;
}

static jl_record_id id_of(uint64_t n, uint32_t index)
{
    return (jl_record_id){JL_RECORD_GLOBAL, {n, ~n}, index};
}

static void put(jl_store *s, uint64_t n, uint32_t index, size_t n_bytes)
{
    uint8_t *data = jl_malloc(n_bytes);

    memset(data, (int)n, n_bytes);
    jl_store_put(s, id_of(n, index), data, n_bytes, NULL, 0);
    jl_free(data);
}

static bool get(jl_store *s, uint64_t n, uint32_t index)
{
    size_t n_bytes = 0;
    uint8_t *data;
    const jl_store_result got = jl_store_get(s, id_of(n, index), &data, &n_bytes);

    assert_true((data != NULL) == (got == JL_STORE_READ));
    for (size_t i = 0; data && i < n_bytes; i++)
        assert_int_equal(data[i], (uint8_t)n);
    jl_free(data);
    return got == JL_STORE_READ;
}

static void test_store_survives(void **state)
{
    struct stat st;
    char path[700];
    (void)state;

    jl_store *s = open_store(params_of("a", 1 << 20));
    const uint64_t seed = jl_store_seed(s);
    put(s, 1, 0, 100);
    put(s, 2, 1, 5000);
    assert_true(get(s, 1, 0) && get(s, 2, 1));
    assert_false(get(s, 3, 0));
    assert_int_equal(jl_store_find(s, id_of(2, 1)), 5000);
    assert_int_equal(jl_store_find(s, id_of(2, 7)), 0); /* another place */
    /* two processes do not share it */
    jl_store *second;
    jl_error err;
    jl_store_params p = params_of("a", 1 << 20);
    assert_fails(jl_store_open(&p, &second, &err), JL_INVALID, "another process");
    jl_store_close(s);

    s = open_store(p);
    assert_true(get(s, 1, 0) && get(s, 2, 1));
    assert_int_equal(jl_store_seed(s), seed);
    jl_store_close(s);
    /* another key sees nothing of it, and leaves it alone */
    s = open_store(params_of("b", 1 << 20));
    assert_false(get(s, 1, 0));
    jl_store_close(s);
    s = open_store(p);
    assert_true(get(s, 1, 0));
    jl_store_close(s);

    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    files *f = records();
    assert_int_equal(f->n, 2);
    for (size_t i = 0; i < f->n; i++) {
        assert_int_equal(stat(f->paths[i], &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    snprintf(path, sizeof path, "%s/seed", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    /* a folder that others may read is not used */
    assert_int_equal(chmod(folder, 0755), 0);
    assert_fails(jl_store_open(&p, &second, &err), JL_IO, "chmod 700");
    assert_int_equal(chmod(folder, 0700), 0);
}

static void test_store_limits(void **state)
{
    jl_store_stats st;
    (void)state;

    jl_store *s = open_store(params_of("a", 5000));
    for (uint64_t i = 0; i < 4; i++)
        put(s, i, (uint32_t)i, 1000);
    put(s, 9, 9, 6000); /* larger than all: not written, nothing goes for it */
    jl_store_get_stats(s, &st);
    assert_int_equal(st.n_records, 4);
    put(s, 4, 0, 1000); /* of records equally old the deepest goes first */
    put(s, 5, 0, 1000);
    assert_true(get(s, 0, 0) && get(s, 4, 0) && get(s, 5, 0));
    assert_false(get(s, 3, 3));
    jl_store_get_stats(s, &st);
    assert_true(st.n_bytes <= 5000);
    assert_true(st.n_evicted >= 1);
    assert_int_equal(records()->n, st.n_records);
    jl_store_close(s);
    s = open_store(params_of("b", 2500)); /* records of another key count, and go first */
    jl_store_get_stats(s, &st);
    assert_true(st.n_bytes <= 2500);
    put(s, 1, 0, 1000);
    put(s, 2, 0, 1000);
    assert_true(get(s, 1, 0) && get(s, 2, 0));
    jl_store_close(s);

    /* a day's share, also over a restart */
    wipe(folder);
    jl_store_params p = params_of("c", 1 << 20);
    p.max_daily = 4200;
    s = open_store(p);
    put(s, 1, 0, 1000);
    put(s, 2, 0, 1000);
    jl_store_close(s);
    s = open_store(p);
    put(s, 3, 0, 1000);
    put(s, 4, 0, 1000);
    put(s, 5, 0, 1000);
    assert_false(get(s, 3, 0) && get(s, 4, 0));
    assert_true(logged("written today"));
    assert_false(jl_store_is_writable(s));
    assert_true(get(s, 1, 0));
    jl_store_close(s);
}

/* Every byte of a record changed in turn, every length: never handed out, dropped, and said. */
static void test_store_damage(void **state)
{
    enum { N = 100 };
    struct stat st;
    (void)state;

    jl_store *s = open_store(params_of("a", 1 << 20));
    put(s, 7, 0, N);
    const files *f = records();
    assert_int_equal(f->n, 1);
    assert_int_equal(stat(f->paths[0], &st), 0);
    for (off_t at = 0; at < st.st_size; at++)
        for (int cut = 0; cut < 2; cut++) {
            const int fd = open(f->paths[0], O_RDWR);
            uint8_t byte;
            assert_true(fd >= 0);
            if (cut) {
                assert_int_equal(ftruncate(fd, at), 0);
            } else {
                assert_int_equal(pread(fd, &byte, 1, at), 1);
                byte ^= (uint8_t)(1 << at % 8);
                assert_int_equal(pwrite(fd, &byte, 1, at), 1);
            }
            close(fd);
            if (at % 3 == 0) { /* also when it was damaged while nobody looked */
                jl_store_close(s);
                s = open_store(params_of("a", 1 << 20));
            }
            assert_false(get(s, 7, 0));
            if (access(f->paths[0], F_OK) == 0)
                fail_msg("byte %d, cut %d: the file stays", (int)at, cut);
            put(s, 7, 0, N);
            assert_true(get(s, 7, 0));
        }
    assert_true(logged("dropped"));
    jl_store_close(s);
}

/* What a killed process may leave: temporary files, foreign ones, empty ones. */
static void test_store_rubbish(void **state)
{
    char path[900];
    (void)state;

    jl_store *s = open_store(params_of("a", 1 << 20));
    put(s, 7, 0, 100);
    jl_store_close(s);
    char first[700];
    snprintf(first, sizeof first, "%.699s", records()->paths[0]);
    static const char *const rubbish[] = {".123.tmp", "x", ".g"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", first, rubbish[i]);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    snprintf(path, sizeof path, "%s/written", folder);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, "xyz", 3), 3);
    close(fd);
    s = open_store(params_of("a", 1 << 20));
    assert_true(get(s, 7, 0));
    assert_int_equal(records()->n, 1);
    jl_store_close(s);
}

/* ---- with an engine --------------------------------------------------------------------- */

enum { MAX_NEW = 40 };

typedef struct {
    jl_job job;
    int32_t tokens[600];
    bool ended;
    jl_job_end end;
} request;

static bool on_token(void *ctx, int32_t token, const float *logits)
{
    (void)ctx;
    (void)token;
    (void)logits;
    return true;
}

static void on_end(void *ctx, jl_job_end end, const jl_error *err)
{
    request *r = ctx;
    (void)err;

    jl_lock_take(lock);
    r->end = end;
    r->ended = true;
    jl_lock_wake(lock);
    jl_lock_leave(lock);
}

static const jl_job_events events = {.on_token = on_token, .on_end = on_end};

static void prepare(request *r, size_t offset, size_t n_prompt, size_t n_new)
{
    *r = (request){.job = {.n_prompt = n_prompt, .n_new_max = n_new, .events = &events}};
    r->job.sampler = tiny_sampler(&t, 3);
    r->job.tokens = r->tokens;
    r->job.ctx = r;
    memcpy(r->tokens, t.tokens + offset, n_prompt * sizeof *r->tokens);
}

typedef struct {
    jl_session *session;
    jl_disk *disk;
    jl_scheduler *s;
} engine;

static engine start(jl_session_params sp, const jl_store_params *store, uint32_t n_parallel)
{
    jl_scheduler_params p = {.n_parallel = n_parallel, .n_cache = 8, .n_ubatch = 32};
    engine e = {0};
    jl_error err;

    sp.n_ubatch = 32;
    sp.n_ctx = 512;
    sp.n_seq_max = p.n_parallel + p.n_cache;
    sp.n_logits_max = p.n_parallel;
    sp.n_beside = p.n_parallel;
    e.session = tiny_session(&t, sp);
    assert_ok(jl_disk_create(t.model, e.session, store, &e.disk, &err));
    p.disk = e.disk;
    p.disk_bytes = store->max_bytes;
    assert_ok(jl_scheduler_create(e.session, &p, &e.s, &err));
    return e;
}

static void stop(engine e)
{
    jl_scheduler_destroy(e.s);
    jl_disk_destroy(e.disk);
    jl_session_destroy(e.session);
}

static void submit(engine e, request *r)
{
    jl_job *job = &r->job;
    jl_error err;

    assert_ok(jl_scheduler_submit(e.s, &job, 1, &err));
}

static void wait_end(request *r)
{
    jl_lock_take(lock);
    while (!r->ended)
        jl_lock_wait(lock);
    jl_lock_leave(lock);
    jl_sampler_destroy(r->job.sampler);
    assert_int_equal(r->end, JL_JOB_LENGTH);
}

static void ask(engine e, request *r, size_t offset, size_t n_prompt, size_t n_new)
{
    prepare(r, offset, n_prompt, n_new);
    submit(e, r);
    wait_end(r);
}

static void assert_solo(const request *r)
{
    int32_t want[MAX_NEW];
    const size_t n = r->job.n_tokens - r->job.n_prompt;

    tiny_solo(&t, r->tokens, r->job.n_prompt, 3, want, n);
    assert_memory_equal(r->tokens + r->job.n_prompt, want, n * sizeof *want);
}

/* After a restart at most one block of what was known is read, and the answer is the same; for
 * every length around the window and the ends of blocks. */
static void test_restart(void **state)
{
    static const size_t lengths[] = {64, 109, 127, 172, 173, 300, 449};
    static request r;
    const jl_store_params store = params_of("", 1 << 28);
    (void)state;

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        engine e = start((jl_session_params){0}, &store, 1);
        ask(e, &r, 0, lengths[i], 20);
        assert_solo(&r);
        stop(e);
        e = start((jl_session_params){0}, &store, 1);
        const size_t known = lengths[i] + 19; /* the last one was not read */
        int32_t more[600];
        memcpy(more, r.tokens, (lengths[i] + 20) * sizeof *more);
        prepare(&r, 0, lengths[i], 20);
        memcpy(r.tokens, more, (lengths[i] + 20) * sizeof *more);
        r.job.n_prompt = lengths[i] + 20;
        submit(e, &r);
        wait_end(&r);
        assert_int_equal(r.job.stats.n_cached, known / 64 * 64);
        assert_solo(&r);
        jl_scheduler_stats st;
        jl_scheduler_get_stats(e.s, &st);
        assert_true(st.disk.n_loaded_tokens >= known / 64 * 64);
        stop(e);
        wipe(folder);
    }
}

/* Another beginning shares nothing; another arithmetic neither; several at once load side by side.
 */
static void test_apart(void **state)
{
    static request r[6];
    const jl_store_params store = params_of("", 1 << 28);
    (void)state;

    engine e = start((jl_session_params){0}, &store, 4);
    for (size_t i = 0; i < 4; i++)
        prepare(&r[i], i * 11, 200 + 30 * i, 10);
    for (size_t i = 0; i < 4; i++)
        submit(e, &r[i]);
    for (size_t i = 0; i < 4; i++)
        wait_end(&r[i]);
    stop(e);
    e = start((jl_session_params){.type_k = JL_KV_F32, .type_v = JL_KV_F32}, &store, 4);
    ask(e, &r[4], 0, 200, 10);
    assert_int_equal(r[4].job.stats.n_cached, 0);
    stop(e);
    e = start((jl_session_params){0}, &store, 4);
    ask(e, &r[4], 5, 200, 10);
    assert_int_equal(r[4].job.stats.n_cached, 0);
    for (size_t i = 0; i < 4; i++)
        prepare(&r[i], i * 11, 200 + 30 * i, 10);
    for (size_t i = 0; i < 4; i++)
        submit(e, &r[i]);
    for (size_t i = 0; i < 4; i++) {
        wait_end(&r[i]);
        assert_int_equal(r[i].job.stats.n_cached, (199 + 30 * i) / 64 * 64);
        assert_solo(&r[i]);
    }
    stop(e);
}

static void damage(const char *path, off_t at)
{
    const int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Each record damaged in turn: the answer stays the same, what is left is still used. */
static void test_damage_in_use(void **state)
{
    static request r;
    const jl_store_params store = params_of("", 1 << 28);
    (void)state;

    engine e = start((jl_session_params){0}, &store, 1);
    ask(e, &r, 0, 300, 10);
    stop(e);
    const size_t n = records()->n;
    assert_true(n >= 5);
    for (size_t i = 0; i < n; i++) {
        char path[700];
        snprintf(path, sizeof path, "%.699s", records()->paths[i]);
        damage(path, 400);
        log_text[0] = '\0';
        e = start((jl_session_params){0}, &store, 1);
        ask(e, &r, 0, 300, 10);
        assert_solo(&r);
        assert_true(r.job.stats.n_cached < 299);
        stop(e); /* writes what is missing again */
        assert_int_equal(records()->n, n);
    }
}

/* The folder goes away, or takes no more: said once, answers go on. */
static void test_disk_fails(void **state)
{
    static request r;
    const jl_store_params store = params_of("", 1 << 28);
    (void)state;

    engine e = start((jl_session_params){0}, &store, 1);
    wipe(folder);
    ask(e, &r, 0, 200, 10);
    assert_solo(&r);
    ask(e, &r, 7, 200, 10);
    assert_solo(&r);
    stop(e);
    assert_true(logged("nothing more is written"));

    /* a folder that cannot be made */
    jl_store_params p = store;
    char file[600];
    jl_error err;
    jl_disk *disk;
    snprintf(file, sizeof file, "%s-file", folder);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    p.folder = file;
    jl_session *session = tiny_session(&t, (jl_session_params){.n_ctx = 512});
    assert_fails(jl_disk_create(t.model, session, &p, &disk, &err), JL_IO, file);
    jl_session_destroy(session);
    remove(file);
}

/* Cancelled while it loads; many with one beginning at once. */
static void test_cancel_while_loading(void **state)
{
    static request r[8];
    const jl_store_params store = params_of("", 1 << 28);
    (void)state;

    engine e = start((jl_session_params){0}, &store, 1);
    ask(e, &r[0], 0, 400, 10);
    stop(e);
    for (int round = 0; round < 4; round++) {
        e = start((jl_session_params){0}, &store, 2);
        for (int i = 0; i < 8; i++) {
            prepare(&r[i], 0, (size_t)(400 - i), 10);
            submit(e, &r[i]);
        }
        for (int i = 0; i < 8; i += 2)
            jl_scheduler_cancel(e.s, &r[i].job);
        for (int i = 0; i < 8; i++) {
            jl_lock_take(lock);
            while (!r[i].ended)
                jl_lock_wait(lock);
            jl_lock_leave(lock);
            jl_sampler_destroy(r[i].job.sampler);
            if (r[i].end != JL_JOB_CANCELLED)
                assert_solo(&r[i]);
            assert_true(i % 2 == 0 || r[i].end == JL_JOB_LENGTH);
        }
        stop(e);
    }
}

static int open_all(void **state)
{
    jl_error err;
    (void)state;

    tiny_open(&t, golden_folder, work_folder);
    return jl_lock_create(&lock, &err) == JL_OK ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    jl_lock_destroy(lock);
    tiny_close(&t);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_store_survives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_rubbish, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_while_loading, setup, teardown),
    };

    golden_folder = argc > 1 ? argv[1] : "tests/golden";
    work_folder = argc > 2 ? argv[2] : ".";
    return cmocka_run_group_tests(tests, open_all, close_all);
}
