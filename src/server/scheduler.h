/* The engine thread: it alone owns the session. Jobs wait in a queue, run together (one token for
 * every running answer plus a slice of the prompts being read, in one evaluation), and leave what
 * they read in the prefix cache. Sleeps when there is nothing to do. */
#ifndef JL_SERVER_SCHEDULER_H
#define JL_SERVER_SCHEDULER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "joule/joule.h"
#include "joule/power.h"
#include "server/disk.h"
#include "server/prefix.h"

typedef struct jl_scheduler jl_scheduler;
typedef struct jl_job jl_job;

typedef enum {
    JL_JOB_STOPPED, /* on_token said so */
    JL_JOB_LENGTH,  /* n_new_max tokens were generated */
    JL_JOB_CANCELLED,
    JL_JOB_FAILED
} jl_job_end;

/* Called on the engine thread; must be quick and must not call the scheduler. */
typedef struct {
    /* A token was chosen from logits [n_vocab] (valid during the call); false ends the job. */
    bool (*on_token)(void *ctx, int32_t token, const float *logits);
    /* NULL, or the tokens that may come next (see jl_sampler_pick); may return NULL for all. */
    const uint32_t *(*allowed)(void *ctx);
    void (*on_progress)(
        void *ctx); /* a slice of the prompt was read; stats are current. May be NULL */
    /* The last call: the job is its owner's again. err is set for JL_JOB_FAILED. */
    void (*on_end)(void *ctx, jl_job_end end, const jl_error *err);
} jl_job_events;

typedef struct {
    size_t n_cached;                                /* prompt tokens found in the cache */
    size_t n_read;                                  /* prompt tokens computed so far */
    uint64_t submit_ns, start_ns, first_ns, end_ns; /* jl_time_ns; 0: not yet */
    double prompt_j, decode_j; /* its share of the energy of its steps; NAN: no meter */
    double cpu_s;              /* likewise, processor time */
} jl_job_stats;

enum { JL_JOB_MARKS = 8 };

struct jl_job {
    /* The owner's, set before submit and unchanged until on_end. */
    jl_sampler *sampler;
    int32_t *tokens;            /* [n_prompt + n_new_max]: the prompt, then what is generated */
    size_t n_prompt;            /* >= 1 */
    size_t n_new_max;           /* >= 1 */
    size_t marks[JL_JOB_MARKS]; /* lengths at which other requests may branch off, ascending */
    size_t n_marks;
    bool small; /* see jl_prefix_kind */
    const jl_job_events *events;
    void *ctx;

    /* The scheduler's; readable by the owner in callbacks and after on_end. */
    size_t n_tokens; /* n_prompt + tokens generated */
    jl_job_stats stats;

    /* The scheduler's alone. */
    atomic_bool cancelled;
    atomic_bool reading; /* its prompt is being read */
    jl_job *next;
    int32_t seq;
    size_t n_past;  /* tokens the sequence holds */
    jl_load *load;  /* blocks on their way from the disk; NULL: none */
    size_t n_loads; /* tokens that it brings */
    bool counted;   /* stats.n_cached is set */
};

typedef struct {
    uint32_t n_parallel;   /* jobs that run together; 0: 4 */
    uint32_t n_queue;      /* jobs that wait; 0: 64 */
    uint32_t n_cache;      /* sequences of the session beyond n_parallel, for the prefix cache */
    uint32_t max_stall_ms; /* longest wait of running answers for a slice of a prompt; 0: 500 */
    uint32_t n_ubatch;     /* of the session */
    jl_disk *disk;         /* NULL: nothing is stored; must outlive the scheduler */
    uint64_t disk_bytes;   /* most bytes of one sequence on the disk */
    jl_power *power;       /* told when there is work; NULL: none */
} jl_scheduler_params;

typedef struct {
    uint32_t n_running, n_reading, n_queued;
    uint64_t n_jobs, n_cancelled, n_failed, n_preempted;
    uint64_t n_prompt_read, n_prompt_cached, n_generated; /* tokens */
    uint64_t n_steps;
    double read_s, decode_s; /* seconds spent in steps that read prompts, and in others */
    double step_max_s;       /* longest wait of running answers for their next token */
    uint32_t slice;          /* prompt tokens per step beside running answers, at present */
    uint64_t kv_used;        /* bytes of the KV cache in use */
    jl_disk_stats disk;
    jl_prefix_stats prefix;
} jl_scheduler_stats;

/* The session must have n_parallel + n_cache sequences, n_parallel rows of logits and n_beside =
 * n_parallel, and outlive it; its between function is the scheduler's. */
JL_MUST_CHECK jl_status jl_scheduler_create(jl_session *session, const jl_scheduler_params *params,
                                            jl_scheduler **out, jl_error *err);
/* Cancels all jobs, waits for the thread, frees. NULL is fine. */
void jl_scheduler_destroy(jl_scheduler *s);

/* Hands over jobs that start together or not at all. JL_TOO_LARGE: the queue is full. JL_INVALID: a
 * job does not fit the context. Any thread. */
JL_MUST_CHECK jl_status jl_scheduler_submit(jl_scheduler *s, jl_job *const *jobs, size_t n_jobs,
                                            jl_error *err);
/* Asks a job to end; on_end follows from the engine thread. May be repeated, and must be while the
 * job has not ended: a request that meets the start of an evaluation waits for its end. Any thread.
 */
void jl_scheduler_cancel(jl_scheduler *s, jl_job *job);
void jl_scheduler_get_stats(jl_scheduler *s, jl_scheduler_stats *out); /* any thread */

#endif
