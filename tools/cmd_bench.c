/* joule bench: times prefill and decode, and says what share of the machine that is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_power.h"
#include "joule/bench.h"
#include "joule/sys.h"
#include "load.h"
#include "opt.h"
#include "ui.h"

enum { MAX_LIST = 32, MAX_REPS = 1000, MAX_TOKENS = 1 << 22 };

typedef struct {
    uint32_t values[MAX_LIST];
    size_t n;
} number_list;

typedef struct {
    bool decode;
    uint32_t n, depth;
    uint32_t reps;
    double median, mean, sd; /* tokens per second */
    double cpu;              /* CPU seconds per token, median */
    double joules, watts;    /* per token, and while it ran; NAN: no meter */
    jl_bench_work work;
} bench_row;

typedef struct {
    const opts *o;
    jl_bench *bench;
    jl_model_info info;
    jl_roofline roof;
    const char *kernels;
    bench_power energy;
    uint32_t n_threads, reps;
    bool on_gpu; /* roof is not measured then */
    size_t n_rows;
} bench_run;

static int read_list(const opts *o, opt_id id, number_list *out)
{
    const char *s = opt_text(o, id);

    out->n = 0;
    while (*s) {
        char *end;
        const unsigned long v = strtoul(s, &end, 10);
        if (end == s || v > MAX_TOKENS || (*end && *end != ',') || *s == '-' || out->n == MAX_LIST)
            return usage_error(o,
                               "--%s takes up to %d numbers of tokens (0 to %d), comma separated",
                               opt_table[id].name, MAX_LIST, MAX_TOKENS);
        out->values[out->n++] = (uint32_t)v;
        s = *end ? end + 1 : end;
    }
    return 0;
}

static uint32_t largest(const number_list *l)
{
    uint32_t most = 0;

    for (size_t i = 0; i < l->n; i++)
        most = l->values[i] > most ? l->values[i] : most;
    return most;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *v, uint32_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

static void summarise(bench_row *row, double *tps, double *cpu)
{
    double sum = 0.0;
    double squares = 0.0;

    for (uint32_t i = 0; i < row->reps; i++)
        sum += tps[i];
    row->mean = sum / row->reps;
    for (uint32_t i = 0; i < row->reps; i++)
        squares += (tps[i] - row->mean) * (tps[i] - row->mean);
    row->sd = row->reps > 1 ? sqrt(squares / (row->reps - 1)) : 0.0;
    row->median = median(tps, row->reps);
    row->cpu = median(cpu, row->reps);
}

/* Once uncounted (pages of the file, clocks), then reps times. */
static jl_status time_row(bench_run *b, bench_row *row, jl_error *err)
{
    static double tps[MAX_REPS], cpu[MAX_REPS];
    char label[64];
    ui_progress progress;

    snprintf(label, sizeof label, "%s%u @ d%u", row->decode ? "tg" : "pp", row->n, row->depth);
    ui_progress_start(&progress, b->o, label);
    jl_status s = jl_bench_set_depth(b->bench, row->depth, err);
    bench_power_row(&b->energy);
    for (uint32_t i = 0; s == JL_OK && i <= row->reps; i++) {
        jl_bench_time t;
        const uint32_t n = i == 0 && row->decode && row->n > 4 ? 4 : row->n;
        if (i > 0)
            bench_power_start(&b->energy);
        s = row->decode ? jl_bench_decode(b->bench, n, &t, err)
                        : jl_bench_prefill(b->bench, n, &t, err);
        ui_progress_show(&progress, (double)(i + 1) / (row->reps + 1), NULL);
        if (s != JL_OK || i == 0)
            continue;
        bench_power_stop(&b->energy);
        tps[i - 1] = n / t.seconds;
        cpu[i - 1] = t.cpu_seconds / n;
    }
    ui_progress_end(&progress);
    if (s == JL_OK)
        summarise(row, tps, cpu);
    jl_bench_get_work(b->bench, row->decode, row->n, &row->work);
    row->joules = bench_power_joules(&b->energy, (double)row->n * row->reps);
    row->watts = bench_power_watts(&b->energy);
    return s;
}

/* Tokens per second that the machine allows: the bytes of decode at the read bandwidth, the
 * products of prefill at the given int8 peak and then its attention at the F32 peak. NAN: not
 * known. */
static double bound_of(const bench_run *b, const bench_row *row, double int8_ops_per_s)
{
    if (b->on_gpu)
        return NAN;
    if (row->decode)
        return b->roof.read_bytes_per_s / row->work.bytes;
    if (int8_ops_per_s <= 0.0 || b->roof.f32_ops_per_s <= 0.0)
        return NAN;
    return 1.0 / (row->work.int8_ops / int8_ops_per_s + row->work.f32_ops / b->roof.f32_ops_per_s);
}

static double share_of_bound(const bench_run *b, const bench_row *row)
{
    return row->median / bound_of(b, row, b->roof.int8_ops_per_s);
}

/* Of decode "80 %"; of prefill one for each of the two widest instruction sets, because little of
 * a matrix unit's peak can be reached where sums are rounded every 32 products: "9 % amx, 61 %
 * avx512vnni". A share of more than 100 % of the second only says that the first was used. */
static const char *share_text(const bench_run *b, const bench_row *row, char text[64])
{
    const jl_roofline *r = &b->roof;
    int n = 0;

    if (row->decode || r->n_int8 == 0) {
        const double share = share_of_bound(b, row);
        text[0] = '\0';
        if (!isnan(share))
            snprintf(text, 64, "%.0f %%", share * 100.0);
        return text;
    }
    for (uint32_t i = r->n_int8; i > 0 && i + 2 > r->n_int8; i--)
        n += snprintf(text + n, 64 - (size_t)n, "%s%.0f %% %s", n ? ", " : "",
                      100.0 * row->median / bound_of(b, row, r->int8[i - 1].ops_per_s),
                      r->int8[i - 1].name);
    return text;
}

/* What the machine could do with the cores and instructions of a session. */
static jl_status measure_roofline(const jl_session_params *like, uint32_t n_threads,
                                  jl_roofline *out, jl_error *err)
{
    const jl_roofline_params params = {.struct_size = sizeof params,
                                       .n_threads = n_threads,
                                       .cpu_mask = like->cpu_mask,
                                       .placement = like->placement};

    return jl_roofline_measure(&params, out, err);
}

static void print_roofline(const jl_roofline *r)
{
    printf("%u threads read %.1f GB/s (%s; %s", r->n_threads, r->read_bytes_per_s * 1e-9,
           r->read_how, ui_bytes(r->buffer_bytes, (char[24]){0}));
    if (r->cache_bytes)
        printf(", caches %s", ui_bytes(r->cache_bytes, (char[24]){0}));
    printf("); int8 peak");
    for (uint32_t i = 0; i < r->n_int8; i++)
        printf("%s %.0f Gop/s (%s)", i ? "," : "", r->int8[i].ops_per_s * 1e-9, r->int8[i].name);
    printf("%s; F32 ", r->n_int8 ? "" : " not known");
    printf(r->f32_ops_per_s > 0.0 ? "%.0f Gflop/s\n" : "not known\n", r->f32_ops_per_s * 1e-9);
}

static void print_roofline_json(const jl_roofline *r)
{
    printf("{\"threads\": %u, \"read_gb_s\": %.3f, \"read_how\": \"%s\", \"buffer_bytes\": %llu, "
           "\"cache_bytes\": %llu, \"int8_gop_s\": %.1f, \"kernels\": \"%s\", "
           "\"f32_gflop_s\": %.1f, \"int8\": {",
           r->n_threads, r->read_bytes_per_s * 1e-9, r->read_how,
           (unsigned long long)r->buffer_bytes, (unsigned long long)r->cache_bytes,
           r->int8_ops_per_s * 1e-9, r->kernels, r->f32_ops_per_s * 1e-9);
    for (uint32_t i = 0; i < r->n_int8; i++)
        printf("%s\"%s\": %.1f", i ? ", " : "", r->int8[i].name, r->int8[i].ops_per_s * 1e-9);
    printf("}}\n");
}

static void print_head(const bench_run *b)
{
    const char *format = opt_text(b->o, OPT_FORMAT);
    char size[24];

    if (strcmp(format, "csv") == 0) {
        puts("model,bytes,bytes_per_token,kernels,threads,test,n,depth,reps,tps_median,tps_mean,"
             "tps_sd,cpu_s_per_token,share_of_bound,read_gb_s,int8_gop_s,f32_gflop_s,"
             "joules_per_token,watts");
    } else if (strcmp(format, "json") == 0) {
        puts("[");
    } else {
        printf("%s, %s, %s per token; %u threads, %s\n",
               b->info.name[0] ? b->info.name : b->info.architecture,
               ui_bytes(b->info.file_bytes, size), ui_bytes(b->info.bytes_per_token, (char[24]){0}),
               b->n_threads, b->kernels);
        if (b->on_gpu) {
            puts("machine: what the GPU could do is not measured");
        } else {
            printf("machine: ");
            print_roofline(&b->roof);
        }
        if (b->info.bytes_per_token < b->roof.cache_bytes)
            puts("the weights of a token fit the caches: decode may exceed the memory's speed");
        bench_power_print_state(&b->energy);
        puts("\n| test | t/s (median) | mean ± sd | CPU s per token | GB/s | share of bound | J "
             "per token |\n|---|---:|---:|---:|---:|---:|---|");
    }
}

/* A figure of the roofline times a factor; null where there is none. */
static const char *roof_json(const bench_run *b, double value, char out[24])
{
    return bench_power_json(b->on_gpu ? NAN : value, out);
}

static void print_row(bench_run *b, const bench_row *row)
{
    const char *format = opt_text(b->o, OPT_FORMAT);
    const double share = share_of_bound(b, row);
    char test[48];
    char number[3][24];
    char roof[3][24];

    snprintf(test, sizeof test, row->depth ? "%s%u @ d%u" : "%s%u", row->decode ? "tg" : "pp",
             row->n, row->depth);
    if (strcmp(format, "csv") == 0) {
        printf("\"%s\",%llu,%llu,\"%s\",%u,%s,%u,%u,%u,%.4f,%.4f,%.4f,%.6f,%s,%s,%s,%s,%s,"
               "%s\n",
               b->info.name, (unsigned long long)b->info.file_bytes,
               (unsigned long long)b->info.bytes_per_token, b->kernels, b->n_threads, test, row->n,
               row->depth, row->reps, row->median, row->mean, row->sd, row->cpu,
               bench_power_json(share, number[2]),
               roof_json(b, b->roof.read_bytes_per_s * 1e-9, roof[0]),
               roof_json(b, b->roof.int8_ops_per_s * 1e-9, roof[1]),
               roof_json(b, b->roof.f32_ops_per_s * 1e-9, roof[2]),
               bench_power_json(row->joules, number[0]), bench_power_json(row->watts, number[1]));
    } else if (strcmp(format, "json") == 0) {
        printf("%s  {\"test\": \"%s\", \"n\": %u, \"depth\": %u, \"reps\": %u, \"threads\": %u, "
               "\"tps_median\": %.4f, \"tps_mean\": %.4f, \"tps_sd\": %.4f, \"cpu_s_per_token\": "
               "%.6f, "
               "\"share_of_bound\": %s, \"read_gb_s\": %s, \"int8_gop_s\": %s, "
               "\"f32_gflop_s\": %s, \"joules_per_token\": %s, \"watts\": %s",
               b->n_rows ? ",\n" : "", test, row->n, row->depth, row->reps, b->n_threads,
               row->median, row->mean, row->sd, row->cpu, bench_power_json(share, number[2]),
               roof_json(b, b->roof.read_bytes_per_s * 1e-9, roof[0]),
               roof_json(b, b->roof.int8_ops_per_s * 1e-9, roof[1]),
               roof_json(b, b->roof.f32_ops_per_s * 1e-9, roof[2]),
               bench_power_json(row->joules, number[0]),
               bench_power_json(row->watts, number[1]));
        bench_power_print_json(&b->energy);
        printf("}");
    } else {
        char rate[24] = "";
        if (row->decode)
            snprintf(rate, sizeof rate, "%.1f",
                     row->median * row->work.bytes * 1e-9);
        printf("| %s | %.2f | %.2f ± %.2f | %.4f | %s | %s | %s |\n", test, row->median,
               row->mean, row->sd, row->cpu, rate, share_text(b, row, (char[64]){0}),
               bench_power_text(row->joules, number[0]));
    }
    fflush(stdout);
    b->n_rows++;
}

static jl_status run_lists(bench_run *b, const number_list lists[2], const number_list *depths,
                           jl_error *err)
{
    print_head(b);
    for (size_t d = 0; d < depths->n; d++) {
        for (int decode = 0; decode < 2; decode++) {
            for (size_t i = 0; i < lists[decode].n; i++) {
                bench_row row = {.decode = decode,
                                 .n = lists[decode].values[i],
                                 .depth = depths->values[d],
                                 .reps = b->reps};
                if (row.n == 0)
                    continue;
                const jl_status s = time_row(b, &row, err);
                if (s != JL_OK)
                    return s;
                print_row(b, &row);
            }
        }
    }
    if (strcmp(opt_text(b->o, OPT_FORMAT), "json") == 0)
        puts("\n]");
    else if (strcmp(opt_text(b->o, OPT_FORMAT), "csv") != 0)
        printf("\npeak resident set: %s\n", ui_bytes(jl_memory_peak(), (char[24]){0}));
    return JL_OK;
}

static void stop(void *session)
{
    jl_session_cancel(session);
}

static jl_status bench_model(bench_run *b, jl_model *model, const number_list lists[2],
                             const number_list *depths, jl_error *err)
{
    const uint32_t p = largest(&lists[0]);
    const uint32_t n = largest(&lists[1]);
    jl_bench_params params = {
        .struct_size = sizeof params, .n_max = p > n ? p : n, .depth_max = largest(depths)};
    static char kernels[200];

    load_session_params(b->o, &params.session);
    jl_session_params need = params.session;
    need.n_ctx = params.n_max + params.depth_max;
    need.n_seq_max = 2;
    need.n_ctx_total = need.n_ctx + 128;
    jl_model_get_info(model, &b->info);
    jl_status s = load_check_memory(b->o, model, &need, err);
    if (s == JL_OK)
        s = jl_bench_create(model, &params, &b->bench, err);
    if (s != JL_OK)
        return s;
    b->n_threads = jl_session_n_threads(jl_bench_session(b->bench));
    jl_session_describe(jl_bench_session(b->bench), kernels, sizeof kernels);
    b->kernels = kernels;
    b->on_gpu = load_uses_gpu(b->o);
    if (!b->on_gpu)
        s = measure_roofline(&params.session, b->n_threads, &b->roof, err);
    if (s == JL_OK)
        s = bench_power_open(b->o, model, jl_bench_session(b->bench), &b->energy, err);
    if (s == JL_OK) {
        ui_catch_interrupt(stop, jl_bench_session(b->bench));
        s = run_lists(b, lists, depths, err);
        ui_release_interrupt();
    }
    bench_power_close(&b->energy, jl_bench_session(b->bench));
    jl_bench_destroy(b->bench);
    return s;
}

static int show_roofline(const opts *o)
{
    jl_roofline r;
    jl_error err = {0};
    jl_session_params like;

    load_session_params(o, &like);
    if (measure_roofline(&like, like.n_threads, &r, &err) != JL_OK)
        return ui_fail(o, &err);
    if (strcmp(opt_text(o, OPT_FORMAT), "json") == 0)
        print_roofline_json(&r);
    else
        print_roofline(&r);
    return EXIT_OK;
}

int cmd_bench(const opts *o)
{
    bench_run b = {.o = o, .reps = (uint32_t)opt_int(o, OPT_REPETITIONS)};
    number_list lists[2], depths;
    jl_model *model = NULL;
    jl_error err = {0};

    if (opt_on(o, OPT_ROOFLINE))
        return show_roofline(o);
    int rc = power_check_options(o);
    if (!rc)
        rc = read_list(o, OPT_N_PROMPT, &lists[0]);
    if (!rc)
        rc = read_list(o, OPT_N_GEN, &lists[1]);
    if (!rc)
        rc = read_list(o, OPT_N_DEPTH, &depths);
    if (rc)
        return rc;
    if (largest(&lists[0]) + largest(&lists[1]) == 0 || depths.n == 0)
        return usage_error(o, "nothing to time: give -p or -n a number of tokens");
    if (opt_int(o, OPT_NICE) > 0)
        (void)jl_process_nice(opt_int(o, OPT_NICE));
    jl_status s = load_model(o, NULL, LOAD_WEIGHTS, &model, &err);
    if (s == JL_OK)
        s = bench_model(&b, model, lists, &depths, &err);
    jl_model_close(model);
    return s == JL_OK ? EXIT_OK : ui_fail(o, &err);
}
