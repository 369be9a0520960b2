/* Inside the store: its table of records, its files, how it opens. */
#ifndef JL_SERVER_STORE_PARTS_H
#define JL_SERVER_STORE_PARTS_H

#include "base/folder.h"
#include "base/mem.h"
#include "base/thread.h"
#include "server/store.h"

enum { JL_STORE_FORMAT = 1, JL_STORE_PATH_CAP = 1200, JL_STORE_NAME_CAP = 64 };
#define JL_STORE_DAY_NS 86400000000000u

typedef struct {
    jl_record_id id;
    uint64_t n_bytes; /* of the file */
    uint64_t used_at; /* ns since 1970 */
    uint32_t next;    /* in its bucket, or in the free list; 0: none */
    uint32_t group;   /* 0: of this key; else of another one: index + 1 of its folder */
    bool live;
    bool touched; /* used_at is newer than the file's time */
} jl_record;

typedef struct {
    char magic[8];
    uint32_t version, kind;
    uint64_t key[2];
    jl_hash hash;
    uint32_t index, unused;
    uint64_t n_bytes; /* of the content */
    uint64_t sum[2];  /* of the content and of everything above */
} jl_record_header;

struct jl_store {
    char folder[JL_STORE_PATH_CAP - JL_STORE_NAME_CAP * 2];
    jl_store_params params;
    uint64_t key[2];
    uint64_t seed[2];
    jl_folder_lock *held;
    jl_lock *lock;

    /* Under the lock. */
    jl_record *records; /* [cap], index 0 unused */
    uint32_t n_records, cap, free_list;
    uint32_t *buckets; /* [n_buckets], a power of two */
    uint32_t n_buckets;
    char (*others)[40]; /* folders of other keys */
    uint32_t n_others;
    uint64_t n_bytes, day, day_bytes, noted_bytes, n_written;
    uint64_t n_own, n_evicted, n_damaged;
    bool full_today, failed;
};

/* ---- store_table.c: the caller holds the lock ------------------------------------------- */

JL_MUST_CHECK bool jl_store_grow(jl_store *s);                  /* false: out of memory */
bool jl_store_insert(jl_store *s, jl_record r);                 /* false: out of memory */
jl_record *jl_store_lookup(const jl_store *s, jl_record_id id); /* of this key; NULL: not there */
void jl_store_forget(jl_store *s, jl_record *r);
jl_record *jl_store_least_worth(const jl_store *s); /* NULL: the table is empty */

/* ---- store_file.c ----------------------------------------------------------------------- */

/* Folder of the records of a group: 0 of this key, else of another one. */
void jl_store_folder(const jl_store *s, uint32_t group, char out[JL_STORE_PATH_CAP]);
void jl_store_path(const jl_store *s, jl_record_id id, uint32_t group,
                   char out[JL_STORE_PATH_CAP]);
bool jl_store_parse_name(const char *name, jl_record_id *id);
/* Writes a record of two pieces; appears whole or not at all. */
JL_MUST_CHECK jl_status jl_store_write_record(const jl_store *s, jl_record_id id, const void *a,
                                              size_t a_bytes, const void *b, size_t b_bytes,
                                              jl_error *err);
/* What is wrong with the n bytes of a record's file; NULL: nothing. */
const char *jl_store_check_record(const jl_store *s, jl_record_id id, const char *data, size_t n);
/* Writes a file of a few bytes, mode 0600; appears whole or not at all. */
JL_MUST_CHECK jl_status jl_store_write_small(const char *path, const void *data, size_t n,
                                             jl_error *err);

/* ---- store.c ---------------------------------------------------------------------------- */

/* Removes records until n_bytes more fit; false: they never will. Takes the lock. */
bool jl_store_make_room(jl_store *s, uint64_t n_bytes);
void jl_store_note_written(jl_store *s);
uint64_t jl_store_today(void); /* days since 1970, UTC */
/* Times count in whole seconds: what is used together is equally old. */
uint64_t jl_store_seconds(uint64_t ns);

#endif
