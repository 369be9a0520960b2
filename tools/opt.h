/* The option table: every flag of every command, once. Parsing, help, man page and shell
 * completions are generated from it. */
#ifndef JL_TOOLS_OPT_H
#define JL_TOOLS_OPT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes. */
enum { EXIT_OK = 0, EXIT_FAIL = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

typedef enum {
    OPT_MODEL,
    OPT_PROMPT,
    OPT_FILE,
    OPT_SYSTEM,
    OPT_RAW,
    OPT_THINK,
    OPT_HIDE_THINKING,
    OPT_TOOLS,
    OPT_PREDICT,
    OPT_CTX,
    OPT_THREADS,
    OPT_PLACEMENT,
    OPT_DEVICE,
    OPT_NGL,
    OPT_BATCH,
    OPT_UBATCH,
    OPT_CTK,
    OPT_CTV,
    OPT_TEMP,
    OPT_TOP_K,
    OPT_TOP_P,
    OPT_MIN_P,
    OPT_TYPICAL,
    OPT_REPEAT_PENALTY,
    OPT_PRESENCE_PENALTY,
    OPT_FREQUENCY_PENALTY,
    OPT_REPEAT_LAST_N,
    OPT_DRY_MULTIPLIER,
    OPT_DRY_BASE,
    OPT_DRY_ALLOWED_LENGTH,
    OPT_DRY_PENALTY_LAST_N,
    OPT_LOGIT_BIAS,
    OPT_SEED,
    OPT_IGNORE_EOS,
    OPT_MLOCK,
    OPT_PREFAULT,
    OPT_NO_REPACK,
    OPT_ALLOW_SWAP,
    OPT_CPU_MASK,
    OPT_SPECIAL,
    OPT_NO_BOS,
    OPT_TOKENS,
    OPT_TOKENS_FILE,
    OPT_ALL,
    OPT_OUTPUT,
    OPT_JSON,
    OPT_YES,
    OPT_SHAPE,
    OPT_TYPE,
    OPT_LAYERS,
    OPT_SPARSE,
    OPT_VOCAB,
    OPT_NAME,
    OPT_AWQ,
    OPT_N_PROMPT,
    OPT_N_GEN,
    OPT_N_DEPTH,
    OPT_REPETITIONS,
    OPT_FORMAT,
    OPT_ROOFLINE,
    OPT_CHUNKS,
    OPT_SAVE_LOGITS,
    OPT_BASE,
    OPT_POINTS,
    OPT_SERIES,
    OPT_CHAT,
    OPT_TENSOR_TYPE,
    OPT_IMATRIX,
    OPT_PURE,
    OPT_PLAN,
    OPT_SAVE_PLAN,
    OPT_DROP_EXPERTS,
    OPT_DROP_BY,
    OPT_DRY_RUN,
    OPT_BUDGET,
    OPT_BPW,
    OPT_BUDGET_DECODE,
    OPT_RESTART,
    OPT_HOST,
    OPT_PORT,
    OPT_API_KEY,
    OPT_ALIAS,
    OPT_PARALLEL,
    OPT_QUEUE,
    OPT_CACHE_RAM,
    OPT_CACHE_DISK,
    OPT_CACHE_DISK_DAILY,
    OPT_MAX_STALL,
    OPT_DROP_THINKING,
    OPT_CORS_ORIGIN,
    OPT_TIMEOUT,
    OPT_LOG_LEVEL,
    OPT_POWER_BUDGET,
    OPT_ENERGY_TARGET,
    OPT_DUTY,
    OPT_ON_BATTERY,
    OPT_METER,
    OPT_IDLE_BASELINE,
    OPT_NICE,
    OPT_PAUSE_FOR_USER,
    OPT_BACKGROUND,
    OPT_NO_KEEP_AWAKE,
    OPT_LOG_CSV,
    OPT_SVG,
    OPT_INTERVAL,
    OPT_SECONDS,
    OPT_PRINT,
    OPT_COLOR,
    OPT_NO_COLOR,
    OPT_VERBOSE,
    OPT_QUIET,
    OPT_MAN,
    OPT_OPTIONS,
    OPT_HELP,
    OPT_COUNT
} opt_id;

typedef enum {
    OPT_T_FLAG,
    OPT_T_INT,
    OPT_T_FLOAT,
    OPT_T_U64,
    OPT_T_TEXT,
    OPT_T_PATH,
    OPT_T_CHOICE
} opt_type;

typedef enum {
    CMD_RUN,
    CMD_TOKENIZE,
    CMD_DETOKENIZE,
    CMD_INSPECT,
    CMD_LOGITS,
    CMD_PULL,
    CMD_LIST,
    CMD_RM,
    CMD_CACHE,
    CMD_CONVERT,
    CMD_SYNTH,
    CMD_DOCTOR,
    CMD_BENCH,
    CMD_PERPLEXITY,
    CMD_KL,
    CMD_EVAL,
    CMD_QUANTIZE,
    CMD_IMATRIX,
    CMD_SERVE,
    CMD_POWER,
    CMD_LAUNCH,
    CMD_HELP,
    CMD_VERSION,
    CMD_COMPLETION,
    CMD_COUNT
} cmd_id;

typedef struct {
    const char *name;  /* long name without dashes */
    char letter;       /* 'm' for -m, 0 for none */
    const char *alias; /* several letters after one dash ("ctk"), or another long name; NULL */
    opt_type type;
    const char *arg;     /* "N" in help; NULL for a flag */
    double min, max;     /* of numbers */
    const char *def;     /* default as text, NULL: none */
    const char *choices; /* "a|b|c" of OPT_T_CHOICE */
    uint32_t cmds;       /* bit mask of 1 << cmd_id */
    const char *help;    /* one sentence without full stop */
} opt_def;

typedef struct {
    const char *text; /* as given, or the default; NULL */
    double num;       /* numbers; 1 of a flag that is on */
    uint64_t u64;     /* OPT_T_U64 */
    bool set;         /* given on the command line or in the environment */
} opt_value;

typedef struct opts opts;

typedef struct {
    const char *name;
    const char *args; /* positional arguments in the usage line, "" if none */
    int max_args;
    const char *summary; /* one line */
    const char *text;    /* paragraph for help and man page */
    const char *example; /* lines, each one command */
    int (*run)(const opts *o);
} cmd_def;

enum { OPT_MAX_REPEATS = 64 };

struct opts {
    const cmd_def *cmd;
    cmd_id id;
    opt_value v[OPT_COUNT];
    const char *rules[OPT_MAX_REPEATS]; /* every --tensor-type, in order */
    int n_rules;
    int n_args;
    char **args;
};

extern const opt_def opt_table[OPT_COUNT];
extern const cmd_def cmd_table[CMD_COUNT];

/* Parses argv[0..argc) of a command (argv[0] is its name), then the environment. Prints what is
 * wrong to stderr and returns EXIT_USAGE, else 0. */
int opt_parse(opts *o, int argc, char **argv);

bool opt_on(const opts *o, opt_id id);
int opt_int(const opts *o, opt_id id);
const char *opt_text(const opts *o, opt_id id);
bool opt_is_set(const opts *o, opt_id id);
/* Prints "joule CMD: ..." and where to read more; returns EXIT_USAGE. */
int usage_error(const opts *o, const char *fmt, ...)
#if defined(__GNUC__) || defined(__clang__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* "JOULE_CTX_SIZE" of "ctx-size"; writes at most cap bytes. */
void opt_env_name(const opt_def *d, char *out, size_t cap);
bool opt_applies(const opt_def *d, cmd_id cmd);
/* Dashes before the alias: one for an abbreviation ("-ctk"), two for a word ("--temperature"). */
const char *opt_alias_dashes(const opt_def *d);

/* Generated texts (optdoc.c, completion.c). */
void doc_help(FILE *f);
void doc_help_command(FILE *f, cmd_id cmd);
void doc_man(FILE *f);
void doc_options(FILE *f); /* the table as tab-separated lines, for the test that compares them */
void doc_bash(FILE *f);
void doc_zsh(FILE *f);
void doc_fish(FILE *f);

/* Sub-commands. */
int cmd_run(const opts *o);
int cmd_tokenize(const opts *o);
int cmd_detokenize(const opts *o);
int cmd_inspect(const opts *o);
int cmd_logits(const opts *o);
int cmd_pull(const opts *o);
int cmd_list(const opts *o);
int cmd_rm(const opts *o);
int cmd_cache(const opts *o);
int cmd_convert(const opts *o);
int cmd_synth(const opts *o);
int cmd_doctor(const opts *o);
int cmd_bench(const opts *o);
int cmd_perplexity(const opts *o);
int cmd_kl(const opts *o);
int cmd_eval(const opts *o);
int cmd_quantize(const opts *o);
int cmd_imatrix(const opts *o);
int cmd_serve(const opts *o);
int cmd_power(const opts *o);
int cmd_launch(const opts *o);
int cmd_help(const opts *o);
int cmd_version(const opts *o);
int cmd_completion(const opts *o);

#endif
