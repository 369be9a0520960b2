/* Checkpoints of the tiny golden models, with their config.json. */
#include "checkpoint_case.h"

#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#define COMMON                                                                                     \
    "\"rms_norm_eps\":1e-5,\"max_position_embeddings\":4096,\"num_hidden_layers\":4,"              \
    "\"num_attention_heads\":4,"
static const char llama_config[] =
    "{\"model_type\":\"llama\"," COMMON "\"hidden_size\":64,\"intermediate_size\":96,"
    "\"num_key_value_heads\":2,\"head_dim\":32,\"tie_word_embeddings\":true,\"vocab_size\":%u,"
    "\"rope_theta\":5e5,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,"
    "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64}}";
static const char mistral_config[] =
    "{\"model_type\":\"mistral3\",\"tie_word_embeddings\":false,\"text_config\":{\"model_type\":"
    "\"mistral\"," COMMON "\"hidden_size\":96,\"intermediate_size\":160,\"num_key_value_heads\":1,"
    "\"head_dim\":64,\"vocab_size\":%u,\"sliding_window\":null,\"rope_parameters\":{\"rope_type\":"
    "\"default\",\"rope_theta\":1e8}}}";

#define GEMMA_ROPE                                                                                 \
    "\"rms_norm_eps\":1e-6,\"max_position_embeddings\":4096,"                                      \
    "\"final_logit_softcapping\":30.0,\"rope_parameters\":{"                                       \
    "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":1e4},"                        \
    "\"full_attention\":{\"rope_type\":\"proportional\",\"rope_theta\":1e6,"                       \
    "\"partial_rotary_factor\":0.25}}"
#define LOCAL "\"sliding_attention\","
#define GLOBAL "\"full_attention\""
#define GEMMA_BEGIN "{\"model_type\":\"gemma4\",\"text_config\":{\"model_type\":\"gemma4_text\","
static const char e2b_config[] = GEMMA_BEGIN GEMMA_ROPE
    ",\"vocab_size\":%u,\"num_hidden_layers\":7,\"layer_types\":[" LOCAL LOCAL LOCAL GLOBAL
    "," LOCAL LOCAL GLOBAL "],\"hidden_size\":64,\"intermediate_size\":96,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":1,\"head_dim\":32,\"global_head_dim\":64,"
    "\"sliding_window\":96,\"hidden_size_per_layer_input\":32,\"num_kv_shared_layers\":3,"
    "\"use_double_wide_mlp\":true,\"tie_word_embeddings\":true}}";
static const char moe_config[] = GEMMA_BEGIN GEMMA_ROPE
    ",\"vocab_size\":%u,\"num_hidden_layers\":6,\"layer_types\":[" LOCAL LOCAL LOCAL LOCAL LOCAL
        GLOBAL "],\"hidden_size\":64,\"intermediate_size\":96,\"num_attention_heads\":4,"
    "\"num_key_value_heads\":2,\"num_global_key_value_heads\":1,\"head_dim\":32,"
    "\"global_head_dim\":64,\"sliding_window\":128,\"attention_k_eq_v\":true,"
    "\"enable_moe_block\":true,\"num_experts\":16,\"top_k_experts\":4,"
    "\"moe_intermediate_size\":32,\"tie_word_embeddings\":true}}";

typedef struct {
    const char *name, *config;
    bool gemma;
    uint32_t n_head_kv; /* of Llama models: their rows are turned */
} case_info;

static const case_info cases[] = {
    {"llama3", llama_config, false, 2},
    {"mistral", mistral_config, false, 1},
    {"e2b", e2b_config, true, 0},
    {"26b-a4b", moe_config, true, 0},
};

static void remove_files(const checkpoint_case *s)
{
    static const char *const files[] = {"config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "model.safetensors",
                                        "model.safetensors.index.json",
                                        "model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", s->folder, files[i]);
        (void)unlink(path);
    }
}

/* The text with the size of the vocabulary in the place of its %u. */
static void format_config(char *out, size_t cap, const char *config, uint32_t n_vocab)
{
    const char *at = strstr(config, "%u");
    snprintf(out, cap, "%.*s%u%s", (int)(at - config), config, n_vocab, at + 2);
}

void checkpoint_case_open(checkpoint_case *s, const char *data, const char *scratch,
                          const char *name, checkpoint_awq awq)
{
    jl_error err;
    const case_info *info = cases;
    while (strcmp(info->name, name) != 0)
        info++;
    *s = (checkpoint_case){0};
    golden_open(&s->c, data, name);
    snprintf(s->folder, sizeof s->folder, "%s/checkpoint-%s", scratch, name);
    snprintf(s->model_path, sizeof s->model_path, "%s/convert-%s.tmp", scratch, name);
    snprintf(s->out, sizeof s->out, "%s/converted-%s.tmp", scratch, name);
    format_config(s->config, sizeof s->config, info->config, s->c.n_vocab);
    (void)mkdir(s->folder, 0700);
    remove_files(s);
    (void)unlink(s->out);
    golden_write_model(&s->c, s->model_path, JL_TYPE_F32);
    assert_ok(jl_gguf_open(s->model_path, &s->model, &err));
    s->plan = (checkpoint_plan){.folder = s->folder,
                                .model = s->model,
                                .config = s->config,
                                .sharded = info != cases && !awq,
                                .awq = awq,
                                .gemma = info->gemma,
                                .n_head = 4,
                                .n_head_kv = info->n_head_kv};
    checkpoint_write(&s->plan);
}

void checkpoint_case_forget(checkpoint_case *s)
{
    jl_gguf_close(s->model);
    golden_close(&s->c);
    (void)unlink(s->model_path);
}

void checkpoint_case_close(checkpoint_case *s)
{
    remove_files(s);
    (void)rmdir(s->folder);
    (void)unlink(s->out);
    checkpoint_case_forget(s);
}
