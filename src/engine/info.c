/* Facts about a model and a machine, for people. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/describe.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/placement.h"
#include "model/model.h"

/* Groups of tensors a person thinks in. */
enum { EMBD, ATTENTION, FFN_DENSE, EXPERTS, ROUTER, NORMS, PLE, OTHER, N_GROUPS };
static const char *const group_names[N_GROUPS] = {"token_embd",     "attention", "ffn dense",
                                                  "experts",        "router",    "norms",
                                                  "per-layer embd", "other"};

static bool has(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

static int group_of(const char *name)
{
    if (has(name, "norm.weight") || has(name, "norm_") || has(name, "_norm") ||
        has(name, ".layer_output_scale"))
        return NORMS;
    if (has(name, "per_layer_") || has(name, ".inp_gate.") || has(name, ".proj."))
        return PLE;
    if (has(name, "ffn_gate_inp") || has(name, "exps.scale"))
        return ROUTER;
    if (has(name, "_exps."))
        return EXPERTS;
    if (has(name, ".ffn_"))
        return FFN_DENSE;
    if (has(name, ".attn_"))
        return ATTENTION;
    if (has(name, "token_embd") || strcmp(name, "output.weight") == 0)
        return EMBD;
    return OTHER;
}

/* Part of a tensor used for one token: all, the chosen experts, or one row of an embedding. */
static double share_used(const jl_model *m, const jl_gguf_tensor *t)
{
    const int g = group_of(t->name);

    if (g == EXPERTS && m->hp.n_expert)
        return (double)m->hp.n_expert_used / m->hp.n_expert;
    if (strcmp(t->name, "per_layer_token_embd.weight") == 0)
        return 1.0 / (double)t->ne[1];
    if (strcmp(t->name, "token_embd.weight") == 0 && m->output.buf &&
        jl_gguf_find_tensor(m->gguf, "output.weight"))
        return 1.0 / (double)t->ne[1];
    return 1.0;
}

static const char *llama_variant(const jl_hparams *hp)
{
    if (hp->n_layer == 32 && hp->n_embd == 4096 && hp->n_vocab > 100000)
        return "8B";
    if (hp->n_layer == 80 && hp->n_embd == 8192)
        return "70B";
    if (hp->n_layer == 40 && hp->n_embd == 5120 && hp->head_dim == 128)
        return "24B";
    return "";
}

static const char *variant(const jl_model *m)
{
    const jl_hparams *hp = &m->hp;

    if (strcmp(m->architecture, "gemma4") != 0)
        return llama_variant(hp);
    if (hp->n_layer == 30 && hp->n_expert == 128)
        return "26B-A4B";
    if (hp->n_layer == 35 && hp->n_embd == 1536)
        return "E2B";
    if (hp->n_layer == 42 && hp->n_embd == 2560)
        return "E4B";
    if (hp->n_layer == 48 && hp->n_embd == 3840)
        return "12B";
    if (hp->n_layer == 60 && hp->n_embd == 5376)
        return "31B";
    return "";
}

static void sampling_info(const jl_model *m, jl_model_info *info)
{
    int64_t top_k;

    info->temperature = info->top_p = info->min_p = NAN;
    info->top_k = -1;
    jl_gguf_get_f32(m->gguf, "general.sampling.temp", 0, &info->temperature);
    jl_gguf_get_f32(m->gguf, "general.sampling.top_p", 0, &info->top_p);
    jl_gguf_get_f32(m->gguf, "general.sampling.min_p", 0, &info->min_p);
    if (jl_gguf_get_i64(m->gguf, "general.sampling.top_k", 0, &top_k) && top_k >= 0 &&
        top_k < INT32_MAX)
        info->top_k = (int32_t)top_k;
}

void jl_model_get_info(const jl_model *m, jl_model_info *info)
{
    double active = 0.0;
    double bytes = 0.0;

    *info = (jl_model_info){
        .architecture = m->architecture,
        .name = m->name ? m->name : "",
        .variant = variant(m),
        .chat_template = m->chat_template,
        .n_layer = m->hp.n_layer,
        .n_embd = m->hp.n_embd,
        .n_vocab = m->hp.n_vocab,
        .n_ctx_train = m->hp.n_ctx_train,
        .n_expert = m->hp.n_expert,
        .n_expert_used = m->hp.n_expert_used,
        .n_tensors = (uint32_t)jl_gguf_n_tensors(m->gguf),
        .file_bytes = jl_gguf_file_bytes(m->gguf),
        .bos = jl_vocab_bos(m->vocab),
        .eos = jl_vocab_eos(m->vocab),
    };
    for (size_t i = 0; i < jl_gguf_n_tensors(m->gguf); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(m->gguf, i);
        const double share = share_used(m, t);
        info->n_params += t->n_elements;
        active += share * (double)t->n_elements;
        bytes += share * (double)jl_model_in_use(m, t)->n_bytes;
    }
    info->n_params_active = (uint64_t)(active + 0.5);
    info->bytes_per_token = (uint64_t)(bytes + 0.5);
    sampling_info(m, info);
}

size_t jl_model_groups(const jl_model *m, jl_model_group *rows, size_t cap)
{
    size_t n = 0;

    for (int g = 0; g < N_GROUPS; g++) {
        for (uint32_t type = 0; type < JL_TYPE_MAX; type++) {
            jl_model_group row = {.group = group_names[g], .type = jl_type_name(type)};
            for (size_t i = 0; i < jl_gguf_n_tensors(m->gguf); i++) {
                const jl_gguf_tensor *t = jl_gguf_tensor_at(m->gguf, i);
                if ((uint32_t)t->type != type || group_of(t->name) != g)
                    continue;
                row.n_tensors++;
                row.n_params += t->n_elements;
                row.bytes += t->n_bytes;
            }
            if (row.n_tensors == 0)
                continue;
            if (n < cap)
                rows[n] = row;
            n++;
        }
    }
    return n;
}

/* Threads by group: "4+6". */
static void count_groups(const int *threads, int n_groups, char *text, size_t cap)
{
    size_t len = 0;

    text[0] = '\0';
    for (int i = 0; i < n_groups && len < cap; i++)
        len += (size_t)snprintf(text + len, cap - len, "%s%d", i ? "+" : "", threads[i]);
}

/* Kinds of cores, and where each placement puts threads. */
static size_t describe_placement(char *text, size_t cap)
{
    const jl_topology *t = jl_topology_machine();
    char groups[512];

    jl_topology_describe(t, groups, sizeof groups);
    size_t len = (size_t)snprintf(text, cap, "core groups: %s\n", groups);
    for (int kind = JL_PLACEMENT_BALANCED; kind <= JL_PLACEMENT_EFFICIENCY && len < cap; kind++) {
        jl_thread_plan p;
        char prefill[64], decode[64];
        jl_thread_plan_session(t, (jl_placement)kind, 0, false, &p);
        count_groups(p.prefill, t->n_groups, prefill, sizeof prefill);
        count_groups(p.decode, t->n_groups, decode, sizeof decode);
        len += (size_t)snprintf(text + len, cap - len,
                                "placement %s%s: threads %s in prefill, %s in decode, class %s "
                                "(%s)\n",
                                jl_placement_name(p.kind), kind ? "" : ", the default", prefill,
                                decode, jl_thread_class_name(p.thread_class), p.why);
    }
    return len < cap ? len : cap - 1;
}

/* Units for matrices that the processor has, and how many threads may share them. */
static void describe_units(char *text, size_t cap)
{
    const unsigned f = jl_cpu_features();
    jl_thread_plan p;

    jl_thread_plan_session(jl_topology_machine(), JL_PLACEMENT_PERFORMANCE, 0, false, &p);
    text[0] = '\0';
    if (f & JL_CPU_SME)
        snprintf(text, cap, "matrix units: %d of SME%s, one per cluster\n", p.n_matrix,
                 f & JL_CPU_SME2 ? "2" : "");
    else if (f & JL_CPU_AMX)
        snprintf(text, cap, "matrix units: AMX, one per core\n");
}

/* The GPU that --device vulkan would take, or why there is none. */
static void describe_gpu(char *text, size_t cap)
{
    jl_device_info device;
    jl_error err = {0};

    if (jl_device_find("vulkan", &device, &err) == JL_OK)
        snprintf(text, cap, "%s", device.text);
    else
        snprintf(text, cap, "none (%.300s)", err.text);
}

size_t jl_describe_machine(char *text, size_t cap)
{
    char features[256];
    char kernels[512];
    char unused[512];
    char processor[128];
    char placement[2048];
    char units[128];
    char gpu[400];

    describe_gpu(gpu, sizeof gpu);
    jl_cpu_model(processor, sizeof processor);
    jl_cpu_names(jl_cpu_features(), features, sizeof features);
    jl_cpu_describe_kernels(kernels, sizeof kernels);
    jl_cpu_describe_unused(unused, sizeof unused);
    describe_placement(placement, sizeof placement);
    describe_units(units, sizeof units);
    const int n = snprintf(
        text, cap,
        "processor: %s\ncores: %d physical, %d logical\n%s%sfeatures: %s\nkernels: %s\n%s%s%s"
        "gpu: %s\nmemory: %.1f GiB total, %.1f GiB available\n",
        processor, jl_cpu_cores(), jl_cpu_count(), placement, units,
        features[0] ? features : "none",
        kernels, unused[0] ? "note: " : "", unused, unused[0] ? "\n" : "",
        gpu, (double)jl_memory_total() / 1073741824.0,
        (double)jl_memory_available() / 1073741824.0);
    return n < 0 ? 0 : (size_t)n;
}
