/* The HTTP server behind `joule serve`: OpenAI, Anthropic and Ollama wire APIs over one model. It
 * is a library of its own (libjoule_server) and needs libevent. docs/server.md describes what it
 * answers. */
#ifndef JL_JOULE_SERVER_H
#define JL_JOULE_SERVER_H

#include "joule/chat.h"
#include "joule/power.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Unassigned by IANA, below the ports that systems hand out, and none that another local model
 * server uses (8000, 8080, 1234, 5000, 11434). */
#define JL_SERVER_PORT 9931

typedef struct jl_server jl_server;

typedef enum { JL_LOG_ERROR = 0, JL_LOG_INFO, JL_LOG_ACCESS, JL_LOG_DEBUG } jl_log_level;

typedef struct {
    uint32_t struct_size;    /* sizeof(jl_server_params) */
    const char *host;        /* address to listen on; NULL: 127.0.0.1 */
    int port;                /* 0: JL_SERVER_PORT; -1: any free one, see jl_server_port */
    const char *model_name;  /* the id clients use; NULL: general.name of the file */
    const char *model_path;  /* shown in /props; NULL: not shown */
    const char *alias;       /* a second id; NULL: none */
    const char *api_key;     /* NULL: none is asked for */
    const char *cors_origin; /* value of Access-Control-Allow-Origin; NULL: browsers are refused */
    uint32_t n_parallel;     /* answers written together; 0: 4 */
    uint32_t n_queue;        /* requests that wait beyond that; 0: 64 */
    uint32_t max_stall_ms;   /* longest pause of answers while a prompt is read; 0: 500 */
    uint64_t cache_ram;      /* bytes for the prefix cache beyond running requests */
    uint64_t cache_disk;     /* bytes of the cache on disk, which survives restarts; 0: none */
    uint64_t cache_disk_daily; /* bytes written to it per day; 0: any number */
    const char *cache_folder;  /* where it lies, made with mode 0700; needed with cache_disk */
    uint64_t max_body;         /* bytes of a request; 0: 32 MiB */
    uint32_t timeout_s;        /* of a client that sends or reads nothing; 0: 60 */
    bool thinking;             /* default of requests that do not say */
    bool drop_thinking; /* thoughts of earlier turns are not read again (the template's rule) */
    jl_session_params
        session; /* n_ctx, n_ubatch, n_threads, KV types, cpu_mask; the rest is computed */
    jl_power *power; /* meters and limits, the caller's; must outlive the server. NULL: none */
    /* NULL: nothing is logged. May be called from several threads. */
    void (*log)(void *ctx, jl_log_level level, const char *line);
    void *log_ctx;
} jl_server_params;

/* Memory that jl_server_create will need with these parameters. */
JL_API JL_MUST_CHECK jl_status jl_server_measure(const jl_model *model,
                                                 const jl_server_params *params, jl_memory *out,
                                                 jl_error *err);
/* Makes the session, starts the engine thread and listens. The model must outlive the server. */
JL_API JL_MUST_CHECK jl_status jl_server_create(jl_model *model, const jl_server_params *params,
                                                jl_server **out, jl_error *err);
JL_API int jl_server_port(const jl_server *server);
/* Answers requests until jl_server_stop; then running answers may end within ten seconds. */
JL_API JL_MUST_CHECK jl_status jl_server_run(jl_server *server, jl_error *err);
/* Ends jl_server_run; called again, at once. Any thread, and signal handlers. */
JL_API void jl_server_stop(jl_server *server);
JL_API void jl_server_destroy(jl_server *server); /* after run has returned; NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
