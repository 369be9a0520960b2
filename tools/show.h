/* Showing a reply: answer on stdout, thoughts dimmed or aside, calls as JSON lines. */
#ifndef JL_TOOLS_SHOW_H
#define JL_TOOLS_SHOW_H

#include <stdio.h>

#include "joule/chat.h"
#include "opt.h"

typedef struct {
    const opts *o;
    FILE *thoughts; /* NULL: hidden */
    bool dim;       /* escape sequences around thoughts */
    bool in_thought;
    bool line_open; /* stdout stands within a line */
    char *call;     /* arguments of the call being read; owned */
    size_t call_len, call_cap;
    char name[256];
    bool failed; /* out of memory */
} show;

void show_start(show *s, const opts *o);
void show_event(void *ctx, const jl_chat_event *event); /* ctx is a show */
/* Ends thoughts and the open line; frees. */
void show_end(show *s);

#endif
