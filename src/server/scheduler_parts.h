/* Inside the scheduler: its state, its jobs, a step. All but the queue and the statistics belong to
 * the engine thread, on which all of this runs. */
#ifndef JL_SERVER_SCHEDULER_PARTS_H
#define JL_SERVER_SCHEDULER_PARTS_H

#include "base/mem.h"
#include "base/thread.h"
#include "server/pause.h"
#include "server/scheduler.h"
#include "server/spill.h"

enum { JL_SLICE_MAX = 32 }; /* prompt tokens in one eval with running answers */

/* What one eval brings forward. */
typedef struct {
    jl_piece *pieces; /* [n_parallel] */
    jl_job **jobs;    /* [n_parallel] */
    uint32_t n_pieces;
    uint32_t n_answers; /* pieces that continue an answer */
    size_t n_slice;     /* tokens of prompts in the pieces */
} jl_step;

struct jl_scheduler {
    jl_session *session;
    jl_prefix *prefix;
    jl_scheduler_params params;
    jl_lock *lock;
    jl_thread *thread;

    /* Under the lock. */
    jl_job *queue;
    uint32_t n_queued;
    bool stop;
    bool poked; /* something has come that a sleeping engine must look at */
    jl_scheduler_stats stats;

    /* The engine thread's. */
    jl_job **running; /* [n_parallel] in order of arrival */
    uint32_t n_running;
    bool crowded;       /* a job had to make room: none starts before one has ended */
    uint32_t turn;      /* job that reads first in the next step */
    uint32_t slice;     /* prompt tokens in one eval with running answers, at most */
    jl_step main;       /* the eval of this step */
    jl_step beside;     /* answers, while that one pauses */
    bool pausing;       /* answers are written while the eval of prompts pauses */
    bool no_room;       /* they could not: the next step takes them along */
    jl_pause pause;
    double beside_s; /* of this step, spent on answers while it paused */
    double beside_j, beside_cpu;
    jl_spill spill;     /* if there is a disk */
    bool working;       /* jl_power_begin was called */
};

static inline bool jl_job_is_answering(const jl_job *j)
{
    return j->n_tokens - j->n_past == 1;
}

/* ---- scheduler_jobs.c: how jobs come and go --------------------------------------------- */

/* Takes a running job off; what it has read becomes a cache entry. */
void jl_job_finish(jl_scheduler *s, uint32_t index, jl_job_end end, const jl_error *err);
void jl_job_stop_load(jl_scheduler *s, jl_job *j);
/* Running jobs that do not wait for the disk. */
uint32_t jl_scheduler_n_runnable(const jl_scheduler *s);
/* Takes what has come from the disk. */
void jl_scheduler_take_loads(jl_scheduler *s);
/* Takes cancelled jobs off the queue and the running ones. */
void jl_scheduler_drop_cancelled(jl_scheduler *s);
/* Puts a job at the head of the queue. */
void jl_scheduler_put_back(jl_scheduler *s, jl_job *j);
/* Starts jobs of the queue while there is room. */
void jl_scheduler_admit(jl_scheduler *s);

/* ---- scheduler_step.c ------------------------------------------------------------------- */

/* Brings the running jobs forward by one evaluation. */
void jl_scheduler_step(jl_scheduler *s);
/* The between function of the session: a pause for running answers. */
void jl_scheduler_between(void *scheduler, jl_session *session);

#endif
