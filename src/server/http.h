/* What the event loop calls. */
#ifndef JL_SERVER_HTTP_H
#define JL_SERVER_HTTP_H

#include "server/internal.h"

void jl_http_request(struct evhttp_request *req,
                     void *ctx); /* evhttp's callback; ctx a jl_server */
void jl_server_check_stop(
    jl_server *s); /* ends the loop when a stop was asked for and all is done */

#endif
