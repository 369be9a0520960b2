/* Small things of the system that meters and rules need: one-line files, folders, libraries loaded
 * at run time, a helper process. None of them allocates. */
#ifndef JL_BASE_SYSFILE_H
#define JL_BASE_SYSFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "joule/sys.h"

/* Why a small file could not be read. */
typedef enum { JL_READ_OK, JL_READ_ABSENT, JL_READ_DENIED, JL_READ_FAILED } jl_read_result;

/* First line of a file without its end, at most cap - 1 bytes; text is "" on failure. */
jl_read_result jl_line_read(const char *path, char *text, size_t cap);

/* Calls fn for every name in a folder except . and .., in no order, until fn returns false. False
 * if the folder cannot be read. */
typedef bool jl_dir_fn(void *ctx, const char *name);
bool jl_dir_each(const char *path, jl_dir_fn *fn, void *ctx);
/* The same for who wants to look at what the names stand for: fd is the folder's, for fstatat and
 * the like, until it returns. errno says why the folder cannot be read. */
typedef bool jl_dir_at_fn(void *ctx, int fd, const char *name);
bool jl_dir_each_at(const char *path, jl_dir_at_fn *fn, void *ctx);

/* A library of the system, loaded while running: NULL if it is not there. */
typedef struct jl_lib jl_lib;
jl_lib *jl_lib_open(const char *path);
void *jl_lib_symbol(jl_lib *lib, const char *name); /* NULL: not there */
void jl_lib_close(jl_lib *lib);                     /* NULL is fine */

/* Starts a program found in PATH with its stdin at the read end of a pipe that this process holds
 * (*pipe_fd) and its output discarded; -1 if it cannot be started. */
int jl_child_start(const char *const *argv, int *pipe_fd);
/* Closes the pipe, ends the child and waits for it. */
void jl_child_stop(int pid, int pipe_fd);

/* Runs a program found in PATH and waits: what it wrote to stdout, cut to cap - 1 bytes. False if
 * it cannot be started or fails. */
bool jl_child_output(const char *const *argv, char *text, size_t cap);

void jl_sleep_ns(uint64_t ns); /* may wake early by a signal */

#endif
