/* The tables of options and commands. Order here is the order in help and man page. */
#include "opt.h"

#define C(x)       (1u << CMD_##x)
#define GEN        C(RUN)
#define QUALITY    (C(PERPLEXITY) | C(KL) | C(EVAL))
#define MAKING     (C(QUANTIZE) | C(IMATRIX))
#define ENGINE     (C(RUN) | C(LOGITS) | C(BENCH) | C(SERVE) | QUALITY | C(IMATRIX))
#define COMPUTE    (ENGINE | C(DOCTOR))
#define DEVICES    (COMPUTE & ~C(IMATRIX))
#define MODEL_CMDS (COMPUTE | C(TOKENIZE) | C(DETOKENIZE) | C(INSPECT))
#define POWERED    (C(RUN) | C(BENCH) | C(SERVE))
#define EVERY      ((1u << CMD_COUNT) - 1)

#define FLAG(nm, ch, al, cm, hp)                                                                   \
    {                                                                                              \
        .name = nm, .letter = ch, .alias = al, .type = OPT_T_FLAG, .cmds = cm, .help = hp          \
    }
#define TEXT(nm, ch, al, ty, ar, df, cm, hp)                                                       \
    {                                                                                              \
        .name = nm, .letter = ch, .alias = al, .type = ty, .arg = ar, .def = df, .cmds = cm,       \
        .help = hp                                                                                 \
    }
#define NUM(nm, ch, al, ty, lo, hi, df, cm, hp)                                                    \
    {                                                                                              \
        .name = nm, .letter = ch, .alias = al, .type = ty, .arg = "N", .min = lo, .max = hi,       \
        .def = df, .cmds = cm, .help = hp                                                          \
    }
#define CHOICE(nm, ch, al, cs, df, cm, hp)                                                         \
    {                                                                                              \
        .name = nm, .letter = ch, .alias = al, .type = OPT_T_CHOICE, .arg = "WORD", .choices = cs, \
        .def = df, .cmds = cm, .help = hp                                                          \
    }

const opt_def opt_table[OPT_COUNT] = {
    [OPT_MODEL] =
        TEXT("model", 'm', NULL, OPT_T_PATH, "FILE", NULL, MODEL_CMDS | C(LAUNCH),
             "GGUF file, the first part of a split one, hf:OWNER/REPO:QUANT (see joule pull), or "
             "the folder of a checkpoint; without it the bundled test model"),
    [OPT_PROMPT] = TEXT("prompt", 'p', NULL, OPT_T_TEXT, "TEXT", NULL, GEN | C(TOKENIZE),
                        "the text to answer (run) or to split (tokenize)"),
    [OPT_FILE] = TEXT("file", 'f', NULL, OPT_T_PATH, "FILE", NULL,
                      GEN | C(TOKENIZE) | C(DETOKENIZE) | C(PERPLEXITY) | MAKING,
                      "read the input (quantize, imatrix: the calibration text) from a file; - is "
                      "stdin"),
    [OPT_SYSTEM] = TEXT("system", 0, "sys", OPT_T_TEXT, "TEXT", NULL, GEN,
                        "instructions put before the conversation"),
    [OPT_RAW] = FLAG("raw", 0, NULL, GEN, "continue the text as it is, without the chat template"),
    [OPT_THINK] = CHOICE("think", 0, NULL, "on|off", "off", GEN | C(SERVE) | C(LAUNCH),
                         "whether the model may think before it answers"),
    [OPT_HIDE_THINKING] = FLAG("hide-thinking", 0, NULL, GEN, "do not show what the model thinks"),
    [OPT_TOOLS] = TEXT("tools", 0, NULL, OPT_T_PATH, "FILE", NULL, GEN,
                       "JSON array of function declarations; calls are printed as JSON lines, "
                       "nothing is executed"),
    [OPT_PREDICT] = NUM("predict", 'n', "n-predict", OPT_T_INT, -1, 1 << 24, "-1", GEN,
                        "most tokens to generate; -1: until the model ends or the context is full"),
    [OPT_CTX] = NUM("ctx-size", 'c', NULL, OPT_T_INT, 0, 1 << 22, "0",
                    C(RUN) | C(LOGITS) | C(DOCTOR) | C(INSPECT) | C(SERVE) | C(LAUNCH) |
                        C(PERPLEXITY) | C(EVAL) | C(IMATRIX),
                    "context in tokens; 0: the model's, at most 8192 (perplexity, imatrix: tokens "
                    "of a chunk, 0: 512)"),
    [OPT_THREADS] = NUM("threads", 't', NULL, OPT_T_INT, 0, 1024, "0",
                        COMPUTE | C(SYNTH) | C(LAUNCH) | C(QUANTIZE),
                        "threads; 0: one per physical core that --placement uses"),
    [OPT_PLACEMENT] =
        CHOICE("placement", 0, NULL, "balanced|performance|efficiency", "balanced", COMPUTE,
               "cores to use where there are several kinds: the fast ones, all of them for "
               "prompts, or the thrifty ones"),
    [OPT_DEVICE] =
        TEXT("device", 0, "dev", OPT_T_TEXT, "NAME", NULL, DEVICES,
             "where to compute: cpu, vulkan (the best GPU), vulkan0, vulkan1, ...; without a "
             "driver the CPU is used and one line says so (default: cpu)"),
    [OPT_NGL] = NUM("n-gpu-layers", 0, "ngl", OPT_T_INT, 0, 1 << 20, NULL, DEVICES,
                    "layers on the GPU: 0: --device cpu; as many as the model has, or more: "
                    "--device vulkan. A part of them is not possible yet"),
    [OPT_BATCH] = NUM("batch-size", 'b', NULL, OPT_T_INT, 1, 1 << 20, "2048", C(RUN) | C(LOGITS),
                      "prompt tokens handed to the engine in one call"),
    [OPT_UBATCH] = NUM("ubatch-size", 0, "ub", OPT_T_INT, 0, 1 << 16, "0", ENGINE,
                       "tokens computed together; 0: 512; outside serve, with experts and free "
                       "memory, up to 2048"),
    [OPT_CTK] = CHOICE("cache-type-k", 0, "ctk", "f32|f16|q8_0", "f16", COMPUTE | C(INSPECT),
                       "how keys are stored"),
    [OPT_CTV] = CHOICE("cache-type-v", 0, "ctv", "f32|f16|q8_0", "f16", COMPUTE | C(INSPECT),
                       "how values are stored"),
    [OPT_TEMP] =
        NUM("temp", 0, "temperature", OPT_T_FLOAT, 0, 100, NULL, GEN,
            "temperature; 0: always the most probable token (default: the model's, else 1)"),
    [OPT_TOP_K] =
        NUM("top-k", 0, NULL, OPT_T_INT, 0, 1 << 24, NULL, GEN,
            "draw from the N most probable tokens; 0: all (default: the model's, else 64)"),
    [OPT_TOP_P] = NUM("top-p", 0, NULL, OPT_T_FLOAT, 0, 1, NULL, GEN,
                      "draw from the most probable tokens that make up this share; 1: off "
                      "(default: the model's, else 0.95)"),
    [OPT_MIN_P] = NUM("min-p", 0, NULL, OPT_T_FLOAT, 0, 1, NULL, GEN,
                      "drop tokens below this share of the best one; 0: off (default: the model's, "
                      "else 0)"),
    [OPT_TYPICAL] =
        NUM("typical", 0, NULL, OPT_T_FLOAT, 0, 1, "1", GEN, "locally typical sampling; 1: off"),
    [OPT_REPEAT_PENALTY] = NUM("repeat-penalty", 0, NULL, OPT_T_FLOAT, 0.01, 100, "1", GEN,
                               "divide the logits of recent tokens; 1: off"),
    [OPT_PRESENCE_PENALTY] = NUM("presence-penalty", 0, NULL, OPT_T_FLOAT, -100, 100, "0", GEN,
                                 "taken from the logits of recent tokens; 0: off"),
    [OPT_FREQUENCY_PENALTY] = NUM("frequency-penalty", 0, NULL, OPT_T_FLOAT, -100, 100, "0", GEN,
                                  "taken from the logits of recent tokens, per occurrence; 0: off"),
    [OPT_REPEAT_LAST_N] = NUM("repeat-last-n", 0, NULL, OPT_T_INT, -1, 1 << 22, "64", GEN,
                              "recent tokens the penalties look at; -1: all, 0: none"),
    [OPT_DRY_MULTIPLIER] = NUM("dry-multiplier", 0, NULL, OPT_T_FLOAT, 0, 100, "0", GEN,
                               "strength of the DRY penalty on repeated passages; 0: off"),
    [OPT_DRY_BASE] = NUM("dry-base", 0, NULL, OPT_T_FLOAT, 1, 100, "1.75", GEN,
                         "growth of the DRY penalty per repeated token"),
    [OPT_DRY_ALLOWED_LENGTH] = NUM("dry-allowed-length", 0, NULL, OPT_T_INT, 1, 1 << 22, "2", GEN,
                                   "tokens that may repeat before DRY acts"),
    [OPT_DRY_PENALTY_LAST_N] = NUM("dry-penalty-last-n", 0, NULL, OPT_T_INT, -1, 1 << 22, "-1", GEN,
                                   "tokens DRY looks at; -1: all"),
    [OPT_LOGIT_BIAS] =
        TEXT("logit-bias", 'l', NULL, OPT_T_TEXT, "LIST", NULL, GEN,
             "added to logits: id+bias or id-bias, comma separated (15043+1.5,12-inf)"),
    [OPT_SEED] =
        NUM("seed", 's', NULL, OPT_T_U64, 0, 0, NULL, GEN | C(SYNTH),
            "seed of every random draw (default: run takes one from the clock and prints it "
            "with -v, synth takes 1)"),
    [OPT_IGNORE_EOS] =
        FLAG("ignore-eos", 0, NULL, GEN,
             "go on after the model ends its answer, until -n or the context is full"),
    [OPT_MLOCK] = FLAG("mlock", 0, NULL, ENGINE, "lock the weights in memory"),
    [OPT_PREFAULT] = FLAG("prefault", 0, NULL, ENGINE, "read all weights before starting"),
    [OPT_NO_REPACK] = FLAG("no-repack", 0, NULL, ENGINE,
                           "use all weights as they are in the file; else those of type IQ3_S are "
                           "brought into a faster layout once, which is kept (joule cache)"),
    [OPT_ALLOW_SWAP] = FLAG("allow-swap", 0, "no-memory-check", ENGINE,
                            "start even if the model does not fit in free memory"),
    [OPT_CPU_MASK] =
        TEXT("cpu-mask", 0, NULL, OPT_T_TEXT, "NAME", NULL, COMPUTE,
             "highest instruction set used: scalar, avx2, avxvnni, avx512, avx512vnni, "
             "avx512bf16, amx, neon, dotprod, i8mm, sme, sme2"),
    [OPT_SPECIAL] = FLAG("special", 0, NULL, C(TOKENIZE) | C(DETOKENIZE),
                         "read special tokens in the text (tokenize) or show them (detokenize)"),
    [OPT_NO_BOS] = FLAG("no-bos", 0, NULL, C(TOKENIZE), "do not put the first token <bos>"),
    [OPT_TOKENS] =
        TEXT("tokens", 0, NULL, OPT_T_TEXT, "IDS", NULL, C(LOGITS), "token ids, comma separated"),
    [OPT_TOKENS_FILE] =
        TEXT("tokens-file", 0, NULL, OPT_T_PATH, "FILE", NULL, C(LOGITS),
             "token ids from a file (JSON array or separated by commas or spaces); - is "
             "stdin"),
    [OPT_ALL] =
        FLAG("all", 0, NULL, C(LOGITS), "write one row per token instead of the last one only"),
    [OPT_OUTPUT] = TEXT("output", 'o', NULL, OPT_T_PATH, "FILE", NULL, C(LOGITS) | C(IMATRIX),
                        "file to write: rows of n_vocab float32, little-endian (logits), or an "
                        "importance matrix in llama.cpp's GGUF format"),
    [OPT_JSON] = FLAG("json", 0, NULL, C(INSPECT) | C(DOCTOR) | C(POWER) | C(LIST) | C(CACHE),
                      "print JSON"),
    [OPT_YES] = FLAG("yes", 'y', NULL, C(RM) | C(CACHE), "remove without asking"),
    [OPT_SHAPE] =
        CHOICE("shape", 0, NULL,
               "gemma-4-26b-a4b|gemma-4-31b|gemma-4-12b|gemma-4-e4b|gemma-4-e2b|llama-3.1-8b|"
               "llama-3.3-70b|mistral-small-24b|tiny|tiny-moe|tiny-ple|tiny-llama|tiny-mistral",
               "gemma-4-26b-a4b", C(SYNTH), "architecture and size"),
    [OPT_TYPE] =
        TEXT("type", 0, NULL, OPT_T_TEXT, "NAME", "UD-IQ4_XS", C(SYNTH),
             "a mixture (UD-IQ4_XS, UD-Q4_K_M, Q4_K_M, Q5_K_M, QAT-Q4_0) or one type for all "
             "matrices (F32, F16, BF16, Q8_0, Q6_K, ...)"),
    [OPT_LAYERS] = NUM("layers", 0, NULL, OPT_T_INT, 0, 1024, "0", C(SYNTH),
                       "write only this many layers; 0: all"),
    [OPT_SPARSE] = FLAG("sparse", 0, NULL, C(SYNTH),
                        "holes instead of weights: all zeros, no disk space, for memory checks"),
    [OPT_NAME] = TEXT("name", 0, NULL, OPT_T_TEXT, "TEXT", NULL, C(CONVERT),
                      "name of the model in the file (default: the folder's name)"),
    [OPT_AWQ] = CHOICE("awq", 0, NULL, "awq4|q4_1|f16|f32", "awq4", C(CONVERT),
                       "type of AWQ matrices: awq4, joule's own, and f32 are exact; q4_1, for "
                       "other engines, rounds zero point times scale to 11 bits"),
    [OPT_VOCAB] = TEXT("vocab", 0, NULL, OPT_T_PATH, "FILE", NULL, C(SYNTH),
                       "GGUF file whose tokens, merges and chat template go into the vocabulary "
                       "(default: the bundled model)"),
    [OPT_N_PROMPT] = TEXT("n-prompt", 'p', NULL, OPT_T_TEXT, "LIST", "512", C(BENCH),
                          "prompt sizes to time, in tokens, comma separated; 0: none"),
    [OPT_N_GEN] = TEXT("n-gen", 'n', NULL, OPT_T_TEXT, "LIST", "128", C(BENCH),
                       "numbers of generated tokens to time, comma separated; 0: none"),
    [OPT_N_DEPTH] = TEXT("n-depth", 'd', NULL, OPT_T_TEXT, "LIST", "0", C(BENCH),
                         "tokens already in the context, comma separated"),
    [OPT_REPETITIONS] = NUM("repetitions", 'r', NULL, OPT_T_INT, 1, 1000, "5", C(BENCH),
                            "times each test is run, after one that does not count"),
    [OPT_FORMAT] = CHOICE("output-format", 'o', NULL, "md|json|csv", "md", C(BENCH) | QUALITY,
                          "how the results are printed"),
    [OPT_ROOFLINE] =
        FLAG("roofline", 0, NULL, C(BENCH), "measure what the machine could do, without a model"),
    [OPT_CHUNKS] = NUM("chunks", 0, NULL, OPT_T_INT, 0, 1 << 24, "0",
                       C(PERPLEXITY) | C(KL) | MAKING,
                       "use at most this many chunks of the text; 0: all (quantize: 4)"),
    [OPT_SAVE_LOGITS] =
        TEXT("save-logits", 0, "kl-divergence-base", OPT_T_PATH, "FILE", NULL, C(PERPLEXITY),
             "also write the logits, for joule kl or llama-perplexity"),
    [OPT_BASE] = TEXT("base", 0, NULL, OPT_T_PATH, "FILE", NULL, C(KL),
                      "saved logits of the reference model; they hold the text, too"),
    [OPT_POINTS] = TEXT("points", 0, NULL, OPT_T_PATH, "FILE", NULL, C(KL),
                        "CSV file that collects size and divergence of several models"),
    [OPT_SERIES] = TEXT("series", 0, NULL, OPT_T_TEXT, "NAME", "", C(KL),
                        "points of a named series are joined in the picture"),
    [OPT_CHAT] = FLAG("chat", 0, NULL, C(EVAL),
                      "put every \"prompt\" into the chat template as a user's message"),
    [OPT_TENSOR_TYPE] =
        TEXT("tensor-type", 0, NULL, OPT_T_TEXT, "REGEX=TYPE", NULL, C(QUANTIZE),
             "give matrices whose names match another type; may be given several times"),
    [OPT_IMATRIX] = TEXT("imatrix", 0, NULL, OPT_T_PATH, "FILE", NULL, C(QUANTIZE),
                         "importance matrix, from joule imatrix or llama-imatrix"),
    [OPT_PURE] = FLAG("pure", 0, NULL, C(QUANTIZE),
                      "one type for everything: do not keep the LM head in Q6_K"),
    [OPT_PLAN] = TEXT("plan", 0, NULL, OPT_T_PATH, "FILE", NULL, C(QUANTIZE),
                      "take the types from a plan file, after TYPE and before --tensor-type; with "
                      "a budget: its measurements, not its types"),
    [OPT_SAVE_PLAN] = TEXT("save-plan", 0, NULL, OPT_T_PATH, "FILE", NULL, C(QUANTIZE),
                           "write the plan to a file that can be edited and used with --plan"),
    [OPT_DROP_EXPERTS] =
        NUM("drop-experts", 0, NULL, OPT_T_INT, 0, 1 << 16, "0", C(QUANTIZE),
            "leave out the N experts of every layer that matter least, by the --imatrix of joule "
            "imatrix; TYPE may then be left out"),
    [OPT_DROP_BY] = CHOICE("drop-by", 0, NULL, "total|mean|use", "total", C(QUANTIZE),
                           "what makes an expert matter: router weight times size of the output, "
                           "of all its tokens or their mean; or how many tokens use it"),
    [OPT_DRY_RUN] = FLAG("dry-run", 0, NULL, C(QUANTIZE), "print the plan and stop"),
    [OPT_BUDGET] = TEXT("budget", 0, NULL, OPT_T_TEXT, "SIZE", NULL, C(QUANTIZE),
                        "choose the types by measurement so that the file has at most this size: "
                        "13.4GB, 900MB, 12GiB"),
    [OPT_BPW] = NUM("bpw", 0, NULL, OPT_T_FLOAT, 1, 32, NULL, C(QUANTIZE),
                    "the same with a size of N bits per weight"),
    [OPT_BUDGET_DECODE] =
        TEXT("budget-decode", 0, NULL, OPT_T_TEXT, "SIZE", NULL, C(QUANTIZE),
             "the same with a limit on the bytes of weights read per token"),
    [OPT_RESTART] = FLAG("restart", 0, NULL, C(QUANTIZE),
                         "do not continue a run that was stopped, and leave nothing to continue"),
    [OPT_HOST] = TEXT("host", 0, NULL, OPT_T_TEXT, "ADDRESS", "127.0.0.1", C(SERVE),
                      "address to listen on; 0.0.0.0 lets other machines in: give an API key then"),
    [OPT_PORT] = NUM("port", 0, NULL, OPT_T_INT, -1, 65535, "9931", C(SERVE) | C(LAUNCH) | C(POWER),
                     "port of the server; -1: any free one"),
    [OPT_API_KEY] = TEXT("api-key", 0, NULL, OPT_T_TEXT, "KEY", NULL, C(SERVE),
                         "clients must send this key; better given in the environment, where "
                         "other users do not see it"),
    [OPT_ALIAS] = TEXT("alias", 'a', NULL, OPT_T_TEXT, "NAME", NULL, C(SERVE),
                       "a second name of the model for clients"),
    [OPT_PARALLEL] = NUM("parallel", 0, "np", OPT_T_INT, 1, 64, "4", C(SERVE) | C(LAUNCH),
                         "answers that are written at the same time"),
    [OPT_QUEUE] = NUM("queue", 0, NULL, OPT_T_INT, 1, 4096, "64", C(SERVE),
                      "requests that may wait beyond that; more are told to come again"),
    [OPT_CACHE_RAM] =
        NUM("cache-ram", 0, "cram", OPT_T_INT, 0, 1 << 22, "1024", C(SERVE) | C(LAUNCH),
            "MiB for conversations that can be continued without reading them again"),
    [OPT_CACHE_DISK] =
        NUM("cache-disk", 0, NULL, OPT_T_INT, 0, 1 << 22, "4096", C(SERVE) | C(LAUNCH),
            "MiB on disk, below the cache folder, for conversations that survive a restart; they "
            "are stored in plain form, readable by you alone; 0: none"),
    [OPT_CACHE_DISK_DAILY] =
        NUM("cache-disk-daily", 0, NULL, OPT_T_INT, 0, 1 << 24, "32768", C(SERVE) | C(LAUNCH),
            "most MiB written there in a day, to spare the disk; 0: any number"),
    [OPT_MAX_STALL] = NUM("max-stall", 0, NULL, OPT_T_INT, 20, 60000, "500", C(SERVE),
                          "longest pause of running answers, in ms, while a prompt is read"),
    [OPT_DROP_THINKING] =
        FLAG("drop-thinking", 0, NULL, C(SERVE),
             "forget thoughts of earlier turns, as the template does; costs reading "
             "the last turn again"),
    [OPT_CORS_ORIGIN] = TEXT("cors-origin", 0, NULL, OPT_T_TEXT, "ORIGIN", NULL, C(SERVE),
                             "let web pages of this origin use the server; * for all"),
    [OPT_TIMEOUT] = NUM("timeout", 0, NULL, OPT_T_INT, 1, 86400, "60", C(SERVE),
                        "seconds after which a client that sends or reads nothing is dropped"),
    [OPT_LOG_LEVEL] = CHOICE("log-level", 0, NULL, "error|info|access|debug", "access", C(SERVE),
                             "what goes to stderr: errors, also events, also a line per request "
                             "(never its text), also its timings"),
    [OPT_POWER_BUDGET] =
        TEXT("power-budget", 0, NULL, OPT_T_TEXT, "WATTS", NULL, POWERED,
             "hold this mean power (8W): as many tokens as it gives; needs a meter, see joule "
             "power"),
    [OPT_ENERGY_TARGET] =
        TEXT("energy-target", 0, NULL, OPT_T_TEXT, "JOULES", NULL, POWERED,
             "use at most this energy per generated token (0.7J), as fast as that allows; needs a "
             "meter"),
    [OPT_DUTY] = TEXT("duty", 0, NULL, OPT_T_TEXT, "SHARE", NULL, POWERED,
                      "work at most this share of the time (50%), without a meter"),
    [OPT_ON_BATTERY] =
        TEXT("on-battery", 0, NULL, OPT_T_TEXT, "RULE", "normal", POWERED,
             "normal, low (half of the cores, thrifty ones where there are some) or "
             "\"pause-below 15%\" (low, and work waits for AC below that charge)"),
    [OPT_METER] = TEXT("meter", 0, NULL, OPT_T_TEXT, "NAME", NULL, POWERED | C(POWER),
                       "energy meter to use: rapl, hwmon, battery, ioreport, smc, rusage (default: "
                       "the best that covers the processor)"),
    [OPT_IDLE_BASELINE] = NUM("idle-baseline", 0, NULL, OPT_T_FLOAT, 0, 600, "0",
                              POWERED | C(POWER),
                              "rest for N seconds first and measure what the machine draws idle"),
    [OPT_NICE] = NUM("nice", 0, NULL, OPT_T_INT, 0, 19, "0", POWERED,
                     "give way to other programs: 0 not, 19 most"),
    [OPT_PAUSE_FOR_USER] =
        NUM("pause-for-user", 0, NULL, OPT_T_FLOAT, 0, 3600, "0", POWERED,
            "work waits until keyboard and pointer have rested for N seconds; 0: it does not"),
    [OPT_BACKGROUND] = FLAG("background", 0, NULL, C(IMATRIX),
                            "give way to other programs, and wait while the machine runs on "
                            "battery or is hot"),
    [OPT_NO_KEEP_AWAKE] = FLAG("no-keep-awake", 0, NULL, POWERED,
                               "let the machine go to sleep while an answer is being written"),
    [OPT_LOG_CSV] = TEXT("log", 0, NULL, OPT_T_PATH, "FILE", NULL, C(POWER),
                         "write every sample to a CSV file"),
    [OPT_SVG] = TEXT("svg", 0, NULL, OPT_T_PATH, "FILE", NULL, C(POWER) | C(KL),
                     "draw the power over time (kl: the points, by size) into an SVG file"),
    [OPT_INTERVAL] = NUM("interval", 0, NULL, OPT_T_FLOAT, 0.1, 3600, "1", C(POWER),
                         "seconds from sample to sample"),
    [OPT_SECONDS] = NUM("seconds", 0, NULL, OPT_T_FLOAT, 0, 1e6, "0", C(POWER),
                        "end after N seconds; 0: at Ctrl-C"),
    [OPT_PRINT] = FLAG("print", 0, NULL, C(LAUNCH), "only print the client's configuration"),
    [OPT_COLOR] =
        CHOICE("color", 0, NULL, "auto|always|never", "auto", GEN, "colour on the terminal"),
    [OPT_NO_COLOR] = FLAG("no-color", 0, NULL, GEN, "same as --color never; NO_COLOR works too"),
    [OPT_VERBOSE] = FLAG("verbose", 'v', NULL, MODEL_CMDS | C(CONVERT) | C(SYNTH) | C(QUANTIZE),
                         "say more on stderr"),
    [OPT_QUIET] =
        FLAG("quiet", 'q', NULL,
             MODEL_CMDS | C(CONVERT) | C(SYNTH) | C(QUANTIZE) | C(PULL) | C(RM) | C(CACHE),
             "only results and errors"),
    [OPT_MAN] = FLAG("man", 0, NULL, C(HELP), "print the man page"),
    [OPT_OPTIONS] = FLAG("options", 0, NULL, C(HELP), "print the option table, tab separated"),
    [OPT_HELP] = FLAG("help", 'h', NULL, EVERY, "print help for the command"),
};

const cmd_def cmd_table[CMD_COUNT] = {
    [CMD_RUN] =
        {"run", "", 0, "answer a prompt, or chat on a terminal",
         "The prompt comes from -p, from a file, or from stdin when it is not a terminal; on a "
         "terminal "
         "without a prompt a chat starts (/help lists its commands). Text goes to stdout, "
         "statistics "
         "to stderr. Ctrl-C stops the answer and keeps the chat.",
         "joule run\n"
         "joule run -m gemma-4-26B-A4B-it-UD-IQ4_XS.gguf -c 16384 -p \"Why is the sky blue?\"\n"
         "joule run --raw -n 64 --temp 0 -p \"Once upon a time\"\n",
         cmd_run},
    [CMD_TOKENIZE] =
        {"tokenize", "", 0, "text to token ids",
         "Prints a JSON array of ids. The text comes from -p, from a file or from stdin.",
         "joule tokenize -p \"Hello world\"\n", cmd_tokenize},
    [CMD_DETOKENIZE] = {"detokenize", "[IDS]", 1, "token ids to text",
                        "Reads a JSON array or a comma-separated list of ids from the argument, a "
                        "file or stdin and "
                        "prints the text as it is, without a newline at the end.",
                        "joule detokenize 9259,1902\n", cmd_detokenize},
    [CMD_INSPECT] = {"inspect", "[FILE]", 1, "what a model file holds",
                     "Architecture, parameters in all and per token, types by tensor group, bytes "
                     "read per token, "
                     "memory need at the context given by -c.",
                     "joule inspect -c 32768 model.gguf\n", cmd_inspect},
    [CMD_LOGITS] = {"logits", "", 0, "logits of given tokens to a file",
                    "Runs the tokens and writes the logits after the last one, or with --all after "
                    "each one. The "
                    "output appears whole or not at all.",
                    "joule logits -m model.gguf --tokens 2,9259,1902 --all -o logits.f32\n",
                    cmd_logits},
    [CMD_PULL] = {"pull", "hf:OWNER/REPO[:QUANT]", 1, "download a model from the Hugging Face Hub",
                  "QUANT is the end of the file's name (Q4_K_M, UD-IQ4_XS) or all of it; it may be "
                  "left out where there is one file, or a Q4_K_M. @REVISION may stand before the "
                  "colon. A repository without GGUF files gives its checkpoint, which -m converts. "
                  "Files go to the cache that other programs share (HF_HUB_CACHE, HF_HOME, else "
                  "~/.cache/huggingface/hub), and are checked against the server's hashes; a "
                  "download that was stopped goes on. Environment: HF_TOKEN for gated models, sent "
                  "to the server alone; HF_ENDPOINT for another server; HF_HUB_DOWNLOAD_TIMEOUT, "
                  "seconds of silence before the next try; https_proxy.",
                  "joule pull hf:unsloth/gemma-4-26B-A4B-it-GGUF:UD-IQ4_XS\n"
                  "joule run -m hf:unsloth/gemma-4-26B-A4B-it-GGUF:UD-IQ4_XS\n",
                  cmd_pull},
    [CMD_LIST] = {"list", "", 0, "models in the cache",
                  "Models that joule pull or another program has put into the cache: what to say "
                  "to -m, size, files. Downloads that were stopped are listed, too.",
                  "joule list\njoule list --json\n", cmd_list},
    [CMD_RM] = {"rm", "hf:OWNER/REPO[:QUANT]", 1, "remove a model from the cache",
                "With :QUANT that file and its parts go; without it all of the repository, stopped "
                "downloads too. It asks on a terminal; elsewhere --yes is needed.",
                "joule rm hf:unsloth/gemma-4-26B-A4B-it-GGUF:UD-IQ4_XS\n", cmd_rm},
    [CMD_CACHE] =
        {"cache", "list|clear", 1, "what is kept of repacked weights",
         "Weights of type IQ3_S are brought into a layout that multiplies faster when a model is "
         "first used (--no-repack of the other commands turns that off), and kept below the cache "
         "folder. list prints every file: its size, its age, the tensors and the model. clear "
         "removes them; it asks on a terminal, elsewhere --yes is needed. A program that uses one "
         "keeps it until it ends.",
         "joule cache list\njoule cache clear\n", cmd_cache},
    [CMD_CONVERT] = {"convert", "DIR OUT.gguf", 2, "a Hugging Face checkpoint to a GGUF file",
                     "DIR holds config.json, *.safetensors and tokenizer.json of a Gemma 4 (its "
                     "text part), Llama 3 or Mistral model. Matrices keep their type; those of AWQ "
                     "checkpoints stay 4-bit. Tokenizer, chat template and sampling defaults go "
                     "along. The file appears whole or not at all.",
                     "joule convert Llama-3.1-8B-Instruct llama-3.1-8b-bf16.gguf\n", cmd_convert},
    [CMD_SYNTH] = {"synth", "OUT.gguf", 1, "write a full-size model with random weights",
                   "For speed and memory measurements without any download: the tensors of the "
                   "real model, with "
                   "seeded random values of sane scale. The text it generates means nothing.",
                   "joule synth --shape gemma-4-26b-a4b --type UD-IQ4_XS big.gguf\n", cmd_synth},
    [CMD_DOCTOR] =
        {"doctor", "", 0, "check this machine, or a model file on it",
         "Without -m: processor, instruction sets and kernels chosen, memory, threads, bundled "
         "model. With -m: "
         "special tokens, tokenizer, tensor names, shapes and counts against the published ones, "
         "chat "
         "template, not-a-number scan of every weight, a run of 32 tokens. Prints what to report.",
         "joule doctor\njoule doctor -m model.gguf\n", cmd_doctor},
    [CMD_BENCH] =
        {"bench", "", 0, "time prefill and decode",
         "Tests are named as llama-bench names them: pp512 reads 512 tokens, tg128 generates 128, "
         "@ d8192 behind 8192 tokens of context. Speeds are medians; the share of the machine's "
         "bandwidth and int8 peak is measured in the same run.",
         "joule bench -m model.gguf\njoule bench -m model.gguf -p 512,2048 -n 32 -d 0,8192 -o csv\n"
         "joule bench --roofline\n",
         cmd_bench},
    [CMD_PERPLEXITY] =
        {"perplexity", "", 0, "perplexity of a text, and a reference's logits",
         "The text is cut into chunks (-c); the second half of each is scored, as llama.cpp does "
         "it. --save-logits keeps the log probabilities of every scored position, about two bytes "
         "per token of the vocabulary each.",
         "joule perplexity -m model.gguf -f text.txt\n"
         "joule perplexity -m model-bf16.gguf -f text.txt --chunks 40 --save-logits bf16.logits\n",
         cmd_perplexity},
    [CMD_KL] = {"kl", "", 0, "how far a model is from a reference",
                "Runs the text of a file of saved logits and prints the Kullback-Leibler "
                "divergence of the model's next-token distributions from the reference's: mean, "
                "quantiles, share of equal best tokens, each with its standard error.",
                "joule kl -m model-q4.gguf --base bf16.logits\n"
                "joule kl -m model-q5.gguf --base bf16.logits --points kl.csv --svg kl.svg\n",
                cmd_kl},
    [CMD_EVAL] =
        {"eval", "FILE.jsonl", 1, "answer questions and count the right answers",
         "Each line is an object. {\"prompt\", \"choices\": [...], \"answer\": 0}: the choice of "
         "the highest log likelihood counts. {\"prompt\", \"answer\": \"text\"}: what the model "
         "writes, greedily, must be the text; \"max_tokens\" is 64 unless given, a text of one "
         "line ends at its line end. \"messages\" instead of \"prompt\" is a conversation.",
         "joule eval -m model.gguf questions.jsonl\n", cmd_eval},
    [CMD_QUANTIZE] =
        {"quantize", "IN.gguf OUT.gguf [TYPE]", 3, "make a model file smaller",
         "TYPE is a mix (Q4_K_M, Q5_K_M, IQ4_XS, UD-IQ4_XS, UD-Q4_K_M; JQ4, which only joule "
         "reads) or one type for all matrices (F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K, Q3_K, Q2_K, "
         "Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, IQ4_XS, IQ3_S, IQ3_XXS, IQ2_S, IQ2_XS, IQ2_XXS); or "
         "--budget, --bpw or --budget-decode choose the types by measurement, with the divergence "
         "of the output on the text of -f. The plan is printed first. The file appears whole or "
         "not at all; a run that was stopped is continued by the same command. Values that are "
         "not numbers are refused.",
         "joule quantize model-bf16.gguf model-q4.gguf Q4_K_M --imatrix model.imatrix\n"
         "joule quantize model-bf16.gguf small.gguf --budget 13.4GB -f text.txt --save-plan plan\n"
         "joule quantize model-bf16.gguf out.gguf Q4_K --tensor-type 'attn_v|ffn_down=Q6_K'\n"
         "joule quantize moe.gguf less.gguf --drop-experts 32 --imatrix moe.imatrix\n",
         cmd_quantize},
    [CMD_IMATRIX] =
        {"imatrix", "", 0, "importance of every matrix's columns",
         "Runs the text of -f and writes the mean squares of what each matrix is multiplied with, "
         "for experts over the tokens that were routed to them, and what each expert adds to them; "
         "a warning names experts that no token reached. The file is llama.cpp's GGUF format.",
         "joule imatrix -m model-bf16.gguf -f text.txt -o model.imatrix\n", cmd_imatrix},
    [CMD_SERVE] = {"serve", "", 0, "answer HTTP clients: OpenAI, Anthropic and Ollama APIs",
                   "Prints its address and serves until Ctrl-C. Conversations that come back are "
                   "continued where they ended. Without -c the context is chosen from free memory.",
                   "joule serve\n"
                   "joule serve -m gemma-4-26B-A4B-it-UD-IQ4_XS.gguf -c 32768 --parallel 2\n",
                   cmd_serve},
    [CMD_POWER] = {"power", "", 0, "show meters, battery, heat, and watts as they are",
                   "Lists what this machine can measure, and why not where it cannot. Then, with a "
                   "meter, one line that changes: watts, joules per token of a joule server on "
                   "--port, temperature. --json prints one object per sample instead.",
                   "joule power\njoule power --log power.csv --svg power.svg --seconds 60\n",
                   cmd_power},
    [CMD_LAUNCH] = {"launch", "opencode [-- ARGUMENTS]", 17,
                    "run a coding agent on the local model",
                    "Finds the server on the port or starts one for as long as the client runs, "
                    "offers to add it to the client's configuration, and starts the client. "
                    "Arguments after -- are the client's.",
                    "joule launch opencode\n"
                    "joule launch opencode -m gemma-4-26B-A4B-it-UD-IQ4_XS.gguf -c 32768\n"
                    "joule launch opencode -- --agent lean\n",
                    cmd_launch},
    [CMD_HELP] = {"help", "[COMMAND]", 1, "help on a command",
                  "Prints the commands, or the options "
                  "of one command.",
                  "joule help run\n", cmd_help},
    [CMD_VERSION] = {"version", "", 0, "version of the program",
                     "Prints the version and the version of "
                     "the numerics contract.",
                     "joule version\n", cmd_version},
    [CMD_COMPLETION] = {"completion", "bash|zsh|fish", 1, "print a shell completion script",
                        "The package installs these already; this prints them for a program run "
                        "from the build tree.",
                        "source <(joule completion bash)\n", cmd_completion},
};
