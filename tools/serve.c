/* joule serve: the HTTP server. */
#include <stdio.h>
#include <string.h>

#include "joule/server.h"
#include "joule/sys.h"
#include "load.h"
#include "opt.h"
#include "paths.h"
#include "power_cli.h"
#include "ui.h"

static void log_line(void *ctx, jl_log_level level, const char *line)
{
    static const char *const names[] = {"error", "info", "access", "debug"};
    const opts *o = ctx;
    const char *wanted = opt_text(o, OPT_LOG_LEVEL);

    for (int i = 0; i < (int)level; i++)
        if (strcmp(wanted, names[i]) == 0 || opt_on(o, OPT_QUIET))
            return;
    fprintf(stderr, "%s\n", line);
}

static void stop(void *server)
{
    jl_server_stop(server);
}

static void read_options(const opts *o, const char *id, jl_server_params *p)
{
    static char folder[1024];

    *p = (jl_server_params){
        .struct_size = sizeof *p,
        .host = opt_text(o, OPT_HOST),
        .port = opt_int(o, OPT_PORT),
        .model_name = id,
        .model_path = opt_text(o, OPT_MODEL),
        .alias = opt_text(o, OPT_ALIAS),
        .api_key = opt_text(o, OPT_API_KEY),
        .cors_origin = opt_text(o, OPT_CORS_ORIGIN),
        .n_parallel = (uint32_t)opt_int(o, OPT_PARALLEL),
        .n_queue = (uint32_t)opt_int(o, OPT_QUEUE),
        .max_stall_ms = (uint32_t)opt_int(o, OPT_MAX_STALL),
        .cache_ram = (uint64_t)opt_int(o, OPT_CACHE_RAM) << 20,
        .cache_disk = (uint64_t)opt_int(o, OPT_CACHE_DISK) << 20,
        .cache_disk_daily = (uint64_t)opt_int(o, OPT_CACHE_DISK_DAILY) << 20,
        .cache_folder = path_cache(folder, sizeof folder) ? folder : NULL,
        .timeout_s = (uint32_t)opt_int(o, OPT_TIMEOUT),
        .thinking = strcmp(opt_text(o, OPT_THINK), "on") == 0,
        .drop_thinking = opt_on(o, OPT_DROP_THINKING),
        .log = log_line,
        .log_ctx = (void *)(uintptr_t)o,
    };
    load_session_params(o, &p->session);
}

/* The largest context that leaves a quarter of the free memory to others, at least 4096 tokens. */
static jl_status choose_context(const jl_model *model, jl_server_params *p, jl_error *err)
{
    const uint64_t free_bytes = jl_memory_available();
    jl_model_info info;
    jl_memory need;

    if (p->session.n_ctx)
        return JL_OK;
    jl_model_get_info(model, &info);
    for (uint32_t n = 65536; n >= 4096; n /= 2) {
        p->session.n_ctx = n < info.n_ctx_train ? n : info.n_ctx_train;
        const jl_status status = jl_server_measure(model, p, &need, err);
        if (status != JL_OK)
            return status;
        if (free_bytes == 0 || need.total <= free_bytes / 4 * 3)
            break;
    }
    return JL_OK;
}

static jl_status check_memory(const opts *o, const jl_model *model, const jl_server_params *p,
                              jl_error *err)
{
    const uint64_t free_bytes = jl_memory_available();
    jl_memory need;
    char text[3][24];

    jl_status status = load_check_layers(o, model, err);
    if (status == JL_OK)
        status = jl_server_measure(model, p, &need, err);
    if (status != JL_OK)
        return status;
    if (!opt_on(o, OPT_QUIET))
        fprintf(stderr,
                "joule: context %u tokens, %u at a time; weights %s, KV cache %s, %s free\n",
                p->session.n_ctx, p->n_parallel, ui_memory(need.weights, text[0]),
                ui_memory(need.kv, text[1]), ui_memory(free_bytes, text[2]));
    if (load_memory_is_enough(o, &need, free_bytes))
        return JL_OK;
    return tool_error(err, JL_NO_MEMORY,
                      "the server needs %s, %s is free; smaller -c, --parallel or "
                      "--cache-ram, or -ctk q8_0 -ctv q8_0, need less",
                      ui_memory(need.total, text[0]), ui_memory(free_bytes, text[1]));
}

static jl_status serve(const opts *o, jl_model *model, jl_server_params *p, jl_error *err)
{
    jl_server *server = NULL;

    jl_status status = power_open(o, model, &p->power, err);
    if (status == JL_OK)
        status = choose_context(model, p, err);
    if (status == JL_OK)
        status = check_memory(o, model, p, err);
    if (status == JL_OK)
        status = jl_server_create(model, p, &server, err);
    if (status != JL_OK)
        return status;
    ui_catch_interrupt(stop, server);
    /* On stdout, for scripts that wait for it. */
    printf("joule: %s on http://%s:%d/v1\n", p->model_name, p->host, jl_server_port(server));
    fflush(stdout);
    status = jl_server_run(server, err);
    ui_release_interrupt();
    jl_server_destroy(server);
    return status;
}

int cmd_serve(const opts *o)
{
    jl_error err = {0};
    jl_model *model = NULL;
    jl_server_params params;
    char id[128];

    const int rc = power_check_options(o);
    if (rc)
        return rc;
    if (opt_int(o, OPT_NICE) > 0)
        (void)jl_process_nice(opt_int(o, OPT_NICE));
    path_model_id(opt_text(o, OPT_MODEL) ? opt_text(o, OPT_MODEL) : "joule-tiny", id, sizeof id);
    read_options(o, id, &params);
    jl_status status = load_model(o, NULL, LOAD_WEIGHTS, &model, &err);
    if (status == JL_OK) {
        status = serve(o, model, &params, &err);
        jl_power_close(params.power);
        jl_model_close(model);
    }
    return status == JL_OK ? EXIT_OK : ui_fail(o, &err);
}
