/* How large the session of a server is. */
#ifndef JL_SERVER_SIZE_H
#define JL_SERVER_SIZE_H

#include "joule/server.h"

enum { JL_CACHE_SEQS = 48 }; /* entries of the prefix cache */

/* Session parameters that hold n_parallel full requests and cache_ram bytes of entries. */
JL_MUST_CHECK jl_status jl_server_session_params(const jl_model *model,
                                                 const jl_server_params *params,
                                                 jl_session_params *out, jl_error *err);

#endif
