/* The one program `joule`: finds the sub-command, parses its options, runs it. */
#include <stdio.h>
#include <string.h>

#include "joule/version.h"
#include "opt.h"

static int find_command(const char *name)
{
    for (int i = 0; i < CMD_COUNT; i++)
        if (strcmp(cmd_table[i].name, name) == 0)
            return i;
    return -1;
}

int cmd_help(const opts *o)
{
    if (opt_on(o, OPT_MAN)) {
        doc_man(stdout);
        return EXIT_OK;
    }
    if (opt_on(o, OPT_OPTIONS)) {
        doc_options(stdout);
        return EXIT_OK;
    }
    if (o->n_args == 0) {
        doc_help(stdout);
        return EXIT_OK;
    }
    const int cmd = find_command(o->args[0]);
    if (cmd < 0)
        return usage_error(o, "no command '%.60s'", o->args[0]);
    doc_help_command(stdout, (cmd_id)cmd);
    return EXIT_OK;
}

int cmd_version(const opts *o)
{
    (void)o;
    printf("joule %s (numerics %d)\n", JL_VERSION_STRING, JL_NUMERICS_VERSION);
    return EXIT_OK;
}

int cmd_completion(const opts *o)
{
    const char *shell = o->n_args ? o->args[0] : "";

    if (strcmp(shell, "bash") == 0)
        doc_bash(stdout);
    else if (strcmp(shell, "zsh") == 0)
        doc_zsh(stdout);
    else if (strcmp(shell, "fish") == 0)
        doc_fish(stdout);
    else
        return usage_error(o, "say which shell: bash, zsh or fish");
    return EXIT_OK;
}

static int run_command(int cmd, int argc, char **argv)
{
    opts o = {.cmd = &cmd_table[cmd], .id = (cmd_id)cmd};
    const int rc = opt_parse(&o, argc, argv);

    if (rc)
        return rc;
    if (opt_on(&o, OPT_HELP)) {
        doc_help_command(stdout, o.id);
        return EXIT_OK;
    }
    return o.cmd->run(&o);
}

static int start(int argc, char **argv)
{
    if (argc < 2) {
        doc_help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    const int cmd = find_command(name);
    if (cmd < 0) {
        fprintf(stderr, "joule: no command '%.60s'\nTry: joule help\n", name);
        return EXIT_USAGE;
    }
    return run_command(cmd, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int rc = start(argc, argv);

    /* A full disk or closed pipe shows up here at the latest. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("joule: cannot write to stdout");
        rc = rc ? rc : EXIT_FAIL;
    }
    return rc;
}
