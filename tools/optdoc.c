/* Help and man page, generated from the option and command tables. */
#include "opt.h"

#include <string.h>

#include "joule/version.h"

enum { HELP_COLUMN = 30, HELP_WIDTH = 92 };

/* Prints words with line breaks; the cursor stands at column. */
static void wrap(FILE *f, const char *text, int column, int indent)
{
    const int start = column;

    while (*text) {
        const size_t word = strcspn(text, " ");
        const bool first = column == start;
        if (!first && column + 1 + (int)word > HELP_WIDTH) {
            fprintf(f, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', f);
            column++;
        }
        fprintf(f, "%.*s", (int)word, text);
        column += (int)word;
        text += word + (text[word] == ' ');
    }
    fputc('\n', f);
}

/* "-c, --ctx-size N" with the alias, e.g. "-ctk, --cache-type-k WORD". */
static int flag_text(const opt_def *d, char *out, size_t cap)
{
    char alias[40] = "";
    char arg[48] = "";
    char letter[8] = "";

    if (d->letter)
        snprintf(letter, sizeof letter, "-%c, ", d->letter);
    if (d->alias)
        snprintf(alias, sizeof alias, "%s%s, ", opt_alias_dashes(d), d->alias);
    if (d->arg)
        snprintf(arg, sizeof arg, " %s",
                 d->type == OPT_T_CHOICE && strlen(d->choices) < 16 ? d->choices : d->arg);
    return snprintf(out, cap, "%s%s--%s%s", letter, alias, d->name, arg);
}

/* The sentence with range, choices and default appended. */
static void full_help(const opt_def *d, char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "%s", d->help);

    if (d->type == OPT_T_CHOICE && strlen(d->choices) >= 16)
        n += (size_t)snprintf(out + n, cap - n, ": %s", d->choices);
    if (d->type == OPT_T_INT)
        n += (size_t)snprintf(out + n, cap - n, " [%.0f..%.0f]", d->min, d->max);
    if (d->type == OPT_T_FLOAT)
        n += (size_t)snprintf(out + n, cap - n, " [%g..%g]", d->min, d->max);
    if (d->def)
        snprintf(out + n, cap - n, " (default: %s)", d->def);
}

/* "a|b" with a space after each bar, so that long lists can be broken. */
static void spaced(char *s, size_t cap)
{
    char copy[700];
    size_t n = 0;

    snprintf(copy, sizeof copy, "%s", s);
    for (const char *c = copy; *c && n + 2 < cap; c++) {
        s[n++] = *c;
        if (*c == '|')
            s[n++] = ' ';
    }
    s[n] = 0;
}

static void help_option(FILE *f, const opt_def *d)
{
    char flags[120];
    char text[700];
    const int n = flag_text(d, flags, sizeof flags);

    full_help(d, text, sizeof text);
    spaced(text, sizeof text);
    fprintf(f, "  %s", flags);
    int column = n + 2;
    if (column >= HELP_COLUMN) {
        fputc('\n', f);
        column = 0;
    }
    fprintf(f, "%*s", HELP_COLUMN - column, "");
    wrap(f, text, HELP_COLUMN, HELP_COLUMN);
}

void doc_help(FILE *f)
{
    fprintf(f, "joule %s: runs Gemma 4 from GGUF files on a laptop.\n\n", JL_VERSION_STRING);
    fprintf(f, "Usage: joule COMMAND [OPTIONS]\n\nCommands:\n");
    for (int i = 0; i < CMD_COUNT; i++)
        fprintf(f, "  %-12s %s\n", cmd_table[i].name, cmd_table[i].summary);
    fprintf(f, "\nTry: joule run -p \"Once upon a time\"\n"
               "     joule help run\n");
}

static void help_example(FILE *f, const char *example)
{
    for (const char *s = example; *s;) {
        const size_t len = strcspn(s, "\n");
        fprintf(f, "  %.*s\n", (int)len, s);
        s += len + (s[len] == '\n');
    }
}

void doc_help_command(FILE *f, cmd_id cmd)
{
    const cmd_def *c = &cmd_table[cmd];

    fprintf(f, "joule %s: %s\n\nUsage: joule %s [OPTIONS]%s%s\n\n", c->name, c->summary, c->name,
            *c->args ? " " : "", c->args);
    wrap(f, c->text, 0, 0);
    fprintf(f, "\nOptions:\n");
    for (int i = 0; i < OPT_COUNT; i++)
        if (opt_applies(&opt_table[i], cmd))
            help_option(f, &opt_table[i]);
    fprintf(f,
            "\nEvery option has an environment twin: --ctx-size is JOULE_CTX_SIZE.\n\nExamples:\n");
    help_example(f, c->example);
}

/* Text for roff: backslashes, dashes of options and leading dots escaped. */
static void roff(FILE *f, const char *s)
{
    if (*s == '.' || *s == '\'')
        fputs("\\&", f);
    for (; *s; s++) {
        if (*s == '\\')
            fputs("\\e", f);
        else if (*s == '-')
            fputs("\\-", f);
        else
            fputc(*s, f);
    }
}

static void man_option(FILE *f, const opt_def *d)
{
    char flags[120];
    char text[700];
    char env[64];

    flag_text(d, flags, sizeof flags);
    full_help(d, text, sizeof text);
    spaced(text, sizeof text);
    opt_env_name(d, env, sizeof env);
    fputs(".TP\n.B ", f);
    roff(f, flags);
    fputc('\n', f);
    roff(f, text);
    fputs(". Environment: ", f);
    roff(f, env);
    fputs(".\n.br\nCommands:", f);
    for (int i = 0, first = 1; i < CMD_COUNT; i++)
        if (opt_applies(d, (cmd_id)i)) {
            fprintf(f, "%s %s", first ? "" : ",", cmd_table[i].name);
            first = 0;
        }
    fputs(".\n", f);
}

static void man_command(FILE *f, const cmd_def *c)
{
    fprintf(f, ".SS joule %s ", c->name);
    roff(f, c->args);
    fputc('\n', f);
    roff(f, c->text);
    fputs("\n.PP\n.nf\n", f);
    for (const char *s = c->example; *s;) {
        const size_t len = strcspn(s, "\n");
        char line[200];
        snprintf(line, sizeof line, "    %.*s", (int)len, s);
        roff(f, line);
        fputc('\n', f);
        s += len + (s[len] == '\n');
    }
    fputs(".fi\n", f);
}

static const char man_tail[] =
    ".SH ENVIRONMENT\n"
    "Every option has a twin: JOULE_ and its long name in upper case with underscores, for example "
    "JOULE_MODEL. The command line wins.\n"
    ".TP\n.B JOULE_DATA_DIR\nfolder of the bundled model\n"
    ".TP\n.B NO_COLOR\nno colour if set and not empty\n"
    ".TP\n.B XDG_STATE_HOME\nthe history of the chat is kept in joule/history below it (default: "
    "~/.local/state)\n"
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nsuccess\n.TP\n.B 1\nfailure: the message says what, where and what to do\n"
    ".TP\n.B 2\nwrong usage\n.TP\n.B 130\nstopped by Ctrl\\-C\n";

void doc_man(FILE *f)
{
    fprintf(f, ".TH JOULE 1 \"\" \"joule %s\" \"User Commands\"\n", JL_VERSION_STRING);
    fputs(".SH NAME\njoule \\- run Gemma 4 language models from GGUF files\n"
          ".SH SYNOPSIS\n.B joule\n.I COMMAND\n[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n"
          ".SH DESCRIPTION\nLoads a model file in GGUF format and runs it on the processor. "
          "Results go to "
          "standard output, messages and statistics to standard error.\n.SH COMMANDS\n",
          f);
    for (int i = 0; i < CMD_COUNT; i++)
        man_command(f, &cmd_table[i]);
    fputs(".SH OPTIONS\n", f);
    for (int i = 0; i < OPT_COUNT; i++)
        man_option(f, &opt_table[i]);
    fputs(man_tail, f);
}

void doc_options(FILE *f)
{
    static const char *const types[] = {"flag", "int", "float", "u64", "text", "path", "choice"};

    for (int i = 0; i < OPT_COUNT; i++) {
        const opt_def *d = &opt_table[i];
        char env[64];
        opt_env_name(d, env, sizeof env);
        fprintf(f, "%s\t%c\t%s\t%s\t%s\t%s\t", d->name, d->letter ? d->letter : '-',
                d->alias ? d->alias : "-", types[d->type], d->def ? d->def : "-", env);
        for (int c = 0, first = 1; c < CMD_COUNT; c++)
            if (opt_applies(d, (cmd_id)c)) {
                fprintf(f, "%s%s", first ? "" : ",", cmd_table[c].name);
                first = 0;
            }
        fputc('\n', f);
    }
}
