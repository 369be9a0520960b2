/* joule launch: what opencode needs to know about the server. */
#ifndef JL_TOOLS_LAUNCH_H
#define JL_TOOLS_LAUNCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The model a server at this port of 127.0.0.1 has; false if none answers as joule does. */
bool launch_find(int port, char *id, size_t id_cap, long *n_ctx);

/* A configuration with a provider "joule" for this model; lean_path NULL: no lean agent. */
json_t *launch_config(const char *id, int port, long n_ctx, const char *lean_path);
/* Adds the provider and agent of `config` to the person's file (NULL path: no place for it), asking
 * first. false: the file is as it was. */
bool launch_offer(char *path, const json_t *config);

#endif
