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
    } others[] = {{"<|start_header_id|>", "Llama 3"}, {"<|im_start|>", "ChatML"},
                  {"[INST]", "Mistral"},             {"<start_of_turn>", "Gemma 2 or 3"},
                  {"<|start|>", "Harmony (gpt-oss)"}, {"<|header_start|>", "Llama 4"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (has(t, others[i].mark))
            return others[i].family;
    return NULL;
}

static void refuse(jl_chat_identity *out, const char *why)
{
    snprintf(out->text, sizeof out->text, "%s. joule writes Gemma 4 chats only and never guesses: "
             "use a file with a Gemma 4 template, or send text without a chat template (--raw)",
             why);
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
            snprintf(out->text, sizeof out->text, "the canonical Gemma 4 template of 2026-07-09 "
                     "for %s", known[i].what);
            return;
        }
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
