/* All paths. A star at the end stands for any name. */
#include "server/internal.h"

#define GET  EVHTTP_REQ_GET
#define POST EVHTTP_REQ_POST

const jl_route jl_routes[] = {
    {"/v1/chat/completions", POST, &jl_wire_chat, jl_post_chat},
    {"/v1/completions", POST, &jl_wire_text, jl_post_text},
    {"/v1/responses", POST, &jl_wire_responses, jl_post_responses},
    {"/v1/messages", POST, &jl_wire_messages, jl_post_messages},
    {"/v1/messages/count_tokens", POST, &jl_wire_messages, jl_post_count_tokens},
    {"/api/chat", POST, &jl_wire_ollama_chat, jl_post_ollama_chat},
    {"/api/generate", POST, &jl_wire_ollama_generate, jl_post_ollama_generate},
    {"/api/tags", GET, &jl_wire_ollama_chat, jl_get_ollama_tags},
    {"/api/show", POST, &jl_wire_ollama_chat, jl_post_ollama_show},
    {"/api/version", GET, &jl_wire_ollama_chat, jl_get_ollama_version},
    {"/v1/models", GET, &jl_wire_chat, jl_get_models},
    {"/v1/models/*", GET, &jl_wire_chat, jl_get_model},
    {"/health", GET, &jl_wire_chat, jl_get_health},
    {"/tokenize", POST, &jl_wire_chat, jl_post_tokenize},
    {"/detokenize", POST, &jl_wire_chat, jl_post_detokenize},
    {"/metrics", GET, &jl_wire_chat, jl_get_metrics},
    {"/power", GET | POST, &jl_wire_chat, jl_handle_power},
    {"/props", GET, &jl_wire_chat, jl_get_props},
    {"/slots", GET, &jl_wire_chat, jl_get_slots},
    {NULL, 0, NULL, NULL},
};
