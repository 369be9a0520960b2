/* Opening models, reading texts and token lists. */
#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"
#include "hub_cli.h"
#include "joule/sys.h"
#include "paths.h"
#include "repack_cli.h"
#include "ui.h"

enum { MAX_TEXT_BYTES = 1 << 30 };

jl_status tool_error(jl_error *err, jl_status status, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    err->status = status;
    err->offset = UINT64_MAX;
    return status;
}

static bool on_load(void *ctx, float done)
{
    ui_progress_show(ctx, done, NULL);
    return !ui_interrupted;
}

static bool is_folder(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* Opens the file; Ctrl-C leaves nothing half-written. */
static jl_status open_model(const opts *o, const char *path, load_what what, jl_model **out,
                            jl_error *err)
{
    repack_run repack;
    ui_progress progress;
    jl_model_params params = {
        .struct_size = sizeof params,
        .vocab_only = what == LOAD_VOCAB,
        .prefault = opt_on(o, OPT_PREFAULT),
        .mlock = opt_on(o, OPT_MLOCK),
        .progress = on_load,
        .progress_ctx = &progress,
        .repack = what == LOAD_VOCAB ? NULL : repack_start(&repack, o),
    };

    ui_progress_start(&progress, o, "loading");
    if (params.repack)
        ui_catch_interrupt(NULL, NULL);
    jl_status status = jl_model_open(path, &params, out, err);
    if (params.repack) {
        ui_release_interrupt();
        repack_end(&repack);
    }
    ui_progress_end(&progress);
    if (status == JL_OK && ui_interrupted) {
        jl_model_close(*out);
        status = tool_error(err, JL_CANCELLED, "interrupted while loading");
    }
    return status;
}

jl_status load_model(const opts *o, const char *path, load_what what, jl_model **out, jl_error *err)
{
    if (!path)
        path = opt_text(o, OPT_MODEL);
    if (!path) {
        path = path_bundled();
        if (!path)
            return tool_error(err, JL_IO,
                              "the bundled model is not installed: give a GGUF file with -m");
        if (!opt_on(o, OPT_QUIET))
            fprintf(stderr, "joule: bundled test model, not Gemma 4 26B (%s)\n", path);
    }
    char here[4096];
    char converted[4096];
    if (jl_hub_is_spec(path)) {
        const jl_status found = hub_resolve(o, path, here, sizeof here, err);
        if (found != JL_OK)
            return found;
        path = here;
    }
    if (is_folder(path)) {
        const jl_status made = checkpoint_model(o, path, converted, sizeof converted, err);
        if (made != JL_OK)
            return made;
        path = converted;
    }
    return open_model(o, path, what, out, err);
}

static jl_kv_type kv_type(const opts *o, opt_id id)
{
    const char *name = opt_text(o, id);

    if (strcasecmp(name, "f32") == 0)
        return JL_KV_F32;
    return strcasecmp(name, "q8_0") == 0 ? JL_KV_Q8_0 : JL_KV_F16;
}

static jl_placement placement(const opts *o)
{
    const char *name = opt_text(o, OPT_PLACEMENT);

    if (strcasecmp(name, "performance") == 0)
        return JL_PLACEMENT_PERFORMANCE;
    return strcasecmp(name, "efficiency") == 0 ? JL_PLACEMENT_EFFICIENCY : JL_PLACEMENT_BALANCED;
}

/* Weights on their way to a GPU. */
static bool on_upload(void *ctx, float done)
{
    static ui_progress progress;
    static bool shown;

    if (!shown)
        ui_progress_start(&progress, ctx, "copying weights to the GPU");
    shown = done < 1.0f;
    ui_progress_show(&progress, done, NULL);
    if (!shown)
        ui_progress_end(&progress);
    return !ui_interrupted;
}

/* Where shaders are kept that a driver has compiled; NULL: nowhere. */
static const char *shader_cache(void)
{
    static char path[4096];

    return path_shaders(path, sizeof path) ? path : NULL;
}

/* What --device or -ngl ask for; NULL: the CPU. */
static const char *wanted_device(const opts *o)
{
    const char *name = opt_text(o, OPT_DEVICE);

    if (!name && opt_is_set(o, OPT_NGL) && opt_int(o, OPT_NGL) > 0)
        name = "vulkan";
    return opt_is_set(o, OPT_NGL) && opt_int(o, OPT_NGL) == 0 ? NULL : name;
}

typedef struct {
    const char *name; /* for jl_session_params; NULL: the CPU */
    bool gpu;
} device_choice;

/* The device of --device or -ngl; without a driver the CPU, and a line that says so. Looked for
 * once: a program has one set of options, and each look starts the driver. */
static const device_choice *device(const opts *o)
{
    static device_choice choice;
    static bool known;
    const char *name = known ? NULL : wanted_device(o);
    jl_device_info info;
    jl_error err;

    known = true;
    if (!name)
        return &choice;
    const jl_status found = jl_device_find(name, &info, &err);
    if (found == JL_UNSUPPORTED) {
        if (!opt_on(o, OPT_QUIET))
            fprintf(stderr, "joule: no GPU, the CPU is used: %s\n", err.text);
        return &choice;
    }
    choice = (device_choice){name, found == JL_OK && info.gpu};
    return &choice;
}

bool load_uses_gpu(const opts *o)
{
    return device(o)->gpu;
}

void load_session_params(const opts *o, jl_session_params *out)
{
    *out = (jl_session_params){
        .struct_size = sizeof *out,
        .n_ctx = (uint32_t)opt_int(o, OPT_CTX),
        .n_seq_max = 1,
        .n_ubatch = (uint32_t)opt_int(o, OPT_UBATCH),
        .n_threads = (uint32_t)opt_int(o, OPT_THREADS),
        .type_k = kv_type(o, OPT_CTK),
        .type_v = kv_type(o, OPT_CTV),
        .cpu_mask = opt_text(o, OPT_CPU_MASK),
        .placement = placement(o),
        .device = device(o)->name,
        .shader_cache = shader_cache(),
        .upload = on_upload,
        .upload_ctx = (void *)(uintptr_t)o,
    };
}

static bool fits(const jl_model *model, const jl_session_params *params, uint64_t free_bytes)
{
    jl_memory need;
    jl_error ignored;

    return jl_session_measure(model, params, &need, &ignored) == JL_OK && need.total <= free_bytes;
}

/* The largest context, a power of two, that fits with these types; 0: none. */
static uint32_t fitting_context(const jl_model *model, jl_session_params p, uint64_t free_bytes)
{
    uint32_t n = 1;

    while (n < p.n_ctx)
        n *= 2;
    for (n /= 2; n >= 512; n /= 2) {
        p.n_ctx = n;
        if (fits(model, &p, free_bytes))
            return n;
    }
    return 0;
}

static void advise(const jl_model *model, jl_session_params p, uint64_t free_bytes, char *out,
                   size_t cap)
{
    jl_model_info info;

    jl_model_get_info(model, &info);
    if (p.n_ctx == 0)
        p.n_ctx = info.n_ctx_train < 8192 ? info.n_ctx_train : 8192;
    const uint32_t n = fitting_context(model, p, free_bytes);
    p.type_k = p.type_v = JL_KV_Q8_0;
    if (fits(model, &p, free_bytes))
        snprintf(out, cap, "it fits with -ctk q8_0 -ctv q8_0");
    else if (n)
        snprintf(out, cap, "it fits with -c %u", n);
    else if (fitting_context(model, p, free_bytes))
        snprintf(out, cap, "it fits with -c %u -ctk q8_0 -ctv q8_0",
                 fitting_context(model, p, free_bytes));
    else
        snprintf(out, cap,
                 "no context fits: close other programs, use a smaller file, or read weights "
                 "from disk as they are needed, slowly, with --allow-swap");
}

jl_status load_check_layers(const opts *o, const jl_model *model, jl_error *err)
{
    const int64_t wanted = opt_is_set(o, OPT_NGL) ? (int64_t)opt_int(o, OPT_NGL) : 0;
    jl_model_info info;

    jl_model_get_info(model, &info);
    if (wanted <= 0 || wanted >= (int64_t)info.n_layer)
        return JL_OK;
    return tool_error(err, JL_UNSUPPORTED,
                      "-ngl %lld of %u layers: a model cannot be split between GPU and CPU "
                      "yet; give -ngl %u or -ngl 0",
                      (long long)wanted, info.n_layer, info.n_layer + 1);
}

bool load_memory_is_enough(const opts *o, const jl_memory *need, uint64_t free_bytes)
{
    return need->device > 0 || need->total <= free_bytes || free_bytes == 0 ||
           opt_on(o, OPT_ALLOW_SWAP);
}

jl_status load_check_memory(const opts *o, const jl_model *model, const jl_session_params *params,
                            jl_error *err)
{
    const uint64_t free_bytes = jl_memory_available();
    jl_memory need;
    char text[4][24];
    char advice[200];

    jl_status status = load_check_layers(o, model, err);
    if (status == JL_OK)
        status = jl_session_measure(model, params, &need, err);
    if (status != JL_OK)
        return status;
    if (opt_on(o, OPT_VERBOSE))
        fprintf(stderr, "memory: weights %s, KV cache %s, compute %s, free %s\n",
                ui_memory(need.weights, text[0]), ui_memory(need.kv, text[1]),
                ui_memory(need.compute + need.logits + need.other, text[2]),
                ui_memory(free_bytes, text[3]));
    if (load_memory_is_enough(o, &need, free_bytes))
        return JL_OK;
    advise(model, *params, free_bytes, advice, sizeof advice);
    return tool_error(err, JL_NO_MEMORY, "the model needs %s, %s is free: %s too little; %s",
                      ui_memory(need.total, text[0]), ui_memory(free_bytes, text[1]),
                      ui_memory(need.total - free_bytes, text[2]), advice);
}

static jl_status copy_text(const char *s, char **text, size_t *len, jl_error *err)
{
    *len = strlen(s);
    *text = jl_malloc(*len + 1);
    if (!*text)
        return tool_error(err, JL_NO_MEMORY, "out of memory");
    memcpy(*text, s, *len + 1);
    return JL_OK;
}

jl_status load_text(const opts *o, char **text, size_t *len, jl_error *err)
{
    const char *path = opt_text(o, OPT_FILE);

    if (o->id != CMD_DETOKENIZE && opt_text(o, OPT_PROMPT))
        return copy_text(opt_text(o, OPT_PROMPT), text, len, err);
    if (!path || strcmp(path, "-") == 0)
        path = "/dev/stdin";
    return jl_file_read(path, MAX_TEXT_BYTES, text, len, err);
}

jl_status load_tokenize(const jl_model *model, const char *text, size_t len, unsigned flags,
                        token_list *out, jl_error *err)
{
    size_t cap = len + 16;

    for (;;) {
        int32_t *ids = jl_malloc(cap * sizeof *ids);
        const size_t n = ids ? jl_tokenize(model, text, len, flags, ids, cap) : SIZE_MAX;
        if (n <= cap) {
            *out = (token_list){ids, n};
            return JL_OK;
        }
        jl_free(ids);
        if (n == SIZE_MAX)
            return tool_error(err, JL_NO_MEMORY, "out of memory while splitting %zu bytes of text",
                              len);
        cap = n;
    }
}

jl_status load_text_tokens(const opts *o, const jl_model *model, unsigned flags, token_list *out,
                           jl_error *err)
{
    char *text = NULL;
    size_t len = 0;

    jl_status s = load_text(o, &text, &len, err);
    if (s == JL_OK)
        s = load_tokenize(model, text, len, flags, out, err);
    jl_free(text);
    return s;
}

/* Reads one id at *s; moves *s behind it. */
static bool read_id(const char **s, const char *end, int64_t *id)
{
    const char *p = *s;
    int64_t v = 0;

    while (p < end && *p >= '0' && *p <= '9') {
        v = v > INT32_MAX ? v : v * 10 + (*p - '0'); /* stays out of range */
        p++;
    }
    if (p == *s || (p < end && !strchr(", \t\r\n]", *p)))
        return false;
    *s = p;
    *id = v;
    return true;
}

jl_status load_ids(const char *text, size_t len, uint32_t n_vocab, token_list *out, jl_error *err)
{
    const char *end = text + len;
    token_list list = {jl_malloc((len / 2 + 1) * sizeof *list.ids), 0};

    if (!list.ids)
        return tool_error(err, JL_NO_MEMORY, "out of memory for the token list");
    for (const char *s = text; s < end;) {
        int64_t id = 0;
        if (*s && strchr("[], \t\r\n", *s)) {
            s++;
            continue;
        }
        if (!read_id(&s, end, &id)) {
            jl_free(list.ids);
            return tool_error(err, JL_INVALID,
                              "no token id at byte %zu of the list: give whole numbers, "
                              "comma separated or as a JSON array",
                              (size_t)(s - text));
        }
        if (id >= n_vocab) {
            jl_free(list.ids);
            return tool_error(err, JL_INVALID,
                              "token %lld, number %zu of the list, is out of range: the "
                              "model has 0 to %u",
                              (long long)id, list.n, n_vocab - 1);
        }
        list.ids[list.n++] = (int32_t)id;
    }
    *out = list;
    return JL_OK;
}
