/* Which chat format a template text stands for. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "chat/chat.h"
#include "chat/text.h"

/* FNV-1a over the text without carriage returns and outer blanks, and its length: enough to tell
 * known texts from others; nothing secret rests on it. */
static uint64_t fingerprint(jl_chat_text t)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < t.len; i++)
        if (t.ptr[i] != '\r')
            h = (h ^ (unsigned char)t.ptr[i]) * 0x100000001b3u;
    return h;
}

static const struct {
    uint64_t fingerprint;
    jl_chat_format format;
    const char *what;
} known[] = {
    {0x49328c5f218b677fu, JL_CHAT_GEMMA4_LARGE, "12B, 26B-A4B and 31B"},
    {0xb5a7c4713578081cu, JL_CHAT_GEMMA4_SMALL, "E2B and E4B"},
    {0xcc0368e1ffb6b958u, JL_CHAT_LLAMA3, "Llama 3.1 and 3.3"},
    {0x20783e9d94168233u, JL_CHAT_MISTRAL_V3, "Mistral Nemo"},
    {0xd61a5330b0383135u, JL_CHAT_MISTRAL_V11, "Mistral Small 3.2"},
};

static bool has(jl_chat_text t, const char *word)
{
    return t.ptr && memmem(t.ptr, t.len, word, strlen(word)) != NULL;
}

/* Other families, so that a refusal can name them. */
static const char *other_family(jl_chat_text t)
{
    static const struct {
        const char *mark;
        const char *family;
    } others[] = {{"<|im_start|>", "ChatML"},        {"<start_of_turn>", "Gemma 2 or 3"},
                  {"<|start|>", "Harmony (gpt-oss)"}, {"<|header_start|>", "Llama 4"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (has(t, others[i].mark))
            return others[i].family;
    return NULL;
}

static void refuse(jl_chat_identity *out, const char *why)
{
    snprintf(out->text, sizeof out->text,
             "%s. joule writes the chats of Gemma 4, Llama 3.1 to 3.3 and Mistral Small, and never "
             "guesses: use a file with such a template, or send text without one (--raw)",
             why);
}

/* Llama 3 and Mistral, by what their templates write. Returns whether it is decided. */
static bool identify_others(jl_chat_text t, jl_chat_identity *out)
{
    if (has(t, "<|start_header_id|>")) {
        if (!has(t, "Cutting Knowledge Date")) {
            refuse(out, "the chat template is that of Llama 3.0 or of a model made from it");
            return true;
        }
        out->format = JL_CHAT_LLAMA3;
        snprintf(out->text, sizeof out->text,
                 "a Llama 3 template, recognised by its marks; the form of Llama 3.3 is written");
        return true;
    }
    if (!has(t, "[INST]"))
        return false;
    if (has(t, "[THINK]") || (has(t, "[ARGS]") && !has(t, "[CALL_ID]"))) {
        refuse(out, "the chat template is a newer one of Mistral (Ministral 3, Magistral, "
                    "Devstral)");
    } else if (has(t, "[ARGS]")) {
        out->format = JL_CHAT_MISTRAL_V11;
        snprintf(out->text, sizeof out->text,
                 "a Mistral template with [CALL_ID], recognised by its marks; "
                 "the form of Mistral Small 3.2 is written");
    } else if (has(t, "[SYSTEM_PROMPT]")) {
        out->format = JL_CHAT_MISTRAL_V7;
        snprintf(out->text, sizeof out->text,
                 "a Mistral template with system turns, recognised by its marks; the form of "
                 "Mistral Small 3.1 is written");
    } else if (has(t, "[AVAILABLE_TOOLS][")) {
        out->format = JL_CHAT_MISTRAL_V3;
        snprintf(out->text, sizeof out->text, "a Mistral template of the first Tekken vocabulary, "
                 "recognised by its marks");
    } else {
        refuse(out, "the chat template is an older one of Mistral");
    }
    return true;
}

void jl_chat_identify(const char *template_text, size_t len, jl_chat_identity *out)
{
    static const char *const marks[] = {"<|turn>", "<turn|>", "<|channel>", "<channel|>",
                                        "<|tool_call>", "<|tool_response>", "<|\"|>"};
    const jl_chat_text t = jl_text_strip((jl_chat_text){template_text, template_text ? len : 0});
    *out = (jl_chat_identity){.format = JL_CHAT_UNKNOWN};
    if (t.len == 0) {
        refuse(out, "the file has no chat template");
        return;
    }
    const uint64_t h = fingerprint(t);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].fingerprint == h) {
            out->format = known[i].format;
            out->official = true;
            if (out->format <= JL_CHAT_GEMMA4_SMALL)
                snprintf(out->text, sizeof out->text, "the canonical Gemma 4 template of "
                         "2026-07-09 for %s", known[i].what);
            else
                snprintf(out->text, sizeof out->text, "the published template of %s",
                         known[i].what);
            return;
        }
    if (identify_others(t, out))
        return;
    const char *family = other_family(t);
    char why[160];
    if (family) {
        snprintf(why, sizeof why, "the chat template is of another family: %s", family);
        refuse(out, why);
        return;
    }
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (!has(t, marks[i])) {
            snprintf(why, sizeof why, "the chat template is not known: it does not write %s",
                     marks[i]);
            refuse(out, why);
            return;
        }
    /* The two published forms differ in the empty thought alone; inside the template the newline is
     * written as an escape or as it is. */
    const bool large = has(t, "<|channel>thought\\n<channel|>") ||
                       has(t, "<|channel>thought\n<channel|>");
    out->format = large ? JL_CHAT_GEMMA4_LARGE : JL_CHAT_GEMMA4_SMALL;
    snprintf(out->text, sizeof out->text, "a Gemma 4 template other than the canonical one of "
             "2026-07-09, recognised by its marks; the canonical form is written, %s an empty "
             "thought when thinking is off", large ? "with" : "without");
}
