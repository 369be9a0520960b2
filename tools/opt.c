/* Parsing of the command line and of the environment over the option table. */
#include "opt.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "joule/sys.h"

bool opt_applies(const opt_def *d, cmd_id cmd)
{
    return (d->cmds >> cmd) & 1;
}

const char *opt_alias_dashes(const opt_def *d)
{
    return strlen(d->alias) <= 4 ? "-" : "--";
}

bool opt_on(const opts *o, opt_id id)
{
    return o->v[id].num != 0;
}

int opt_int(const opts *o, opt_id id)
{
    return (int)o->v[id].num;
}

const char *opt_text(const opts *o, opt_id id)
{
    return o->v[id].text;
}

bool opt_is_set(const opts *o, opt_id id)
{
    return o->v[id].set;
}

int usage_error(const opts *o, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "joule %s: ", o->cmd->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nTry: joule help %s\n", o->cmd->name);
    return EXIT_USAGE;
}

void opt_env_name(const opt_def *d, char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "JOULE_");

    for (const char *s = d->name; *s && n + 1 < cap; s++)
        out[n++] = *s == '-' ? '_' : (char)toupper((unsigned char)*s);
    out[n] = 0;
}

static bool in_choices(const char *choices, const char *text)
{
    const size_t len = strlen(text);

    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
        if (len > 0 && strncasecmp(c, text, len) == 0 && (c[len] == '|' || c[len] == 0))
            return true;
    return false;
}

static int parse_bool(const char *s)
{
    static const char *const on[] = {"1", "on", "true", "yes"};
    static const char *const off[] = {"0", "off", "false", "no"};

    for (size_t i = 0; i < sizeof on / sizeof *on; i++) {
        if (strcasecmp(s, on[i]) == 0)
            return 1;
        if (strcasecmp(s, off[i]) == 0)
            return 0;
    }
    return -1;
}

static const char *value_error(const opt_def *d, char *why, size_t cap, const char *text)
{
    if (d->type == OPT_T_INT)
        snprintf(why, cap, "'%.60s' is not a whole number from %.0f to %.0f", text, d->min, d->max);
    else if (d->type == OPT_T_FLOAT)
        snprintf(why, cap, "'%.60s' is not a number from %g to %g", text, d->min, d->max);
    else if (d->type == OPT_T_U64)
        snprintf(why, cap, "'%.60s' is not a whole number from 0 to 2^64-1", text);
    else if (d->type == OPT_T_CHOICE)
        snprintf(why, cap, "'%.60s' is none of %s", text, d->choices);
    else
        snprintf(why, cap, "'%.60s' is neither on nor off", text);
    return why;
}

/* Reads text into *v. false if it is no value of the option. */
static bool parse_value(const opt_def *d, const char *text, opt_value *v)
{
    char *end = NULL;

    v->text = text;
    errno = 0;
    switch (d->type) {
    case OPT_T_INT:
    case OPT_T_FLOAT:
        if (d->type == OPT_T_INT && strpbrk(text, ".eExXnN"))
            return false;
        v->num = strtod(text, &end);
        return end != text && *end == 0 && isfinite(v->num) && v->num >= d->min && v->num <= d->max;
    case OPT_T_U64:
        v->u64 = strtoull(text, &end, 10);
        return isdigit((unsigned char)text[0]) && *end == 0 && errno == 0;
    case OPT_T_CHOICE:
        return in_choices(d->choices, text);
    case OPT_T_FLAG: {
        const int b = parse_bool(text);
        v->num = b > 0;
        return b >= 0;
    }
    case OPT_T_TEXT:
    case OPT_T_PATH:
        return true;
    }
    return false;
}

static int set_value(opts *o, opt_id id, const char *text, const char *origin)
{
    const opt_def *d = &opt_table[id];
    char why[400];

    if (!parse_value(d, text, &o->v[id]))
        return usage_error(o, "%s: %s", origin, value_error(d, why, sizeof why, text));
    o->v[id].set = true;
    if (id == OPT_TENSOR_TYPE && o->n_rules == OPT_MAX_REPEATS)
        return usage_error(o, "%s: at most %d times", origin, OPT_MAX_REPEATS);
    if (id == OPT_TENSOR_TYPE)
        o->rules[o->n_rules++] = text;
    return 0;
}

/* Long options for getopt: every name and alias of this command; val is the option id + 256. */
static void build_tables(cmd_id cmd, struct option *longs, char *letters)
{
    size_t n = 0;
    size_t l = 0;

    letters[l++] = ':';
    for (int i = 0; i < OPT_COUNT; i++) {
        const opt_def *d = &opt_table[i];
        if (!opt_applies(d, cmd))
            continue;
        const int arg = d->type == OPT_T_FLAG ? no_argument : required_argument;
        longs[n++] = (struct option){d->name, arg, NULL, i + 256};
        if (d->alias)
            longs[n++] = (struct option){d->alias, arg, NULL, i + 256};
        if (d->letter) {
            letters[l++] = d->letter;
            if (arg == required_argument)
                letters[l++] = ':';
        }
    }
    longs[n] = (struct option){0};
    letters[l] = 0;
}

static int find_letter(cmd_id cmd, int c)
{
    for (int i = 0; i < OPT_COUNT; i++)
        if (opt_table[i].letter == c && opt_applies(&opt_table[i], cmd))
            return i;
    return -1;
}

static void set_defaults(opts *o)
{
    for (int i = 0; i < OPT_COUNT; i++)
        if (opt_table[i].def)
            (void)parse_value(&opt_table[i], opt_table[i].def, &o->v[i]);
}

static int read_environment(opts *o)
{
    for (int i = 0; i < OPT_COUNT; i++) {
        const opt_def *d = &opt_table[i];
        if (!opt_applies(d, o->id) || o->v[i].set || i == OPT_HELP)
            continue;
        char name[64];
        opt_env_name(d, name, sizeof name);
        const char *text = jl_env(name);
        if (text) {
            const int rc = set_value(o, (opt_id)i, text, name);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int read_arguments(opts *o, int argc, char **argv)
{
    static struct option longs[2 * OPT_COUNT + 1];
    static char letters[2 * OPT_COUNT + 2];

    build_tables(o->id, longs, letters);
    opterr = 0;
    optind = 1;
    for (;;) {
        const int at = optind;
        const int c = getopt_long_only(argc, argv, letters, longs, NULL);
        if (c == -1)
            return 0;
        const char *given = argv[at < argc ? at : argc - 1];
        if (c == ':')
            return usage_error(o, "%s needs a value", argv[optind - 1]);
        const int id = c >= 256 ? c - 256 : find_letter(o->id, c);
        if (c == '?' || id < 0)
            return usage_error(o, "unknown or ambiguous option %s",
                               given[0] == '-' ? given : argv[optind - 1]);
        char origin[64];
        snprintf(origin, sizeof origin, "--%s", opt_table[id].name);
        const int rc = set_value(o, (opt_id)id, optarg ? optarg : "1", origin);
        if (rc)
            return rc;
    }
}

int opt_parse(opts *o, int argc, char **argv)
{
    set_defaults(o);
    int rc = read_arguments(o, argc, argv);
    if (rc)
        return rc;
    o->n_args = argc - optind;
    o->args = argv + optind;
    if (opt_on(o, OPT_HELP))
        return 0;
    if (o->n_args > o->cmd->max_args)
        return usage_error(o, "unexpected argument '%.100s'", o->args[o->cmd->max_args]);
    return read_environment(o);
}
